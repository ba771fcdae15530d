"""Taking over the backlog: what an import says of itself, what its two rules refuse, that nothing is taken twice."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from ledger import licences
from ledger.clock import ManualClock
from ledger.errors import Code, Refusal
from ledger.importing import import_licences, parse_import
from ledger.issued import Issued
from ledger.region import Region
from ledger.tables.licences import slot_status
from tests.ledger import licensing
from verifiers.code import parse_code_text
from verifiers.licence import parse

TODAY = date(2026, 11, 21)


@pytest.fixture
async def region(sqlite_url: str, tmp_path: Path) -> AsyncIterator[Region]:
    """Give a region on SQLite with departments, types and grants."""
    clock = ManualClock(datetime(2026, 11, 21, 4, tzinfo=UTC))
    async with licensing.licensing_region(sqlite_url, tmp_path, clock=clock) as region:
        yield region


def row(n: int = 1, **changes: Any) -> dict[str, Any]:
    """Return a diploma of 2012 as a backlog row."""
    return licensing.diploma(n) | {"issuer": "示例大学", "issued_on": "2012-07-01", "assurance": "checked"} | changes


async def take(region: Region, *bodies: dict[str, Any], rule: str = "strict") -> list[Issued | Refusal]:
    """Import rows into the education department."""
    requests = [parse_import(body, TODAY) for body in bodies]
    return await import_licences(region, licensing.actor(licensing.EDUCATION), requests, rule=rule)


async def one(region: Region, body: dict[str, Any], rule: str = "strict") -> Issued:
    """Import one row that must be taken."""
    [outcome] = await take(region, body, rule=rule)
    assert isinstance(outcome, Issued), outcome
    return outcome


async def test_an_import_says_where_it_comes_from(database_url: str, tmp_path: Path) -> None:
    """The document names original issuer, date and assurance; validity begins when it was issued; both engines."""
    clock = ManualClock(datetime(2026, 11, 21, 4, tzinfo=UTC))
    async with licensing.licensing_region(database_url, tmp_path, clock=clock) as region:
        answer = await one(region, row())

        licence = parse(answer.licence)
        assert licence.imported is not None
        assert (licence.imported.issuer, licence.imported.assurance) == ("示例大学", "checked")
        assert licence.imported.issued_on == date(2012, 7, 1) == licence.issued_on == licence.valid_from
        found = await region.database.read(lambda tx: licences.load(tx, answer.id))
        assert (found.origin_kind, found.state) == ("imported", "valid")


async def test_the_same_licence_is_taken_once(region: Region) -> None:
    """A number of the same issuer and type is refused the second time, in one batch or in two."""
    first, second = await take(region, row(), row())
    [third] = await take(region, row())

    assert isinstance(first, Issued)
    assert isinstance(second, Refusal) and second.code is Code.IMPORT_DUPLICATE
    assert isinstance(third, Refusal) and third.code is Code.IMPORT_DUPLICATE
    assert third.facts["licence"] == first.id


async def test_a_wrong_number_is_refused_or_becomes_a_warning(region: Region) -> None:
    """The strict rule refuses a citizen number with a wrong check digit; the lenient one says so in the document."""
    odd = row(holder={**licensing.PERSON, "id": "610101199001010014"})

    [strict] = await take(region, odd)
    lenient = await one(region, odd, rule="lenient")

    assert isinstance(strict, Refusal)
    assert (strict.code, strict.pointer) == (Code.IMPORT_NUMBER, "/holders/0/id")
    imported = parse(lenient.licence).imported
    assert imported is not None and imported.warnings == ("/holders/0/id: number.checksum",)


async def test_a_wrong_identifier_is_kept_as_it_is_printed(region: Region) -> None:
    """An identifier with a wrong check character stays what the old paper says, with a warning."""
    printed = f"1.2.156.3005.2.{licensing.DIPLOMA}.{licensing.EDUCATION}.106101200000000001.001.Z"

    [strict] = await take(region, row(identifier=printed))
    lenient = await one(region, row(identifier=printed), rule="lenient")

    assert isinstance(strict, Refusal) and strict.pointer == "/identifier"
    assert lenient.identifier == printed
    imported = parse(lenient.licence).imported
    assert imported is not None and imported.warnings == ("/identifier: identifier.check",)


async def test_a_licence_already_revoked_is_never_valid_here(region: Region) -> None:
    """The import and its status bit are one transaction; an appeal period long gone makes it final at once."""
    act = {
        "act": "annul",
        "authority": "示例教育厅",
        "articles": ["示例 1"],
        "document_no": "2015-1",
        "decided_at": "2015-03-01",
    }
    answer = await one(region, row(act=act))

    found = await region.database.read(lambda tx: licences.load(tx, answer.id))
    bit = select(slot_status.c.value).where(slot_status.c.slot == answer.status_idx)
    value = await region.database.read(lambda tx: tx.execute(bit).scalar_one())
    assert (found.state, value) == ("annulled", 1)


async def test_old_dates_fit_the_code(region: Region) -> None:
    """A licence from before 2000 can be printed too; the code then says that it began in 2000."""
    answer = await one(region, row(issued_on="1985-07-01", valid_from="1985-07-01"))

    assert parse_code_text(answer.code).payload.valid_from == date(2000, 1, 1)
    assert parse(answer.licence).valid_from == date(1985, 7, 1)


async def test_earlier_versions_are_kept_in_the_record(region: Region) -> None:
    """Version and history of the paper go into the record and the document's version number."""
    earlier = [{"version": 1, "issued_on": "2012-07-01"}, {"version": 2, "issued_on": "2014-01-01", "change": "补发"}]
    answer = await one(region, row(version=3, earlier_versions=earlier, issued_on="2020-01-01"))

    assert answer.version == 3 and answer.identifier.split(".")[-2] == "003"
    [step] = await licences.history(region, licensing.actor(licensing.EDUCATION), answer.id)
    assert step["imported"]["earlier"] == earlier


@pytest.mark.parametrize(
    ("changes", "code", "pointer"),
    [
        ({"issued_on": "2030-01-01"}, Code.IMPORT_INVALID, "/issued_on"),
        ({"issuer": ""}, Code.REQUEST_MEMBER_INVALID, "/issuer"),
        ({"number": None}, Code.REQUEST_MEMBER_MISSING, "/number"),
        ({"version": 0}, Code.REQUEST_MEMBER_INVALID, "/version"),
        ({"act": {"act": "reinstate"}}, Code.REQUEST_MEMBER_MISSING, "/act/decided_at"),
        ({"surprise": 1}, Code.REQUEST_MEMBER_UNKNOWN, "/surprise"),
    ],
)
def test_a_row_with_a_wrong_shape_is_refused(changes: dict[str, Any], code: Code, pointer: str) -> None:
    """Rows are read as strictly as requests."""
    with pytest.raises(Refusal) as caught:
        parse_import(row() | changes, TODAY)

    assert (caught.value.code, caught.value.pointer) == (code, pointer)
