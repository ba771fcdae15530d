"""The static read path: our own service and a plain web server (nginx) on the same published files.

`python -m benchmarks.static_reads` prints requests a second and CPU microseconds a request for each kind of file, and
what a million windows would need that poll a status list once a minute. nginx and wrk are Debian packages; without
nginx only the service is measured, without wrk the load comes from this package. Loopback only; ends by itself.
"""

from __future__ import annotations

import asyncio
import random
import re
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from api.cli.demo_service import DemoService, free_port
from benchmarks import over_http
from benchmarks.load import drive, request
from benchmarks.served import ServerClock, cpu_clock, served
from ledger.precompressed import compress_bundles
from ledger.public_files import PublicFiles, served_size
from ledger.slot_order import SLOTS
from verifiers.status_list import AsOf, compress, header_segment, pack, signing_input

CONFIGURATION: Final = Path(__file__).parent.parent / "examples" / "nginx.conf"
SECONDS: Final = 3
CONNECTIONS: Final = 64
WINDOWS: Final = 1_000_000
POLL_S: Final = 60
SHARES: Final = (0.0, 0.001, 0.01, 0.05)
"""Withdrawn licences among a full list of 2^20; their slots lie at random, as the keyed order of slots makes them."""

_FIRST_LIST: Final = 60_000  # numbers no region of today uses


@dataclass(frozen=True, slots=True)
class Read:
    """One kind of file, read from one server: its bytes on the wire, answers a second, CPU microseconds an answer."""

    name: str
    server: str
    size: int
    per_second: float
    micros: float


def lists_of_shares(files: PublicFiles) -> dict[str, str]:
    """Write a full status list for each of `SHARES`, as long as a real one is, and return their paths by name."""
    chance = random.Random(7)
    header = header_segment("bench", secrets.token_bytes(600))
    now = datetime.now(UTC).replace(microsecond=0)
    paths = {}
    for number, share in enumerate(SHARES, _FIRST_LIST):
        withdrawn = dict.fromkeys(chance.sample(range(SLOTS), int(share * SLOTS)), 1)
        message = signing_input(
            header=header,
            uri=f"https://region.example/status-lists/{number}",
            lst=compress(pack(withdrawn, SLOTS)),
            issued_at=now,
            expires_at=now + timedelta(days=1),
            ttl=30,
            as_of=AsOf("region.example/log", 1),
        )
        # The signature is not looked at by whoever serves the file; only its length counts here.
        files.write([(f"status-lists/{number}", message + b"." + b"A" * 86)])
        paths[f"status list, {share:.1%} withdrawn"] = f"/status-lists/{number}"
    return paths


@contextmanager
def nginx(files: PublicFiles) -> Iterator[tuple[int, list[int]]]:
    """Serve `files` by nginx with the configuration of `examples/`; give its port and the CPU clocks of its workers."""
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="elicence-nginx-") as folder:
        text = CONFIGURATION.read_text("utf-8").replace("@FILES@/..", folder)
        text = text.replace("@FILES@", str(files.root)).replace("@PORT@", str(port))
        configuration = Path(folder) / "nginx.conf"
        configuration.write_text(text, "utf-8")
        command = ["nginx", "-e", "stderr", "-p", folder, "-c", str(configuration), "-g", f"daemon off; {_as_whom()}"]
        process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        try:
            _wait_for(port, process)
            children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
            yield port, [cpu_clock(int(pid)) for pid in children]
        finally:
            process.terminate()
            process.wait(10)


def _as_whom() -> str:
    # Started by root it would serve as nobody, who cannot look into a temporary folder.
    return "user root;" if Path("/proc/self").owner() == "root" else ""


def _wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + 10
    while time.monotonic() < until and process.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)
    message = "nginx did not start"
    raise RuntimeError(message)


