"""An audit of an honest log finds nothing; after any one change it names what was changed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from keys.public_key import PublicKey
from tests.verifiers.log_world import BY, ORIGIN, START, Log
from verifiers import audit, commitment, entry, merkle, statement, tiles
from verifiers.audit import Fault, Finding, Part, Replay
from verifiers.checkpoint import Checkpoint
from verifiers.encoding import b64u_encode
from verifiers.errors import OpeningFailed, SignatureFailed, VerificationError
from verifiers.tiles import ENTRIES, Tile

SIZE = 600
PRIVATE = ec.derive_private_key(7, ec.SECP256R1())
KEY = PublicKey.from_spki(
    PRIVATE.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
)


def signed(payload: dict[str, object]) -> bytes:
    """A statement by the department's key."""
    to_sign = statement.signing_input(KEY.kid, payload)
    r, s = decode_dss_signature(PRIVATE.sign(to_sign, ec.ECDSA(hashes.SHA256(), deterministic_signing=True)))
    return statement.assemble(to_sign, r.to_bytes(32, "big") + s.to_bytes(32, "big"))


def record_of(number: int) -> tuple[list[Part], bytes]:
    """A record of facts and one erased personal part, and the commitment to it."""
    salt, jws = bytes([number % 251]) * 32, commitment.jws_digest(b"%d" % number)
    facts: dict[str, object] = {"salt_d": b64u_encode(salt)}
    if number % 2:
        facts["jws"] = b64u_encode(jws)
    payload = statement.payload(
        origin=ORIGIN,
        ref=number.to_bytes(16, "big"),
        kind="sealed" if number else "log.opened",
        by=BY,
        event="example",
        facts=facts,
    )
    content = signed(payload)
    parts = [Part(commitment.part_digest(salt, content), salt, content), Part(bytes([number % 7]) * 32)]
    hdoc = commitment.doc_hash(salt, jws) if number % 2 else commitment.doc_hash(salt)
    return parts, commitment.commit(hdoc, commitment.record_hash([part.digest for part in parts]))


@dataclass
class Stored:
    """Everything a region stores of a small log, open to tampering."""

    rows: list[tuple[int, bytes, Sequence[Part] | None]] = field(default_factory=list)
    files: dict[Tile, bytes] = field(default_factory=dict)
    heads: list[Checkpoint] = field(default_factory=list)
    seen: list[tuple[int, object]] = field(default_factory=list)

    @classmethod
    def of(cls, size: int) -> Stored:
        """An honest log of `size` entries a second apart, with a checkpoint at every size divisible by 50."""
        stored, chain, frontier = cls(), entry.FIRST_PREV, merkle.Frontier()
        stored.heads.append(Checkpoint(ORIGIN, 0, frontier.root()))
        for number in range(size):
            parts, commit = record_of(number)
            kind = "sealed" if number else "log.opened"
            at = START + timedelta(seconds=number)
            data = entry.encode(entry.Leaf(kind, at, BY, number.to_bytes(16, "big"), commit, chain))
            chain = merkle.leaf_hash(data)
            frontier.append(chain)
            stored.rows.append((number, data, parts))
            if frontier.size % 50 == 0:
                stored.heads.append(Checkpoint(ORIGIN, frontier.size, frontier.root()))
        stored.files = tiles.grow(0, {}, [data for _, data, _ in stored.rows])
        return stored

    def copy(self) -> Stored:
        """One to tamper with."""
        return Stored(list(self.rows), dict(self.files), list(self.heads), list(self.seen))

    def audited(self, key: PublicKey | None = KEY) -> list[Finding]:
        """All findings of one audit."""
        run = Replay(
            ORIGIN,
            checkpoints=self.heads,
            cosigned=self.seen,  # type: ignore[arg-type]
            key_at=lambda kid, index: key if kid == KEY.kid else None,
            read_tile=self.files.get,
            tiles_up_to=SIZE,
        )
        return list(audit.replay(self.rows, run))


@pytest.fixture(scope="module")
def honest() -> Stored:
    """The log all tests start from."""
    return Stored.of(SIZE)


