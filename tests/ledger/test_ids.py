"""Identifiers: random, in one spelling, and alike at the beginning where they were made together."""

import base64
from pathlib import Path

from sqlalchemy import select

from ledger import issuing
from ledger.ids import RUN_SIZE, is_id, new_id, new_run
from ledger.issued import Issued
from ledger.tables.subjects import subjects
from tests.ledger.licensing import EDUCATION, OTHER_PERSON, actor, diploma, licensing_region, request


def _run_of(identifier: str) -> bytes:
    return base64.urlsafe_b64decode(identifier + "==")[:RUN_SIZE]


def test_identifiers_of_a_run_begin_with_it_and_differ() -> None:
    """The rest is drawn for each."""
    run = new_run()
    made = {new_id(run) for _ in range(100)}

    assert len(made) == 100 and all(is_id(each) for each in made)
    assert {_run_of(each) for each in made} == {run}


def test_identifiers_without_a_run_have_nothing_in_common() -> None:
    """All sixteen bytes are drawn for each."""
    made = [new_id() for _ in range(100)]

    assert all(is_id(each) for each in made) and len({_run_of(each) for each in made}) > 90


async def test_licences_issued_together_and_their_holders_are_a_run_each(sqlite_url: str, tmp_path: Path) -> None:
    """Those of the next call are another run: what is shared tells of one moment only."""
    async with licensing_region(sqlite_url, tmp_path) as region:
        runs = []
        for n in (1, 3):
            asked = [request(region, diploma(n)), request(region, diploma(n + 1, holder=OTHER_PERSON))]
            outcomes = await issuing.issue(region, actor(EDUCATION, "issue"), asked)
            assert all(isinstance(each, Issued) for each in outcomes), outcomes
            runs.append({_run_of(each.id) for each in outcomes if isinstance(each, Issued)})
        holders = await region.database.read(lambda tx: list(tx.execute(select(subjects.c.id)).scalars()))

    assert [len(each) for each in runs] == [1, 1] and runs[0] != runs[1]
    assert len(holders) == 2 and len({_run_of(each) for each in holders}) == 1
