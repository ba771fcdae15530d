"""What strangers judge: the artefacts of one run of the demo; and the strangers that run outside Python."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.interop.strangers import Missing, Programs, aics_programs, go_programs, node_programs


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Run the demo once, and return its folder."""
    folder = tmp_path_factory.mktemp("demo") / "out"
    command = [sys.executable, "-m", "api.cli", "demo", "--folder", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    return folder


@pytest.fixture(scope="session")
def node() -> Programs:
    """Give the judges that run on Node.js, or skip with what is missing."""
    try:
        return node_programs()
    except Missing as missing:
        pytest.skip(str(missing))


@pytest.fixture(scope="session")
def go() -> Programs:
    """Give the judges written in Go, or skip with what is missing."""
    try:
        return go_programs()
    except Missing as missing:
        pytest.skip(str(missing))


@pytest.fixture(scope="session")
def aics() -> Programs:
    """Give the programs that need a newer Python than ours, or skip with what is missing."""
    try:
        return aics_programs()
    except Missing as missing:
        pytest.skip(str(missing))