def test_an_honest_log_has_no_findings(honest: Stored) -> None:
    """Entries, records, checkpoints and files agree, and the replay ends at the head."""
    run = Replay(ORIGIN, checkpoints=honest.heads, read_tile=honest.files.get, tiles_up_to=SIZE)

    assert honest.audited() == []
    assert list(audit.replay(honest.rows, run)) == []
    assert (run.size, run.erased, run.last_at) == (SIZE, SIZE, START + timedelta(seconds=SIZE - 1))
    assert run.frontier.root() == honest.heads[-1].root
    assert run.chain == merkle.leaf_hash(honest.rows[-1][1])


def change_entry(stored: Stored) -> None:
    """Another time on entry 300."""
    index, data, record = stored.rows[300]
    leaf = replace(entry.parse(data), at=entry.parse(data).at + timedelta(seconds=1))
    stored.rows[300] = (index, entry.encode(leaf), record)


def garble_entry(stored: Stored) -> None:
    """Bytes that are no leaf."""
    stored.rows[300] = (300, b"{}", stored.rows[300][2])


def oversize_entry(stored: Stored) -> None:
    """Bytes that would not even fit a bundle."""
    stored.rows[300] = (300, bytes(70_000), stored.rows[300][2])


def drop_entry(stored: Stored) -> None:
    """A missing row."""
    del stored.rows[300]


def swap_entries(stored: Stored) -> None:
    """Two rows that changed places but not numbers."""
    (i, a, r), (j, b, s) = stored.rows[300:302]
    stored.rows[300:302] = [(i, b, s), (j, a, r)]


def truncate(stored: Stored) -> None:
    """The last hundred rows gone."""
    del stored.rows[500:]


def rewrite_last(stored: Stored) -> None:
    """The last entry exchanged with its chain intact."""
    index, data, record = stored.rows[-1]
    stored.rows[-1] = (index, entry.encode(replace(entry.parse(data), commit=bytes(32))), record)


def change_facts(stored: Stored) -> None:
    """Another content under the old digest."""
    index, data, record = stored.rows[300]
    assert record is not None
    stored.rows[300] = (index, data, [replace(record[0], content=signed({"v": 1})), record[1]])


def change_record(stored: Stored) -> None:
    """An erased part exchanged for another erased part."""
    index, data, record = stored.rows[300]
    assert record is not None
    stored.rows[300] = (index, data, [record[0], Part(b"x" * 32)])


def short_digest(stored: Stored) -> None:
    """A digest that is none."""
    index, data, record = stored.rows[300]
    assert record is not None
    stored.rows[300] = (index, data, [record[0], Part(b"x")])


def borrow_record(stored: Stored) -> None:
    """The record of another entry."""
    stored.rows[300] = (*stored.rows[300][:2], stored.rows[302][2])


def lose_record(stored: Stored) -> None:
    """No record at all."""
    stored.rows[300] = (*stored.rows[300][:2], [])


def lose_facts(stored: Stored) -> None:
    """Facts erased, which the law of this log does not know."""
    index, data, record = stored.rows[300]
    assert record is not None
    stored.rows[300] = (index, data, [Part(record[0].digest), record[1]])


def change_checkpoint(stored: Stored) -> None:
    """Another root at size 300."""
    stored.heads[6] = replace(stored.heads[6], root=bytes(32))


def add_split_view(stored: Stored) -> None:
    """A second head of one size, as a witness elsewhere may hold."""
    stored.heads.append(replace(stored.heads[6], root=bytes(32)))


def change_bundle(stored: Stored) -> None:
    """A byte of a bundle."""
    stored.files[Tile(ENTRIES, 1)] = stored.files[Tile(ENTRIES, 1)][:-1] + b"!"


def change_tile(stored: Stored) -> None:
    """A byte of a partial hash tile at the top."""
    stored.files[Tile(1, 0, 2)] = b"!" + stored.files[Tile(1, 0, 2)][1:]


def lose_tile(stored: Stored) -> None:
    """A file deleted."""
    del stored.files[Tile(0, 0)]


def backdate(stored: Stored) -> None:
    """A witness saw the log without entry 300 after the time it bears."""
    stored.seen.append((300, START + timedelta(seconds=361)))


