"""How long what is at hand will do: rows, their ends and their words, written a second time."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from typing import Any

import pytest

from tests.verifiers.foreign_world import (
    ABROAD,
    DAY,
    HOME,
    OUR_FOOD,
    OUR_GRACE_S,
    equivalence,
    home_trust,
    row,
    usual_abroad,
    usual_home,
    view,
)
from tests.verifiers.issuer import DRIVER, FOOD, GRACE_S, NOW, TTL_S
from verifiers.grace import GraceRow, allowed_age_abroad_s, allowed_age_s, describe_table, grace_table
from verifiers.trust_list import TrustList
from verifiers.trusted_peers import Intervals

HERE, THERE = HOME.region, ABROAD.region
SECOND = dt.timedelta(seconds=1)
OUR_TYPES = {(FOOD, GRACE_S), (DRIVER, 600), (OUR_FOOD, OUR_GRACE_S)}


def table(trust: TrustList | None = None, **changes: Any) -> tuple[GraceRow, ...]:
    """The rows for our list and the other region's, both with a fresh status list."""
    status = [HOME.status(usual_home(), expires_at=NOW + 20 * DAY), ABROAD.status(usual_abroad())]
    given: dict[str, Any] = {"peers": [view()], "status": status, "at": NOW}
    return grace_table(trust or usual_home(), **(given | changes))


def test_each_type_has_a_row_of_ours_and_one_for_theirs_that_counts_as_it() -> None:
    """Ours by their own grace, theirs by the shorter of both; none has aged yet."""
    *ours, theirs = table()

    assert {(one.type, one.grace_s) for one in ours} == OUR_TYPES
    assert {(one.region, one.major, one.counts_as, one.age_s) for one in ours} == {(HERE, 1, None, 0)}
    assert all(one.until == NOW + dt.timedelta(seconds=one.grace_s) for one in ours)
    until = NOW + dt.timedelta(seconds=OUR_GRACE_S)
    assert theirs == GraceRow(THERE, FOOD, 1, (OUR_FOOD, 1), OUR_GRACE_S, 0, until)


def test_rows_can_be_narrowed_to_types_of_ours() -> None:
    """What counts as another of our types is left out with it."""
    assert [(one.region, one.type) for one in table(types=[OUR_FOOD])] == [(HERE, OUR_FOOD), (THERE, FOOD)]
    assert [(one.region, one.type) for one in table(types=[DRIVER])] == [(HERE, DRIVER)]


@pytest.mark.parametrize(
    "members",
    [
        {"peers": (row(status="suspended"),)},
        {"peers": ()},
        {"peers": (row(root="ab" * 32),)},
        {"equivalences": ()},
        {"equivalences": (equivalence(valid_from=NOW + SECOND),)},
        {"equivalences": (equivalence(valid_until=NOW),)},
    ],
    ids=["suspended", "unknown", "another root", "nothing counts", "not yet", "no more"],
)
def test_what_does_not_count_here_now_has_no_row(members: dict[str, Any]) -> None:
    """The same that a verdict would say."""
    trust = home_trust(**members)
    assert {one.region for one in table(trust, status=[HOME.status(trust)])} == {HERE}


def test_regions_stand_in_the_order_of_their_codes() -> None:
    """However they were given."""
    other = replace(usual_abroad(), document=replace(usual_abroad().document, region="600000"))
    statements = (equivalence(), equivalence(id="food-60", peer="600000"))
    trust = home_trust(peers=(row(region="600000"), row()), equivalences=statements)
    views = [view(), view(other)]

    for peers in (views, views[::-1]):
        assert [one.region for one in table(trust, peers=peers, types=[OUR_FOOD])] == [HERE, "600000", THERE]


@pytest.mark.parametrize(
    ("changes", "until"),
    [
        ({"expires_at": NOW + DAY}, NOW + DAY),
        ({"expires_at": NOW + SECOND}, NOW + SECOND),
        ({"issued_at": NOW - dt.timedelta(seconds=90)}, NOW + dt.timedelta(seconds=GRACE_S - 90)),
    ],
)
def test_a_row_ends_with_the_first_thing_that_ends(changes: dict[str, Any], until: dt.datetime) -> None:
    """The status list's own end, or the grace from when it was made."""
    lists = [HOME.status(usual_home(), **{"expires_at": NOW + 20 * DAY, **changes})]
    [food] = table(status=lists, types=[FOOD])

    assert food.until == until
    assert food.age_s == (NOW - lists[0].issued_at).total_seconds()


