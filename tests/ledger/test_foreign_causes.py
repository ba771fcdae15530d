"""What falls in one region reaches what rests on it in another, no more than suspends, and goes away with its root."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from ledger.errors import Code, Refusal
from ledger.foreign_settling import settle_falls
from ledger.history import events_of
from ledger.notices import pending
from ledger.rebuilding import rebuild
from ledger.reversal import reverse
from ledger.reviews import conclude, open_reviews
from ledger.versions import new_version
from tests.ledger import cases, licensing
from tests.ledger.cascade_world import ANNULLED, SUSPENDED, VALID, A, B, cascade_world
from tests.ledger.licensing import MARKET
from tests.ledger.test_cascade import REVERSAL

Urls = Callable[[str], str]


async def test_a_decision_in_one_region_suspends_what_rests_on_it_in_another_and_a_reversal_restores_it(
    database_urls: Urls, tmp_path: Path
) -> None:
    """The cause travels under the id of the decision; the reversal closes exactly it; a rebuild gives the same."""
    async with cascade_world(tmp_path, database_urls) as world:
        root = await world.licence(A)
        child = await world.licence(B, (A, root))
        below = await world.licence(B, rests_on=cases.resting_on(child.id))
        told = await world.licence(B, (A, root), basis="evidence")
        await world.rounds(2)

        flag = await cases.upheld(world.region(A), cases.target(root.id))
        await world.tell(A)
        await world.until_states(B, [(child, SUSPENDED), (below, SUSPENDED)])

        assert await world.states(A, root) == [ANNULLED]
        assert await world.states(B, told) == [VALID]
        [fall] = await world.falls(B)
        [notice] = await world.sent(A)
        assert fall.cause == notice["cause"] and fall.cause.startswith(f"{world.region(A).origin}:")
        assert (fall.affected, fall.closed_idx, fall.uri) == (2, None, root.status_uri)

        await reverse(world.region(A), cases.second_officer(), flag, REVERSAL)
        await world.until_states(B, [(child, VALID), (below, VALID), (told, VALID)])
        await world.rounds(2)

        assert [each.closed_idx is not None for each in await world.falls(B)] == [True]
        for code in (A, B):
            region = world.region(code)
            rebuilt = rebuild(region.database, region.vault, region.clock)
            assert rebuilt.replaced == (), rebuilt.differences.findings[:3]


async def test_an_act_suspends_across_the_border_and_a_reinstatement_restores(
    sqlite_urls: Urls, tmp_path: Path
) -> None:
    """Not only fraud: whatever makes the licence invalid at home suspends what rests on it."""
    async with cascade_world(tmp_path, sqlite_urls) as world:
        root = await world.licence(A)
        child = await world.licence(B, (A, root))
        await world.rounds(2)

        await world.act(A, root, "suspend")
        await world.until_states(B, [(child, SUSPENDED)])
        await world.act(A, root, "reinstate")
        await world.until_states(B, [(child, VALID)])

        assert [each["event"] for each in await world.sent(A)] == ["fell", "restored"]


async def test_a_lost_notice_is_made_up_for_by_the_followed_list(database_urls: Urls, tmp_path: Path) -> None:
    """Nothing reaches B but A's lists: after a short wait it suspends under a stand-in, which the notice renames."""
    async with cascade_world(tmp_path, database_urls) as world:
        root = await world.licence(A)
        child = await world.licence(B, (A, root))
        await world.rounds(2)
        world[A].road.cut.add(B)

        await world.act(A, root, "suspend")
        await world.until_states(B, [(child, SUSPENDED)])

        [stand_in] = await world.falls(B)
        assert stand_in.cause == f"{world.region(A).origin}:status:{root.status_uri}#{root.status_idx}"
        world[A].road.cut.clear()

        async def renamed() -> bool:
            return [each.closed_idx is None for each in await world.falls(B)] == [False, True]

        await world.until(renamed)
        assert await world.states(B, child) == [SUSPENDED]
        old, new = await world.falls(B)
        [notice] = await world.sent(A)
        assert new.cause == notice["cause"] and new.affected == 0
        # One proposal logged both, so no verdict in between was ever valid.
        assert abs(old.closed_idx - new.opened_idx) == 1
        await world.act(A, root, "reinstate")
        await world.until_states(B, [(child, VALID)])


async def test_a_notice_alone_changes_nothing(sqlite_urls: Urls, tmp_path: Path) -> None:
    """B has the notice and cannot see A's lists: everything stays as it is until it can."""
    async with cascade_world(tmp_path, sqlite_urls) as world:
        root = await world.licence(A)
        child = await world.licence(B, (A, root))
        await world.rounds(2)
        world[B].road.cut.add(A)

        await world.act(A, root, "suspend")
        await world.tell(A)
        await world.look(B)
        await world.look(B)

        assert [each.state for each in await world.received(B)] == ["waiting"]
        assert await world.states(B, child) == [VALID]
        assert await world.falls(B) == []
        world[B].road.cut.clear()
        await world.until_states(B, [(child, SUSPENDED)], telling=False)


