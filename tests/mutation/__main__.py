"""`make mutation`: put small faults into the sources, one at a time, and see whether a test notices.

    make mutation ARGS="--sample 600 --seed 20261121"      so many of all mutants, always the same for a seed
    make mutation ARGS="--module verifiers/code.py"        all of one module

Works in a copy of the last commit below var/mutation/ and goes on where it was stopped. Prints the score of each module
and the mutants that survived. Ends with code 1 where the score lies below 90 %, or where `survivors.toml` names a
mutant as equivalent that is killed or not there any more.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import random
import subprocess
import sys
import tomllib
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from tests.mutation import judging
from tests.mutation.groups import GROUPS, ROOT
from tests.mutation.judging import Outcome
from tests.mutation.mutants import Mutant, mutants

LEAST_SCORE = 0.9
TESTS_AT_MOST_S = 25.0
"""CPU seconds of tests in one round, the quickest first."""

SURVIVORS = Path(__file__).with_name("survivors.toml")


def equivalent() -> dict[str, str]:
    """Give the mutants that change nothing anybody could notice, with the reason."""
    return {row["mutant"]: row["reason"] for row in tomllib.loads(SURVIVORS.read_text("utf-8")).get("equivalent", [])}


def copy_of_last_commit() -> Path:
    """Unpack the last commit below var/mutation/, and give the folder."""
    asked = ["git", "rev-parse", "--short=12", "HEAD"]
    head = subprocess.run(asked, cwd=ROOT, check=True, capture_output=True, text=True).stdout.strip()
    folder = ROOT / "var" / "mutation" / head
    if not (folder / "pyproject.toml").exists():
        folder.mkdir(parents=True, exist_ok=True)
        archive = subprocess.run(["git", "archive", "HEAD"], cwd=ROOT, check=True, capture_output=True).stdout
        subprocess.run(["tar", "-x", "-C", str(folder)], input=archive, check=True)
    return folder


def touched(folder: Path, group: str) -> dict[str, Any]:
    """Give which tests touch which line, measured once for a commit."""
    file = folder / f"touching-{group}.json"
    if not file.exists():
        print(f"Measuring which tests of {group} touch which line …", flush=True)
        command = [sys.executable, "-m", "tests.mutation.touching", group, str(file)]
        subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL, env=os.environ | {"CI": "1"})
    found: dict[str, Any] = json.loads(file.read_text("utf-8"))
    return found


def tests_for(mutant: Mutant, known: dict[str, Any]) -> list[tuple[list[str], float]]:
    """Give the tests that run the mutant's line, in two rounds, quickest first, and the CPU seconds of each round.

    The first round is one file of tests, the one named after the module or else the one with most: it kills most
    mutants, and nothing else has to be loaded. What runs while the module loads is judged by all tests of the module.
    """
    lines: dict[str, list[str]] = known["lines"].get(mutant.module, {})
    names = set(lines.get(str(mutant.line), ()))
    if not names:
        names = {name for each in lines.values() for name in each}
    cost: dict[str, float] = known["cost"]
    files = Counter(name.partition("::")[0] for name in names)
    own = f"/test_{Path(mutant.module).stem}.py"
    first = max(files, key=lambda file: (file.endswith(own), files[file], file), default="")
    rounds = []
    for early in (True, False):
        chosen: list[str] = []
        total = 0.0
        for name in sorted(names, key=lambda name: (cost.get(name, 0.0), name)):
            if name.startswith(f"{first}::") is early and total <= TESTS_AT_MOST_S:
                chosen.append(name)
                total += cost.get(name, 0.0)
        if chosen:
            rounds.append((chosen, total))
    return rounds


def interval(killed: int, total: int) -> tuple[float, float]:
    """Give the Wilson interval of a share at 95 %."""
    if not total:
        return 0.0, 1.0
    z, share = 1.96, killed / total
    middle = share + z * z / (2 * total)
    spread = z * math.sqrt(share * (1 - share) / total + z * z / (4 * total * total))
    return (middle - spread) / (1 + z * z / total), (middle + spread) / (1 + z * z / total)


def report(results: Iterable[tuple[Mutant, Outcome]], allowed: dict[str, str]) -> tuple[str, float]:
    """Give the table and the score; equivalent mutants count neither way."""
    modules: dict[str, Counter[str]] = defaultdict(Counter)
    survivors = []
    for mutant, outcome in results:
        kind = "equivalent" if outcome is Outcome.SURVIVED and mutant.name in allowed else str(outcome)
        modules[mutant.module][kind] += 1
        if kind in {"survived", "untouched"}:
            survivors.append(f"  {mutant.module}:{mutant.line} {kind}  {mutant.name}")
    lines = [f"{'module':34} {'mutants':>8} {'killed':>7} {'survived':>9} {'equivalent':>11} {'score':>7}"]
    whole: Counter[str] = Counter()
    for module, counts in [*sorted(modules.items()), ("all", whole)]:
        whole.update(counts if module != "all" else {})
        killed, lost = counts["killed"] + counts["timeout"], counts["survived"] + counts["untouched"]
        score = killed / (killed + lost) if killed + lost else 1.0
        total = counts.total()
        lines.append(f"{module:34} {total:>8} {killed:>7} {lost:>9} {counts['equivalent']:>11} {score:>7.1%}")
    killed = whole["killed"] + whole["timeout"]
    counted = killed + whole["survived"] + whole["untouched"]
    low, high = interval(killed, counted)
    lines.append(f"score {killed / max(1, counted):.1%}, at 95 % confidence {low:.1%} to {high:.1%} of all mutants")
    return "\n".join([*lines, *sorted(survivors)]), killed / max(1, counted)


def require_sound(folder: Path, tests: Sequence[str], known: dict[str, Any], sound: set[str]) -> None:
    """End where tests fail without any fault put in: they would kill every mutant. Each file is tried once."""
    for file in {name.partition("::")[0] for name in tests} - sound:
        every = [name for name in known["cost"] if name.startswith(f"{file}::") and name not in known["failed"]]
        outcome, _ = judging.judge(folder, None, every, sum(known["cost"][name] for name in every))
        if outcome is not Outcome.SURVIVED:
            sys.exit(f"{file} fails as it is ({outcome}): nothing can be judged by it")
        sound.add(file)


def run(folder: Path, group: str, chosen: Sequence[Mutant]) -> list[tuple[Mutant, Outcome]]:
    """Judge what has not been judged in this copy, writing every result down at once."""
    known = touched(folder, group)
    log = folder / f"results-{group}.jsonl"
    done: dict[tuple[str, int], Outcome] = {}
    if log.exists():
        for row in map(json.loads, log.read_text("utf-8").splitlines()):
            done[row["module"], row["number"]] = Outcome(row["outcome"])
    os.chdir(folder)
    sys.path.insert(0, str(folder))
    os.environ["CI"] = "1"
    judging.preload()
    results = []
    sound: set[str] = set()
    for number, mutant in enumerate(chosen, 1):
        outcome = done.get((mutant.module, mutant.number))
        if outcome is None:
            outcome, took = Outcome.UNTOUCHED, 0.0
            for tests, usual_s in tests_for(mutant, known):
                require_sound(folder, tests, known, sound)
                outcome, more = judging.judge(folder, mutant, tests, usual_s)
                took += more
                if outcome is not Outcome.SURVIVED:
                    break
            row = {"module": mutant.module, "number": mutant.number, "line": mutant.line, "name": mutant.name}
            with log.open("a", encoding="utf-8") as file:
                file.write(json.dumps(row | {"outcome": outcome, "s": round(took, 2)}) + "\n")
            print(f"{number}/{len(chosen)} {outcome:9} {took:6.1f} s {mutant.line:4} {mutant.name}", flush=True)
        results.append((mutant, outcome))
    return results


def main(arguments: Sequence[str] | None = None) -> int:
    """Mutate what was asked for."""
    read = argparse.ArgumentParser(prog="make mutation", description=__doc__)
    read.add_argument("--group", choices=sorted(GROUPS), default="verifiers")
    read.add_argument("--module", action="append", default=[], help="only this path; may be repeated")
    read.add_argument("--sample", type=int, default=0, help="so many mutants, chosen by chance; 0: all")
    read.add_argument("--seed", type=int, default=20261121)
    read.add_argument("--folder", type=Path, help="a copy made before, instead of one of the last commit")
    asked = read.parse_args(arguments)
    folder = (asked.folder or copy_of_last_commit()).resolve()
    if folder != ROOT.resolve():
        # From there, so that its modules and its tests are what is loaded, down to the package they are in.
        again = [sys.executable, "-m", "tests.mutation", *(sys.argv[1:] if arguments is None else arguments)]
        return subprocess.run([*again, "--folder", str(folder)], cwd=folder).returncode
    modules = asked.module or GROUPS[asked.group].modules
    every = [mutant for module in modules for mutant in mutants(folder, module)]
    chosen = every
    if 0 < asked.sample < len(every):
        chosen = random.Random(asked.seed).sample(every, asked.sample)
    print(f"{len(chosen)} of {len(every)} mutants in {len(modules)} modules", flush=True)
    results = run(folder, asked.group, chosen)
    allowed = equivalent()
    text, score = report(results, allowed)
    print(text)
    names = {mutant.name for mutant in every}
    killed = {mutant.name for mutant, outcome in results if outcome in (Outcome.KILLED, Outcome.TIMEOUT)}
    kept = {mutant.name for mutant, outcome in results if outcome is Outcome.SURVIVED}
    stale = [name for name in allowed if name.partition(":")[0] in modules and name not in names]
    stale += [name for name in allowed if name in killed - kept]
    for name in stale:
        print(f"not equivalent, or not there: {name}")
    return 1 if stale or score < LEAST_SCORE else 0


if __name__ == "__main__":
    sys.exit(main())
