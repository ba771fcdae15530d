"""A checkpoint counts when all keys of its log signed it; witnesses raise its grade and nothing else."""

from __future__ import annotations

import base64
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.vectors import vectors
from tests.verifiers.log_world import LOG_KEYS, NOON, ORIGIN, POLICY, WITNESSES, ed25519, mldsa, sign
from verifiers import checkpoint, merkle, note
from verifiers.checkpoint import Checkpoint, Grade, LogPolicy
from verifiers.errors import Malformed, ProofFailed, Reason, SignatureFailed, VerificationError
from verifiers.note import KeyType, NoteKey

VECTORS = vectors("tlog")
HEAD = Checkpoint(ORIGIN, 7, b"r" * 32)
PUBLISHED = sign(HEAD)
WITNESSED = sign(HEAD, witnesses=WITNESSES)


def test_a_published_checkpoint() -> None:
    """Both log signatures make it published; nobody watched, so it has no time."""
    opened = checkpoint.open_checkpoint(PUBLISHED, POLICY)

    assert (opened.checkpoint, opened.grade, opened.cosigned_at) == (HEAD, Grade.PUBLISHED, None)
    assert (opened.origin, opened.size, opened.root, opened.text) == (ORIGIN, 7, b"r" * 32, PUBLISHED)


def test_a_witnessed_checkpoint_dates_from_the_completion_of_its_quorum() -> None:
    """With two of three needed, the second earliest time counts, whatever the order of the lines."""
    lines = note.parse_note(WITNESSED).lines
    for order in (lines, lines[::-1]):
        opened = checkpoint.open_checkpoint(note.format_note(HEAD.to_text(), order), POLICY)
        assert opened.grade is Grade.WITNESSED
        assert opened.cosigned_at == datetime.fromtimestamp(NOON + 60, UTC)
        assert [(c.witness, c.at.timestamp() - NOON) for c in opened.cosignatures] == [
            ("witness.example/a", 0),
            ("witness.example/b", 60),
            ("witness.example/c", 120),
        ]


def test_a_quorum_counts_witnesses_and_not_keys() -> None:
    """One witness with two keys is one witness."""
    both = (WITNESSES[0], mldsa("witness.example/a", 9))
    policy = replace(POLICY, witnesses=(*POLICY.witnesses, both[1][0]))

    opened = checkpoint.open_checkpoint(sign(HEAD, witnesses=both), policy)

    assert opened.grade is Grade.PUBLISHED and len(opened.cosignatures) == 1


def test_a_cosignature_without_a_time_is_no_witness() -> None:
    """Time 0 claims nothing about other trees, so it does not count towards the quorum."""
    text = checkpoint.sign_checkpoint(HEAD, [*LOG_KEYS, *WITNESSES[:2]], timestamp=0)

    assert checkpoint.open_checkpoint(text, POLICY).grade is Grade.PUBLISHED


def test_strangers_cosignatures_do_not_count() -> None:
    """A witness the policy does not name is ignored; without a quorum nobody is needed."""
    strangers = [ed25519("witness.example/x", 20, KeyType.ED25519_COSIGNATURE), mldsa("witness.example/y", 21)]

    opened = checkpoint.open_checkpoint(sign(HEAD, witnesses=strangers), POLICY)
    unwatched = checkpoint.open_checkpoint(WITNESSED, LogPolicy(ORIGIN, POLICY.keys))

    assert opened.grade is unwatched.grade is Grade.PUBLISHED


@pytest.mark.parametrize("kept", [0, 1])
def test_a_stripped_log_signature_is_a_failure(kept: int) -> None:
    """Either signature alone is not enough, however many witnesses there are."""
    text = sign(HEAD, signers=[LOG_KEYS[kept]], witnesses=WITNESSES)
    with pytest.raises(SignatureFailed) as caught:
        checkpoint.open_checkpoint(text, POLICY)

    assert caught.value.reason is Reason.CHECKPOINT_UNSIGNED


def test_a_witness_that_signed_something_else_refuses_the_checkpoint() -> None:
    """A known line that fails is never ignored."""
    other = note.parse_note(checkpoint.sign_checkpoint(replace(HEAD, size=8), [WITNESSES[0]], NOON))
    with pytest.raises(SignatureFailed) as caught:
        checkpoint.open_checkpoint(checkpoint.add_cosignatures(PUBLISHED, other.lines), POLICY)

    assert caught.value.reason is Reason.CHECKPOINT_SIGNATURE


def test_a_checkpoint_of_another_log_is_refused() -> None:
    """The origin is part of what is signed and must be the policy's."""
    with pytest.raises(SignatureFailed) as caught:
        checkpoint.open_checkpoint(PUBLISHED, replace(POLICY, origin="licence.example/log/2"))

    assert caught.value.reason is Reason.CHECKPOINT_ORIGIN


