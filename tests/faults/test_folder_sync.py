"""A file's name lasts once its folder was synced: also where that failed, or a process died before it."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from ledger.public_files import PublicFiles


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Give the names of the folders that are synced, as they are."""
    names: list[str] = []
    fsync = os.fsync

    def watched(handle: int) -> None:
        if stat.S_ISDIR(os.fstat(handle).st_mode):
            names.append(Path(f"/proc/self/fd/{handle}").resolve().name)
        fsync(handle)

    monkeypatch.setattr(os, "fsync", watched)
    return names


def test_a_folder_is_synced_again_after_that_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, synced: list[str]
) -> None:
    """The next try finds the file with its very bytes, and still sees to it that its name lasts."""
    files, write = PublicFiles(tmp_path / "public"), [("tile/000", b"bytes")]
    files.write([("other", b"")])
    fsync = os.fsync

    def failing(handle: int) -> None:
        if stat.S_ISDIR(os.fstat(handle).st_mode):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        fsync(handle)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", failing)
        with pytest.raises(OSError, match="Input/output"):
            files.write(write)
    synced.clear()

    assert files.write(write) == 0
    assert sorted(synced) == ["public", "tile"]
    assert files.write(write) == 0
    assert len(synced) == 2


SHOW: list[Callable[[PublicFiles], object]] = [
    lambda files: files.write([("checkpoint", b"origin\n1\n")]),
    lambda files: files.write_checkpoint("origin\n1\n"),
]


@pytest.mark.parametrize("show", SHOW, ids=["write", "write forward"])
def test_what_a_dead_process_left_is_synced_once(
    tmp_path: Path, synced: list[str], show: Callable[[PublicFiles], object]
) -> None:
    """Whoever starts does not know how far the one before came."""
    (tmp_path / "checkpoint").write_bytes(b"origin\n1\n")
    files = PublicFiles(tmp_path)

    for _ in range(2):
        show(files)

    assert synced == [tmp_path.name]
