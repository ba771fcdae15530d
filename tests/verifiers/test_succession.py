"""What may never change from one version of a trust list to a later one, whatever happens in between."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.verifiers.foreign_world import equivalence, row, rule
from tests.verifiers.issuer import BASE, DRIVER, MARKET, NOW, Issuer
from verifiers.succession import check_succession
from verifiers.trust_document import Department, Position, Revocation, StatusListName
from verifiers.trust_list import TrustDocument

ISSUER = Issuer()
KEY, CODE = f"{MARKET}/licence", f"{MARKET}/code"
SECOND = dt.timedelta(seconds=1)


def place(size: int, root: int = 0) -> Position:
    """A position in the log."""
    return Position(ISSUER.origin, size, bytes([root]) * 32)


def key_row(document: TrustDocument, name: str, **changes: Any) -> TrustDocument:
    """The document with the row of one key changed."""
    kid = ISSUER.public(name).kid
    keys = tuple(replace(key, **changes) if key.public_key.kid == kid else key for key in document.keys)
    return replace(document, keys=keys)


def revoked(size: int | None, at: dt.datetime = NOW) -> Revocation:
    """A revocation that leaves so much good."""
    return Revocation(at, "compromised", None if size is None else place(size))


def settled() -> TrustDocument:
    """A list in which something of every kind has happened."""
    document = ISSUER.document(
        seq=5, peers=(row(),), equivalences=(equivalence(),), rules=(rule(),), former=("https://old.example",)
    )
    document = key_row(document, KEY, log_to=place(60), revoked=revoked(50))
    document = key_row(document, CODE, log_to=place(61))
    market, transport = document.departments
    return replace(
        document,
        departments=(replace(market, status="merged", successor=transport.id), transport),
        grants=(replace(document.grants[0], log_to=place(62)), document.grants[1]),
    )


def after(document: TrustDocument, **changes: Any) -> TrustDocument:
    """The next version."""
    return replace(document, seq=document.seq + 1, **changes)


def first(rows: tuple[Any, ...], **changes: Any) -> tuple[Any, ...]:
    """The rows with the first one changed."""
    return (replace(rows[0], **changes), *rows[1:])


def closed(department: Department) -> Department:
    """The department, closed."""
    return replace(department, status="closed")


MINOR = "sha256-" + "B" * 43 + "="
OLD = settled()
LOG = OLD.logs[0]
NEW_LOG = replace(LOG, origin="ledger.example/log/2")

ALLOWED: dict[str, Callable[[TrustDocument], TrustDocument]] = {
    "nothing": lambda d: after(d),
    "a version was missed": lambda d: replace(d, seq=d.seq + 7),
    "less of a stolen key counts": lambda d: key_row(after(d), KEY, revoked=revoked(49)),
    "nothing of it counts": lambda d: key_row(after(d), KEY, revoked=revoked(None)),
    "it was stolen earlier": lambda d: key_row(after(d), KEY, revoked=revoked(50, NOW - SECOND)),
    "another key ends": lambda d: key_row(after(d), "status", log_to=place(70)),
    "another key is stolen": lambda d: key_row(after(d), CODE, revoked=revoked(70)),
    "a grant ends": lambda d: after(d, grants=(d.grants[0], replace(d.grants[1], log_to=place(70)))),
    "a grant is given again": lambda d: after(d, grants=(*d.grants, replace(d.grants[1], log_from=place(70)))),
    "a department closes": lambda d: after(d, departments=(d.departments[0], closed(d.departments[1]))),
    "witnesses change": lambda d: after(d, logs=(replace(LOG, quorum=0, witnesses=()),)),
    "a log ends and another opens": lambda d: after(d, logs=(replace(LOG, to=place(80)), NEW_LOG)),
    "a minor version": lambda d: after(d, types=first(d.types, integrity=(*d.types[0].integrity, MINOR))),
    "a list nobody used goes": lambda d: after(d, status_lists=(StatusListName(9, f"{BASE}/status-lists/9"),)),
    "a peer is withdrawn": lambda d: after(d, peers=(row(status="withdrawn"),)),
    "an equivalence is withdrawn": lambda d: after(d, equivalences=(equivalence(valid_until=NOW),)),
    "the region moves": lambda d: after(
        d,
        iss="https://new.example",
        former=(*d.former, d.iss),
        departments=tuple(replace(one, iss=one.iss.replace(BASE, "https://new.example")) for one in d.departments),
        types=tuple(replace(one, vct=one.vct.replace(BASE, "https://new.example")) for one in d.types),
    ),
}  # fmt: skip

FORBIDDEN: dict[str, tuple[str, Callable[[TrustDocument], TrustDocument]]] = {
    "another region": ("region", lambda d: after(d, region="620000")),
    "the same number": ("region", lambda d: replace(d, names=replace(d.names, en="Another"))),
    "a lower number": ("region", lambda d: replace(d, seq=d.seq - 1)),
    "a former address lost": ("region", lambda d: after(d, former=())),
    "a move that forgets": ("region", lambda d: after(d, iss="https://new.example")),
    "more of a stolen key counts": ("keys", lambda d: key_row(after(d), KEY, revoked=revoked(51))),
    "another tree of that size": (
        "keys",
        lambda d: key_row(after(d), KEY, revoked=Revocation(NOW, "compromised", place(50, 1))),
    ),
    "it was stolen later": ("keys", lambda d: key_row(after(d), KEY, revoked=revoked(50, NOW + SECOND))),
    "a tree of another log": (
        "keys",
        lambda d: key_row(after(d), KEY, revoked=Revocation(NOW, "x", replace(place(1), origin="elsewhere"))),
    ),
    "a revocation taken back": ("keys", lambda d: key_row(after(d), KEY, revoked=None)),
    "the end of a key moved": ("keys", lambda d: key_row(after(d), CODE, log_to=place(99))),
    "the end of a key taken back": ("keys", lambda d: key_row(after(d), CODE, log_to=None)),
    "the beginning of a key moved": ("keys", lambda d: key_row(after(d), CODE, log_from=place(1))),
    "another purpose": ("keys", lambda d: key_row(after(d), CODE, purpose="licence")),
    "another owner": ("keys", lambda d: key_row(after(d), "status", department=MARKET)),
    "another certificate": ("keys", lambda d: key_row(after(d), CODE, certificate_sha256=bytes(32))),
    "a key lost": ("keys", lambda d: after(d, keys=d.keys[1:])),
    "a grant lost": ("grants", lambda d: after(d, grants=d.grants[1:])),
    "the end of a grant moved": ("grants", lambda d: after(d, grants=first(d.grants, log_to=place(99)))),
    "the end of a grant taken back": ("grants", lambda d: after(d, grants=first(d.grants, log_to=None))),
    "a grant widened in place": ("grants", lambda d: after(d, grants=first(d.grants, area="61"))),
    "a department lost": ("departments", lambda d: after(d, departments=d.departments[1:])),
    "a department's number": ("departments", lambda d: after(d, departments=first(d.departments, number=7))),
    "a number given away": (
        "departments",
        lambda d: after(d, departments=(*d.departments, replace(d.departments[0], id="1" * 18))),
    ),
    "another name in licences": (
        "departments",
        lambda d: after(d, departments=first(d.departments, iss=f"{BASE}/d/another")),
    ),
    "a department rises": (
        "departments",
        lambda d: after(d, departments=first(d.departments, status="active", successor=None)),
    ),
    "log keys swapped": ("logs", lambda d: after(d, logs=(replace(LOG, keys=LOG.keys[:1]),))),
    "a log lost": ("logs", lambda d: after(d, logs=())),
    "two open logs": ("logs", lambda d: after(d, logs=(LOG, NEW_LOG))),
    "a type lost": ("types", lambda d: after(d, types=d.types[1:])),
    "a type's number": ("types", lambda d: after(d, types=first(d.types, number=9))),
    "a type's address": ("types", lambda d: after(d, types=first(d.types, vct=f"{BASE}/types/{DRIVER}/9"))),
    "a minor version lost": ("types", lambda d: after(d, types=first(d.types, integrity=()))),
    "a list's number given away": (
        "status_lists",
        lambda d: after(d, status_lists=(replace(d.status_lists[0], uri=f"{BASE}/status-lists/2"),)),
    ),
    "a rule rewritten": ("rules", lambda d: after(d, rules=(rule({"==": [1, 1]}),))),
    "a rule lost": ("rules", lambda d: after(d, rules=())),
    "an equivalence rewritten": ("equivalences", lambda d: after(d, equivalences=(equivalence(their_type=DRIVER),))),
    "an equivalence lost": ("equivalences", lambda d: after(d, equivalences=())),
}  # fmt: skip


@pytest.mark.parametrize("change", ALLOWED)
def test_a_list_may_add_end_and_take_away_trust(change: str) -> None:
    """All that a region does in its life follows."""
    assert check_succession(OLD, ALLOWED[change](OLD)) == ()


@pytest.mark.parametrize("change", FORBIDDEN)
def test_a_list_may_not_take_back_what_was_settled(change: str) -> None:
    """Each of these is what a thief of the list key would like to say."""
    member, work = FORBIDDEN[change]

    assert {one.member for one in check_succession(OLD, work(OLD))} == {member}


def test_an_equivalence_that_was_cut_stays_cut() -> None:
    """Its end may come earlier, and never later again."""
    cut = after(OLD, equivalences=(equivalence(valid_until=NOW),))
    for later in (NOW + SECOND, None):
        [found] = check_succession(cut, after(cut, equivalences=(equivalence(valid_until=later),)))
        assert found.member == "equivalences"


def test_the_end_of_a_log_stays_where_it_is() -> None:
    """A log that has ended is not continued, and no other tree becomes its last."""
    ended = after(OLD, logs=(replace(LOG, to=place(80)), NEW_LOG))
    for to in (place(81), place(80, 1), None):
        found = check_succession(ended, after(ended, logs=(replace(LOG, to=to), NEW_LOG)))
        assert {one.member for one in found} == {"logs"}
    second = replace(ended, logs=(replace(LOG, to=place(80)), NEW_LOG))
    moved = key_row(after(second), CODE, revoked=Revocation(NOW, "x", replace(place(3), origin=NEW_LOG.origin)))
    back = key_row(after(moved), CODE, revoked=revoked(80))
    assert check_succession(second, moved) == check_succession(moved, back) == ()
    assert check_succession(back, replace(moved, seq=back.seq + 1))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from([name for name in ALLOWED if name != "the region moves"]), max_size=6), st.data())
def test_whatever_lies_between_old_and_new_is_judged_the_same(steps: list[str], data: st.DataObject) -> None:
    """Honest versions follow each other over any gap, and no way round makes a forbidden change pass."""
    document, seen = OLD, [OLD]
    for step in steps:
        following = ALLOWED[step](document)
        if not check_succession(document, following):
            document = following
            seen.append(document)
    for old in seen:
        assert old is document or check_succession(old, document) == ()
    taken_back = data.draw(st.sampled_from(["a revocation taken back", "a key lost", "a grant lost"]))
    bad = replace(FORBIDDEN[taken_back][1](document), seq=document.seq + 1)
    for later in ("nothing", "witnesses change"):
        assert all(check_succession(old, ALLOWED[later](bad)) for old in seen)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.none() | st.integers(0, 100), st.integers(-50, 50)), min_size=2, max_size=8))
def test_what_a_stolen_key_leaves_good_only_shrinks(said: list[tuple[int | None, int]]) -> None:
    """Along any chain that is accepted step by step, neither the position nor the moment ever rises."""
    good: list[tuple[float, int]] = []
    document = key_row(OLD, KEY, revoked=revoked(60, NOW + 60 * SECOND))
    for size, moment in said:
        new = key_row(after(document), KEY, revoked=revoked(size, NOW + moment * SECOND))
        if not check_succession(document, new):
            document = new
            good.append((-1 if size is None else size, moment))
    assert good == sorted(good, key=lambda each: -each[0])
    assert [each[1] for each in good] == sorted((each[1] for each in good), reverse=True)


GONE = "is changed or no longer named"
TOLD = {
    "another region": "the list of 620000 cannot follow that of 610000",
    "the same number": "list 5 is not later than list 5",
    "a former address lost": "an address it had is no longer named: https://old.example",
    "a number given away": "number 1 is given to another department",
    "a type lost": f"type {OLD.types[0].code}@1 is no longer named",
    "a type's number": f"type {OLD.types[0].code}@1 has another number or another address",
    "a minor version lost": f"a minor version of type {OLD.types[0].code}@1 is no longer named",
    "a list's number given away": "number 1 is given to another status list",
    "a rule lost": f"version {rule().name.version} of rule {rule().name.id} {GONE}",
    "an equivalence lost": f"version {equivalence().version} of equivalence {equivalence().id} {GONE}",
}


@pytest.mark.parametrize("change", TOLD)
def test_what_was_taken_back_is_told(change: str) -> None:
    """To the operator who has to ask the other region what happened."""
    assert [one.detail for one in check_succession(OLD, FORBIDDEN[change][1](OLD))] == [TOLD[change]]
