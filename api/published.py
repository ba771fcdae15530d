"""The static read path: checkpoint, tiles, status lists and trust lists, straight from the published files.

Any web server or CDN can do this in our place; the headers say how long each kind may be kept
(docs/formats/publication.md).
"""

import gzip
import hashlib
import re
from typing import Annotated, Final

from fastapi import APIRouter, Path, Query, Request, Response

from api.call import RegionNow
from api.direct_route import DirectRoute
from api.operations import described
from ledger import cosigning, status_tokens, trust_publishing
from ledger.errors import Code, Refusal
from ledger.precompressed import SUFFIX
from ledger.receipts import receipt_of

router = APIRouter(tags=["published"], route_class=DirectRoute)

TILE_PATH = re.compile(r"(?:entries|[0-9]{1,2})/(?:x[0-9]{3}/){0,5}[0-9]{3}(?:\.p/[0-9]{1,3})?")
"""Paths of C2SP tlog-tiles; anything else never reaches the file system."""
IMMUTABLE: Final = "public, max-age=604800, immutable"
REVALIDATE: Final = "no-cache"
STATUS_LIST: Final = "application/statuslist+jwt"
TRUST_LIST: Final = "application/elicence-trust-list+jwt"
TILE: Final = "application/octet-stream"
NOTE: Final = "text/plain; charset=utf-8"
_TRUST_LIST_AGE_S: Final = 30  # a compromised key has to be known everywhere soon
_WORTH_ZIPPING: Final = 1024


def static_answer(
    request: Request, data: bytes | None, media_type: str, cache: str, small: bytes | None = None
) -> Response:
    """Return published bytes with their ETag, compressed where the reader takes it, or 304 where it has them.

    `small` are the same bytes compressed before, where there are such.

    Raises `Refusal` path.unknown for `None`.
    """
    if data is None:
        raise Refusal(Code.PATH_UNKNOWN)
    tag = hashlib.sha256(data).hexdigest()[:32]
    headers = {"Cache-Control": cache, "Access-Control-Allow-Origin": "*", "Vary": "Accept-Encoding"}
    # Signed tokens are compressed inside already; bundles of entries shrink to a third.
    zipped = len(data) >= _WORTH_ZIPPING and not media_type.endswith("jwt") and _takes_gzip(request)
    headers["ETag"] = f'"{tag}-gzip"' if zipped else f'"{tag}"'
    known = request.headers.get("if-none-match", "")
    if known == "*" or headers["ETag"] in (each.strip().removeprefix("W/") for each in known.split(",")):
        return Response(status_code=304, headers=headers)
    if zipped:
        headers["Content-Encoding"] = "gzip"
        data = gzip.compress(data, 5, mtime=0) if small is None else small
    return Response(data, media_type=media_type, headers=headers)


def _takes_gzip(request: Request) -> bool:
    for part in request.headers.get("accept-encoding", "").split(","):
        name, _, weight = part.strip().partition(";")
        if name.strip().lower() == "gzip":
            return weight.strip() not in ("q=0", "q=0.0")
    return False


@router.get(
    "/log/checkpoint",
    response_class=Response,
    summary="The newest checkpoint",
    **described("getCheckpoint", gives=NOTE, refuses=["path.unknown"]),
)
async def checkpoint(request: Request, region: RegionNow) -> Response:
    """Return the newest checkpoint as a signed note (C2SP tlog-checkpoint)."""
    return static_answer(request, region.files.read("checkpoint"), NOTE, REVALIDATE)


@router.get(
    "/log/checkpoint.witnessed",
    response_class=Response,
    summary="The newest checkpoint that a quorum of witnesses cosigned",
    **described("getWitnessedCheckpoint", gives=NOTE, refuses=["path.unknown"]),
)
async def witnessed_checkpoint(request: Request, region: RegionNow) -> Response:
    """Return the newest checkpoint with the cosignatures of at least a quorum; 404 before the first."""
    return static_answer(request, region.files.read(cosigning.FILE), NOTE, REVALIDATE)


