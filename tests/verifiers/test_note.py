"""Signed notes: unknown lines are ignored, known ones must hold, and a text has one reading."""

from __future__ import annotations

import base64

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from keys.public_key import PublicKey
from tests.vectors import vectors
from tests.verifiers.log_world import LOG_KEYS, ORIGIN, WITNESSES, ed25519
from verifiers import checkpoint, note
from verifiers.errors import Malformed, Reason, SignatureFailed, VerificationError
from verifiers.note import KeyType, NoteKey, SignatureLine

VECTORS = vectors("tlog")
ALICE, BOB = ed25519("alice.example", 11), ed25519("bob.example", 12)
TEXT = "示例 text\n\nwith an empty line\n"


def signed(*signers: tuple[NoteKey, object], text: str = TEXT) -> str:
    """A note over `text` by 0x01 keys."""
    lines = [note.signature_line(key, sign(note.note_message(text))) for key, sign in signers]  # type: ignore[operator]
    return note.format_note(text, lines)


def test_the_example_of_the_specification() -> None:
    """The note in C2SP's signed-note opens with its key."""
    example = VECTORS["signed_note"]
    opened, signatures = note.open_note(example["note"], [NoteKey.from_text(example["vkey"])])

    assert opened.text == "This is an example message.\n"
    assert [signature.key.to_text() for signature in signatures] == [example["vkey"]]


def test_a_checkpoint_of_the_go_checksum_database() -> None:
    """A note by other people's software opens, although its key is not named like its origin."""
    example = VECTORS["sumdb_checkpoint"]
    opened, _ = note.open_note(example["note"].encode(), [NoteKey.from_text(example["vkey"])])

    assert checkpoint.parse_checkpoint(opened.text).size == 35_225_469


@pytest.mark.parametrize("example", VECTORS["cosignature_v1_ed25519"], ids=lambda example: example["vkey"][:8])
def test_cosignatures_of_other_witnesses(example: dict[str, str | int]) -> None:
    """Cosignatures made by Sunlight's witnesses hold, with their time, beside lines of types we do not know."""
    _, signatures = note.open_note(str(example["note"]), [NoteKey.from_text(str(example["vkey"]))])

    assert [signature.timestamp for signature in signatures] == [example["timestamp"]]


def test_unknown_lines_are_ignored_and_one_known_is_enough() -> None:
    """A reader that knows Alice does not care who else signed, nor in which order."""
    grease = note.grease_line(bytes(76))
    both = note.format_note(TEXT, [grease, *note.parse_note(signed(BOB, ALICE)).lines])

    opened, signatures = note.open_note(both, [ALICE[0]])

    assert opened.text == TEXT and opened.to_text() == both
    assert [signature.key for signature in signatures] == [ALICE[0]]
    with pytest.raises(SignatureFailed) as caught:
        note.open_note(signed(BOB), [ALICE[0]])
    assert caught.value.reason is Reason.NOTE_UNSIGNED


def test_a_known_line_that_fails_refuses_the_note() -> None:
    """Bob's good signature does not help where Alice's line is wrong."""
    lines = note.parse_note(signed(ALICE, BOB)).lines
    wrong = SignatureLine(lines[0].name, lines[0].key_id, lines[1].blob)
    short = SignatureLine(lines[0].name, lines[0].key_id, lines[0].blob[:-1])
    for bad in (wrong, short):
        with pytest.raises(SignatureFailed) as caught:
            note.open_note(note.format_note(TEXT, [bad, lines[1]]), [ALICE[0], BOB[0]])
        assert caught.value.reason is Reason.NOTE_SIGNATURE


def test_a_known_key_signs_once() -> None:
    """A second line of a known key is refused, even the same line; of an unknown key it is ignored."""
    lines = note.parse_note(signed(ALICE, BOB)).lines

    note.open_note(note.format_note(TEXT, [*lines, lines[1]]), [ALICE[0]])
    with pytest.raises(SignatureFailed, match="twice"):
        note.open_note(note.format_note(TEXT, [*lines, lines[0]]), [ALICE[0]])


