"""Programs in Go judge the demo's log and a larger one: tessera's fsck, Go's own notes, proofs and cosignatures."""

from __future__ import annotations

import shutil
import subprocess
import sys
from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.interop.strangers import Programs
from tests.verifiers.log_world import LOG_KEYS, ORIGIN, WITNESSES, Log, sign
from verifiers import merkle, tiles
from verifiers.checkpoint import Checkpoint, Grade, LogPolicy, add_cosignatures, open_checkpoint
from verifiers.encoding import b64_encode
from verifiers.errors import SignatureFailed
from verifiers.note import NoteKey, open_note, parse_lines
from verifiers.receipt import parse_receipt
from verifiers.tiles import ENTRIES, HashReader, Tile

pytestmark = [pytest.mark.interop, pytest.mark.long, pytest.mark.timeout(900)]

SIZE = 66_000
HEAD = f"{ORIGIN}\n{SIZE}\n{'=' * 44}\n\n— {ORIGIN} "
SIGNED_AT = len(HEAD.encode()) + 20  # in the first signature line, behind the key's id
FSCK_S = 60


class Published:
    """A log as files, below `folder`: its checkpoint, its keys, and proofs made from its tiles alone."""

    def __init__(self, folder: Path, keys: Sequence[str]) -> None:
        self.folder = folder
        self.keys = list(keys)
        self.checkpoint = (folder / "checkpoint").read_text(encoding="utf-8")
        self.policy = LogPolicy(self.checkpoint.split("\n")[0], tuple(NoteKey.from_text(key) for key in keys))
        self.head = open_checkpoint(self.checkpoint, self.policy)
        self._newest = {tile[:2]: tile for tile in tiles.all_tiles(self.head.size)}

    def read(self, wanted: Sequence[Tile]) -> Mapping[Tile, bytes]:
        """Return tiles; one that has grown since begins with what it was."""
        paths = {tile: self.folder / self._newest[tile[:2]].path() for tile in wanted}
        return {tile: path.read_bytes()[: 32 * tile.width] for tile, path in paths.items()}

    def entry(self, index: int) -> bytes:
        """Return one entry."""
        bundle = self._newest[ENTRIES, index // 256]
        return tiles.parse_bundle((self.folder / bundle.path()).read_bytes(), bundle.width)[index % 256]

    def growth(self, old: int, new: int) -> list[str]:
        """Return the proof that the tree of `old` leaves is the beginning of that of `new`."""
        return [b64_encode(each) for each in merkle.prove_consistency(old, new, HashReader(new, self.read))]


@pytest.fixture(scope="session")
def of_demo(demo: Path) -> Published:
    """The demo's log, as it was downloaded from the service."""
    return Published(demo / "log", (demo / "log.vkey").read_text().split())


@pytest.fixture(scope="session")
def large(tmp_path_factory: pytest.TempPathFactory) -> Published:
    """A log of three levels of tiles."""
    log, folder = Log.of(SIZE), tmp_path_factory.mktemp("large")
    for tile, data in log.files.items():
        (folder / tile.path()).parent.mkdir(parents=True, exist_ok=True)
        (folder / tile.path()).write_bytes(data)
    (folder / "checkpoint").write_text(sign(log.head, witnesses=WITNESSES), encoding="utf-8")
    return Published(folder, [key.to_text() for key, _ in LOG_KEYS])


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """Serve a folder from an ordinary file server on the loopback interface."""
    command = [sys.executable, "-u", "-m", "http.server", "0", "--bind", "127.0.0.1", "--directory", str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as server:
        try:
            assert server.stdout is not None
            said = server.stdout.readline()
            yield f"http://127.0.0.1:{said.split(' port ')[1].split()[0]}/"
        finally:
            server.terminate()


def fsck(go: Programs, folder: Path, key: str, scratch: Path) -> str:
    """Return what tessera's fsck prints about a log; its exit status says nothing, and damage may make it wait."""
    (scratch / "log.pub").write_text(key)
    with served(folder) as url:
        command = [str(go.folder / "fsck"), f"--storage_url={url}", f"--public_key={scratch / 'log.pub'}"]
        try:
            done = subprocess.run(
                [*command, "--ui=false", "--N=4"], capture_output=True, text=True, timeout=FSCK_S, check=False
            )
        except subprocess.TimeoutExpired as late:
            return f"{(late.stderr or b'').decode()}fsck failed: no end in {FSCK_S} s"
    return done.stderr


@pytest.mark.parametrize("name", ["of_demo", "large"])
@pytest.mark.parametrize("key", [0, 1], ids=["Ed25519", "ML-DSA-44"])
def test_fsck_accepts_the_whole_log(
    go: Programs, name: str, key: int, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """Under either of its keys: every bundle and tile, and the root that was signed."""
    log: Published = request.getfixturevalue(name)

    said = fsck(go, log.folder, log.keys[key], tmp_path)

    assert f"Successfully fsck'd log with size {log.head.size} and root {b64_encode(log.head.root)}" in said


@pytest.mark.parametrize(
    ("path", "place"),
    [
        ("tile/entries/007", 100),
        ("tile/0/100", 100),
        ("tile/1/000", 100),
        ("checkpoint", len(ORIGIN) + 1),
        ("checkpoint", SIGNED_AT),
    ],
    ids=["bundle", "tile", "upper tile", "size", "signature"],
)
def test_fsck_refuses_a_damaged_log(go: Programs, large: Published, path: str, place: int, tmp_path: Path) -> None:
    """One byte of any of its files is enough."""
    folder = tmp_path / "damaged"
    shutil.copytree(large.folder, folder)
    data = bytearray((folder / path).read_bytes())
    data[place] = ord("7") if data[place] != ord("7") else ord("8")
    (folder / path).write_bytes(data)

    said = fsck(go, folder, large.keys[0], tmp_path)

    assert "fsck failed" in said
    assert "Successfully" not in said


def case(log: Published, checkpoint: str, **claims: Any) -> dict[str, Any]:
    """Return what is asked of the judge about one checkpoint."""
    return {"Origin": log.head.origin, "Keys": log.keys, "Checkpoint": checkpoint, **claims}


def receipts_of(demo: Path) -> list[Any]:
    """Return every receipt the demo left."""
    return [parse_receipt(path.read_text()) for path in sorted(demo.rglob("*.tlog-proof"))]


def test_go_verifies_both_signatures_and_every_receipt_of_the_demo(
    go: Programs, demo: Path, of_demo: Published
) -> None:
    """Each receipt's checkpoint, its audit path, and that the log has only grown since."""
    cases = []
    for receipt in receipts_of(demo):
        hashes = [b64_encode(each) for each in receipt.hashes]
        entry = b64encode(of_demo.entry(receipt.index)).decode()
        included = {"Index": receipt.index, "Entry": entry, "Hashes": hashes}
        cases.append(case(of_demo, receipt.checkpoint, Inclusion=[included]))
    heads = [open_checkpoint(each["Checkpoint"], of_demo.policy) for each in cases]
    older = [
        {"Size": head.size, "Root": b64_encode(head.root), "Hashes": of_demo.growth(head.size, of_demo.head.size)}
        for head in heads
    ]
    cases.append(case(of_demo, of_demo.checkpoint, Consistency=older))

    answers = go.ask("judge", cases)

    signed = [int.from_bytes(key.key_id) for key in of_demo.policy.keys]
    assert len(answers) >= 8
    for answer, head in zip(answers, [*heads, of_demo.head], strict=True):
        assert answer == {"size": head.size, "root": b64_encode(head.root), "signed": signed}


def test_go_verifies_proofs_across_three_levels(go: Programs, large: Published) -> None:
    """Places where tiles end and begin, and trees that end there."""
    reader = HashReader(SIZE, large.read)
    included = [
        {
            "Index": index,
            "Entry": b64encode(large.entry(index)).decode(),
            "Hashes": [b64_encode(each) for each in merkle.prove_inclusion(index, SIZE, reader)],
        }
        for index in (0, 255, 256, 511, 65_535, 65_536, SIZE - 1)
    ]
    older = [
        {"Size": old, "Root": b64_encode(_root(large, old)), "Hashes": large.growth(old, SIZE)}
        for old in (1, 255, 256, 257, 65_535, 65_536, 65_537, SIZE)
    ]

    [answer] = go.ask("judge", [case(large, large.checkpoint, Inclusion=included, Consistency=older)])

    assert "error" not in answer
    assert answer["size"] == SIZE


def _root(log: Published, size: int) -> bytes:
    nodes = merkle.root_nodes(size)
    return merkle.root_from(size, HashReader(size, log.read)(nodes))


def test_go_refuses_what_we_refuse(go: Programs, demo: Path, of_demo: Published, large: Published) -> None:
    """Another log's key, a line changed, an entry put in the place of another."""
    receipt = receipts_of(demo)[0]
    hashes = [b64_encode(each) for each in receipt.hashes]
    wrong = {"Index": receipt.index, "Entry": b64encode(of_demo.entry(0)).decode(), "Hashes": hashes}
    foreign = case(of_demo, of_demo.checkpoint) | {"Keys": [of_demo.keys[0], large.keys[1]]}
    size = f"\n{of_demo.head.size}\n"
    grown = case(of_demo, of_demo.checkpoint.replace(size, f"\n{of_demo.head.size + 1}\n"))

    answers = go.ask("judge", [case(of_demo, receipt.checkpoint, Inclusion=[wrong]), foreign, grown])

    assert [answer["error"].split()[0] for answer in answers] == ["inclusion", "signature", "signature"]
    with pytest.raises(SignatureFailed):
        open_checkpoint(grown["Checkpoint"], of_demo.policy)


def test_a_cosigner_follows_the_log_of_the_demo_and_we_verify_it(go: Programs, demo: Path, of_demo: Published) -> None:
    """Checkpoints that the running service signed, each fed with our proof from the one before."""
    notes = {open_checkpoint(note, of_demo.policy).size: note for note in (r.checkpoint for r in receipts_of(demo))}
    sizes = sorted({*notes, of_demo.head.size})
    notes[of_demo.head.size] = of_demo.checkpoint
    steps = [
        {"Checkpoint": notes[new], "Hashes": of_demo.growth(old, new) if old else []}
        for old, new in zip([0, *sizes], sizes, strict=False)
    ]

    answers = go.ask("cosigner", {"Origin": of_demo.head.origin, "Key": of_demo.keys[0], "Steps": steps})

    assert len(sizes) >= 4
    _check_cosigned(of_demo.policy, [notes[size] for size in sizes], answers)
    note, [signature] = open_note(answers["note"], [NoteKey.from_text(answers["plain_key"])])
    assert note.text == "示例\n\nan example\n"
    assert signature.timestamp is None


def test_a_cosigner_accepts_growth_across_levels_and_refuses_a_wrong_proof(go: Programs, large: Published) -> None:
    """The proof of another pair of sizes, and a step back, get no cosignature."""
    sizes = [1, 255, 256, 257, 511, 65_536, 65_537, SIZE]
    notes = [sign(Checkpoint(ORIGIN, size, _root(large, size))) for size in sizes]
    steps = [
        {"Checkpoint": note, "Hashes": large.growth(old, new) if old else []}
        for old, new, note in zip([0, *sizes], sizes, notes, strict=False)
    ]
    wrong = [{**steps[-1], "Hashes": steps[-2]["Hashes"]}, {**steps[-3], "Hashes": []}]

    answers = go.ask("cosigner", {"Origin": ORIGIN, "Key": large.keys[0], "Steps": [*steps[:-1], *wrong, steps[-1]]})

    refused = answers["answers"][len(steps) - 1 : len(steps) + 1]
    assert [each["lines"] for each in refused] == ["", ""]
    assert all(each["error"] for each in refused)
    del answers["answers"][len(steps) - 1 : len(steps) + 1]
    _check_cosigned(large.policy, notes, answers)


def _check_cosigned(policy: LogPolicy, notes: Sequence[str], answers: dict[str, Any]) -> None:
    witnesses = [NoteKey.from_text(key) for key in answers["keys"]]
    assert [key.type for key in witnesses] == [4, 6]
    for note, answer in zip(notes, answers["answers"], strict=True):
        assert "error" not in answer
        for witness in witnesses:
            cosigned = add_cosignatures(note, parse_lines(answer["lines"]))
            watched = LogPolicy(policy.origin, policy.keys, 1, (witness,))
            assert open_checkpoint(cosigned, watched).grade is Grade.WITNESSED
