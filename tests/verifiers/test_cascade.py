"""The closure and the state rule, compared with slow and obvious ways of saying the same."""

import doctest
from datetime import date, timedelta
from hashlib import sha256
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from verifiers import cascade
from verifiers.cascade import (
    BASIS_ALLOWS,
    STATE_OF_ACT,
    Consequence,
    Edge,
    Effect,
    Holding,
    Instruction,
    OpenCause,
    Thing,
    closure,
    next_turn,
    preview_digest,
    state_of,
)

OURS, THEIRS = "91000000000000000A", "91000000000000000B"
SUBMISSION = Thing("submission", "s")
TODAY = date(2026, 11, 21)
World = tuple[list[Thing], list[Edge], dict[str, Holding], set[str]]


def licence(name: str) -> Thing:
    """Name a licence node."""
    return Thing("licence", name)


def slow_effects(
    targets: list[Thing], edges: list[Edge], holdings: dict[str, Holding], by: str, spared: set[str]
) -> dict[str, Effect]:
    """Protocol rule 22 read aloud: start from nothing and repeat the sentence until nothing changes."""

    def allowed(child: Thing, basis: str) -> Effect:
        default = Effect.REVOKED if basis == "direct" else BASIS_ALLOWS[basis]
        if child.kind != "licence":
            return default
        if child.id in spared:
            return Effect.NONE
        holding = holdings[child.id]
        if basis == "direct" and holding.department == by:
            return default
        for table in (holding.tightening, holding.instruction.effects if holding.instruction else {}):
            names = ["direct", "identity"] if basis == "direct" else [basis]
            default = min(default, next((table[name] for name in names if name in table), default))
        if holding.instruction:
            return default
        return default if holding.department == by else min(default, Effect.SUSPENDED)

    things = {thing for edge in edges for thing in edge[:2]} | set(targets)
    effects = dict.fromkeys(things, Effect.NONE)
    while True:
        following = {}
        for thing in things:
            candidates = [allowed(thing, "direct")] if thing in targets else [Effect.NONE]
            for edge in edges:
                handed_on = effects[edge.parent]
                if edge.child == thing and handed_on is not Effect.NOTICE:
                    candidates.append(min(handed_on, allowed(thing, edge.basis)))
            following[thing] = max(candidates)
        if following == effects:
            return {t.id: e for t, e in effects.items() if t.kind == "licence" and e is not Effect.NONE}
        effects = following


tightenings = st.dictionaries(st.sampled_from([*BASIS_ALLOWS, "direct"]), st.sampled_from(list(Effect)), max_size=4)
instructions = st.one_of(st.none(), st.builds(Instruction, version=st.just("1"), effects=tightenings))


@st.composite
def worlds(draw: st.DrawFn) -> World:
    """Draw targets, edges (diamonds and cycles included), holdings and spared licences."""
    names = [f"l{n}" for n in range(draw(st.integers(1, 9)))]
    things = [licence(name) for name in names] + [SUBMISSION, Thing("material", "m")]
    edges = draw(
        st.lists(
            st.builds(Edge, st.sampled_from(things), st.sampled_from(things), st.sampled_from(list(BASIS_ALLOWS))),
            max_size=25,
        )
    )
    holdings = {
        name: Holding(draw(st.sampled_from([OURS, THEIRS])), draw(instructions), draw(tightenings)) for name in names
    }
    targets = draw(st.lists(st.sampled_from(things), min_size=1, max_size=3, unique=True))
    return targets, edges, holdings, set(draw(st.lists(st.sampled_from(names), max_size=2)))


@given(worlds())
def test_the_closure_equals_the_sentence_repeated_until_nothing_changes(world: World) -> None:
    """Any graph, with diamonds, cycles, versions and narrow instructions, gives the set of the slow reference."""
    targets, edges, holdings, spared = world

    fallen = closure(targets, edges, holdings, decided_by=OURS, spared=spared)

    assert {c.licence: c.effect for c in fallen} == slow_effects(targets, edges, holdings, OURS, spared)


def test_the_digest_of_a_preview_to_the_byte() -> None:
    """Spelt out with nothing but SHA-256: a domain of its own, then canonical JSON."""
    said = b'{"by":"%b","consequences":[],"targets":[["licence","a"]]}' % OURS.encode()

    assert preview_digest([Thing("licence", "a")], OURS, []) == sha256(b"elicence/preview/v1\0" + said).digest()


@given(worlds(), st.randoms(use_true_random=False))
def test_the_order_of_edges_changes_neither_effects_nor_citations(world: World, random: Random) -> None:
    """Two services that read the same edges in another order agree to the byte of the digest."""
    targets, edges, holdings, spared = world
    shuffled = random.sample(edges, len(edges))

    first = closure(targets, edges, holdings, decided_by=OURS, spared=spared)
    second = closure(reversed(targets), shuffled, holdings, decided_by=OURS, spared=spared)

    assert preview_digest(targets, OURS, first) == preview_digest(reversed(targets), OURS, second)


