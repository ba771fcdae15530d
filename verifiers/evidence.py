"""What the log and the status list say of a licence: steps (9) and (11) of `verify`."""

import datetime as dt

from verifiers.authority import Place
from verifiers.checkpoint import Grade, SignedCheckpoint
from verifiers.checkpoint_cache import CheckpointCache
from verifiers.claim import Claim
from verifiers.errors import Reason, VerificationError
from verifiers.examination import Examination, Ground
from verifiers.grace import allowed_age_abroad_s, allowed_age_s
from verifiers.legal_dates import format_time
from verifiers.peer_view import stale_bound_s
from verifiers.reasons import Note
from verifiers.receipt import OpenedReceipt, Receipt, open_receipt, parse_receipt
from verifiers.status_list import INVALID, SUSPENDED, StatusList
from verifiers.trust_document import TrustedKey, TrustedType
from verifiers.trust_list import TrustList
from verifiers.verdict import Step

_REASONS = {INVALID: Reason.REVOKED, SUSPENDED: Reason.SUSPENDED}
_DOCUMENT_KINDS = frozenset({"licence.issued", "licence.imported", "licence.status"})


def check_receipt(
    case: Examination,
    ground: Ground,
    key: TrustedKey,
    claim: Claim,
    receipt: Receipt | str | None,
    required: bool,
    cache: CheckpointCache,
) -> tuple[OpenedReceipt, Place] | None:
    """(9) The receipt opens to exactly this document and is proven under checkpoints its log's keys all signed.

    `required` is whether a licence needs one. An equal `ref`, an equal time or the licence's own `iat` are never
    evidence: only the hash of the signed bytes is compared. Where we name the witnesses of another region's log
    ourselves, its checkpoint must be witnessed.
    """
    trust = ground.trust
    if receipt is None:
        if claim.is_code:
            case.note(Note.CODE_WITHOUT_RECEIPT)
            case.skipped(Step.RECEIPT)
        elif not required:
            case.note(Note.RECEIPT_WAIVED)
            case.skipped(Step.RECEIPT)
        else:
            case.found(Step.RECEIPT, Reason.RECEIPT_MISSING, source=None)
        return None
    try:
        parsed = parse_receipt(receipt) if isinstance(receipt, str) else receipt
        checkpoint = cache.open(parsed.checkpoint, trust, ground.demanded)
        opened = open_receipt(parsed, checkpoint)
        _check_epoch(trust, checkpoint, opened.index)
        _check_entry(opened, key, claim)
    except VerificationError as error:
        case.refused(Step.RECEIPT, error, "receipt")
        return None
    case.vouch(opened.leaf.at)
    case.vouch(checkpoint.cosigned_at)
    if opened.leaf.kind == "licence.imported":
        case.note(Note.IMPORTED)
    watched = _check_grade(case, ground, checkpoint, opened)
    place = Place(checkpoint.origin, opened.index, checkpoint.size, checkpoint.root, checkpoint.cosigned_at, watched)
    return opened, place


def _check_grade(case: Examination, ground: Ground, checkpoint: SignedCheckpoint, opened: OpenedReceipt) -> bool:
    """Whether anybody watches the log; where a quorum is asked for, it must have cosigned."""
    since = checkpoint.cosigned_at or opened.leaf.at
    watched = ground.witnesses(checkpoint.origin)[0] > 0
    asked = watched and (ground.demanded is not None or case.policy.grade == "witnessed")
    if asked and checkpoint.grade is not Grade.WITNESSED:
        case.found(Step.RECEIPT, Reason.RECEIPT_GRADE, since=since, source=checkpoint.origin)
    else:
        case.passed(Step.RECEIPT, since, checkpoint.origin)
    return watched


def check_entry_alone(case: Examination, ground: Ground, text: str, cache: CheckpointCache) -> None:
    """(9) for a receipt without its document: an entry of the log, opened but not compared with anything."""
    try:
        parsed = parse_receipt(text)
        checkpoint = cache.open(parsed.checkpoint, ground.trust, ground.demanded)
        opened = open_receipt(parsed, checkpoint)
        _check_epoch(ground.trust, checkpoint, opened.index)
    except VerificationError as error:
        case.refused(Step.RECEIPT, error)
        return
    case.vouch(opened.leaf.at)
    case.vouch(checkpoint.cosigned_at)
    _check_grade(case, ground, checkpoint, opened)
    leaf = opened.leaf
    entry = {"at": format_time(leaf.at), "by": leaf.by, "index": opened.index, "kind": leaf.kind}
    case.content = {"entry": entry | {"origin": checkpoint.origin}}


def _check_epoch(trust: TrustList, checkpoint: SignedCheckpoint, index: int) -> None:
    """A log that has ended has a pinned last tree: nothing larger, and no other of that size, is of it."""
    log = trust.log(checkpoint.origin)
    if log is None or index < log.from_size:
        raise VerificationError(Reason.LOG_UNKNOWN, "the trust list does not cover this part of the log", "receipt")
    end = log.to
    if end is not None and (
        checkpoint.size > end.size or (checkpoint.size == end.size and checkpoint.root != end.root)
    ):
        raise VerificationError(Reason.LOG_UNKNOWN, "the log had ended before", "receipt")


