"""What is mutated, and by which tests it is judged."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parent.parent.parent


@dataclass(frozen=True, slots=True)
class Group:
    """`modules` are paths of sources below the root, `arguments` what pytest is called with to run their tests."""

    modules: tuple[str, ...]
    arguments: tuple[str, ...]


def _verifiers() -> tuple[str, ...]:
    # The command is judged through processes of its own, and the package file only names what is public.
    left_out = {"__init__.py", "__main__.py"}
    paths = sorted((ROOT / "verifiers").glob("*.py"))
    return tuple(f"verifiers/{path.name}" for path in paths if path.name not in left_out)


EXAMPLES: Final = 15
"""Examples of each property test: a mutant that only the hundredth would notice counts as survived."""


def few_examples() -> None:
    """Have property tests try few examples, always the same."""
    from hypothesis import settings  # not before pytest has seen to its assertions

    settings.register_profile("mutation", max_examples=EXAMPLES, derandomize=True, database=None, deadline=None)
    settings.load_profile("mutation")


GROUPS: Final = {
    "verifiers": Group(
        _verifiers(),
        # Flipping every byte takes as long as all other tests, and finds nothing that they do not.
        (
            *("tests/verifiers", "--ignore", "tests/verifiers/test_byte_flips.py"),
            "tests/ledger/test_document_records.py",  # licences built again, beside the plain way of reading them
            *("-m", "not long and not interop"),
        ),
    ),
    "writer": Group(
        tuple(f"ledger/{name}.py" for name in ("writer", "committing", "sequencing", "queueing")),
        (
            "tests/ledger/test_writer.py",
            "tests/ledger/test_writer_waiting.py",
            "tests/ledger/test_writer_faults.py",
            "tests/ledger/test_queueing.py",
            "tests/ledger/test_waiting.py",
            "tests/ledger/test_database.py",
            "tests/ledger/test_projections.py",
            "-m",
            "not long and not postgres",
        ),
    ),
}
