"""Who signed, and were they allowed to: steps (4), (5), (6) and (10) of `verify`.

The key is never taken from the thing being checked: the trust list names it, with its one purpose, its department and
its term in the log. Terms are judged by where a receipt proves the entry stands, never by a time the signer wrote.
"""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, auto

from keys.errors import BadSignature
from verifiers.claim import Claim
from verifiers.code import UnverifiedCode
from verifiers.errors import Reason, VerificationError
from verifiers.examination import Examination, Ground
from verifiers.licence import UnverifiedLicence
from verifiers.reasons import Note
from verifiers.trust_document import Department, Position, TrustedGrant, TrustedKey, TrustedType
from verifiers.trust_list import TrustList
from verifiers.verdict import Outcome, Step

_GRANTED_MAX = 4096


@dataclass(frozen=True, slots=True)
class Standing:
    """What the trust list says of whoever signed; `grants` are those for this type and area, past ones included."""

    department: Department
    type: TrustedType
    grants: tuple[TrustedGrant, ...]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a receipt proves an entry to stand: entry `index` of the tree `size`, `root` of the log `origin`.

    `cosigned_at` is the time by which a quorum of witnesses had seen that tree, `None` without one.
    """

    origin: str
    index: int
    size: int
    root: bytes
    cosigned_at: dt.datetime | None
    watched: bool


class _Side(Enum):
    BEFORE = auto()
    AFTER = auto()
    UNPROVEN = auto()


def key_of_licence(case: Examination, trust: TrustList, licence: UnverifiedLicence) -> TrustedKey | None:
    """(4) The key whose certificate the licence carries, known to the trust list, for licences, with a good path."""
    key = trust.key_of_certificate(licence.certificate)
    if key is None:
        _unknown_key(case, trust)
        return None
    try:
        leaf = trust.check_certificate(licence.certificate)
    except VerificationError as error:
        case.refused(Step.KEY, error)
        return None
    if key.purpose != "licence" or leaf.subject.purpose != "licence":
        case.found(Step.KEY, Reason.KEY_PURPOSE, f"a key for {key.purpose}")
        return None
    if leaf.public_key != key.public_key or leaf.subject.department != key.department or case.at > leaf.not_after:
        case.found(Step.KEY, Reason.KEY_CERTIFICATE, "the certificate has expired or is of another key or department")
        return None
    case.passed(Step.KEY, trust.document.issued_at, trust.source)
    return key


def key_of_code(case: Examination, trust: TrustList, code: UnverifiedCode) -> TrustedKey | None:
    """(4) and (6) for a code: the key with this id under which the signature holds; ids of 8 bytes may collide."""
    candidates = trust.code_keys(code.kid)
    if not candidates:
        _unknown_key(case, trust)
        return None
    case.passed(Step.KEY, trust.document.issued_at, trust.source)
    for key in candidates:
        try:
            key.public_key.check(code.sig_structure, code.signature)
        except BadSignature:
            continue
        case.passed(Step.SIGNATURE)
        return key
    case.found(Step.SIGNATURE, Reason.CODE_SIGNATURE)
    return None


def check_signature(case: Examination, key: TrustedKey, claim: Claim) -> bool:
    """(6) The licence's signature under the key from the trust list."""
    try:
        key.public_key.check(claim.signed, claim.signature)
    except BadSignature:
        case.found(Step.SIGNATURE, Reason.LICENCE_SIGNATURE)
        return False
    case.passed(Step.SIGNATURE)
    return True


