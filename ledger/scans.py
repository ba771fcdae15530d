"""A scan at a window: a code, a matter and a purpose in; verdict and exactly the needed fields out (protocol 26, 27).

Shown of a dynamic code is what the holder chose, as far as the matter needs it and the caller may scan such licences;
of a static code only what is printed anyway. The look is written down before anything is shown, and a matter that asks
for it gets a credit check, which is recorded by itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import and_, bindparam, select

from ledger.access import Access, write_accesses
from ledger.actors import Actor
from ledger.case_steps import officer_of
from ledger.catalogue import Catalogue, Matter, require_area
from ledger.credit_checks import append_check
from ledger.database import Reading, Writing
from ledger.documents import compact_of
from ledger.errors import Code, Refusal
from ledger.foreign_licences import remember
from ledger.foreign_scans import is_foreign, look_at_foreign_code, peer_of_code, scan_at_peer
from ledger.history import load_event
from ledger.looks import Look, shown_of
from ledger.presentations import Redeemable, find, redeem
from ledger.proposals import retrying
from ledger.request_members import RequestMembers
from ledger.tables.licences import licence_holders, licence_versions, licences
from ledger.verifying import OnlineVerifier, worst_of
from verifiers.code import parse_code_text
from verifiers.errors import Malformed
from verifiers.legal_dates import format_time

if TYPE_CHECKING:
    from datetime import datetime

    from ledger.region import Region


@dataclass(frozen=True, slots=True)
class _Scanned:
    """What a code stands for: the licences to show, the subject of ours who shows them, and what is to be redeemed."""

    means: str
    looks: Sequence[Look] = field(repr=False)
    subject: str | None = None
    redeemable: Redeemable | None = field(default=None, repr=False)


async def scan(
    region: Region, verifier: OnlineVerifier, actor: Actor, body: Any, *, language: str = "zh"
) -> dict[str, Any]:
    """Scan `{"code", "matter", "purpose"}`.

    Returns `{"means": "static|dynamic", "outcome", "licences": [{"licence", "verdict", "fields"}], "credit",
    "access": [ids], "at"}`; `credit` is `{"id", "outcome", "conditions", …}` or null, `licence` null for one of another
    region. Raises `Refusal` with code.malformed, code.unknown, code.ended, code.withdrawn, code.clock, code.replayed,
    matter.unknown or scan.out_of_scope.
    """
    members = RequestMembers(body)
    text, purpose = members.text("code", 4096).strip(), members.text("purpose", 500)
    matter = region.catalogue.matter(members.text("matter", 64))
    members.done()
    officer = officer_of(actor)
    if "#" in text:
        found = await _look_at_static(region, verifier, actor, matter, text)
    else:
        found = await _look_at_dynamic(region, verifier, actor, matter, text, purpose)
    at = region.clock.now()
    accesses = [
        Access(
            look.licence,
            actor.department,
            officer,
            found.means,
            matter.code,
            purpose,
            look.fields,
            look.verdict.outcome.value,
            abroad=None if look.abroad is None else look.abroad.id,
        )
        for look in found.looks
        if look.licence is not None or look.abroad is not None
    ]

    def write(tx: Writing) -> list[str]:
        if found.redeemable is not None:
            redeem(tx, found.redeemable, int(at.timestamp()))
        _remember(tx, found.looks, at)
        return write_accesses(tx, accesses, at)

    # Nothing is shown, and nobody's credit is asked about, before the use of the code is durable.
    ids = await region.looks.write(write)
    credit = await _credit(region, actor, matter, found.subject, purpose)
    return {
        "means": found.means,
        "outcome": worst_of([look.verdict for look in found.looks]).value,
        "licences": [look.to_json(language) for look in found.looks],
        "credit": credit,
        "access": ids,
        "at": format_time(at),
    }


async def _look_at_static(
    region: Region, verifier: OnlineVerifier, actor: Actor, matter: Matter, text: str
) -> _Scanned:
    """A printed code shows what is printed; who holds it is known to the ledger and not told."""
    try:
        parse_code_text(text)
    except Malformed as error:
        raise Refusal(Code.CODE_MALFORMED, "/code") from error
    verdict, held = await verifier.judge(text)
    if is_foreign(region, verdict):
        return _Scanned("static", [look_at_foreign_code(region, actor, matter, text, verdict)])
    look = Look(held.licence if held else None, verdict, verdict.licence, tuple(sorted(verdict.licence or ())))
    if held is None:
        return _Scanned("static", [look])
    holders = select(licence_holders.c.subject).where(licence_holders.c.licence == held.licence)
    first = holders.order_by(licence_holders.c.ord).limit(1)
    subject = await region.database.read(lambda tx: tx.execute(first).scalar_one_or_none(), cheap=True)
    return _Scanned("static", [look], subject)


async def _look_at_dynamic(
    region: Region, verifier: OnlineVerifier, actor: Actor, matter: Matter, text: str, purpose: str
) -> _Scanned:
    """A dynamic code is one of ours, or of the peer whose address it begins with; nobody else is asked."""
    try:
        found, shown = await region.database.read(lambda tx: _chosen(tx, region, actor, matter, text), cheap=True)
    except Refusal as refusal:
        peer = peer_of_code(region, text) if refusal.code is Code.CODE_UNKNOWN else None
        if peer is None:
            raise
        return _Scanned("dynamic", await scan_at_peer(region, verifier, actor, matter, peer, text, purpose))
    if not shown:
        raise Refusal(Code.SCAN_OUT_OF_SCOPE, "/matter")
    looks = []
    for licence, compact, fields in shown:
        verdict = await verifier.verdict(compact)
        looks.append(Look(licence, verdict, shown_of(verdict.licence, fields), tuple(sorted(fields))))
    return _Scanned("dynamic", looks, found.subject, found)


def _chosen(
    tx: Reading, region: Region, actor: Actor, matter: Matter, text: str
) -> tuple[Redeemable, list[tuple[str, str, frozenset[str]]]]:
    """The presentation of a code, and of what was chosen all that the matter needs and the caller may scan.

    That is licence, its compact form and the fields to show; all of it is read from one state.
    """
    found, shown = find(tx, region, text), []
    for choice in found.choices:
        row = _current(tx, choice.licence)
        need = next((each for each in matter.definition["needs"] if each["type"] == row.type), None)
        if need is None or not _may_scan(region.catalogue, actor, row):
            continue
        wanted = frozenset(need["fields"])
        compact = compact_of(load_event(tx, region.vault, row.idx), region.catalogue)
        shown.append((choice.licence, compact, wanted if choice.fields is None else wanted & choice.fields))
    return found, shown


def _remember(tx: Writing, looks: Sequence[Look], at: datetime) -> None:
    """Take down where the status bits of verified foreign licences lie: something here may come to rest on them."""
    for each in (look.abroad for look in looks):
        if each is not None and each.uri is not None:
            remember(tx, each.region, each.identifier, each.uri, each.slot, each.type, each.major, "scan", at=at)


def _may_scan(catalogue: Catalogue, actor: Actor, row: Any) -> bool:
    try:
        require_area(actor.areas, row.area)
        catalogue.require(actor.department, row.type, row.major, row.area, "scan")
    except Refusal:
        return False
    return True


def _current(tx: Reading, licence: str) -> Any:
    return tx.execute(_CURRENT, {"licence": licence}).one()


# Built once: making a statement costs more than running it.
_CURRENT: Final = (
    select(licences.c.type, licences.c.major, licences.c.area, licence_versions.c.idx)
    .join(
        licence_versions,
        and_(licence_versions.c.licence == licences.c.id, licence_versions.c.version == licences.c.current_version),
    )
    .where(licences.c.id == bindparam("licence"))
)


async def _credit(
    region: Region, actor: Actor, matter: Matter, subject: str | None, purpose: str
) -> dict[str, Any] | None:
    """The credit check a matter asks for; its own purpose is the matter's, with the clerk's beside it."""
    asked = matter.definition.get("credit") or {}
    if subject is None or asked.get("policy", "none") == "none":
        return None
    said = f"{asked['purpose']}: {purpose}"
    return await retrying(lambda: append_check(region, actor, subject, said, matter.code))
