"""The front door: `verify` says whether a licence, a printed code or a bundle is good at a given time.

    trust = open_trust_list(jwt, root_fingerprint=pinned, at=now)
    status = [open_status_list(jwt, trust)]
    verified = verify(presented, trust=trust, status=status, receipt=text, at=now, policy=Policy(root=pinned))

It reads no file, socket or clock. What was verified before (trust list, status lists, checkpoints in the cache) is
passed in as values. See docs/formats/verdict.md for outcomes, reasons and bounds.
"""

import datetime as dt
from collections.abc import Sequence

from verifiers.authority import (
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
from verifiers.claim import Claim, claim_of_code, claim_of_licence
from verifiers.code import UnverifiedCode, parse_code_text
from verifiers.dynamic_code import parse_dynamic_code
from verifiers.errors import Malformed, Reason, VerificationError
from verifiers.evidence import check_entry_alone, check_receipt, check_status
from verifiers.examination import Examination, Ground
from verifiers.identifier import Identifier
from verifiers.jurisdiction import (
    grounds_of_code,
    grounds_of_licence,
    grounds_of_log,
    judge_by,
    named_for_another,
    newest_views,
)
from verifiers.key_binding import check_key_binding
from verifiers.legal_dates import day_of
from verifiers.licence import UnverifiedLicence, parse
from verifiers.peer_view import PeerView
from verifiers.policy import Policy, Seen
from verifiers.reasons import Note
from verifiers.receipt import HEADER as RECEIPT_HEADER
from verifiers.receipt import OpenedReceipt, Receipt, parse_receipt
from verifiers.recognition import check_recognition
from verifiers.status_list import StatusList
from verifiers.trust_document import TrustedKey, TrustedType
from verifiers.trust_list import TrustList
from verifiers.verdict import NotVerified, Outcome, Step, Verified

Judged = tuple[Ground, OpenedReceipt] | None

_ANY = Policy()
_NOTHING_SEEN = Seen()

# The steps. All that can run do run, and of what they find the worst wins (protocol 24):
#
#  (1) shape        it is a licence, a code or a bundle in its one form and within its limits
#  (2) root         the trust list chains to the root this verifier pinned
#  (3) trust_list   there is one, not older than seen, not past its `exp`
#  (4) peer         of a document of another region: ours recognises that region, and its list and log are in order
#  (5) key          the signing key is in its region's list, for this purpose, certified by that region's root
#  (6) issuer       `iss` is the certificate's URI and the department's; type and area are granted to it
#  (7) signature    over exactly the presented bytes, under the key of (5)
#  (8) disclosures  each belongs to a digest that was signed
#  (9) validity     `at` lies on or between the legal dates
# (10) receipt      the log committed to exactly this document, under checkpoints that all its keys signed
# (11) position     that entry lies within the term of key and grant, and before any compromise of the key
# (12) status       a fresh enough list of its region says that it is not withdrawn
# (13) recognition  of a document of another region: its type counts as one of ours now, and our rule is met
# (14) clock        our own clock is not behind what the region vouches for
#
# (5) precedes (7) because the suite and the key are never taken from what is being checked; (10) precedes (11) because
# a time that the signer wrote is no evidence. (5) to (12) are judged by the list of the region that the key belongs to,
# (4) and (13) by ours. What a caller must still do is in docs/formats/verdict.md.


def verify(
    presented: str | bytes | UnverifiedLicence,
    *,
    trust: TrustList | None,
    status: Sequence[StatusList] = (),
    receipt: Receipt | str | None = None,
    at: dt.datetime,
    policy: Policy | None = None,
    seen: Seen | None = None,
    cache: CheckpointCache | None = None,
    peers: Sequence[PeerView] = (),
) -> Verified:
    """Judge what was `presented`: a compact SD-JWT VC, parsed or not, the text of a code, or a bundle's JSON.

    `trust` and `status` come from `open_trust_list` and `open_status_list`; `receipt` is still unverified; `at` is an
    aware time. `peers` are the trust lists of other regions, which count as far as `trust` names them, with their own
    status lists among `status`; they change no verdict on a document of this region. Returns a `Verified` only where
    the outcome is valid; raises `NotVerified` with the verdict otherwise. Raises `ValueError` for a naive `at`. Nothing
    else is raised for what is presented.
    """
    if at.tzinfo is None:
        raise ValueError("`at` must say its zone")
    views = newest_views(peers) if peers else ()
    case = Examination(at, policy or _ANY, seen or _NOTHING_SEEN, trust, tuple(status), views)
    cache = CheckpointCache(0) if cache is None else cache
    if isinstance(presented, UnverifiedLicence):
        _licence(case, presented, receipt, cache)
    else:
        text = presented.decode("utf-8", "replace") if isinstance(presented, bytes) else presented
        _text(case, text, receipt, cache)
    _clock(case)
    verdict = case.verdict()
    if verdict.outcome is not Outcome.VALID:
        raise NotVerified(verdict, case.seen)
    return Verified(verdict, case.seen)


def _text(case: Examination, whole: str, receipt: Receipt | str | None, cache: CheckpointCache) -> None:
    """Whatever came as text: what it is shows in how it begins."""
    text = whole.strip()
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


def _licence(
    case: Examination, presented: str | UnverifiedLicence, receipt: Receipt | str | None, cache: CheckpointCache
) -> Judged:
    """Steps (1) to (13) for a licence; gives what it was judged by and the opened receipt."""
    licence, whole = _parsed(case, presented)
    if licence is None:
        return None
    claim = claim_of_licence(licence)
    _validity(case, claim)
    own = _trust(case)
    if own is None:
        return None

    def judge(case: Examination, ground: Ground) -> Judged:
        key = key_of_licence(case, ground.trust, licence)
        standing = None if key is None else scope_of_licence(case, ground.trust, key, licence)
        if key is not None and check_signature(case, key, claim):
            case.claimed = claim.issued_at
            _binding(case, licence)
            if whole:
                _show(case, claim, standing)
        _recognise(case, own, ground, standing)
        return _evidence(case, ground, key, standing, claim, licence.status_uri, receipt, cache)

    return judge_by(case, own, grounds_of_licence(case, own, licence), judge)


def _parsed(case: Examination, text: str | UnverifiedLicence) -> tuple[UnverifiedLicence | None, bool]:
    """(1) and (8). Where a disclosure is at fault the rest is still judged, but nothing of it is shown."""
    whole = True
    try:
        licence = parse(text) if isinstance(text, str) else text
    except Malformed as error:
        if not error.reason.startswith("disclosure."):
            case.refused(Step.SHAPE, error)
            return None, False
        case.refused(Step.DISCLOSURES, error)
        whole = False
        try:
            licence = parse(str(text).partition("~")[0] + "~")
        except Malformed as without_disclosures:
            case.refused(Step.SHAPE, without_disclosures)
            return None, False
    case.passed(Step.SHAPE)
    if whole:
        case.passed(Step.DISCLOSURES)
    return licence, whole


def _code(case: Examination, text: str, receipt: Receipt | str | None, cache: CheckpointCache) -> Judged:
    """Steps (1) to (13) for a static code; gives what it was judged by and the opened receipt, if there was one."""
    try:
        code = parse_code_text(text)
    except Malformed as error:
        case.refused(Step.SHAPE, error)
        return None
    case.passed(Step.SHAPE)
    claim = claim_of_code(code)
    _validity(case, claim)
    own = _trust(case)
    if own is None:
        return None

    def judge(case: Examination, ground: Ground) -> Judged:
        key = key_of_code(case, ground.trust, code)
        standing = None if key is None else scope_of_code(case, ground.trust, key, code)
        if standing is not None:
            _show_code(case, code, claim, standing)
        _recognise(case, own, ground, standing, printed=True)
        uri = ground.trust.status_uri(code.payload.list_number)
        return _evidence(case, ground, key, standing, claim, uri, receipt, cache)

    return judge_by(case, own, grounds_of_code(case, own, code, text), judge)


def _recognise(
    case: Examination, own: TrustList, ground: Ground, standing: Standing | None, *, printed: bool = False
) -> None:
    """(13) What a document of another region counts as here; runs early because status is judged by our type too."""
    if ground.row is None:
        return
    if standing is None:
        case.skipped(Step.RECOGNITION)
        return
    iss = standing.department.iss
    if named_for_another(own, ground.row, iss):
        case.found(Step.ISSUER, Reason.ISSUER_MISMATCH, f"{ground.row.region} speaks for itself only, not as {iss}")
        case.content = None
    case.recognition = check_recognition(case, own, ground.row, standing.type, case.content, printed=printed)


def _evidence(
    case: Examination,
    ground: Ground,
    key: TrustedKey | None,
    standing: Standing | None,
    claim: Claim,
    status_uri: str | None,
    receipt: Receipt | str | None,
    cache: CheckpointCache,
) -> Judged:
    """Steps (10), (11) and (12), the same for licence and code."""
    opened: OpenedReceipt | None = None
    kind = None if standing is None else standing.type
    if key is None:
        case.skipped(Step.RECEIPT)
        case.skipped(Step.POSITION)
    else:
        found = check_receipt(case, ground, key, claim, receipt, _receipt_required(case, ground, kind), cache)
        opened, place = (None, None) if found is None else found
        check_position(case, ground.trust, key, standing, place)
        if place is not None:
            watch_notes(case, ground, place)
    check_status(case, ground, claim, status_uri, kind)
    return None if opened is None else (ground, opened)


def _receipt_required(case: Examination, ground: Ground, kind: TrustedType | None) -> bool:
    """Whether the type asks for a receipt; of another region's licence, also where ours does or we name witnesses."""
    kinds = [each for each in (kind, case.counts_as) if each is not None]
    demanded = ground.demanded is not None and ground.demanded.quorum > 0
    return not kinds or demanded or "required" in [each.receipt for each in kinds]


def _bundle(case: Examination, text: str, receipt: Receipt | str | None, cache: CheckpointCache) -> None:
    """A bundle: its parts are opened under the verifier's own root, then its licence is judged like any other."""
    try:
        bundle = parse_bundle(text.encode("utf-8", "surrogatepass"))
    except Malformed as error:
        case.refused(Step.SHAPE, error)
        return
    adopt(case, bundle)
    judged = _bundled_document(case, bundle, receipt, cache)
    if judged is not None:
        check_contents(case, judged[0], bundle, judged[1], cache)


def _bundled_document(
    case: Examination, bundle: Bundle, receipt: Receipt | str | None, cache: CheckpointCache
) -> Judged:
    evidence = bundle.receipt if receipt is None else receipt
    if bundle.licence is not None:
        return _licence(case, bundle.licence, evidence, cache)
    return _code(case, bundle.code or "", evidence, cache)


def _receipt_alone(case: Examination, text: str, cache: CheckpointCache) -> None:
    """A receipt without its document: shows that an entry is in the log, and nothing about a licence."""
    own = _trust(case)
    if own is None:
        return
    try:
        origin = parse_receipt(text).checkpoint.partition("\n")[0]
    except Malformed as error:
        case.refused(Step.RECEIPT, error)
        return

    def judge(case: Examination, ground: Ground) -> Judged:
        check_entry_alone(case, ground, text, cache)
        return None

    judge_by(case, own, grounds_of_log(case, own, origin), judge)


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
    highest = case.seen.highest(trust.region, trust.root_fingerprint)
    if document.seq < highest:
        detail = f"list {document.seq} after list {highest} had been seen"
        case.found(Step.TRUST_LIST, Reason.TRUST_ROLLBACK, detail, since=since, source=trust.source)
    elif case.at > document.expires_at:
        case.found(Step.TRUST_LIST, Reason.TRUST_EXPIRED, since=since, source=trust.source)
    else:
        case.passed(Step.TRUST_LIST, since, trust.source)
    if trust.pinned:
        case.seen = case.seen.with_trust(trust.region, trust.root_fingerprint, document.seq)
        case.vouch(since)
    return trust


def _validity(case: Examination, claim: Claim) -> None:
    """(9) Calendar dates in China; the last day counts."""
    today = day_of(case.at)
    if today < claim.valid_from:
        case.found(Step.VALIDITY, Reason.NOT_YET_VALID, f"valid from {claim.valid_from}")
    elif claim.valid_until is not None and today > claim.valid_until:
        case.found(Step.VALIDITY, Reason.EXPIRED, f"valid until {claim.valid_until}")
    else:
        case.passed(Step.VALIDITY)


def _binding(case: Examination, licence: UnverifiedLicence) -> None:
    """Possession of the holder's key: reserved in licences of today, asked for by policy, never by the presenter."""
    try:
        asked = check_key_binding(licence, case.policy.binding, case.at)
    except VerificationError as error:
        case.refused(Step.DISCLOSURES, error)
        return
    if not asked and "cnf" in licence.claims:
        case.note(Note.BINDING_UNCHECKED)


def _clock(case: Examination) -> None:
    """(14) Our clock against the newest time in any input: behind by more than the tolerance, ages mean nothing."""
    if case.policy.historical:
        case.skipped(Step.CLOCK)
        return
    times = [time for time in (case.vouched, case.told, case.claimed, case.seen.newest) if time is not None]
    if times and max(times) - case.at > dt.timedelta(seconds=case.policy.clock_tolerance_s):
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


def _show_code(case: Examination, code: UnverifiedCode, claim: Claim, standing: Standing) -> None:
    """The same of a code, with the identifier that its numbers stand for."""
    payload = code.payload
    identifier = Identifier(standing.type.code, standing.department.id, payload.serial, payload.version).text
    _show(case, claim, standing)
    if case.content is not None:
        case.content["identifier"] = identifier
    if payload.name_cut:
        case.note(Note.NAME_CUT)
