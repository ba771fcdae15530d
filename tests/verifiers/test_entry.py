"""A leaf has one byte form, and says nothing but what its seven members say."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from verifiers import canonical, entry
from verifiers.entry import Leaf
from verifiers.errors import Malformed, Reason

LEAF = Leaf(
    kind="licence.issued",
    at=datetime(2026, 11, 21, 8, tzinfo=UTC),
    by="91350211M000100Y43",
    ref=bytes(range(16)),
    commit=bytes(range(32)),
    prev=entry.FIRST_PREV,
)
DATA = (
    b'{"at":"2026-11-21T08:00:00Z","by":"91350211M000100Y43","commit":"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8",'
    b'"kind":"licence.issued","prev":"47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU","ref":"AAECAwQFBgcICQoLDA0ODw","v":1}'
)
LEAVES = st.builds(
    Leaf,
    kind=st.sampled_from(sorted(entry.KINDS)),
    at=st.datetimes(min_value=datetime(1000, 1, 1), timezones=st.just(UTC)).map(lambda at: at.replace(microsecond=0)),  # noqa: DTZ001
    by=st.from_regex(r"[0-9A-Z]{18}", fullmatch=True) | st.just(entry.REGION),
    ref=st.binary(min_size=16, max_size=16),
    commit=st.binary(min_size=32, max_size=32),
    prev=st.binary(min_size=32, max_size=32),
)


def test_a_leaf_to_the_byte() -> None:
    """The bytes of one leaf, as `docs/formats/entry.md` shows them."""
    assert entry.encode(LEAF) == DATA
    assert entry.parse(DATA) == LEAF


@given(LEAVES)
def test_leaves_read_back_and_are_canonical_json(leaf: Leaf) -> None:
    """`parse` undoes `encode`, and the bytes are canonical JSON of at most `MAX_BYTES`."""
    data = entry.encode(leaf)

    assert entry.parse(data) == leaf
    assert canonical.encode(canonical.decode_object(data, entry.MAX_BYTES)) == data


def test_every_flipped_bit_is_refused_or_another_leaf() -> None:
    """A changed byte never reads as the same leaf, and what reads at all re-encodes to just those bytes."""
    for at in range(len(DATA)):
        for bit in range(8):
            changed = DATA[:at] + bytes([DATA[at] ^ 1 << bit]) + DATA[at + 1 :]
            try:
                leaf = entry.parse(changed)
            except Malformed as error:
                assert error.reason is Reason.ENTRY and error.detail  # noqa: PT017
                continue
            assert leaf != LEAF and entry.encode(leaf) == changed


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (b'"v":1', b'"v":2', "version"),
        (b'"v":1', b'"v":1,"w":1', "members"),
        (b',"v":1', b"", "members"),
        (b"licence.issued", b"licence.revoked", "unknown kind"),
        (b"08:00:00Z", b"08:00:60Z", "possible time"),
        (b"11-21", b"02-30", "possible time"),
        (b"08:00:00Z", b"08:00:00+08:00", "one form"),
        (b"08:00:00Z", b"08:00:00.5Z", "one form"),
        (b"91350211M000100Y43", b"91350211m000100Y43", "one form"),
        (b"91350211M000100Y43", b"", "one form"),
        (b'ODw"', b'ODx"', "one form"),
        (b'ODw"', b'ODw="', "one form"),
        (b'{"at"', b'{ "at"', "canonical form"),
        (b'"kind":"licence.issued"', b'"kind":"licence.issued","kind":"licence.issued"', "canonical form"),
        (b'"by":"91350211M000100Y43"', b'"by":null', "one form"),
        (b"1}", b"1}\n", "canonical form"),
        (b"1}", b"1", "not JSON"),
        (b"91350211M000100Y43", b"9" * 5000, "longer"),
    ],
)
def test_refusals_say_what_is_wrong(old: bytes, new: bytes, words: str) -> None:
    """Each kind of fault has its words."""
    assert old in DATA
    with pytest.raises(Malformed, match=words) as caught:
        entry.parse(DATA.replace(old, new))

    assert caught.value.reason is Reason.ENTRY


@given(st.binary())
def test_garbage_is_refused(data: bytes) -> None:
    """Nothing but `Malformed` comes of bytes that are no leaf."""
    with pytest.raises(Malformed):
        entry.parse(data)


@pytest.mark.parametrize(
    "change",
    [
        {"kind": "licence"},
        {"by": "region2"},
        {"by": "REGION\n"},
        {"ref": b"short"},
        {"commit": b""},
        {"prev": bytes(33)},
        {"v": 2},
        {"at": LEAF.at.replace(tzinfo=None)},
        {"at": LEAF.at + timedelta(milliseconds=1)},
    ],
)
def test_encode_refuses_what_parse_would(change: dict[str, object]) -> None:
    """A leaf of ours with a member outside its domain is a programmer's error."""
    with pytest.raises(ValueError, match=r"."):
        entry.encode(dataclasses.replace(LEAF, **change))  # type: ignore[arg-type]


def test_times_of_other_zones_are_written_in_utc() -> None:
    """Sixteen o'clock in Beijing is eight o'clock on the leaf."""
    beijing = datetime(2026, 11, 21, 16, tzinfo=timezone(timedelta(hours=8)))

    assert entry.encode(dataclasses.replace(LEAF, at=beijing)) == DATA


@pytest.mark.parametrize(
    "text", ["", "2026-11-21", "2026-11-21T08:00:00+00:00", "2026-11-21T08:00:00Z\n", "2026-13-01T00:00:00Z"]
)
def test_other_spellings_of_a_time_are_refused(text: str) -> None:
    """A time has one spelling."""
    with pytest.raises(Malformed):
        entry.parse_at(text)


@given(st.lists(LEAVES, min_size=1, max_size=5))
def test_an_encoder_writes_what_encode_writes(leaves: list[Leaf]) -> None:
    """The writer's template and the one form of a leaf are the same bytes, however leaves follow one another."""
    encoder = entry.Encoder(leaves[0].at)

    for leaf in leaves:
        expected = entry.encode(dataclasses.replace(leaf, at=leaves[0].at))
        assert encoder.encode(leaf.kind, leaf.by, leaf.ref, leaf.commit, leaf.prev) == expected
        assert canonical.encode(canonical.decode_object(expected, entry.MAX_BYTES)) == expected


@pytest.mark.parametrize(
    "change",
    [{"kind": "licence.forged"}, {"by": "nobody"}, {"ref": bytes(15)}, {"commit": bytes(33)}, {"prev": bytes(31)}],
    ids=lambda change: next(iter(change)),
)
def test_an_encoder_refuses_what_encode_refuses(change: dict[str, object]) -> None:
    """Nothing outside the domain of a leaf is written, whichever way."""
    leaf = dataclasses.replace(LEAF, **change)  # type: ignore[arg-type]

    with pytest.raises(ValueError):
        entry.Encoder(LEAF.at).encode(leaf.kind, leaf.by, leaf.ref, leaf.commit, leaf.prev)