@given(worlds())
def test_every_consequence_cites_an_edge_that_explains_it(world: World) -> None:
    """Following the cited parents always ends at a target: no two licences justify each other."""
    targets, edges, holdings, spared = world

    fallen = {c.licence: c for c in closure(targets, edges, holdings, decided_by=OURS, spared=spared)}

    for consequence in fallen.values():
        steps = 0
        while consequence.parent is not None and consequence.parent.kind == "licence":
            assert Edge(licence(consequence.licence), consequence.parent, consequence.basis or "") in edges
            assert fallen[consequence.parent.id].effect >= consequence.effect
            consequence = fallen[consequence.parent.id]
            steps += 1
            assert steps <= len(fallen)


@given(worlds(), worlds())
def test_two_cases_together_do_what_the_stronger_of_them_does(world: World, other: World) -> None:
    """Overlapping cases need no joint computation: causes of each case, taken together, give the union's effect."""
    targets, edges, holdings, _ = world
    more = [target for target in other[0] if target.kind != "licence" or target.id in holdings]

    both = {c.licence: c.effect for c in closure([*targets, *more], edges, holdings, decided_by=OURS)}
    apart: dict[str, Effect] = {}
    for case in (targets, more):
        for c in closure(case, edges, holdings, decided_by=OURS):
            apart[c.licence] = max(c.effect, apart.get(c.licence, Effect.NONE))

    assert both == apart


def test_the_result_of_a_forged_submission_is_direct_and_what_rests_on_it_inherited() -> None:
    """Identity revokes, qualification suspends for review, evidence only tells, and notice stops there."""
    edges = [
        Edge(SUBMISSION, Thing("material", "m"), "contains"),
        Edge(licence("a"), SUBMISSION, "identity"),
        Edge(licence("b"), licence("a"), "qualification"),
        Edge(licence("c"), licence("b"), "identity"),
        Edge(licence("d"), licence("a"), "evidence"),
        Edge(licence("e"), licence("d"), "identity"),
    ]
    holdings = {name: Holding(OURS, None) for name in "abcde"}

    fallen = closure([Thing("material", "m")], edges, holdings, decided_by=OURS)

    assert [(c.licence, c.effect.word, c.cause, c.review) for c in fallen] == [
        ("a", "revoked", "direct", False),
        ("b", "suspended", "inherited", True),
        ("c", "suspended", "inherited", True),
        ("d", "notice", "inherited", False),
    ]


def test_another_departments_licence_is_only_suspended_without_its_instruction() -> None:
    """No department revokes another's licence by accident; with an instruction the owner's own word decides."""
    edges = [Edge(licence("a"), SUBMISSION, "identity"), Edge(licence("b"), SUBMISSION, "identity")]
    holdings = {"a": Holding(THEIRS, None), "b": Holding(THEIRS, Instruction("3", {"identity": Effect.REVOKED}))}

    fallen = closure([SUBMISSION], edges, holdings, decided_by=OURS)

    assert [(c.effect, c.by, c.instruction) for c in fallen] == [
        (Effect.SUSPENDED, THEIRS, None),
        (Effect.REVOKED, THEIRS, "3"),
    ]


def test_an_instruction_narrows_and_never_widens() -> None:
    """A table that says `revoked` for mere evidence still yields a notice."""
    wide = Holding(THEIRS, Instruction("1", {"evidence": Effect.REVOKED, "identity": Effect.NOTICE}))
    edges = [Edge(licence("a"), SUBMISSION, "evidence"), Edge(licence("b"), SUBMISSION, "identity")]

    fallen = closure([SUBMISSION], edges, {"a": wide, "b": wide}, decided_by=OURS)

    assert [c.effect for c in fallen] == [Effect.NOTICE, Effect.NOTICE]


def test_a_spared_licence_shields_what_rests_on_it_alone() -> None:
    """Sparing keeps the licence standing, so nothing falls through it; another way round still counts."""
    edges = [
        Edge(licence("a"), SUBMISSION, "identity"),
        Edge(licence("b"), licence("a"), "identity"),
        Edge(licence("c"), licence("a"), "identity"),
        Edge(licence("c"), SUBMISSION, "qualification"),
    ]
    holdings = {name: Holding(OURS, None) for name in "abc"}

    fallen = closure([SUBMISSION], edges, holdings, decided_by=OURS, spared={"a"})

    assert [(c.licence, c.effect) for c in fallen] == [("c", Effect.SUSPENDED)]


def test_rows_of_a_consequence_read_back_the_same() -> None:
    """What a decision stores is what the auditor computes with."""
    consequence = Consequence("a", Effect.SUSPENDED, "inherited", "identity", licence("b"), OURS, None)

    assert Consequence.from_row(consequence.to_row()) == consequence


