"""The pages behind the codes and for the window: plain files, no build, nothing from elsewhere.

The check page gets nothing of the code: the payload is in the fragment, which a browser never sends, and its policy
allows it to fetch from this site only (protocol rule 26).
"""

from importlib import resources
from typing import Annotated

from fastapi import APIRouter, Path, Response

PAGES = {"verify": "verify.html", "code": "code.html", "scan": "scan.html", "preview": "preview.html"}
FILES = {
    "style.css": "text/css; charset=utf-8",
    "static_code.js": "text/javascript; charset=utf-8",
    "verify_page.js": "text/javascript; charset=utf-8",
    "scan_page.js": "text/javascript; charset=utf-8",
    "preview_page.js": "text/javascript; charset=utf-8",
}
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "media-src 'self' blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

router = APIRouter(tags=["pages"], include_in_schema=False)


def _read(name: str) -> bytes:
    return resources.files("api").joinpath("pages", name).read_bytes()


def _page(name: str, *, camera: bool = False) -> Response:
    return Response(
        _read(PAGES[name]),
        media_type="text/html; charset=utf-8",
        headers={
            "Content-Security-Policy": _POLICY,
            "Referrer-Policy": "no-referrer",
            "X-Content-Type-Options": "nosniff",
            "Permissions-Policy": f"camera={'(self)' if camera else '()'}, geolocation=(), microphone=()",
            "Cache-Control": "no-cache",
        },
    )


@router.get("/V")
def verify_page() -> Response:
    """Return the page that checks a printed code in the browser."""
    return _page("verify")


@router.get("/C/{code}")
def code_page(code: Annotated[str, Path(max_length=128)]) -> Response:  # noqa: ARG001 - reads, uses up and shows nothing
    """Return the page behind a dynamic code; it neither redeems the code nor shows anything of it (protocol rule 27)."""
    return _page("code")


@router.get("/scan")
def scan_page() -> Response:
    """Return the window's scan page, the only one that may use the camera."""
    return _page("scan", camera=True)


@router.get("/cascade")
def preview_page() -> Response:
    """Return the page on which a second officer sees what would fall."""
    return _page("preview")


@router.get("/pages/{name}")
def page_file(name: Annotated[str, Path(max_length=64)]) -> Response:
    """Return a script or style of the pages."""
    if name not in FILES:
        return Response(status_code=404)
    return Response(
        _read(name),
        media_type=FILES[name],
        headers={"X-Content-Type-Options": "nosniff", "Cache-Control": "no-cache"},
    )