def test_a_tree_head_key_signs_no_other_text() -> None:
    """An 0x06 line under a text that is no checkpoint cannot hold."""
    key = LOG_KEYS[1][0]
    line = note.signature_line(key, bytes(2420))
    with pytest.raises(SignatureFailed):
        note.open_note(note.format_note(TEXT, [line]), [key])


def test_two_keys_for_one_line_are_refused() -> None:
    """A reader given one key twice could not say whose line it is."""
    with pytest.raises(Malformed):
        note.open_note(signed(ALICE), [ALICE[0], ALICE[0]])


@pytest.mark.parametrize("key", [key for key, _ in (*LOG_KEYS, *WITNESSES)], ids=lambda key: f"{key.type:#04x}")
def test_verifier_keys_read_back(key: NoteKey) -> None:
    """A vkey of each type gives the same key again."""
    assert NoteKey.from_text(key.to_text()) == key


@pytest.mark.parametrize(
    "text",
    [
        "",
        "name",
        "a+b",
        "example.com/behind-the-sofa+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8",
        ALICE[0].to_text().replace("alice", "malic"),
        ALICE[0].to_text().upper(),
        ALICE[0].to_text() + "\n",
        ALICE[0].to_text() + "=",
        ALICE[0].to_text()[:-4],
        " " + ALICE[0].to_text(),
        "a" * 256 + "+00000000+" + base64.b64encode(b"\x01" + bytes(32)).decode(),
        "x+00000000+" + "A" * 5000,
        "x+00000000+" + base64.b64encode(b"\x02" + bytes(32)).decode(),
        "x+00000000+" + base64.b64encode(b"\x06" + bytes(32)).decode(),
    ],
)
def test_verifier_keys_refused(text: str) -> None:
    """Wrong ids (the specification's illustrative one too), lengths, types, names and other spellings."""
    with pytest.raises(Malformed) as caught:
        NoteKey.from_text(text)

    assert caught.value.reason is Reason.VKEY


@pytest.mark.parametrize(
    "raw",
    [
        "00" * 32,
        "01" + "00" * 31,
        "ecff" + "ff" * 29 + "7f",
        "edff" + "ff" * 29 + "ff",
        "eeff" + "ff" * 29 + "7f",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
    ],
)
def test_keys_of_small_order_are_refused(raw: str) -> None:
    """Under such a point one signature would fit many messages."""
    with pytest.raises(VerificationError, match="small order"):
        NoteKey("x", KeyType.ED25519, PublicKey.from_raw("Ed25519", bytes.fromhex(raw)))


@pytest.mark.parametrize("name", ["", "a b", "a+b", "a\nb", "a\x00b", "\ud800", "示" * 86])
def test_names_no_note_could_carry_are_refused(name: str) -> None:
    """White space, plus signs, control characters, lone surrogates and more than 255 bytes."""
    with pytest.raises(Malformed):
        NoteKey(name, KeyType.ED25519, ALICE[0].public_key)


def test_a_key_of_another_suite_cannot_take_a_type() -> None:
    """An Ed25519 key is no 0x06 key, whatever its vkey says."""
    with pytest.raises(Malformed):
        NoteKey(ORIGIN, KeyType.MLDSA44_COSIGNATURE, ALICE[0].public_key)


@pytest.mark.parametrize(
    "data",
    [
        "",
        "text\n",
        "text\n\n",
        "text\n\nno dash\n",
        "text\n\n- name AAAAAAA=\n",
        "text\n\n— name AAAA\n",
        "text\n\n— name AAAAAA\n",
        "text\n\n— name AAAAAB==\n",
        "text\n\n— na+me AAAAAAA=\n",
        "text\n\n— na\u00a0me AAAAAAA=\n",
        "text\n\n— name  AAAAAAA=\n",
        "text\n\n—  AAAAAAA=\n",
        "text\n\n— name AAAAAAA=",
        "text\n\n— name AAAAAAA=\r\n",
        "te\txt\n\n— name AAAAAAA=\n",
        "te\0xt\n\n— name AAAAAAA=\n",
        "te\ud800xt\n\n— name AAAAAAA=\n",
        b"te\xffxt\n\n\xe2\x80\x94 name AAAAAAA=\n",
        "text\n\n" + "— name AAAAAAA=\n" * 65,
        "text\n\n— name " + "AAAA" * 70_000 + "\n",
        "示" * 90_000 + "\n\n— name AAAAAAA=\n",
    ],
    ids=range(21),
)
def test_notes_refused(data: str | bytes) -> None:
    """Whatever is no note, or too much of one, is refused before any signature is looked at."""
    with pytest.raises(Malformed) as caught:
        note.parse_note(data)

    assert caught.value.reason is Reason.NOTE


