"""Three regions, each in a network namespace of its own: a link is really cut while a licence falls, and healed."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

from api.cli import demo_people as people
from api.cli.demo_neighbours import Neighbour, Place, admit, regions
from api.cli.example_region import definition
from tests.journeys.namespaces import Namespace, NoNamespaces, namespaces
from verifiers.legal_dates import day_of

pytestmark = pytest.mark.xdist_group("namespaces")

DEADLINE_S = 120
"""Longest time for all that is waited for once the regions run; it takes about a third of it."""
GRACE_S = 10
PORT = 8000
INTERVALS = {"status_ttl_s": 3, "republish_interval_s": 10, "recognition_notice_s": 0, "peer_timeout_s": 3}
WITHDRAWN = "invalid: status.suspended"
"""What a withdrawn licence is while its holder may still appeal."""
OFFICER, OPERATOR = "示例经办员", "示例操作员"
_ASK = """
import json, sys, urllib.request
request = urllib.request.Request(sys.argv[1], sys.stdin.buffer.read(), {"Content-Type": "application/json"})
sys.stdout.buffer.write(urllib.request.urlopen(request, timeout=30).read())
"""


@pytest.fixture
def links() -> Iterator[list[Namespace]]:
    """Make three namespaces, or skip with a line that says why there are none."""
    with ExitStack() as stack:
        try:
            made = stack.enter_context(namespaces(3))
        except NoNamespaces as missing:
            pytest.skip(f"no network namespaces: {missing}")
        yield made


@pytest.fixture
def world(links: list[Namespace], tmp_path: Path) -> Iterator[list[Neighbour]]:
    """Run a region in each namespace, at an address of its own; the second and third admit the first."""
    places = []
    for link in links:
        where = {"base_url": f"http://{link.address}:{PORT}", "host": link.address, "port": PORT}
        places.append(Place({**INTERVALS, **where}, link.prefix))
    with regions(tmp_path, places, grace_s=GRACE_S) as found:
        a, *others = found
        with ThreadPoolExecutor(len(others)) as pool:
            for admitted in [pool.submit(admit, here, a) for here in others]:
                assert admitted.result()["status"] == "active"
        kind = {"type": definition("business-licence")["code"], "major": 1}
        for here in others:
            body = {"peer": a.code, "their": kind, "ours": kind, "fields": {}}
            here.service.client("operator").post("/v1/equivalences", body, operator=OPERATOR)
        yield found


def test_a_region_that_is_cut_off_says_so_and_knows_once_healed(links: list[Namespace], world: list[Neighbour]) -> None:
    """B refuses what A withdrew while C, its link down, first relies on what it knows and then says it cannot tell."""
    a, b, c = world
    today = day_of(datetime.now(UTC))
    until = Deadline(DEADLINE_S)
    market = a.service.client("market-business")
    licence = market.post("/v1/licences?wait=receipt", people.business_licence(today), operator=OFFICER)
    code = str(market.get(f"/v1/licences/{licence['id']}/bundle", operator=OFFICER).json()["code"])
    for here in (b, c):
        assert until(lambda here=here: verdict(here, code), "valid") == "valid"  # type: ignore[misc] # bound here

    links[2].cut()
    withdraw(a, licence["id"], today)

    assert until(lambda: verdict(b, code), WITHDRAWN) == WITHDRAWN
    assert until(lambda: verdict(c, code), "undetermined: status.stale") == "undetermined: status.stale"

    links[2].heal()
    assert until(lambda: verdict(c, code), WITHDRAWN) == WITHDRAWN


class Deadline:
    """Patience for a whole test, not for each thing that is waited for."""

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds

    def __call__(self, find: Callable[[], str], wanted: str) -> str:
        """Look until what is wanted is found or patience is over, and return what was seen last."""
        while (found := find()) != wanted and time.monotonic() < self._end:
            time.sleep(0.2)
        return found


def verdict(here: Neighbour, presented: str) -> str:
    """Ask a region from inside its own namespace, as its window would: outcome, and the first reason unless valid."""
    done = subprocess.run(
        [*here.prefix, sys.executable, "-I", "-S", "-c", _ASK, f"{here.settings.base_url}/v1/verify"],
        input=json.dumps({"presented": presented}).encode(),
        capture_output=True,
        timeout=60,
        check=True,
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return str(found["outcome"]) + "".join(f": {each['code']}" for each in found["reasons"][:1])


def withdraw(here: Neighbour, licence: str, today: date) -> None:
    """Withdraw a licence, decided and in force today."""
    day = today.isoformat()
    body = {
        "act": "withdraw",
        "authority": "示例省市场监督管理局",
        "articles": ["行政许可法第八条"],
        "document_no": "示市监回〔2026〕1号",
        "decided_at": day,
        "served_at": day,
        "effective_from": day,
        "reason": "依据的规定已修改（示例）",
    }
    supervisor = here.service.client("market-supervisor")
    supervisor.post(f"/v1/licences/{licence}/acts", body, operator=OFFICER)
