"""Run the tests that touch a mutant, in a process of its own in which the module is the mutant.

Nothing is written: the changed module exists only in the memory of that process, which is a fork of one that has
loaded what is not ours. A test that fails, an error while loading, or time far beyond the usual all kill the mutant.
"""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import io
import os
import resource
import signal
import sys
import time
from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout
from enum import StrEnum
from pathlib import Path
from types import CodeType, ModuleType

import pytest

from tests.mutation.groups import few_examples
from tests.mutation.mutants import Mutant, mutated

PATIENCE = 4.0
"""CPU time allowed, in multiples of what the tests usually take, and some seconds besides."""

SPARE_S = 15
WALL = 12
TEST_S = 30
"""Seconds for one test: one that waits for what never comes says so no later. All pass within it unchanged."""


class Outcome(StrEnum):
    """What became of a mutant."""

    KILLED = "killed"
    TIMEOUT = "timeout"
    SURVIVED = "survived"
    UNTOUCHED = "untouched"


class _Loader(importlib.abc.InspectLoader):
    def __init__(self, code: CodeType) -> None:
        self.code = code

    def get_source(self, fullname: str) -> str | None:
        return None

    def get_code(self, fullname: str) -> CodeType:
        return self.code

    def exec_module(self, module: ModuleType) -> None:
        exec(self.code, module.__dict__)


class _Finder(importlib.abc.MetaPathFinder):
    """Gives the mutant where its module is asked for."""

    def __init__(self, name: str, path: Path, code: CodeType) -> None:
        self.name, self.path, self.code = name, path, code

    def find_spec(self, fullname: str, path: object, target: object = None) -> importlib.machinery.ModuleSpec | None:
        """Give the module's own place with the changed code."""
        if fullname != self.name:
            return None
        return importlib.util.spec_from_file_location(fullname, self.path, loader=_Loader(self.code))


class _Few:
    def pytest_sessionstart(self) -> None:
        few_examples()


def preload() -> None:
    """Load once what every test loads and no mutant changes."""
    for name in ("cryptography.x509", "hypothesis.strategies", "orjson", "pytest_asyncio"):
        importlib.import_module(name)


def judge(root: Path, mutant: Mutant | None, tests: Sequence[str], usual_s: float) -> tuple[Outcome, float]:
    """Give what became of one mutant, and the seconds it took; None is no fault at all. POSIX only."""
    start = time.monotonic()
    child = os.fork()
    if child == 0:
        _child(root, mutant, tests, usual_s)
    deadline = start + WALL * (usual_s * PATIENCE + SPARE_S)
    while True:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            break
        if time.monotonic() > deadline:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            return Outcome.TIMEOUT, time.monotonic() - start
        time.sleep(0.02)
    took = time.monotonic() - start
    if os.WIFSIGNALED(status):
        return Outcome.TIMEOUT, took
    return (Outcome.SURVIVED if os.WEXITSTATUS(status) == 0 else Outcome.KILLED), took


def _child(root: Path, mutant: Mutant | None, tests: Sequence[str], usual_s: float) -> None:
    code = 1
    try:
        limit = int(usual_s * PATIENCE + SPARE_S)
        resource.setrlimit(resource.RLIMIT_CPU, (limit, limit + 5))
        if mutant is not None:
            name = mutant.module.removesuffix(".py").replace("/", ".")
            tree = mutated(root, mutant.module, mutant.number)
            path = root / mutant.module
            sys.meta_path.insert(0, _Finder(name, path, compile(tree, str(path), "exec")))
        quiet = ["-q", "-x", "-p", "no:cacheprovider", "-p", "no:xdist", "--no-header", "--tb=no", "-W", "ignore"]
        quiet += ["--timeout", str(TEST_S), "--timeout-method", "thread"]  # ends this process, whatever hangs
        with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
            code = int(pytest.main([*quiet, *tests], [_Few()]))
    except BaseException:  # noqa: BLE001  # whatever it is, the mutant has not passed
        code = 1
    finally:
        os._exit(code)
