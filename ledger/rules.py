"""Conditions of recognition: published under their own id and version, never changed, with the cases tried on.

A rule is tried before it is published: on the cases that come with it, and once more on each case that it should turn
away with parts withheld, because a holder decides what to show. Its language is `verifiers.rule`.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

import orjson

from ledger.catalogue import Catalogue
from ledger.database import Writing, bulk_insert
from ledger.drafting import Unsigned
from ledger.errors import Code, Refusal
from ledger.events import Event, projector
from ledger.recognised import Rule as PublishedRule
from ledger.request_members import RequestMembers
from ledger.tables.peers import rules
from verifiers import canonical, rule
from verifiers.encoding import b64u_decode, b64u_encode
from verifiers.entry import REGION
from verifiers.errors import Malformed, Reason, VerificationError
from verifiers.legal_dates import parse_time

PUBLISHED: Final = "rule.published"
UNDETERMINED: Final = "undetermined"

_MAX_TESTS = 100
_HOLDER_MEMBERS = frozenset({"name", "id_type", "id", "share"})
"""What of a holder lies in disclosures; kind and role are signed openly (docs/formats/licence.md)."""


@dataclass(frozen=True, slots=True)
class Trial:
    """A case: what a rule is to say (`expect`: true, false or `undetermined`) of `payload` at the time `at`."""

    payload: dict[str, Any] = field(repr=False)
    at: datetime
    expect: bool | str


@dataclass(frozen=True, slots=True)
class Conditions:
    """Conditions as requested: the rule that was read, and `tests` as they were given."""

    rule: rule.Rule
    tests: tuple[Any, ...] = field(repr=False)
    trials: tuple[Trial, ...] = field(repr=False)


def read_conditions(logic: Any, tests: Any) -> Conditions:
    """Read `conditions` and `tests` of a request.

    Raises `Refusal` rule.malformed, rule.tests_missing without a case for yes and one for no, and as members do.
    """
    if type(logic) is not dict:
        raise Refusal(
            Code.RULE_MALFORMED, "/conditions", why="conditions are an operation, or null where there are none"
        )
    try:
        read = rule.parse_rule(logic)
    except Malformed as error:
        raise Refusal(Code.RULE_MALFORMED, "/conditions", why=error.detail) from None
    trials = tuple(RequestMembers({"tests": tests}).objects("tests", _trial, _MAX_TESTS))
    missing = [word for word, expect in (("true", True), ("false", False)) if expect not in _expected(trials)]
    if missing:
        raise Refusal(Code.RULE_TESTS_MISSING, "/tests", missing=missing)
    try:
        canonical.encode([[[[tests]]]])  # a statement's facts lie a few levels down
    except ValueError as error:
        raise Refusal(Code.REQUEST_MEMBER_INVALID, "/tests", why=str(error)) from None
    return Conditions(read, tuple(tests), trials)


def try_out(conditions: Conditions, open_fields: frozenset[str] = frozenset()) -> list[bool | str]:
    """Try the rule on its cases and return what it said of each, in order.

    `open_fields` are fields of the face that their type never lets a holder withhold. Raises `Refusal` rule.test_failed
    for the first case it judges otherwise, rule.withholding where showing less of a case turns it into a yes.
    """
    found = []
    for position, trial in enumerate(conditions.trials):
        pointer = f"/tests/{position}"
        said = _said(conditions.rule, trial.payload, trial.at)
        if said != trial.expect or type(said) is not type(trial.expect):
            raise Refusal(Code.RULE_TEST_FAILED, pointer, expected=trial.expect, found=said)
        found.append(said)
        if trial.expect is True:
            continue
        for withheld, less in _showing_less(conditions.rule.variables, trial.payload, open_fields):
            if _said(conditions.rule, less, trial.at) is True:
                raise Refusal(Code.RULE_WITHHOLDING, pointer, withheld=withheld)
    return found


def published(
    catalogue: Catalogue,
    id_: str,
    conditions: Conditions,
    names: Mapping[str, str],
    secret: bytes,
    by: Mapping[str, str],
) -> tuple[Unsigned | None, int]:
    """Prepare the event that publishes the next version of the rule `id_`, and return it with that version.

    Where the newest version says the same already, there is no event and the version is that one.
    """
    newest = newest_version(catalogue, id_)
    known = catalogue.recognised.rules.get((id_, newest))
    same = (conditions.rule.logic, list(conditions.tests), dict(names))
    if known is not None and (known.logic, list(known.tests), dict(known.names)) == same:
        return None, newest
    facts = {
        **by,
        "secret": b64u_encode(secret if known is None else known.secret),
        "version": newest + 1,
        "names": dict(names),
        "logic": conditions.rule.logic,
        "tests": list(conditions.tests),
    }
    held = secret if known is None else known.secret
    return Unsigned("rule", REGION, PUBLISHED, f"rule:{id_}", newest, held, facts), newest + 1


def newest_version(catalogue: Catalogue, id_: str) -> int:
    """Return the number of a rule's newest version, 0 where there is none."""
    return max((version for known, version in catalogue.recognised.rules if known == id_), default=0)


