"""Regions side by side, each a service with its own database and keys, that come to recognise each other.

What they do is done by the commands and calls an operator would use: roots are handed over as fingerprints, two
operators approve, each becomes the others' witness. In the demo's act there are three on loopback, and the third one's
way out leads through a gate that can be shut.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeVar

import httpx

from api.cli import example_region
from api.cli.demo_gate import Gate, gate
from api.cli.demo_service import DemoService, ServiceProcess, prepared
from api.cli.demo_stage import Unexpected
from api.cli.example_region import ExampleRegion
from api.cli.http_client import good
from api.settings import Settings, environment

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


@dataclass(frozen=True, slots=True)
class Place:
    """Where and how a region runs: settings of its own, and words before each command, such as a namespace's."""

    settings: Mapping[str, object] = field(default_factory=dict)
    prefix: tuple[str, ...] = ()


@dataclass
class Neighbour:
    """One running region."""

    example: ExampleRegion
    settings: Settings
    folder: Path
    process: ServiceProcess
    service: DemoService
    prefix: tuple[str, ...] = ()

    @property
    def code(self) -> str:
        """Its region code."""
        return self.example.code

    @property
    def root(self) -> str:
        """The fingerprint of its root, as it would be handed over."""
        return str(good(self.service.http.get("/.well-known/elicence-region")).json()["root"])

    def command(self, *arguments: str) -> dict[str, Any]:
        """Run an `elicence` command for this region and return what it answers programs. Raises `Unexpected`."""
        answer: dict[str, Any] = json.loads(self.run(*arguments, "--json").strip().splitlines()[-1])
        return answer

    def run(self, *arguments: str) -> str:
        """Run an `elicence` command for this region and return what it prints. Raises `Unexpected`."""
        done = subprocess.run(  # noqa: S603 - our own interpreter and module
            [*self.prefix, sys.executable, "-m", "api.cli", *arguments],
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
    """Serve the act's `count` fresh regions below `folder` for the block; the last one's way out is the gate."""
    with gate() as opened:
        places = [Place(_SETTINGS) for _ in range(count)]
        places[-1] = Place({**_SETTINGS, "peer_proxy": opened.url})
        with regions(folder, places, grace_s=GRACE_S) as found:
            yield found, opened


@contextmanager
def regions(folder: Path, places: list[Place], *, grace_s: int | None = None) -> Iterator[list[Neighbour]]:
    """Make fresh regions below `folder`, one for each of `places`, and serve them for the block.

    They are the example regions in their order; `grace_s` as in `example_region.seed`.
    """
    found, starting = [], []
    with ExitStack() as stack:
        # One is made while another starts; two are never made at once, because migrations are of the whole process.
        with ThreadPoolExecutor(len(places)) as pool:
            for example, place in zip(example_region.REGIONS, places, strict=False):
                home = folder / example.code
                settings = prepared(home, grace_s=grace_s, **{**example.settings, **place.settings})
                process = ServiceProcess(settings, home, place.prefix)
                stack.callback(process.stop)
                starting.append(pool.submit(process.start))
                http = stack.enter_context(httpx.Client(base_url=settings.base_url, timeout=60))
                service = DemoService(settings, home, http)
                found.append(Neighbour(example, settings, home, process, service, place.prefix))
        for each in starting:
            each.result()
        yield found


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
