"""The interface description as `/openapi.json` serves it; `api.openapi` writes the one that is kept.

Each operation has a worked example of what goes in and out (`examples.json`, checked against the running service), and
lists every refusal it can end in, by status, with the codes as an enumeration.
"""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from http import HTTPStatus
from importlib import resources
from typing import Any, Final

from fastapi import FastAPI
from fastapi.dependencies.models import Dependant
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute
from pydantic.json_schema import models_json_schema

from api import problems
from api.call import KEY_HEADER, MAX_KEY_CHARACTERS, MAX_OPERATOR_CHARACTERS, OPERATOR_HEADER, once
from api.operations import JSON, OPERATIONS, Description, posted, posted_or_none
from ledger.errors import Code

_READ_BODY: Final = frozenset({posted, posted_or_none})
_BODY: Final = frozenset(str(code) for code in Code if code.startswith("body.") and code != Code.BODY_INVALID)
_ANY: Final = frozenset({Code.INTERNAL, Code.SERVICE_BUSY, Code.DATABASE_UNAVAILABLE, Code.RECORD_DAMAGED})
_CALLER: Final = frozenset(
    {
        Code.TOKEN_MISSING,
        Code.TOKEN_MALFORMED,
        Code.TOKEN_EXPIRED,
        Code.TOKEN_OTHER_REGION,
        Code.CLIENT_UNKNOWN,
        Code.CLIENT_DISABLED,
        Code.SCOPE_EXCEEDED,
        Code.OPERATOR_MISSING,
    }
)
_WRITING: Final = frozenset(
    {
        Code.WRITER_BUSY,
        Code.WRITER_STOPPED,
        Code.STORAGE_FULL,
        Code.COMMIT_UNKNOWN,
        Code.CLOCK_BEHIND,
        Code.CLOCK_AHEAD,
        Code.CONFLICT,
        Code.STALE,
        Code.ENTRY_TOO_LARGE,
    }
)
_ONCE: Final = frozenset({Code.IDEMPOTENCY_MISSING, Code.IDEMPOTENCY_CONFLICT, Code.ANSWER_ERASED})
_KEY_OPTIONAL: Final = "sendBatch"
"""Its rows have keys of their own."""
_PROBLEM: Final[dict[str, Any]] = {
    "type": "object",
    "description": "A refusal (RFC 9457); what else it names stands in further members.",
    "required": ["type", "title", "status", "code", "next"],
    "properties": {
        "type": {"type": "string", "format": "uri", "description": "Stable address of this kind of refusal."},
        "title": {"type": "string", "description": "What went wrong, in the caller's language."},
        "status": {"type": "integer"},
        "code": {"type": "string", "description": "The last part of `type`."},
        "next": {"type": "string", "description": "What to do, in the caller's language."},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["pointer", "code", "detail"],
                "properties": {
                    "pointer": {"type": "string", "description": "JSON Pointer into the body (RFC 6901)."},
                    "code": {"type": "string"},
                    "detail": {"type": "string"},
                },
            },
        },
        "retry_after": {"type": "number", "description": "Seconds after which it may work."},
    },
}


class _Shared:
    """Refusals by status and codes, each described once, because most operations share most of theirs."""

    def __init__(self) -> None:
        self.responses: dict[str, Any] = {}

    def of(self, codes: frozenset[str], kept: Mapping[str, Any]) -> dict[str, Any]:
        """Return the refusals of an operation by status; `kept` are answers it has of its own under such a status."""
        by_status: dict[int, list[str]] = {}
        for code in sorted(codes):
            by_status.setdefault(problems.table()[code].status, []).append(str(code))
        return {str(status): self._refused(status, theirs, kept) for status, theirs in sorted(by_status.items())}

    def _refused(self, status: int, codes: list[str], kept: Mapping[str, Any]) -> dict[str, Any]:
        schema = {"allOf": [{"$ref": "#/components/schemas/Problem"}, {"properties": {"code": {"enum": codes}}}]}
        content = {problems.MEDIA_TYPE: {"schema": schema}}
        said = f"{HTTPStatus(status).phrase}: a refusal, see docs/problems.md."
        own = kept.get(str(status))
        if own is not None:  # readiness has an answer of its own under this status
            return {"description": f"{own['description']} {said}", "content": {**own["content"], **content}}
        name = f"Refused{status}-{hashlib.sha256(' '.join(codes).encode()).hexdigest()[:8]}"
        self.responses[name] = {"description": said, "content": content}
        return {"$ref": f"#/components/responses/{name}"}


def install(app: FastAPI) -> None:
    """Let `app` serve this description."""
    app.openapi = cache(lambda: document(app))  # type: ignore[method-assign] # the way FastAPI documents


def document(app: FastAPI) -> dict[str, Any]:
    """Return the description of `app` as OpenAPI 3.1."""
    described = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
    components = described.setdefault("components", {})
    schemas = _models(components.get("schemas", {}))
    schemas["Problem"] = _PROBLEM
    components["schemas"] = dict(sorted(schemas.items()))
    components["securitySchemes"] = {
        "account": {
            "type": "oauth2",
            "description": "Client credentials with private_key_jwt (RFC 7523); holders by token exchange (RFC 8693).",
            "flows": {"clientCredentials": {"tokenUrl": "/oauth/token", "scopes": _SCOPES}},
        }
    }
    examples, shared = _examples(), _Shared()
    for route in app.routes:
        if isinstance(route, APIRoute) and route.include_in_schema:
            for method in route.methods or ():
                operation = described["paths"][route.path_format][method.lower()]
                _complete(operation, route, method, OPERATIONS[operation["operationId"]], examples, shared)
    components["responses"] = dict(sorted(shared.responses.items()))
    return described


