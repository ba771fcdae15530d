"""Pages of the documentation that are made from the code: `python -m api.reference_pages docs`.

`problems.md` lists every refusal, `settings.md` every setting, `reasons.md` every reason and note of a verdict; a test
compares them with what is kept.
"""

import sys
from pathlib import Path

from api import problems
from api.settings import Settings
from verifiers.errors import Reason
from verifiers.reasons import NOTE_TITLES, ONLINE, TITLES, UNDETERMINED

_PROBLEMS = """# Refusals

Made by `python -m api.reference_pages docs` from `api/problems.toml`; do not edit.

Every refusal is `application/problem+json` (RFC 9457). `type` is `<base>/problems/<code>` and never changes; `title`
and `next` come in the caller's language (`Accept-Language`, Chinese unless English is preferred). `errors[]` points
into the body with JSON Pointers, into the address or headers as `#query/…`, `#path/…`, `#header/…`. What else is known
stands in further members, `retry_after` (seconds) among them; a refusal with status 503 also carries `Retry-After`.

| code | status | title | next step |
|---|---|---|---|
"""
_SETTINGS = """# Settings

Made by `python -m api.reference_pages docs` from `api/settings.py`; do not edit.

Read once at start, from the environment and from `.env` in the working directory; the environment wins. Lists are JSON.

| variable | default | meaning |
|---|---|---|
"""


_REASONS = """# Reasons and notes of verdicts

Made by `python -m api.reference_pages docs` from `verifiers/reasons.py`; do not edit.

Codes never change; titles are for people. A verdict is *invalid* where anything is wrong and *undetermined* where
something is only missing or too old. Reasons marked *online* are given by the issuing region's own ledger alone; they
make a verdict invalid. [Verdict](formats/verdict.md) says what the steps are.

| code | 中文 | English | outcome |
|---|---|---|---|
"""
_NOTES = """
## Notes

They decide nothing.

| code | 中文 | English |
|---|---|---|
"""


def problems_page() -> str:
    """Return docs/problems.md."""
    rows = [
        f"| `{code}` | {row.status} | {row.title['zh']}<br>{row.title['en']} | "
        f"{row.next_step['zh']}<br>{row.next_step['en']} |"
        for code, row in sorted(problems.table().items())
    ]
    return _PROBLEMS + "\n".join(rows) + "\n"


def settings_page() -> str:
    """Return docs/settings.md."""
    rows = []
    for name, field in Settings.model_fields.items():
        default = "" if field.default is None else f"`{field.default}`"
        rows.append(f"| `ELICENCE_{name.upper()}` | {default} | {field.description} |")
    return _SETTINGS + "\n".join(rows) + "\n"


def reasons_page() -> str:
    """Return docs/reasons.md."""
    rows = [f"| `{reason}` | {zh} | {en} | {_outcome(reason)} |" for reason, (zh, en) in TITLES.items()]
    notes = [f"| `{note}` | {zh} | {en} |" for note, (zh, en) in NOTE_TITLES.items()]
    return _REASONS + "\n".join(rows) + "\n" + _NOTES + "\n".join(notes) + "\n"


def _outcome(reason: Reason) -> str:
    if reason in ONLINE:
        return "online"
    return "undetermined" if reason in UNDETERMINED else "invalid"


PAGES = {"problems.md": problems_page, "settings.md": settings_page, "reasons.md": reasons_page}


def main(folder: str) -> None:
    """Write the pages into `folder`."""
    for name, page in PAGES.items():
        (Path(folder) / name).write_text(page(), "utf-8")


if __name__ == "__main__":
    main(sys.argv[1])
