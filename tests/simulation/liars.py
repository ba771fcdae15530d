"""Regions that lie, with their real keys: what they show depends on who asks, and need not be what they showed before.

A liar runs the real code too, up to twice on one past (`sides`): that is how it signs two histories. What it answers is
the truth of the side it shows to the caller, then changed by whatever lies are on.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from random import Random

from ledger import status_tokens, trust_publishing
from ledger.outside import NO_HEADERS, Answer, Outside, Unreachable
from ledger.public_files import PublicFiles
from ledger.status_tokens import BITS, read_bits, snapshot
from tests.simulation.network import Honest, Network, Request, Road
from tests.simulation.node import LoopClock, Node
from tests.simulation.template import copied
from verifiers.add_checkpoint import parse_request
from verifiers.jws import compact
from verifiers.note import parse_note
from verifiers.status_list import AsOf, compress, header_segment, signing_input
from verifiers.trust_list import header_segment as list_header
from verifiers.trust_list import signing_input as list_input

READING_LIES = ("garbage", "endless", "long", "redirect", "broken", "old_list", "frozen")
"""Ways to answer whoever reads."""

WITNESS_LIES = ("anything", "bad_line", "other_head", "conflict", "loop", "silent", "nonsense", "future")
"""Ways to answer whoever asks for a cosignature; `anything` cosigns whatever it is shown."""

TOKEN_LIES = ("omit", "all_revoked", "foreign_uri", "unlogged", "other_keys", "stolen_uri")
"""Things signed with the liar's real keys that say what is not so."""


@dataclass
class Liar:
    """One lying region: `shown` says which side each caller sees, `lies` which lies are on."""

    network: Network
    code: str
    folder: Path
    rng: Random
    sides: list[Node] = field(default_factory=list)
    shown: dict[str, int] = field(default_factory=dict)
    mute: bool = False
    reading: str | None = None
    cosigning: str | None = None
    replaced: dict[str, bytes] = field(default_factory=dict)
    past: PublicFiles | None = None
    snapshots: list[Path] = field(default_factory=list)

    @property
    def node(self) -> Node:
        """Its first history, which it also runs its witness with."""
        return self.sides[0]

    def side_for(self, caller: str) -> Node:
        """The history that `caller` is shown."""
        return self.sides[min(self.shown.get(caller, 0), len(self.sides) - 1)]

    # --- moves ---

    async def fork(self, clock: LoopClock) -> None:
        """Begin a second history with the same past, keys and name."""
        if len(self.sides) > 1:
            return
        home = copied(self.node.home, self.folder / f"twin-{self.code}")
        twin = Node(home, clock, lambda: SideRoad(self, 1), Random(self.rng.random()))
        twin.scruples = False
        await twin.start()
        self.sides.append(twin)

    def remember(self) -> None:
        """Keep what is published now, to be shown again when it is no longer true."""
        if len(self.snapshots) < 3:
            place = self.folder / f"past-{self.code}-{len(self.snapshots)}"
            shutil.copytree(self.node.home.config.tiles, place)
            self.snapshots.append(place)

    def go_back(self) -> None:
        """Show what was published some time ago, to everybody."""
        if self.snapshots:
            self.past = PublicFiles(self.rng.choice(self.snapshots))

    def tell_the_truth(self) -> None:
        """End all lies but the second history, and whether witnesses are asked."""
        self.reading = self.cosigning = self.past = None
        self.replaced.clear()

    async def sign(self, kind: str) -> None:
        """Sign something untrue and show it instead of what it replaces."""
        region = self.node.region
        if kind in ("unlogged", "other_keys", "stolen_uri"):
            text = await _false_list(self, kind)
            self.replaced["/trust-list"] = text
            return
        found = await region.database.read(snapshot)
        for num, uri in found.uris.items():
            [bits] = await region.database.read(lambda tx, num=num, uri=uri: read_bits(tx, {num: uri}))  # type: ignore[misc]
            packed = bytes(len(bits.packed)) if kind == "omit" else b"\x55" * len(bits.packed)
            told = uri
            if kind == "foreign_uri":
                others = [code for code in self.network.nodes if code != self.code]
                told = uri.replace(self.code, self.rng.choice(others))
            self.replaced[f"/status-lists/{num}"] = await self._token(told, packed, bits.size)

    async def _token(self, uri: str, packed: bytes, size: int) -> bytes:
        region = self.node.region
        signer = region.signer(None, "status")
        assert signer.certificate is not None
        now = self.node.clock.now().replace(microsecond=0)
        message = signing_input(
            header=header_segment(signer.public_key.kid, signer.certificate),
            uri=uri,
            lst=compress(packed, 1),
            bits=BITS,
            issued_at=now,
            expires_at=now + timedelta(days=1),
            ttl=86_400,
            as_of=AsOf(region.origin, size),
        )
        [signature] = await signer.sign([message])
        return compact(message, signature).encode("ascii")

    # --- answers ---

    async def answer(self, request: Request) -> Answer:
        """Lie, or say the truth of the side that the caller is shown."""
        if request.body is not None:
            return await self._cosigned(request)
        side = self.side_for(request.caller)
        if request.path in self.replaced:
            return _said(self.replaced[request.path])
        lie = self.reading
        if lie == "garbage":
            return _said(self.rng.randbytes(200))
        if lie == "endless":
            await asyncio.sleep(3600)
        if lie == "long":
            return Answer(200, b"x" * 33_554_433)
        if lie == "redirect":
            return Answer(302, b"")
        if lie == "broken":
            return Answer(self.rng.choice((500, 404, 410, 304)), b"")
        if lie == "old_list" and request.path == "/trust-list":
            row = await side.region.database.read(lambda tx: trust_publishing.trust_list_at(tx, self.rng.randint(1, 2)))
            return Answer(404, b"") if row is None else _said(row.list.encode())
        past = self.past if lie != "frozen" or self.past is not None else None
        return await _View(side, past).answer(request)

    async def _cosigned(self, request: Request) -> Answer:
        lie, body = self.cosigning, request.body or b""
        if lie is None:
            return await Honest(self.side_for(request.caller)).answer(request)
        if lie == "silent":
            await asyncio.sleep(3600)
        if lie == "nonsense":
            return Answer(200, self.rng.randbytes(300))
        if lie == "conflict":
            return Answer(409, f"{self.rng.choice((0, 1, 7, 10**6, 2**60))}\n".encode())
        if lie == "loop":
            return Answer(409, f"{parse_request(body).old ^ 1}\n".encode())
        identity = self.node.region.witness_identity.current
        assert identity is not None
        text = parse_note(parse_request(body).note_text).text
        now = int(self.node.clock.now().timestamp())
        if lie == "other_head":
            text = text.replace("\n", "/other\n", 1)
        lines = await identity.cosign(text, 2**37 if lie == "future" else now)
        said = "".join(line.to_text() for line in lines)
        return _said(said.encode() if lie != "bad_line" else said[:-8].encode() + b"AAAAAAA\n")


