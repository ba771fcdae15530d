"""What a service needs is taken away: keys, the password, room on the disk, the database in the middle of a batch.

Each has a refusal of its own while it lasts; afterwards everything goes on, and nothing is half done.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from sqlalchemy import event

from keys.file_store import FileKeyStore
from keys.password import TESTING_ONLY
from ledger.database import migrate
from ledger.region import Region
from tests.api.service import Caller, served
from tests.conftest import TEST_SETTINGS
from tests.journeys.test_bad_input import batch
from tests.journeys.world import World, problem, until, world_on
from tests.ledger import cases, licensing
from tests.ledger.licensing import MARKET, food
from tests.postgres_server import NoPostgres, PostgresServer

ROWS = 1_500


@asynccontextmanager
async def restarted(world: World) -> AsyncIterator[Caller]:
    """Serve the world's region in a second process' place, which has to take its keys from the store again."""
    old = world.service.region
    region = await Region.open(old.config, old.store)
    try:
        async with served(region, ec.generate_private_key(ec.SECP256R1()), world.folder) as service:
            desk = world.of(MARKET).desk
            yield Caller(service.http, desk.client, desk.key, desk.operator)
    finally:
        await region.close()


@pytest.mark.parametrize("purpose", ["licence", "code", "statement"])
async def test_a_key_retired_in_the_store_signs_nothing_more(sqlite_url: str, tmp_path: Path, purpose: str) -> None:
    """A service that starts without one of the department's keys says which is missing; the others go on."""
    async with world_on(sqlite_url, tmp_path) as world:
        world.service.region.store.retire(f"{MARKET}/{purpose}")
        async with restarted(world) as desk:
            answer = await desk.call("POST", "/v1/licences", food(1))
            [row] = await batch(desk, [json.dumps(food(2, client_ref="a"))])

        assert problem(answer) == "key.retired"
        assert row["problem"]["code"] == "key.retired"


