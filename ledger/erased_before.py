"""What was erased for good, kept beside the backups, so that an older backup cannot bring it back (protocol 5).

A backup that was made before an erasure holds the data and the key to it. The list says which parts of which records
were erased, by whom and on which ground. It holds no personal data but the names of the officers. After a restore each
of them that the restored log does not know is erased again, with an entry of its own.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import orjson
from sqlalchemy import exists, select, tuple_

from ledger.actors import Actor
from ledger.backups import UNFINISHED, Writer, sync
from ledger.database import Database, Reading
from ledger.erasing import erase_subject
from ledger.errors import Code, Refusal
from ledger.history import load_event
from ledger.tables.log import erasures
from ledger.tables.subjects import record_subjects
from ledger.vault import Vault

if TYPE_CHECKING:
    from ledger.region import Region

FILE: Final = "erased.json"
_TOGETHER: Final = 500
_KEPT: Final = ("parts", "officers", "ground", "document_no")


def note_erasures(database: Database, vault: Vault, place: Path, origin: str) -> int:
    """Add what was erased since to the list in `place`, and return how many erasures it names now."""
    known = read_list(place / FILE, origin)
    with database.reading() as tx:
        done = tx.scalars(select(erasures.c.erased_idx).distinct().order_by(erasures.c.erased_idx)).all()
        for idx in done:
            if str(idx) not in known:
                facts = load_event(tx, vault, idx).facts
                known[str(idx)] = {name: facts[name] for name in _KEPT}
    new = f"{UNFINISHED}erased"
    (place / new).unlink(missing_ok=True)
    file = Writer(place, new)
    file.write(orjson.dumps({"origin": origin, "erased": known}, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS))
    file.done()
    (place / new).rename(place / FILE)
    sync(place)
    return len(known)


def read_list(file: Path, origin: str) -> dict[str, dict[str, Any]]:
    """Return the erasures that `file` names for the log `origin`, by entry; none where there is no file.

    Raises `Refusal` backup.damaged or backup.other.
    """
    try:
        members = orjson.loads(file.read_bytes())
        named: dict[str, dict[str, Any]] = members["erased"]
        if members["origin"] != origin:
            raise Refusal(Code.BACKUP_OTHER, file=file.name, found=str(members["origin"]), wanted=origin)
    except FileNotFoundError:
        return {}
    except (ValueError, KeyError, TypeError):
        raise Refusal(Code.BACKUP_DAMAGED, file=file.name) from None
    return named


async def erase_again(region: Region, named: dict[str, dict[str, Any]]) -> int:
    """Erase whatever `named` names and the log does not know as erased, by entries of its own; returns how many parts.

    Raises `Refusal` log.rolled_back where nothing may be written: then nothing is served either.
    """
    parts = 0
    for each in named.values():
        places = {(idx, part) for idx, part in each["parts"]}
        subjects = await region.database.read(lambda tx, places=places: _whose(tx, places))  # type: ignore[misc] # a default binds it
        first, second = each["officers"]
        actor = Actor("elicence-cli", "", frozenset({"operate"}), first)
        for subject in subjects:
            done = await erase_subject(
                region, actor, subject, second=second, ground=each["ground"], document_no=each["document_no"]
            )
            parts += done["parts"]
    return parts


def _whose(tx: Reading, places: set[tuple[int, int]]) -> list[str]:
    """Return the subjects of those parts that are there and not erased."""
    table, found, ordered = record_subjects.c, set(), sorted(places)
    gone = exists().where(erasures.c.idx == table.idx, erasures.c.part == table.part)
    for start in range(0, len(ordered), _TOGETHER):  # one walk through the table for many
        wanted = tuple_(table.idx, table.part).in_(ordered[start : start + _TOGETHER])
        found |= set(tx.scalars(select(table.subject).where(wanted, ~gone)))
    return sorted(found)
