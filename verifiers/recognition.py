"""Recognition: whether a licence that holds up in another region counts here, as what, and by which rule.

Only the trust list of the accepting region decides. What a licence or its type's metadata says of itself (`aka_vcts`,
`extends` of SD-JWT VC) is its issuer's claim: it is shown, and nothing follows from it.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from verifiers.claim import CLAIMED
from verifiers.errors import Reason, VerificationError
from verifiers.examination import Examination
from verifiers.reasons import Note
from verifiers.rule import parse_rule
from verifiers.trust_document import TrustedType
from verifiers.trust_list import TrustList
from verifiers.trusted_peers import RuleName, TrustedEquivalence, TrustedPeer
from verifiers.verdict import Recognition, Step

OWN_MEMBERS: Final = frozenset({"holders", "number", "object"})
"""Names in a mapping of fields that mean the licence's own members; all others are fields of its face."""

# The step `recognition`, for a licence whose own region vouches for it:
#
#  (1) claims       noted, and kept from the rule
#  (2) equivalence  ours for exactly this peer, type and major, to a type that our list names
#  (3) time         it is in force when the licence is judged, whenever it was issued
#  (4) rule         the version that the equivalence names, from the same signed list, says yes to what is shown
#  (5) fields       what is shown under their names is given ours
#
# (2) precedes (4) because a rule has no meaning but as the condition of one equivalence.


def check_recognition(
    case: Examination,
    own: TrustList,
    peer: TrustedPeer,
    kind: TrustedType,
    content: Mapping[str, Any] | None,
    *,
    printed: bool = False,
) -> Recognition | None:
    """Find as what a licence of `peer` and its type `kind`, showing `content`, counts under `own`; adds to `case`.

    `content` is `None` where the licence itself did not hold up; what was found of it then decides. `printed` says that
    it is what a code shows.
    """
    if content is not None and CLAIMED in content:
        case.note(Note.CLAIMED_EQUIVALENCE)
    since, source = own.document.issued_at, own.source
    candidates = own.equivalences_of(peer.region, kind.code, kind.major)
    if not candidates:
        detail = f"{kind.code}@{kind.major} of {peer.region}"
        case.found(Step.RECOGNITION, Reason.EQUIVALENCE_MISSING, detail, since=since, source=source)
        return None
    found = next((one for one in candidates if one.in_force(case.at)), None)
    if found is None:
        detail = f"{_named(candidates[0])} from {candidates[0].valid_from} until {candidates[0].valid_until}"
        case.found(Step.RECOGNITION, Reason.EQUIVALENCE_NOT_IN_FORCE, detail, since=since, source=source)
        return None
    case.counts_as = _type_of_ours(own, found)
    if case.counts_as is None:
        # Without it nothing says how old a status list may be here, and the peer's own word would decide.
        detail = f"{_named(found)} names {found.our_type}@{found.our_major}, which our trust list does not"
        case.found(Step.RECOGNITION, Reason.EQUIVALENCE_MISSING, detail, since=since, source=source)
        return None
    if content is None:
        case.skipped(Step.RECOGNITION)
        return None
    try:
        if found.rule is not None:
            _apply(own, found.rule, content, case, printed)
    except VerificationError as error:
        case.found(Step.RECOGNITION, error.reason, error.detail, since=since, source=source)
        return None
    case.passed(Step.RECOGNITION, since, source)
    return Recognition(
        by=own.region,
        peer=peer.region,
        equivalence=(found.id, found.version),
        rule=None if found.rule is None else (found.rule.id, found.rule.version),
        type=(found.our_type, found.our_major),
        fields=mapped(found.fields, content),
    )


def _type_of_ours(own: TrustList, found: TrustedEquivalence) -> TrustedType | None:
    return next((row for row in own.document.types if (row.code, row.major) == (found.our_type, found.our_major)), None)


def mapped(fields: Mapping[str, str], content: Mapping[str, Any]) -> dict[str, Any]:
    """What `content` shows of the fields of a mapping (ours to theirs), under our names; the rest is left out."""
    face = content.get("fields")
    shown: Mapping[str, Any] = face if isinstance(face, Mapping) else {}
    found = {ours: (content if theirs in OWN_MEMBERS else shown).get(theirs) for ours, theirs in fields.items()}
    return {ours: value for ours, value in found.items() if value is not None}


def judged_content(content: Mapping[str, Any]) -> dict[str, Any]:
    """What a rule sees of a licence: all that is shown, but not what it claims to be equal to."""
    return {name: value for name, value in content.items() if name != CLAIMED}


def _apply(own: TrustList, name: RuleName, content: Mapping[str, Any], case: Examination, printed: bool) -> None:
    """Raises `VerificationError` unless the rule `name` says yes; each detail names the rule and its version."""
    called = f"rule {name.id} version {name.version}"
    trusted = own.rule(name.id, name.version)
    if trusted is None:
        raise VerificationError(Reason.RULE, f"{called} is not in the trust list")
    try:
        rule = parse_rule(trusted.logic)
        if printed:
            _demand_printed(rule.variables, content)
        met = rule.evaluate(judged_content(content), case.at)
    except VerificationError as error:
        raise VerificationError(error.reason, f"{called}: {error.detail}") from None
    if not met:
        raise VerificationError(Reason.RULE_REFUSED, called)


def _demand_printed(variables: Sequence[str], content: Mapping[str, Any]) -> None:
    """A code has room for little, so what it leaves out says nothing: a rule must not take that for absence."""
    for path in variables:
        root, member, *_ = path.split(".")
        if root == "payload" and member not in content:
            raise VerificationError(Reason.RULE_FIELD, f"{path} is not printed in a code")


def _named(one: TrustedEquivalence) -> str:
    return f"{one.id} version {one.version}"
