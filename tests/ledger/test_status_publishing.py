"""Status lists follow the causes at once, name the log size they belong to, and never step back."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest
from sqlalchemy import event, func, insert, select, update

from keys.certificates import fingerprint
from ledger.clock import ManualClock
from ledger.database import Database, bulk_insert
from ledger.publication import LeaseLost
from ledger.region import Region
from ledger.slot_order import SLOTS
from ledger.status_slots import SlotPool, half_year, lists_announced, lists_in_use, skip_ahead
from ledger.status_tokens import AGGREGATION, Token, drop_old_tokens, newest_tokens, path_of, store_tokens, token_at
from ledger.tables.licences import causes, licence_versions, licences, slot_status
from ledger.tables.publishing import slot_leases, status_tokens
from tests.region import memory_store, region_on
from verifiers.status_list import StatusList, open_status_list
from verifiers.trust_list import open_trust_list

START = datetime(2026, 11, 21, 4, 0, 0, tzinfo=UTC)
OPEN_ENDED = 0


@pytest.fixture
async def region(database_url: str, tmp_path: Path) -> AsyncIterator[Region]:
    """A running region with a clock that stands still."""
    async with region_on(database_url, tmp_path, clock=ManualClock(START), status_ttl_s=30) as region:
        yield region


def version_row(name: str, number: int, list_num: int, slot: int) -> dict[str, Any]:
    """Return what is kept of a licence's first version."""
    return {
        "licence": name,
        "version": 1,
        "idx": number,
        "change": "issue",
        "minor": 0,
        "identifier_key": name.encode()[-12:],
        "identifier_tail": "",
        "list_num": list_num,
        "slot": slot,
        "jws_digest": number.to_bytes(32, "big"),
        "code_digest": number.to_bytes(32, "little"),
        "kid_licence": "k",
        "kid_code": "k",
        "valid_from": "2026-01-01",
        "valid_until": None,
        "superseded_idx": None,
    }


async def licence_in(region: Region, number: int, valid_until: date | None = None) -> tuple[int, int]:
    """Put rows in place that stand for one issued licence, and return its list and slot."""
    [slot] = await region.slots.take(valid_until)
    name = f"licence-{number:014d}"

    def write(tx: object) -> None:
        tx.execute(  # type: ignore[attr-defined]  # any writing transaction will do
            insert(licences).values(
                id=name,
                type="T",
                major=1,
                department="D",
                issuer="D",
                area="610000",
                serial=name,
                origin_kind="issued",
                current_version=1,
                valid_from="2026-01-01",
                valid_until=None,
                state="valid",
                secret=bytes(32),
                created_idx=number,
            )
        )
        tx.execute(  # type: ignore[attr-defined]  # any writing transaction will do
            insert(licence_versions).values(version_row(name, number, slot.list_num, slot.idx))
        )

    await region.database.write(write)
    return slot.list_num, slot.idx


async def set_slot(region: Region, where: tuple[int, int], value: int) -> None:
    """Turn a bit as a projector would."""
    row = {"list_num": where[0], "slot": where[1], "value": value}
    await region.database.write(lambda tx: tx.execute(insert(slot_status).values(row)))


async def served(region: Region, list_num: int) -> StatusList:
    """Open the served list under the served trust list, as a verifier does."""
    for _ in range(200):
        trust, token = region.files.read("trust-list/latest"), region.files.read(path_of(list_num))
        if trust is not None and token is not None:
            pinned = fingerprint(region.root_certificate)
            opened = open_trust_list(trust.decode(), root_fingerprint=pinned, at=region.clock.now())
            return open_status_list(token.decode(), opened)
        await asyncio.sleep(0.02)
    raise AssertionError("no list was served within four seconds")


async def step(region: Region) -> None:
    """Take one step of the status publisher, not beside but between those of its own task."""
    await region.publisher.published(0)
    await region.status.pulse.stop()
    await region.status.step()


async def test_the_first_licence_of_a_list_brings_the_list_out(region: Region) -> None:
    """A list is served as soon as a licence has a slot in it, and opens under the trust list people already have."""
    where = await licence_in(region, 1)
    region.status.pulse.wake()

    found = await served(region, OPEN_ENDED)

    assert where[0] == OPEN_ENDED
    assert (len(found), found.get(where[1])) == (SLOTS, 0)
    assert found.as_of is not None and found.as_of.origin == region.origin
    assert orjson.loads(region.files.read(AGGREGATION) or b"{}") == {"status_lists": [found.uri]}
    assert region.files.read(path_of(half_year(date(2030, 1, 1)) << 8)) is None


