"""Witnesses that others wrote, as processes on this machine: `aics-witness` (PyPI) and `litewitness` (Debian)."""

from __future__ import annotations

import fcntl
import os
import platform
import re
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Final

import httpx
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_ssh_public_key

from api.cli.demo_service import free_port
from keys.public_key import PublicKey
from tests.interop.strangers import CACHE, Missing, Programs
from verifiers.note import KeyType, NoteKey

TORCHWOOD: Final = "pool/main/t/torchwood/torchwood_0.9.0-6_amd64.deb"
TORCHWOOD_SHA256: Final = "1b5791fccfb96dac2609cb66aa727839ac4eca2db2d7b14e5882f5fa9c35fcb2"
ARCHIVES: Final = ("https://deb.debian.org/debian", "http://deb.debian.org/debian")
_DOWNLOAD_S: Final = 300
_START_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class ForeignWitness:
    """A running witness of others: where it takes checkpoints, and the key it cosigns with."""

    url: str
    key: NoteKey


def torchwood() -> Path:
    """Return the folder of torchwood's programs, from Debian's archive, pinned by hash. Raises `Missing`."""
    if platform.machine() != "x86_64" or shutil.which("dpkg") is None:
        raise Missing("litewitness comes as a Debian package for amd64, which cannot be unpacked here")
    for tool in ("ssh-agent", "ssh-add", "ssh-keygen"):
        if shutil.which(tool) is None:
            raise Missing(f"litewitness keeps its key in an SSH agent, and {tool} is not installed here")
    folder = CACHE / "torchwood"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        package = folder / "torchwood.deb"
        if not package.exists() or sha256(package.read_bytes()).hexdigest() != TORCHWOOD_SHA256:
            data = _downloaded()
            assert sha256(data).hexdigest() == TORCHWOOD_SHA256, "Debian served another package than was pinned"
            package.write_bytes(data)
        if not (folder / "usr" / "bin" / "litewitness").exists():
            subprocess.run(["dpkg", "-x", str(package), str(folder)], check=True, timeout=120)
    return folder / "usr" / "bin"


@contextmanager
def litewitness(programs: Path, folder: Path, log: NoteKey) -> Iterator[ForeignWitness]:
    """Run litewitness for the log with the Ed25519 key `log`."""
    name, database, socket = "litewitness.example/w", str(folder / "lite.db"), str(folder / "agent.sock")
    port = free_port()
    key = folder / "witness"
    _run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)])
    _run([str(programs / "witnessctl"), "add-log", "-db", database, "-origin", log.name])
    _run([str(programs / "witnessctl"), "add-key", "-db", database, "-origin", log.name, "-key", log.to_text()])
    public = load_ssh_public_key(key.with_suffix(".pub").read_bytes())
    assert isinstance(public, Ed25519PublicKey)
    fingerprint = _run(["ssh-keygen", "-lf", str(key.with_suffix(".pub"))]).split()[1]
    note_key = NoteKey(name, KeyType.ED25519_COSIGNATURE, PublicKey.from_raw("Ed25519", public.public_bytes_raw()))
    with _process(["ssh-agent", "-D", "-a", socket], folder / "agent.log"):
        _until(lambda: Path(socket).exists(), folder / "agent.log")
        _run(["ssh-add", "-q", str(key)], {"SSH_AUTH_SOCK": socket})
        command = [str(programs / "litewitness"), "-name", name, "-db", database, "-key", fingerprint]
        command += ["-ssh-agent", socket, "-listen", f"127.0.0.1:{port}"]
        with _process(command, folder / "lite.log"):
            _until(lambda: _answers(port), folder / "lite.log")
            yield ForeignWitness(f"http://127.0.0.1:{port}", note_key)


@contextmanager
def aics_witness(programs: Programs, folder: Path, log: NoteKey) -> Iterator[ForeignWitness]:
    """Run aics-witness for the log with the Ed25519 key `log`; it knows no other kind of key."""
    port = free_port()
    command = [*programs.command, "-m", "aics_witness"]
    config = ["--config", str(folder / "witness.json")]
    listen = ["--listen", f"127.0.0.1:{port}"]
    told = _run([*command, "init", *config, "--name", "aics.example/w", *listen])
    _run([*command, "add-log", *config, "--origin", log.name, "--vkey", log.to_text()])
    vkey = re.search(r"aics\.example/w\+[0-9a-f]{8}\+\S+", told)
    assert vkey is not None, told
    with _process([*command, "serve", *config], folder / "aics.log"):
        _until(lambda: _answers(port), folder / "aics.log")
        yield ForeignWitness(f"http://127.0.0.1:{port}", NoteKey.from_text(vkey[0]))


def _downloaded() -> bytes:
    why = "nobody answered"
    for archive in ARCHIVES:
        try:
            answer = httpx.get(f"{archive}/{TORCHWOOD}", timeout=_DOWNLOAD_S, follow_redirects=True)
        except httpx.HTTPError as error:
            why = type(error).__name__
            continue
        if answer.status_code == 200:
            return answer.content
        why = f"status {answer.status_code}"
    raise Missing(f"Debian's archive did not give {TORCHWOOD.rsplit('/', 1)[1]}: {why}")


@contextmanager
def _process(command: list[str], log: Path) -> Iterator[None]:
    with log.open("wb") as output, subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT) as process:
        try:
            yield
        finally:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()


def _until(ready: object, log: Path) -> None:
    assert callable(ready)
    deadline = time.monotonic() + _START_S
    while not ready():
        assert time.monotonic() < deadline, log.read_text(errors="replace")[-2000:]
        time.sleep(0.05)


def _answers(port: int) -> bool:
    try:
        httpx.get(f"http://127.0.0.1:{port}/", timeout=2)
    except httpx.HTTPError:
        return False
    return True


def _run(command: list[str], environment: Mapping[str, str] | None = None) -> str:
    done = subprocess.run(
        command,
        env={**os.environ, **(environment or {})},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, f"{command[0]}: {done.stderr[-2000:]}"
    return done.stdout + done.stderr
