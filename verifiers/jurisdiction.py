"""Whose trust list a document is judged by, ours or another region's, and step (4) of `verify`: does that count here?

A document belongs to the region whose list knows its key: ours first, so that nobody else can speak of our documents,
then that of each peer. What a document, or the link of a code, says of its own region selects nothing; where no list
knows the key it only helps to say what is missing.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeVar

from verifiers.authority import covers
from verifiers.code import UnverifiedCode
from verifiers.errors import Reason, VerificationError
from verifiers.examination import Examination, Ground
from verifiers.licence import UnverifiedLicence
from verifiers.peer_view import PeerView, Watch
from verifiers.reasons import Note
from verifiers.succession import check_succession
from verifiers.trust_list import TrustList
from verifiers.trusted_peers import TrustedPeer
from verifiers.verdict import Outcome, Step, worst

T = TypeVar("T")

_RANK = {Outcome.VALID: 0, Outcome.UNDETERMINED: 1, Outcome.INVALID: 2}

_NOT_RUN = (Step.KEY, Step.RECEIPT, Step.POSITION, Step.STATUS, Step.RECOGNITION)

_DISTRUSTED = {
    Watch.FORKED: Reason.PEER_FORKED,
    Watch.ROLLED_BACK: Reason.PEER_ROLLED_BACK,
    Watch.INCONSISTENT: Reason.PEER_INCONSISTENT,
}

_NOTED = {
    Watch.FROZEN: Note.PEER_FROZEN,
    Watch.UNREACHABLE: Note.PEER_SILENT,
    Watch.UNWATCHED: Note.PEER_UNWATCHED,
}


def newest_views(views: Sequence[PeerView]) -> tuple[PeerView, ...]:
    """One view a root, with its newest list: an older one must not speak for what a newer one took back.

    What any of them found against the log stands, and two that contradict each other leave it in doubt.
    """
    found: dict[str, PeerView] = {}
    for view in views:
        known = found.setdefault(view.trust.root_fingerprint, view)
        if known is view:
            continue
        older, best = sorted((view, known), key=lambda one: one.trust.document.seq)
        doubted = next((one.watch for one in (known, view) if one.watch in _DISTRUSTED), best.watch)
        if older.trust.document != best.trust.document and check_succession(older.trust.document, best.trust.document):
            best, doubted = older, Watch.INCONSISTENT
        found[view.trust.root_fingerprint] = replace(best, watch=doubted)
    return tuple(found.values())


def grounds_of_licence(case: Examination, own: TrustList, licence: UnverifiedLicence) -> tuple[Ground, ...]:
    """Every list that knows the licence's certificate, the likeliest first; none where that was found to be a fault.

    A list can name another region's certificate, but not certify it, so the one whose root did comes first.
    """
    certificate = licence.certificate
    if own.key_of_certificate(certificate) is not None:
        return (Ground(own),)
    knowing = [view for view in case.peers if view.trust.key_of_certificate(certificate) is not None]
    knowing.sort(key=lambda view: not _certifies(view.trust, certificate))
    area, ours = licence.region, covers(own.region, licence.region) or licence.iss.startswith(f"{own.document.iss}/")

    def claimed(row: TrustedPeer) -> bool:
        return licence.iss.startswith(f"{row.base}/") or (covers(row.region, area) and not ours)

    return _grounds(case, own, knowing, claimed, None if ours else area)


def grounds_of_code(case: Examination, own: TrustList, code: UnverifiedCode, text: str) -> tuple[Ground, ...]:
    """Every list that knows a key with the code's key id; none where that was found to be a fault."""
    if own.code_keys(code.kid):
        return (Ground(own),)
    knowing = [view for view in case.peers if view.trust.code_keys(code.kid)]
    link = text.upper()
    return _grounds(case, own, knowing, lambda row: link.startswith(f"{row.base.rstrip('/').upper()}/V#"), None)


def grounds_of_log(case: Examination, own: TrustList, origin: str) -> tuple[Ground, ...]:
    """Every list that names the log `origin`; ours where none does."""
    if own.log(origin) is None:
        found = _admitted(own, [view for view in case.peers if view.trust.log(origin) is not None])
        if found:
            return found
    return (Ground(own),)


def judge_by(
    case: Examination,
    own: TrustList,
    grounds: tuple[Ground, ...],
    judge: Callable[[Examination, Ground], T | None],
) -> T | None:
    """Judge by each ground, and keep the best: a region that lists another's key must not make its documents invalid.

    Nor does it gain by that: what is valid by its list counts as its own document, which it could have issued anyway.
    """
    best: tuple[Examination, T | None] | None = None
    for ground in grounds:
        trial = case if len(grounds) == 1 else case.branch()
        trial.ground = ground
        check_peer(trial, own, ground)
        judged = judge(trial, ground)
        if best is None or _RANK[worst(trial.findings)] < _RANK[worst(best[0].findings)]:
            best = trial, judged
    if best is None:
        return None
    if best[0] is not case:
        case.become(best[0])
    return best[1]


