"""The faults that mutation testing puts in: made as described, one at a time, and judged by tests that notice."""

from __future__ import annotations

import ast
import os
from collections import Counter
from pathlib import Path

import pytest

from tests.mutation import __main__ as driver
from tests.mutation.groups import GROUPS, ROOT
from tests.mutation.judging import Outcome, judge
from tests.mutation.mutants import Mutant, mutants, mutated

SOURCE = '''"""Counts."""

LIMIT: int = 3


def few(n: int, name: str = "x") -> bool:
    """Whether there are few."""
    if n > LIMIT or not name:
        raise ValueError("too many")
    return n + 1 <= LIMIT
'''
TESTS = """from counting import few


def test_few():
    assert few(2) and not few(3)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Give a folder with one module and its test."""
    (tmp_path / "counting.py").write_text(SOURCE)
    (tmp_path / "test_counting.py").write_text(TESTS)
    return tmp_path


def test_every_kind_of_fault_is_made_and_nothing_that_promises_nothing(folder: Path) -> None:
    """Docstrings, annotations and the English of errors stay; everything else is changed once."""
    changes = Counter((mutant.before, mutant.after) for mutant in mutants(folder, "counting.py"))

    assert changes == {
        ("3", "4"): 1,
        ("'x'", "'XXx'"): 1,
        ("if n > LIMIT or not name", "if not (n > LIMIT or not name)"): 1,
        ("n > LIMIT or not name", "n > LIMIT and (not name)"): 1,
        ("n > LIMIT", "n >= LIMIT"): 1,
        ("not name", "name"): 1,
        ("raise ValueError('too many')", "pass"): 1,
        ("return n + 1 <= LIMIT", "return None"): 1,
        ("n + 1 <= LIMIT", "n + 1 < LIMIT"): 1,
        ("n + 1", "n - 1"): 1,
        ("1", "2"): 1,
    }


def test_a_mutant_differs_from_its_module_in_one_place(folder: Path) -> None:
    """And no two mutants are the same program."""
    listed = [*mutants(folder, "counting.py")]
    programs = [ast.unparse(mutated(folder, "counting.py", mutant.number)) for mutant in listed]

    assert len({ast.unparse(ast.parse(SOURCE)), *programs}) == len(listed) + 1
    with pytest.raises(LookupError):
        mutated(folder, "counting.py", len(listed))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
def test_a_mutant_that_a_test_notices_is_killed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file itself stays as it is."""
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(str(folder))
    found = {(mutant.before, mutant.after): mutant for mutant in mutants(folder, "counting.py")}
    tests = [f"{folder}/test_counting.py::test_few"]

    noticed = judge(folder, found["n + 1", "n - 1"], tests, 0.1)
    missed = judge(folder, found["not name", "name"], tests, 0.1)

    assert noticed[0] is Outcome.KILLED
    assert missed[0] is Outcome.KILLED  # `few(2)` then raises
    assert judge(folder, found["'x'", "'XXx'"], tests, 0.1)[0] is Outcome.SURVIVED
    assert (folder / "counting.py").read_text() == SOURCE


def test_what_is_called_equivalent_is_there() -> None:
    """No line about code that has changed since."""
    for name, reason in driver.equivalent().items():
        module = name.partition(":")[0]
        assert name in {mutant.name for mutant in mutants(ROOT, module)}, name
        assert len(reason) > 20


def test_the_score_counts_what_survived_and_leaves_out_what_is_equivalent() -> None:
    """With the interval that a sample allows."""
    listed = [Mutant("m.py", number, number, "f", str(number), "0") for number in range(10)]
    results = [(mutant, Outcome.KILLED) for mutant in listed[:8]]
    results += [(listed[8], Outcome.SURVIVED), (listed[9], Outcome.SURVIVED)]

    text, score = driver.report(results, {listed[9].name: "says the same"})

    assert score == pytest.approx(8 / 9)
    assert listed[8].name in text and listed[9].name not in text
    low, high = driver.interval(8, 9)
    assert low < score < high


@pytest.mark.parametrize("name", sorted(GROUPS))
def test_every_module_of_a_group_has_mutants(name: str) -> None:
    """A group that names a file which is gone would be judged by nothing."""
    for module in GROUPS[name].modules:
        assert any(mutants(ROOT, module)), module
