"""The front door: `verify` says whether a licence, a printed code or a bundle is good at a given time.

    trust = open_trust_list(jwt, root_fingerprint=pinned, at=now)
    status = [open_status_list(jwt, trust)]
    verified = verify(presented, trust=trust, status=status, receipt=text, at=now, policy=Policy(root=pinned))

It reads no file, socket or clock. What was verified before (trust list, status lists, checkpoints in the cache) is
passed in as values. See docs/formats/verdict.md for outcomes, reasons and bounds.
"""

import datetime as dt
from collections.abc import Sequence
from typing import Any

from verifiers.authority import (
    Place,
    Standing,
    check_position,
    check_signature,
    key_of_code,
    key_of_licence,
    scope_of_code,
    scope_of_licence,
    watch_notes,
)
from verifiers.bundle import Bundle, parse_bundle
from verifiers.bundle_contents import adopt, check_contents
from verifiers.checkpoint_cache import CheckpointCache
from verifiers.code import UnverifiedCode, parse_code_text
from verifiers.commitment import code_digest, jws_digest
from verifiers.dynamic_code import parse_dynamic_code
from verifiers.errors import Malformed, Reason, VerificationError
from verifiers.evidence import check_entry_alone, check_receipt, check_status
from verifiers.examination import Claim, Examination
from verifiers.identifier import Identifier
from verifiers.key_binding import check_key_binding
from verifiers.legal_dates import day_of
from verifiers.licence import UnverifiedLicence, parse
from verifiers.policy import Policy, Seen
from verifiers.reasons import Note
from verifiers.receipt import HEADER as RECEIPT_HEADER
from verifiers.receipt import OpenedReceipt, Receipt
from verifiers.status_list import StatusList
from verifiers.trust_document import TrustedKey
from verifiers.trust_list import TrustList
from verifiers.verdict import NotVerified, Outcome, Step, Verified

# The steps. All that can run do run, and of what they find the worst wins (protocol 24):
#
#  (1) shape        it is a licence, a code or a bundle in its one form and within its limits
#  (2) root         the trust list chains to the root this verifier pinned
#  (3) trust_list   there is one, not older than seen, not past its `exp`
#  (4) key          the signing key is in the list, for this purpose; its certificate chains to the same root
#  (5) issuer       `iss` is the certificate's URI and the department's; type and area are granted to it
#  (6) signature    over exactly the presented bytes, under the key of (4)
#  (7) disclosures  each belongs to a digest that was signed
#  (8) validity     `at` lies on or between the legal dates
#  (9) receipt      the log committed to exactly this document, under checkpoints that all its keys signed
# (10) position     that entry lies within the term of key and grant, and before any compromise of the key
# (11) status       a fresh enough list of this region says that it is not withdrawn
# (12) clock        our own clock is not behind what the region vouches for
#
# (4) precedes (6) because the suite and the key are never taken from what is being checked; (9) precedes (10) because
# a time that the signer wrote is no evidence. What a caller must still do is in docs/formats/verdict.md.


def verify(
    presented: str | bytes,
    *,
    trust: TrustList | None,
    status: Sequence[StatusList] = (),
    receipt: Receipt | str | None = None,
    at: dt.datetime,
    policy: Policy | None = None,
    seen: Seen | None = None,
    cache: CheckpointCache | None = None,
) -> Verified:
    """Judge what was `presented`: a compact SD-JWT VC, the text of a code, or a bundle's JSON.

    `trust` and `status` come from `open_trust_list` and `open_status_list`; `receipt` is still unverified; `at` is an
    aware time. Returns a `Verified` only where the outcome is valid; raises `NotVerified` with the verdict otherwise.
    Raises `ValueError` for a naive `at`. Nothing else is raised for what is presented.
    """
    if at.tzinfo is None:
        raise ValueError("`at` must say its zone")
    case = Examination(at, policy or Policy(), seen or Seen(), trust, tuple(status))
    cache = CheckpointCache(0) if cache is None else cache
    text = presented.decode("utf-8", "replace") if isinstance(presented, bytes) else presented
    whole, text = text, text.strip()
    if text.startswith("{"):
        _bundle(case, text, receipt, cache)
    elif whole.startswith(RECEIPT_HEADER):
        _receipt_alone(case, whole, cache)
    elif "~" in text:
        _licence(case, text, receipt, cache)
    elif "#" in text:
        _code(case, text, receipt, cache)
    else:
        _no_document(case, text)
    _clock(case)
    verdict = case.verdict()
    if verdict.outcome is not Outcome.VALID:
        raise NotVerified(verdict, case.seen)
    return Verified(verdict, case.seen)


