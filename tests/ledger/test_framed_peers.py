"""Nobody but a region itself can make it look like a liar: its hosts, and whoever is on the wire, hold no key of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from ledger import followed, followed_status
from ledger.following_faults import signing_input_of
from ledger.trust_publishing import EVENT
from ledger.witnessing import Witness
from tests.ledger import licensing
from tests.ledger.followed_peers import A, B, Urls, checkpoint_of, licence_in, published, state_of
from tests.ledger.liars import Liar, grow
from tests.ledger.test_lying_peers import evidence_of, rekeyed
from tests.regions import regions_world
from verifiers import receipt
from verifiers.add_checkpoint import format_request
from verifiers.checkpoint import Checkpoint, Grade, SignedCheckpoint
from verifiers.commitment import jws_digest
from verifiers.encoding import b64u_decode, b64u_encode
from verifiers.peer_view import Watch
from verifiers.trust_document import Position

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


async def test_a_list_that_opens_another_log_makes_us_forget_nothing_until_it_is_taken(
    tmp_path: Path, sqlite_urls: Urls, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a peer would offer one, leave its log unreadable, and show the old log once more with another past."""
    async with regions_world(tmp_path, sqlite_urls) as world:
        a, b = world[A], world[B]
        row = await b.region.database.read(lambda tx: followed.read_one(tx, A))
        assert row is not None
        [view] = b.following.views()
        held, another = view.trust.document, f"elsewhere.example/{A}/log"
        [log] = held.logs
        ended = replace(log, to=Position(row.origin, row.size, row.root))
        opened = replace(log, origin=another, keys=rekeyed(another, a.region.vkeys))
        text = await a.region.trust._sign(replace(held, seq=held.seq + 1, prev=view.trust.digest, logs=(ended, opened)))
        proven = SimpleNamespace(
            index=1,
            leaf=SimpleNamespace(kind=EVENT),
            opening=SimpleNamespace(jws=jws_digest(signing_input_of(text))),
            checkpoint=SignedCheckpoint(Checkpoint(another, 10, bytes(32)), Grade.PUBLISHED, None, (), "note"),
        )
        monkeypatch.setattr(receipt, "check_receipt", lambda body, policy: proven)
        nothing = {f"/trust-list/{held.seq + 1}/receipt": b"a receipt in the log that nobody can read"}
        b.road.instead[A] = Liar(b.road.honest(), {"/trust-list": text.encode(), **nothing})

        await b.following.step()
        kept = await b.region.database.read(lambda tx: followed.read_one(tx, A))
        newest = await b.region.database.read(lambda tx: followed.newest_list(tx, A, view.trust.root_fingerprint))
        assert kept is not None and newest is not None

        assert (kept.origin, kept.size) == (row.origin, row.size) or (kept.origin, newest[0]) == (another, held.seq + 1)


async def test_a_broken_proof_from_anybody_is_no_evidence_against_a_peer(tmp_path: Path, sqlite_urls: Urls) -> None:
    """Our witness answers everybody; an honest checkpoint beside a made-up proof says nothing of its log."""
    async with regions_world(tmp_path, sqlite_urls) as world:
        a, b = world[A], world[B]
        witness = Witness(b.region)
        seen = state_of(b)["size"]
        await witness.add_checkpoint(format_request(0, [], await checkpoint_of(world, A)))
        await grow(a.region, 3)
        broken = await witness.add_checkpoint(format_request(seen, [bytes(32)], await checkpoint_of(world, A)))
        await b.following.step()

        assert (broken.misbehaviour, await evidence_of(b)) == ("inconsistent", ["inconsistent"])
        assert (state_of(b)["state"], state_of(b)["evidence"]) == (Watch.FOLLOWED, 0)