def test_sixty_four_lines_are_read() -> None:
    """The limit on signature lines is a limit, not one less."""
    assert len(note.parse_note("text\n\n" + "— name AAAAAAA=\n" * 64).lines) == 64


@given(
    st.text(max_size=60)
    | st.binary(max_size=60)
    | st.lists(st.sampled_from(["text", "\n", "\n\n", "— ", "name", " ", "AAAAAAA=", "\0", "+"])).map("".join)
)
def test_notes_are_canonical_or_refused(data: str | bytes) -> None:
    """What parses prints as it was, and nothing but a `VerificationError` comes of the rest."""
    try:
        parsed = note.parse_note(data)
    except VerificationError:
        return
    assert parsed.to_text() == (data if isinstance(data, str) else data.decode())


@given(st.text(max_size=30) | st.from_regex(r"[a-z]{1,3}\+[0-9a-f]{8}\+[A-Za-z0-9+/]{4,50}={0,2}", fullmatch=True))
def test_garbage_is_no_verifier_key(text: str) -> None:
    """Nothing but `Malformed` comes of texts that are no vkey."""
    with pytest.raises(Malformed):
        NoteKey.from_text(text)


def test_every_flipped_bit_of_a_note_by_one_key_is_refused() -> None:
    """With no line of strangers under it, no bit of a note is free."""
    data = signed(ALICE).encode()

    for at in range(len(data)):
        for bit in range(8):
            changed = data[:at] + bytes([data[at] ^ 1 << bit]) + data[at + 1 :]
            with pytest.raises(VerificationError):
                note.open_note(changed, [ALICE[0]])


def test_wrong_sizes_are_the_callers_mistake() -> None:
    """A signature or random bytes of the wrong length, or a text without its newline, are `ValueError`."""
    with pytest.raises(ValueError, match="suite"):
        note.signature_line(ALICE[0], b"short")
    with pytest.raises(ValueError, match="76"):
        note.grease_line(b"")
    with pytest.raises(ValueError, match="newline"):
        note.format_note("text", [])


def test_signing_is_deterministic_to_the_byte() -> None:
    """The checkpoint of a fixed seed, byte for byte (Ed25519 is deterministic)."""
    example = VECTORS["checkpoint_300"]
    private = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(example["ed25519_seed_hex"]))
    key = NoteKey(
        "example.com/log", KeyType.ED25519, PublicKey.from_raw("Ed25519", private.public_key().public_bytes_raw())
    )
    root = base64.b64decode(VECTORS["entry_n_roots_b64"]["roots"]["300"])
    head = checkpoint.Checkpoint("example.com/log", 300, root)

    assert key.to_text() == example["vkey"]
    assert checkpoint.sign_checkpoint(head, [(key, private.sign)]) == example["note"]


@pytest.mark.parametrize("change", ["time", "longer", "shorter"])
def test_a_timed_line_of_another_length_or_beyond_all_times_is_refused(change: str) -> None:
    """Under a known key, before anything is checked with it; 2^63 - 1 is the last second."""
    key, sign = WITNESSES[0]
    seconds = 2**63 if change == "time" else 7
    line = note.signature_line(key, sign(checkpoint.message(key, TEXT, seconds)), seconds)
    blob = {"time": line.blob, "longer": line.blob + b"\0", "shorter": line.blob[:-1]}[change]
    text = note.format_note(TEXT, [SignatureLine(line.name, line.key_id, blob)])

    with pytest.raises(SignatureFailed) as caught:
        note.check_lines(note.parse_note(text), [key], checkpoint.message)
    assert "wrong length or time" in caught.value.detail