async def test_a_turned_bit_is_signed_at_once(region: Region) -> None:
    """A change does not wait for the list's time to live, which is longer than this test."""
    where = await licence_in(region, 1)
    await served(region, OPEN_ENDED)
    for number in range(2, 22):
        other = await licence_in(region, number)
        await set_slot(region, other, 2)
        region.status.pulse.wake()
        for _ in range(1000):
            if (await served(region, OPEN_ENDED)).get(other[1]) == 2:
                break
            await asyncio.sleep(0.005)
        assert (await served(region, OPEN_ENDED)).get(other[1]) == 2

    assert (await served(region, OPEN_ENDED)).get(where[1]) == 0


async def test_a_token_is_replaced_before_it_gets_older_than_its_ttl(region: Region) -> None:
    """Without any change a list is signed again by time alone, and only then."""
    clock = region.clock
    assert isinstance(clock, ManualClock)
    await licence_in(region, 1)
    await step(region)
    first = region.files.read(path_of(OPEN_ENDED))

    clock.advance(10)
    await step(region)
    assert region.files.read(path_of(OPEN_ENDED)) == first
    clock.advance(15)
    await step(region)

    again = await served(region, OPEN_ENDED)
    assert region.files.read(path_of(OPEN_ENDED)) != first
    assert again.issued_at == START + timedelta(seconds=25)


async def test_only_lists_that_changed_are_signed_again(region: Region) -> None:
    """A revocation in one half-year costs one signature, not one for every list."""
    await licence_in(region, 1)
    where = await licence_in(region, 2, date(2031, 3, 1))
    await step(region)
    await set_slot(region, where, 1)
    await step(region)

    counted = select(status_tokens.c.list_num, func.count()).group_by(status_tokens.c.list_num)
    counts = await region.database.read(lambda tx: {row[0]: row[1] for row in tx.execute(counted)})
    assert counts == {OPEN_ENDED: 1, where[0]: 2}


async def test_an_appeal_period_that_ends_makes_a_revocation_final(region: Region) -> None:
    """On the day after `appealable_until` the bit turns from 2 to 1 by itself, before the first token of that day."""
    clock = region.clock
    assert isinstance(clock, ManualClock)
    where = await licence_in(region, 1)
    await step(region)
    cause = (
        "c",
        "licence-00000000000001",
        "c",
        "direct",
        "revoked",
        "annul",
        "D",
        None,
        "2026-11-22",
        "2026-11-20",
        None,
        5,
        None,
        "{}",
    )
    await region.database.write(lambda tx: bulk_insert(tx, causes, [cause]))
    await set_slot(region, where, 2)
    clock.advance(days=1)
    await step(region)
    assert (await served(region, OPEN_ENDED)).get(where[1]) == 2

    clock.advance(days=1)
    await step(region)

    assert (await served(region, OPEN_ENDED)).get(where[1]) == 1


async def test_every_token_is_kept_and_found_by_time(region: Region) -> None:
    """`?time=` gives the token that was current then; after the retention only its digest is left."""
    clock = region.clock
    assert isinstance(clock, ManualClock)
    await licence_in(region, 1)
    await step(region)
    first = region.files.read(path_of(OPEN_ENDED))
    clock.advance(3600)
    await step(region)

    def look(moment: datetime) -> str | None:
        with region.database.reading() as tx:
            return token_at(tx, OPEN_ENDED, int(moment.timestamp()))

    assert look(START + timedelta(seconds=3599)) == (first or b"").decode()
    assert look(START - timedelta(seconds=1)) is None
    assert look(START + timedelta(days=3)) is None
    with region.database.writing() as tx:
        assert drop_old_tokens(tx, int((START + timedelta(days=9)).timestamp())) == 1
    assert look(START) is None
    with region.database.reading() as looking:
        assert looking.execute(select(func.count()).select_from(status_tokens)).scalar_one() == 2
        assert [token.text for token in newest_tokens(looking)[1]] == [
            (region.files.read(path_of(OPEN_ENDED)) or b"").decode()
        ]


async def test_a_publisher_without_the_lease_cannot_store_a_token(region: Region) -> None:
    """The fencing token guards status lists as it guards checkpoints."""
    await licence_in(region, 1)
    forged = Token(OPEN_ENDED, 0, 1, 0, bytes(32), "a.b.c")
    stale = (region.publisher.token or 1) - 1

    with pytest.raises(LeaseLost), region.database.writing() as tx:
        store_tokens(tx, [forged], stale)


