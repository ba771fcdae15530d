"""Notices between regions: in order, once, to the right one; lies are refused, floods are held, circles end."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import select

from keys.signer import Signer
from ledger import flood, peer_inbox
from ledger.peer_inbox import inbox, receive
from ledger.peer_notices import outbox
from ledger.reversal import reverse
from ledger.tables.peers import held_falls
from ledger.versions import new_version
from tests.ledger import cases, licensing
from tests.ledger.cascade_world import ANNULLED, SUSPENDED, VALID, A, B, C, CascadeWorld, cascade_world
from tests.ledger.licensing import MARKET
from tests.ledger.test_cascade import REVERSAL
from tests.region import OPERATOR
from verifiers.jws import compact
from verifiers.notice import NamedLicence, Notice, signing_input

Urls = Callable[[str], str]


async def signed(notice: Notice, signer: Signer) -> str:
    """Sign a notice with any key."""
    message = signing_input(notice, signer.public_key.kid)
    [signature] = await signer.sign([message])
    return compact(message, signature)


def true_notice(world: CascadeWorld, licence: Any, **changes: Any) -> Notice:
    """Return what A would truly say to B of its licence."""
    notice = Notice(
        sender=A,
        receiver=B,
        origin=world.region(A).origin,
        entry=licence.entry + 1,
        cause=f"{world.region(A).origin}:{licence.entry + 1}",
        event="fell",
        effect="suspended",
        licences=(NamedLicence(licence.identifier, licence.status_uri, licence.status_idx),),
        at=datetime(2026, 11, 21, 4, tzinfo=UTC),
    )
    return dataclasses.replace(notice, **changes)


async def test_a_lying_notice_is_refused_and_counted(sqlite_urls: Urls, tmp_path: Path) -> None:
    """Another region's list or log, a wrong slot, a wrong key, a notice meant for somebody else: none is kept."""
    async with cascade_world(tmp_path, sqlite_urls) as world:
        root, child = await world.licence(A), None
        child = await world.licence(B, (A, root))
        await world.rounds(2)
        b, peer = world.region(B), world.region(B).catalogue.recognised.peers[A]
        key = world.region(A).signer(None, "peer")
        here = NamedLicence(root.identifier, root.status_uri, root.status_idx)
        theirs = NamedLicence(child.identifier, child.status_uri, child.status_idx)
        lies = [
            await signed(true_notice(world, root, licences=(theirs,)), key),
            await signed(true_notice(world, root, origin=b.origin), key),
            await signed(true_notice(world, root, licences=(dataclasses.replace(here, slot=here.slot + 1),)), key),
            await signed(true_notice(world, root), world.region(A).signer(None, "statement")),
            await signed(true_notice(world, root), b.signer(None, "peer")),
            await signed(true_notice(world, root, receiver=C), key),
            await signed(true_notice(world, root, sender=C), key),
            "not a notice",
        ]
        before = peer_inbox.refused[A]

        states = await receive(b, peer, lies)

        assert [each.partition(":")[0] for each in states] == ["refused"] * len(lies), states
        assert peer_inbox.refused[A] == before + len(lies)
        assert await world.received(B) == []
        true = await signed(true_notice(world, root), key)
        assert await receive(b, peer, [true, true]) == ["waiting", "known"]
        await world.rounds(3)
        assert await world.states(B, child) == [VALID]  # true in form, but A's list says otherwise


async def test_notices_wait_for_a_peer_and_come_in_order_once(database_urls: Urls, tmp_path: Path) -> None:
    """While B is away they queue with their attempts; afterwards each comes once, by the order of A's log."""
    async with cascade_world(tmp_path, database_urls) as world:
        root = await world.licence(A)
        await world.licence(B, (A, root))
        await world.rounds(2)
        world[A].road.cut.add(B)
        for act in ("suspend", "reinstate", "suspend"):
            await world.act(A, root, act)
            await world.tell(A)

        a = world.region(A)
        waiting = (await a.database.read(lambda tx: outbox(tx, B)))["items"]
        assert [each["delivered_at"] for each in waiting] == [None] * 3
        assert waiting[-1]["attempts"] >= 1 and waiting[-1]["answer"]
        world[A].road.cut.clear()

        async def delivered() -> bool:
            items = (await a.database.read(lambda tx: outbox(tx, B)))["items"]
            return all(each["delivered_at"] for each in items)

        await world.until(delivered, tries=200)
        got = await world.received(B)
        assert [each.detail for each in got] == ["fell", "restored", "fell"]
        items = (await a.database.read(lambda tx: outbox(tx, B)))["items"]
        assert [each["answer"] for each in items] == ["waiting"] * 3
        b = world.region(B)
        taken = await b.database.read(lambda tx: inbox(tx, A, limit=2))
        rest = await b.database.read(lambda tx: inbox(tx, A, taken["cursor"], 2))
        assert [each["event"] for each in taken["items"] + rest["items"]] == ["fell", "restored", "fell"]
        assert [each["entry"] for each in taken["items"] + rest["items"]] == [each["entry"] for each in items]
        assert await world.tending[A].notices.collect() == 0