def check_peer(case: Examination, own: TrustList, ground: Ground) -> None:
    """(4) The other region is recognised now, its list counts and is not older than seen, and its log is not in doubt.

    The rest is judged in any case, so that what is worse than doubt shows.
    """
    row, view, trust = ground.row, ground.view, ground.trust
    if row is None or view is None:
        return
    document, source = trust.document, trust.source
    reasons = [] if row.status == "active" else [(_of_state(row), "")]
    if view.watch in _DISTRUSTED:
        reasons.append((_DISTRUSTED[view.watch], ""))
    if view.watch in _NOTED:
        case.note(_NOTED[view.watch])
    if view.logged is False:
        reasons.append((Reason.PEER_LIST_UNLOGGED, ""))
    highest = case.seen.highest(trust.region, trust.root_fingerprint)
    if document.seq < highest:
        reasons.append((Reason.PEER_LIST_ROLLBACK, f"list {document.seq} after list {highest} had been seen"))
    if case.at > document.expires_at:
        reasons.append((Reason.PEER_LIST_EXPIRED, ""))
    for reason, detail in reasons:
        case.found(Step.PEER, reason, detail, since=document.issued_at, source=source)
    if not reasons:
        case.passed(Step.PEER, document.issued_at, source)
    if own.pinned:
        case.seen = case.seen.with_trust(trust.region, trust.root_fingerprint, document.seq)
    case.vouch(document.issued_at)


def named_for_another(own: TrustList, row: TrustedPeer, iss: str) -> bool:
    """Whether a peer calls its department what only ours, or those of a third region, can be called."""
    others = (own.document.iss, *own.document.former, *(each.base for each in own.document.peers if each is not row))
    return not _below(row.base, iss) and any(_below(base, iss) for base in others)


def _below(base: str, address: str) -> bool:
    return address.startswith(f"{base.rstrip('/')}/")


def _grounds(
    case: Examination,
    own: TrustList,
    knowing: Sequence[PeerView],
    claimed: Callable[[TrustedPeer], bool],
    area: str | None,
) -> tuple[Ground, ...]:
    found = _admitted(own, knowing)
    if found:
        return found
    rows = own.document.peers
    if knowing:  # somebody's list, whom we have not admitted, or not under this root
        row = next((row for row in rows if row.region == knowing[0].trust.region), None)
        return _explained(case, own, row, f"the list given for {knowing[0].trust.region} is of another root")
    row = next((row for row in rows if claimed(row)), None)
    if row is None:
        return (Ground(own),) if area is None else _explained(case, own, None, f"issued in {area}")
    views = [view for view in case.peers if view.trust.region == row.region]
    return _admitted(own, views) or _explained(case, own, row, f"of {row.region}")


def _admitted(own: TrustList, views: Sequence[PeerView]) -> tuple[Ground, ...]:
    """The grounds among `views`: a list counts for the region it names only under the root that our list names."""
    found = []
    for view in views:
        row = own.peer(view.trust.region)
        if row is not None and row.root == view.trust.root_fingerprint:
            source = f"{row.region} trust list {view.trust.document.seq}"
            found.append(Ground(replace(view.trust, source=source), row, view))
    return tuple(found)


def _explained(case: Examination, own: TrustList, row: TrustedPeer | None, detail: str) -> tuple[Ground, ...]:
    """Say why there is no list to judge by. An old list of ours may just not have heard of the region (protocol 24)."""
    since, source = own.document.issued_at, own.source
    if row is None:
        old = case.at > own.document.next_update
        outcome = Outcome.UNDETERMINED if old else Outcome.INVALID
        case.found(Step.PEER, Reason.PEER_UNKNOWN, detail, outcome=outcome, since=since, source=source)
    else:
        case.found(Step.PEER, _of_state(row), detail, since=since, source=source)
    for step in _NOT_RUN:
        case.skipped(step)
    return ()


def _of_state(row: TrustedPeer) -> Reason:
    states = {"suspended": Reason.PEER_SUSPENDED, "withdrawn": Reason.PEER_WITHDRAWN}
    return states.get(row.status, Reason.PEER_LIST_MISSING)


def _certifies(trust: TrustList, certificate: bytes) -> bool:
    try:
        trust.check_certificate(certificate)
    except VerificationError:
        return False
    return True
