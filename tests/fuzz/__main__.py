"""`make fuzz`: every parser and every request body, guided by coverage, for a stated number of executions.

Prints a table and ends with code 1 where something escaped. Inputs found are kept in var/fuzz/, so that the next run
goes on from there; `--keep` takes the best of them into tests/fuzz/corpus/.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from tests.fuzz import bodies, corpus, registry
from tests.fuzz.target import Target

EXECUTIONS = 12_000
"""Of each target that is a function, fewer where one costs much; a served one has a twentieth."""

SERVED_SHARE = 20
ESCAPES = ("crash-", "timeout-", "oom-", "leak-")
HOURS_2_S = 7_200
_STATE = re.compile(r"^#(\d+)\s.*cov: (\d+) ft: (\d+) corp: (\d+)/", re.MULTILINE)


@dataclass
class Run:
    """One process of the fuzzer and what came of it; `counts` are the executions of each of its targets."""

    targets: Sequence[Target]
    executions: int
    folder: Path
    counts: dict[str, int] = field(default_factory=dict)
    coverage: int = 0
    features: int = 0
    inputs: int = 0
    escaped: list[Path] = field(default_factory=list)
    said: str = ""

    @property
    def name(self) -> str:
        """The target, or all that share the process."""
        return self.targets[0].name if len(self.targets) == 1 else "served bodies"

    def go(self) -> None:
        """Let the fuzzer run."""
        found, artefacts = self.folder / "inputs", self.folder / "escaped"
        shutil.rmtree(artefacts, ignore_errors=True)
        for folder in (found, artefacts):
            folder.mkdir(parents=True, exist_ok=True)
        names = [target.name for target in self.targets]
        command = [sys.executable, "-m", "tests.fuzz.guided", *names, str(self.executions), str(found), str(artefacts)]
        with tempfile.TemporaryDirectory(prefix="elicence-fuzz-") as scratch:
            surroundings = os.environ | {"TMPDIR": scratch, "PYTHONHASHSEED": "0"}
            done = subprocess.run(
                command, capture_output=True, env=surroundings, timeout=HOURS_2_S, errors="replace", text=True,
                stdin=subprocess.DEVNULL,
            )  # fmt: skip
        self.said = done.stdout + done.stderr
        states = _STATE.findall(self.said)
        if states:
            _, self.coverage, self.features, self.inputs = map(int, states[-1])
        counted = artefacts / "counts.json"
        self.counts = json.loads(counted.read_text()) if counted.exists() else {}
        self.escaped = sorted(path for path in artefacts.iterdir() if path.name.startswith(ESCAPES))
        if done.returncode and not self.escaped:
            (artefacts / "no-input").write_text(self.said[-8000:])
            self.escaped = [artefacts / "no-input"]

    def found(self, target: Target) -> list[bytes]:
        """Give the inputs of one target that the fuzzer holds."""
        inputs = [path.read_bytes() for path in (self.folder / "inputs").iterdir()]
        if len(self.targets) == 1:
            return inputs
        place = [*self.targets].index(target)
        return [data[1:] for data in inputs if data and data[0] % len(self.targets) == place]


def plan(names: Sequence[str], executions: int | None, folder: Path) -> list[Run]:
    """Give the processes to start for the named targets, all where none is named; those that take longest first."""
    known = registry.targets()
    unknown = [name for name in names if name not in known]
    if unknown:
        raise SystemExit(f"no such target: {', '.join(unknown)}; there are {', '.join(sorted(known))}")
    chosen = [target for name, target in known.items() if not names or name in names]
    served = [target for target in chosen if target.served]
    runs = [
        Run([target], (executions or EXECUTIONS) // target.weight, folder / target.name)
        for target in sorted(chosen, key=lambda target: -target.weight)
        if not target.served
    ]
    if served:
        each = max(1, (executions or EXECUTIONS) // SERVED_SHARE)
        place = "served" if len(served) > 1 else served[0].name
        runs.insert(0, Run(served, each * len(served), folder / place))
    return runs


def table(runs: Sequence[Run]) -> str:
    """Give what was done, a line for each target."""
    lines = [f"{'target':32} {'executions':>10} {'edges':>7} {'features':>9} {'inputs':>7} {'escaped':>8}"]
    for run in sorted(runs, key=lambda run: run.name):
        total = sum(run.counts.values())
        figures = f"{total:>10,} {run.coverage:>7,} {run.features:>9,} {run.inputs:>7,} {len(run.escaped):>8}"
        lines.append(f"{run.name:32} {figures}")
        if len(run.targets) > 1:
            lines += [f"  {target.name:30} {run.counts.get(target.name, 0):>10,}" for target in run.targets]
    done = sum(sum(run.counts.values()) for run in runs)
    lines.append(f"{sum(len(run.targets) for run in runs)} targets, {done:,} executions")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what was asked for; give 1 where something escaped."""
    read = argparse.ArgumentParser(prog="make fuzz", description=__doc__)
    usual = f"of each target ({EXECUTIONS}); of a served one a {SERVED_SHARE}th, of a slow one its share"
    read.add_argument("--executions", type=int, help=usual)
    read.add_argument("--target", action="append", default=[], metavar="NAME", help="only this one; may be repeated")
    read.add_argument("--jobs", type=int, default=2, help="processes at a time")
    read.add_argument("--keep", action="store_true", help="take what was found into tests/fuzz/corpus/")
    asked = read.parse_args(arguments)
    if importlib.util.find_spec("atheris") is None:
        print("Skipped: atheris has no build for this Python and system, so nothing guides the fuzzing here.")
        return 0
    runs = plan(asked.target, asked.executions, corpus.ROOT / "var" / "fuzz")
    with ThreadPoolExecutor(asked.jobs) as pool:
        for run, _ in zip(runs, pool.map(Run.go, runs), strict=True):
            print(f"{run.name}: {sum(run.counts.values()):,} executions, {len(run.escaped)} escaped", flush=True)
    print(table(runs))
    for run in runs:
        for path in run.escaped:
            print(f"\n{run.name}: {path}\n{_traceback(run.said)}")
        if asked.keep:
            for target in run.targets:
                corpus.keep(target, corpus.least(target, [*corpus.kept(target), *run.found(target)], corpus.BUDGET))
    bodies.stop()
    return 1 if any(run.escaped for run in runs) else 0


def _traceback(said: str) -> str:
    """The part of the fuzzer's output that tells what escaped."""
    at = said.find("=== Uncaught")
    return said[at:][:4000] if at >= 0 else said[-4000:]


if __name__ == "__main__":
    sys.exit(main())
