"""The inputs kept with the sources: one file for each target, one input a line, each of which reaches something new.

A line is a JSON string whose characters stand for bytes (ISO 8859-1), so that a change can be read. What escaped once
stays in `TARGET.escaped.jsonl` for good.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

from tests.fuzz.target import Target

FOLDER = Path(__file__).parent / "corpus"
BUDGET = 12_288
"""Most bytes kept for one target: all together stay below a megabyte."""

ROOT = Path(__file__).parent.parent.parent
PACKAGES = tuple(f"{ROOT / name}/" for name in ("keys", "verifiers", "ledger", "api"))

Reached = set[tuple[str, int, int]]
"""Steps from one line of a file to another."""


def kept(target: Target) -> list[bytes]:
    """Give the inputs kept for `target`, none where there are none yet."""
    files = (FOLDER / f"{target.name}.jsonl", FOLDER / f"{target.name}.escaped.jsonl")
    lines = [line for file in files if file.exists() for line in file.read_text("ascii").splitlines()]
    return [json.loads(line).encode("latin-1") for line in lines]


def keep(target: Target, inputs: Iterable[bytes], kind: str = "") -> None:
    """Write the inputs of `target`, shortest first; as `.escaped` those that a fault was found with."""
    FOLDER.mkdir(exist_ok=True)
    lines = [json.dumps(data.decode("latin-1")) for data in sorted(set(inputs), key=lambda data: (len(data), data))]
    (FOLDER / f"{target.name}{kind}.jsonl").write_text("".join(f"{line}\n" for line in lines), "ascii")


def reach(run: Callable[[bytes], object], data: bytes) -> tuple[Reached, set[CodeType]]:
    """Run one input and give the steps it takes through our packages, and the functions it enters."""
    steps: Reached = set()
    entered: set[CodeType] = set()

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        name = frame.f_code.co_filename
        if not name.startswith(PACKAGES):
            return None
        entered.add(frame.f_code)
        before = frame.f_lineno

        def local(frame: FrameType, event: str, _: Any) -> Any:
            nonlocal before
            if event == "line":
                steps.add((name, before, frame.f_lineno))
                before = frame.f_lineno
            return local

        return local

    former = sys.gettrace()
    sys.settrace(trace)
    try:
        run(data)
    finally:
        sys.settrace(former)
    return steps, entered


def least(target: Target, inputs: Iterable[bytes], budget: int) -> list[bytes]:
    """Choose inputs of together at most `budget` bytes that reach all that `inputs` reach, the shortest first."""
    chosen: list[bytes] = []
    seen: Reached = set()
    for data in sorted(set(inputs), key=lambda data: (len(data), data)):
        steps, _ = reach(target.run, data)
        if steps - seen and len(data) <= budget:
            seen |= steps
            chosen.append(data)
            budget -= len(data)
    return chosen