def test_times_beyond_the_calendar_are_refused() -> None:
    """A cosignature after the year 9999, or beyond 63 bits, is refused and not a crash."""
    for time in (2**62, 2**63, 2**64 - 1):
        with pytest.raises(SignatureFailed):
            checkpoint.open_checkpoint(sign(HEAD, witnesses=WITNESSES[:1], at=time), POLICY)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a\n1\n",
        "\n1\nRRRR\n",
        "a\n01\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n",
        "a\n+1\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n",
        "a\n-1\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n",
        "a\n1 \n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n",
        "a\n١\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n",
        "a\n9223372036854775808\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n",
        "a\n1\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFV=\n",
        "a\n1\n47DEQpj8HBSa+_TImW-5JCeuQeRkm5NMpJWZG3hSuFU=\n",
        "a\n1\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU\n",
        "a\n1\nAAAA\n",
        "a\n1\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=",
        "a\n1\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\nextension\n",
        "a\n1\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n\n",
        "a\n0\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n",
        "a" * 256 + "\n1\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n",
    ],
)
def test_texts_refused(text: str) -> None:
    """Other spellings of numbers and roots, extension lines and impossible empty trees are refused."""
    with pytest.raises(Malformed) as caught:
        checkpoint.parse_checkpoint(text)

    assert caught.value.reason is Reason.CHECKPOINT


@given(
    st.text(st.characters(min_codepoint=32, exclude_categories=["Cs"]), min_size=1, max_size=60),
    st.integers(1, merkle.MAX_SIZE),
    st.binary(min_size=32, max_size=32),
)
def test_texts_read_back(origin: str, size: int, root: bytes) -> None:
    """`parse_checkpoint` undoes `to_text`."""
    head = Checkpoint(origin, size, root)

    assert checkpoint.parse_checkpoint(head.to_text()) == head


@given(st.text(max_size=80) | st.lists(st.sampled_from(["a", "\n", "0", "12", "A" * 43 + "="])).map("".join))
def test_texts_are_canonical_or_refused(text: str) -> None:
    """What parses prints as it was."""
    try:
        head = checkpoint.parse_checkpoint(text)
    except VerificationError:
        return
    assert head.to_text() == text


@pytest.mark.parametrize("origin", ["", "a\nb", "a" * 256])
def test_what_cannot_be_written_is_the_callers_mistake(origin: str) -> None:
    """An origin that would not read back is refused on the way out."""
    with pytest.raises(ValueError, match="origin"):
        replace(HEAD, origin=origin).to_text()


def test_origins_are_urls_without_a_scheme() -> None:
    """A log is named after where it is served."""
    assert checkpoint.origin_of("https://licence.example/log/1/") == "licence.example/log/1"
    assert checkpoint.origin_of("http://127.0.0.1:8080/log") == "127.0.0.1:8080/log"
    assert checkpoint.origin_of("https://a.example/X") == "a.example/X"
    assert checkpoint.origin_of("https://" + "a" * 255) == "a" * 255
    too_long = f"https://{'a' * 256}"
    for url in ("", "https://", "ftp://x", "https://a b", "https://a/?q=1", "https://a+b", "https://a#b", too_long):
        with pytest.raises(ValueError, match="named after"):
            checkpoint.origin_of(url)


@pytest.mark.parametrize(
    "change",
    [
        {"keys": ()},
        {"keys": (WITNESSES[0][0],)},
        {"quorum": 4},
        {"quorum": -1},
        {"witnesses": (LOG_KEYS[0][0],), "quorum": 1},
        {"witnesses": (mldsa(ORIGIN, 30)[0],), "quorum": 1},
        {"witnesses": (WITNESSES[0][0], ed25519("other.example", 3, KeyType.ED25519_COSIGNATURE)[0]), "quorum": 1},
    ],
)
def test_policies_that_cannot_mean_what_they_say(change: dict[str, object]) -> None:
    """No key, the wrong kind of key, a quorum nobody can meet, or a log that witnesses itself."""
    with pytest.raises(Malformed):
        replace(POLICY, **change)  # type: ignore[arg-type]


def test_cosignatures_are_added_once() -> None:
    """A witness's line that is there already is not written twice."""
    lines = note.parse_note(WITNESSED).lines

    assert checkpoint.add_cosignatures(WITNESSED, lines) == WITNESSED


