"""What can go wrong, where, and the one who sees to it that it does: once, at a step that has been named before."""

from __future__ import annotations

import errno
import os
import signal
import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, TypeVar

from ledger.clock import SystemClock

_T = TypeVar("_T")

WRITER = "elicence-writer"
"""The name of the thread that appends."""


class Fault(StrEnum):
    """What happens to a step."""

    LOST = "lost"
    HALF = "done, but an error comes back"
    KILLED = "process killed"
    FULL = "disk full"
    DROPPED = "connection dropped"
    BACK = "clock jumps back"


class Step(StrEnum):
    """Where it happens: the commit protocol from the lock to the answer, then everything that is published."""

    LOCK = "lock the head"
    CLOCK = "read the clock"
    CONDITIONS = "check repeats and conditions"
    ENTRIES = "insert entries"
    RECORDS = "insert records"
    ANSWERS = "insert answers"
    PROJECT = "project"
    HEAD = "move the head"
    COMMIT = "COMMIT sent"
    ACKNOWLEDGED = "COMMIT acknowledged"
    ANSWER = "answer delivered"
    SIGN = "sign the checkpoint"
    SWAP = "compare-and-swap the checkpoint"
    TILES = "write tiles"
    CHECKPOINT = "write the checkpoint file"
    STATUS_SIGN = "sign a status list"
    STATUS_STORE = "store a status list"
    STATUS_FILE = "write a status list"
    TRUST_SIGN = "sign a trust list"
    TRUST_FILE = "write a trust list"
    ASK = "ask a witness"
    COSIGNED = "store a cosigned checkpoint"
    SHOWN = "write the cosigned checkpoint"


class JumpingClock(SystemClock):
    """The machine's clock, until it is put back by an hour."""

    def __init__(self, saboteur: Saboteur) -> None:
        self.back = timedelta(0)
        self._saboteur = saboteur

    def now(self) -> datetime:
        """Return the present moment as this clock has it."""
        if threading.current_thread().name == WRITER and self._saboteur.takes(Step.CLOCK):
            self.put_back()
        return super().now() - self.back

    def put_back(self) -> None:
        """Jump an hour back."""
        self.back = timedelta(hours=1)

    def put_right(self) -> None:
        """Tell the right time again, as an operator or a time server would see to it."""
        self.back = timedelta(0)


class Saboteur:
    """Lets everything pass until `armed`; then does its harm at the first time its step is reached."""

    def __init__(self, step: Step | None, fault: Fault | None) -> None:
        self.step = step
        self.fault = fault
        self.armed = False
        self.done = False
        self.clock = JumpingClock(self)
        self._lock = threading.Lock()

    def takes(self, step: Step | None) -> Fault | None:
        """Say what happens now at `step`, `None` where nothing does; it is said once."""
        with self._lock:
            if not self.armed or self.done or step is None or step is not self.step:
                return None
            self.done = True
            return self.fault

    def around(
        self,
        step: Step | None,
        do: Callable[[], _T],
        failing: Callable[[int], Exception],
        drop: Callable[[], Any] = lambda: None,
    ) -> _T:
        """Do a step, or what becomes of it. `failing` makes the error of an errno, `drop` cuts the connection."""
        fault = self.takes(step)
        if fault is Fault.LOST:
            raise failing(errno.EIO)
        if fault is Fault.FULL:
            raise failing(errno.ENOSPC)
        if fault is Fault.BACK:
            self.clock.put_back()
        if fault is Fault.DROPPED:
            drop()
        result = do()
        if fault is Fault.KILLED:
            die()
        if fault is Fault.HALF:
            raise failing(errno.EIO)
        return result


def die() -> None:
    """End this process as a power failure would, at this very place."""
    os.kill(os.getpid(), signal.SIGKILL)
    signal.pause()
