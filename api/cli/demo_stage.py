"""What every act of the demo is played on: numbered steps that are timed, and findings that are compared."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import typer


class Unexpected(Exception):
    """The demo showed something else than it promised."""


@dataclass(kw_only=True)
class Stage:
    """The steps of an act so far, how long each took, and how many findings were as promised."""

    seconds: dict[str, float] = field(default_factory=dict)
    checks: int = 0

    @contextmanager
    def step(self, zh: str, en: str) -> Iterator[None]:
        """Announce a step and time it."""
        typer.secho(f"\n{len(self.seconds) + 1}. {zh}", bold=True, nl=False)
        typer.echo(f"  {en}")
        began = time.monotonic()
        yield
        self.seconds[en] = round(time.monotonic() - began, 3)

    def shows(self, what: str, found: object, expected: object) -> None:
        """Print a finding, and end the demo with an error where it is not what was promised."""
        right = found == expected
        self.checks += 1
        typer.echo(f"   {'✓' if right else '✗'} {what}: {found}")
        if not right:
            message = f"{what}: expected {expected!r}, found {found!r}"
            raise Unexpected(message)