def test_a_note_has_a_length_in_bytes() -> None:
    """Of text and of bytes alike; a character takes as many as UTF-8 writes it in."""
    end = "\n\n— name AAAAAAA=\n"
    room = note.MAX_BYTES - len(end.encode())

    assert note.MAX_BYTES == 262_144
    for text in ("x" * room, "示" * (room // 3) + "x" * (room % 3)):
        for data in (text + end, (text + end).encode()):
            assert note.parse_note(data).text == text + "\n"
        for data in ("x" + text + end, ("x" + text + end).encode()):
            with pytest.raises(Malformed):
                note.parse_note(data)


@pytest.mark.parametrize(("name", "good"), [("n" * 255, True), ("n" * 256, False), ("示" * 85, True), ("n\x1f", False)])
def test_a_name_has_at_most_two_hundred_and_fifty_five_bytes(name: str, good: bool) -> None:
    """In a key, and in a line."""
    line = f"text\n\n— {name} AAAAAAA=\n"
    if good:
        key = NoteKey(name, KeyType.ED25519, ALICE[0].public_key)
        assert NoteKey.from_text(key.to_text()) == key and note.parse_note(line).lines[0].name == name
        return
    with pytest.raises(Malformed):
        NoteKey(name, KeyType.ED25519, ALICE[0].public_key)
    with pytest.raises(Malformed):
        note.parse_note(line)


def test_a_verifier_key_has_a_length() -> None:
    """The longest that is looked at is longer than any there is."""
    key = NoteKey("n" * 255, KeyType.MLDSA44_COSIGNATURE, LOG_KEYS[1][0].public_key)

    assert len(key.to_text()) < 4096 and NoteKey.from_text(key.to_text()) == key


def test_messages_are_the_bytes_of_the_specification() -> None:
    """The text, the text under a time, and the tree head with lengths before its names."""
    root = bytes(range(32))

    assert note.note_message("示\n") == "示\n".encode()
    assert note.cosignature_message("a\n", 7) == b"cosignature/v1\ntime 7\na\n"
    assert note.mldsa_message("cos", 7, "or", 300, root) == (
        b"subtree/v1\n\0\x03cos" + bytes(7) + b"\x07\x02or" + bytes(8) + bytes(6) + b"\x01\x2c" + root
    )
    for key, sizes in ((ALICE[0], (0, 64)), (WITNESSES[0][0], (8, 64)), (LOG_KEYS[1][0], (8, 2420))):
        line = note.signature_line(key, bytes(sizes[1]), 258)
        assert line.blob == ((258).to_bytes(8, "big") if sizes[0] else b"") + bytes(sizes[1])
        assert note.signature_line(key, bytes(sizes[1])).blob == bytes(sum(sizes))
        assert key.timed is bool(sizes[0])


def test_grease_is_a_line_of_a_name_nobody_has() -> None:
    """Its key id and signature are the rest of the random bytes."""
    line = note.grease_line(bytes(range(76)))

    assert (line.name, line.key_id, line.blob) == ("grease.invalid/00010203", bytes(range(4, 8)), bytes(range(8, 76)))
    for length in (75, 77):
        with pytest.raises(ValueError, match="76"):
            note.grease_line(bytes(length))


def test_the_last_second_there_is_can_be_signed() -> None:
    """2^63 - 1; a key that signs no time has none."""
    key, sign = WITNESSES[0]
    line = note.signature_line(key, sign(checkpoint.message(key, TEXT, 2**63 - 1)), 2**63 - 1)

    [timed] = note.check_lines(note.parse_note(note.format_note(TEXT, [line])), [key], checkpoint.message)
    assert timed.timestamp == note.MAX_TIME == 2**63 - 1
    assert note.open_note(signed(ALICE), [ALICE[0]])[1][0].timestamp is None