CHANGES_TO_ROWS = (change_entry, garble_entry, oversize_entry, drop_entry, swap_entries, truncate, rewrite_last)
"""These show in more places than one: the row itself, the chain, the roots and the files over it."""


@pytest.mark.parametrize(
    ("tamper", "expected"),
    [
        (change_entry, {("entry.chain", "entry 301"), ("checkpoint.root", "checkpoint 350")}),
        (garble_entry, {("entry.malformed", "entry 300"), ("entry.chain", "entry 301")}),
        (oversize_entry, {("entry.malformed", "entry 300"), ("tile.differs", "tile/entries/001")}),
        (drop_entry, {("entry.missing", "entry 300"), ("entry.chain", "entry 301")}),
        (swap_entries, {("entry.chain", "entry 300"), ("entry.chain", "entry 301"), ("entry.time", "entry 301")}),
        (truncate, {("checkpoint.beyond", "checkpoint 550"), ("checkpoint.beyond", "checkpoint 600")}),
        (rewrite_last, {("record.opening", "record 599"), ("checkpoint.root", "checkpoint 600")}),
        (change_facts, {("record.part", "record 300 part 0")}),
        (change_record, {("record.opening", "record 300")}),
        (short_digest, {("record.part", "record 300 part 1")}),
        (borrow_record, {("record.statement", "record 300")}),
        (lose_record, {("record.missing", "record 300")}),
        (lose_facts, {("record.missing", "record 300")}),
        (change_checkpoint, {("checkpoint.root", "checkpoint 300")}),
        (add_split_view, {("checkpoint.root", "checkpoint 300")}),
        (change_bundle, {("tile.differs", "tile/entries/001")}),
        (change_tile, {("tile.differs", "tile/1/000.p/2")}),
        (lose_tile, {("tile.missing", "tile/0/000")}),
        (backdate, {("entry.backdated", "entry 300")}),
    ],
    ids=lambda value: value.__name__ if callable(value) else "",
)
def test_any_one_change_is_named(
    honest: Stored, tamper: Callable[[Stored], None], expected: set[tuple[str, str]]
) -> None:
    """The findings name the fault and the place, and every one can be printed."""
    stored = honest.copy()
    tamper(stored)

    findings = stored.audited()

    found = {(finding.fault.value, finding.where) for finding in findings}
    assert expected <= found
    assert tamper in CHANGES_TO_ROWS or expected == found
    assert all(str(finding).startswith(finding.where) and finding.detail for finding in findings)


def test_statements_are_checked_with_the_key_of_their_time(honest: Stored) -> None:
    """Without the key every record is in doubt; with it none."""
    findings = honest.audited(key=None)

    assert {finding.fault for finding in findings} == {Fault.RECORD_STATEMENT}
    assert len(findings) == SIZE


def test_a_log_opens_once(honest: Stored) -> None:
    """`log.opened` in the middle, or something else at the start, is a fault of kind."""
    first = entry.encode(replace(entry.parse(honest.rows[0][1]), kind="sealed"))
    run = Replay(ORIGIN)

    assert [f.fault for f in run.feed(0, first)] == [Fault.ENTRY_KIND]
    again = entry.encode(replace(entry.parse(honest.rows[0][1]), prev=run.chain))
    assert [f.fault for f in run.feed(1, again)] == [Fault.ENTRY_KIND]


def test_one_fork_is_reported_once(honest: Stored) -> None:
    """A hundred checkpoints over one changed entry give one finding, at the first of them."""
    stored = honest.copy()
    change_entry(stored)

    assert sum(finding.fault is Fault.CHECKPOINT_ROOT for finding in stored.audited()) == 1


def test_files_are_compared_up_to_the_published_size(honest: Stored) -> None:
    """Entries that are sequenced and not yet published have no files, which is no finding."""
    published = tiles.grow(0, {}, [data for _, data, _ in honest.rows[:300]])
    run = Replay(ORIGIN, read_tile=published.get, tiles_up_to=300)

    assert list(audit.replay(honest.rows, run)) == []


def test_a_wrong_empty_tree_is_found() -> None:
    """A head of size 0 is compared before the first entry."""
    run = Replay(ORIGIN, checkpoints=[Checkpoint(ORIGIN, 0, bytes(32))])

    assert [finding.where for finding in run.begin()] == ["checkpoint 0"]