async def test_a_flood_is_held_until_an_operator_speaks(database_urls: Urls, tmp_path: Path) -> None:
    """The limit lets two through; the third waits, is seen, and falls when released; what is dropped never does."""
    async with cascade_world(tmp_path, database_urls, foreign_effects_per_hour=2) as world:
        roots = [await world.licence(A) for _ in range(4)]
        children = [await world.licence(B, (A, each)) for each in roots]
        await world.rounds(2)
        for each in roots:
            await world.act(A, each, "suspend")
        await world.rounds(6)

        states = await world.states(B, *children)
        b = world.region(B)
        held = await b.database.read(lambda tx: flood.listed(tx, A))
        assert sorted(states) == [SUSPENDED, SUSPENDED, VALID, VALID]
        assert [each["state"] for each in held] == ["held", "held"]

        first, second = (each["identifier"] for each in held)
        dropped = await flood.release(b, OPERATOR, A, {"identifiers": [first], "drop": True})
        released = await flood.release(b, OPERATOR, A, {})
        await world.rounds(4)

        assert (dropped["dropped"], released["released"]) == (1, 1)
        states = await world.states(B, *children)
        by_root = {root.identifier: state for root, state in zip(roots, states, strict=True)}
        assert (by_root[first], by_root[second]) == (VALID, SUSPENDED)
        for each in roots:
            await world.act(A, each, "reinstate")
        await world.until_states(B, [(each, VALID) for each in children])
        await world.rounds(2)
        assert await b.database.read(lambda tx: tx.execute(select(held_falls)).first()) is None


async def ring(world: CascadeWorld) -> tuple[Any, Any, Any]:
    """Issue x in A, y in B on x, z in A on y, and a new version of x that rests on z: a circle over two regions."""
    x = await world.licence(A)
    y = await world.licence(B, (A, x))
    z = await world.licence(A, (B, y))
    rests = {"change": "amend", "fields": {"residence": "示例省示例市示例路3号"}, "rests_on": cases.resting_on(z.id)}
    await new_version(world.region(A), licensing.actor(MARKET), x.id, rests)
    await world.rounds(4)
    assert await world.states(A, x, z) == [VALID, VALID]
    assert await world.states(B, y) == [VALID]
    return x, y, z


async def test_a_circle_over_two_regions_ends_with_its_root(database_urls: Urls, tmp_path: Path) -> None:
    """The decision comes back to A under its own name; its reversal clears both sides, and nothing swings after."""
    async with cascade_world(tmp_path, database_urls) as world:
        x, y, z = await ring(world)

        flag = await cases.upheld(world.region(A), cases.target(x.id))
        await world.until_states(B, [(y, SUSPENDED)])
        await world.until_states(A, [(x, ANNULLED), (z, SUSPENDED)])
        await world.rounds(4)
        falls = {code: len(await world.falls(code)) for code in (A, B)}
        await world.rounds(4)
        assert falls == {code: len(await world.falls(code)) for code in (A, B)}

        await reverse(world.region(A), cases.second_officer(), flag, REVERSAL)
        await world.until_states(B, [(y, VALID)])
        await world.until_states(A, [(x, VALID), (z, VALID)])
        size = {code: (await world.region(code).figures())["size"] for code in (A, B)}
        await world.rounds(6)
        assert await world.states(A, x, z) == [VALID, VALID]
        assert await world.states(B, y) == [VALID]
        assert size == {code: (await world.region(code).figures())["size"] for code in (A, B)}
        for code in (A, B):
            assert all(each.closed_idx is not None for each in await world.falls(code))


async def test_a_circle_ends_although_its_notices_were_late(sqlite_urls: Urls, tmp_path: Path) -> None:
    """Both sides acted under stand-ins first: the names sort it out, and the reversal still clears everything."""
    async with cascade_world(tmp_path, sqlite_urls) as world:
        x, y, z = await ring(world)
        world[A].road.cut.add(B)
        flag = await cases.upheld(world.region(A), cases.target(x.id))
        await world.until_states(B, [(y, SUSPENDED)])
        world[A].road.cut.clear()
        world[B].road.cut.add(A)
        await world.rounds(1)
        world[B].road.cut.clear()
        await world.until_states(A, [(x, ANNULLED), (z, SUSPENDED)])

        await reverse(world.region(A), cases.second_officer(), flag, REVERSAL)

        await world.until_states(B, [(y, VALID)], tries=200)
        await world.until_states(A, [(x, VALID), (z, VALID)], tries=200)
        await world.rounds(6)
        assert await world.states(A, x, z) == [VALID, VALID]


async def test_a_cause_crosses_three_regions_under_one_name(sqlite_urls: Urls, tmp_path: Path) -> None:
    """A's decision reaches C through B, both name A's entry, and the reversal goes the same way."""
    async with cascade_world(tmp_path, sqlite_urls, count=3) as world:
        x = await world.licence(A)
        y = await world.licence(B, (A, x))
        w = await world.licence(C, (B, y))
        await world.rounds(2)

        await world.act(A, x, "annul")
        await world.until_states(C, [(w, SUSPENDED)])

        [root] = {each["cause"] for each in await world.sent(A)}
        await world.rounds(2)
        for code in (B, C):
            assert {each.cause for each in await world.falls(code) if each.closed_idx is None} == {root}
        assert await world.states(B, y) == [SUSPENDED]
