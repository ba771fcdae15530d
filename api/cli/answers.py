"""How commands answer: results on standard output, one clear line on standard error, and an exit code.

Exit codes: 0 done, 1 refused or found wanting, 3 could not be used at all (settings, key store, database, file).
"""

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import typer

from api import problems
from api.cli.key_refusals import EXIT_REFUSED, EXIT_UNUSABLE
from api.cli.key_refusals import refusal as key_refusal
from keys.errors import KeysError
from ledger.errors import Code, Refusal

_UNUSABLE = {
    Code.DATABASE_UNAVAILABLE,
    Code.SCHEMA_OUTDATED,
    Code.LOG_MISSING,
    Code.LOG_OTHER,
    Code.STORAGE_FULL,
    Code.CLOCK_BEHIND,
    Code.CLOCK_AHEAD,
    Code.KEY_CERTIFICATE,
}


def language() -> problems.Language:
    """Return the language of the person at the terminal, from the locale: English only when it says so."""
    for name in ("LC_ALL", "LC_MESSAGES", "LANG"):
        value = os.environ.get(name)
        if value:
            return "en" if value.lower().startswith("en") else "zh"
    return "zh"


@contextmanager
def answering(as_json: bool = False) -> Iterator[None]:
    """Turn refusals into one line and an exit code; anything else is a fault of ours and shows itself."""
    try:
        yield
    except Refusal as refused:
        row = problems.table()[refused.code]
        if as_json:
            print_json({"error": str(refused.code), "zh": row.title["zh"], "en": row.title["en"], **refused.facts})
        where = f" {refused.pointer}" if refused.pointer else ""
        say(f"{row.title['zh']} {row.title['en']} [{refused.code}{where}] {row.next_step[language()]}")
        raise typer.Exit(EXIT_UNUSABLE if refused.code in _UNUSABLE else EXIT_REFUSED) from None
    except (KeysError, OSError, UnicodeDecodeError) as error:
        told = key_refusal(error)
        if as_json:
            print_json({"error": told.code, "zh": told.zh, "en": told.en})
        say(f"{told.zh} {told.en} [{told.code}]")
        raise typer.Exit(told.exit_code) from None


def say(line: str) -> None:
    """Print one line to standard error."""
    typer.echo(line, err=True)


def print_json(value: Any) -> None:
    """Print a value for programs: one line of JSON on standard output."""
    json.dump(value, sys.stdout, ensure_ascii=False, sort_keys=True)
    sys.stdout.write("\n")