@pytest.mark.parametrize(
    "row",
    [
        None,
        7,
        [],
        ["a", "revoked", "direct", None, ["licence"], "b", None],
        ["a", "revoked", "direct", None, 7, "b", None],
        ["a", "revoked", "direct", None, "ab", "b", None],
        ["a", "revoked", "direct", None, [], "b", None],
        dict.fromkeys(("a", "revoked", "direct", "b", None, "c", "d")),
        ["a", "burnt", "direct", None, None, "b", None],
    ],
)
def test_a_row_of_another_shape_is_a_value_error(row: Any) -> None:
    """As it says, whatever the record of somebody else holds in its place."""
    with pytest.raises(ValueError):
        Consequence.from_row(row)


def test_an_unknown_basis_and_a_licence_without_holding_are_errors_of_the_caller() -> None:
    """Silence about either would quietly leave something standing."""
    with pytest.raises(ValueError, match="basis"):
        closure([SUBMISSION], [Edge(licence("a"), SUBMISSION, "hearsay")], {}, decided_by=OURS)
    with pytest.raises(ValueError, match="holding"):
        closure([SUBMISSION], [Edge(licence("a"), SUBMISSION, "identity")], {}, decided_by=OURS)
    with pytest.raises(ValueError, match="effect"):
        Effect.parse("maimed")


days = st.one_of(st.none(), st.integers(-5, 5).map(lambda n: TODAY + timedelta(days=n)))
causes = st.builds(
    OpenCause,
    effect=st.sampled_from([Effect.NOTICE, Effect.SUSPENDED, Effect.REVOKED]),
    act=st.sampled_from(list(STATE_OF_ACT)),
    effective_from=days,
    until=days,
    appealable_until=days,
)


@given(st.lists(causes, max_size=6), st.randoms(use_true_random=False))
def test_state_is_a_function_of_the_set_of_causes(open_causes: list[OpenCause], random: Random) -> None:
    """Order and repetition change nothing, and one cause more never makes a licence better."""
    rank = {0: 0, 2: 1, 1: 2}
    state = state_of(open_causes, TODAY)

    assert state_of(random.sample(open_causes, len(open_causes)) + open_causes, TODAY) == state
    assert all(rank[state_of(open_causes[:n], TODAY).slot] <= rank[state.slot] for n in range(len(open_causes)))


@given(st.lists(causes, max_size=6))
def test_nothing_turns_before_the_next_turn(open_causes: list[OpenCause]) -> None:
    """Between today and the announced day the state stays what it is."""
    turn = next_turn(open_causes, TODAY)
    last_quiet = (turn or TODAY + timedelta(days=30)) - timedelta(days=1)

    quiet = {state_of(open_causes, TODAY + timedelta(days=n)) for n in range((last_quiet - TODAY).days + 1)}

    assert quiet == {state_of(open_causes, TODAY)}


def test_a_revocation_under_appeal_says_two_and_a_final_one_says_one() -> None:
    """The list keeps a way back open exactly as long as the law does."""
    appealable = OpenCause(Effect.REVOKED, "annul", appealable_until=TODAY)

    assert state_of([appealable], TODAY) == ("annulled", 2)
    assert state_of([appealable], TODAY + timedelta(days=1)) == ("annulled", 1)
    assert next_turn([appealable], TODAY) == TODAY + timedelta(days=1)


def test_a_freeze_lapses_by_itself() -> None:
    """The day after `until` nothing is left of it."""
    freeze = OpenCause(Effect.SUSPENDED, "freeze", until=TODAY)

    assert state_of([freeze], TODAY) == ("suspended", 2)
    assert state_of([freeze], TODAY + timedelta(days=1)) == ("valid", 0)


def test_the_gravest_act_names_the_state_and_notice_names_none() -> None:
    """Annulled for deceit and cancelled for the file: it is called annulled."""
    annulled = OpenCause(Effect.REVOKED, "annul")
    cancelled = OpenCause(Effect.REVOKED, "cancel")

    assert state_of([cancelled, annulled], TODAY).state == "annulled"
    assert state_of([OpenCause(Effect.NOTICE, "notice")], TODAY).state == "valid"


def test_the_worked_example_holds() -> None:
    """The example in the module's docstring is run."""
    assert doctest.testmod(cascade).failed == 0


@pytest.mark.parametrize(
    ("act", "state"),
    [
        ("annul", "annulled"),
        ("penalty_revoke", "penalty_revoked"),
        ("withdraw", "withdrawn"),
        ("cancel", "cancelled"),
        ("transfer_out", "transferred_out"),
        ("expire", "expired"),
    ],
)
def test_each_act_that_ends_a_licence_has_a_state_of_its_own(act: str, state: str) -> None:
    """The names are stored, served and compared."""
    assert STATE_OF_ACT[act] == state and len(STATE_OF_ACT) == 6
