"""Where everything is: the region's own description and the SD-JWT VC issuer metadata of its departments."""

from typing import Any
from urllib.parse import urlsplit

import orjson
from fastapi import APIRouter, Request, Response

from api.call import RegionNow
from api.direct_route import DirectRoute
from api.operations import described
from api.published import static_answer
from keys.certificates import fingerprint
from ledger.errors import Code, Refusal

router = APIRouter(tags=["published"], route_class=DirectRoute)

_AGE = "public, max-age=300"


@router.get(
    "/.well-known/elicence-region",
    response_class=Response,
    summary="What this region is and where its documents are",
    **described("getRegion"),
)
async def region_description(request: Request, region: RegionNow) -> Response:
    """Return codes, names, log keys and addresses.

    The root's fingerprint stands here for convenience: who relies on it takes it from somewhere else.
    """
    base = region.base_url
    document = {
        "v": 1,
        "region": region.config.region,
        "names": dict(region.config.names),
        "iss": base,
        "root": fingerprint(region.root_certificate),
        "log": {
            "origin": region.origin,
            "vkeys": list(region.vkeys),
            "checkpoint": f"{base}/log/checkpoint",
            "tiles": f"{base}/log/tile/",
        },
        "trust_list": f"{base}/trust-list",
        "status_lists": f"{base}/status-lists",
        "types": f"{base}/types/{{code}}/{{major}}",
        "issuer_metadata": f"{_well_known(base)}/d/{{department}}",
        "verify": f"{base}/v1/verify",
        "token_endpoint": f"{base}/oauth/token",
        "openapi": f"{base}/openapi.json",
        "intervals": {
            "publish_ms": region.config.publish_interval_ms,
            "status_ttl_s": region.config.status_ttl_s,
            "trust_list_ttl_s": region.config.trust_list_ttl_s,
        },
        "versions": {"api": "1", "leaf": 1, "statement": 1, "trust_list": 1, "bundle": 1},
    }
    return static_answer(request, orjson.dumps(document), "application/json", _AGE)


def _well_known(base: str) -> str:
    parts = urlsplit(base)
    return f"{parts.scheme}://{parts.netloc}/.well-known/jwt-vc-issuer{parts.path}"


@router.get(
    "/.well-known/jwt-vc-issuer/{path:path}",
    response_class=Response,
    summary="SD-JWT VC issuer metadata of a department",
    **described("getIssuerMetadata", refuses=["department.unknown"]),
)
async def issuer_metadata(request: Request, region: RegionNow, path: str) -> Response:
    """Return `issuer` and `jwks` of the department whose `iss` ends in `path` (draft-ietf-oauth-sd-jwt-vc §5).

    Compromised keys are left out at once. A verifier that reads only this checks neither scope nor receipt
    (docs/quickstart/verifier.md).
    """
    catalogue = region.catalogue
    wanted = f"/{path}"
    found = [each for each in catalogue.departments.values() if urlsplit(each.iss).path == wanted]
    if not found:
        raise Refusal(Code.DEPARTMENT_UNKNOWN)
    keys: list[dict[str, Any]] = [
        {**key.key.jwk(), "use": "sig"}
        for key in catalogue.keys.values()
        if key.department == found[0].id and key.purpose == "licence" and key.revoked is None
    ]
    document = {"issuer": found[0].iss, "jwks": {"keys": keys}}
    return static_answer(request, orjson.dumps(document), "application/json", _AGE)
