"""What a decision turns, what is left after its reversal, and that both hold at ten thousand dependants."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import select

from ledger import types
from ledger.errors import Code, Refusal
from ledger.history import events_of
from ledger.region import Region
from ledger.reversal import reverse
from ledger.reviews import conclude, open_reviews
from ledger.settling import settle, settle_cases
from ledger.tables.fraud import decision_effects, decisions
from ledger.verifying import OnlineVerifier
from tests.ledger import cases, licensing
from tests.ledger.licensing import HOUSING, MARKET, OFFICER, food, issued
from verifiers.verdict import Outcome

REVERSAL = {"authority": "示例市中级人民法院", "articles": ["行政诉讼法第七十条"], "document_no": "示例行终〔2027〕1号"}


async def family(region: Region) -> dict[str, str]:
    """Issue a root, a licence resting on it by identity, and others that rest on that one in each way."""
    root = (await issued(region, MARKET, food(1))).id
    child = (await issued(region, MARKET, food(2, rests_on=cases.resting_on(root)))).id
    return {
        "root": root,
        "child": child,
        "qualified": (
            await issued(region, MARKET, food(3, rests_on=cases.resting_on(child, basis="qualification")))
        ).id,
        "informed": (await issued(region, MARKET, food(4, rests_on=cases.resting_on(child, basis="evidence")))).id,
        "foreign": (await issued(region, HOUSING, cases.certificate(1, rests_on=cases.resting_on(child)))).id,
    }


async def test_each_falls_as_far_as_its_basis_and_its_owner_allow(database_url: str, tmp_path: Path) -> None:
    """Identity revokes, qualification suspends, evidence tells; another department's licence is only suspended."""
    async with licensing.licensing_region(database_url, tmp_path) as region:
        names = await family(region)

        await cases.upheld(region, cases.target(names["root"]))

        states = await cases.states(region, names.values())
        assert {name: states[id_] for name, id_ in names.items()} == {
            "root": ("annulled", 2),
            "child": ("annulled", 2),
            "qualified": ("suspended", 2),
            "informed": ("valid", 0),
            "foreign": ("suspended", 2),
        }


async def test_a_standing_instruction_lets_another_departments_licence_fall(sqlite_url: str, tmp_path: Path) -> None:
    """With the owner's signed word the effect is its own, and the consequence cites the instruction."""
    async with licensing.licensing_region(sqlite_url, tmp_path) as region:
        effects = {"identity": "revoked", "qualification": "suspended", "evidence": "notice"}
        await types.instruct(region, licensing.actor(HOUSING, "issue"), OFFICER, 1, {"effects": effects})
        names = await family(region)

        flag_id = await cases.upheld(region, cases.target(names["root"]))

        assert (await cases.states(region, [names["foreign"]]))[names["foreign"]] == ("annulled", 2)
        query = select(decision_effects.c.instruction, decision_effects.c.by).where(
            decision_effects.c.flag == flag_id, decision_effects.c.licence == names["foreign"]
        )
        assert await region.database.read(lambda tx: tuple(tx.execute(query).one())) == ("1", HOUSING)


async def test_a_spared_licence_stays_and_shields_what_rests_on_it(sqlite_url: str, tmp_path: Path) -> None:
    """The public interest is named with a reason; what was never going to fall cannot be spared."""
    async with licensing.licensing_region(sqlite_url, tmp_path) as region:
        names = await family(region)
        stranger = (await issued(region, MARKET, food(9))).id

        with pytest.raises(Refusal) as refused:
            await cases.upheld(
                region, cases.target(names["root"]), spared=[{"licence": stranger, "reason": "公共利益(示例)"}]
            )
        await cases.upheld(
            region, cases.target(names["root"]), spared=[{"licence": names["child"], "reason": "公共利益(示例)"}]
        )

        assert refused.value.code is Code.SPARED_UNKNOWN
        states = await cases.states(region, names.values())
        assert [name for name, id_ in names.items() if states[id_] != ("valid", 0)] == ["root"]


async def test_every_verdict_turns_with_the_decision_and_back_with_the_reversal(
    database_url: str, tmp_path: Path
) -> None:
    """Online verdicts say annulled, until when it may be appealed, and valid again."""
    async with licensing.licensing_region(database_url, tmp_path) as region:
        licence = await issued(region, MARKET, food())
        verifier = OnlineVerifier(region)
        await cases.trusted(region)

        before = await verifier.verdict(licence.licence)
        flag_id = await cases.upheld(region, cases.target(licence.id))
        fallen = await verifier.verdict(licence.licence)
        by_code = await verifier.verdict(licence.code)
        await reverse(region, cases.second_officer(), flag_id, REVERSAL)
        after = await verifier.verdict(licence.licence)

        assert before.outcome is after.outcome is Outcome.VALID, (before.reasons, after.reasons)
        assert fallen.outcome is by_code.outcome is Outcome.INVALID
        assert fallen.reasons == ("status.revoked", "state.annulled", "state.revoked_appealable")


