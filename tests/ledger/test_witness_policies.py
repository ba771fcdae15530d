"""Who watches our log is logged, named in the trust list, and refused where it could not work."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from ledger import witness_policies, witness_states
from ledger.clock import ManualClock
from ledger.errors import Code, Refusal
from tests.ledger.witnesses import (
    policy_text,
    shown,
    trust_of,
    watch,
    watched_region,
    witness,
)
from tests.region import OPERATOR

NOON = datetime(2026, 11, 21, 4, tzinfo=UTC)


async def test_without_a_policy_nobody_is_asked(database_url: str, tmp_path: Path) -> None:
    """A region without witnesses publishes as before."""
    async with watched_region(database_url, tmp_path) as (region, cosigner, _):
        await cosigner.step()

        assert (shown(region), cosigner.readiness()) == (None, {"ready": True})
        assert cosigner.figures()["quorum_age_s"] is None
        assert region.log_policy.quorum == 0


async def test_the_trust_list_says_who_watches(database_url: str, tmp_path: Path) -> None:
    """The policy is logged and comes with the next trust list; setting it again changes what is asked for."""
    a, b = witness("a", 1), witness("b", 2, quantum=True)
    async with watched_region(database_url, tmp_path, a, b, quorum=2) as (region, _, _):
        document = await trust_of(region)
        watch_of = document["logs"][0]["witnesses"]
        assert watch_of["k"] == 2
        assert [row["name"] for row in watch_of["keys"]] == [a.name, b.name, b.name]
        assert {row["url"] for row in watch_of["keys"]} == {a.url, b.url}

        await watch(region, 1, a)
        await region.trust.settled(10)

        assert [row["name"] for row in (await trust_of(region))["logs"][0]["witnesses"]["keys"]] == [a.name]
        assert witness_policies.answer_of(region.catalogue)["quorum"] == 1


async def test_a_witness_is_added_by_its_key(database_url: str, tmp_path: Path) -> None:
    """Any C2SP witness joins by vkey and URL; its second key joins the first; what makes no sense is refused."""
    a, b = witness("a", 1, quantum=True), witness("b", 2)
    async with watched_region(database_url, tmp_path) as (region, _, _):
        for key, _ in (*a.keys, *b.keys):
            url = a.url if key.name == a.name else b.url
            body = {"vkeys": [key.to_text()], "url": f"{url}/", "quorum": 1}
            answer = await witness_policies.add_witness(region, OPERATOR, body)

        assert answer["witnesses"] == [
            {"name": a.name, "url": a.url, "counts": True},
            {"name": b.name, "url": b.url, "counts": True},
        ]
        policy = witness_policies.policy_of(region.catalogue)
        assert (policy.quorum, policy.keys) == (1, tuple(key for key, _ in (*a.keys, *b.keys)))
        for wrong in (
            {"vkeys": ["x"], "url": a.url},
            {"vkeys": [], "url": a.url},
            {"vkeys": [b.keys[0][0].to_text()], "url": b.url, "quorum": 3},
        ):
            with pytest.raises(Refusal) as caught:
                await witness_policies.add_witness(region, OPERATOR, wrong)
            assert caught.value.code is Code.WITNESS_POLICY_INVALID
        with pytest.raises(Refusal) as unknown:
            await witness_policies.add_witness(region, OPERATOR, {"peer": "990000"})
        assert unknown.value.code is Code.PEER_UNKNOWN


async def test_policies_that_could_not_work_are_refused(database_url: str, tmp_path: Path) -> None:
    """Nobody can be asked without an address, in the name of another log, or under our own name."""
    a = witness("a", 1)
    async with watched_region(database_url, tmp_path) as (region, _, _):
        own = region.vkeys[1]
        for text in (
            "nonsense\n",
            f"witness a {a.keys[0][0].to_text()}\nquorum a\n",
            f"log {a.keys[0][0].to_text()}\nquorum none\n",
            f"witness a {own} https://a.example\nquorum a\n",
            f"log {line_key('other.example/log')}\n{policy_text(1, a)}",
        ):
            with pytest.raises(Refusal) as caught:
                await witness_policies.set_policy(region, OPERATOR, {"policy": text})
            assert caught.value.code is Code.WITNESS_POLICY_INVALID
        given = f"log {region.vkeys[0]}\n{policy_text(1, a)}"
        assert (await witness_policies.set_policy(region, OPERATOR, {"policy": given}))["quorum"] == 1


def line_key(name: str) -> str:
    """The vkey of some other log."""
    from tests.verifiers.log_world import ed25519

    return ed25519(name, 77)[0].to_text()


async def test_operators_see_how_far_each_witness_is(sqlite_url: str, tmp_path: Path) -> None:
    """Size, age and error by witness, and the newest tree that a quorum has cosigned."""
    clock = ManualClock(NOON)
    a, b = witness("a", 1, clock=clock), witness("b", 2, clock=clock)
    async with watched_region(sqlite_url, tmp_path, a, b, clock=clock) as (region, cosigner, road):
        road.cut.add(b.name)
        await cosigner.step()
        clock.advance(30)

        told = await region.database.read(lambda tx: witness_states.status(tx, clock.now()))

        assert told == {
            "quorum": 1,
            "witnesses": [
                {"name": a.name, "url": a.url, "counts": True, "size": cosigner.size, "age_s": 30, "failures": 0,
                 "error": None},
                {"name": b.name, "url": b.url, "counts": True, "size": 0, "age_s": None, "failures": 1,
                 "error": "not reached: nobody answers there"},
            ],
            "witnessed": {"size": cosigner.size, "cosigned_at": "2026-11-21T04:00:00Z"},
        }  # fmt: skip
