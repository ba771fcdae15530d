"""Status list tokens: the bits of one list at one log size, and every token that ever left the house.

Bits come from `slot_status`, which says what the set of open causes says (protocol 20). A token names the log size
its bits belong to, so that the audit can compute the same bits again. Digest, time and size of every token are kept
for ever, the token itself for as long as somebody may ask for it by time. See docs/formats/publication.md.
"""

from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from hashlib import sha256
from typing import Final

from sqlalchemy import func, insert, literal_column, select, update

from ledger.causes import turn
from ledger.clock import Clock
from ledger.database import Reading, Writing
from ledger.publication import LeaseLost
from ledger.sequencing import lock_head
from ledger.slot_order import SLOTS
from ledger.status_slots import lists_in_use
from ledger.tables.licences import slot_status
from ledger.tables.log import entries, head, thing_events
from ledger.tables.publishing import publication, status_tokens
from verifiers.legal_dates import day_of
from verifiers.status_list import pack

BITS: Final = 2
FOLDER: Final = "status-lists"
AGGREGATION: Final = f"{FOLDER}/index.json"
MANY: Final = 10_000
"""Slots that are not zero from which on they are no longer summed up at every look."""

_LOOKED_THROUGH: Final = 4096
_BEGINNING: Final = date(2000, 1, 1)


@dataclass(frozen=True, slots=True)
class Bits:
    """One list as the log of `size` entries leaves it: packed, uncompressed, with its SHA-256."""

    list_num: int
    uri: str
    size: int
    packed: bytes = field(repr=False)
    digest: bytes