_SCOPES: Final = {
    "issue": "Issue licences and act on them, for a department.",
    "window": "Scan codes and take in submissions, for a department.",
    "supervise": "Fraud cases and credit records, for a department.",
    "verify": "Look at definitions and seals.",
    "audit": "Read what the department answers for.",
    "operate": "Set the region up.",
    "holder": "Act for a holder, after a token exchange.",
}


def _examples() -> Mapping[str, Any]:
    found: dict[str, Any] = json.loads(resources.files("api").joinpath("examples.json").read_text("utf-8"))
    return found


def _models(known: dict[str, Any]) -> dict[str, Any]:
    """Return the schemas of all bodies, under the names of their models."""
    models = {each.takes for each in OPERATIONS.values() if each.takes is not None}
    ordered = sorted(models, key=lambda model: model.__qualname__)
    _, found = models_json_schema(
        [(model, "validation") for model in ordered], ref_template="#/components/schemas/{model}"
    )
    kept = {name: schema for name, schema in known.items() if "Validation" not in name}
    return {**kept, **found.get("$defs", {})}


def _calls(dependant: Dependant) -> Iterator[Callable[..., Any]]:
    for each in dependant.dependencies:
        if each.call is not None:
            yield each.call
        yield from _calls(each)


def _complete(
    operation: dict[str, Any],
    route: APIRoute,
    method: str,
    said: Description,
    examples: Mapping[str, Any],
    shared: _Shared,
) -> None:
    name = operation["operationId"]
    example = examples.get(name, {})
    calls = {*_calls(route.dependant), *said.uses}
    scopes = sorted({scope for call in calls for scope in getattr(call, "scopes", ())})
    if scopes:
        operation["security"] = [{"account": [scope]} for scope in scopes]
    officer = bool(scopes) and scopes != ["holder"]
    headers = _headers(officer, once in calls or name == _KEY_OPTIONAL, once in calls)
    if headers:
        operation["parameters"] = [*operation.get("parameters", ()), *headers]
    if said.takes is not None or "request" in example:
        operation["requestBody"] = _request_body(said, example, operation.get("requestBody"))
    codes = said.refuses | _ANY
    if scopes:
        codes |= _CALLER if method == "GET" else _CALLER | _WRITING
    if once in calls:
        codes |= _ONCE
    if calls & _READ_BODY or once in calls:
        codes |= _BODY
    if operation.get("parameters"):
        codes |= {Code.PARAMETER_INVALID}
    # The framework adds a 422 to every call with parameters; only a route's own is kept.
    foreign = {str(said.status)} | ({"422"} - {str(status) for status in route.responses})
    kept = {status: each for status, each in operation["responses"].items() if status not in foreign}
    operation["responses"] = {**kept, str(said.status): _success(said, example), **shared.of(codes, kept)}


def _headers(officer: bool, key: bool, key_required: bool) -> list[dict[str, Any]]:
    """Describe the headers that calls with an account have in common."""
    found: list[dict[str, Any]] = []
    if officer:
        said = "The officer at work, percent-encoded where not ASCII; kept in the record. Demanded of desks' scopes."
        schema = {"type": "string", "maxLength": 3 * 3 * MAX_OPERATOR_CHARACTERS}
        found.append(
            {"name": OPERATOR_HEADER, "in": "header", "required": False, "description": said, "schema": schema}
        )
    if key:
        said = "The same key and body again get the same answer; one key for each operation."
        limits = {"type": "string", "minLength": 1, "maxLength": MAX_KEY_CHARACTERS}
        found.append(
            {"name": KEY_HEADER, "in": "header", "required": key_required, "description": said, "schema": limits}
        )
    return found


def _request_body(said: Description, example: Mapping[str, Any], known: dict[str, Any] | None) -> dict[str, Any]:
    if said.takes is None:
        content = dict(known["content"]) if known else {said.media: {"schema": {"type": "string", "format": "binary"}}}
    else:
        content = {said.media: {"schema": {"$ref": f"#/components/schemas/{said.takes.__name__}"}}}
    if "request" in example:
        content = {media: {**each, "example": example["request"]} for media, each in content.items()}
    return {"required": said.body_required, "content": content}


def _success(said: Description, example: Mapping[str, Any]) -> dict[str, Any]:
    if said.status == 204:
        return {"description": "Done."}
    shown = example.get("answer")
    media: dict[str, Any] = {}
    if said.gives == JSON:
        media["schema"] = schema_of(shown) if shown is not None else {}
    elif said.gives.startswith("image/png") or said.gives.endswith(("pdf", "octet-stream")):
        media["schema"] = {"type": "string", "format": "binary"}
    else:
        media["schema"] = {"type": "string"}
    if shown is not None:
        media["example"] = shown
    return {"description": "Done.", "content": {said.gives.partition(";")[0]: media}}


def schema_of(value: Any) -> dict[str, Any]:
    """Return a schema that `value` and its like fit: the kind of each member, no claim about which must be there."""
    if isinstance(value, dict):
        return {"type": ["object", "null"], "properties": {name: schema_of(each) for name, each in value.items()}}
    if isinstance(value, list):
        return {"type": "array", "items": schema_of(value[0])} if value else {"type": "array"}
    kinds = {bool: "boolean", int: "integer", str: "string"}
    kind = kinds.get(type(value))
    # Where the example has nothing, anything may stand; where it has something, nothing may.
    return {"type": [kind, "null"]} if kind else {}


def text(app: FastAPI) -> str:
    """Return the description as it is kept in the repository."""
    return json.dumps(document(app), ensure_ascii=False, indent=1, sort_keys=True) + "\n"
