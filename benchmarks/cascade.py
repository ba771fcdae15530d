"""One decision over many licences: how long its maker waits from the request to the durable answer (protocol 10, 22).

`python -m benchmarks.cascade URL…` prints the seconds of the preview, the decision and its reversal, and their CPU; the
databases must be migrated and empty. The licences are prepared entries (`benchmarks.prepared_entries`), each resting by
identity on one that the case says was forged.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from collections.abc import Awaitable
from pathlib import Path
from typing import Final, TypeVar

from benchmarks import prepared_entries
from ledger.decisions import decide
from ledger.region import Region
from ledger.reversal import reverse
from tests.ledger import cases
from tests.ledger.licensing import DIPLOMA, EDUCATION, licensing_region
from tests.ledger.test_cascade import REVERSAL

DEPENDANTS: Final = 10_000

T = TypeVar("T")


async def measure(url: str, dependants: int = DEPENDANTS) -> dict[str, float]:
    """Give seconds: `preview_s`, `decide_s`, `reverse_s`, and each again as `…_cpu_s` of this process."""
    with tempfile.TemporaryDirectory(prefix="elicence-bench-") as folder:
        async with licensing_region(url, Path(folder)) as region:
            return await _measured(region, dependants)


async def _measured(region: Region, dependants: int) -> dict[str, float]:
    committer = prepared_entries.committer_of(region)
    root = await prepared_entries.prepare(region, EDUCATION, [0], code=DIPLOMA, signed=False)
    prepared_entries.commit(committer, root)
    target = root[0].drafts[0].draft.thing
    for start, stop in prepared_entries.spans(1, dependants + 1, prepared_entries.CHUNK):
        numbers = range(start, stop)
        prepared_entries.commit(
            committer,
            await prepared_entries.prepare(region, EDUCATION, numbers, code=DIPLOMA, rests_on=[target], signed=False),
        )
    committer.close()
    first, second = cases.first_officer(EDUCATION), cases.second_officer(EDUCATION)
    flag_id = await cases.flagged(region, cases.target(target), by=first)
    await cases.notified(region, flag_id, by=first)
    figures: dict[str, float] = {}
    seen = await _timed(figures, "preview", cases.preview_of(region, flag_id, EDUCATION))
    decided = await _timed(figures, "decide", decide(region, second, flag_id, cases.ruling(seen["digest"])))
    if decided["effects"] != {"revoked": dependants + 1}:
        raise RuntimeError(f"{dependants} licences and the one they rest on should have fallen: {decided['effects']}")
    await _timed(figures, "reverse", reverse(region, second, flag_id, REVERSAL))
    return figures


async def _timed(figures: dict[str, float], name: str, work: Awaitable[T]) -> T:
    wall, cpu = time.perf_counter(), time.process_time()
    result = await work
    figures[f"{name}_s"], figures[f"{name}_cpu_s"] = time.perf_counter() - wall, time.process_time() - cpu
    return result


def main(urls: list[str]) -> None:
    """Measure each database and print what was measured."""
    for url in urls:
        for name, value in asyncio.run(measure(url)).items():
            print(f"{url.split(':')[0]:12} {name:16} {value:10.3f}")


if __name__ == "__main__":
    main(sys.argv[1:])
