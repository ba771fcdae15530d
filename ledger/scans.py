"""A scan at a window: a code, a matter and a purpose in; verdict and exactly the needed fields out (protocol 26, 27).

Shown of a dynamic code is what the holder chose, as far as the matter needs it and the caller may scan such licences;
of a static code only what is printed anyway. The look is written down before anything is shown, and a matter that asks
for it gets a credit check, which is recorded by itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import and_, select

from ledger.access import Access, write_accesses
from ledger.actors import Actor
from ledger.case_steps import officer_of
from ledger.catalogue import Catalogue, Matter, require_area
from ledger.credit_checks import append_check
from ledger.database import Reading, Writing
from ledger.documents import compact_of
from ledger.errors import Code, Refusal
from ledger.history import load_event
from ledger.presentations import Choice, Redeemable, find, redeem
from ledger.proposals import retrying
from ledger.request_members import RequestMembers
from ledger.tables.licences import licence_holders, licence_versions, licences
from ledger.verifying import OnlineVerifier, worst_of
from verifiers.code import parse_code_text
from verifiers.errors import Malformed
from verifiers.legal_dates import format_time
from verifiers.verdict import Verdict

if TYPE_CHECKING:
    from ledger.region import Region

ALWAYS_SHOWN: Final = ("identifier", "version", "type", "issuer", "region", "issued_on", "valid_from", "valid_until")
"""What a window must see of any licence it is shown, whatever was chosen."""

BESIDE_FACE: Final = ("holders", "number", "object")


@dataclass(frozen=True, slots=True)
class _Look:
    """One licence as it will be shown: its verdict, cut down to `fields`, and who is written down as having seen it."""

    licence: str | None
    verdict: Verdict = field(repr=False)
    shown: dict[str, Any] | None = field(repr=False)
    fields: tuple[str, ...]


async def scan(
    region: Region, verifier: OnlineVerifier, actor: Actor, body: Any, *, language: str = "zh"
) -> dict[str, Any]:
    """Scan `{"code", "matter", "purpose"}`.

    Returns `{"means": "static|dynamic", "outcome", "licences": [{"licence", "verdict", "fields"}], "credit",
    "access": [ids], "at"}`; `credit` is `{"id", "outcome", "conditions", …}` or null. Raises `Refusal` with
    code.malformed, code.unknown, code.ended, code.withdrawn, code.clock, code.replayed, matter.unknown or
    scan.out_of_scope.
    """
    members = RequestMembers(body)
    text, purpose = members.text("code", 4096), members.text("purpose", 500)
    matter = region.catalogue.matter(members.text("matter", 64))
    members.done()
    officer = officer_of(actor)
    found: Redeemable | None = None
    if "#" in text:
        look, subject = await _look_at_static(region, verifier, text.strip())
        kept = [look]
    else:
        found = await region.database.read(lambda tx: find(tx, region, text), cheap=True)
        looks = [await _look_at(region, verifier, actor, matter, choice) for choice in found.choices]
        kept = [look for look in looks if look is not None]
        subject = found.subject
        if not kept:
            raise Refusal(Code.SCAN_OUT_OF_SCOPE, "/matter")
    at = region.clock.now()
    accesses = [
        Access(
            look.licence,
            actor.department,
            officer,
            "static" if found is None else "dynamic",
            matter.code,
            purpose,
            look.fields,
            look.verdict.outcome.value,
        )
        for look in kept
        if look.licence is not None
    ]

    def write(tx: Writing) -> list[str]:
        if found is not None:
            redeem(tx, found, int(at.timestamp()))
        return write_accesses(tx, accesses, at)

    # Nothing is shown, and nobody's credit is asked about, before the use of the code is durable.
    ids = await region.database.write(write)
    credit = await _credit(region, actor, matter, subject, purpose)
    return {
        "means": "static" if found is None else "dynamic",
        "outcome": worst_of([look.verdict for look in kept]).value,
        "licences": [
            {
                "licence": look.licence,
                "verdict": look.verdict.to_json(language) | {"licence": look.shown},
                "fields": list(look.fields),
            }
            for look in kept
        ],
        "credit": credit,
        "access": ids,
        "at": format_time(at),
    }


async def _look_at_static(region: Region, verifier: OnlineVerifier, text: str) -> tuple[_Look, str | None]:
    """A printed code shows what is printed; who holds it is known to the ledger and not told."""
    try:
        parse_code_text(text)
    except Malformed as error:
        raise Refusal(Code.CODE_MALFORMED, "/code") from error
    verdict, held = await verifier.judge(text)
    shown = verdict.licence
    look = _Look(held.licence if held else None, verdict, shown, tuple(sorted(shown or ())))
    if held is None:
        return look, None
    holders = select(licence_holders.c.subject).where(licence_holders.c.licence == held.licence)
    first = holders.order_by(licence_holders.c.ord).limit(1)
    subject = await region.database.read(lambda tx: tx.execute(first).scalar_one_or_none(), cheap=True)
    return look, subject


async def _look_at(
    region: Region, verifier: OnlineVerifier, actor: Actor, matter: Matter, choice: Choice
) -> _Look | None:
    """One licence of a presentation, or `None` where the matter does not need it or the caller may not scan it."""
    compact, row = await region.database.read(lambda tx: _current(tx, region, choice.licence))
    need = next((each for each in matter.definition["needs"] if each["type"] == row.type), None)
    if need is None or not _may_scan(region.catalogue, actor, row):
        return None
    wanted = frozenset(need["fields"])
    fields = wanted if choice.fields is None else wanted & choice.fields
    verdict = await verifier.verdict(compact)
    return _Look(choice.licence, verdict, shown_of(verdict.licence, fields), tuple(sorted(fields)))


def _may_scan(catalogue: Catalogue, actor: Actor, row: Any) -> bool:
    try:
        require_area(actor.areas, row.area)
        catalogue.require(actor.department, row.type, row.major, row.area, "scan")
    except Refusal:
        return False
    return True


def _current(tx: Reading, region: Region, licence: str) -> tuple[str, Any]:
    row = tx.execute(
        select(licences.c.type, licences.c.major, licences.c.area, licence_versions.c.idx)
        .join(
            licence_versions,
            and_(licence_versions.c.licence == licences.c.id, licence_versions.c.version == licences.c.current_version),
        )
        .where(licences.c.id == licence)
    ).one()
    return compact_of(load_event(tx, region.vault, row.idx), region.catalogue), row


def shown_of(content: Mapping[str, Any] | None, fields: frozenset[str]) -> dict[str, Any] | None:
    """Cut what a verdict discloses down to `fields` and what is `ALWAYS_SHOWN`."""
    if content is None:
        return None
    shown = {name: content[name] for name in ALWAYS_SHOWN if name in content}
    shown |= {name: content[name] for name in BESIDE_FACE if name in fields and name in content}
    face = content.get("fields") or {}
    return shown | {"fields": {name: face[name] for name in sorted(fields) if name in face}}


async def _credit(
    region: Region, actor: Actor, matter: Matter, subject: str | None, purpose: str
) -> dict[str, Any] | None:
    """The credit check a matter asks for; its own purpose is the matter's, with the clerk's beside it."""
    asked = matter.definition.get("credit") or {}
    if subject is None or asked.get("policy", "none") == "none":
        return None
    said = f"{asked['purpose']}: {purpose}"
    return await retrying(lambda: append_check(region, actor, subject, said, matter.code))