@dataclass(frozen=True, slots=True)
class Token:
    """One published token: compact text and what is kept of it. Times are Unix seconds, `as_of` is a log size."""

    list_num: int
    iat: int
    exp: int
    as_of: int
    bits: bytes
    text: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What one look at the database found: log size, addresses of the lists in use, and a sum over the bits of each."""

    size: int
    uris: dict[int, str]
    sums: dict[int, tuple[int, ...]]


def path_of(list_num: int) -> str:
    """Return the path of a list below the published folder."""
    return f"{FOLDER}/{list_num}"


def snapshot(tx: Reading, before: Snapshot | None = None) -> Snapshot:
    """Look which lists there are and whether any bit of them changed, without reading the bits.

    The sums are taken by the database, some ten million rows a second. They are no hash: two different states can
    have equal sums, which is why every list is read and packed anew at its next refresh whatever they say. Where there
    are many rows, the sums of the look `before` stand for as long as nothing was logged that could turn a bit.
    """
    size = int(tx.execute(select(func.coalesce(func.max(head.c.size), 0))).scalar_one())
    if before is not None and _many(before) and _turns_nothing(tx, before.size, size):
        return Snapshot(size, lists_in_use(tx), before.sums)
    slot, value = slot_status.c.slot, slot_status.c.value
    sums = select(
        slot_status.c.list_num, func.count(), func.sum(value), func.sum(slot * value), func.sum(slot % 65_521 * slot)
    ).group_by(slot_status.c.list_num)
    found = {row[0]: tuple(int(each) for each in row[1:]) for row in tx.execute(sums)}
    return Snapshot(size, lists_in_use(tx), found)


def _many(found: Snapshot) -> bool:
    return sum(each[0] for each in found.sums.values()) >= MANY


def _turns_nothing(tx: Reading, start: int, end: int) -> bool:
    """Whether the entries `start` … `end` - 1 are trust lists and new licences, which have no bit to turn yet."""
    if not 0 <= end - start <= _LOOKED_THROUGH:
        return False
    here = (entries.c.idx >= start) & (entries.c.idx < end)
    leaves = tx.execute(select(entries.c.idx, entries.c.bytes).where(here)).all()
    of_licences = {idx for idx, leaf in leaves if b'"kind":"licence.issued"' in bytes(leaf)}
    others = [bytes(leaf) for idx, leaf in leaves if idx not in of_licences]
    if len(leaves) != end - start or not all(b'"kind":"trust.published"' in leaf for leaf in others):
        return False
    # A new version is an issue too, but not the first event of its licence: it turns the bit of the one before.
    theirs = (thing_events.c.idx >= start) & (thing_events.c.idx < end) & (thing_events.c.n > literal_column("0"))
    return of_licences.isdisjoint(tx.execute(select(thing_events.c.idx).where(theirs)).scalars())


def read_bits(tx: Reading, uris: dict[int, str]) -> list[Bits]:
    """Pack the lists in `uris`, all as they stand in this one state of the database."""
    size = int(tx.execute(select(func.coalesce(func.max(head.c.size), 0))).scalar_one())
    return [
        Bits(num, uri, size, packed, sha256(packed).digest())
        for num, uri in uris.items()
        for packed in [pack_list(tx, num)]
    ]


def pack_list(tx: Reading, list_num: int) -> bytes:
    """Pack one list: 2^20 slots of two bits, 256 KiB."""
    chosen = select(slot_status.c.slot, slot_status.c.value).where(slot_status.c.list_num == list_num)
    return pack({row.slot: row.value for row in tx.execute(chosen)}, SLOTS, BITS)


def store_tokens(tx: Writing, tokens: list[Token], fencing_token: int) -> None:
    """Keep tokens before anybody sees them; raises `LeaseLost` when another process publishes by now.

    Touching the publication row makes later publishers wait, so tokens are stored in the order of their log sizes.
    """
    mine = publication.c.token == fencing_token
    if tx.execute(update(publication).where(mine).values(token=fencing_token)).rowcount != 1:
        raise LeaseLost("status lists are published by another process")
    rows = [
        {
            "list_num": token.list_num,
            "iat": token.iat,
            "exp": token.exp,
            "as_of": token.as_of,
            "digest": sha256(token.text.encode("ascii")).digest(),
            "bits": token.bits,
            "token": token.text,
        }
        for token in tokens
    ]
    tx.execute(insert(status_tokens), rows)


def newest_tokens(tx: Reading, after: int = 0) -> tuple[int, list[Token]]:
    """Return the newest token of every list that got one after sequence number `after`, and the newest number."""
    newest = select(func.max(status_tokens.c.seq)).where(status_tokens.c.seq > after).group_by(status_tokens.c.list_num)
    rows = tx.execute(select(status_tokens).where(status_tokens.c.seq.in_(newest)).order_by(status_tokens.c.seq)).all()
    tokens = [Token(row.list_num, row.iat, row.exp, row.as_of, row.bits, row.token) for row in rows]
    return (rows[-1].seq if rows else after), tokens


def token_at(tx: Reading, list_num: int, moment: int) -> str | None:
    """Return the token of a list that was current at Unix time `moment`, or None if there was none or it is no longer
    kept.
    """
    then = (status_tokens.c.list_num == list_num) & (status_tokens.c.iat <= moment)
    row = tx.execute(select(status_tokens).where(then).order_by(status_tokens.c.seq.desc()).limit(1)).one_or_none()
    return None if row is None or row.exp < moment else row.token


def drop_old_tokens(tx: Writing, before: int) -> int:
    """Drop the text of tokens issued before Unix time `before` but for the newest of each list; return
    how many went.
    """
    newest = select(func.max(status_tokens.c.seq)).group_by(status_tokens.c.list_num)
    old = (status_tokens.c.iat < before) & status_tokens.c.token.is_not(None) & status_tokens.c.seq.not_in(newest)
    return int(tx.execute(update(status_tokens).where(old).values(token=None)).rowcount)


def last_turn(tx: Reading) -> date:
    """Return the day up to which the passing of time has certainly been taken in: that of the newest token."""
    newest = tx.execute(select(func.max(status_tokens.c.iat))).scalar_one()
    return _BEGINNING if newest is None else day_of(datetime.fromtimestamp(newest, UTC))


def turn_day(tx: Writing, clock: Clock, since: date, today: date) -> int:
    """Bring up to date, under the head lock, the licences that changed by the mere passing of time; return how many.

    Without the lock a cause committed at the same moment could be overwritten by a state computed without it.
    """
    lock_head(tx, clock)
    return turn(tx, since, today)
