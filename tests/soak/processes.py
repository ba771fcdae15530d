"""What a tree of processes holds: private memory, open files, and the preparers among it. Linux only."""

from __future__ import annotations

import threading
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

LOOK_S = 0.25


@dataclass(frozen=True, slots=True)
class Held:
    """Private bytes and open files of a tree of processes, and how many processes it has."""

    memory: int
    files: int
    processes: int

    @property
    def mib(self) -> float:
        """The memory in MiB."""
        return self.memory / (1 << 20)


def tree(pid: int) -> list[int]:
    """Return `pid` and everybody below it."""
    found = [pid]
    with suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in (task / "children").read_text().split():
                found += tree(int(child))
    return found


def held(pid: int) -> Held:
    """Return what the tree of `pid` holds now; nothing where it has ended."""
    memory = files = processes = 0
    for each in tree(pid):
        with suppress(OSError):  # it has just ended
            rollup = Path(f"/proc/{each}/smaps_rollup").read_text()
            memory += sum(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Private_"))
            files += len(list(Path(f"/proc/{each}/fd").iterdir()))
            processes += 1
    return Held(memory * 1024, files, processes)


def preparers(pid: int) -> list[int]:
    """Return the processes below the service `pid` that prepare licences."""
    return below(pid, b"api.preparer")


def below(pid: int, word: bytes) -> list[int]:
    """Return the processes below `pid` whose command line has `word` in it."""
    found = []
    for each in tree(pid)[1:]:
        with suppress(OSError):  # it has just ended
            if word in Path(f"/proc/{each}/cmdline").read_bytes():
                found.append(each)
    return found


def scheduled(pid: int) -> tuple[int, int]:
    """Return for how many nanoseconds the main thread of `pid` has run, and for how many it was ready and did not."""
    ran, waited, _ = Path(f"/proc/{pid}/task/{pid}/schedstat").read_text().split()
    return int(ran), int(waited)


class Watch:
    """Looks at a tree of processes all the time, for a block, and remembers the most it held.

    `starved` is by how much everything took longer because others had the cores: 1 where nobody else wanted them.
    """

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look)
        self.first = held(pid)
        self.memory = self.first.memory
        self.files = self.first.files
        self.starved = 1.0
        self._before = scheduled(pid)

    def _look(self) -> None:
        while not self._over.wait(LOOK_S):
            now = held(self._pid)
            self.memory, self.files = max(self.memory, now.memory), max(self.files, now.files)

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()
        ran, waited = (now - before for now, before in zip(scheduled(self._pid), self._before, strict=True))
        self.starved = 1.0 + waited / max(1, ran)
