"""Every parser and every request body has a target; what is kept, and thousands of changes of it, let nothing escape.

This is the short form of `make fuzz`: no coverage guides it, and it is the same in every run.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from functools import reduce
from importlib import import_module
from types import CodeType
from typing import Any

import pytest

from api.operations import OPERATIONS
from tests.fuzz import bodies, corpus, registry
from tests.fuzz.mutator import mutants

pytestmark = [
    # A changed certificate may have a serial number that the library warns of before it is refused.
    pytest.mark.filterwarnings("ignore::cryptography.utils.CryptographyDeprecationWarning"),
    pytest.mark.timeout(600),
]

TARGETS = registry.targets()
PLAIN = sorted(name for name, target in TARGETS.items() if not target.served)
SERVED = sorted(name for name, target in TARGETS.items() if target.served)
CHANGES, SERVED_CHANGES = 1_000, 12
MOST_FILES, MOST_BYTES = 300, 1_000_000


@pytest.fixture(scope="module", autouse=True)
def _end() -> Iterator[None]:
    yield
    bodies.stop()


def _code(name: str) -> CodeType:
    module, *path = name.split(".")[1:]
    found: Any = reduce(getattr, path, import_module(f"verifiers.{module}"))
    getattr(getattr(found, "__func__", found), "cache_clear", lambda: None)()
    code: CodeType = inspect.unwrap(getattr(found, "__func__", found)).__code__
    return code


def test_every_parser_has_a_target() -> None:
    """A function of `verifiers` that reads what comes from outside is fuzzed from the day it is there."""
    covered = {name for target in TARGETS.values() for name in target.covers}

    assert registry.parsers() - covered == set()


def test_every_request_body_has_a_target() -> None:
    """So is every operation that takes a body."""
    taking = {name for name, said in OPERATIONS.items() if said.takes is not None or said.media != "application/json"}

    assert {f"body.{name}" for name in taking} == set(SERVED)


@pytest.mark.parametrize("name", sorted(registry.of_parsers()))
def test_a_target_really_calls_what_it_covers(name: str) -> None:
    """Its inputs enter every function the target names."""
    target = TARGETS[name]
    wanted = {_code(covered): covered for covered in target.covers}
    for data in [*target.seeds(), *corpus.kept(target)]:
        _, entered = corpus.reach(target.run, data)
        wanted = {code: covered for code, covered in wanted.items() if code not in entered}

    assert list(wanted.values()) == []


@pytest.mark.parametrize("name", PLAIN)
def test_nothing_escapes_a_parser(name: str) -> None:
    """The kept inputs and changes of them: refused with the error of the package, or read as they are written."""
    target = TARGETS[name]
    inputs = [*target.seeds(), *corpus.kept(target)]
    for data in [*inputs, *mutants(name, inputs, CHANGES // target.weight, target.limit)]:
        try:
            target.run(data)
        except Exception as escaped:
            escaped.add_note(f"{name} was given {data!r:.2000}")
            raise


@pytest.mark.parametrize("name", SERVED)
def test_no_body_makes_the_service_fail(name: str) -> None:
    """Every answer is a good one or a refusal that the operation says it has."""
    target = TARGETS[name]
    inputs = [*target.seeds(), *corpus.kept(target)]
    for data in [*inputs, *mutants(name, inputs, SERVED_CHANGES, target.limit)]:
        try:
            target.run(data)
        except Exception as escaped:
            escaped.add_note(f"{name} was given {data!r:.2000}")
            raise


def test_the_corpus_is_small_and_belongs_to_targets() -> None:
    """Few and short files, none of a target that is gone."""
    files = sorted(corpus.FOLDER.glob("*"))

    assert {file.stem.removesuffix(".escaped") for file in files} == set(TARGETS)
    assert len(files) <= MOST_FILES
    assert sum(file.stat().st_size for file in files) <= MOST_BYTES