def test_every_flipped_byte_is_refused_or_in_a_strangers_line() -> None:
    """Only lines of unknown keys are free, and names and key ids of witnesses a quorum does not need."""
    data = WITNESSED.encode()
    opened = checkpoint.open_checkpoint(data, POLICY)
    free = set()

    for at in range(len(data)):
        changed = bytearray(data)
        changed[at] ^= 1 << at % 7
        try:
            found = checkpoint.open_checkpoint(bytes(changed), POLICY)
        except VerificationError:
            continue
        assert (found.checkpoint, found.grade) == (opened.checkpoint, opened.grade)
        free.add(data[:at].count(b"\n"))

    stranger, witnesses = 9, {6, 7, 8}
    assert stranger in free and free <= witnesses | {stranger}


def test_every_flipped_byte_of_what_a_policy_needs_is_refused() -> None:
    """Where the quorum is all there is and no stranger signed, no byte is free that keeps the grade."""
    lines = note.parse_note(sign(HEAD, witnesses=WITNESSES[:2])).lines[:-1]
    data = note.format_note(HEAD.to_text(), lines).encode()
    assert checkpoint.open_checkpoint(data, POLICY).grade is Grade.WITNESSED

    for at in range(len(data)):
        changed = bytearray(data)
        changed[at] ^= 1 << (at + 3) % 7
        try:
            found = checkpoint.open_checkpoint(bytes(changed), POLICY)
        except VerificationError:
            continue
        assert found.grade is Grade.PUBLISHED and found.checkpoint == HEAD


@given(st.binary(max_size=80) | st.text(max_size=80))
def test_garbage_is_refused(data: str | bytes) -> None:
    """Nothing but a `VerificationError` comes of what is no checkpoint."""
    with pytest.raises(VerificationError):
        checkpoint.open_checkpoint(data, POLICY)


def test_mldsa_signatures_of_other_software() -> None:
    """Message and signature of a Go implementation, to the byte."""
    example = VECTORS["cosignature_mldsa44"]
    key = NoteKey.from_text(example["vkey"])
    text = example["checkpoint_body"]
    line = f"— {key.name} {example['signature_line_b64']}\n"
    head = checkpoint.parse_checkpoint(text)

    assert checkpoint.message(key, text, example["timestamp"]).hex() == example["cosigned_message_hex"]
    assert head.root == merkle.leaf_hash(example["leaf_data_utf8"].encode())
    opened = checkpoint.open_checkpoint(f"{text}\n{line}", LogPolicy(head.origin, (key,)))
    assert (opened.size, opened.grade) == (1, Grade.PUBLISHED)


def test_what_a_witness_is_sent() -> None:
    """The requests of litewitness's own test: which checkpoints hold, and which proofs."""
    sequence = VECTORS["witness_add_checkpoint_sequence"]
    policy = LogPolicy(sequence["log_vkey"].split("+")[0], (NoteKey.from_text(sequence["log_vkey"]),))
    size, root = 0, merkle.EMPTY_ROOT

    for step in sequence["steps"]:
        head, _, text = step["request"].partition("\n\n")
        old, *proof = head.split("\n")
        expected = step["status_per_spec_HEAD_and_litewitness_0_9_0"]
        try:
            opened = checkpoint.open_checkpoint(text, policy)
        except SignatureFailed as error:
            assert expected == (404 if error.reason is Reason.CHECKPOINT_ORIGIN else 403)  # noqa: PT017
            continue
        except Malformed:  # its last base64 character is not canonical, which litewitness lets through to the signature
            assert expected == 403
            continue
        if int(old.removeprefix("old ")) != size:
            assert expected == 409
            continue
        try:
            hashes = [base64.b64decode(line) for line in proof]
            merkle.check_consistency(size, root, opened.size, opened.root, hashes)
        except ProofFailed:
            assert expected == 422
            continue
        assert expected == 200
        size, root = opened.size, opened.root

    assert size == 5


def test_a_checkpoint_lies_on_the_calendar_and_below_two_to_the_sixty_third() -> None:
    """The last second of the year 9999 and the largest size still count."""
    last = 253_402_300_799
    opened = checkpoint.open_checkpoint(sign(HEAD, witnesses=WITNESSES[:1], at=last), POLICY)
    assert [one.at.isoformat() for one in opened.cosignatures] == ["9999-12-31T23:59:59+00:00"]
    with pytest.raises(SignatureFailed) as caught:
        checkpoint.open_checkpoint(sign(HEAD, witnesses=WITNESSES[:1], at=last + 1), POLICY)
    assert caught.value.reason is Reason.CHECKPOINT_SIGNATURE

    largest = replace(HEAD, size=2**63 - 1)
    assert checkpoint.parse_checkpoint(largest.to_text()) == largest
    with pytest.raises(ValueError):
        replace(HEAD, size=2**63).to_text()
    with pytest.raises(Malformed):
        checkpoint.parse_checkpoint(largest.to_text().replace(str(2**63 - 1), str(2**63)))
    for root in (bytes(31), bytes(33)):
        with pytest.raises(ValueError):
            replace(HEAD, root=root).to_text()