async def test_a_reversal_leaves_what_other_cases_and_acts_demand(database_url: str, tmp_path: Path) -> None:
    """Two cases overlap: each closes only its own causes, in whatever order."""
    async with licensing.licensing_region(database_url, tmp_path) as region:
        one = (await issued(region, MARKET, food(1))).id
        two = (await issued(region, MARKET, food(2))).id
        both = (
            await issued(
                region,
                MARKET,
                food(3, rests_on=[*cases.resting_on(one), *cases.resting_on(two, basis="qualification")]),
            )
        ).id
        first = await cases.upheld(region, cases.target(one))
        second = await cases.upheld(region, cases.target(two))
        assert (await cases.states(region, [both]))[both] == ("annulled", 2)

        await reverse(region, cases.second_officer(), first, REVERSAL)
        assert await cases.states(region, [one, two, both]) == {
            one: ("valid", 0),
            two: ("annulled", 2),
            both: ("suspended", 2),
        }

        await reverse(region, cases.second_officer(), second, REVERSAL)
        assert set((await cases.states(region, [one, two, both])).values()) == {("valid", 0)}
        with pytest.raises(Refusal) as again:
            await reverse(region, cases.second_officer(), second, REVERSAL)
        assert again.value.code is Code.FLAG_REVERSED


async def test_a_final_revocation_keeps_its_bit_after_a_reversal(sqlite_url: str, tmp_path: Path) -> None:
    """Once no appeal was open the list said 1 for ever; relief is a new version."""
    async with licensing.licensing_region(sqlite_url, tmp_path) as region:
        licence = await issued(region, MARKET, food())
        day = cases.today(region)
        past = {"decided_at": "2026-01-05", "served_at": "2026-01-05", "appealable_until": "2026-07-05"}
        flag_id = await cases.upheld(region, cases.target(licence.id), **past)
        assert day.isoformat() > past["appealable_until"]
        assert await cases.states(region, [licence.id]) == {licence.id: ("annulled", 1)}

        await reverse(region, cases.second_officer(), flag_id, REVERSAL)

        assert await cases.states(region, [licence.id]) == {licence.id: ("valid", 1)}
        verdict = await OnlineVerifier(region).verdict(licence.licence)
        assert "status.revoked" in verdict.reasons


async def test_an_owner_lifts_a_suspension_after_its_review(sqlite_url: str, tmp_path: Path) -> None:
    """The review case is the owner's, is closed once, and lifts exactly one cause."""
    async with licensing.licensing_region(sqlite_url, tmp_path) as region:
        names = await family(region)
        await cases.upheld(region, cases.target(names["root"]))
        housing = licensing.actor(HOUSING, "supervise")
        [review] = (await region.database.read(lambda tx: open_reviews(tx, HOUSING)))["items"]
        assert review["licence"] == names["foreign"]

        with pytest.raises(Refusal) as other:
            await conclude(region, cases.first_officer(), review["id"], {"outcome": "kept", "reason": "示例"})
        await conclude(region, housing, review["id"], {"outcome": "restored", "reason": "重新核查合格(示例)"})
        with pytest.raises(Refusal) as again:
            await conclude(region, housing, review["id"], {"outcome": "kept", "reason": "示例"})

        assert (other.value.code, again.value.code) == (Code.REVIEW_UNKNOWN, Code.REVIEW_CLOSED)
        assert (await cases.states(region, [names["foreign"]]))[names["foreign"]] == ("valid", 0)


async def test_every_licence_gets_its_own_entry_and_the_case_is_settled(sqlite_url: str, tmp_path: Path) -> None:
    """By its own department, in its own history; running it again adds nothing."""
    async with licensing.licensing_region(sqlite_url, tmp_path) as region:
        names = await family(region)
        flag_id = await cases.upheld(region, cases.target(names["root"]))

        assert await settle_cases(region) == len(names)
        assert await settle_cases(region) == 0
        await reverse(region, cases.second_officer(), flag_id, REVERSAL)
        assert await settle(region, flag_id) == len(names)

        events = await region.database.read(lambda tx: events_of(tx, region.vault, names["foreign"]))
        assert [(e.kind, e.event, e.by) for e in events[1:]] == [
            ("licence.status", "licence.fell", HOUSING),
            ("licence.status", "licence.restored", HOUSING),
        ]
        row = await region.database.read(lambda tx: tx.execute(select(decisions)).one())
        assert row.settled_idx is not None and row.restored_idx is not None