@router.get(
    "/log/tile/{path:path}",
    response_class=Response,
    summary="A tile or entry bundle",
    **described("getTile", gives=TILE, refuses=["path.unknown"]),
)
async def tile(request: Request, region: RegionNow, path: str) -> Response:
    """Return a hash tile or entry bundle (C2SP tlog-tiles): `<L>/<N>` or `entries/<N>`, with `.p/<W>` a partial one."""
    data = region.files.read(f"tile/{path}") if TILE_PATH.fullmatch(path) else None
    small = region.files.read(f"tile/{path}{SUFFIX}") if data is not None and path.startswith("entries/") else None
    return static_answer(request, data, TILE, IMMUTABLE, small)


@router.get(
    "/trust-list",
    response_class=Response,
    summary="The newest trust list",
    **described("getTrustList", gives=TRUST_LIST, refuses=["trust_list.unknown"]),
)
async def trust_list(request: Request, region: RegionNow) -> Response:
    """Return the newest trust list: keys, grants, types and status lists, signed by the region."""
    data = region.files.read(trust_publishing.LATEST)
    if data is None:
        raise Refusal(Code.TRUST_LIST_UNKNOWN)
    age_s = min(_TRUST_LIST_AGE_S, region.config.trust_list_ttl_s)
    return static_answer(request, data, TRUST_LIST, f"public, max-age={age_s}")


Sequence = Annotated[int, Path(ge=1, le=2**53 - 1, description="Number of a version, from 1.")]


@router.get(
    "/trust-list/{seq}",
    response_class=Response,
    summary="One version of the trust list",
    **described("getTrustListVersion", gives=TRUST_LIST, refuses=["trust_list.unknown"]),
)
async def trust_list_version(request: Request, region: RegionNow, seq: Sequence) -> Response:
    """Return a version of the trust list; versions never change."""
    data = region.files.read(f"{trust_publishing.FOLDER}/{seq}")
    if data is None:
        raise Refusal(Code.TRUST_LIST_UNKNOWN)
    return static_answer(request, data, TRUST_LIST, IMMUTABLE)


@router.get(
    "/trust-list/{seq}/receipt",
    response_class=Response,
    summary="Proof that a version of the trust list is in the log",
    **described("getTrustListReceipt", gives=NOTE, refuses=["trust_list.unknown", "receipt.pending"]),
)
async def trust_list_receipt(region: RegionNow, seq: Sequence) -> Response:
    """Return the receipt of the entry that announced a version (C2SP tlog-proof)."""
    row = await region.database.read(lambda tx: trust_publishing.trust_list_at(tx, seq))
    if row is None:
        raise Refusal(Code.TRUST_LIST_UNKNOWN)
    return Response(await receipt_of(region, row.idx), media_type=NOTE, headers={"Cache-Control": REVALIDATE})


@router.get(
    "/status-lists",
    response_class=Response,
    summary="All status lists",
    **described("listStatusLists"),
)
async def status_lists(request: Request, region: RegionNow) -> Response:
    """Return the aggregation document: the address of every status list (draft-ietf-oauth-status-list §9)."""
    data = region.files.read(status_tokens.AGGREGATION) or b'{"status_lists":[]}'
    return static_answer(request, data, "application/json", f"public, max-age={region.config.status_ttl_s}")


@router.get(
    "/status-lists/{number}",
    response_class=Response,
    summary="A status list",
    **described("getStatusList", gives=STATUS_LIST, refuses=["status_list.unknown"]),
)
async def status_list(
    request: Request,
    region: RegionNow,
    number: Annotated[int, Path(ge=0, le=65_535)],
    time: Annotated[int | None, Query(ge=0, le=2**53 - 1, description="Unix seconds: the list as it was then.")] = None,
) -> Response:
    """Return a status list token: the newest, or the one that was current at `time`."""
    if time is not None:
        text = await region.database.read(lambda tx: status_tokens.token_at(tx, number, time))
        if text is None:
            raise Refusal(Code.STATUS_LIST_UNKNOWN)
        # Until the moment asked for is past, another token may still become the one that was current then.
        cache = IMMUTABLE if time < int(region.clock.now().timestamp()) - 60 else REVALIDATE
        return static_answer(request, text.encode("ascii"), STATUS_LIST, cache)
    data = region.files.read(status_tokens.path_of(number))
    if data is None:
        raise Refusal(Code.STATUS_LIST_UNKNOWN)
    claims = trust_publishing.payload_of(data.decode("ascii"))
    left = int(claims["iat"] + claims.get("ttl", 0) - region.clock.now().timestamp())
    return static_answer(request, data, STATUS_LIST, f"public, max-age={max(0, left)}")
