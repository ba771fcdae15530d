"""Preparing beside the serving process: the same outcomes, nothing lost or twice, and no process left behind."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest
from pydantic import SecretStr
from sqlalchemy import func, select

from api.batch_input import Lines
from api.batches import row_answer
from api.cli.service import create_region
from api.composition import open_region, preparers_of
from api.settings import Settings
from ledger import grants, keys_registry, preparers
from ledger.batch_rows import issue_patiently
from ledger.errors import Refusal
from ledger.history import load_event
from ledger.issued import Answered, Issued, issued_before
from ledger.issuing import Outcome
from ledger.preparers import Preparers
from ledger.region import Region
from ledger.tables.licences import licences
from tests.ledger import licensing
from tests.ledger.licensing import FOOD, HOUSING, MARKET, actor, food
from tests.region import BASE_URL, OPERATOR
from verifiers.licence import parse

LIMIT = 65_536

PARENT = """
import asyncio, sys
from api.composition import open_region, preparers_of
from api.settings import Settings

async def main():
    settings = Settings()
    region = await open_region(settings)
    pool = preparers_of(settings, region)
    pool.start()
    await pool.until_ready()
    print(*pool.pids, flush=True)
    await asyncio.sleep(600)

asyncio.run(main())
"""


def settings_of(database_url: str, folder: Path, count: int) -> Settings:
    """Settings of a region below `folder` with a cheap key store."""
    return Settings(
        database_url=database_url,
        keystore=folder / "keys",
        keystore_password=SecretStr("only for tests"),
        tiles=folder / "public",
        base_url=BASE_URL,
        publish_interval_ms=20,
        preparers=count,
    )


@asynccontextmanager
async def region_with(database_url: str, folder: Path, count: int) -> AsyncIterator[Region]:
    """Run a furnished region with `count` preparers that are ready."""
    settings = settings_of(database_url, folder, count)
    await create_region(settings, testing_only=True)
    region = await open_region(settings)
    try:
        await licensing.furnish(region)
        region.preparers = pool = preparers_of(settings, region)
        if pool is not None:
            pool.start()
            async with asyncio.timeout(60):
                await pool.until_ready()
        try:
            yield region
        finally:
            if pool is not None:
                await pool.stop()
    finally:
        await region.close()


@pytest.fixture
async def region(database_url: str, tmp_path: Path) -> AsyncIterator[Region]:
    """A region with two preparers, on both databases."""
    async with region_with(database_url, tmp_path, 2) as running:
        yield running


@pytest.fixture
def only_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let nothing be prepared in this process."""

    async def refuse(*given: Any) -> None:
        raise AssertionError("prepared here")

    monkeypatch.setattr(preparers, "prepare", refuse)


def pool_of(region: Region) -> Preparers:
    """The region's preparers."""
    assert region.preparers is not None
    return region.preparers


def lines(bodies: list[Any], first: int = 1) -> Lines:
    """Return rows as they come from the network."""
    rows = [each if isinstance(each, bytes) else orjson.dumps(each) for each in bodies]
    return Lines(list(enumerate(rows, first)), LIMIT, BASE_URL)


def row(n: int, **changes: Any) -> dict[str, Any]:
    """Return the n-th good row."""
    return food(n) | {"client_ref": f"ref-{n}"} | changes


def told(outcome: Outcome) -> Any:
    """What can be compared of an outcome in two regions: licences differ in their random parts."""
    if isinstance(outcome, Refusal):
        return outcome.code, outcome.pointer, outcome.facts
    assert isinstance(outcome, Answered)
    answer = orjson.loads(outcome.answer)
    shown = parse(answer["licence"])
    return list(answer), answer["client_ref"], answer["row"], answer["identifier"], answer["version"], shown.identifier


MIXED: list[Any] = [
    row(1),
    row(2),
    row(1),  # the same row again
    row(1, number="JY16101009999999"),  # another row under its reference
    row(3, number="JY16101000000002"),  # taken by the second
    b"{",
    {"type": FOOD},
    row(4, type="11100000MB0341032Y999"),
    row(5, valid_until="2020-01-01"),
    row(6, type=licensing.OFFICER),  # not granted
    row(7, rests_on=[{"licence": "AAAAAAAAAAAAAAAAAAAAAA", "basis": "evidence"}]),
    row(8, fields={}),
    row(9, area="110000"),
]


@pytest.mark.parametrize("count", [0, 2])
async def test_outcomes_do_not_depend_on_where_they_were_prepared(
    sqlite_url: str, tmp_path: Path, count: int, request: pytest.FixtureRequest
) -> None:
    """One list of rows, good, bad, repeated and contradictory, and one list of what becomes of them."""
    async with region_with(sqlite_url, tmp_path, count) as region:
        if count:
            request.getfixturevalue("only_elsewhere")
        outcomes = await issue_patiently(region, actor(MARKET), lines(MIXED))

        codes = [None if isinstance(each, Answered) else _code(each) for each in outcomes]
        assert codes[0] is None and codes[1] is None
        assert codes[3:] == [
            "idempotency.conflict",
            "number.taken",
            "body.not_json",
            "request.member_missing",
            "type.unknown",
            "validity.reversed",
            "grant.exceeded",
            "basis.unknown",
            "field.missing",
            "grant.exceeded",
        ]
        assert told(outcomes[0])[:3] == (
            ["client_ref", "row", "id", "identifier", "version", "licence", "code", "entry", "receipt", "status"],
            "ref-1",
            1,
        )
        first, repeated = outcomes[0], outcomes[2]
        assert isinstance(first, Answered) and isinstance(repeated, Issued)
        assert first.entry == repeated.entry


