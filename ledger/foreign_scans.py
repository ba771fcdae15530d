"""Scans of codes from other regions: a printed one is checked here, a dynamic one by asking the region it names.

What of theirs is needed follows from the matter by way of our equivalences, so a matter never names another region's
types. Whatever a peer hands over is verified here like anything presented, and what is shown is cut to our own names of
the fields that the matter needs. A dynamic code is sent only to the address our own list has for an admitted peer; the
address in the code merely says which of them (protocol rule 27).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from ledger.actors import Actor
from ledger.catalogue import Matter
from ledger.errors import Code, Refusal
from ledger.looks import ALWAYS_SHOWN, BESIDE_FACE, Abroad, Look
from ledger.outside import Unreachable
from ledger.peer_calls import PeerRefused
from ledger.peer_scans import Presented, Wanted, ask
from ledger.recognised import Equivalence, Peer
from ledger.verifying import OnlineVerifier
from verifiers.code import parse_code_text
from verifiers.errors import Reason, VerificationError
from verifiers.licence import parse
from verifiers.rule import parse_rule
from verifiers.verdict import Check, Finding, Mark, Outcome, Recognition, Step, Verdict

if TYPE_CHECKING:
    from ledger.region import Region

_PASSED_ON: Final = frozenset(
    {
        Code.CODE_MALFORMED,
        Code.CODE_UNKNOWN,
        Code.CODE_ENDED,
        Code.CODE_WITHDRAWN,
        Code.CODE_CLOCK,
        Code.CODE_REPLAYED,
        Code.SCAN_OUT_OF_SCOPE,
    }
)
"""What a peer may say of a code that is worth telling the window in its words."""

_STATES: Final = {"suspended": Reason.PEER_SUSPENDED, "withdrawn": Reason.PEER_WITHDRAWN}

_OFFLINE: Final = "the printed code of the licence can be checked without that region"


def is_foreign(region: Region, verdict: Verdict) -> bool:
    """Whether the verdict is on a document of another region, recognised or not."""
    return verdict.region not in (None, region.config.region)


def peer_of_code(region: Region, text: str) -> Peer | None:
    """Return the peer whose address a dynamic code begins with, `None` for any other address."""
    link, mark, _ = text.strip().upper().partition("/C/")
    if not mark:
        return None
    peers = region.catalogue.recognised.peers.values()
    return next((peer for peer in peers if peer.base.rstrip("/").upper() == link), None)


def look_at_foreign_code(region: Region, actor: Actor, matter: Matter, text: str, verdict: Verdict) -> Look:
    """A printed code from abroad shows what is printed, and under our names what the matter needs of that."""
    fields: frozenset[str] = frozenset()
    if verdict.recognition is not None and may_scan(region, actor, verdict.recognition.type):
        fields = _needed(matter, verdict.recognition.type[0])
    shown = verdict.licence
    names = (*(shown or ()), *_named(verdict, fields))
    place = None if region.following is None or verdict.region is None else region.following.trust_list(verdict.region)
    payload = parse_code_text(text).payload
    uri = None if place is None else place.status_uri(payload.list_number)
    return Look(
        None, _cut(verdict, fields), shown, tuple(sorted(set(names))), _abroad(verdict, uri, payload.status_idx)
    )


async def scan_at_peer(
    region: Region, verifier: OnlineVerifier, actor: Actor, matter: Matter, peer: Peer, text: str, purpose: str
) -> list[Look]:
    """Have the peer redeem its code, and judge what it hands over; a peer that cannot be asked is a verdict too.

    Raises `Refusal` with scan.out_of_scope where the matter needs nothing that counts from there or the caller may not
    scan it, and with what the peer says of the code (code.ended, code.replayed, …).
    """
    if peer.status != "active":
        return [_without(region, peer, Finding.of(_STATES[peer.status]))]
    wanted = _wanted(region, actor, matter, peer)
    if not wanted:
        raise Refusal(Code.SCAN_OUT_OF_SCOPE, "/matter")
    try:
        given = await ask(region, peer, text, wanted, department=actor.department, matter=matter.code, purpose=purpose)
    except Unreachable as error:
        return [_without(region, peer, Finding.of(Reason.PEER_UNREACHABLE, f"{error.detail}; {_OFFLINE}"))]
    except PeerRefused as refused:
        if refused.code in _PASSED_ON:
            raise Refusal(Code(refused.code), "/code") from refused
        detail = f"it answered {refused}; {_OFFLINE}"
        return [_without(region, peer, Finding.of(Reason.PEER_UNREACHABLE, detail))]
    looks = [await _look_at(region, verifier, actor, matter, peer, each) for each in given]
    kept = [look for look in looks if look is not None]
    if not kept:
        raise Refusal(Code.SCAN_OUT_OF_SCOPE, "/matter")
    return kept


def may_scan(region: Region, actor: Actor, kind: tuple[str, int]) -> bool:
    """Whether the caller's department may scan licences of this type of ours, in whatever area."""
    department = region.catalogue.departments.get(actor.department)
    if department is None or department.status != "active":
        return False
    return any("scan" in grant.acts for grant in region.catalogue.open_grants(actor.department, *kind))