def _licence(
    case: Examination, text: str, receipt: Receipt | str | None, cache: CheckpointCache
) -> OpenedReceipt | None:
    """Steps (1) to (11) for a licence; gives the opened receipt."""
    licence, whole = _parsed(case, text)
    if licence is None:
        return None
    claim = _claim_of_licence(licence)
    _validity(case, claim)
    trust = _trust(case)
    if trust is None:
        return None
    key = key_of_licence(case, trust, licence)
    standing = None if key is None else scope_of_licence(case, trust, key, licence)
    if key is not None and check_signature(case, key, claim):
        case.claimed = claim.issued_at
        _binding(case, text, licence)
        if whole:
            _show(case, claim, standing)
    return _evidence(case, trust, key, standing, claim, licence.status_uri, receipt, cache)


def _parsed(case: Examination, text: str) -> tuple[UnverifiedLicence | None, bool]:
    """(1) and (7). Where a disclosure is at fault the rest is still judged, but nothing of it is shown."""
    whole = True
    try:
        licence = parse(text)
    except Malformed as error:
        if not error.reason.startswith("disclosure."):
            case.refused(Step.SHAPE, error)
            return None, False
        case.refused(Step.DISCLOSURES, error)
        whole = False
        try:
            licence = parse(text.partition("~")[0] + "~")
        except Malformed as without_disclosures:
            case.refused(Step.SHAPE, without_disclosures)
            return None, False
    case.passed(Step.SHAPE)
    if whole:
        case.passed(Step.DISCLOSURES)
    return licence, whole


def _code(
    case: Examination, text: str, receipt: Receipt | str | None, cache: CheckpointCache
) -> OpenedReceipt | None:
    """Steps (1) to (11) for a static code; gives the opened receipt, if there was one."""
    try:
        code = parse_code_text(text)
    except Malformed as error:
        case.refused(Step.SHAPE, error)
        return None
    case.passed(Step.SHAPE)
    claim = _claim_of_code(code)
    _validity(case, claim)
    trust = _trust(case)
    if trust is None:
        return None
    key = key_of_code(case, trust, code)
    standing = None if key is None else scope_of_code(case, trust, key, code)
    if standing is not None:
        issuer, kind, payload = standing.department.id, standing.type.code, code.payload
        identifier = Identifier(kind, issuer, payload.serial, payload.version).text
        _show(case, claim, standing)
        if case.content is not None:
            case.content["identifier"] = identifier
        if payload.name_cut:
            case.note(Note.NAME_CUT)
    uri = trust.status_uri(code.payload.list_number)
    return _evidence(case, trust, key, standing, claim, uri, receipt, cache)


def _evidence(
    case: Examination,
    trust: TrustList,
    key: TrustedKey | None,
    standing: Standing | None,
    claim: Claim,
    status_uri: str | None,
    receipt: Receipt | str | None,
    cache: CheckpointCache,
) -> OpenedReceipt | None:
    """Steps (9), (10) and (11), the same for licence and code."""
    found: tuple[OpenedReceipt, Place] | None = None
    if key is None:
        case.skipped(Step.RECEIPT)
        case.skipped(Step.POSITION)
    else:
        rule = "required" if standing is None else standing.type.receipt
        found = check_receipt(case, trust, key, claim, receipt, rule, cache)
        place = None if found is None else found[1]
        check_position(case, trust, key, standing, place)
        if place is not None:
            watch_notes(case, trust, place)
    check_status(case, trust, claim, status_uri, None if standing is None else standing.type)
    return None if found is None else found[0]


def _bundle(case: Examination, text: str, receipt: Receipt | str | None, cache: CheckpointCache) -> None:
    """A bundle: its parts are opened under the verifier's own root, then its licence is judged like any other."""
    try:
        bundle = parse_bundle(text.encode("utf-8", "surrogatepass"))
    except Malformed as error:
        case.refused(Step.SHAPE, error)
        return
    adopt(case, bundle)
    opened = _bundled_document(case, bundle, receipt, cache)
    if opened is not None and case.trust is not None:
        check_contents(case, case.trust, bundle, opened, cache)


def _bundled_document(
    case: Examination, bundle: Bundle, receipt: Receipt | str | None, cache: CheckpointCache
) -> OpenedReceipt | None:
    evidence = bundle.receipt if receipt is None else receipt
    if bundle.licence is not None:
        return _licence(case, bundle.licence, evidence, cache)
    return _code(case, bundle.code or "", evidence, cache)


def _receipt_alone(case: Examination, text: str, cache: CheckpointCache) -> None:
    """A receipt without its document: shows that an entry is in the log, and nothing about a licence."""
    trust = _trust(case)
    if trust is not None:
        check_entry_alone(case, trust, text, cache)


def _no_document(case: Examination, text: str) -> None:
    """A dynamic code, which only the service that made it can match, or nothing we know."""
    try:
        parse_dynamic_code(text)
    except Malformed as error:
        if "/C/" in text[:128]:
            case.refused(Step.SHAPE, error)
        else:
            case.found(Step.SHAPE, Reason.PRESENTED)
        return
    case.found(Step.SHAPE, Reason.DYNAMIC_OFFLINE)


