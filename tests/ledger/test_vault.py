"""What the vault seals comes back only whole, only with its key, and not at all once erased."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.errors import Code, Refusal
from ledger.vault import Vault, digest_of, erased, is_erased
from tests.ledger.small_log import draft
from tests.region import memory_store
from verifiers.encoding import b64u_decode, b64u_encode

VAULT = Vault.open(memory_store())

segments = st.binary(max_size=3000).map(b64u_encode)
parts = st.one_of(
    st.binary(max_size=5000),
    st.tuples(segments, segments, segments).map(lambda three: ".".join(three).encode()),
    st.builds(lambda text, times: text.encode() * times, st.text(max_size=30), st.integers(0, 500)),
    st.sampled_from([b"a.b.c", b"..", b"AA==.AA.AA", b"AB.AA.AA", b"A.A.A.A", b"\xff.\xff.\xff"]),
)


@settings(max_examples=150, deadline=None)
@given(parts)
def test_facts_come_back_byte_for_byte(part: bytes) -> None:
    """Whatever the part looks like, packing and sealing change nothing of it."""
    blob = VAULT.seal_facts(part)

    assert VAULT.open_facts(blob) == part
    assert VAULT.open_answer(VAULT.seal_answer(part)) == part


@settings(max_examples=100, deadline=None)
@given(parts)
def test_subject_parts_come_back_with_their_key(part: bytes) -> None:
    """A subject part opens with its wrapped key, and with no other part's."""
    blob, wrapped = VAULT.seal_subject(part)
    _, other = VAULT.seal_subject(part)

    assert VAULT.open_subject(blob, wrapped) == part
    with pytest.raises(Refusal) as refused:
        VAULT.open_subject(blob, other)
    assert refused.value.code is Code.RECORD_DAMAGED


def test_statement_takes_less_room_than_it_has_bytes() -> None:
    """A statement is stored without its base64url, so that sealing does not make it longer."""
    part = draft(padding=600).statement

    assert len(VAULT.seal_facts(part)) < len(part)


def test_every_changed_byte_is_noticed() -> None:
    """Flipping any byte of blob or wrapped key is refused as damage, never opened as something else."""
    part = b'{"holder":{"name":"\xe7\xa4\xba\xe4\xbe\x8b\xe7\x94\xb2"}}'
    blob, wrapped = VAULT.seal_subject(part)
    facts = VAULT.seal_facts(part)

    for at in range(len(blob)):
        with pytest.raises(Refusal) as refused:
            VAULT.open_subject(_flipped(blob, at), wrapped)
        assert refused.value.code is Code.RECORD_DAMAGED
    for at in range(len(wrapped)):
        with pytest.raises(Refusal):
            VAULT.open_subject(blob, _flipped(wrapped, at))
    for at in range(len(facts)):
        with pytest.raises(Refusal):
            VAULT.open_facts(_flipped(facts, at))


def test_a_payload_opens_by_itself_and_only_unchanged() -> None:
    """It is what stands in the statement; of a part that is no statement there is none."""
    statement = draft(padding=600).statement
    blob = VAULT.seal_facts(statement)

    assert VAULT.open_payload(blob) == b64u_decode(statement.decode().split(".")[1])
    assert VAULT.open_payload(VAULT.seal_facts(b"{}")) is None
    for at in range(len(blob)):
        changed = blob[:at] + bytes((blob[at] ^ 1,)) + blob[at + 1 :]
        with pytest.raises(Refusal) as refused:
            VAULT.open_payload(changed)
        assert refused.value.code is Code.RECORD_DAMAGED


def test_erased_part_keeps_its_digest_only() -> None:
    """What is left of an erased part is its digest, and opening it says that it was erased."""
    blob, wrapped = VAULT.seal_subject(b"{}")
    left = erased(blob)

    assert digest_of(left) == digest_of(blob) and len(left) == 33 and is_erased(left) and not is_erased(blob)
    with pytest.raises(Refusal) as refused:
        VAULT.open_subject(left, wrapped)
    assert refused.value.code is Code.RECORD_ERASED


def test_lost_key_is_damage_not_erasure() -> None:
    """A wrapped key that is missing without erasure is tampering."""
    blob, _ = VAULT.seal_subject(b"{}")

    with pytest.raises(Refusal) as refused:
        VAULT.open_subject(blob, None)

    assert refused.value.code is Code.RECORD_DAMAGED


def test_old_secrets_open_what_they_sealed() -> None:
    """After rotation new parts use the newest secrets and old parts still open."""
    store = memory_store()
    before = Vault.open(store)
    old_facts, (old_blob, old_key) = before.seal_facts(b"1"), before.seal_subject(b"2")
    old_blind = before.blind("111", "11010519491231002X")
    for name in ("facts-2", "kek-2", "blind-2"):
        store.secret(name)
    after = Vault.open(store)

    assert after.open_facts(old_facts) == b"1" and after.open_subject(old_blob, old_key) == b"2"
    assert after.blind("111", "11010519491231002X")[0] == 2
    assert old_blind in after.blinds("111", "11010519491231002X")
    with pytest.raises(Refusal):
        before.open_facts(after.seal_facts(b"3"))


def test_blind_index_knows_the_spellings_of_one_number() -> None:
    """Full-width and small letters and the fifteen-digit form lead to the same place, other kinds do not."""
    number = VAULT.blind("111", "11010519491231002X")

    assert VAULT.blind("111", " 11010519491231002x") == number
    assert VAULT.blind("111", "11010519491231002X") == number
    assert VAULT.blind("114", "11010519491231002X") != number
    assert VAULT.blind("111", "110105491231002") == VAULT.blind("111", "11010519491231002X")


def test_keyed_hashes_differ_between_regions_and_purposes() -> None:
    """Nobody without the region's secret can recompute them, and a body is never mistaken for a key."""
    other = Vault.open(memory_store())

    assert VAULT.body_mac(b"{}") != other.body_mac(b"{}")
    assert VAULT.idempotency_slot("a", "b", "c") != VAULT.idempotency_slot("a", "bc", "")
    assert VAULT.body_mac(b"{}")[:16] != VAULT.idempotency_slot("", "", "{}")


def _flipped(data: bytes, at: int) -> bytes:
    return data[:at] + bytes((data[at] ^ 0x01,)) + data[at + 1 :]
