"""Three regions on loopback, each a service with its own database and keys, that come to recognise each other.

What they do is done by the commands and calls an operator would use: roots are handed over as fingerprints, two
operators approve, each becomes the others' witness. The third region's way out leads through a gate that can be shut.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

import httpx

from api.cli import example_region
from api.cli.demo_gate import Gate, gate
from api.cli.demo_service import DemoService, ServiceProcess, prepared
from api.cli.demo_stage import Unexpected
from api.cli.example_region import ExampleRegion
from api.cli.http_client import good
from api.cli.service import environment
from api.settings import Settings

T = TypeVar("T")

OPERATORS: Final = ("operator", "second-operator")
"""The two clients whose keys approve what a region is to trust."""

GRACE_S: Final = 8
"""Age that a status list may have in this act; the examples' own types allow hours and days."""

_SETTINGS: Final[dict[str, object]] = {
    "status_ttl_s": 3,
    "republish_interval_s": 10,
    "witness_interval_ms": 500,
    "recognition_notice_s": 0,
}
_COMMAND_S: Final = 120
_LOOK_AGAIN_S: Final = 0.1


@dataclass
class Neighbour:
    """One running region of the act."""

    example: ExampleRegion
    settings: Settings
    folder: Path
    process: ServiceProcess
    service: DemoService
    root: str

    @property
    def code(self) -> str:
        """Its region code."""
        return self.example.code

    def command(self, *arguments: str) -> dict[str, Any]:
        """Run an `elicence` command for this region and return what it answers programs. Raises `Unexpected`."""
        answer: dict[str, Any] = json.loads(self.run(*arguments, "--json").strip().splitlines()[-1])
        return answer

    def run(self, *arguments: str) -> str:
        """Run an `elicence` command for this region and return what it prints. Raises `Unexpected`."""
        done = subprocess.run(  # noqa: S603 - our own interpreter and module
            [sys.executable, "-m", "api.cli", *arguments],
            capture_output=True,
            text=True,
            check=False,
            timeout=_COMMAND_S,
            env=os.environ | environment(self.settings) | {"ELICENCE_OPERATOR": "示例操作员"},
        )
        if done.returncode:
            raise Unexpected(f"elicence {' '.join(arguments)}: {(done.stdout + done.stderr)[-800:]}")
        return done.stdout

    def approvals(self) -> list[str]:
        """The options that let both operators approve, each with the key of its own."""
        keys = self.folder / "client-keys"
        return [part for name in OPERATORS for part in ("--approve", f"{name}={keys / f'{name}.jwk.json'}")]

    def verify(self, presented: str) -> dict[str, Any]:
        """Ask this region, as anybody may, about a licence or code."""
        answer: dict[str, Any] = good(self.service.http.post("/v1/verify", json={"presented": presented})).json()
        return answer


@contextmanager
def neighbours(folder: Path, count: int = 3) -> Iterator[tuple[list[Neighbour], Gate]]:
    """Make and serve `count` fresh regions below `folder` for the block; the last one's way out is the gate."""
    with ExitStack() as stack:
        opened = stack.enter_context(gate())
        chosen = example_region.REGIONS[:count]
        made = [_prepared(folder, example, opened, example is chosen[-1]) for example in chosen]
        found = []
        for example, settings in zip(chosen, made, strict=True):
            found.append(stack.enter_context(_served(example, settings, folder / example.code)))
        yield found, opened


def _prepared(folder: Path, example: ExampleRegion, opened: Gate, through_gate: bool) -> Settings:
    way_out: dict[str, object] = {"peer_proxy": opened.url} if through_gate else {}
    return prepared(folder / example.code, grace_s=GRACE_S, **example.settings, **_SETTINGS, **way_out)


@contextmanager
def _served(example: ExampleRegion, settings: Settings, folder: Path) -> Iterator[Neighbour]:
    process = ServiceProcess(settings, folder)
    process.start()
    try:
        with httpx.Client(base_url=settings.base_url, timeout=60) as http:
            root = str(good(http.get("/.well-known/elicence-region")).json()["root"])
            yield Neighbour(example, settings, folder, process, DemoService(settings, folder, http), root)
    finally:
        process.stop()


def introduce(found: list[Neighbour]) -> None:
    """Let each admit every other, two operators approving, and ask the others to watch its log, all of them."""
    with ThreadPoolExecutor(len(found)) as pool:
        for work in (_admit_others, _ask_to_watch):
            for done in [pool.submit(work, each, [one for one in found if one is not each]) for each in found]:
                done.result()


def admit(here: Neighbour, other: Neighbour) -> dict[str, Any]:
    """Admit `other` with the root that was handed over, both operators approving; returns what the command says."""
    where = other.settings.base_url
    return here.command("peers", "admit", where, "--root", other.root, *here.approvals(), "--yes")


def _admit_others(here: Neighbour, others: list[Neighbour]) -> None:
    for other in others:
        admit(here, other)


def _ask_to_watch(here: Neighbour, others: list[Neighbour]) -> None:
    for number, other in enumerate(others, start=1):
        here.command("witnesses", "add", other.code, "--quorum", str(number))


def until(what: str, find: Callable[[], T], right: Callable[[T], bool], seconds: float) -> tuple[T, float]:
    """Look until what is found is right, and return it with the seconds that took. Raises `Unexpected`."""
    began = time.monotonic()
    while not right(found := find()):
        if time.monotonic() > began + seconds:
            raise Unexpected(f"{what}: not within {seconds:g} s; last seen {found!r}")
        time.sleep(_LOOK_AGAIN_S)
    return found, time.monotonic() - began
