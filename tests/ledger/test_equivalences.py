"""Declaring what of another region's licences counts here: notice, tests, versions, and what the signed list says."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from keys.certificates import fingerprint
from ledger import equivalences, foreign_types, peers, rules, types
from ledger.clock import ManualClock
from ledger.errors import Code, Refusal
from ledger.history import load_event
from ledger.rebuilding import rebuild
from ledger.region import Region
from tests.ledger.licensing import FOOD, definition
from tests.ledger.recognising import (
    ID,
    LARGE,
    NOTICE_S,
    PEER,
    TESTS,
    admit,
    declaration,
    following,
    metadata,
    trial,
)
from tests.region import OPERATOR, region_on
from tests.verifiers.issuer import FOOD as THEIR_FOOD
from verifiers.errors import Malformed
from verifiers.legal_dates import format_time
from verifiers.rule import parse_rule
from verifiers.trust_list import TrustList, open_trust_list
from verifiers.trusted_peers import TrustedEquivalence


@pytest.fixture
def clock() -> ManualClock:
    """A clock that stands still until it is moved."""
    return ManualClock(datetime.now(UTC).replace(microsecond=0))


@pytest.fixture
async def region(database_url: str, tmp_path: Path, clock: ManualClock) -> AsyncIterator[Region]:
    """A region with one licence type and one peer."""
    async with region_on(database_url, tmp_path, clock=clock) as region:
        await types.register(region, OPERATOR, definition("food-business-licence"))
        await admit(region)
        yield region


async def signed(region: Region) -> TrustList:
    """Open the trust list that is out, once it says what the catalogue says."""
    assert await region.trust.settled(20)
    text = region.files.read("trust-list/latest")
    assert text is not None
    pinned = fingerprint(region.root_certificate)
    return open_trust_list(text.decode(), root_fingerprint=pinned, at=region.clock.now())


async def in_force(region: Region) -> list[int]:
    """Return which versions the signed list says are in force now."""
    found = (await signed(region)).equivalences_of(PEER, THEIR_FOOD, 1)
    return [one.version for one in found if one.in_force(region.clock.now())]


async def refused(region: Region, code: Code, **changes: Any) -> Refusal:
    """Return the refusal that a declaration ends in."""
    with pytest.raises(Refusal) as caught:
        await equivalences.declare(region, OPERATOR, declaration(**changes))
    assert caught.value.code is code, str(caught.value)
    return caught.value


async def test_a_declared_equivalence_is_in_the_signed_list_with_its_window_and_rule(
    region: Region, clock: ManualClock
) -> None:
    """It is out at once and counts after the notice."""
    begins = clock.now() + timedelta(seconds=NOTICE_S)
    until = begins + timedelta(days=365)

    answer = await equivalences.declare(region, OPERATOR, declaration(valid_until=format_time(until)))

    assert (answer["id"], answer["version"], answer["rule"]) == (ID, 1, {"id": ID, "version": 1})
    trust = await signed(region)
    [row] = trust.equivalences_of(PEER, THEIR_FOOD, 1)
    assert isinstance(row, TrustedEquivalence)
    assert (row.our_type, row.our_major, dict(row.fields)) == (FOOD, 1, {"premises": "site", "number": "number"})
    assert (row.valid_from, row.valid_until) == (begins, until)
    published = trust.rule(ID, 1)
    assert published is not None and published.logic == LARGE and published.names.en == "Large enough"
    assert not row.in_force(clock.now()) and row.in_force(begins) and not row.in_force(until)


async def test_withdrawing_ends_it_at_once(region: Region, clock: ManualClock) -> None:
    """In the signed list too, announced versions included; what has begun stays as history."""
    await equivalences.declare(region, OPERATOR, declaration())
    clock.advance(NOTICE_S)
    await equivalences.declare(region, OPERATOR, declaration(fields={}))
    assert await in_force(region) == [1]

    await equivalences.withdraw(region, OPERATOR, ID, {"reason": "示例原因"})

    assert await in_force(region) == []
    clock.advance(days=30)
    assert await in_force(region) == []
    history = equivalences.history(region.catalogue, clock.now(), ID)
    assert [(each["version"], each["state"]) for each in history["versions"]] == [(2, "ended"), (1, "ended")]


async def test_an_end_can_be_announced(region: Region, clock: ManualClock) -> None:
    """Later than now, but never in the past, and never later than it would have ended."""
    await equivalences.declare(region, OPERATOR, declaration())
    clock.advance(NOTICE_S)
    ends = clock.now() + timedelta(days=3)

    await equivalences.withdraw(region, OPERATOR, ID, {"reason": "示例原因", "from": format_time(ends)})
    await equivalences.withdraw(
        region, OPERATOR, ID, {"reason": "示例原因", "from": format_time(ends + timedelta(days=3))}
    )

    assert await in_force(region) == [1]
    [row] = (await signed(region)).equivalences_of(PEER, THEIR_FOOD, 1)
    assert row.valid_until == ends
    past = format_time(clock.now() - timedelta(seconds=1))
    with pytest.raises(Refusal) as caught:
        await equivalences.withdraw(region, OPERATOR, ID, {"reason": "示例原因", "from": past})
    assert caught.value.code is Code.EQUIVALENCE_WINDOW_INVALID


async def test_to_accept_takes_notice(region: Region, clock: ManualClock) -> None:
    """No earlier than the notice allows, no further ahead than two weeks beyond it, and it begins before it ends."""
    earliest = clock.now() + timedelta(seconds=NOTICE_S)
    second = timedelta(seconds=1)

    early = await refused(region, Code.EQUIVALENCE_NOTICE_TOO_SHORT, valid_from=format_time(earliest - second))
    late = earliest + equivalences.HORIZON + second
    await refused(region, Code.EQUIVALENCE_WINDOW_INVALID, valid_from=format_time(late))
    await refused(region, Code.EQUIVALENCE_WINDOW_INVALID, valid_until=format_time(earliest))
    await equivalences.declare(region, OPERATOR, declaration(valid_from=format_time(late - second)))

    assert (early.pointer, early.facts) == ("/valid_from", {"earliest": format_time(earliest)})


async def test_a_new_version_takes_notice_and_then_takes_over(region: Region, clock: ManualClock) -> None:
    """Until it begins the older one goes on; there is never a gap and never both."""
    await equivalences.declare(region, OPERATOR, declaration())
    clock.advance(NOTICE_S)
    tighter = {">=": [{"var": "payload.fields.area_m2"}, 200]}
    trials = [trial(True, area_m2=200), trial(False, area_m2=199)]

    second = await equivalences.declare(region, OPERATOR, declaration(conditions=tighter, tests=trials))

    assert (second["version"], second["rule"]) == (2, {"id": ID, "version": 2})
    assert await in_force(region) == [1]
    clock.advance(NOTICE_S - 1)
    assert await in_force(region) == [1]
    clock.advance(1)
    assert await in_force(region) == [2]


async def test_a_rule_is_a_new_version_only_where_it_says_something_new(region: Region) -> None:
    """Each version of it is kept as it was published."""
    await equivalences.declare(region, OPERATOR, declaration())
    same = await equivalences.declare(region, OPERATOR, declaration(fields={}))
    other = [*TESTS, trial(True, area_m2=500)]
    more = await equivalences.declare(region, OPERATOR, declaration(tests=other))
    none = await equivalences.declare(region, OPERATOR, declaration(conditions=None, tests=[]))

    assert [each["rule"] and each["rule"]["version"] for each in (same, more, none)] == [1, 2, None]
    assert rules.shown(region.catalogue, ID, 1)["tests"] == TESTS
    assert rules.shown(region.catalogue, ID, 2)["variables"] == ["payload.fields.area_m2"]
    with pytest.raises(Refusal) as caught:
        rules.shown(region.catalogue, ID, 3)
    assert caught.value.code is Code.RULE_UNKNOWN


@pytest.mark.parametrize(
    ("changes", "code", "pointer"),
    [
        ({"tests": []}, Code.RULE_TESTS_MISSING, "/tests"),
        ({"tests": TESTS[:1]}, Code.RULE_TESTS_MISSING, "/tests"),
        ({"tests": [*TESTS, trial(True, area_m2=1)]}, Code.RULE_TEST_FAILED, "/tests/3"),
        ({"tests": [*TESTS, trial("undetermined", area_m2=1)]}, Code.RULE_TEST_FAILED, "/tests/3"),
        ({"tests": [*TESTS, trial(False, area_m2="1")]}, Code.RULE_TEST_FAILED, "/tests/3"),
        ({"tests": [*TESTS, trial("maybe")]}, Code.REQUEST_MEMBER_INVALID, "/tests/3/expect"),
        ({"tests": [*TESTS, trial(1)]}, Code.REQUEST_MEMBER_INVALID, "/tests/3/expect"),
        ({"tests": [*TESTS, {**trial(True), "at": "2026"}]}, Code.REQUEST_MEMBER_INVALID, "/tests/3/at"),
        ({"conditions": {"or": [True, True]}}, Code.RULE_MALFORMED, "/conditions"),
        ({"conditions": True}, Code.RULE_MALFORMED, "/conditions"),
        ({"conditions": None}, Code.REQUEST_MEMBER_INVALID, "/tests"),
        ({"peer": "630000"}, Code.PEER_UNKNOWN, "/peer"),
        ({"peer": "63"}, Code.REQUEST_MEMBER_INVALID, "/peer"),
        ({"ours": {"type": THEIR_FOOD, "major": 1}}, Code.TYPE_UNKNOWN, "/ours/type"),
        ({"ours": {"type": FOOD, "major": 2}}, Code.TYPE_UNKNOWN, "/ours/type"),
        ({"ours": {"type": FOOD}}, Code.REQUEST_MEMBER_MISSING, "/ours/major"),
        ({"fields": {"nothing": "site"}}, Code.FIELD_UNKNOWN, "/fields/nothing"),
        ({"fields": {"premises": 1}}, Code.REQUEST_MEMBER_INVALID, "/fields/premises"),
        ({"valid_from": "tomorrow"}, Code.REQUEST_MEMBER_INVALID, "/valid_from"),
        ({"id": "-"}, Code.REQUEST_MEMBER_INVALID, "/id"),
        ({"surprise": 1}, Code.REQUEST_MEMBER_UNKNOWN, "/surprise"),
    ],
)
async def test_what_does_not_hold_together_is_refused_where_it_stands(
    sqlite_url: str, tmp_path: Path, changes: dict[str, Any], code: Code, pointer: str
) -> None:
    """With the reason and the place."""
    async with region_on(sqlite_url, tmp_path) as region:
        await types.register(region, OPERATOR, definition("food-business-licence"))
        await admit(region)

        refusal = await refused(region, code, **changes)

    assert refusal.pointer == pointer


async def test_the_deepest_rule_that_is_one_can_be_published(region: Region) -> None:
    """It goes into the log and the signed list; a case that would not is refused where it stands."""
    logic: Any = LARGE
    while not too_deep({"!": [{"!": [logic]}]}):
        logic = {"!": [{"!": [logic]}]}

    await equivalences.declare(region, OPERATOR, declaration(conditions=logic))

    published = (await signed(region)).rule(ID, 1)
    assert published is not None and published.logic == logic
    deep: Any = 1
    for _ in range(27):
        deep = [deep]
    refusal = await refused(region, Code.REQUEST_MEMBER_INVALID, tests=[*TESTS, trial(False, area_m2=1, deep=deep)])
    assert refusal.pointer == "/tests"


def too_deep(logic: Any) -> bool:
    """Whether a rule has more levels than rules may have."""
    try:
        parse_rule(logic)
    except Malformed:
        return True
    return False


NO_PENALTY: dict[str, Any] = {"!": [{"var": "payload.fields.penalty"}]}


@pytest.mark.parametrize(
    ("logic", "trials", "withheld"),
    [
        (NO_PENALTY, [trial(True), trial(False, penalty="罚款")], ["penalty"]),
        (
            {"if": [{"!": [{"var": "payload.fields.a"}]}, True, {"===": [{"var": "payload.fields.b"}, 1]}]},
            [trial(True, a=1, b=1), trial(False, a=1, b=2)],
            ["a"],
        ),
        (
            {"!": [{"var": "payload.number"}]},
            [trial(True), {"payload": {"number": "7"}, "at": "2026-11-21T00:00:00Z", "expect": False}],
            ["/number"],
        ),
        (
            {"!": [{"var": "payload.holders.0.share"}]},
            [trial(True), {**trial(False), "payload": {"holders": [{"kind": "person", "share": "1/2"}]}}],
            ["/holders"],
        ),
    ],
)
async def test_a_rule_that_pays_to_show_less_is_refused(
    region: Region, logic: Any, trials: list[Any], withheld: list[str]
) -> None:
    """A holder chooses what to show, so leaving something out must never turn a no into a yes."""
    refusal = await refused(region, Code.RULE_WITHHOLDING, conditions=logic, tests=trials)

    assert (refusal.pointer, refusal.facts) == ("/tests/1", {"withheld": withheld})


async def test_what_cannot_be_withheld_may_be_absent(region: Region) -> None:
    """A licence without an end has no `valid_until`, and its holder cannot take that away."""
    until = {"plusTime": [{"var": "payload.valid_until"}, 0, "day"]}
    later = {"after": [until, {"plusTime": ["2027-01-01", 0, "day"]}]}
    logic = {"if": [{"var": "payload.valid_until"}, later, True]}
    trials: list[Any] = [trial(True), {**trial(False), "payload": {"valid_until": "2026-12-31"}}]

    answer = await equivalences.declare(region, OPERATOR, declaration(conditions=logic, tests=trials))

    assert answer["rule"] is not None


async def test_one_type_of_one_peer_has_one_equivalence(region: Region, clock: ManualClock) -> None:
    """Another one waits until it has ended, and an id stays with what it is for."""
    await equivalences.declare(region, OPERATOR, declaration(id="food"))

    other = await refused(region, Code.EQUIVALENCE_EXISTS, id="food-2")
    moved = await refused(region, Code.EQUIVALENCE_EXISTS, id="food", their={"type": THEIR_FOOD, "major": 2})
    await equivalences.withdraw(region, OPERATOR, "food", {"reason": "示例原因"})
    await equivalences.declare(region, OPERATOR, declaration(id="food-2"))

    assert (other.pointer, moved.pointer) == ("/their/type", "/id")
    states = {each["id"]: each["state"] for each in equivalences.listed(region.catalogue, clock.now())}
    assert states == {"food": "ended", "food-2": "announced"}


async def test_two_at_once_do_not_both_take_the_place(region: Region) -> None:
    """One is declared, the other is told so, whether they name the same id or two."""
    for id_s in (("a", "a"), ("b", "c")):
        found = await asyncio.gather(
            *(
                equivalences.declare(
                    region, OPERATOR, declaration(id=id_, their={"type": THEIR_FOOD, "major": 5 + len(set(id_s))})
                )
                for id_ in id_s
            ),
            return_exceptions=True,
        )
        refusals = [each.code for each in found if isinstance(each, Refusal)]
        made = [each for each in found if isinstance(each, dict)]
        versions = {(each["id"], each["version"]) for each in made}
        assert len(versions) == len(made) and len(made) + len(refusals) == 2
        if len(set(id_s)) == 2:
            assert refusals == [Code.EQUIVALENCE_EXISTS]


async def test_nothing_is_declared_for_a_peer_that_was_withdrawn(region: Region) -> None:
    """Suspended is another matter: the declaration counts again with the peer."""
    await peers.withdraw(region, OPERATOR, PEER, "示例原因")

    await refused(region, Code.PEER_WITHDRAWN)


async def test_what_the_peer_publishes_is_compared(region: Region) -> None:
    """Types and fields that it does not have are refused; what is not at hand is a warning, kept with the fact."""
    alone = await equivalences.declare(region, OPERATOR, declaration())
    await following(region, None)
    out_of_reach = await equivalences.declare(region, OPERATOR, declaration())
    await following(region, metadata(("site", "always")), pinned=False)
    other_bytes = await equivalences.declare(region, OPERATOR, declaration())
    await following(region, metadata(("site", "always"), ("area_m2", "always")))
    checked = await equivalences.declare(region, OPERATOR, declaration())

    found = [each["warnings"] for each in (alone, out_of_reach, other_bytes, checked)]
    fields = [foreign_types.FIELDS_UNCHECKED]
    assert found == [[foreign_types.TYPE_UNCHECKED, *fields], fields, fields, []]
    no_type = await refused(region, Code.EQUIVALENCE_TYPE_UNKNOWN, their={"type": THEIR_FOOD, "major": 9})
    no_field = await refused(region, Code.FIELD_UNKNOWN, fields={"premises": "nowhere"})
    assert (no_type.pointer, no_field.pointer) == ("/their/type", "/fields/premises")


async def test_a_field_that_its_type_always_shows_cannot_be_withheld(region: Region) -> None:
    """So a rule may take its absence for an answer."""
    trials = [trial(True), trial(False, penalty="罚款")]
    body = {"conditions": NO_PENALTY, "tests": trials, "fields": {}}

    await following(region, metadata(("penalty", "allowed")))
    await refused(region, Code.RULE_WITHHOLDING, **body)
    await following(region, metadata(("penalty", "never")))
    answer = await equivalences.declare(region, OPERATOR, declaration(**body))

    assert answer["warnings"] == []


async def test_the_record_says_who_decided(region: Region) -> None:
    """Client and officer, of the declaration, its rule and the withdrawal with its reason."""
    declared = await equivalences.declare(region, OPERATOR, declaration())
    withdrawn = await equivalences.withdraw(region, OPERATOR, ID, {"reason": "示例原因"})
    read = region.database.read

    numbers = (declared["entry"], declared["entry"] + 1, withdrawn["entry"])
    events = [await read(lambda tx, idx=idx: load_event(tx, region.vault, idx)) for idx in numbers]  # type: ignore[misc]

    assert [event.event for event in events] == [equivalences.DECLARED, rules.PUBLISHED, equivalences.WITHDRAWN]
    assert all(event.facts["officer"] == OPERATOR.operator for event in events)
    assert events[2].facts["reason"] == "示例原因"
    with pytest.raises(Refusal) as caught:
        await equivalences.withdraw(region, OPERATOR, "nothing", {"reason": "示例原因"})
    assert caught.value.code is Code.EQUIVALENCE_UNKNOWN


async def test_the_tables_can_be_made_again(region: Region, clock: ManualClock) -> None:
    """From the log alone, equal to what they are."""
    await equivalences.declare(region, OPERATOR, declaration())
    await equivalences.declare(region, OPERATOR, declaration(fields={}))
    await equivalences.withdraw(region, OPERATOR, ID, {"reason": "示例原因"})

    assert rebuild(region.database, region.vault, clock).replaced == ()
