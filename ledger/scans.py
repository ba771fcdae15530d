"""A scan at a window: a code, a matter and a purpose in; verdict and exactly the needed fields out (protocol 26, 27).

Shown of a dynamic code is what the holder chose, as far as the matter needs it and the caller may scan such licences;
of a static code only what is printed anyway. The look is written down before anything is shown, and a matter that asks
for it gets a credit check, which is recorded by itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sqlalchemy import select

from ledger.access import Access
from ledger.actors import Actor
from ledger.case_steps import officer_of
from ledger.catalogue import Catalogue, Matter, require_area
from ledger.credit_checks import append_check
from ledger.database import Writing
from ledger.documents import compact_of, licence_of
from ledger.errors import Code, Refusal
from ledger.foreign_licences import remember
from ledger.foreign_scans import is_foreign, look_at_foreign_code, peer_of_code, scan_at_peer
from ledger.looks import Abroad, Look, shown_of
from ledger.presentations import Choice, Redeemable, find
from ledger.proposals import retrying
from ledger.request_members import RequestMembers
from ledger.scan_reads import Current
from ledger.scan_writes import Looked
from ledger.tables.licences import licence_holders
from ledger.verifying import OnlineVerifier, worst_of
from verifiers.code import parse_code_text
from verifiers.encoding import b64u_encode
from verifiers.errors import Malformed
from verifiers.legal_dates import format_time
from verifiers.licence import UnverifiedLicence
from verifiers.verdict import Verdict

if TYPE_CHECKING:
    from datetime import datetime

    from ledger.region import Region


@dataclass(slots=True)  # not frozen: made for every scan
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

    known = [look.abroad for look in found.looks if look.abroad is not None]
    beside = (lambda tx: _remember(tx, known, at)) if known else None
    # Nothing is shown, and nobody's credit is asked about, before the use of the code is durable.
    ids = await region.looks.write(Looked(accesses, at, found.redeemable, beside))
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
        found = await find(region, text)
    except Refusal as refusal:
        peer = peer_of_code(region, text) if refusal.code is Code.CODE_UNKNOWN else None
        if peer is None:
            raise
        return _Scanned("dynamic", await scan_at_peer(region, verifier, actor, matter, peer, text, purpose))
    looks = [await _look_at_choice(region, verifier, actor, matter, each) for each in found.choices]
    shown = [look for look in looks if look is not None]
    if not shown:
        raise Refusal(Code.SCAN_OUT_OF_SCOPE, "/matter")
    return _Scanned("dynamic", shown, found.subject, found)


async def _look_at_choice(
    region: Region, verifier: OnlineVerifier, actor: Actor, matter: Matter, choice: Choice
) -> Look | None:
    """What is shown of a chosen licence; `None` where the matter needs no such one or the caller may not scan it."""
    current = await region.scan_reads.current(choice.licence)
    need = next((each for each in matter.definition["needs"] if each["type"] == current.type), None)
    if need is None or not _may_scan(region.catalogue, actor, current):
        return None
    wanted = frozenset(need["fields"])
    fields = wanted if choice.fields is None else wanted & choice.fields
    verdict = await verdict_on_current(region, verifier, current)
    return Look(choice.licence, verdict, shown_of(verdict.licence, fields), tuple(sorted(fields)))


async def verdict_on_current(region: Region, verifier: OnlineVerifier, current: Current) -> Verdict:
    """Judge the current version of a licence, rebuilt from its record. Raises `Refusal` as `compact_of` does."""
    licence = _as_held(region, current)
    if licence is not None:
        return await verifier.judge_held(licence, current.held, current.seq)
    # Read with care and judged as it would be presented: that says what is wrong with the record or with its text. Or
    # the projection says otherwise than the record: what the ledger holds under its own hash decides.
    return await verifier.verdict(compact_of(current.event(region.vault), region.catalogue))


def _as_held(region: Region, current: Current) -> UnverifiedLicence | None:
    """Build the licence from its record, if that is the record of the signed bytes that the ledger holds."""
    with suppress(Malformed, Refusal):
        record = current.opened(region.vault) or current.event(region.vault)
        # The record of another act, or of another licence, opens as well. Of this one what is built is compared below.
        if record.facts.get("jws") == b64u_encode(current.digest):
            return licence_of(record, region.catalogue)
    return None


def _remember(tx: Writing, known: Sequence[Abroad], at: datetime) -> None:
    """Take down where the status bits of verified foreign licences lie: something here may come to rest on them."""
    for each in known:
        if each.uri is not None:
            remember(tx, each.region, each.identifier, each.uri, each.slot, each.type, each.major, "scan", at=at)


def _may_scan(catalogue: Catalogue, actor: Actor, current: Current) -> bool:
    try:
        require_area(actor.areas, current.area)
        catalogue.require(actor.department, current.type, current.major, current.area, "scan")
    except Refusal:
        return False
    return True


async def _credit(
    region: Region, actor: Actor, matter: Matter, subject: str | None, purpose: str
) -> dict[str, Any] | None:
    """The credit check a matter asks for; its own purpose is the matter's, with the clerk's beside it."""
    asked = matter.definition.get("credit") or {}
    if subject is None or asked.get("policy", "none") == "none":
        return None
    said = f"{asked['purpose']}: {purpose}"
    return await retrying(lambda: append_check(region, actor, subject, said, matter.code))
