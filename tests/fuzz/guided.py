"""One process of guided fuzzing: `python -m tests.fuzz.guided NAME… EXECUTIONS CORPUS-FOLDER ARTEFACT-FOLDER`.

Several names are chosen between by the first byte of an input: the served region takes long to start, so all targets
that call it share one process, and half of the executions go to whichever had fewest. `counts.json` in the artefact
folder says how many executions each target had.
"""

from __future__ import annotations

import json
import random
import sys
import warnings
from collections import Counter
from hashlib import sha256
from importlib import import_module
from pathlib import Path

import atheris

from tests.fuzz.mutator import changed

VERIFIERS = Path(__file__).parent.parent.parent / "verifiers"
TIMEOUT_S = 30
MEMORY_MB = 2_048


def main(arguments: list[str]) -> None:
    """Fuzz the named targets until the executions are done or something escapes."""
    *names, executions, corpus, artefacts = arguments
    bodies = names[0].startswith("body")
    with atheris.instrument_imports(include=["verifiers", "keys", *(("ledger", "api") if bodies else ())]):
        for path in sorted(VERIFIERS.glob("[a-z]*.py")):
            import_module(f"verifiers.{path.stem}")
        if bodies:
            import_module("api.app")
    from tests.fuzz import registry
    from tests.fuzz.corpus import kept

    found = registry.of_bodies() if bodies else registry.of_parsers()
    chosen = [found[name] for name in names]
    several = len(chosen) > 1
    known = [[*target.seeds(), *kept(target)] for target in chosen]
    for number, inputs in enumerate(known):
        for data in inputs:
            whole = bytes((number,)) + data if several else data
            (Path(corpus) / sha256(whole).hexdigest()).write_bytes(whole)
    done: Counter[str] = Counter()
    counts = Path(artefacts) / "counts.json"

    def one(data: bytes) -> None:
        target = chosen[0]
        if several:
            if not data:
                return
            target, data = chosen[data[0] % len(chosen)], data[1:]
        done[target.name] += 1
        if done.total() % 64 == 0 or done.total() >= int(executions):
            counts.write_text(json.dumps(done))
        target.run(data)

    def mutate(data: bytes, limit: int, seed: int) -> bytes:
        """Change an input as the fuzzer does, or every other time as our own mutator, which knows JSON."""
        chance = random.Random(seed)
        if several and chance.random() < 0.5:  # the fuzzer would stay with what brings most that is new
            number = min(range(len(chosen)), key=lambda number: done[chosen[number].name])
            return (bytes((number,)) + changed(chance, chance.choice(known[number]), known[number]))[:limit]
        if seed % 2:
            return bytes(atheris.Mutate(data, limit))
        head, body = (data[:1], data[1:]) if several else (b"", data)
        return (head + changed(chance, body, ()))[:limit]

    options = {
        "runs": executions,
        "timeout": TIMEOUT_S,
        "rss_limit_mb": MEMORY_MB,
        "max_len": max(target.limit for target in chosen) + several,
        "artifact_prefix": f"{artefacts}/",
        "seed": 20261121,
    }
    settings = [f"-{name}={value}" for name, value in options.items()]
    atheris.Setup(["fuzz", *settings, corpus], one, custom_mutator=mutate)
    atheris.Fuzz()


if __name__ == "__main__":
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        main(sys.argv[1:])