def scope_of_licence(
    case: Examination, trust: TrustList, key: TrustedKey, licence: UnverifiedLicence
) -> Standing | None:
    """(5) iss is the SAN URI of the leaf and the department's; the type is known; a grant covers type and area."""
    asked = licence.certificate, licence.iss, licence.vct, licence.vct_integrity, licence.version == 1, licence.region
    known = trust.granted.get(asked)
    if isinstance(known, Standing):
        case.passed(Step.ISSUER, trust.document.issued_at, trust.source)
        return known
    department = trust.department(key.department or "")
    leaf = trust.check_certificate(licence.certificate)
    if department is None or licence.iss != leaf.san_uri or licence.iss not in _names_of(trust, department):
        case.found(Step.ISSUER, Reason.ISSUER_MISMATCH, f"{licence.iss} is not whom the certificate names")
        return None
    trusted_type = trust.type_of(licence.vct)
    if trusted_type is None:
        case.found(Step.ISSUER, Reason.TYPE_UNKNOWN, licence.vct)
        return None
    if licence.vct_integrity not in trusted_type.integrity:
        case.found(Step.ISSUER, Reason.TYPE_INTEGRITY, licence.vct)
        return None
    standing = _granted(case, trust, department, trusted_type, licence.version, licence.region)
    if standing is not None:
        if len(trust.granted) >= _GRANTED_MAX:
            trust.granted.clear()
        trust.granted[asked] = standing
    return standing


def scope_of_code(case: Examination, trust: TrustList, key: TrustedKey, code: UnverifiedCode) -> Standing | None:
    """(5) for a code: its issuer and type numbers are those of the key's department and of a type granted to it.

    A code does not name its area; the licence does.
    """
    department = trust.department_number(code.payload.issuer_number)
    if department is None or department.id != key.department:
        case.found(Step.ISSUER, Reason.ISSUER_MISMATCH, f"the key is not that of issuer {code.payload.issuer_number}")
        return None
    trusted_type = trust.type_number(code.payload.type_number)
    if trusted_type is None:
        case.found(Step.ISSUER, Reason.TYPE_UNKNOWN, f"type number {code.payload.type_number}")
        return None
    return _granted(case, trust, department, trusted_type, code.payload.version, None)


def check_position(
    case: Examination, trust: TrustList, key: TrustedKey, standing: Standing | None, place: Place | None
) -> None:
    """(10) The entry stands within the key's and a grant's term, and before a compromise of the key.

    Without a receipt nothing tells on which side of a compromise a document is, so that is undetermined.
    """
    if place is None:
        if key.revoked is not None:
            case.found(Step.POSITION, Reason.KEY_COMPROMISED, key.revoked.reason, outcome=Outcome.UNDETERMINED)
        elif standing is not None and None not in [grant.log_to for grant in standing.grants]:
            case.found(Step.POSITION, Reason.RECEIPT_MISSING, "the grant has ended; was it used before?")
        else:
            case.skipped(Step.POSITION)
        return
    grants = () if standing is None else standing.grants
    named = _named_trees(trust, place, key, grants)
    compromised_at = None if key.revoked is None else key.revoked.at
    term = _within(trust, place, key.log_from, key.log_to, compromised_at, named)
    if term is _Side.AFTER:
        case.found(Step.POSITION, Reason.KEY_TERM, f"entry {place.index}", source=place.origin)
        return
    if key.revoked is not None:
        good = key.revoked.trust_before
        side = _Side.AFTER if good is None else _side(trust, place, good, compromised_at, named)
        if side is _Side.AFTER:
            case.found(Step.POSITION, Reason.KEY_COMPROMISED, key.revoked.reason, source=place.origin)
            return
        term = side if term is _Side.BEFORE else term
    terms = [_within(trust, place, grant.log_from, grant.log_to, None, named) for grant in grants]
    if terms and all(one is _Side.AFTER for one in terms):
        case.found(Step.POSITION, Reason.GRANT_TERM, f"entry {place.index}", source=place.origin)
        return
    granted = not terms or _Side.BEFORE in terms
    if term is _Side.UNPROVEN or not granted:
        detail = "a receipt for the pinned tree, or an older one, is needed"
        case.found(Step.POSITION, Reason.RECEIPT_REFRESH, detail, source=place.origin)
        return
    case.passed(Step.POSITION, source=place.origin)


def covers(area: str, region: str) -> bool:
    """Whether the area of a grant takes in `region`: 610000 is a whole province, 610100 a city, 610113 a district."""
    if len(area) == 6:
        while area.endswith("00"):
            area = area[:-2]
    return region.startswith(area)