def answer_of(found: PublishedRule) -> dict[str, Any]:
    """Return what callers see of one version of a rule."""
    read = rule.parse_rule(found.logic)
    return {
        "id": found.id,
        "version": found.version,
        "names": dict(found.names),
        "logic": found.logic,
        "variables": list(read.variables),
        "tests": list(found.tests),
        "entry": found.idx,
    }


def shown(catalogue: Catalogue, id_: str, version: int) -> dict[str, Any]:
    """Return one version of a rule. Raises `Refusal` rule.unknown."""
    found = catalogue.recognised.rules.get((id_, version))
    if found is None:
        raise Refusal(Code.RULE_UNKNOWN, None, rule=id_, version=version)
    return answer_of(found)


def _trial(members: RequestMembers) -> Trial:
    payload = members.take("payload")
    if type(payload) is not dict:
        raise members.invalid("payload", expected="object")
    expect = members.take("expect")
    if type(expect) is not bool and expect != UNDETERMINED:
        raise members.invalid("expect", allowed=[True, False, UNDETERMINED])
    return Trial(payload, time_of(members, "at"), expect)


def time_of(members: RequestMembers, name: str) -> datetime:
    """Return an instant `2026-11-21T08:00:00Z` of a request."""
    text = members.take(name)
    try:
        return parse_time(text)
    except (TypeError, ValueError):
        raise members.invalid(name, expected="instant") from None


def _expected(trials: Sequence[Trial]) -> list[bool | str]:
    return [trial.expect for trial in trials]


def _said(read: rule.Rule, payload: Mapping[str, Any], at: datetime) -> bool | str:
    try:
        return read.evaluate(payload, at)
    except VerificationError as error:
        return UNDETERMINED if error.reason is Reason.RULE_FIELD else str(error.reason)


def _showing_less(
    variables: Sequence[str], payload: Mapping[str, Any], open_fields: frozenset[str]
) -> Iterator[tuple[list[str], dict[str, Any]]]:
    """Yield `payload` without each part that a holder may withhold and the rule looks at, and without all of them."""
    parts = sorted({part for part in map(_part, variables) if part is not None and part not in open_fields})
    for withheld in [*([part] for part in parts), *([parts] if len(parts) > 1 else [])]:
        less = copy.deepcopy(dict(payload))
        for part in withheld:
            _withhold(less, part)
        yield withheld, less


def _part(path: str) -> str | None:
    """The part of a licence, shown or withheld as one, to which `path` leads; a field's own name for the face."""
    segments = path.split(".")
    if segments[0] != "payload":
        return None
    if segments[1] == "fields":
        return segments[2] if len(segments) > 2 else "/fields"
    return f"/{segments[1]}" if segments[1] in ("number", "object", "holders") else None


def _withhold(payload: dict[str, Any], part: str) -> None:
    fields, holders = payload.get("fields"), payload.get("holders")
    if part == "/fields":
        payload["fields"] = {}
    elif part == "/holders":
        if type(holders) is list:
            payload["holders"] = [_without(each, _HOLDER_MEMBERS) for each in holders]
    elif part.startswith("/"):
        payload.pop(part[1:], None)
    elif type(fields) is dict:
        fields.pop(part, None)


def _without(value: Any, names: frozenset[str]) -> Any:
    return {name: each for name, each in value.items() if name not in names} if type(value) is dict else value


@projector(PUBLISHED)
def project_published(tx: Writing, events: Sequence[Event]) -> None:
    """Keep every version of every rule."""
    bulk_insert(tx, rules, [_row(event) for event in events])


def _row(event: Event) -> tuple[Any, ...]:
    facts = event.facts
    texts = [orjson.dumps(facts[name], option=orjson.OPT_SORT_KEYS).decode() for name in ("names", "logic", "tests")]
    return (event.thing.partition(":")[2], facts["version"], *texts, event.idx, b64u_decode(facts["secret"]))
