"""Refusals as RFC 9457 problems: the one place that knows an HTTP status.

`problems.toml` has one row a refusal code: status, title and next step in Chinese and English. The language is the
caller's (`Accept-Language`, Chinese unless English is asked for); `type` is `<base>/problems/<code>` and never changes.
"""

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any, Literal

import orjson

from ledger.errors import Code, Refusal

MEDIA_TYPE = "application/problem+json"
Language = Literal["zh", "en"]


@dataclass(frozen=True, slots=True)
class Row:
    """What is said for one code; `title` and `next_step` by language."""

    status: int
    title: Mapping[Language, str]
    next_step: Mapping[Language, str]


@cache
def table() -> Mapping[str, Row]:
    """Return every row by code.

    Raises `KeyError` where a row of `problems.toml` is not complete.
    """
    raw = tomllib.loads(resources.files("api").joinpath("problems.toml").read_text("utf-8"))
    return {
        code: Row(row["status"], {"zh": row["zh"], "en": row["en"]}, {"zh": row["next_zh"], "en": row["next_en"]})
        for code, row in raw.items()
    }


def language_of(accept_language: str | None) -> Language:
    """Return the caller's language: `en` when it is preferred to any Chinese, else `zh` (RFC 9110 §12.5.4)."""
    best: dict[str, float] = {}
    for part in (accept_language or "")[:200].split(","):
        tag, _, weight = part.strip().partition(";")
        primary = tag.partition("-")[0].strip().lower()
        try:
            quality = float(weight.strip().removeprefix("q=")) if weight else 1.0
        except ValueError:
            quality = 0.0
        best[primary] = max(best.get(primary, 0.0), quality)
    return "en" if best.get("en", 0.0) > best.get("zh", 0.0) else "zh"


def problem(refusal: Refusal, language: Language, base_url: str, instance: str | None = None) -> dict[str, Any]:
    """Return the problem document of `refusal`: `facts` become members beside the standard ones (RFC 9457 §3.2)."""
    row = table()[refusal.code]
    document: dict[str, Any] = {
        "type": f"{base_url}/problems/{refusal.code}",
        "title": row.title[language],
        "status": row.status,
        "code": str(refusal.code),
        "next": row.next_step[language],
    }
    if instance:
        document["instance"] = instance
    if refusal.pointer is not None:
        document["errors"] = [{"pointer": refusal.pointer, "code": str(refusal.code), "detail": row.title[language]}]
    document.update({name: value for name, value in refusal.facts.items() if name not in document})
    return document


def many(refusals: Sequence[Refusal], language: Language, base_url: str) -> dict[str, Any]:
    """Return one problem for several findings about one body: the first gives the type, all stand in `errors`."""
    document = problem(refusals[0], language, base_url)
    document["errors"] = [
        {"pointer": refusal.pointer or "", "code": str(refusal.code), "detail": table()[refusal.code].title[language]}
        for refusal in refusals
    ]
    return document


def encode(document: Mapping[str, Any]) -> bytes:
    """Return the bytes of a problem document."""
    return orjson.dumps(document, default=str)


def status_of(code: Code) -> int:
    """Return the HTTP status that goes with `code`."""
    return table()[code].status
