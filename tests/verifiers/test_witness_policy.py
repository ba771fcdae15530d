"""Witness policies are read in one way, written in one way, and refused where they ask for what we cannot say."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.verifiers.log_world import LOG_KEYS, ed25519, mldsa
from verifiers.checkpoint import LogPolicy
from verifiers.errors import Malformed, Reason, VerificationError
from verifiers.note import KeyType, NoteKey
from verifiers.witness_policy import (
    MAX_BYTES,
    PolicyLog,
    PolicyWitness,
    WitnessPolicy,
    format_policy,
    parse_policy,
)


@lru_cache
def cosigner(name: str, seed: int, *, quantum: bool = False) -> NoteKey:
    """The key of a witness."""
    return (mldsa(name, seed) if quantum else ed25519(name, seed, KeyType.ED25519_COSIGNATURE))[0]


A, B, C = (cosigner(f"witness.example/{name}", seed) for name, seed in (("a", 21), ("b", 22), ("c", 23)))
A_QUANTUM = cosigner("witness.example/a", 24, quantum=True)
LOG = LOG_KEYS[0][0]
URL = "https://witness.example/w"
THREE = f"witness a {A.to_text()} {URL}\nwitness b {B.to_text()} {URL}\nwitness c {C.to_text()}\n"


def test_a_policy_of_two_of_three() -> None:
    """Logs, witnesses and a group with a threshold; comments and blanks do not matter."""
    text = (
        f"# 示例 policy\n\n  log {LOG.to_text()} https://log.example/\n{THREE}\t# more\ngroup g\t2   a b c \nquorum g\n"
    )

    policy = parse_policy(text.encode())

    assert policy.logs == (PolicyLog(LOG, "https://log.example/"),)
    assert [(one.label, one.name, one.keys, one.counts) for one in policy.witnesses] == [
        ("a", A.name, (A,), True),
        ("b", B.name, (B,), True),
        ("c", C.name, (C,), True),
    ]
    assert (policy.quorum, [one.url for one in policy.witnesses]) == (2, [URL, URL, None])
    assert policy.keys == (A, B, C)


@pytest.mark.parametrize(("threshold", "quorum"), [("all", 3), ("any", 1), ("1", 1), ("2", 2), ("3", 3)])
def test_thresholds(threshold: str, quorum: int) -> None:
    """`all` and `any` are numbers written as words."""
    assert parse_policy(f"{THREE}group g {threshold} a b c\nquorum g\n").quorum == quorum


def test_one_witness_is_a_quorum_and_so_is_nobody() -> None:
    """A quorum may name a witness; with `none` witnesses are known and not needed."""
    alone, nobody = parse_policy(f"{THREE}quorum b\n"), parse_policy(f"{THREE}quorum none\n")

    assert (alone.quorum, [one.label for one in alone.counting], len(alone.witnesses)) == (1, ["b"], 3)
    assert (nobody.quorum, nobody.counting, len(nobody.witnesses)) == (0, (), 3)
    assert parse_policy("quorum none\n") == WitnessPolicy()
    assert nobody.to_rows() == (0, ())


def test_a_witness_with_two_keys_is_one_witness() -> None:
    """An Ed25519 and an ML-DSA key of one name in an `any` group count once, here and in a trust list."""
    text = (
        f"witness a-ed {A.to_text()} {URL}\nwitness a-pq {A_QUANTUM.to_text()} {URL}\nwitness b {B.to_text()} {URL}\n"
        "group a any a-ed a-pq\ngroup g all a b\nquorum g\n"
    )

    policy = parse_policy(text)

    assert [(one.label, one.keys) for one in policy.witnesses] == [("a", (A, A_QUANTUM)), ("b", (B,))]
    assert policy.to_rows() == (
        2,
        ((A.name, A.to_text(), URL), (A.name, A_QUANTUM.to_text(), URL), (B.name, B.to_text(), URL)),
    )
    LogPolicy(LOG.name, (LOG,), policy.quorum, policy.keys)
    assert parse_policy(format_policy(policy)) == policy
    alone = parse_policy(text.replace("group g all a b\nquorum g", "quorum a"))
    assert (alone.quorum, [one.label for one in alone.counting]) == (1, ["a"])


def test_what_is_unused_stays_known() -> None:
    """Groups that the quorum does not need still say which keys are one witness's."""
    text = (
        f"witness x {A.to_text()}\nwitness y {A_QUANTUM.to_text()}\ngroup a any x y\n"
        f"witness b {B.to_text()}\nquorum b\n"
    )

    policy = parse_policy(text)

    assert [(one.label, len(one.keys), one.counts) for one in policy.witnesses] == [("a", 2, False), ("b", 1, True)]


