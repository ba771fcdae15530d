"""Scans across regions: a window there shows a code from here, or a window here one from there (protocol 27).

The region of the licences redeems the code, once, and discloses what the holder chose as far as the matter there needs
it; the look is written down, with region and department, before anything leaves. What comes back is verified by the
region that asked, like anything else that is presented to it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import and_, select

from ledger.access import Access
from ledger.database import Reading, Writing
from ledger.documents import compact_of
from ledger.errors import Code, Refusal
from ledger.history import load_event
from ledger.looks import BESIDE_FACE
from ledger.outside import Unreachable
from ledger.peer_calls import CallingPeer
from ledger.presentations import MAX_FIELDS, MAX_LICENCES, Choice, find
from ledger.receipts import counting_size, receipt_of
from ledger.recognised import Peer
from ledger.reliances import remember
from ledger.request_members import RequestMembers
from ledger.scan_writes import Looked
from ledger.tables.licences import licence_versions, licences
from ledger.verifying import OnlineVerifier
from verifiers.errors import Reason
from verifiers.legal_dates import format_time
from verifiers.licence import TYP
from verifiers.sd_jwt import select as disclose
from verifiers.trust_document import DEPARTMENT_ID, REGION, TYPE_CODE

if TYPE_CHECKING:
    from ledger.region import Region

PATH: Final = "/peer/scans"
MAX_TYPES: Final = 50
MAX_PRESENTED: Final = 900_000
"""Characters of one licence, as `POST /v1/verify` takes it."""

_PENDING: Final = frozenset({Code.RECEIPT_PENDING, Code.CHECKPOINT_UNKNOWN})


@dataclass(frozen=True, slots=True)
class Wanted:
    """A licence type of the asked region, and which of its fields the matter needs."""

    type: str
    fields: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Presented:
    """One licence as another region handed it over: unverified; `receipt` is missing where it is not published yet."""

    presented: str = field(repr=False)
    receipt: str | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class _Found:
    """A licence as it will leave, and what is written down of it."""

    licence: str
    access: Access
    presented: str = field(repr=False)
    receipt: str | None = field(repr=False)


async def answer(region: Region, verifier: OnlineVerifier, caller: CallingPeer, body: Any) -> dict[str, Any]:
    """Redeem a dynamic code for a window of another region.

    `body` is `{"code", "types": [{"type", "fields"}], "matter", "purpose", "window": {"department", "region"}}`, the
    types and fields being this region's. Returns `{"licences": [{"presented", "receipt"}], "at"}`. Raises `Refusal`
    with code.malformed, code.unknown, code.ended, code.withdrawn, code.clock, code.replayed, or scan.out_of_scope where
    the code stands for nothing that was asked for.
    """
    members = RequestMembers(body)
    text = members.text("code", 4096)
    wanted = {each.type: frozenset(each.fields) for each in members.objects("types", _read_wanted, MAX_TYPES)}
    matter, purpose = members.text("matter", 64), members.text("purpose", 500)
    department = _read_window(RequestMembers(members.take("window"), "/window"), caller)
    members.done()
    found = await find(region, text)
    looked = [
        await _look_at(region, verifier, choice, wanted, (caller.peer.region, department, matter, purpose))
        for choice in found.choices
    ]
    kept = [each for each in looked if each is not None]
    if not kept:
        raise Refusal(Code.SCAN_OUT_OF_SCOPE, "/types")
    at = region.clock.now()

    def beside(tx: Writing) -> None:
        remember(tx, caller.peer.region, [each.licence for each in kept], at)

    # Nothing leaves before the use of the code is durable. A crash after this line burns half a minute's code, which
    # the holder's phone replaces by itself; the access record then tells of a look that nobody got.
    await region.looks.write(Looked([each.access for each in kept], at, found, beside))
    return {
        "licences": [{"presented": each.presented, "receipt": each.receipt} for each in kept],
        "at": format_time(at),
    }


def _read_wanted(members: RequestMembers) -> Wanted:
    return Wanted(members.matching("type", TYPE_CODE), tuple(members.texts("fields", MAX_FIELDS)))


def _read_window(members: RequestMembers, caller: CallingPeer) -> str:
    """Return the department that asks: of the region that signed, and known to its trust list as one at work."""
    department, region = members.matching("department", DEPARTMENT_ID), members.matching("region", REGION)
    members.done()
    if region != caller.peer.region:
        raise members.invalid("region", expected=caller.peer.region)
    known = caller.trust.department(department)
    if known is None or known.status != "active":
        raise members.invalid("department", expected="a department of the calling region")
    return department


async def _look_at(
    region: Region,
    verifier: OnlineVerifier,
    choice: Choice,
    wanted: Mapping[str, frozenset[str]],
    asker: tuple[str, str, str, str],
) -> _Found | None:
    """One licence of a presentation, or `None` where its type was not asked for."""
    row = await region.database.read(lambda tx: _current(tx, choice.licence))
    if row.type not in wanted:
        return None
    fields = wanted[row.type] if choice.fields is None else wanted[row.type] & choice.fields
    event, size = await region.database.read(
        lambda tx: (load_event(tx, region.vault, row.idx), counting_size(tx, region.catalogue, region.origin, row.idx))
    )
    compact = compact_of(event, region.catalogue)
    verdict = await verifier.verdict(compact)
    peer, department, matter, purpose = asker
    access = Access(
        choice.licence,
        department,
        "",  # the officer is known to the region that asks, which has a record of its own
        "dynamic",
        matter,
        purpose,
        tuple(sorted(fields)),
        verdict.outcome.value,
        region=peer,
    )
    return _Found(choice.licence, access, shown(compact, fields), await _receipt(region, row.idx, size))


def shown(compact: str, fields: frozenset[str]) -> str:
    """Return a licence with the disclosures of the face fields `fields`, and of holders, number and object if named."""
    beside = fields.intersection(BESIDE_FACE)

    def keep(path: tuple[str | int, ...]) -> bool:
        return path[0] in beside or (path[0] == "fields" and len(path) > 1 and path[1] in fields)

    return disclose(compact, keep, typ=TYP, reason=Reason.LICENCE)


async def _receipt(region: Region, idx: int, size: int | None) -> str | None:
    try:
        return await receipt_of(region, idx, size=size)
    except Refusal as refusal:
        if refusal.code not in _PENDING:
            raise
        return None


def _current(tx: Reading, licence: str) -> Any:
    current = and_(
        licence_versions.c.licence == licences.c.id, licence_versions.c.version == licences.c.current_version
    )
    query = select(licences.c.type, licence_versions.c.idx).join(licence_versions, current)
    return tx.execute(query.where(licences.c.id == licence)).one()


async def ask(
    region: Region,
    peer: Peer,
    code: str,
    wanted: Sequence[Wanted],
    *,
    department: str,
    matter: str,
    purpose: str,
) -> list[Presented]:
    """Have `peer` redeem a dynamic code of its own for `department` here, and return what it hands over, unverified.

    Raises `Unreachable`, also where the answer is not of the form agreed, and `PeerRefused` with the peer's code.
    """
    if region.peer_calls is None:
        raise Unreachable("this process makes no calls to other regions")
    answered = await region.peer_calls.call(
        peer,
        PATH,
        {
            "code": code,
            "types": [{"type": each.type, "fields": list(each.fields)} for each in wanted],
            "matter": matter,
            "purpose": purpose,
            "window": {"department": department, "region": region.config.region},
        },
    )
    rows = answered.get("licences")
    if type(rows) is not list or not 0 < len(rows) <= MAX_LICENCES:
        raise Unreachable("the peer's answer lists no licences")
    return [_read_presented(row) for row in rows]


def _read_presented(row: Any) -> Presented:
    presented, receipt = (row.get("presented"), row.get("receipt")) if type(row) is dict else (None, None)
    if type(presented) is not str or len(presented) > MAX_PRESENTED:
        raise Unreachable("the peer's answer holds no licence where one should be")
    if receipt is not None and (type(receipt) is not str or len(receipt) > MAX_PRESENTED):
        raise Unreachable("the peer's answer holds no receipt where one should be")
    return Presented(presented, receipt)
