"""Other regions over HTTP: what operators see and decide, what everybody with an account may read."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.api.service import Caller, Service, service_on
from tests.api.story_peers import approved
from tests.api.test_accounts import code_of
from tests.ledger.peering import CODE, THERE, Documents, register, shown_by
from tests.verifiers.issuer import Issuer


@pytest.fixture
async def service(sqlite_url: str, tmp_path: Path) -> AsyncIterator[Service]:
    """Serve a region with two operators who may approve, and the way to another region."""
    async with service_on(sqlite_url, tmp_path) as running:
        for who in ("ann", "bob"):
            await register(running.region, who)
        running.region.outside = Documents(shown_by(there(running)))
        yield running


def there(service: Service) -> Issuer:
    """The other region, with the same keys each time it is asked for."""
    found: Issuer | None = getattr(service, "issuer", None)
    if found is None:
        found = Issuer(now=service.region.clock.now().replace(microsecond=0), region=CODE, base=THERE)
        service.issuer = found  # type: ignore[attr-defined] # a test's own note on its service
    return found


@pytest.fixture
async def operator(service: Service) -> Caller:
    """Give an operator's client."""
    return await service.caller("operator-1", ["operate"])


async def proposed(service: Service, operator: Caller) -> dict[str, Any]:
    """Ask what admitting the other region would mean."""
    found: dict[str, Any] = await operator.post("/v1/peers/proposals", {"base": THERE, "root": there(service).pin})
    return found


async def test_a_region_is_admitted_over_http(service: Service, operator: Caller) -> None:
    """Looked at, approved, admitted, listed; the same request again is the same admission."""
    found = await proposed(service, operator)
    assert {each["code"] for each in found["shows"]["types"]} and found["shows"]["departments"]
    body = approved(service, found["proposal"])

    first = await operator.post("/v1/peers", body, key="once")
    again = await operator.post("/v1/peers", body, key="once")

    assert first == again and first["status"] == "active"
    reader = await service.caller("auditor-1", ["audit"])
    [listed] = (await reader.get("/v1/peers"))["items"]
    assert (listed["region"], listed["status"], listed["notices"]) == (CODE, "active", {"delivered": 0, "waiting": 0})
    shown = await reader.get(f"/v1/peers/{CODE}")
    assert shown["proposal"] == found["proposal"]
    assert [each["client"] for each in shown["last_change"]["approvers"]] == ["ann", "bob"]


async def test_only_operators_decide(service: Service, operator: Caller) -> None:
    """Whoever may read may not propose, admit or act."""
    reader = await service.caller("auditor-1", ["audit"])
    proposal = (await proposed(service, operator))["proposal"]

    for path, body in (
        ("/v1/peers/proposals", {"base": THERE, "root": "ab" * 32}),
        ("/v1/peers", approved(service, proposal)),
        (f"/v1/peers/{CODE}/acts", {"act": "withdraw", "reason": "no"}),
    ):
        answer = await reader.call("POST", path, body)
        assert (answer.status_code, code_of(answer)) == (403, "scope.exceeded")


async def test_every_refusal_has_its_own_code(service: Service, operator: Caller) -> None:
    """Wrong root, nobody there, one approval, an unknown peer, an act that is none."""
    found = await proposed(service, operator)
    body = approved(service, found["proposal"])
    for path, sent, status, code in (
        ("/v1/peers/proposals", {"base": THERE, "root": "ab" * 32}, 409, "peer.root_mismatch"),
        ("/v1/peers/proposals", {"base": "https://nobody.example", "root": "ab" * 32}, 503, "peer.unreachable"),
        ("/v1/peers/proposals", {"base": THERE, "root": "ab"}, 422, "peer.root_malformed"),
        ("/v1/peers", body | {"approvals": body["approvals"][:1]}, 422, "peer.approvals_missing"),
        ("/v1/peers", body | {"approvals": body["approvals"][:1] * 2}, 422, "peer.same_approver"),
        ("/v1/peers", body | {"approvals": ["a.b.c"]}, 422, "peer.approval_invalid"),
        ("/v1/peers/650000/acts", {"act": "suspend", "reason": "nobody"}, 404, "peer.unknown"),
        (f"/v1/peers/{CODE}/acts", {"act": "forget"}, 422, "request.member_invalid"),
    ):
        answer = await operator.call("POST", path, sent)
        assert (answer.status_code, code_of(answer)) == (status, code)
    assert code_of(await operator.call("GET", "/v1/peers/650000")) == "peer.unknown"
    assert code_of(await operator.call("GET", "/v1/peers", params={"cursor": "?"})) == "cursor.invalid"


async def test_one_operator_cuts_a_peer_off_and_pages_are_short(service: Service, operator: Caller) -> None:
    """Withdrawn at once; the peer stays on the list, which comes page by page."""
    await operator.post("/v1/peers", approved(service, (await proposed(service, operator))["proposal"]))

    cut = await operator.post(f"/v1/peers/{CODE}/acts", {"act": "withdraw", "reason": "协议终止"})

    assert cut["status"] == "withdrawn"
    answer = await operator.call("POST", f"/v1/peers/{CODE}/acts", {"act": "suspend", "reason": "again"})
    assert code_of(answer) == "peer.withdrawn"
    page = await operator.get("/v1/peers", params={"limit": 1})
    assert [each["status"] for each in page["items"]] == ["withdrawn"] and "cursor" not in page
