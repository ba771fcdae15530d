"""Nobody but a region itself can make it look like a liar: its hosts, and whoever is on the wire, hold no key of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from ledger import followed_status
from tests.ledger import licensing
from tests.ledger.followed_peers import A, B, Urls, licence_in, published, state_of
from tests.ledger.liars import Liar
from tests.ledger.test_lying_peers import evidence_of
from tests.regions import regions_world
from verifiers.encoding import b64u_decode, b64u_encode
from verifiers.peer_view import Watch

ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
"""Of the group of P-256."""


def signed_otherwise(token: bytes) -> bytes:
    """The same token with the other signature (r, n - s) that holds for it, which anybody can compute."""
    signed, _, signature = token.rpartition(b".")
    raw = b64u_decode(signature.decode())
    s = ORDER - int.from_bytes(raw[32:])
    return signed + b"." + b64u_encode(raw[:32] + s.to_bytes(32)).encode()


async def test_the_other_signature_of_a_list_convicts_nobody(tmp_path: Path, sqlite_urls: Urls) -> None:
    """An ECDSA signature has a twin that anybody can compute, so a list with it is the same list and no second one."""
    async with regions_world(tmp_path, sqlite_urls) as world:
        a, b = world[A], world[B]
        held = (await a.service.http.get("/trust-list")).content
        b.road.instead[A] = Liar(b.road.honest(), {"/trust-list": signed_otherwise(held)})
        await b.following.step()
        assert (state_of(b)["state"], await evidence_of(b)) == (Watch.FOLLOWED, [])
        # And where the twin came first, the honest list after it still follows it.
        await licensing.furnish(a.region)
        await published(a.region)
        newest = (await a.service.http.get("/trust-list")).content
        b.road.instead[A] = Liar(b.road.honest(), {"/trust-list": signed_otherwise(newest)})
        await b.following.step()
        taken = state_of(b)["trust_list"]["seq"]
        assert taken > 1 and state_of(b)["state"] == Watch.FOLLOWED
        del b.road.instead[A]
        await licensing.give(a.region, licensing.AGRICULTURE, licensing.DRUG)
        await published(a.region)
        await b.following.step()
        assert (state_of(b)["state"], await evidence_of(b)) == (Watch.FOLLOWED, [])
        assert state_of(b)["trust_list"]["seq"] > taken


@pytest.mark.parametrize("bound", ["LISTS_MAX", "HELD_MAX"])
async def test_a_peer_cannot_fill_us_with_status_lists(
    tmp_path: Path, sqlite_urls: Urls, monkeypatch: pytest.MonkeyPatch, bound: str
) -> None:
    """It may name sixty thousand, each of which unpacks to megabytes: what is too much is not kept, and said."""
    async with regions_world(tmp_path, sqlite_urls) as world:
        a, b = world[A], world[B]
        await licence_in(a)
        monkeypatch.setattr(followed_status, bound, 0)
        await b.following.step()
        assert (b.following.status_lists(), state_of(b)["state"]) == ((), Watch.UNREACHABLE)
        assert "status lists" in state_of(b)["detail"]
        monkeypatch.undo()
        await b.following.step()
        assert (len(b.following.status_lists()), state_of(b)["state"]) == (1, Watch.FOLLOWED)
