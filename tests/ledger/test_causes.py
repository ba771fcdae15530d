"""Causes: state and slots of many licences at once, compared with the one-licence rule, and how long it takes."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any

import pytest
from sqlalchemy import select

from ledger import causes
from ledger.causes import CauseRow
from ledger.database import Database, Writing, bulk_insert
from ledger.ids import new_id
from ledger.tables.licences import causes as cause_rows
from ledger.tables.licences import licence_versions, licences, slot_status
from verifiers.cascade import Effect, OpenCause, state_of

TODAY = date(2026, 11, 21)


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """Give an open database with the newest schema, on both engines."""
    database = Database.open(database_url)
    yield database
    database.close()


def insert_licences(tx: Writing, count: int) -> list[str]:
    """Insert plain licences with one version each and return their ids."""
    ids = [new_id() for _ in range(count)]
    fixed = ("1" * 21, 1, "1" * 18, "1" * 18, "610000")
    bulk_insert(
        tx,
        licences,
        [(id_, *fixed, f"{n}", "issued", 1, "2026-01-01", None, "valid", b"", n) for n, id_ in enumerate(ids)],
    )
    bulk_insert(
        tx,
        licence_versions,
        [
            (
                id_,
                1,
                n,
                "issue",
                0,
                f"i{n}".encode(),
                "X",
                0,
                n,
                f"j{n}".encode(),
                f"c{n}".encode(),
                "k",
                "k",
                "2026-01-01",
                None,
                None,
            )
            for n, id_ in enumerate(ids)
        ],
    )
    return ids


def cause(n: int, licence: str, effect: str = "suspended", root: str = "r", **changes: Any) -> CauseRow:
    """Return a cause of a licence."""
    row = CauseRow(
        id=f"o:{n}",
        licence=licence,
        root=root,
        kind="inherited",
        effect=effect,
        act="annul" if effect == "revoked" else "suspend",
        by="1" * 18,
        basis="identity",
        appealable_until=None,
        effective_from="2026-01-01",
        until=None,
        opened_idx=n,
        closed_idx=None,
        facts="{}",
    )
    return row._replace(**changes)


def standing(tx: Writing) -> dict[str, tuple[str, int]]:
    """Return state and slot value of every licence."""
    joined = licences.join(licence_versions, licence_versions.c.licence == licences.c.id).outerjoin(
        slot_status,
        (slot_status.c.list_num == licence_versions.c.list_num) & (slot_status.c.slot == licence_versions.c.slot),
    )
    rows = tx.execute(select(licences.c.id, licences.c.state, slot_status.c.value).select_from(joined))
    return {row.id: (row.state, row.value or 0) for row in rows}


def test_ten_thousand_licences_turn_and_come_back_in_sets(database: Database) -> None:
    """Opening and closing one root cause over 10,000 licences is a matter of set-based statements."""
    with database.writing() as tx:
        ids = insert_licences(tx, 10_000)
    with database.writing() as tx:
        rows = [cause(n, id_, "revoked" if n % 3 else "suspended") for n, id_ in enumerate(ids)]
        causes.open_causes(tx, rows)

        causes.recompute(tx, ids, TODAY)
        fallen = standing(tx)
        restored = causes.close_causes(tx, cause_rows.c.root == "r", 20_000, date(2025, 1, 1))
        causes.recompute(tx, restored, TODAY)
        after = standing(tx)

    assert {fallen[id_] for id_ in ids} == {("annulled", 1), ("suspended", 2)}
    # What had said 1 says 1 for ever; the rest is as if nothing had happened.
    assert {after[id_] for id_ in ids} == {("valid", 1), ("valid", 0)}


@pytest.mark.parametrize("seed", range(5))
def test_sets_give_what_one_licence_at_a_time_gives(database: Database, seed: int) -> None:
    """Whatever opens, closes and lapses in whatever order, every licence is what its open causes say."""
    rng = random.Random(seed)
    today = TODAY
    model: dict[str, dict[str, CauseRow]] = {}
    stuck: set[str] = set()
    with database.writing() as tx:
        ids = insert_licences(tx, 12)
        for n in range(60):
            action = rng.choice(["open", "open", "close", "day"])
            licence = rng.choice(ids)
            if action == "open":
                row = random_cause(rng, n, licence, today)
                causes.open_causes(tx, [row])
                model.setdefault(licence, {})[row.id] = row
                causes.recompute(tx, [licence], today)
            elif action == "close":
                root = f"r{rng.randrange(4)}"
                for each in causes.close_causes(tx, cause_rows.c.root == root, n, today):
                    model[each] = {id_: row for id_, row in model[each].items() if row.root != root}
                causes.recompute(tx, ids, today)
            else:
                since, today = today, today + timedelta(days=rng.randrange(1, 30))
                causes.turn(tx, since, today)
            found = standing(tx)
            for each in ids:
                expected = state_of([parsed(row) for row in model.get(each, {}).values()], today)
                if expected.slot == 1:
                    stuck.add(each)
                assert found[each] == (expected.state, 1 if each in stuck else expected.slot)


def random_cause(rng: random.Random, n: int, licence: str, today: date) -> CauseRow:
    """Return a cause that may begin later, lapse, or be open to appeal."""
    revoked = rng.random() < 0.5
    start = today + timedelta(days=rng.choice([0, 0, 10]))
    return cause(
        n,
        licence,
        "revoked" if revoked else "suspended",
        root=f"r{rng.randrange(4)}",
        effective_from=start.isoformat(),
        until=None if revoked or rng.random() < 0.5 else (start + timedelta(days=20)).isoformat(),
        appealable_until=(start + timedelta(days=25)).isoformat() if revoked and rng.random() < 0.6 else None,
    )


def parsed(row: CauseRow) -> OpenCause:
    """Return a cause as the pure rule takes it."""
    days = [None if text is None else date.fromisoformat(text) for text in (row.until, row.appealable_until)]
    return OpenCause(Effect.parse(row.effect), row.act, date.fromisoformat(row.effective_from), *days)