def _check_entry(opened: OpenedReceipt, key: TrustedKey, claim: Claim) -> None:
    committed = opened.opening.code if claim.is_code else opened.opening.jws
    if committed != claim.digest:
        raise VerificationError(Reason.RECEIPT_OPENING, "the entry commits to another document", "receipt")
    leaf = opened.leaf
    if leaf.by != key.department or leaf.kind not in _DOCUMENT_KINDS:
        raise VerificationError(Reason.RECEIPT_MISMATCH, f"an entry {leaf.kind} by {leaf.by}", "receipt")
    if leaf.kind == "licence.imported" and not claim.is_code and not claim.imported:
        raise VerificationError(Reason.RECEIPT_MISMATCH, "the entry says imported, the licence does not", "receipt")


def check_status(
    case: Examination, ground: Ground, claim: Claim, uri: str | None, trusted_type: TrustedType | None
) -> None:
    """(11) A list of this region for `uri`, not older than seen, young enough, whose slot says "not withdrawn"."""
    chosen = _choose(case, ground, uri)
    if chosen is None:
        return
    case.vouch(chosen.issued_at)
    since, source = chosen.issued_at, chosen.source
    try:
        value = chosen.get(claim.status_idx)
    except VerificationError as error:
        case.found(Step.STATUS, error.reason, error.detail, since=since, source=source)
        return
    if value:
        reason = _REASONS.get(value, Reason.REFUSED)
        case.found(Step.STATUS, reason, f"slot {claim.status_idx} says {value}", since=since, source=source)
        if value != INVALID:
            case.note(Note.STATUS_MAY_REVERT)
    age, allowed = case.age(since) or 0, _allowed(case, ground, chosen, trusted_type)
    expired = chosen.expires_at is not None and case.at > chosen.expires_at
    if (age > allowed or expired) and not case.policy.historical:
        detail = f"{age} s old, where {allowed} s are allowed"
        case.found(Step.STATUS, Reason.STATUS_STALE, detail, since=since, source=source)
    elif not value:
        case.passed(Step.STATUS, since, source)
        case.bound_s = _bound(ground, age, min(chosen.ttl or 0, allowed), allowed)


def _allowed(case: Examination, ground: Ground, chosen: StatusList, trusted_type: TrustedType | None) -> int:
    """How many seconds old the list may be: its `ttl`, or the grace of the type where that is longer.

    Another region is not given longer than our own type's grace, or our own lists' ttl, however it signs its lists.
    """
    if ground.row is None or case.counts_as is None:
        return allowed_age_s(chosen.ttl, trusted_type)
    return allowed_age_abroad_s(chosen.ttl, trusted_type, case.trust, case.counts_as)


def _bound(ground: Ground, age: int, ttl: int, allowed: int) -> int:
    """Seconds a withdrawal may be in force unseen; for another region, its publishing and our asking count too (30)."""
    if ground.view is None:
        return ttl if age <= ttl else allowed
    intervals = ground.trust.document.intervals
    publish_ms = 0 if intervals is None else intervals.publish_ms
    kept_fresh = stale_bound_s(publish_ms, ground.view.poll_ms, ttl)
    return kept_fresh if age <= kept_fresh else stale_bound_s(publish_ms, 0, allowed)


def _choose(case: Examination, ground: Ground, uri: str | None) -> StatusList | None:
    """The newest list for `uri` that is no older than what was seen; in the past, the newest of then."""
    trust, root = ground.trust, ground.trust.root_fingerprint
    lists = [one for one in case.status if one.uri == uri and one.root == root and one.as_of is not None]
    if not lists:
        detail = "no list with the number in the code" if uri is None else uri
        case.found(Step.STATUS, Reason.STATUS_MISSING, detail, source=None)
        return None
    if case.policy.historical:
        lists = [one for one in lists if _covers(one, case.at)]
        if not lists:
            case.found(Step.STATUS, Reason.STATUS_TIME, source=uri)
            return None
    newest = lists[0] if len(lists) == 1 else max(lists, key=lambda one: (_order(trust, one), one.issued_at))
    name = ground.list_name(newest.uri)
    seen = case.seen.lists.get(name)
    if case.policy.historical:
        return newest
    if seen is not None and _order(trust, newest) < (trust.epoch(seen.origin), seen.size):
        case.found(Step.STATUS, Reason.STATUS_ROLLBACK, f"{seen.size} entries were seen", source=newest.source)
        return None
    if newest.as_of is not None:
        case.seen = case.seen.with_list(name, newest.as_of.origin, newest.as_of.size)
    return newest


def _order(trust: TrustList, status_list: StatusList) -> tuple[int, int]:
    as_of = status_list.as_of
    return (-1, -1) if as_of is None else (trust.epoch(as_of.origin), as_of.size)


def _covers(status_list: StatusList, at: dt.datetime) -> bool:
    return status_list.issued_at <= at and (status_list.expires_at is None or at <= status_list.expires_at)
