"""Pages of the documentation that are made from the code: `python -m api.reference_pages docs`.

`problems.md` lists every refusal, `settings.md` every setting; a test compares both with what is kept.
"""

import sys
from pathlib import Path

from api import problems
from api.settings import Settings

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


PAGES = {"problems.md": problems_page, "settings.md": settings_page}


def main(folder: str) -> None:
    """Write the pages into `folder`."""
    for name, page in PAGES.items():
        (Path(folder) / name).write_text(page(), "utf-8")


if __name__ == "__main__":
    main(sys.argv[1])
