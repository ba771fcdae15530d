"""What is inside a bundle, opened under roots that the verifier has, and compared part with part."""

from dataclasses import replace

from keys.errors import BadSignature
from verifiers.bundle import Bundle
from verifiers.checkpoint_cache import CheckpointCache
from verifiers.code import parse_code_text
from verifiers.commitment import code_digest, event_ref
from verifiers.errors import Malformed, Reason, VerificationError
from verifiers.examination import Examination, Ground
from verifiers.peer_view import PeerView, Watch
from verifiers.receipt import OpenedReceipt, open_receipt, parse_receipt
from verifiers.status_list import open_status_list
from verifiers.succession import check_succession
from verifiers.trust_list import TrustList, claimed_root, open_trust_list
from verifiers.verdict import Step

_EVENT_NUMBER_MAX = 4096
_SOURCE = "bundle"


def adopt(case: Examination, bundle: Bundle) -> None:
    """Open the bundle's trust list and its status list under roots that the verifier has: nothing here selects one.

    A list under the pinned root replaces the verifier's own where it is newer. One under the root of a peer, as the
    verifier's own list names it, replaces what is known of that peer where it is newer, unless its log is followed.
    """
    own = case.trust
    root = case.policy.root
    if root is None and own is not None and own.pinned:
        root = own.root_fingerprint
    trust = _peer_list(case, bundle) or _own_list(case, bundle, root)
    if trust is None:
        return
    try:
        status = open_status_list(bundle.status_list, trust, _SOURCE)
    except VerificationError as error:
        case.refused(Step.STATUS, error, _SOURCE)
        return
    case.status = (*case.status, status)


def _own_list(case: Examination, bundle: Bundle, root: str | None) -> TrustList | None:
    own = case.trust
    try:
        inner = open_trust_list(bundle.trust_list, root_fingerprint=root, at=case.at, source=_SOURCE)
    except VerificationError as error:
        case.refused(Step.TRUST_LIST, error, _SOURCE)
        return own
    if own is None:
        case.trust = inner
    elif _newer(inner, own):
        contradictions = check_succession(own.document, inner.document)
        if contradictions:  # whoever stole a list key signs higher numbers than the honest list has
            case.found(Step.TRUST_LIST, Reason.TRUST_CONTRADICTED, str(contradictions[0]), source=_SOURCE)
            return own
        case.trust = inner
    return case.trust


def _peer_list(case: Examination, bundle: Bundle) -> TrustList | None:
    """The list of the peer that the bundle comes from, the newest there is; `None` where it comes from no peer."""
    own = case.trust
    if own is None or not own.document.peers:
        return None
    claimed = claimed_root(bundle.trust_list)
    row = next((row for row in own.document.peers if row.root == claimed), None)
    if row is None:
        return None
    known = next((view for view in case.peers if view.trust.root_fingerprint == row.root), None)
    kept = None if known is None else known.trust
    try:
        inner = open_trust_list(bundle.trust_list, root_fingerprint=row.root, at=case.at, source=_SOURCE)
    except VerificationError as error:
        case.refused(Step.PEER, error, _SOURCE)
        return kept
    if inner.region != row.region or (kept is not None and not _newer(inner, kept)):
        return kept
    contradictions = () if kept is None else check_succession(kept.document, inner.document)
    if contradictions:
        case.found(Step.PEER, Reason.PEER_INCONSISTENT, str(contradictions[0]), source=_SOURCE)
        return kept
    if known is not None and known.logged:
        return kept  # whoever follows the peer takes only versions that are in its log, and takes them soon
    # What is new in the bundle nobody has followed; a log that was in doubt stays so.
    watch = Watch.UNWATCHED if known is None or known.watch is Watch.FOLLOWED else known.watch
    view = PeerView(inner, watch) if known is None else replace(known, trust=inner, watch=watch, logged=None)
    case.peers = (view, *(other for other in case.peers if other is not known))
    return inner


def check_contents(
    case: Examination, ground: Ground, bundle: Bundle, opened: OpenedReceipt, cache: CheckpointCache
) -> None:
    """Check that secret, code, the bundle's own receipt and every event belong to the licence of `opened`."""
    number = _event_number(bundle.secret, opened.leaf.ref, 0)
    if number is None:
        case.found(Step.RECEIPT, Reason.BUNDLE_MISMATCH, "the secret is not that of this licence", source=_SOURCE)
        return
    try:
        if bundle.licence is not None and bundle.code is not None:
            _check_code(ground.trust, bundle.code, opened)
        _check_own_receipt(ground, bundle, opened, cache)
    except VerificationError as error:
        case.found(Step.RECEIPT, Reason.BUNDLE_MISMATCH, error.detail, source=_SOURCE)
    for text in bundle.events:
        try:
            number = _check_event(ground, bundle, text, number, cache)
        except VerificationError as error:
            case.found(Step.RECEIPT, Reason.BUNDLE_EVENTS, error.detail or error.reason, source=_SOURCE)
            return


def _newer(inner: TrustList, own: TrustList) -> bool:
    same = inner.root_fingerprint == own.root_fingerprint and inner.region == own.region
    return same and inner.document.seq > own.document.seq


def _check_code(trust: TrustList, text: str, opened: OpenedReceipt) -> None:
    """The code is the one committed to beside the licence, with a signature that holds."""
    code = parse_code_text(text)
    if code_digest(code.sig_structure) != opened.opening.code:
        raise Malformed(Reason.BUNDLE_MISMATCH, "the code is not that of this licence")
    for key in trust.code_keys(code.kid):
        try:
            return key.public_key.check(code.sig_structure, code.signature)
        except BadSignature:
            continue
    raise Malformed(Reason.BUNDLE_MISMATCH, "the code is not signed by a key of the trust list")


def _check_own_receipt(ground: Ground, bundle: Bundle, opened: OpenedReceipt, cache: CheckpointCache) -> None:
    """Where the verifier brought a receipt of its own, the one inside must be of the same entry."""
    inner = _open(ground, bundle.receipt, cache)
    if inner.index != opened.index or inner.opening != opened.opening:
        raise Malformed(Reason.BUNDLE_MISMATCH, "the receipt inside is of another entry")


def _check_event(ground: Ground, bundle: Bundle, text: str, after: int, cache: CheckpointCache) -> int:
    """The number of the event in the receipt `text`: a later one of the same licence."""
    event = _open(ground, text, cache)
    number = _event_number(bundle.secret, event.leaf.ref, after + 1)
    if number is None or not event.leaf.kind.startswith("licence."):
        raise Malformed(Reason.BUNDLE_EVENTS, "an event of something else, or out of order")
    return number


def _open(ground: Ground, text: str, cache: CheckpointCache) -> OpenedReceipt:
    receipt = parse_receipt(text)
    return open_receipt(receipt, cache.open(receipt.checkpoint, ground.trust, ground.demanded))


def _event_number(secret: bytes, ref: bytes, first: int) -> int | None:
    """The number from `first` on at which `secret` gives `ref`."""
    numbers = range(first, first + _EVENT_NUMBER_MAX)
    return next((number for number in numbers if event_ref(secret, number) == ref), None)
