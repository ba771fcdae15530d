"""Which HTTP server: the service's own application under several, one after the other, in the same minutes.

`python -m benchmarks.engines` prints CPU microseconds of the server's process for each answer and answers a second, for
the endpoint that costs least. Run by hand where a choice is to be looked at again; a server that is not installed is
said to be missing. What was found is in docs/performance.md.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import httpx

from api.cli.demo_service import free_port, prepared
from api.settings import Settings, environment
from benchmarks.load import request, run
from benchmarks.served import cpu_clock

COUNT: Final = 5000
ROUNDS: Final = 5
CONNECTIONS: Final = 64
_START_S: Final = 60

_UVICORN: Final = ["-m", "uvicorn", "--factory", "--no-access-log", "--no-proxy-headers", "--log-level", "error"]
_GRANIAN: Final = [
    "-m",
    "granian",
    "--interface",
    "asgi",
    "--factory",
    "--workers",
    "1",
    "--no-ws",
    "--log-level",
    "error",
]
SERVERS: Final[dict[str, tuple[str, list[str]]]] = {
    "as served": ("uvicorn", ["-m", "api.cli", "serve"]),
    "uvicorn, uvloop, httptools": ("uvicorn", [*_UVICORN, "--loop", "uvloop", "--http", "httptools"]),
    "uvicorn, asyncio, httptools": ("uvicorn", [*_UVICORN, "--loop", "asyncio", "--http", "httptools"]),
    "uvicorn, uvloop, h11": ("uvicorn", [*_UVICORN, "--loop", "uvloop", "--http", "h11"]),
    "granian, uvloop, one worker": ("granian", [*_GRANIAN, "--loop", "uvloop"]),
    "granian, asyncio, one worker": ("granian", [*_GRANIAN, "--loop", "asyncio"]),
}
APPLICATION: Final = "api.cli.serving:application"


@contextmanager
def under(arguments: list[str], settings: Settings) -> Iterator[int]:
    """Serve `settings` under a server for the block, and give its process."""
    own = [] if arguments[1] == "api.cli" else ["--host", "127.0.0.1", "--port", str(settings.port), APPLICATION]
    process = subprocess.Popen(
        [sys.executable, *arguments, *own],
        env=os.environ | environment(settings),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        _wait(process, settings)
        yield process.pid
    finally:
        process.terminate()
        process.wait(30)


def _wait(process: subprocess.Popen[bytes], settings: Settings) -> None:
    until = time.monotonic() + _START_S
    while time.monotonic() < until and process.poll() is None:
        try:
            if httpx.get(f"{settings.base_url}/readyz", timeout=5).status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    message = "the server did not get ready"
    raise RuntimeError(message)


def spent_s(pid: int) -> float:
    """Return the CPU seconds of a process and of all below it; some servers work in a child."""
    children = [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return time.clock_gettime(cpu_clock(pid)) + sum(spent_s(child) for child in children)


def measure(arguments: list[str], settings: Settings) -> tuple[float, float, float]:
    """Return CPU microseconds an answer, answers a second, and milliseconds of the 99th percentile: the best round."""
    message, micros, loads = request("GET", "/healthz"), [], []
    with under(arguments, settings) as pid:
        for _ in range(ROUNDS):
            before = spent_s(pid)
            loads.append(run(settings.port, iter([message] * COUNT), CONNECTIONS))
            micros.append(1e6 * (spent_s(pid) - before) / COUNT)
    fastest = max(loads, key=lambda load: load.per_second)
    return min(micros), fastest.per_second, fastest.quantile_ms(0.99)


def main() -> int:
    """Measure each server and print a table."""
    sys.stdout.write(f"{'server':<34}{'us CPU each':>12}{'/s':>10}{'p99 ms':>10}\n")
    for name, (package, arguments) in SERVERS.items():
        if importlib.util.find_spec(package) is None:
            sys.stdout.write(f"{name:<34}{package} is not installed\n")
            continue
        with tempfile.TemporaryDirectory(prefix="elicence-bench-") as folder:
            port = free_port()
            settings = prepared(Path(folder), port=port, base_url=f"http://127.0.0.1:{port}", preparers=0)
            micros, rate, p99 = measure(arguments, settings)
        sys.stdout.write(f"{name:<34}{micros:>12.1f}{rate:>10,.0f}{p99:>10.1f}\n")
        sys.stdout.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
