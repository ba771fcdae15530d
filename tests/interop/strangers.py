"""Other people's programs for Node.js, Go and a newer Python, pinned in `npm/`, `go/` and `aics/`, set up once below
`var/interop`.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
CACHE = HERE.parent.parent / "var" / "interop"
NODE_MAJOR = 20
PYTHON_MINORS = (12, 13, 14)
SET_UP_S = 540
GO_TARGETS = ["./judge", "./cosigner", "github.com/transparency-dev/tessera/cmd/fsck"]
# What a registry served is not what was pinned: that is no reason to skip.
TAMPERED = re.compile(r"EINTEGRITY|checksum mismatch|SECURITY ERROR")


class Missing(Exception):
    """A tool or a registry is not at hand; the text says which."""


@dataclass(frozen=True, slots=True)
class Programs:
    """Programs in `folder` that read one JSON value and write one; `command` runs one of them by name."""

    folder: Path
    command: tuple[str, ...]

    def ask(self, name: str, given: Any) -> Any:
        """Return what the program `name` answers to `given`."""
        done = subprocess.run(
            [*self.command, str(self.folder / name)],
            input=json.dumps(given),
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, f"{name}: {done.stderr[-4000:]}"
        return json.loads(done.stdout)


def node_programs() -> Programs:
    """Return the judges of `npm/`, with what they import. Raises `Missing`."""
    node, npm = _tool("node", "Node.js"), _tool("npm", "npm")
    version = subprocess.run([node, "--version"], capture_output=True, text=True, timeout=30, check=False).stdout
    if int(re.sub(r"^v(\d+).*", r"\1", version.strip()) or 0) < NODE_MAJOR:
        raise Missing(f"Node.js {NODE_MAJOR} or later is needed, {version.strip()} is here")
    folder = CACHE / "npm"
    with _once(HERE / "npm", folder, ("package-lock.json",)) as fresh:
        if fresh:
            command = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--cache", str(CACHE / "npm-cache")]
            _set_up(command, folder, {}, "the npm registry did not give the packages of tests/interop/npm")
    return Programs(folder, (node,))


def go_programs() -> Programs:
    """Return the judges of `go/`, built. Raises `Missing`."""
    go = _tool("go", "Go")
    folder = CACHE / "go"
    environment = {
        "GOPATH": str(CACHE / "gopath"),
        "GOMODCACHE": str(CACHE / "gopath" / "pkg" / "mod"),
        "GOCACHE": str(CACHE / "gocache"),
        "GOFLAGS": "-mod=readonly -modcacherw -buildvcs=false",
        "GOTOOLCHAIN": "local",
        "GOWORK": "off",
        "CGO_ENABLED": "0",
    }
    with _once(HERE / "go", folder, ("go.mod", "go.sum", "judge/main.go", "cosigner/main.go")) as fresh:
        if fresh:
            needed = "Go 1.25 or later and a module proxy with the modules of tests/interop/go are needed"
            _set_up([go, "list", "-deps", *GO_TARGETS], folder, environment, needed)
            build = [go, "build", "-o", f"{folder / 'bin'}/", *GO_TARGETS]
            done = _run(build, folder, environment)
            assert done.returncode == 0, done.stderr[-4000:]
    return Programs(folder / "bin", ())


def aics_programs() -> Programs:
    """Return the programs of `aics/`, with a Python of their own that has what they import. Raises `Missing`."""
    python = _newer_python()
    folder = CACHE / "aics"
    with _once(HERE / "aics", folder, ("requirements.txt",)) as fresh:
        if fresh:
            needed = "no virtual environment could be made for tests/interop/aics"
            _set_up([python, "-m", "venv", "--clear", str(folder / "venv")], folder, {}, needed)
            install = [str(folder / "venv" / "bin" / "python"), "-m", "pip", "install", "--quiet", "--require-hashes"]
            needed = "the Python registry did not give the packages of tests/interop/aics"
            _set_up([*install, "--only-binary", ":all:", "-r", "requirements.txt"], folder, {}, needed)
    return Programs(folder, (str(folder / "venv" / "bin" / "python"),))


def _newer_python() -> str:
    """Return a Python that the packages of `aics/` run on: one on the path, else one that pyenv keeps."""
    named = [shutil.which(f"python3.{minor}") for minor in PYTHON_MINORS] + [sys.executable]
    root = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    kept = [str(found) for minor in PYTHON_MINORS for found in root.glob(f"versions/3.{minor}.*/bin/python")]
    for python in filter(None, (*named, *sorted(kept))):
        asked = "import ensurepip, sys; print(sys.version_info[1])"
        done = subprocess.run([python, "-c", asked], capture_output=True, text=True, timeout=30, check=False)
        # a name on the path may be a switch that leads nowhere
        if done.returncode == 0 and int(done.stdout) in PYTHON_MINORS:
            return python
    raise Missing("Python 3.12, 3.13 or 3.14 is needed, and none is here")


def _tool(name: str, title: str) -> str:
    found = shutil.which(name)
    if found is None:
        raise Missing(f"{title} is not installed here")
    return found


@contextmanager
def _once(source: Path, folder: Path, pinned: tuple[str, ...]) -> Iterator[bool]:
    """Copy `source` to `folder`; give whether it is to be set up, and remember that it was for these `pinned` files."""
    folder.mkdir(parents=True, exist_ok=True)
    want = sha256(b"".join((source / name).read_bytes() for name in pinned)).hexdigest()
    stamp = folder / "ready"
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        shutil.copytree(source, folder, dirs_exist_ok=True)
        fresh = not stamp.exists() or stamp.read_text() != want
        yield fresh
        stamp.write_text(want)


def _set_up(command: list[str], folder: Path, environment: Mapping[str, str], missing: str) -> None:
    try:
        done = _run(command, folder, environment)
    except subprocess.TimeoutExpired:
        raise Missing(f"{missing}: no answer in {SET_UP_S} s") from None
    if done.returncode:
        assert not TAMPERED.search(done.stderr), done.stderr[-4000:]
        lines = [line for line in done.stderr.splitlines() if line.strip()] or ["no reason given"]
        raise Missing(f"{missing}: {next((line for line in lines if line.startswith('npm error')), lines[-1])}")


def _run(command: list[str], folder: Path, environment: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=SET_UP_S,
        check=False,
    )