def test_a_row_ends_no_later_than_either_trust_list() -> None:
    """Ours for all rows, theirs for theirs; the oldest of several status lists decides."""
    soon = NOW + dt.timedelta(seconds=5)
    *_, theirs = table(home_trust(expires_at=soon), types=[OUR_FOOD])
    assert theirs.until == soon
    peer = ABROAD.trust(expires_at=soon, intervals=Intervals(200, 60, 30))
    own, theirs = table(peers=[view(peer)], status=[HOME.status(), ABROAD.status(peer)], types=[OUR_FOOD])
    assert own.until != soon == theirs.until
    old = HOME.status(usual_home(), issued_at=NOW - dt.timedelta(seconds=7))
    [own] = table(status=[HOME.status(usual_home()), old], peers=(), types=[OUR_FOOD])
    assert (own.age_s, own.until) == (7, NOW + dt.timedelta(seconds=OUR_GRACE_S - 7))


def test_without_a_status_list_of_the_region_nothing_is_good() -> None:
    """Another region's list does not stand in."""
    own, theirs = table(status=[HOME.status(usual_home())], types=[OUR_FOOD])

    assert own.good(NOW)
    assert (theirs.age_s, theirs.until, theirs.grace_s) == (None, None, OUR_GRACE_S)
    assert not theirs.good(NOW) and not theirs.good(NOW - 400 * DAY)


def test_the_shortest_ttl_of_the_lists_counts_where_the_grace_is_shorter() -> None:
    """A list may be as old as it says itself."""
    types = tuple(replace(kind, grace_s=0) for kind in usual_home().document.types)
    trust = home_trust(types=types)
    lists = [HOME.status(trust, ttl=ttl, expires_at=NOW + 20 * DAY) for ttl in (900, 700)]
    [own] = table(trust, status=lists, peers=(), types=[OUR_FOOD])

    assert (own.grace_s, own.until) == (700, NOW + dt.timedelta(seconds=700))
    [none] = table(trust, status=(), peers=(), types=[OUR_FOOD])
    assert none.grace_s == 0


def test_a_row_is_good_to_its_last_second() -> None:
    """And not a second longer."""
    one = GraceRow(HERE, FOOD, 1, None, 60, 0, NOW)

    assert one.good(NOW) and not one.good(NOW + SECOND)


ROWS = [
    GraceRow("610000", "FOOD", 2, None, 60, 5, NOW),
    GraceRow("620000", "THEIRS", 1, ("OURS", 3), 30, 7, NOW - SECOND),
    GraceRow("620000", "OTHER", 1, None, 30, None, None),
]


def test_a_row_in_json_names_everything() -> None:
    """Under these names: programs take them."""
    assert [one.to_json() for one in ROWS[1:]] == [
        {
            "age_s": 7,
            "counts_as": {"major": 3, "type": "OURS"},
            "grace_s": 30,
            "major": 1,
            "region": "620000",
            "type": "THEIRS",
            "until": "2026-11-21T07:59:59Z",
        },
        {
            "age_s": None,
            "counts_as": None,
            "grace_s": 30,
            "major": 1,
            "region": "620000",
            "type": "OTHER",
            "until": None,
        },
    ]


def test_the_table_is_told_in_two_languages() -> None:
    """One line a row, and whether it will do; Chinese where no language is named."""
    assert describe_table(ROWS, NOW).splitlines() == [
        "✓ 610000 FOOD@2: 宽限 60 秒，已过 5 秒，至 2026-11-21T08:00:00Z",
        "? 620000 THEIRS@1 → OURS@3: 宽限 30 秒，已过 7 秒，至 2026-11-21T07:59:59Z",
        "? 620000 OTHER@1: 没有状态列表",
    ]
    assert describe_table(ROWS, NOW, "en").splitlines() == [
        "✓ 610000 FOOD@2: grace 60 s, age 5 s, until 2026-11-21T08:00:00Z",
        "? 620000 THEIRS@1 → OURS@3: grace 30 s, age 7 s, until 2026-11-21T07:59:59Z",
        "? 620000 OTHER@1: no status list",
    ]


def test_a_list_may_be_as_old_as_its_ttl_or_the_grace_of_its_type() -> None:
    """Nothing known allows nothing; abroad our own grace, or our own lists' ttl, is the most."""
    kind, strict = usual_home().document.types[0], replace(usual_home().document.types[0], grace_s=0)
    assert kind.grace_s > TTL_S

    assert (allowed_age_s(None, None), allowed_age_s(7, None), allowed_age_s(None, kind)) == (0, 7, kind.grace_s)
    assert allowed_age_abroad_s(90, kind, usual_home(), strict) == 30
    assert allowed_age_abroad_s(20, None, usual_home(), strict) == 20
    assert allowed_age_abroad_s(90, kind, home_trust(intervals=None), strict) == 0
    assert allowed_age_abroad_s(90, kind, None, kind) == kind.grace_s