async def test_nothing_is_built_on_what_has_fallen_abroad(database_urls: Urls, tmp_path: Path) -> None:
    """Issuing never waits for the network, but a basis that is known to have fallen is refused under the lock."""
    async with cascade_world(tmp_path, database_urls) as world:
        root = await world.licence(A)
        await world.licence(B, (A, root))
        await world.rounds(2)
        await world.act(A, root, "suspend")

        async def fell() -> bool:
            return bool(await world.falls(B))

        await world.until(fell)

        with pytest.raises(Refusal) as refused:
            await world.licence(B, (A, root))
        assert refused.value.code is Code.BASIS_CAUSE_OPEN
        await world.licence(B, ("990000", root))  # nobody follows that region: declared, as it always was
        await world.act(A, root, "reinstate")

        async def restored() -> bool:
            return all(each.closed_idx is not None for each in await world.falls(B))

        await world.until(restored)
        await world.licence(B, (A, root))


async def test_the_owner_looks_again_and_its_word_stays(database_urls: Urls, tmp_path: Path) -> None:
    """One owner lifts the suspension while A's licence is still down; another keeps it and acts by its own grounds."""
    async with cascade_world(tmp_path, database_urls) as world:
        root = await world.licence(A)
        lifted, kept = await world.licence(B, (A, root)), await world.licence(B, (A, root))
        await world.rounds(2)
        await world.act(A, root, "suspend")
        await world.until_states(B, [(lifted, SUSPENDED), (kept, SUSPENDED)])
        region = world.region(B)
        owner = licensing.actor(MARKET, "supervise")
        reviews = (await region.database.read(lambda tx: open_reviews(tx, MARKET)))["items"]
        by_licence = {each["licence"]: each["id"] for each in reviews}

        await conclude(region, owner, by_licence[lifted.id], {"outcome": "restored", "reason": "示例"})
        await conclude(region, owner, by_licence[kept.id], {"outcome": "kept", "reason": "示例"})
        await world.act(B, kept, "annul")
        await world.rounds(3)
        assert await world.states(B, lifted, kept) == [VALID, ANNULLED]

        await world.act(A, root, "reinstate")
        await world.rounds(4)
        assert await world.states(B, lifted, kept) == [VALID, ANNULLED]
        assert (await region.database.read(lambda tx: open_reviews(tx, MARKET)))["items"] == []


async def test_two_causes_on_one_licence_close_one_by_one(sqlite_urls: Urls, tmp_path: Path) -> None:
    """The first to be restored leaves what the other demands."""
    async with cascade_world(tmp_path, sqlite_urls) as world:
        first, second = await world.licence(A), await world.licence(A)
        child = await world.licence(B, (A, first), (A, second))
        await world.rounds(2)
        await world.act(A, first, "suspend")
        await world.act(A, second, "suspend")
        await world.until_states(B, [(child, SUSPENDED)])

        async def both() -> bool:
            return len(await world.falls(B)) == 2

        await world.until(both)
        await world.act(A, first, "reinstate")
        await world.rounds(4)
        assert await world.states(B, child) == [SUSPENDED]
        await world.act(A, second, "reinstate")
        await world.until_states(B, [(child, VALID)])


async def test_every_licence_gets_its_own_entry_and_its_owner_a_notice(sqlite_urls: Urls, tmp_path: Path) -> None:
    """By its own department, in its own history; running it again adds nothing."""
    async with cascade_world(tmp_path, sqlite_urls) as world:
        root = await world.licence(A)
        child = await world.licence(B, (A, root))
        await world.rounds(2)
        await world.act(A, root, "suspend")
        await world.until_states(B, [(child, SUSPENDED)])
        await world.act(A, root, "reinstate")
        await world.until_states(B, [(child, VALID)])

        region = world.region(B)
        assert await settle_falls(region) == 0
        events = await region.database.read(lambda tx: events_of(tx, region.vault, child.id))
        assert [(e.kind, e.event, e.by) for e in events[1:]] == [
            ("licence.status", "licence.fell", MARKET),
            ("licence.status", "licence.restored", MARKET),
        ]
        told = (await region.database.read(lambda tx: pending(tx, MARKET)))["items"]
        assert [each["kind"] for each in told] == ["licence.suspended", "licence.restored"]
        assert told[0]["foreign"] == {"region": A, "identifier": root.identifier}
        fall = (await world.falls(B))[0]
        assert fall.settled_idx is not None and fall.restored_idx is not None


async def test_a_new_document_of_the_licence_abroad_is_no_fall(sqlite_urls: Urls, tmp_path: Path) -> None:
    """The old slot says 1 for good; B asks, learns the new place, and suspends nothing; the new place counts."""
    async with cascade_world(tmp_path, sqlite_urls) as world:
        root = await world.licence(A)
        child = await world.licence(B, (A, root))
        await world.rounds(2)

        await new_version(
            world.region(A), licensing.actor(MARKET), root.id, {"change": "reissue", "reason": "遗失(示例)"}
        )
        await world.rounds(6)
        assert await world.states(B, child) == [VALID]
        assert await world.falls(B) == []

        await world.act(A, root, "suspend")
        await world.until_states(B, [(child, SUSPENDED)])
