"""The static read path: checkpoint, tiles, status lists and trust lists, straight from the published files.

Any web server or CDN can do this in our place; the headers say how long each kind may be kept (docs/formats/publication.md).
"""

import hashlib
import re



from fastapi import APIRouter, Request, Response

from api.call import RegionNow
from ledger.errors import Code, Refusal

router = APIRouter(tags=["published"])

TILE_PATH = re.compile(r"(?:entries|[0-9]{1,2})/(?:x[0-9]{3}/){0,5}[0-9]{3}(?:\.p/[0-9]{1,3})?")
"""Paths of C2SP tlog-tiles; anything else never reaches the file system."""
IMMUTABLE = "public, max-age=604800, immutable"
STATUS_LIST = "application/statuslist+jwt"
TRUST_LIST = "application/elicence-trust-list+jwt"
TILE = "application/octet-stream"


def _answer(request: Request, data: bytes | None, media_type: str, cache: str) -> Response:
    if data is None:
        raise Refusal(Code.PATH_UNKNOWN)
    tag = f'"{hashlib.sha256(data).hexdigest()[:32]}"'
    headers = {"ETag": tag, "Cache-Control": cache, "Access-Control-Allow-Origin": "*"}
    if request.headers.get("if-none-match") == tag:
        return Response(status_code=304, headers=headers)
    return Response(data, media_type=media_type, headers=headers)


@router.get("/log/checkpoint", response_class=Response, summary="The newest checkpoint")
async def checkpoint(request: Request, region: RegionNow) -> Response:
    """Return the newest checkpoint as a signed note (C2SP tlog-checkpoint)."""
    return _answer(request, region.files.read("checkpoint"), "text/plain; charset=utf-8", "no-cache")


@router.get("/log/tile/{path:path}", response_class=Response, summary="A tile or entry bundle")
async def tile(request: Request, region: RegionNow, path: str) -> Response:
    """Return a hash tile or entry bundle (C2SP tlog-tiles)."""
    data = region.files.read(f"tile/{path}") if TILE_PATH.fullmatch(path) else None
    return _answer(request, data, TILE, IMMUTABLE)
