"""Running a child under `strace`: first to see which system calls it makes on its files, then to make one of them fail.

Debian's `strace` does the injecting. Where it is missing and `apt-get` may install packages it is installed; where
tracing is forbidden, or there is no `strace`, the reason is said.
"""

from __future__ import annotations

import functools
import os
import re
import shutil
import subprocess
import tempfile
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.faults.nursery import Nursery

CALLS = (
    "write,writev,pwrite64,fsync,fdatasync,rename,renameat,renameat2,link,linkat,openat,ftruncate,unlink,unlinkat,mkdir"
)
_LINE = re.compile(r"^\d+\s+(\w+)\((.*)$")
INSTALL_S = 120


@dataclass(frozen=True, slots=True)
class Call:
    """The `number`-th call of one kind, counted from the beginning, and the file it went to, below the place."""

    name: str
    number: int
    file: str

    def __str__(self) -> str:
        return f"{self.name} {self.number} {self.file}"


@functools.cache
def why_not() -> str:
    """Say why nothing can be traced here; empty where it can."""
    if shutil.which("strace") is None and os.geteuid() == 0 and shutil.which("apt-get"):
        command = ["apt-get", "install", "--yes", "--no-install-recommends", "strace"]
        subprocess.run(command, capture_output=True, timeout=INSTALL_S, check=False)
    if shutil.which("strace") is None:
        return "no strace here: install Debian's package of that name"
    tried = subprocess.run(["strace", "-o", os.devnull, "true"], capture_output=True, text=True, check=False)
    return f"tracing is forbidden here: {tried.stderr.strip()[-200:]}" if tried.returncode else ""


def traced(nursery: Nursery, url: str, folder: Path, inject: str | None = None, **case: Any) -> tuple[int, str]:
    """Let an `append` child live under strace, with what is to be injected; gives its exit code and the trace."""
    with tempfile.TemporaryDirectory() as beside:
        gate, trace = Path(beside) / "gate", Path(beside) / "trace"
        os.mkfifo(gate)
        pid = nursery.begin("append", url, folder, gate=str(gate), **case)
        command = ["strace", "-f", "-y", "-s", "0", "-o", str(trace), "-p", str(pid), "-e", f"trace={CALLS}"]
        command += ["-e", f"inject={inject}"] if inject else []
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as strace:
            assert strace.stderr is not None
            said = strace.stderr.readline()
            assert "attached" in said, said
            gone = threading.Thread(target=strace.stderr.read)
            gone.start()
            gate.write_bytes(b"")
            code = nursery.end()
            strace.wait(60)
            gone.join()
        return code, trace.read_text(errors="replace")


def calls_on(trace: str, folder: Path, besides: tuple[str, ...]) -> list[Call]:
    """List the calls in a trace that change files of the place, but for those that only the test writes."""
    counts: dict[str, int] = {}
    found = []
    for line in trace.splitlines():
        match = _LINE.match(line)
        if match is None:
            continue
        name, rest = match.groups()
        counts[name] = counts.get(name, 0) + 1
        if name == "openat" and "O_CREAT" not in rest:
            continue
        paths = re.findall(rf"{re.escape(str(folder))}/([^\">\s]+)", rest)
        if paths and not paths[0].startswith(besides):
            found.append(Call(name, counts[name], paths[-1]))
    return found