@pytest.mark.parametrize("facts", [{}, {"salt_d": 7}, {"salt_d": "AA"}, {"salt_d": b64u_encode(bytes(32)), "jws": "x"}])
def test_facts_without_their_digests_do_not_open(facts: dict[str, object]) -> None:
    """A statement that lacks the salt or has crooked digests is refused, not a crash."""
    leaf = entry.Leaf("sealed", START, BY, bytes(16), bytes(32), bytes(32))
    content = signed(statement.payload(origin=ORIGIN, ref=leaf.ref, kind=leaf.kind, by=leaf.by, event="e", facts=facts))
    with pytest.raises(VerificationError):
        audit.open_record([Part(bytes(32), bytes(32), content)], origin=ORIGIN, leaf=leaf)
    with pytest.raises(OpeningFailed):
        audit.open_record([Part(bytes(32))], origin=ORIGIN, leaf=leaf)


def test_signature_failures_have_their_own_reason() -> None:
    """A statement by nobody's key is told apart from one that was altered."""
    with pytest.raises(SignatureFailed):
        statement.check_signature(statement.parse(record_of(1)[0][0].content or b""), lambda kid: None)


def test_a_log_of_many_tiles_replays_without_a_finding() -> None:
    """Five thousand entries with all their files."""
    log = Log.of(5_000)
    run = Replay(ORIGIN, checkpoints=[log.head], read_tile=log.files.get, tiles_up_to=5_000)

    findings = list(audit.replay(((number, data, None) for number, data in enumerate(log.entries)), run))

    assert findings == []


def in_runs(stored: Stored, length: int, *, heads: bool) -> tuple[list[Finding], Replay]:
    """Audit without records, as many entries at once as `length` and the rows allow; one by one where told to."""
    run = Replay(
        ORIGIN,
        checkpoints=stored.heads if heads else (),
        read_tile=stored.files.get,
        tiles_up_to=SIZE,
    )
    findings = run.begin()
    for start in range(0, len(stored.rows), length):
        rows = stored.rows[start : start + length]
        numbered = all(index == rows[0][0] + position for position, (index, _, _) in enumerate(rows))
        found = run.feed_run(rows[0][0], [data for _, data, _ in rows]) if numbered else None
        if found is None:
            found = [each for index, data, _ in rows for each in run.feed(index, data)]
        findings += found
    return findings + run.finish(), run


ENTRY_CHANGES = [change_entry, garble_entry, oversize_entry, drop_entry, swap_entries, truncate]


@pytest.mark.parametrize("length", [1, 7, 256, 300, 1000])
@pytest.mark.parametrize("heads", [False, True])
def test_entries_taken_at_once_are_audited_as_one_by_one(honest: Stored, length: int, heads: bool) -> None:
    """However many entries are taken at once, findings and the end of the log are those of single entries."""
    for change in (lambda _: None, *ENTRY_CHANGES):
        stored = honest.copy()
        change(stored)
        singly = Replay(ORIGIN, checkpoints=stored.heads if heads else (), read_tile=stored.files.get, tiles_up_to=SIZE)
        expected = list(audit.replay([(index, data, None) for index, data, _ in stored.rows], singly))

        found, run = in_runs(stored, length, heads=heads)

        assert sorted(map(str, found)) == sorted(map(str, expected))
        assert (run.size, run.chain, run.last_at) == (singly.size, singly.chain, singly.last_at)
        assert run.frontier.to_bytes() == singly.frontier.to_bytes()


def test_entries_taken_at_once_are_held_to_cosignatures(honest: Stored) -> None:
    """No run hides an entry that claims to be older than what a witness saw without it."""
    run = Replay(ORIGIN)
    for index, data, _ in honest.rows[:300]:
        run.feed(index, data)
    run.cosigned(START + timedelta(seconds=300, milliseconds=500) + audit.CLOCK_TOLERANCE)

    rest = [data for _, data, _ in honest.rows[300:]]

    assert run.feed_run(300, rest) is None
    assert [each.fault for each in run.feed(300, rest[0])] == [Fault.ENTRY_BACKDATED]
    assert run.feed_run(301, rest[1:]) == []