async def test_an_older_list_is_never_put_over_a_newer_one(region: Region) -> None:
    """Processes that share the folder may be slow, but readers only ever see lists get newer."""
    await licence_in(region, 1)
    await step(region)
    newest = region.files.read(path_of(OPEN_ENDED)) or b""
    assert not region.files.write_forward(path_of(OPEN_ENDED), b"older", order=lambda data: 1 if data == newest else 0)

    assert region.files.read(path_of(OPEN_ENDED)) == newest


@pytest.mark.postgres
def test_which_lists_are_in_use_is_known_without_a_look_at_every_licence(postgres_url: str) -> None:
    """It is asked before each look for bits that turned, however many licences there are."""
    database = Database.open(postgres_url)
    lists = [{"list_num": number, "uri": f"https://region.example/{number}", "leased": SLOTS} for number in (1, 2)]
    asked: list[str] = []
    with database.writing() as tx:
        event.listen(tx, "before_cursor_execute", lambda *told: asked.append(told[2]))
        assert lists_in_use(tx) == {}
        # A connection keeps the plan that it made first, when there was next to nothing.
        plan = "\n".join(row[0] for row in tx.exec_driver_sql(f"EXPLAIN {asked[0] % {'param_1': 1}}"))
        tx.execute(insert(slot_leases), lists)
        tx.execute(insert(licence_versions), [version_row(f"licence-{n:014}", n, 1, n) for n in range(100)])
        assert lists_in_use(tx) == {1: "https://region.example/1"}
    database.close()

    assert "licence_versions" in plan and "Seq Scan on licence_versions" not in plan, plan


async def test_no_two_processes_are_given_the_same_slot(database_url: str) -> None:
    """Pools lease their blocks one after the other; what a pool does not use is burnt."""
    database = Database.open(database_url)
    secret = memory_store().secret("slots")
    pools = [SlotPool(database, secret, "https://region.example") for _ in range(4)]

    taken = await asyncio.gather(*(pool.take(date(2030, 1, 1), 300) for pool in pools for _ in range(2)))

    slots = [(slot.list_num, slot.idx) for each in taken for slot in each]
    assert len(set(slots)) == len(slots) == 2400
    assert {slot.uri for each in taken for slot in each} == {f"https://region.example/status-lists/{61 << 8}"}
    with database.reading() as tx:
        assert tx.execute(select(func.sum(slot_leases.c.leased))).scalar_one() >= 2400
    database.close()


async def test_a_full_list_is_followed_by_another_of_the_same_half_year(database_url: str) -> None:
    """The last slot of a list is given out, then the next list begins."""
    database = Database.open(database_url)
    pool = SlotPool(database, bytes(32), "https://region.example")
    await pool.take(None)
    with database.writing() as tx:
        tx.execute(update(slot_leases).values(leased=SLOTS - 10))

    slots = await SlotPool(database, bytes(32), "https://region.example").take(None, 30)

    assert [slot.list_num for slot in slots] == [0] * 10 + [1] * 20
    database.close()


async def test_after_a_restore_no_slot_of_a_lost_licence_is_given_out_again(region: Region) -> None:
    """A backup does not know the newest licences: every counter skips a gap beyond what it knows."""
    await licence_in(region, 1)
    secret = region.store.secret("slots")
    with region.database.writing() as tx:
        tx.execute(update(slot_leases).values(leased=0))
        skip_ahead(tx, secret, region.base_url, gap=1000)
        rows = {row.list_num: row.leased for row in tx.execute(select(slot_leases))}

    assert rows[0] == 1001
    assert len(rows) == 256
    assert set(rows.values()) == {1000, 1001}


@pytest.mark.parametrize(
    ("day", "number"),
    [
        (None, 0),
        (date(1998, 5, 1), 1),
        (date(2000, 6, 30), 1),
        (date(2000, 7, 1), 2),
        (date(2026, 12, 31), 54),
        (date(2127, 6, 30), 255),
        (date(2127, 7, 1), 0),
    ],
)
def test_the_list_follows_from_the_expiry_alone(day: date | None, number: int) -> None:
    """Half-years are counted from 2000; what never or much too late expires shares a list of its own."""
    assert half_year(day) == number


async def test_lists_of_the_next_ten_years_are_announced_before_anybody_needs_them(region: Region) -> None:
    """The first licence of a new half-year verifies with an old trust list."""
    announced = await region.database.read(lambda tx: lists_announced(tx, date(2026, 11, 21), region.base_url))

    assert set(announced) == {0, *(half << 8 for half in range(54, 76))}
    assert half_year(date(2036, 11, 21)) << 8 in announced
