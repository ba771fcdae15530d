"""Who may call: assertions in, tokens out, each wrong one refused under its own code."""

import time
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from keys.private_key import PrivateKey
from ledger import departments
from tests.api.service import Service, service_on
from tests.region import OPERATOR

DEPARTMENT: dict[str, Any] = {
    "id": "11610000010000020C",
    "names": {"zh": "示例省市场监督管理局", "en": "Example Market Regulator"},
}
HOME = DEPARTMENT["id"]
OTHER = {"id": "11610000010000012H", "names": {"zh": "示例省卫生健康委员会", "en": "Example Health Commission"}}


@pytest.fixture
async def service(sqlite_url: str, tmp_path: Path) -> AsyncIterator[Service]:
    """Serve a fresh region with one department."""
    async with service_on(sqlite_url, tmp_path) as running:
        await departments.register(running.region, OPERATOR, DEPARTMENT)
        yield running


def code_of(answer: Any) -> str:
    """Return the code of a problem answer."""
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    return str(answer.json()["code"])


async def test_a_registered_client_gets_a_token_and_may_act(service: Service) -> None:
    """The whole way: assertion, token, department registered."""
    operator = await service.caller("operator-1", ["operate"])

    made = await operator.post("/v1/departments", OTHER)

    assert made["id"] == OTHER["id"]
    listed = (await operator.get("/v1/departments"))["items"]
    assert [each["names"]["zh"] for each in listed] == ["示例省市场监督管理局", "示例省卫生健康委员会"]


async def test_the_same_request_again_gets_the_same_answer(service: Service) -> None:
    """Key and body repeat: one department, one answer; another body under the key is refused."""
    operator = await service.caller("operator-1", ["operate"])
    first = await operator.call("POST", "/v1/departments", OTHER, key="k1")
    again = await operator.call("POST", "/v1/departments", OTHER, key="k1")
    other = await operator.call("POST", "/v1/departments", OTHER | {"names": DEPARTMENT["names"]}, key="k1")

    assert again.json() == first.json()
    assert code_of(other) == "idempotency.conflict"


WRONG = [
    ({"aud": "https://other.example"}, "assertion.audience"),
    ({"aud": ["https://region.example"]}, "assertion.audience"),
    ({"exp": timedelta(seconds=-1)}, "assertion.expired"),
    ({"exp": timedelta(hours=1)}, "assertion.lifetime"),
    ({"iat": timedelta(seconds=300), "exp": timedelta(seconds=301)}, "assertion.clock"),
    ({"jti": None}, "assertion.malformed"),
    ({"iss": "somebody"}, "assertion.malformed"),
    ({"sub": "nobody", "iss": "nobody"}, "client.unknown"),
]


@pytest.mark.parametrize(("changes", "code"), WRONG)
async def test_a_wrong_assertion_is_refused_for_what_is_wrong(
    service: Service, changes: dict[str, Any], code: str
) -> None:
    """Audience, life, clock and claims each have a code; times count from the call."""
    caller = await service.caller("client-1", ["issue"], HOME)
    now = int(time.time())
    changes = {
        name: now + int(value.total_seconds()) if isinstance(value, timedelta) else value
        for name, value in changes.items()
    }

    assert code_of(await caller.ask_token(caller.assertion(**changes))) == code


async def test_an_assertion_is_good_once(service: Service) -> None:
    """A replayed assertion is refused, also by another process: it is remembered in the database."""
    caller = await service.caller("client-1", ["issue"], HOME)
    assertion = caller.assertion()

    assert (await caller.ask_token(assertion)).status_code == 200
    assert code_of(await caller.ask_token(assertion)) == "assertion.replayed"


async def test_an_assertion_under_a_strange_key_is_refused(service: Service) -> None:
    """The key is the registered one, whatever the header says."""
    caller = await service.caller("client-1", ["issue"], HOME)
    caller.key = ec.generate_private_key(ec.SECP256R1())

    assert code_of(await caller.ask_token()) == "assertion.signature"


async def test_a_symmetric_assertion_under_the_public_key_is_refused(service: Service) -> None:
    """The suite is fixed by the key, so nobody can choose HS256 with public bytes as the secret."""
    caller = await service.caller("client-1", ["issue"], HOME)
    claims = jwt.decode(caller.assertion(), options={"verify_signature": False})

    assert code_of(await caller.ask_token(jwt.encode(claims, "x" * 32, algorithm="HS256"))) == "assertion.signature"


