"""Calls between regions: who is let in, and what each refusal says."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest

from api import peer_caller
from api.http_signatures import REGION_HEADER, sign_request
from ledger import keys_registry, peers, reliances
from ledger.outside import Unreachable
from ledger.peer_calls import PeerRefused
from ledger.tables.peers import peer_nonces
from ledger.tables.peers import reliances as reliance_rows
from tests.ledger import cases
from tests.ledger.licensing import FOOD, MARKET, food, furnish, issued
from tests.region import OPERATOR
from tests.regions import Place, RegionsWorld, regions_world
from verifiers.licence import parse

A, B = "610000", "620000"
PATH = "/peer/reliances"
BODY = orjson.dumps({"identifiers": ["示例标识"]})


@pytest.fixture
def clock() -> cases.ShiftedClock:
    """Give a clock that can be put forward."""
    return cases.ShiftedClock()


@pytest.fixture
async def world(
    sqlite_urls: Callable[[str], str], tmp_path: Path, clock: cases.ShiftedClock
) -> AsyncIterator[RegionsWorld]:
    """Two regions that have admitted each other."""
    async with regions_world(tmp_path, sqlite_urls, clock=clock) as world:
        yield world


async def signed(caller: Place, to: Place, **changes: Any) -> dict[str, str]:
    """The headers of a call that `caller` signs."""
    given: dict[str, Any] = {
        "region": caller.code,
        "method": "POST",
        "url": f"{to.region.base_url}{PATH}",
        "body": BODY,
        "at": caller.region.clock.now(),
    }
    return await sign_request(caller.region.signer(None, "peer"), **given | changes)


async def sent(to: Place, headers: dict[str, str], body: bytes = BODY) -> httpx.Response:
    """Send a call with these headers."""
    sent = {"Content-Type": "application/json", **headers}
    return await to.service.http.post(f"{to.region.base_url}{PATH}", content=body, headers=sent)


async def test_a_peer_is_let_in_by_its_signature_alone(world: RegionsWorld) -> None:
    """No account, no token: the key stands in the trust list that is followed anyway."""
    answer = await sent(world[B], await signed(world[A], world[B]))

    assert answer.status_code == 200, answer.text
    assert answer.json() == {"licences": [], "unknown": ["示例标识"]}


async def test_a_signed_call_counts_once(world: RegionsWorld) -> None:
    """Whoever kept a call cannot send it again; the nonce is forgotten when the call no longer counts."""
    headers = await signed(world[A], world[B])
    assert (await sent(world[B], headers)).status_code == 200

    again = await sent(world[B], headers)

    assert (again.status_code, again.json()["code"]) == (401, "peer.signature_replayed")


async def test_nonces_are_swept(world: RegionsWorld, clock: cases.ShiftedClock) -> None:
    """The table holds what could still be replayed and no more."""
    await sent(world[B], await signed(world[A], world[B]))
    clock.ahead = timedelta(minutes=5)
    await sent(world[B], await signed(world[A], world[B]))

    rows = await world[B].region.database.read(lambda tx: tx.execute(peer_nonces.select()).all())
    assert len(rows) == 1


async def test_an_old_call_is_stale(world: RegionsWorld, clock: cases.ShiftedClock) -> None:
    """After two minutes a call no longer counts, whether it was seen or not."""
    headers = await signed(world[A], world[B])
    clock.ahead = timedelta(minutes=3)

    answer = await sent(world[B], headers)

    assert (answer.status_code, answer.json()["code"]) == (401, "peer.signature_stale")


async def test_unsigned_and_badly_signed_calls_are_told_apart(world: RegionsWorld) -> None:
    """A caller without a signature learns that it needs one, another that its own does not hold."""
    headers = await signed(world[A], world[B])
    other = orjson.dumps({"identifiers": ["示例其他"]})

    assert (await sent(world[B], {})).json()["code"] == "peer.signature_missing"
    assert (await sent(world[B], headers, other)).json()["code"] == "peer.signature_invalid"
    elsewhere = await signed(world[A], world[B], url=f"{world[A].region.base_url}{PATH}")
    assert (await sent(world[B], elsewhere)).json()["code"] == "peer.signature_invalid"


async def test_a_region_cannot_pass_for_another(world: RegionsWorld) -> None:
    """A key counts for the region whose trust list names it; naming another region changes what was signed, too."""
    headers = await signed(world[A], world[B])
    passed_off = await signed(world[B], world[B], region=A)

    assert (await sent(world[B], headers | {REGION_HEADER: "630000"})).json()["code"] == "peer.not_admitted"
    assert (await sent(world[B], passed_off)).json()["code"] == "peer.key_unknown"


async def test_a_key_for_something_else_does_not_count(world: RegionsWorld) -> None:
    """The region's other keys stand in the same list, each for its own purpose."""
    place = world[A]
    headers = await sign_request(
        place.region.signer(None, "status"),
        region=A,
        method="POST",
        url=f"{world[B].region.base_url}{PATH}",
        body=BODY,
        at=place.region.clock.now(),
    )

    assert (await sent(world[B], headers)).json()["code"] == "peer.key_unknown"