REFUSED = {
    "no quorum": THREE,
    "two quorums": f"{THREE}quorum a\nquorum a\n",
    "unknown quorum": f"{THREE}quorum d\n",
    "quorum before its name": f"quorum a\n{THREE}",
    "member before its name": f"group g any a\n{THREE}quorum g\n",
    "name twice": f"{THREE}group a any b\nquorum a\n",
    "the name none": f"witness none {A.to_text()}\nquorum none\n",
    "none as a member": f"{THREE}group g any a none\nquorum g\n",
    "member of two groups": f"{THREE}group g any a b\ngroup h any b c\nquorum h\n",
    "member twice": f"{THREE}group g 2 a a\nquorum g\n",
    "threshold of nought": f"{THREE}group g 0 a b\nquorum g\n",
    "threshold too high": f"{THREE}group g 3 a b\nquorum g\n",
    "threshold with a nought before it": f"{THREE}group g 02 a b c\nquorum g\n",
    "threshold in other digits": f"{THREE}group g ２ a b c\nquorum g\n",
    "empty group": f"{THREE}group g any\nquorum g\n",
    "group of groups": f"{THREE}group g any a b\ngroup h all g c\nquorum h\n",
    "key twice": f"{THREE}witness d {A.to_text()}\nquorum a\n",
    "key under two names": f"{THREE}witness d {cosigner('other.example/d', 21).to_text()}\nquorum a\n",
    "key of the log": f"log {LOG.to_text()}\nwitness a {cosigner('w.example', 1).to_text()}\nquorum a\n",
    "one name twice, uncounted": f"witness a {A.to_text()}\nwitness q {A_QUANTUM.to_text()}\nquorum a\n",
    "one name twice in a quorum": (
        f"witness a {A.to_text()}\nwitness q {A_QUANTUM.to_text()}\ngroup g all a q\nquorum g\n"
    ),
    "a log's key as a witness": f"witness l {LOG.to_text()}\nquorum l\n",
    "a witness's key as a log": f"log {A.to_text()}\nquorum none\n",
    "a witness named like the log": (f"log {LOG.to_text()}\nwitness a {cosigner(LOG.name, 30).to_text()}\nquorum a\n"),
    "bad key": "witness a name+00000000+AAAA\nquorum a\n",
    "bad URL": f"witness a {A.to_text()} ftp://witness.example\nquorum a\n",
    "too many items": f"witness a {A.to_text()} {URL} more\nquorum a\n",
    "comment behind a line": f"{THREE}quorum a # really\n",
    "unknown keyword": f"{THREE}mirror a\nquorum a\n",
    "carriage return": f"{THREE}quorum a\r\n",
    "NUL": f"#\0\n{THREE}quorum a\n",
    "form feed as a blank": f"{THREE}quorum\fa\n",
    "no end of line": f"{THREE}quorum a",
    "nothing": "",
    "too long": "#" * MAX_BYTES + "\nquorum none\n",
    "too long in bytes": "#" + "示" * (MAX_BYTES // 3) + "\nquorum none\n",
}


@pytest.mark.parametrize("text", REFUSED.values(), ids=REFUSED)
def test_what_is_refused(text: str) -> None:
    """Every rule of the format, and everything a trust list could not say."""
    with pytest.raises(Malformed) as caught:
        parse_policy(text)

    assert caught.value.reason is Reason.WITNESS_POLICY


def test_bytes_that_are_no_text_are_refused() -> None:
    """Names are compared byte by byte, and written into JSON: so they are UTF-8."""
    for data in (b"# \xff\nquorum none\n", "# \ud800\nquorum none\n"):
        with pytest.raises(Malformed):
            parse_policy(data)


def test_values_that_mean_nothing_are_not_made() -> None:
    """A value is checked like a file."""
    one = PolicyWitness("a", (A,), URL)
    for wrong in (
        {"witnesses": (one,), "quorum": 0},
        {"witnesses": (one,), "quorum": 2},
        {"witnesses": (PolicyWitness("a b", (A,)),), "quorum": 1},
        {"witnesses": (PolicyWitness("#a", (A,)),), "quorum": 1},
        {"witnesses": (PolicyWitness("a", ()),), "quorum": 1},
        {"witnesses": (PolicyWitness("a", (A, B)),), "quorum": 1},
        {"witnesses": (PolicyWitness("a", (A,), "no url"),), "quorum": 1},
    ):
        with pytest.raises(Malformed):
            WitnessPolicy(**wrong)  # type: ignore[arg-type]
    with pytest.raises(Malformed, match="has no URL"):
        WitnessPolicy((PolicyWitness("a", (A,)),), 1).to_rows()


def test_as_many_as_the_specification_asks_for() -> None:
    """32 witnesses, 32 groups and 32 logs are read; 65 witnesses are not."""
    keys = [cosigner(f"w.example/{number}", 100 + number) for number in range(64)]
    lines = [f"witness w{number} {key.to_text()} {URL}" for number, key in enumerate(keys)]
    logs = [f"log {ed25519(f'l.example/{number}', 40 + number)[0].to_text()}" for number in range(32)]
    groups = [f"group g{number} all w{number}" for number in range(31)]
    last = f"witness w64 {cosigner('w.example/64', 200).to_text()}"

    policy = parse_policy("\n".join([*logs, *lines, *groups, "group g 20 " + " ".join(f"w{n}" for n in range(31, 64)),
                                     "quorum g", ""]))  # fmt: skip

    assert (len(policy.logs), len(policy.witnesses), len(policy.counting), policy.quorum) == (32, 64, 33, 20)
    with pytest.raises(Malformed):
        parse_policy("\n".join([*lines, last, "quorum w1", ""]))


labels = st.text(st.characters(exclude_characters=" \t\n#", exclude_categories=["C"]), min_size=1, max_size=6).filter(
    lambda text: text != "none"
)
urls = st.none() | st.from_regex(r"https?://[a-z0-9./?#]{1,20}", fullmatch=True)


@st.composite
def policies(draw: st.DrawFn) -> WitnessPolicy:
    """Any policy."""
    names = draw(st.lists(labels, unique=True, max_size=5))
    witnesses = []
    for number, label in enumerate(names):
        keys = [
            cosigner(f"w.example/{number}", 50 + number),
            cosigner(f"w.example/{number}", 60 + number, quantum=True),
        ]
        chosen = draw(st.sampled_from([keys, keys[:1], keys[1:], keys[::-1]]))
        witnesses.append(PolicyWitness(label, tuple(chosen), draw(urls), draw(st.booleans())))
    counting = sum(one.counts for one in witnesses)
    logs = draw(st.sampled_from([(), (PolicyLog(LOG),), (PolicyLog(LOG, "https://log.example/"),)]))
    return WitnessPolicy(tuple(witnesses), draw(st.integers(1, counting)) if counting else 0, logs)


@given(policies())
def test_what_is_written_reads_the_same(policy: WitnessPolicy) -> None:
    """`parse(format(x)) == x` for every policy, and its text is the only one of its kind."""
    text = format_policy(policy)

    assert parse_policy(text) == policy
    assert parse_policy(text.encode()) == policy


words = st.sampled_from(
    ["log", "witness", "group", "quorum", "a", "b", "none", "any", "all", "1", "2", "#", " ", "\t", URL, "", "\x85"]
    + [key.to_text() for key in (A, B, A_QUANTUM, LOG)]
)


@given(st.lists(st.lists(words, max_size=6).map(" ".join), max_size=8).map("\n".join) | st.binary(max_size=60))
def test_anything_else_is_refused_cleanly(data: str | bytes) -> None:
    """Whatever comes in is a policy or `witness.policy`; what is read once reads the same when written anew."""
    try:
        policy = parse_policy(data)
    except VerificationError as error:
        reason = error.reason
    else:
        reason = Reason.WITNESS_POLICY
        assert parse_policy(format_policy(policy)) == policy
    assert reason is Reason.WITNESS_POLICY


def test_a_policy_has_a_length_in_bytes() -> None:
    """Of text and of bytes alike; one more is too long."""
    end = "\nquorum none\n"
    room = MAX_BYTES - len(end) - 1

    assert MAX_BYTES == 262_144
    for text in ("#" + "x" * room + end, "#" + "示" * (room // 3) + "x" * (room % 3) + end):
        assert parse_policy(text) == parse_policy(text.encode()) == WitnessPolicy()
        for data in ("#" + text, ("#" + text).encode()):
            with pytest.raises(Malformed):
                parse_policy(data)


def test_a_policy_has_at_most_sixty_four_of_each() -> None:
    """Logs and witnesses, each of them in a group of its own; logs and witness keys also in a value."""
    keys = [cosigner(f"w.example/{number}", 100 + number) for number in range(65)]
    witnesses = [f"witness w{number} {key.to_text()}" for number, key in enumerate(keys)]
    logs = [ed25519(f"l.example/{number}", 30 + number)[0] for number in range(65)]
    lines = [f"log {key.to_text()}" for key in logs]
    groups = [f"group g{number} any w{number}" for number in range(64)]

    def read(*parts: str) -> WitnessPolicy:
        return parse_policy("\n".join([*parts, "quorum none", ""]))

    assert (len(read(*lines[:64]).logs), len(read(*witnesses[:64]).witnesses)) == (64, 64)
    assert len(read(*witnesses[:64], *groups).witnesses) == 64
    for parts in (lines, witnesses):
        with pytest.raises(Malformed, match="more than 64"):
            read(*parts)
    many = tuple(PolicyWitness(f"w{number}", (key,)) for number, key in enumerate(keys))
    assert len(WitnessPolicy(many[:64], 1).keys) == 64
    assert len(WitnessPolicy(logs=tuple(PolicyLog(key) for key in logs[:64])).logs) == 64
    values: list[dict[str, Any]] = [{"witnesses": many, "quorum": 1}, {"logs": tuple(map(PolicyLog, logs))}]
    for value in values:
        with pytest.raises(Malformed, match="more than 64"):
            WitnessPolicy(**value)


@pytest.mark.parametrize(
    ("line", "good"),
    [
        (f"witness a {A.to_text()} https://{'x' * 500}", True),
        (f"witness a {A.to_text()} http://x", True),
        (f"witness a {A.to_text()} https://{'x' * 501}", False),
        (f"witness a {A.to_text()} https://", False),
        ("witness a", False),
        (f"log {LOG.to_text()} https://{'x' * 500}", True),
        (f"log {LOG.to_text()} https://{'x' * 501}", False),
        (f"log {LOG.to_text()} {URL} more", False),
        ("log", False),
        ("quorum", False),
        ("group g", False),
        (f"witness a#b {A.to_text()}", True),
        (f"witness 示例 {A.to_text()}", True),
        ("quorum none none", False),
        ("#", True),
        (" \t ", True),
        ("\x7f", False),
    ],
)
def test_each_line_has_its_items(line: str, good: bool) -> None:
    """No fewer, no more, and addresses of a length."""
    text = f"{line}\nquorum none\n"
    if good:
        assert parse_policy(text).quorum == 0
        return
    with pytest.raises(Malformed) as caught:
        parse_policy(text)
    assert caught.value.reason is Reason.WITNESS_POLICY


def test_a_fault_names_its_line() -> None:
    """Counted from one, comments and empty lines with them."""
    with pytest.raises(Malformed) as caught:
        parse_policy(f"# one\n\n{THREE}mirror a\nquorum a\n")
    assert caught.value.detail == "line 6: not a line of a policy: 'mirror' with 1 items"


def test_a_policy_is_written_as_the_page_shows() -> None:
    """Logs, then witnesses, then groups, then the quorum; names of our own only where one is needed."""
    two = PolicyWitness("a", (A, A_QUANTUM), URL)
    rest = (PolicyWitness("quorum", (B,)), PolicyWitness("c", (C,), None, counts=False))
    policy = WitnessPolicy((two, *rest), 1, (PolicyLog(LOG, "https://log.example/"),))

    assert format_policy(policy) == (
        f"log {LOG.to_text()} https://log.example/\n"
        f"witness a.1 {A.to_text()} {URL}\nwitness a.2 {A_QUANTUM.to_text()} {URL}\n"
        f"witness quorum {B.to_text()}\nwitness c {C.to_text()}\n"
        "group a any a.1 a.2\ngroup quorum.1 any a quorum\nquorum quorum.1\n"
    )
    both = WitnessPolicy((two, *rest), 2)
    assert format_policy(both).endswith("group quorum.1 all a quorum\nquorum quorum.1\n")
    three = WitnessPolicy((PolicyWitness("a", (A,)), PolicyWitness("b", (B,)), PolicyWitness("c", (C,))), 2)
    assert format_policy(three).endswith("group quorum 2 a b c\nquorum quorum\n")
    assert format_policy(WitnessPolicy((PolicyWitness("a", (A,)),), 1)) == f"witness a {A.to_text()}\nquorum a\n"
    assert format_policy(WitnessPolicy()) == "quorum none\n"


def test_only_blanks_around_a_line_are_dropped() -> None:
    """A witness may be called by any letter."""
    assert [one.label for one in parse_policy(f" \twitness X {A.to_text()}\t\n quorum X \n").counting] == ["X"]