def _code(outcome: Outcome) -> str:
    assert isinstance(outcome, Issued | Refusal)
    return str(outcome.code) if isinstance(outcome, Refusal) else "issued before"


async def test_bytes_written_beforehand_are_those_of_the_record(region: Region, only_elsewhere: None) -> None:
    """The answer that a preparer wrote is, byte for byte, the one that is written anew when the row comes again."""
    [outcome] = await issue_patiently(region, actor(MARKET), lines([row(1)], first=7))

    assert isinstance(outcome, Answered)
    again = await issued_before(region, outcome.entry)
    assert outcome.answer == orjson.dumps(row_answer(7, "ref-1", again, "en", BASE_URL)) + b"\n"


async def test_killed_preparers_lose_and_duplicate_nothing(region: Region) -> None:
    """SIGKILL for both while they work: every row is issued once, and two others take their place."""
    pool, killed = pool_of(region), pool_of(region).pids
    parts = [lines([row(n) for n in range(start, start + 100)], start) for start in range(1, 601, 100)]
    work = asyncio.gather(*(issue_patiently(region, actor(MARKET), part) for part in parts))
    while not any(each.jobs for each in pool._ready):
        await asyncio.sleep(0)

    for pid in killed:
        os.kill(pid, signal.SIGKILL)
    outcomes = [each for part in await work for each in part]

    assert all(isinstance(each, Answered) for each in outcomes)
    assert len({each.entry for each in outcomes if isinstance(each, Answered)}) == 600
    assert await region.database.read(lambda tx: tx.scalar(select(func.count()).select_from(licences))) == 600
    async with asyncio.timeout(60):
        while pool.ready < 2 or set(pool.pids) & set(killed):
            await asyncio.sleep(0.05)
    assert pool.lost == 2
    [after] = await issue_patiently(region, actor(MARKET), lines([row(700)]))
    assert isinstance(after, Answered)


async def test_a_change_of_the_catalogue_reaches_them(region: Region, only_elsewhere: None) -> None:
    """A grant given now counts with the next row, and one ended now does not."""
    elsewhere = actor(HOUSING)
    [before] = await issue_patiently(region, elsewhere, lines([row(1)]))
    grant = await licensing.give(region, HOUSING, FOOD)
    [given] = await issue_patiently(region, elsewhere, lines([row(2)]))
    await grants.end(region, OPERATOR, grant)
    [ended] = await issue_patiently(region, elsewhere, lines([row(3)]))

    assert told(before)[0] == told(ended)[0] == "grant.exceeded"
    assert isinstance(given, Answered)


async def test_they_sign_with_the_key_that_the_log_names_now(region: Region, only_elsewhere: None) -> None:
    """After a rotation the next licence is signed by the new key, in every preparer."""
    await issue_patiently(region, actor(MARKET), lines([row(1), row(2)]))
    old = region.catalogue.active_key(MARKET, "licence").kid
    await keys_registry.rotate(region, OPERATOR, MARKET, "licence")
    new = region.catalogue.active_key(MARKET, "licence").kid
    outcomes = await asyncio.gather(
        *(issue_patiently(region, actor(MARKET), lines([row(n)])) for n in range(10, 18)),
    )

    assert old != new
    for [outcome] in outcomes:
        assert isinstance(outcome, Answered)
        with region.database.reading() as tx:
            assert load_event(tx, region.vault, outcome.entry).facts["kids"]["licence"] == new


async def test_they_end_with_a_service_that_ends(region: Region) -> None:
    """A clean stop waits for them, and what comes afterwards is prepared here."""
    pool = pool_of(region)
    pids = pool.pids

    await pool.stop()
    [outcome] = await issue_patiently(region, actor(MARKET), lines([row(1)]))

    assert isinstance(outcome, Answered)
    assert pool.ready == 0
    assert not any(_alive(pid) for pid in pids)


async def test_nobody_is_left_when_the_service_is_killed(sqlite_url: str, tmp_path: Path) -> None:
    """SIGKILL for the parent, who can do nothing about it: its preparers read the end of the pipe."""
    settings = settings_of(sqlite_url, tmp_path, 2)
    await create_region(settings, testing_only=True)
    found = {f"ELICENCE_{name.upper()}": str(getattr(settings, name)) for name in _NAMED}
    found["ELICENCE_KEYSTORE_PASSWORD"] = "only for tests"
    parent = subprocess.Popen([sys.executable, "-c", PARENT], env=os.environ | found, stdout=subprocess.PIPE)
    assert parent.stdout is not None
    with parent.stdout:
        pids = [int(pid) for pid in (await asyncio.to_thread(parent.stdout.readline)).split()]

    parent.kill()
    await asyncio.to_thread(parent.wait)

    assert len(pids) == 2
    give_up = time.monotonic() + 30
    while any(_alive(pid) for pid in pids) and time.monotonic() < give_up:
        await asyncio.sleep(0.05)
    assert not any(_alive(pid) for pid in pids)


_NAMED = ("database_url", "keystore", "tiles", "base_url", "preparers")


def _alive(pid: int) -> bool:
    """Whether a process runs; one that nobody has waited for yet does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False