def _driven(port: int, path: str, headers: list[tuple[str, str]]) -> tuple[int, float]:
    """Ask for `path` for a few seconds; return how many answers came, and in how many seconds."""
    wrk = shutil.which("wrk")
    if wrk is None:
        wanted = (request("GET", path, headers=headers) for _ in range(10**9))
        load = asyncio.run(drive(port, wanted, CONNECTIONS, SECONDS))
        return sum(load.statuses.values()), load.seconds
    extra = [part for name, value in headers for part in ("-H", f"{name}: {value}")]
    command = [wrk, "-t1", f"-c{CONNECTIONS}", f"-d{SECONDS}s", *extra, f"http://127.0.0.1:{port}{path}"]
    said = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    found = re.search(r"(\d+) requests in ([\d.]+)s", said)
    if found is None or ("Non-2xx" in said and "if-none-match" not in str(headers).lower()):
        message = f"wrk got no good answers from {path}: {said}"
        raise RuntimeError(message)
    return int(found[1]), float(found[2])


def _size(service: DemoService, port: int, path: str, headers: list[tuple[str, str]]) -> tuple[int, str]:
    """Return the bytes of one whole answer, head included, and its ETag."""
    with service.http.stream("GET", f"http://127.0.0.1:{port}{path}", headers=dict(headers)) as answer:
        body = b"".join(answer.iter_raw())
        head = sum(len(name) + len(value) + 4 for name, value in answer.headers.raw) + 17
        if answer.status_code not in (200, 304):
            message = f"{path} answered {answer.status_code}"
            raise RuntimeError(message)
        return len(body) + head, answer.headers.get("etag", "")


def measure() -> list[Read]:
    """Read every kind of file from the service and, where it is installed, from nginx."""
    with served("sqlite") as service:
        over_http.batch_issue(service, 1200, 0)
        files = PublicFiles(service.settings.tiles)
        time.sleep(1)
        compress_bundles(files, 0, served_size(files.checkpoint() or "\n0\n"))
        kinds = {
            "checkpoint": "/log/checkpoint",
            "full hash tile": "/log/tile/0/000",
            "full bundle of entries": "/log/tile/entries/000",
            "trust list": "/trust-list",
            **lists_of_shares(files),
        }
        own = ServerClock()
        found = []
        for name, path in kinds.items():
            found += _reads(name, path, service, service.settings.port, "service", own.seconds)
        if shutil.which("nginx") is None:
            return found
        with nginx(files) as (port, clocks):
            for name, path in kinds.items():
                found += _reads(name, path, service, port, "nginx", lambda: sum(map(time.clock_gettime, clocks)))
        return found


def _reads(
    name: str, path: str, service: DemoService, port: int, server: str, clock: Callable[[], float]
) -> list[Read]:
    plain = [("Accept-Encoding", "gzip")]
    size, tag = _size(service, port, path, plain)
    found = []
    for what, headers in ((name, plain), (f"{name}, unchanged", [*plain, ("If-None-Match", tag)])):
        if what != name and "0.1%" not in name and name != "checkpoint":
            continue
        sent = size if what == name else _size(service, port, path, headers)[0]
        before = clock()
        count, seconds = _driven(port, path, headers)
        found.append(Read(what, server, sent, count / seconds, 1e6 * (clock() - before) / count))
    return found


def report(found: list[Read]) -> str:
    """Write the table, and what a million polling windows need."""
    lines = [f"{'file':<42}{'from':<10}{'bytes':>9}{'/s':>10}{'us CPU':>9}{'/s a core':>11}{'MB/s a core':>13}"]
    lines += [
        f"{each.name:<42}{each.server:<10}{each.size:>9,}{each.per_second:>10,.0f}{each.micros:>9.0f}"
        f"{1e6 / each.micros:>11,.0f}{each.size / each.micros:>13,.0f}"
        for each in found
    ]
    rate = WINDOWS / POLL_S
    lines.append(f"\n{WINDOWS:,} windows that poll every {POLL_S} s ask {rate:,.0f} times a second:")
    lines += [
        f"  {each.name} from {each.server}: {rate * each.micros / 1e6:.1f} cores, "
        f"{rate * each.size * 8 / 1e9:.2f} Gbit/s"
        for each in found
        if each.name.startswith("status list")
    ]
    return "\n".join(lines)


def main() -> int:
    """Measure and print."""
    if shutil.which("nginx") is None:
        sys.stderr.write("nginx is not installed (Debian: nginx-light); only the service is measured\n")
    sys.stdout.write(report(measure()) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
