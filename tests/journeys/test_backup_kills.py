"""Backup and restore killed at their steps: nothing half counts as a backup, and a restore begins again."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from api.cli.main import app
from api.cli.service import settings_or_exit
from api.composition import open_region
from ledger.backups import kept
from ledger.sequencing import read_head
from tests.commanded import region_in_environment

KILLED_AT = """
import importlib, os, signal, sys
module, name, *words = sys.argv[1:]
setattr(importlib.import_module(module), name, lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL))
from api.cli.main import app
app(words)
"""


def killed(at: tuple[str, str], *words: str) -> None:
    """Run a command in a process of its own that is killed when it comes to `at`, a module and a function."""
    done = subprocess.run([sys.executable, "-c", KILLED_AT, *at, *words], capture_output=True, check=False)
    assert done.returncode == -signal.SIGKILL, (at, done.stdout, done.stderr)


def run(*words: str, exit_code: int = 0) -> Any:
    """Run a command here and return its answer."""
    result = CliRunner().invoke(app, [*words, "--json"])
    assert result.exit_code == exit_code, (words, result.output, result.exception)
    return json.loads(result.stdout.splitlines()[-1])


async def served() -> None:
    """Run the region until everything is published."""
    region = await open_region(settings_or_exit())
    try:
        assert await region.trust.settled(60)
        await region.publisher.published((await region.database.read(read_head)).size - 1)
    finally:
        await region.close()


@pytest.fixture
def place(empty_database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for backups of a region that is found through the environment."""
    asyncio.run(region_in_environment(tmp_path, monkeypatch, DATABASE_URL=empty_database_url))
    return tmp_path / "kept"


@pytest.fixture
def other_url(place: Path, empty_database_url: str, request: pytest.FixtureRequest) -> str:
    """An empty database of the same kind."""
    if empty_database_url.startswith("sqlite"):
        return f"sqlite:///{place.parent / 'other.db'}"
    url: str = request.getfixturevalue("postgres_urls")("other")
    return url


def test_a_backup_killed_at_any_step_is_none(place: Path) -> None:
    """Not even with its manifest, until it has its name; the next one clears away what was left."""
    for at in (("ledger.backing_up", "_described"), ("ledger.backing_up", "finish"), ("ledger.backups", "sync")):
        killed(at, "backup", str(place))
        assert kept(place) == [], at
        assert len([*place.glob(".new-*")]) == 1
    made = run("backup", str(place))
    assert [str(folder) for folder, _ in kept(place)] == [made["folder"]]
    assert not [*place.glob(".new-*")]


def test_a_restore_killed_at_any_step_begins_again(
    place: Path, other_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The database appears in one step; what is left to do after that is done by `restore` without a backup."""
    folder = run("backup", str(place))["folder"]
    monkeypatch.setenv("ELICENCE_DATABASE_URL", other_url)
    for at in (("ledger.restoring", "check_parts"), ("ledger.restoring", "_prepare")):
        killed(at, "restore", folder)
    killed(("ledger.witness_identity", "renew"), "restore", folder)

    assert run("restore", folder, exit_code=1)["error"] == "database.not_empty"
    assert len(run("restore")["witness"]) == 2
    asyncio.run(served())
    assert run("audit")["findings"] == []