async def test_a_made_up_key_does_not_set_the_pace_of_following(
    world: RegionsWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A key we do not know may be a new one, so its region is looked at; but anybody can make one up."""
    woken: list[str | None] = []
    monkeypatch.setattr(world[B].following, "wake", woken.append)

    for _ in range(5):
        answer = await sent(world[B], await signed(world[B], world[B], region=A))
        assert answer.json()["code"] == "peer.key_unknown"

    assert woken == [A]


@pytest.mark.parametrize("cut", [peers.suspend, peers.withdraw], ids=["suspended", "withdrawn"])
async def test_a_peer_that_is_not_active_is_not_let_in(world: RegionsWorld, cut: Callable[..., Any]) -> None:
    """Suspending a peer closes the door at once."""
    await cut(world[B].region, OPERATOR, A, "示例原因")

    answer = await sent(world[B], await signed(world[A], world[B]))

    assert (answer.status_code, answer.json()["code"]) == (403, "peer.not_admitted")


async def test_a_rotated_key_counts_once_its_list_is_known(world: RegionsWorld) -> None:
    """The old key ends with the list that says so; the new one begins with it."""
    a, b = world[A], world[B]
    await keys_registry.rotate(a.region, OPERATOR, None, "peer")
    assert (await sent(b, await signed(a, b))).json()["code"] == "peer.key_unknown"
    await world.settle()

    assert (await sent(b, await signed(a, b))).status_code == 200


async def test_a_stolen_key_counts_no_more(world: RegionsWorld) -> None:
    """What the list calls compromised opens no door, whatever `since` says."""
    a, b = world[A], world[B]
    thief = a.region.signer(None, "peer")
    url = f"{b.region.base_url}{PATH}"
    at = a.region.clock.now()
    stolen = await sign_request(thief, region=A, method="POST", url=url, body=BODY, at=at)
    await keys_registry.compromise(a.region, OPERATOR, thief.public_key.kid, since=at)
    await world.settle()

    assert (await sent(b, stolen)).json()["code"] == "peer.key_unknown"


async def test_a_list_that_has_expired_opens_no_door(world: RegionsWorld, clock: cases.ShiftedClock) -> None:
    """A region that cannot see what the caller's list says now does not believe what it said long ago."""
    clock.ahead = timedelta(days=3)

    assert (await sent(world[B], await signed(world[A], world[B]))).json()["code"] == "peer.key_unknown"


async def test_a_peer_that_calls_too_often_waits(world: RegionsWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """The bucket of one peer runs dry and says when it will not be; others are not concerned."""
    b = world[B]
    transport: Any = b.service.http._transport
    transport.app.state.peer_door = peer_caller.PeerDoor(b.region, calls_per_s=0.001, burst=2)
    for _ in range(2):
        assert (await sent(b, await signed(world[A], b))).status_code == 200

    answer = await sent(b, await signed(world[A], b))

    assert (answer.status_code, answer.json()["code"]) == (429, "peer.too_many_calls")
    assert int(answer.headers["Retry-After"]) > 1


async def test_a_body_that_is_too_large_is_not_read(world: RegionsWorld) -> None:
    """Before anything is checked that costs more."""
    body = b'{"identifiers":["' + b"x" * peer_caller.BODY_MAX + b'"]}'

    answer = await sent(world[B], await signed(world[A], world[B], body=body), body)

    assert (answer.status_code, answer.json()["code"]) == (413, "body.too_large")


async def test_who_relies_on_a_licence_is_remembered(world: RegionsWorld) -> None:
    """The answer says where its status is shown, and notices will go to whoever asked."""
    a, b = world[A], world[B]
    await furnish(b.region)
    licence = await issued(b.region, MARKET, food())
    peer = a.region.catalogue.recognised.peers[B]

    for _ in range(2):
        located, unknown = await reliances.ask(a.region, peer, [licence.identifier, "示例标识"])

    [found] = located
    seen = parse(licence.licence)
    assert (found.identifier, found.type, found.major) == (licence.identifier, FOOD, 1)
    assert (found.uri, found.slot) == (seen.status_uri, seen.status_idx)
    assert unknown == ["示例标识"]
    rows = await b.region.database.read(lambda tx: tx.execute(reliance_rows.select()).all())
    assert [(row.region, row.licence) for row in rows] == [(A, licence.id)]
    relying = await b.region.database.read(lambda tx: reliances.relying(tx, [licence.id]))
    assert relying == {licence.id: [A]}


async def test_a_caller_hears_why_it_was_refused_and_when_nobody_answers(world: RegionsWorld) -> None:
    """No and nothing are two things: the one is final, the other is tried again."""
    a = world[A]
    peer, calls = a.region.catalogue.recognised.peers[B], a.region.peer_calls
    assert calls is not None
    with pytest.raises(PeerRefused) as refused:
        await calls.call(peer, PATH, {"identifiers": []})
    assert (refused.value.code, refused.value.status) == ("request.member_missing", 422)

    a.road.cut.add(B)
    with pytest.raises(Unreachable):
        await calls.call(peer, PATH, {"identifiers": ["示例标识"]})


async def test_both_engines_remember_what_was_seen(database_urls: Callable[[str], str], tmp_path: Path) -> None:
    """Of two copies of one call that arrive at the same moment one is let in; relying twice is relying once."""
    async with regions_world(tmp_path, database_urls) as world:
        a, b = world[A], world[B]
        headers = await signed(a, b)
        both = await asyncio.gather(sent(b, headers), sent(b, headers))
        assert sorted(each.status_code for each in both) == [200, 401]

        await furnish(b.region)
        licence = await issued(b.region, MARKET, food())
        peer = a.region.catalogue.recognised.peers[B]
        await asyncio.gather(*(reliances.ask(a.region, peer, [licence.identifier]) for _ in range(3)))
        relying = await b.region.database.read(lambda tx: reliances.relying(tx, [licence.id]))
        assert relying == {licence.id: [A]}