def _granted(
    case: Examination,
    trust: TrustList,
    department: Department,
    trusted_type: TrustedType,
    version: int,
    area: str | None,
) -> Standing | None:
    grants = trust.grants(department.id, trusted_type.code, trusted_type.major)
    grants = tuple([one for one in grants if "issue" in one.acts or (version != 1 and "change" in one.acts)])
    if not grants:
        case.found(Step.ISSUER, Reason.GRANT_MISSING, f"{department.id} for {trusted_type.code}@{trusted_type.major}")
        return None
    if area is not None:
        grants = tuple([grant for grant in grants if covers(grant.area, area)])
        if not grants:
            case.found(Step.ISSUER, Reason.GRANT_AREA, f"{department.id} in {area}")
            return None
    case.passed(Step.ISSUER, trust.document.issued_at, trust.source)
    return Standing(department, trusted_type, grants)


def _names_of(trust: TrustList, department: Department) -> set[str]:
    """Every `iss` the department has had: under the region's base URL and its former ones."""
    return {department.iss, *(f"{base}/d/{department.id}" for base in trust.document.former)}


def _unknown_key(case: Examination, trust: TrustList) -> None:
    """An unknown key is invalid under a fresh list; an old list may just not have heard of it (protocol 24)."""
    old = case.at > trust.document.next_update
    outcome = Outcome.UNDETERMINED if old else Outcome.INVALID
    detail = "the trust list is past its next_update" if old else ""
    case.found(
        Step.KEY, Reason.KEY_UNKNOWN, detail, outcome=outcome, since=trust.document.issued_at, source=trust.source
    )


def _named_trees(
    trust: TrustList, place: Place, key: TrustedKey, grants: Sequence[TrustedGrant]
) -> frozenset[Position]:
    """The trees for which the trust list itself stands in: what is proven in one of them was not made up later."""
    log = trust.log(place.origin)
    ends = [key.log_to, *(grant.log_to for grant in grants), None if log is None else log.to]
    if key.revoked is not None:
        ends.append(key.revoked.trust_before)
    return frozenset(end for end in ends if end is not None)


def _within(
    trust: TrustList,
    place: Place,
    start: Position,
    end: Position | None,
    before: dt.datetime | None,
    named: frozenset[Position],
) -> _Side:
    """`BEFORE` where the entry stands in the term from `start` to `end`; `AFTER` where it does not."""
    first = trust.epoch(start.origin), start.size
    if (trust.epoch(place.origin), place.index) < first:
        return _Side.AFTER
    return _Side.BEFORE if end is None else _side(trust, place, end, before, named)


def _side(
    trust: TrustList, place: Place, limit: Position, before: dt.datetime | None, named: frozenset[Position]
) -> _Side:
    """On which side of `limit` the entry stands (protocol 16).

    Before it counts only what is proven in exactly that tree, or in an older one that the list names too or that a
    quorum had cosigned before the compromise at `before`: whoever took the log's keys as well could sign another past.
    Where nobody watches the log, an older published tree stands in.
    """
    here, there = trust.epoch(place.origin), trust.epoch(limit.origin)
    if here > there or (here == there and place.index >= limit.size):
        return _Side.AFTER
    if here == there and place.size > limit.size:
        return _Side.UNPROVEN
    if Position(place.origin, place.size, place.root) in named:
        return _Side.BEFORE
    if here == there and place.size == limit.size:
        return _Side.UNPROVEN
    if before is None or not place.watched:
        return _Side.BEFORE
    in_time = place.cosigned_at is not None and place.cosigned_at <= before
    return _Side.BEFORE if in_time else _Side.UNPROVEN


def watch_notes(case: Examination, ground: Ground, place: Place) -> None:
    """Say how well the log is watched: by nobody, not yet, by whom it chose, or by too few to stop a split (29)."""
    quorum, watching = ground.witnesses(place.origin)
    if quorum == 0:
        case.note(Note.NOBODY_WATCHED)
        return
    if ground.row is not None and ground.demanded is None:
        case.note(Note.WITNESSES_DECLARED)
    if place.cosigned_at is None:
        case.note(Note.NOT_WITNESSED)
    if 2 * quorum <= watching + case.policy.liars:
        case.note(Note.DETECT_ONLY)