@pytest.mark.parametrize(
    ("token", "code"),
    [
        (None, "token.missing"),
        ("Basic x", "token.missing"),
        ("Bearer x.y.z", "token.malformed"),
        ("Bearer " + jwt.encode({"aud": "https://other.example"}, "k" * 32), "token.other_region"),
        ("Bearer " + jwt.encode({"aud": "https://region.example"}, "k" * 32), "token.malformed"),
    ],
)
async def test_a_wrong_token_is_refused_for_what_is_wrong(service: Service, token: str | None, code: str) -> None:
    """Missing, foreign and forged tokens are told apart."""
    headers = {} if token is None else {"Authorization": token}

    assert code_of(await service.http.get("/v1/departments", headers=headers)) == code


async def test_scopes_and_officer_are_demanded(service: Service) -> None:
    """No scope, no call; no officer, no call under a desk's scope."""
    issuer = await service.caller("client-1", ["issue"], HOME)
    supervisor = await service.caller("client-2", ["supervise"], HOME, operator="")

    assert code_of(await issuer.call("POST", "/v1/departments", OTHER)) == "scope.exceeded"
    assert code_of(await supervisor.call("GET", "/v1/reviews")) == "operator.missing"
    assert code_of(await issuer.ask_token(scope="operate")) == "scope.exceeded"
    assert code_of(await issuer.ask_token(scope="fly")) == "scope.unknown"


async def test_a_client_that_is_shut_out_is_out_at_once(service: Service) -> None:
    """A change of client drops what was remembered of it."""
    operator = await service.caller("operator-1", ["operate"])
    issuer = await service.caller("client-1", ["issue", "audit"], HOME)
    assert (await issuer.call("GET", "/v1/departments")).status_code == 200

    await operator.call("PATCH", "/v1/clients/client-1", {"disabled": True})

    assert code_of(await issuer.call("GET", "/v1/departments")) == "client.disabled"


async def test_one_operator_cannot_make_the_second(service: Service) -> None:
    """Whom the region trusts takes two, so nobody makes a client that may operate, or gives one a key, from afar."""
    operator = await service.caller("operator-1", ["operate"])
    await service.caller("operator-2", ["operate", "audit"])
    await service.caller("reader", ["audit"])
    jwks = {"keys": [PrivateKey.from_secret("ES256", bytes(31) + b"\x07").public_key.jwk()]}
    client = {"id": "operator-3", "name": "示例", "scopes": ["operate"], "jwks": jwks}

    refused = [
        await operator.call("POST", "/v1/clients", client),
        await operator.call("PATCH", "/v1/clients/operator-2", {"jwks": jwks}),
        await operator.call("PATCH", "/v1/clients/reader", {"scopes": ["operate"]}),
    ]
    less = await operator.call("PATCH", "/v1/clients/operator-2", {"disabled": True})
    more = await operator.call("PATCH", "/v1/clients/operator-2", {"disabled": False})

    assert [code_of(each) for each in (*refused, more)] == ["client.invalid"] * 4
    assert (less.status_code, less.json()["disabled"]) == (200, True)


async def test_a_state_changing_call_needs_its_key(service: Service) -> None:
    """Without an idempotency key nothing changes."""
    operator = await service.caller("operator-1", ["operate"])
    answer = await operator.call("POST", "/v1/departments", DEPARTMENT, headers={"Idempotency-Key": ""})

    assert code_of(answer) == "idempotency.missing"


async def test_bodies_are_refused_with_a_pointer(service: Service) -> None:
    """What is wrong in a body is pointed at, in the caller's language."""
    operator = await service.caller("operator-1", ["operate"])
    wrong = await operator.call("POST", "/v1/departments", OTHER | {"names": {"zh": "x"}})
    strange = await operator.call("POST", "/v1/departments", OTHER | {"more": 1})
    twice = await operator.call(
        "POST", "/v1/departments", content=b'{"id":1,"id":2}', headers={"Content-Type": "application/json"}
    )
    large = await operator.call(
        "POST", "/v1/departments", content=b" " * 2_000_000, headers={"Content-Type": "application/json"}
    )

    assert [each["pointer"] for each in wrong.json()["errors"]] == ["/names/en"]
    assert [each["pointer"] for each in strange.json()["errors"]] == ["/more"]
    assert code_of(strange) == "request.member_unknown"
    assert code_of(twice) == "body.duplicate_name"
    assert code_of(large) == "body.too_large"
    assert large.status_code == 413


async def test_the_service_says_how_it_is(service: Service) -> None:
    """Health, readiness and metrics answer, and unknown addresses are problems too."""
    assert (await service.http.get("/healthz")).json() == {"status": "alive"}
    await service.region.trust.settled()
    ready = await service.http.get("/readyz")
    assert ready.status_code == 200 and ready.json()["ready"] is True, ready.text
    assert b"elicence_log_size" in (await service.http.get("/metrics")).content
    assert code_of(await service.http.get("/nowhere")) == "path.unknown"
    assert code_of(await service.http.delete("/healthz")) == "method.not_allowed"
