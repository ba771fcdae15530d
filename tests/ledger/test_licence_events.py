"""Rows of licences follow from events alone, however the log is cut into slices when it is replayed."""

from __future__ import annotations

import random
import shutil
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Table, select

from ledger import acts, causes, departments, keys_registry, matters, seals, submissions, types
from ledger.clock import ManualClock
from ledger.database import Database, Reading, migrate
from ledger.events import Event, replay
from ledger.history import load_events
from ledger.importing import import_licences, parse_import
from ledger.region import Region
from ledger.sequencing import read_head
from ledger.tables import catalogue, licences, subjects
from ledger.tables import submissions as submission_tables
from ledger.versions import new_version
from tests.ledger import licensing
from tests.ledger.test_importing import row
from tests.ledger.test_types import example_matter
from tests.region import OPERATOR
from verifiers.legal_dates import day_of

PROJECTIONS: tuple[Table, ...] = (
    *(
        table
        for module in (catalogue, licences, submission_tables)
        for table in vars(module).values()
        if isinstance(table, Table) and table.info.get("class") == "projection"
    ),
    subjects.subjects,
    subjects.subject_index,
)


async def busy_day(region: Region, clock: ManualClock) -> None:
    """Do a little of everything, over several months."""
    await matters.register(region, OPERATOR, example_matter())
    market = licensing.actor(licensing.MARKET)
    await types.instruct(region, market, licensing.FOOD, 1, None)
    opened = await submissions.open_submission(
        region,
        market,
        {
            "matter": "EXAMPLE-SX-0131003",
            "applicant": licensing.COMPANY,
            "materials": [{"digest": "0" * 64, "kind": "示例"}],
        },
    )
    first = await licensing.issued(region, licensing.MARKET, licensing.food(1, submission=opened["id"]))
    second = await licensing.issued(
        region, licensing.MARKET, licensing.food(2, rests_on=[{"licence": first.id, "basis": "identity"}])
    )
    await submissions.decide(region, market, opened["id"], {"outcome": "granted", "results": [first.id, second.id]})
    act = {"authority": "示例", "articles": ["示例 1"], "document_no": "1", "decided_at": "2026-11-21"}
    await acts.act(region, market, first.id, act | {"act": "suspend", "reason": "示例缘由"})
    clock.advance(days=3)
    await acts.act(region, market, first.id, act | {"act": "reinstate"})
    await new_version(region, market, first.id, {"change": "amend", "fields": {"premises": "新址"}})
    await keys_registry.rotate(region, OPERATOR, licensing.MARKET, "code")
    await new_version(region, market, first.id, {"change": "reissue"})
    await acts.act(region, market, second.id, act | {"act": "annul"})
    education = licensing.actor(licensing.EDUCATION)
    backlog = [row(1), row(2, act=act | {"act": "cancel"}), row(3, act=act | {"act": "annul"})]
    await import_licences(region, education, [parse_import(each, date(2026, 11, 24)) for each in backlog])
    seal = {"code": "6100000000001", "kind": "licence", "name": "示例章", "holder": licensing.MARKET}
    filed = await seals.register(region, market, seal | {"picture": "0" * 64, "valid_from": "2026-11-21"})
    await seals.act(region, market, filed["id"], {"act": "suspend", "reason": "示例"})
    clock.advance(days=90)
    await departments.succeed(region, OPERATOR, licensing.EDUCATION, licensing.HOUSING)
    await licensing.issued(region, licensing.MARKET, licensing.food(3))
    await departments.close(region, OPERATOR, licensing.AGRICULTURE)


def rows(tx: Reading, table: Table) -> list[tuple[Any, ...]]:
    """Return every row of a table in one order."""
    return sorted((tuple(each) for each in tx.execute(select(table))), key=repr)


def slices(events: list[Event], rng: random.Random) -> list[list[Event]]:
    """Cut events into slices of random length."""
    cuts = sorted(rng.sample(range(1, len(events)), min(rng.choice([0, 1, 5, 20]), len(events) - 1)))
    return [events[start:end] for start, end in zip([0, *cuts], [*cuts, len(events)], strict=True)]


@pytest.mark.parametrize("url_fixture", ["sqlite_url", pytest.param("postgres_url", marks=pytest.mark.postgres)])
async def test_a_replay_in_any_slices_gives_the_same_rows(
    url_fixture: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """What the writer projected batch by batch is what a replay projects, whatever its slices are."""
    clock = ManualClock(datetime(2026, 11, 21, 4, tzinfo=UTC))
    rng = random.Random(20261121)
    empty = tmp_path / "empty.db"
    migrate(f"sqlite:///{empty}")
    async with licensing.licensing_region(request.getfixturevalue(url_fixture), tmp_path, clock=clock) as region:
        await busy_day(region, clock)
        today = day_of(clock.now())
        await region.database.write(lambda tx: causes.turn(tx, date(2026, 1, 1), today))
        with region.database.reading() as tx:
            events = list(load_events(tx, region.vault, 0, read_head(tx).size))
            expected = {table.name: rows(tx, table) for table in PROJECTIONS}
    events = [event for event in events if event.event != "trust.published"]

    assert [name for name, found in expected.items() if not found] == []
    for attempt in range(6):
        file = tmp_path / f"replay-{attempt}.db"
        shutil.copyfile(empty, file)
        copy = Database.open(f"sqlite:///{file}")
        with copy.writing() as scratch:
            for part in slices(events, rng):
                replay(scratch, part)
            causes.turn(scratch, date(2026, 1, 1), today)
        with copy.reading() as tx:
            for table in PROJECTIONS:
                assert rows(tx, table) == expected[table.name], table.name
        copy.close()
