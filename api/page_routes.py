"""The pages behind the codes, for the window and for a second officer: plain files, no build, nothing from elsewhere.

The check page gets nothing of the code: the payload is in the fragment, which a browser never sends, and its policy
allows it to fetch from this site only (protocol rule 26). Titles of reasons come from `verifiers.reasons`, so page,
service and command line say the same.
"""

from functools import cache
from importlib import resources
from typing import Annotated, Final

import orjson
from fastapi import APIRouter, Path, Response

from api.direct_route import DirectRoute
from ledger.errors import Code, Refusal
from verifiers.reasons import NOTE_TITLES, TITLES

SCRIPTS: Final = (
    "code_verdict.js",
    "dynamic_code.js",
    "preview_page.js",
    "scan_page.js",
    "signed_lists.js",
    "static_code.js",
    "verify_page.js",
)
REASONS: Final = "reasons.js"
JAVASCRIPT: Final = "text/javascript; charset=utf-8"
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "media-src 'self' blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

router = APIRouter(tags=["pages"], route_class=DirectRoute, include_in_schema=False)


@cache
def _read(name: str) -> bytes:
    return resources.files("api").joinpath("pages", name).read_bytes()


def _page(name: str, *, camera: bool = False) -> Response:
    return Response(
        _read(name),
        media_type="text/html; charset=utf-8",
        headers={
            "Content-Security-Policy": _POLICY,
            "Referrer-Policy": "no-referrer",
            "X-Content-Type-Options": "nosniff",
            "Permissions-Policy": f"camera={'(self)' if camera else '()'}, geolocation=(), microphone=()",
            "Cache-Control": "no-cache",
        },
    )


@cache
def reasons_script() -> bytes:
    """Return the module that gives pages the title of every reason and note: `{code: [zh, en]}`."""
    titles = {str(code): both for table in (TITLES, NOTE_TITLES) for code, both in table.items()}
    return b"export default " + orjson.dumps(titles, option=orjson.OPT_SORT_KEYS) + b";\n"


@router.get("/V")
async def verify_page() -> Response:
    """Return the page that checks a printed code in the browser."""
    return _page("verify.html")


@router.get("/C/{code}")
async def code_page(code: Annotated[str, Path(max_length=128)]) -> Response:  # noqa: ARG001 - reads and shows nothing
    """Return the page behind a dynamic code; it neither redeems nor shows anything of the code (protocol rule 27)."""
    return _page("code.html")


@router.get("/scan")
async def scan_page() -> Response:
    """Return the window's scan page, the only one that may use the camera."""
    return _page("scan.html", camera=True)


@router.get("/cascade")
async def preview_page() -> Response:
    """Return the page on which a second officer sees what would fall, and decides."""
    return _page("preview.html")


@router.get("/pages/{name}")
async def page_file(name: Annotated[str, Path(max_length=64)]) -> Response:
    """Return a script or style of the pages. Raises `Refusal` path.unknown."""
    if name == REASONS:
        data, media_type = reasons_script(), JAVASCRIPT
    elif name in SCRIPTS:
        data, media_type = _read(name), JAVASCRIPT
    elif name == "style.css":
        data, media_type = _read(name), "text/css; charset=utf-8"
    else:
        raise Refusal(Code.PATH_UNKNOWN)
    headers = {"X-Content-Type-Options": "nosniff", "Cache-Control": "no-cache"}
    return Response(data, media_type=media_type, headers=headers)
