"""The figures of our own formats stay what they are: whoever reads them elsewhere was told so."""

from __future__ import annotations

from keys.public_key import PublicKey
from tests.vectors import vectors
from verifiers import (
    Frontier,
    Leaf,
    LogPolicy,
    NoteKey,
    Opening,
    Part,
    check_receipt,
    commitment,
    entry,
    leaf_hash,
    open_leaf,
    open_record,
    statement,
)

FIGURES = vectors("log_formats")
COMMITMENT, LEAF, STATEMENT, RECEIPT = (FIGURES[name] for name in ("commitment", "leaf", "statement", "receipt"))


def leaf() -> Leaf:
    """The leaf of the figures, from its members."""
    ref, commit, prev = (bytes.fromhex(LEAF[name]) for name in ("ref", "commit", "prev"))
    return Leaf(LEAF["kind"], entry.parse_at(LEAF["at"]), LEAF["by"], ref, commit, prev)


def test_references() -> None:
    """What follows a thing through its events."""
    secret = bytes.fromhex(FIGURES["ref"]["secret"])

    refs = [commitment.event_ref(secret, number).hex() for number in range(3)]

    assert refs == FIGURES["ref"]["refs_of_events_0_1_2"]
    assert LEAF["ref"] == refs[0]


def test_commitment() -> None:
    """Every digest on the way from documents and record to the commitment."""
    salt_d = bytes.fromhex(COMMITMENT["salt_d"])
    jws = commitment.jws_digest(COMMITMENT["jws_signing_input_utf8"].encode())
    code = commitment.code_digest(COMMITMENT["sig_structure_utf8"].encode())
    digests = [
        commitment.part_digest(bytes.fromhex(part["salt"]), part["part_utf8"].encode()) for part in COMMITMENT["record"]
    ]
    hdoc, hrec = commitment.doc_hash(salt_d, jws, code), commitment.record_hash(digests)

    assert (jws.hex(), code.hex()) == (COMMITMENT["jws_digest"], COMMITMENT["code_digest"])
    assert [digest.hex() for digest in digests] == [part["digest"] for part in COMMITMENT["record"]]
    assert (hdoc.hex(), hrec.hex()) == (COMMITMENT["hdoc"], COMMITMENT["hrec"])
    assert commitment.doc_hash(salt_d).hex() == COMMITMENT["hdoc_without_documents"]
    assert commitment.commit(hdoc, hrec).hex() == COMMITMENT["commit"] == LEAF["commit"]


def test_leaf_and_opening() -> None:
    """The bytes of a leaf, its hash, and the opening that a receipt carries."""
    data = LEAF["bytes_utf8"].encode()
    opening = Opening.from_bytes(bytes.fromhex(FIGURES["opening"]))

    assert entry.encode(leaf()) == data == opening.leaf
    assert leaf_hash(data).hex() == LEAF["leaf_hash"]
    assert open_leaf(opening) == leaf()


def test_statement_is_the_record_of_its_leaf() -> None:
    """The compact statement is signed, belongs to the leaf, and is part 0 of what it commits to."""
    key = PublicKey.from_spki(bytes.fromhex(STATEMENT["key_spki"]))
    compact = STATEMENT["compact"].encode()

    opened = statement.open_statement(compact, origin=STATEMENT["origin"], leaf=leaf(), key_of=lambda kid: key)

    assert (opened.kid, opened.payload) == (STATEMENT["kid"], STATEMENT["payload"])
    assert key.kid == STATEMENT["kid"]
    record = [
        Part(bytes.fromhex(part["digest"]), bytes.fromhex(part["salt"]), part["part_utf8"].encode())
        for part in COMMITMENT["record"]
    ]
    assert open_record(record, origin=STATEMENT["origin"], leaf=leaf()).signature == opened.signature


def test_receipt() -> None:
    """A receipt with both log signatures and two witnesses."""
    keys, witnesses = (
        tuple(NoteKey.from_text(vkey) for vkey in RECEIPT[name]) for name in ("log_vkeys", "witness_vkeys")
    )

    opened = check_receipt(RECEIPT["text"], LogPolicy(RECEIPT["origin"], keys, RECEIPT["quorum"], witnesses))

    assert (opened.index, opened.checkpoint.size) == (RECEIPT["index"], RECEIPT["size"])
    assert (opened.checkpoint.root.hex(), opened.checkpoint.grade) == (RECEIPT["root"], RECEIPT["grade"])
    assert opened.checkpoint.cosigned_at == entry.parse_at(RECEIPT["cosigned_at"])
    assert Frontier.from_bytes(bytes.fromhex(FIGURES["frontier_of_5"])).root() == opened.checkpoint.root
