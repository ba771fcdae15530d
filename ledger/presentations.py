"""Presentations behind dynamic codes: what a holder chose to show, to be redeemed once a half-minute (protocol 27).

The phone gets a handle and a key and mints codes without us; a million phones cost nothing. What was chosen is kept
encrypted, lives a day at most and can be withdrawn. Nothing is logged: a choice nobody looked at concerns nobody.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

import orjson
from sqlalchemy import delete, select, update

from ledger.database import Reading, Writing
from ledger.errors import Code, Refusal
from ledger.ids import new_id
from ledger.request_members import RequestMembers
from ledger.tables.licences import licence_holders
from ledger.tables.scans import presentations, redeemed_codes
from verifiers import canonical
from verifiers.dynamic_code import HANDLE_LENGTH, KEY_LENGTH, SLICE_S, match, parse_dynamic_code
from verifiers.encoding import b64u_decode, b64u_encode
from verifiers.errors import Malformed, Reason, VerificationError
from verifiers.legal_dates import format_time

if TYPE_CHECKING:
    from ledger.region import Region

LONGEST_S: Final = 86_400
DEFAULT_S: Final = 3_600
MAX_LICENCES: Final = 20
MAX_FIELDS: Final = 100
_KEPT_S: Final = 2 * 86_400


@dataclass(slots=True)  # not frozen: made for every scan
class Choice:
    """One licence the holder shows; `fields` are the names chosen, `None` for whatever the matter needs."""

    licence: str
    fields: frozenset[str] | None


@dataclass(slots=True)  # not frozen: made for every scan
class Redeemable:
    """A presentation whose code was just matched in `slice`; it counts once `scan_writes` has written it down."""

    handle: bytes
    slice: int
    subject: str
    purpose: str | None
    choices: tuple[Choice, ...] = field(repr=False)


async def prepare(region: Region, subject: str, body: Any) -> dict[str, Any]:
    """Prepare a presentation: `{"licences": [{"licence", "fields"?}], "purpose"?, "lifetime_s"?}`.

    Returns `{"id", "handle", "key", "base", "slice_s", "ends_at"}`; `base` is what the phone puts before `/C/`. Raises
    `Refusal` with code.nothing_chosen, code.lifetime, or licence.unknown for one that `subject` does not hold.
    """
    members = RequestMembers(body)
    choices = members.objects("licences", _read_choice, MAX_LICENCES)
    purpose = members.maybe("purpose", lambda name: members.text(name, 500))
    lifetime = members.maybe("lifetime_s", lambda name: members.integer(name, 1, 2**31)) or DEFAULT_S
    members.done()
    if not choices:
        raise Refusal(Code.CODE_NOTHING_CHOSEN, "/licences")
    if lifetime > LONGEST_S:
        raise Refusal(Code.CODE_LIFETIME, "/lifetime_s", longest_s=LONGEST_S)
    await region.database.read(lambda tx: _require_held(tx, subject, choices))
    handle, key, id_ = os.urandom(HANDLE_LENGTH), os.urandom(KEY_LENGTH), new_id()
    made_at = int(region.clock.now().timestamp())
    chosen = [
        {"licence": each.licence, "fields": None if each.fields is None else sorted(each.fields)} for each in choices
    ]
    kept = canonical.encode({"key": b64u_encode(key), "licences": chosen, "purpose": purpose})
    row = {
        "handle": handle,
        "id": id_,
        "subject": subject,
        "sealed": region.vault.seal_answer(kept),
        "made_at": made_at,
        "ends_at": made_at + lifetime,
    }
    await region.database.write(lambda tx: tx.execute(presentations.insert().values(row)))
    return {
        "id": id_,
        "handle": b64u_encode(handle),
        "key": b64u_encode(key),
        "base": region.base_url,
        "slice_s": SLICE_S,
        "ends_at": format_time(datetime.fromtimestamp(made_at + lifetime, region.clock.now().tzinfo)),
    }


def _read_choice(members: RequestMembers) -> Choice:
    names = members.texts("fields", MAX_FIELDS) if members.has("fields") else None
    return Choice(members.id("licence"), None if names is None else frozenset(names))


def _require_held(tx: Reading, subject: str, choices: Sequence[Choice]) -> None:
    held = select(licence_holders.c.licence).where(
        licence_holders.c.subject == subject, licence_holders.c.licence.in_([each.licence for each in choices])
    )
    mine = set(tx.execute(held).scalars())
    for position, each in enumerate(choices):
        if each.licence not in mine:
            raise Refusal(Code.LICENCE_UNKNOWN, f"/licences/{position}/licence")


async def withdraw(region: Region, subject: str, id_: str) -> None:
    """Withdraw a presentation; its codes stop working at once. Raises `Refusal` with code.unknown."""
    now = int(region.clock.now().timestamp())
    mine = (presentations.c.id == id_, presentations.c.subject == subject)

    def change(tx: Writing) -> int:
        changed: int = tx.execute(update(presentations).where(*mine).values(withdrawn_at=now)).rowcount
        return changed

    if await region.database.write(change) == 0:
        raise Refusal(Code.CODE_UNKNOWN)


async def find(region: Region, text: str) -> Redeemable:
    """Match a scanned dynamic code with its presentation, consuming nothing.

    Raises `Refusal` with code.malformed, code.unknown (also where it was minted with another key), code.withdrawn,
    code.ended, or code.clock where it is right for another time: the phone's clock is wrong or the code is old.
    """
    try:
        code = parse_dynamic_code(text)
    except Malformed as error:
        raise Refusal(Code.CODE_MALFORMED, "/code") from error
    row = await region.scan_reads.presentation(code.handle)
    if row is None:
        raise Refusal(Code.CODE_UNKNOWN, "/code")
    kept = orjson.loads(region.vault.open_answer(bytes(row.sealed)))
    at = region.clock.now()
    try:
        number = match(code, b64u_decode(kept["key"], KEY_LENGTH), at)
    except VerificationError as error:
        # Only the holder of the key learns anything about its presentation, even that it has ended.
        raise Refusal(Code.CODE_CLOCK if error.reason is Reason.DYNAMIC_SKEW else Code.CODE_UNKNOWN, "/code") from error
    if row.withdrawn_at is not None:
        raise Refusal(Code.CODE_WITHDRAWN, "/code")
    if at.timestamp() >= row.ends_at:
        raise Refusal(Code.CODE_ENDED, "/code")
    choices = tuple(
        Choice(each["licence"], None if each["fields"] is None else frozenset(each["fields"]))
        for each in kept["licences"]
    )
    return Redeemable(code.handle, number, row.subject, kept["purpose"], choices)


def forget_old(tx: Writing, now: int) -> None:
    """Drop presentations and used codes that have long ended; a slice that is over cannot be replayed."""
    tx.execute(delete(redeemed_codes).where(redeemed_codes.c.at < now - _KEPT_S))
    tx.execute(delete(presentations).where(presentations.c.ends_at < now - _KEPT_S))
