"""The audit passes on what was signed, and names whatever somebody edited: one drill for every class of
stored thing.
"""

import asyncio
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from ledger.audit_report import KEPT, Artefact, Report
from tests.ledger.audited import Audited, audited_region


@pytest.fixture(scope="module")
def built(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Audited:
    """A stopped region that nobody has tampered with; tests work on copies."""
    folder = tmp_path_factory.mktemp("audited")
    file = folder / "ledger.db"
    shutil.copyfile(sqlite_template, file)
    return asyncio.run(audited_region(f"sqlite:///{file}", folder))


@pytest.fixture
def stored(built: Audited, tmp_path: Path) -> Audited:
    """A copy to ruin."""
    return built.copy(tmp_path / "copy")


def named(report: Report) -> list[tuple[str, str]]:
    """Give class and place of every finding."""
    return [(finding.artefact, finding.where) for finding in report.findings]


def test_what_was_signed_passes(stored: Audited) -> None:
    """Nothing is found, and the report says what it looked at."""
    report = stored.audit()

    assert report.passed, [str(each) for each in report.findings]
    assert report.counts["entries"] == report.counts["records"] == report.size > 300
    assert report.counts["erased parts"] == 1
    for what in ("checkpoints", "tiles and bundles", "status tokens", "trust lists", "projection rows"):
        assert report.counts[what] > 0
    assert report.to_json()["passed"] is True


EDITS: dict[str, tuple[Artefact, str, Callable[[Audited], None]]] = {
    "entry row": (
        Artefact.ENTRY,
        "entry 40",
        lambda it: it.edit(
            "UPDATE entries SET bytes = CAST(replace(bytes, '\"v\":1', '\"v\":2') AS BLOB) WHERE idx = 40"
        ),
    ),
    "entry row moved in time": (
        Artefact.ENTRY,
        "entry 41",
        lambda it: it.edit("UPDATE entries SET bytes = CAST(replace(bytes, 'T04:', 'T03:') AS BLOB) WHERE idx = 41"),
    ),
    "entry row deleted": (Artefact.ENTRY, "entry 42", lambda it: it.edit("DELETE FROM entries WHERE idx = 42")),
    "entry row added": (
        Artefact.ENTRY,
        "entry 9999",
        lambda it: it.edit("INSERT INTO entries SELECT 9999, bytes FROM entries WHERE idx = 42"),
    ),
    "facts ciphertext": (
        Artefact.RECORD,
        "record 50 part 0",
        lambda it: it.edit(
            "UPDATE records SET blob = CAST(substr(blob, 1, 99) || x'00ff' || substr(blob, 102) AS BLOB)"
            " WHERE idx = 50 AND part = 0"
        ),
    ),
    "personal ciphertext": (
        Artefact.RECORD,
        "record 60 part 1",
        lambda it: it.edit(
            "UPDATE records SET blob = CAST(substr(blob, 1, 99) || x'00ff' || substr(blob, 102) AS BLOB)"
            " WHERE idx = 60 AND part = 1"
        ),
    ),
    "record deleted": (Artefact.RECORD, "record 61", lambda it: it.edit("DELETE FROM records WHERE idx = 61")),
    "records exchanged": (
        Artefact.RECORD,
        "record 62",
        lambda it: it.edit(
            "UPDATE records SET blob = (SELECT blob FROM records other WHERE other.idx = 63 AND other.part = 0)"
            " WHERE idx = 62 AND part = 0"
        ),
    ),
    "part erased without an entry": (
        Artefact.RECORD,
        "record 64 part 1",
        lambda it: _erase_quietly(it, 64),
    ),
    "wrapped key": (
        Artefact.KEY,
        "record 70 part 1",
        lambda it: it.edit(
            "UPDATE record_keys SET wrapped = CAST(substr(wrapped, 1, 20) || x'0000' || substr(wrapped, 23) AS BLOB)"
            " WHERE idx = 70"
        ),
    ),
    "wrapped key deleted": (
        Artefact.KEY,
        "record 71 part 1",
        lambda it: it.edit("DELETE FROM record_keys WHERE idx = 71"),
    ),
    "projection row": (
        Artefact.PROJECTION,
        "licences ",
        lambda it: it.edit("UPDATE licences SET state = 'valid' WHERE state = 'suspended'"),
    ),
    "status bit": (Artefact.PROJECTION, "slot_status ", lambda it: it.edit("DELETE FROM slot_status")),
    "grant widened": (Artefact.PROJECTION, "grants ", lambda it: it.edit("UPDATE grants SET area = '000000'")),
    "projection row added": (
        Artefact.PROJECTION,
        "subjects ",
        lambda it: it.edit("INSERT INTO subjects VALUES ('AAAAAAAAAAAAAAAAAAAAAA', 'person', 3)"),
    ),
    "head": (Artefact.HEAD, "head", lambda it: it.edit("UPDATE head SET at = at - 60")),
    "head frontier": (
        Artefact.HEAD,
        "head",
        lambda it: it.edit(
            "UPDATE head SET frontier = CAST(substr(frontier, 1, 8) || zeroblob(length(frontier) - 8) AS BLOB)"
        ),
    ),
    "hash tile": (Artefact.TILE, "tile/0/000", lambda it: it.flip("tile/0/000")),
    "bundle": (Artefact.BUNDLE, "tile/entries/000", lambda it: it.flip("tile/entries/000", 1000)),
    "tile deleted": (Artefact.TILE, "tile/0/000", lambda it: (it.config.tiles / "tile/0/000").unlink()),
    "superseded tile": (Artefact.TILE, "tile/0/000.p/", lambda it: it.flip(_superseded(it))),
    "checkpoint file": (Artefact.CHECKPOINT, "checkpoint file", lambda it: it.flip("checkpoint", -30)),
    "checkpoint file deleted": (
        Artefact.CHECKPOINT,
        "checkpoint file",
        lambda it: (it.config.tiles / "checkpoint").unlink(),
    ),
    "meaningless line of the checkpoint": (
        Artefact.CHECKPOINT,
        "checkpoint file",
        lambda it: _serve_line(it, "grease"),
    ),
    "checkpoint row": (
        Artefact.CHECKPOINT,
        "checkpoint ",
        lambda it: it.edit(
            "UPDATE checkpoints SET root = zeroblob(32) WHERE size = (SELECT max(size) FROM checkpoints)"
        ),
    ),
    "checkpoint note": (
        Artefact.CHECKPOINT,
        "checkpoint ",
        lambda it: it.edit(
            "UPDATE checkpoints SET note = replace(note, 'region.example', 'other.example')"
            " WHERE size = (SELECT min(size) FROM checkpoints)"
        ),
    ),
    "status list file": (Artefact.STATUS_LIST, "status-lists/", lambda it: it.flip(_status_file(it), 400)),
    "status token": (
        Artefact.STATUS_LIST,
        "status list ",
        lambda it: it.edit("UPDATE status_tokens SET token = token || 'A' WHERE seq = 1"),
    ),
    "status bits": (
        Artefact.STATUS_LIST,
        "status list ",
        lambda it: it.edit("UPDATE status_tokens SET bits = zeroblob(32) WHERE seq = 2"),
    ),
    "status token of another size": (
        Artefact.STATUS_LIST,
        "status list ",
        lambda it: it.edit("UPDATE status_tokens SET as_of = as_of - 1 WHERE seq = 2"),
    ),
    "trust list file": (Artefact.TRUST_LIST, "trust-list/1", lambda it: it.flip("trust-list/1", 500)),
    "newest trust list file": (Artefact.TRUST_LIST, "trust-list/latest", lambda it: it.flip("trust-list/latest", 500)),
    "trust list row": (
        Artefact.TRUST_LIST,
        "trust list 1",
        lambda it: it.edit("UPDATE trust_lists SET list = list || 'A' WHERE seq = 1"),
    ),
    "trust list deleted": (
        Artefact.TRUST_LIST,
        "trust list 2",
        lambda it: it.edit("DELETE FROM trust_lists WHERE seq = 1"),
    ),
}


def _serve_line(it: Audited, word: str) -> None:
    """Change a byte in a line that readers must ignore."""
    file = it.config.tiles / "checkpoint"
    file.write_text(file.read_text("utf-8").replace(word, word.upper()), "utf-8")


def _superseded(it: Audited) -> str:
    return min(file.relative_to(it.config.tiles).as_posix() for file in it.config.tiles.glob("tile/0/000.p/*"))


def _erase_quietly(it: Audited, idx: int) -> None:
    shrink = "UPDATE records SET blob = CAST(x'00' || substr(blob, 2, 32) AS BLOB) WHERE idx = ? AND part = 1"
    it.edit(shrink, idx)
    it.edit("DELETE FROM record_keys WHERE idx = ?", idx)


def _status_file(it: Audited) -> str:
    folder = it.config.tiles / "status-lists"
    return f"status-lists/{next(file.name for file in sorted(folder.iterdir()) if file.suffix == '')}"


@pytest.mark.parametrize("edit", EDITS)
def test_an_edit_is_named(stored: Audited, edit: str) -> None:
    """Somebody who owns the disk changes one thing; the audit says which."""
    artefact, where, change = EDITS[edit]
    change(stored)

    report = stored.audit()

    assert any(kind == artefact and place.startswith(where) for kind, place in named(report)), named(report)
    # Nothing that was left alone is blamed: other findings are about the same thing, seen from elsewhere.
    assert report.found <= 6, [str(each) for each in report.findings]


ALONE = [
    "entry row",
    "entry row deleted",
    "facts ciphertext",
    "wrapped key",
    "projection row",
    "head",
    "hash tile",
    "bundle",
    "tile deleted",
    "checkpoint file",
    "status list file",
    "trust list file",
]


@pytest.mark.parametrize("edit", ALONE)
def test_one_edit_gives_one_finding(stored: Audited, edit: str) -> None:
    """An auditor is shown the cause and not a page of consequences."""
    EDITS[edit][2](stored)

    report = stored.audit()

    assert [each.artefact for each in report.findings] == [EDITS[edit][0]], [str(each) for each in report.findings]


def test_both_copies_of_an_entry_edited_alike_are_found_all_the_same(stored: Audited) -> None:
    """Whoever edits row and bundle still has the chain, the tiles and the signed checkpoints against them."""
    stored.edit("UPDATE entries SET bytes = CAST(replace(bytes, 'T04:', 'T03:') AS BLOB) WHERE idx = 41")
    bundle = stored.config.tiles / "tile/entries/000"
    data = bundle.read_bytes()
    engine = create_engine(stored.config.database_url)
    with engine.begin() as tx:
        edited = bytes(tx.execute(text("SELECT bytes FROM entries WHERE idx = 41")).scalar_one())
    engine.dispose()
    bundle.write_bytes(data.replace(edited.replace(b"T03:", b"T04:"), edited))

    report = stored.audit()

    kinds = {kind for kind, _ in named(report)}
    assert {Artefact.ENTRY, Artefact.CHECKPOINT, Artefact.TILE} <= kinds


def test_a_damaged_record_says_that_projections_were_not_judged(stored: Audited) -> None:
    """What cannot be recomputed is not called wrong; the report says so."""
    EDITS["facts ciphertext"][2](stored)

    report = stored.audit()

    assert len(report.unchecked) == 1
    assert "projections" in report.unchecked[0]


def test_a_ruined_database_does_not_fill_the_memory() -> None:
    """Findings beyond a thousand are counted, not kept."""
    report = Report("origin")
    for number in range(KEPT + 5):
        report.add(Artefact.ENTRY, f"entry {number}", "gone")

    assert (report.found, len(report.findings)) == (KEPT + 5, KEPT)
    assert not report.passed


PUBLIC = (Artefact.ENTRY, Artefact.HEAD, Artefact.CHECKPOINT, Artefact.TILE, Artefact.BUNDLE)


@pytest.mark.parametrize("edit", [name for name, (artefact, _, _) in EDITS.items() if artefact in PUBLIC])
def test_the_log_alone_names_what_was_changed_of_it(stored: Audited, edit: str) -> None:
    """Without records, an edit of an entry, checkpoint or file is found as the whole audit finds it."""
    EDITS[edit][2](stored)

    report = stored.audit(log_only=True)

    artefact, where, _ = EDITS[edit]
    assert any(kind == artefact and place.startswith(where) for kind, place in named(report)), named(report)


def test_the_log_alone_says_what_it_left_out(stored: Audited) -> None:
    """It passes what was signed and does not speak of records, which it did not open."""
    EDITS["facts ciphertext"][2](stored)

    report = stored.audit(log_only=True)

    assert report.passed, [str(each) for each in report.findings]
    assert report.counts["entries"] == report.size
    assert "records" not in report.counts
    assert report.unchecked
