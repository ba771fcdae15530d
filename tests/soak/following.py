"""Whoever looks on from outside: every checkpoint that was ever shown belongs to the log that is left."""

from __future__ import annotations

import threading
import time

import httpx
from sqlalchemy import select

from api.settings import Settings
from ledger.database import Reading
from ledger.tables.log import entries
from tests.soak.callers import Told
from tests.soak.place import looked_up
from verifiers.checkpoint import parse_checkpoint
from verifiers.merkle import Frontier, leaf_hash
from verifiers.note import parse_note

LOOK_S = 0.1


class Onlooker:
    """Fetches the checkpoint all the time and remembers every root by size."""

    def __init__(self, settings: Settings, told: Told) -> None:
        self._url = f"{settings.base_url}/log/checkpoint"
        self._told = told
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look)
        self.seen: dict[int, bytes] = {}

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def stop(self) -> None:
        """Look no more."""
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        last = 0
        with httpx.Client(timeout=5) as http:
            while not self._over.wait(LOOK_S):
                try:
                    answer = http.get(self._url)
                except httpx.HTTPError:
                    continue
                if answer.status_code != 200:
                    continue
                found = parse_checkpoint(parse_note(answer.text).text)
                if found.size < last:
                    self._told.breaks(f"a checkpoint stepped back from {last} to {found.size}")
                if self.seen.setdefault(found.size, found.root) != found.root:
                    self._told.breaks(f"two checkpoints of {found.size} entries")
                last = found.size

    def judge(self, settings: Settings) -> int:
        """Compare every checkpoint with the entries that are left; returns how many there were."""
        wrong = looked_up(settings, self._wrong)
        for size in wrong[:5]:
            self._told.breaks(f"the checkpoint of {size} entries is not one of this log")
        return len(self.seen)

    def _wrong(self, tx: Reading) -> list[int]:
        frontier, wrong, count = Frontier(), [], 0
        for row in tx.execute(select(entries.c.bytes).order_by(entries.c.idx)).yield_per(1000).scalars():
            if count in self.seen and self.seen[count] != frontier.root():
                wrong.append(count)
            frontier.append(leaf_hash(bytes(row)))
            count += 1
        if count in self.seen and self.seen[count] != frontier.root():
            wrong.append(count)
        return wrong + [size for size in self.seen if size > count]


def until_at(http: httpx.Client, size: int, seconds: float) -> bool:
    """Wait until the served checkpoint covers `size` entries; tell whether it did."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        answer = http.get("/log/checkpoint")
        if answer.status_code == 200 and parse_checkpoint(parse_note(answer.text).text).size >= size:
            return True
        time.sleep(0.1)
    return False