class _View(Honest):
    """What a side has published, or what it had published at an earlier time."""

    def __init__(self, node: Node, past: PublicFiles | None) -> None:
        super().__init__(node)
        self._past = past

    async def _found(self, path: str) -> bytes | None:
        if self._past is None or path.startswith("/witness/") or path.endswith("/receipt"):
            return await super()._found(path)
        if path == "/trust-list":
            return self._past.read(trust_publishing.LATEST)
        if path == "/status-lists":
            return self._past.read(status_tokens.AGGREGATION)
        return self._past.read(path.removeprefix("/log/").removeprefix("/"))


class SideRoad(Outside):
    """The way out of one history of a liar: its checkpoints go to those who are shown it, to nobody if mute."""

    def __init__(self, liar: Liar, side: int) -> None:
        self._liar = liar
        self._side = side
        self._road = Road(liar.network, liar.code)

    async def get(self, url: str, *, limit: int, etag: str | None = None) -> Answer:
        """Fetch `url`."""
        return await self._road.get(url, limit=limit, etag=etag)

    async def post(
        self, url: str, body: bytes, *, media_type: str, limit: int, headers: Mapping[str, str] = NO_HEADERS
    ) -> Answer:
        """Send to those who are to see it."""
        code = url.partition("://r")[2].partition(".")[0]
        if self._liar.mute or (len(self._liar.sides) > 1 and self._liar.shown.get(code, 0) != self._side):
            raise Unreachable("it is not asked")
        return await self._road.post(url, body, media_type=media_type, limit=limit, headers=headers)

    async def close(self) -> None:
        """Nothing is open."""


async def _false_list(liar: Liar, kind: str) -> bytes:
    """The next trust list, which is not in the log; or one that also changes what may not be changed."""
    region = liar.node.region
    row = await region.database.read(trust_publishing.newest)
    document = await region.database.read(lambda tx: region.trust._build(tx, row.seq + 1, bytes(row.digest)))
    others = [node for code, node in liar.network.nodes.items() if code != liar.code]
    if kind == "other_keys":
        log = replace(document.logs[-1], keys=liar.rng.choice(others).region.vkeys)
        document = replace(document, logs=(*document.logs[:-1], log))
    if kind == "stolen_uri":
        code = liar.rng.choice(others).code
        lists = tuple(replace(each, uri=each.uri.replace(liar.code, code)) for each in document.status_lists)
        document = replace(document, status_lists=lists)
    signer = region.signer(None, "list")
    assert signer.certificate is not None
    header = list_header(signer.public_key.kid, signer.certificate, region.root_certificate)
    message = list_input(document, header=header)
    [signature] = await signer.sign([message])
    return compact(message, signature).encode("ascii")


def _said(data: bytes) -> Answer:
    return Answer(200, data, f'"{sha256(data).hexdigest()[:32]}"')