@pytest.fixture(scope="module")
def locked_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the folder of an encrypted key store."""
    folder = tmp_path_factory.mktemp("store") / "keys"
    FileKeyStore.new(folder, "示例口令", TESTING_ONLY).create("list", "ES256")
    return folder


LOCKED = {"serve": "密钥库未解锁", "audit": "密钥库未解锁", "keys create status": "缺少口令"}


@pytest.mark.parametrize("command", LOCKED)
@pytest.mark.parametrize("password", [None, "falsch"])
def test_a_locked_store_and_a_wrong_password_are_told_apart(
    locked_store: Path, sqlite_url: str, tmp_path: Path, password: str | None, command: str
) -> None:
    """No command starts without the keys; each says in one line why, shows no password and changes nothing."""
    before = {file.name: file.read_bytes() for file in locked_store.iterdir() if file.is_file()}
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ELICENCE_")}
    environment |= {
        "ELICENCE_KEYSTORE": str(locked_store),
        "ELICENCE_DATABASE_URL": sqlite_url,
        "ELICENCE_TILES": str(tmp_path / "public"),
        "PYTHONPATH": str(Path(__file__).parents[2]),
    }
    if password is not None:
        environment["ELICENCE_KEYSTORE_PASSWORD"] = password

    done = subprocess.run(
        [sys.executable, "-m", "api.cli", *command.split()],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        stdin=subprocess.DEVNULL,
        check=False,
    )

    said = done.stdout + done.stderr
    assert done.returncode == 3 and (LOCKED[command] if password is None else "口令不对") in said, said
    assert "Traceback" not in said and "falsch" not in said
    assert {file.name: file.read_bytes() for file in locked_store.iterdir() if file.is_file()} == before


@contextmanager
def no_room(region: Region, pages: int) -> Iterator[None]:
    """Leave the database room for so many more pages, as a disk that is nearly full does."""
    with region.database.reading() as tx:
        most = int(tx.exec_driver_sql("PRAGMA page_count").scalar_one()) + pages

    def limit(connection: Any, _record: Any) -> None:
        connection.execute(f"PRAGMA max_page_count={most}")

    pool: Any = region.database._writer
    event.listen(pool, "connect", limit)
    pool.dispose()
    region.writer._committer.close()
    try:
        yield
    finally:
        event.remove(pool, "connect", limit)
        pool.dispose()
        region.writer._committer.close()


async def test_a_full_disk_refuses_and_forgets_nothing(sqlite_url: str, tmp_path: Path) -> None:
    """Single calls and rows hear `storage.full`; with room again the same rows are each issued once."""
    async with world_on(sqlite_url, tmp_path) as world:
        desk, region = world.of(MARKET).desk, world.service.region
        sound = await desk.post("/v1/licences?wait=receipt", food(1))
        rows = [json.dumps(food(n, client_ref=f"row-{n}")) for n in range(10, 300)]
        with no_room(region, 40):
            answers = await batch(desk, rows)
            refused = [row for row in answers if "problem" in row]
            assert {row["problem"]["code"] for row in refused} == {"storage.full"}
            for n in range(1_000, 1_100):  # small things still fit into the gaps for a while
                single = await desk.call("POST", "/v1/licences", food(n), key=f"single-{n}")
                if not single.is_success:
                    break
            assert (problem(single), single.status_code) == ("storage.full", 507)
            assert (await world.codes(sound["licence"]))[0] == "valid", "reading goes on"

        assert (await desk.call("POST", "/v1/licences", food(n), key=f"single-{n}")).status_code == 201
        again = await batch(desk, rows)
        assert not [row for row in again if "problem" in row]
        kept = {row["client_ref"]: row["id"] for row in answers if "problem" not in row}
        assert {row["client_ref"]: row["id"] for row in again if row["client_ref"] in kept} == kept
        assert len({row["entry"] for row in again}) == len(rows)


@pytest.fixture
def own_server() -> Iterator[PostgresServer]:
    """Give a PostgreSQL that this test may kill."""
    if os.environ.get("ELICENCE_TEST_POSTGRES_URL"):
        pytest.skip("the server is not ours to kill")
    try:
        server = PostgresServer(TEST_SETTINGS)
    except NoPostgres as missing:
        pytest.fail(str(missing), pytrace=False)
    server.start()
    yield server
    server.close()


@pytest.mark.postgres
async def test_a_database_that_dies_in_the_middle_of_a_batch(own_server: PostgresServer, tmp_path: Path) -> None:
    """Killed between two commits: rows say so, every call says so, and the same batch again gives every row once."""
    url = own_server.url(own_server.create_database())
    await asyncio.to_thread(migrate, url)
    async with world_on(url, tmp_path) as world:
        desk, region = world.of(MARKET).desk, world.service.region
        sound = await desk.post("/v1/licences", food(1))
        await world.of(MARKET).first.get("/v1/notices")
        rows = [json.dumps(food(n, client_ref=f"row-{n}")) for n in range(10, 10 + ROWS)]
        region.writer._committer._resolve_s = 2.0  # for those whose commit was cut: half a minute in real life
        under_way = asyncio.Event()
        region.writer.on_commit(lambda _size, _kinds: under_way.set())

        sending = asyncio.create_task(batch(desk, rows))
        await under_way.wait()
        await asyncio.to_thread(own_server.kill9)
        answers = await sending
        gone = await gone_everywhere(world, sound)
        await asyncio.to_thread(own_server.start)

        codes = {row["problem"]["code"] for row in answers if "problem" in row}
        assert codes and codes <= {"database.unavailable", "commit.unknown"}, codes
        assert gone == {"database.unavailable"}

        async def ready() -> bool:
            return (await world.service.http.get("/readyz")).status_code == 200

        print(f"\nready again after {await until(ready):.2f} s")
        again = await batch(desk, rows)
        assert not [row["problem"]["code"] for row in again if "problem" in row]
        kept = {row["client_ref"]: row for row in answers if "problem" not in row}
        assert {row["client_ref"]: row for row in again if row["client_ref"] in kept} == kept
        assert len({row["entry"] for row in again}) == len({row["id"] for row in again}) == ROWS
        print(f"{len(kept)} of {ROWS} rows were answered before the server died")


async def gone_everywhere(world: World, sound: dict[str, Any]) -> set[str]:
    """Make one call of each kind while the database is away, and return what they say; none of them is a 500."""
    desk, http = world.of(MARKET).desk, world.service.http
    flag = {"targets": [cases.target(sound["id"])], "reason": "示例"}
    calls: list[httpx.Response] = [
        await desk.call("POST", "/v1/licences", food(5)),
        await desk.call("GET", f"/v1/licences/{sound['id']}"),
        await desk.call("GET", f"/v1/licences/{sound['id']}/bundle"),
        await desk.ask_token(),
        await world.of(MARKET).first.call("POST", "/v1/fraud-flags", flag),
        await world.of(MARKET).first.call("GET", "/v1/notices"),
        await http.post("/v1/verify", json={"presented": sound["licence"]}),
    ]
    assert (await http.get("/readyz")).status_code == 503
    assert (await http.get("/healthz")).status_code == 200
    assert (await http.get("/log/checkpoint")).status_code == 200, "what is published needs no database"
    assert licensing.COMPANY["id"] not in "".join(each.text for each in calls)
    return {problem(each) for each in calls}
