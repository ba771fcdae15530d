"""Trains the dictionary with which record parts are compressed: `python -m benchmarks.record_dictionary <file>`.

A dictionary is never replaced, because records name theirs: what this writes is the next number
(docs/formats/record.md). It is trained on records of a made-up region in which every number, id, name and text is drawn
at random, so it learns the frames and the words of our own documents, and nothing about anybody.
"""

from __future__ import annotations

import asyncio
import random
import re
import string
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import orjson
import zstandard

from api import batch_input
from api.cli.demo_service import prepared
from api.cli.example_region import FOLDER
from api.composition import open_region
from api.settings import Settings
from benchmarks import requests
from ledger import batch_rows, clients
from ledger.actors import Actor
from ledger.events import Event
from ledger.history import load_events
from ledger.licence_events import ISSUED
from ledger.packing import reduce
from ledger.sequencing import read_head
from verifiers import canonical
from verifiers.encoding import b64u_encode

SIZE: Final = 8192
_LICENCES: Final = 4000
_LEVEL: Final = 1
_SEED: Final = 35

_HEADER = b'{"alg":"ES256","kid":"AAAAAAAAAAAAAAAAAAAAAA","typ":"elicence-statement+jwt"}'
_IDS = re.compile(r"[\w-]{22}|[\w-]{43}|[\w-]{86}|[\w-]{214}", re.ASCII)
_HOST = re.compile(r"(?<=//)[\w.:-]+|^[\w.:-]+(?=/\d{6}/)", re.ASCII)
_HAN = re.compile(r"[\u4e00-\u9fff]+")
_SHARED: Final = ("origin", "by", "department", "type", "client", "area")
_COMMON: Final = "".join(chr(0x4E00 + each) for each in range(0, 0x5200, 11))


class _Region:
    """One made-up region: what all its records share is drawn once."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self._host = "".join(chance.choices(string.ascii_lowercase, k=chance.randrange(4, 12))) + ".example"
        self._same: dict[str, str] = {}

    def vary(self, value: Any, name: str = "") -> Any:
        """Return `value` with everything drawn anew that is not a word of our own."""
        if isinstance(value, dict):
            return {key: self.vary(each, key) for key, each in value.items()}
        if isinstance(value, list):
            return [self.vary(each, name) for each in value]
        if isinstance(value, str):
            return self._same.setdefault(value, self._text(value)) if len(value) > 5 else value
        if isinstance(value, int) and not isinstance(value, bool) and value > 99:
            return self._chance.randrange(value // 2, value * 2)
        return value

    def forget(self, *, but: frozenset[str]) -> None:
        """Draw anew from now on, but for the texts in `but`, which belong to region, department and type."""
        self._same = {text: drawn for text, drawn in self._same.items() if text in but}

    def _text(self, text: str) -> str:
        chance = self._chance
        if _IDS.fullmatch(text):
            return b64u_encode(chance.randbytes(len(text) * 3 // 4))
        text = _HOST.sub(self._host, text)
        text = _HAN.sub(lambda found: "".join(chance.choices(_COMMON, k=len(found[0]))), text)
        return re.sub(r"\d", lambda _: chance.choice(string.digits), text)


def samples(events: list[Event]) -> Iterator[bytes | bytearray | memoryview]:
    """Yield what would be compressed of the parts of records like those of `events`, each in many regions."""
    chance = random.Random(_SEED)
    fields = _fields()
    for event in events:
        if event.event != ISSUED:
            continue  # what else there is is long, or rare
        for number in range(_LICENCES):
            if number % 8 == 0:
                region, shared = _Region(chance), frozenset(str(event.facts.get(name)) for name in _SHARED)
            region.forget(but=shared)
            yield reduce(_HEADER + canonical.encode(region.vary(event.facts)))[2]
            for part in event.subjects:
                body = {} if part is None else region.vary(part.body)
                if "fields" in body:
                    chosen = chance.choice(fields)
                    body["fields"] = {name: _value(chance, each) for name, each in chosen.items()}
                yield reduce(canonical.encode(body))[2]


def _fields() -> list[dict[str, dict[str, Any]]]:
    """Return the fields of every example type, by name."""
    files = sorted((FOLDER / "types").glob("*.json"))
    return [{each["name"]: each for each in orjson.loads(file.read_bytes())["fields"]} for file in files]


def _value(chance: random.Random, field: dict[str, Any]) -> Any:
    """Draw a value that fits the kind of a field."""
    kind = field["type"]
    if kind == "choice":
        return chance.choice(field["choices"])
    if kind == "date":
        return f"{chance.randrange(1950, 2050)}-{chance.randrange(1, 13):02}-{chance.randrange(1, 29):02}"
    if kind == "integer":
        return chance.randrange(10_000)
    if kind == "boolean":
        return chance.random() < 0.5
    text = "".join(chance.choices(_COMMON, k=chance.randrange(2, 12)))
    return [text] if kind == "list" else text


async def _events(settings: Settings) -> list[Event]:
    region = await open_region(settings)
    try:
        client = await region.database.read(lambda tx: clients.get(tx, requests.ISSUER))
        actor = Actor(client.id, client.department, frozenset({"issue"}), "EXAMPLE-1")
        line = orjson.dumps({"client_ref": "example-1", **requests.licence(1)})
        await batch_rows.work_off(region, actor, "issue", "strict", [batch_input.row_of(1, line, len(line))])
        with region.database.reading() as tx:
            return list(load_events(tx, region.vault, 0, read_head(tx).size))
    finally:
        await region.close()


def main() -> None:
    """Train on a region made for it, and write the dictionary."""
    with tempfile.TemporaryDirectory() as folder:
        parts = list(samples(asyncio.run(_events(prepared(Path(folder))))))
    Path(sys.argv[1]).write_bytes(zstandard.train_dictionary(SIZE, [*parts], level=_LEVEL).as_bytes())


if __name__ == "__main__":
    main()