def _trust(case: Examination) -> TrustList | None:
    """(2) and (3): the list that everything else rests on."""
    trust = case.trust
    if trust is None:
        if case.policy.root is None:
            case.found(Step.ROOT, Reason.ROOT_UNPINNED, source=None)
        if not any(check.step is Step.TRUST_LIST for check in case.checks):
            case.found(Step.TRUST_LIST, Reason.TRUST_MISSING, source=None)
        return None
    document = trust.document
    if case.policy.root is not None and case.policy.root != trust.root_fingerprint:
        case.found(Step.ROOT, Reason.ROOT_MISMATCH, source=trust.source)
    elif not trust.pinned:
        case.found(Step.ROOT, Reason.ROOT_UNPINNED, source=trust.source)
    else:
        case.passed(Step.ROOT, source="pinned")
    since = document.issued_at
    highest = case.seen.trust.get(trust.region, 0)
    if document.seq < highest:
        detail = f"list {document.seq} after list {highest} had been seen"
        case.found(Step.TRUST_LIST, Reason.TRUST_ROLLBACK, detail, since=since, source=trust.source)
    elif case.at > document.expires_at:
        case.found(Step.TRUST_LIST, Reason.TRUST_EXPIRED, since=since, source=trust.source)
    else:
        case.passed(Step.TRUST_LIST, since, trust.source)
    if trust.pinned:
        case.seen = case.seen.with_trust(trust.region, document.seq)
        case.vouch(since)
    return trust


def _validity(case: Examination, claim: Claim) -> None:
    """(8) Calendar dates in China; the last day counts."""
    today = day_of(case.at)
    if today < claim.valid_from:
        case.found(Step.VALIDITY, Reason.NOT_YET_VALID, f"valid from {claim.valid_from}")
    elif claim.valid_until is not None and today > claim.valid_until:
        case.found(Step.VALIDITY, Reason.EXPIRED, f"valid until {claim.valid_until}")
    else:
        case.passed(Step.VALIDITY)


def _binding(case: Examination, text: str, licence: UnverifiedLicence) -> None:
    """Possession of the holder's key: reserved in licences of today, asked for by policy, never by the presenter."""
    try:
        asked = check_key_binding(text, licence, case.policy.binding, case.at)
    except VerificationError as error:
        case.refused(Step.DISCLOSURES, error)
        return
    if not asked and "cnf" in licence.claims:
        case.note(Note.BINDING_UNCHECKED)


def _clock(case: Examination) -> None:
    """(12) Our clock against the newest time in any input: behind by more than the tolerance, ages mean nothing."""
    if case.policy.historical:
        case.skipped(Step.CLOCK)
        return
    times = [time for time in (case.vouched, case.claimed, case.seen.newest) if time is not None]
    tolerance = dt.timedelta(seconds=case.policy.clock_tolerance_s)
    if times and max(times) - case.at > tolerance:
        case.found(Step.CLOCK, Reason.CLOCK_BEHIND, f"inputs are of {max(times).isoformat()}", source="clock")
    else:
        case.passed(Step.CLOCK, source="clock")
    if case.vouched is not None:
        case.seen = case.seen.with_time(case.vouched)


def _show(case: Examination, claim: Claim, standing: Standing | None) -> None:
    """What the verdict tells of a document whose signature held and whose signer was entitled to it."""
    if standing is None:
        return
    department, kind = standing.department, standing.type
    case.content = claim.content | {
        "issuer": {"id": department.id, "iss": department.iss, "names": department.names.to_json()},
        "type": {"code": kind.code, "major": kind.major, "names": kind.names.to_json()},
    }
    if claim.imported:
        case.note(Note.IMPORTED)


_SHOWN = (
    "identifier", "version", "region", "issued_on", "valid_from", "valid_until",
    "number", "object", "holders", "fields", "imported",
)  # fmt: skip


def _claim_of_licence(licence: UnverifiedLicence) -> Claim:
    claims = licence.claims
    content: dict[str, Any] = {name: claims[name] for name in _SHOWN if name in claims}
    return Claim(
        is_code=False,
        signed=licence.signing_input,
        signature=licence.sd_jwt.jws.signature,
        digest=jws_digest(licence.signing_input),
        valid_from=licence.valid_from,
        valid_until=licence.valid_until,
        status_idx=licence.status_idx,
        issued_at=licence.issued_at,
        imported=licence.imported is not None,
        content=content,
    )


def _claim_of_code(code: UnverifiedCode) -> Claim:
    payload = code.payload
    content = {
        "name": payload.name,
        "name_cut": payload.name_cut,
        "serial": payload.serial,
        "several_holders": payload.several_holders,
        "valid_from": payload.valid_from.isoformat(),
        "valid_until": None if payload.valid_until is None else payload.valid_until.isoformat(),
        "version": payload.version,
    }
    return Claim(
        is_code=True,
        signed=code.sig_structure,
        signature=code.signature,
        digest=code_digest(code.sig_structure),
        valid_from=payload.valid_from,
        valid_until=payload.valid_until,
        status_idx=payload.status_idx,
        issued_at=None,
        imported=False,
        content=content,
    )