async def _look_at(
    region: Region, verifier: OnlineVerifier, actor: Actor, matter: Matter, peer: Peer, given: Presented
) -> Look | None:
    """One licence that a peer handed over, or `None` where it counts as nothing that the matter needs."""
    verdict = await verifier.verdict(given.presented, given.receipt)
    if verdict.region != peer.region:
        # A peer speaks for its own licences only; others have been shown to nobody who may pass them on.
        stranger = Finding.of(Reason.ISSUER_MISMATCH, f"handed over by {peer.region}, which did not issue it")
        return Look(None, replace(verdict.adding([stranger]), licence=None, recognition=None), None, ())
    if verdict.recognition is None:
        return Look(None, verdict, _outline(verdict), (), _abroad(verdict, None, None))
    fields = _needed(matter, verdict.recognition.type[0])
    if not fields and not _needs(matter, verdict.recognition.type[0]):
        return None
    if not may_scan(region, actor, verdict.recognition.type):
        return None
    cut = _cut(verdict, fields)
    names = tuple(sorted(_named(verdict, fields)))
    return Look(None, cut, _shown(verdict, cut.recognition), names, _place_of_licence(verdict, given.presented))


def _wanted(region: Region, actor: Actor, matter: Matter, peer: Peer) -> list[Wanted]:
    """What of the peer's counts as what the matter needs: their types, with their names of our fields.

    What the rule of an equivalence reads is asked for too, since nothing counts without it; it is not shown.
    """
    wanted: dict[str, set[str]] = {}
    for need in matter.definition["needs"]:
        for each in _in_force(region, peer):
            if each.our_type == need["type"] and may_scan(region, actor, (each.our_type, each.our_major)):
                named = (each.fields.get(ours, ours if ours in BESIDE_FACE else None) for ours in need["fields"])
                fields = wanted.setdefault(each.their_type, set())
                fields |= {theirs for theirs in named if theirs is not None} | _read_by_rule(region, each)
    return [Wanted(code, tuple(sorted(wanted[code]))) for code in sorted(wanted)]


def _in_force(region: Region, peer: Peer) -> list[Equivalence]:
    at = region.clock.now()
    versions = region.catalogue.recognised.equivalences.values()
    return [
        each
        for of_one in versions
        for each in of_one
        if each.peer == peer.region and each.valid_from <= at and (each.valid_until is None or at < each.valid_until)
    ]


def _read_by_rule(region: Region, each: Equivalence) -> set[str]:
    """The names of fields, holders, number or object that the rule of an equivalence reads."""
    rule = None if each.rule is None else region.catalogue.recognised.rules.get(each.rule)
    if rule is None:
        return set()
    try:
        paths = [variable.split(".") for variable in parse_rule(rule.logic).variables]
    except VerificationError:
        return set()  # the verdict will say that the rule is none
    read = {path[2] for path in paths if path[:2] == ["payload", "fields"] and len(path) > 2}
    return read | {path[1] for path in paths if path[0] == "payload" and len(path) > 1 and path[1] in BESIDE_FACE}


def _needs(matter: Matter, type_code: str) -> bool:
    return any(need["type"] == type_code for need in matter.definition["needs"])


def _needed(matter: Matter, type_code: str) -> frozenset[str]:
    """The fields of our type that the matter needs."""
    needs: Sequence[Mapping[str, Any]] = matter.definition["needs"]
    return frozenset(name for need in needs if need["type"] == type_code for name in need["fields"])


def _cut(verdict: Verdict, fields: frozenset[str]) -> Verdict:
    """The verdict, telling of our fields only those in `fields`."""
    found = verdict.recognition
    if found is None:
        return verdict
    kept = {name: value for name, value in found.fields.items() if name in fields}
    for name in fields.intersection(BESIDE_FACE) - kept.keys():
        if verdict.licence is not None and name in verdict.licence:
            kept[name] = verdict.licence[name]
    return replace(verdict, recognition=replace(found, fields=kept))


def _named(verdict: Verdict, fields: frozenset[str]) -> tuple[str, ...]:
    cut = _cut(verdict, fields).recognition
    return () if cut is None else tuple(cut.fields)


def _outline(verdict: Verdict) -> dict[str, Any] | None:
    content = verdict.licence
    return None if content is None else {name: content[name] for name in ALWAYS_SHOWN if name in content}


def _shown(verdict: Verdict, found: Recognition | None) -> dict[str, Any] | None:
    """What is always shown, and the fields that are needed, under our names."""
    outline = _outline(verdict)
    if outline is None or found is None:
        return outline
    beside = {name: value for name, value in found.fields.items() if name in BESIDE_FACE}
    return outline | beside | {"fields": {n: found.fields[n] for n in sorted(found.fields) if n not in BESIDE_FACE}}


def _place_of_licence(verdict: Verdict, presented: str) -> Abroad | None:
    try:
        licence = parse(presented)
    except VerificationError:
        return _abroad(verdict, None, None)
    return _abroad(verdict, licence.status_uri, licence.status_idx)


def _abroad(verdict: Verdict, uri: str | None, slot: int | None) -> Abroad | None:
    """Which licence it is, and where its status bit lies if all of it was found in order."""
    content = verdict.licence
    if content is None or verdict.region is None or "identifier" not in content:
        return None
    kind = content["type"]
    named = Abroad(verdict.region, content["identifier"], kind["code"], kind["major"])
    settled = verdict.outcome is Outcome.VALID and uri is not None
    return replace(named, uri=uri, slot=slot) if settled else named


def _without(region: Region, peer: Peer, finding: Finding) -> Look:
    """A look at nothing: why a code of that peer cannot be judged now."""
    mark = Mark.FAILED if finding.outcome is Outcome.INVALID else Mark.UNDETERMINED
    check = Check(Step.PEER, mark, None, peer.base)
    verdict = Verdict(finding.outcome, region.clock.now(), (finding,), (check,), region=peer.region)
    return Look(None, verdict, None, ())
