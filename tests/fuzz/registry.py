"""All targets by name, and which functions of `verifiers` must have one.

The targets of request bodies are loaded only where they are asked for: they bring the whole service along.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from tests.fuzz import documents, encodings, trusted
from tests.fuzz.target import Target

VERIFIERS = Path(__file__).parent.parent.parent / "verifiers"
PARSER = re.compile(r"(parse|open|read|decode|from|inflate)(_|$)|[a-z0-9]+_decode$|(select|present|resolve|verify)$")


def of_parsers() -> dict[str, Target]:
    """Give the targets of `verifiers` by their names."""
    return _by_name((*encodings.TARGETS, *documents.TARGETS, *trusted.TARGETS))


def of_bodies() -> dict[str, Target]:
    """Give the targets of request bodies by their names."""
    from tests.fuzz import bodies

    return _by_name(bodies.TARGETS)


def targets() -> dict[str, Target]:
    """Give every target by its name."""
    return of_parsers() | of_bodies()


def _by_name(listed: Iterable[Target]) -> dict[str, Target]:
    found: dict[str, Target] = {}
    for target in listed:
        if target.name in found:
            raise ValueError(f"two targets are called {target.name}")
        found[target.name] = target
    return found


def parsers() -> set[str]:
    """Give the dotted names of all public functions and methods of `verifiers` that read what comes from outside."""
    return {
        name
        for path in sorted(VERIFIERS.glob("*.py"))
        if path.stem != "__main__"
        for name in _named(f"verifiers.{path.stem}", ast.parse(path.read_text(encoding="utf-8")).body)
    }


def _named(where: str, body: list[ast.stmt]) -> Iterator[str]:
    for node in body:
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            yield from _named(f"{where}.{node.name}", node.body)
        if isinstance(node, ast.FunctionDef) and PARSER.match(node.name):
            yield f"{where}.{node.name}"
