"""Every named kind of bad input: its own refusal, never a failure, and nothing half done afterwards."""

from __future__ import annotations

import json
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio

from api.auth import Tokens
from ledger.database import Reading
from ledger.sequencing import read_head
from ledger.tables.licences import licences
from tests.api.service import Caller
from tests.journeys.test_main_line import today
from tests.journeys.world import World, problem, world_on
from tests.ledger import cases, licensing
from tests.ledger.licensing import COMPANY, HOUSING, MARKET, PERSON, food, officer
from tests.postgres_server import Cluster
from tests.region import BASE_URL
from verifiers.dynamic_code import mint
from verifiers.encoding import b64u_decode

pytestmark = pytest.mark.asyncio(loop_scope="module")
Case = Callable[["Bad"], Awaitable[httpx.Response]]
ABSENT = "A" * 22


@dataclass
class Bad:
    """The world that is badly treated, and what honest people did in it before."""

    world: World
    sound: dict[str, Any]
    child: dict[str, Any]
    fallen: dict[str, Any]

    @property
    def desk(self) -> Caller:
        """The market department's desk."""
        return self.world.of(MARKET).desk

    async def raw(self, content: bytes) -> httpx.Response:
        """Send these very bytes as a request for a licence."""
        return await self.desk.call(
            "POST", "/v1/licences", content=content, headers={"Content-Type": "application/json"}
        )

    async def ask(self, body: dict[str, Any], **more: Any) -> httpx.Response:
        """Ask for a licence."""
        return await self.desk.call("POST", "/v1/licences", body, **more)

    async def bearing(self, token: str) -> httpx.Response:
        """Ask for a licence with this access token."""
        return await self.ask(food(77), headers={"Authorization": f"Bearer {token}"})

    def token(self, at: datetime, issuer: str = BASE_URL) -> str:
        """Return an access token that the region really issued at another time, or that another region issued."""
        tokens = Tokens(self.world.service.region.store.secret("token"), issuer=issuer, life_s=600)
        return tokens.issue(client=self.desk.client, department=MARKET, scopes=frozenset({"issue"}), at=at)


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=["sqlite", "postgresql"])
async def bad(
    request: pytest.FixtureRequest, sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Bad]:
    """Give one world on each engine for all cases; when all are done it is audited."""
    folder = tmp_path_factory.mktemp("bad")
    dropped: Callable[[], None] = lambda: None  # noqa: E731 - nothing to drop on SQLite
    if request.param == "sqlite":
        shutil.copyfile(sqlite_template, folder / "ledger.db")
        url = f"sqlite:///{folder / 'ledger.db'}"
    else:
        server: Cluster = request.getfixturevalue("postgres_server")
        name = server.create_database(template=request.getfixturevalue("postgres_template"))
        url, dropped = server.url(name), lambda: server.drop_database(name)
    async with world_on(url, folder) as world:
        desk = world.of(MARKET).desk
        sound = await desk.post("/v1/licences", food(1))
        child = await desk.post("/v1/licences", food(2, rests_on=cases.resting_on(sound["id"])))
        fallen = await desk.post("/v1/licences", food(3))
        await world.of(MARKET).first.post(f"/v1/licences/{fallen['id']}/acts", annulled())
        yield Bad(world, sound, child, fallen)
    dropped()


def annulled() -> dict[str, Any]:
    """Return an act that ends a licence."""
    return {
        "act": "annul",
        "authority": "示例市场监管局",
        "articles": ["行政许可法第六十九条"],
        "document_no": "示〔2026〕1号",
        "decided_at": today(),
        "served_at": today(),
        "effective_from": today(),
        "reason": "示例",
    }


def with_fields(**changes: Any) -> dict[str, Any]:
    """Return a request whose fields are changed; `None` leaves one out."""
    body = food(50)
    fields = {name: value for name, value in (body["fields"] | changes).items() if value is not None}
    return body | {"fields": fields}


def held_by(**changes: Any) -> dict[str, Any]:
    """Return a request for a changed holder."""
    return food(50, holder=COMPANY | changes)


def as_bytes(change: Callable[[str], str] = str) -> bytes:
    """Return a request as text that was tampered with."""
    return change(json.dumps(food(50), ensure_ascii=False)).encode()


async def replayed_assertion(bad: Bad) -> httpx.Response:
    """Use one client assertion twice."""
    assertion = bad.desk.assertion()
    assert (await bad.desk.ask_token(assertion)).status_code == 200
    return await bad.desk.ask_token(assertion)


async def prepared_code(bad: Bad) -> dict[str, Any]:
    """Prepare a dynamic code on the holder's phone; the matter it is for is made on the first call."""
    if cases.MATTER not in bad.world.service.region.catalogue.matters:
        await cases.matter(bad.world.service.region)
    phone = await bad.world.holder(COMPANY["id_type"], COMPANY["id"])
    answer = await phone.call("POST", "/v1/codes", {"licences": [{"licence": bad.sound["id"]}], "purpose": "示例"})
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


async def scan(bad: Bad, made: dict[str, Any], ahead: timedelta = timedelta()) -> httpx.Response:
    """Scan the code that a phone shows whose clock is `ahead`."""
    code = mint(made["base"], b64u_decode(made["handle"]), b64u_decode(made["key"]), datetime.now(UTC) + ahead)
    asked = {"code": code, "matter": cases.MATTER, "purpose": "示例办理"}
    return await bad.world.of(MARKET).window.call("POST", "/v1/scans", asked)


async def replayed_code(bad: Bad) -> httpx.Response:
    """Scan one code twice."""
    made = await prepared_code(bad)
    assert (await scan(bad, made)).status_code == 200
    return await scan(bad, made)


async def code_of_a_wrong_clock(bad: Bad) -> httpx.Response:
    """Scan a code whose phone is two minutes ahead."""
    return await scan(bad, await prepared_code(bad), timedelta(minutes=2))


async def key_used_for_two_bodies(bad: Bad) -> httpx.Response:
    """Send another body under the key of an accepted one."""
    assert (await bad.ask(food(60), key="two-bodies")).status_code == 201
    return await bad.ask(food(61), key="two-bodies")


async def cycle(bad: Bad) -> httpx.Response:
    """Let a licence rest on what rests on it."""
    body = {"change": "amend", "rests_on": cases.resting_on(bad.child["id"])}
    return await bad.desk.call("POST", f"/v1/licences/{bad.sound['id']}/versions", body)


async def unknown_key(bad: Bad) -> httpx.Response:
    """Speak of a key nobody registered."""
    body = {"since": "2026-11-21T00:00:00Z"}
    return await bad.world.operator.call("POST", f"/v1/keys/{ABSENT}/compromise", body)


async def stranger_signs(bad: Bad) -> httpx.Response:
    """Sign an assertion with a key that is not the client's."""
    other = bad.world.of(HOUSING).desk
    return await bad.desk.ask_token(Caller(bad.world.service.http, bad.desk.client, other.key, "x").assertion())


async def large_batch_kind(bad: Bad) -> httpx.Response:
    """Send a batch as plain JSON."""
    return await bad.desk.call("POST", "/v1/licences/batch", food(1))


def now() -> datetime:
    """Return the time of the call: the cases run long after this file was read."""
    return datetime.now(UTC)


CASES: dict[str, tuple[str, Case]] = {
    "oversized": ("body.too_large", lambda bad: bad.raw(b'{"type": "' + b"x" * 1_100_000 + b'"}')),
    "deeply nested": ("body.too_deep", lambda bad: bad.raw(b'{"fields": ' + b"[" * 500 + b"]" * 500 + b"}")),
    "nested without end": ("body.too_deep", lambda bad: bad.raw(b'{"a":' * 100_000)),
    "not JSON": ("body.not_json", lambda bad: bad.raw(b'{"type": ')),
    "invalid UTF-8": ("body.not_utf8", lambda bad: bad.raw(as_bytes().replace("示".encode(), b"\xff\xfe"))),
    "duplicate key": ("body.duplicate_name", lambda bad: bad.raw(as_bytes(lambda t: t[:-1] + ', "type": "x"}'))),
    "duplicate key inside": (
        "body.duplicate_name",
        lambda bad: bad.raw(as_bytes(lambda t: t.replace('"id_type"', '"id": "1", "id_type"'))),
    ),
    "NUL": ("body.nul", lambda bad: bad.raw(as_bytes(lambda t: t.replace("示例甲", "示\\u0000例", 1)))),
    "lone surrogate": ("body.surrogate", lambda bad: bad.raw(as_bytes(lambda t: t.replace("示例甲", "\\ud83d", 1)))),
    "fraction": ("body.number", lambda bad: bad.raw(as_bytes(lambda t: t[:-1] + ', "major": 1.5}'))),
    "wrong media type": ("body.media_type", large_batch_kind),
    "organisation's check digit": ("holder.number", lambda bad: bad.ask(held_by(id="91610100MA0000015R"))),
    "inner check digit": ("holder.number", lambda bad: bad.ask(held_by(id="91610100MA00000166"))),
    "citizen's check digit": (
        "holder.number",
        lambda bad: bad.world.of(HOUSING).desk.call(
            "POST", "/v1/licences", officer(50, holder=PERSON | {"id": "610101199001010014"})
        ),
    ),
    "unknown type": ("type.unknown", lambda bad: bad.ask(food(50, type="11100000MB0341032Y999"))),
    "field missing": ("field.missing", lambda bad: bad.ask(with_fields(premises=None))),
    "field extra": ("field.unknown", lambda bad: bad.ask(with_fields(colour="red"))),
    "field of a wrong kind": ("field.invalid", lambda bad: bad.ask(with_fields(items="热食类食品制售"))),
    "field outside its pattern": ("field.invalid", lambda bad: bad.ask(with_fields(business_form="x"))),
    "number outside its pattern": ("number.invalid", lambda bad: bad.ask(food(50, number="JY-1"))),
    "number that is taken": ("number.taken", lambda bad: bad.ask(food(1))),
    "member missing": ("request.member_missing", lambda bad: bad.ask({"type": licensing.FOOD})),
    "member extra": ("request.member_unknown", lambda bad: bad.ask(food(50, colour="red"))),
    "validity reversed": ("validity.reversed", lambda bad: bad.ask(food(50, valid_until="2026-11-20"))),
    "no such day": ("request.member_invalid", lambda bad: bad.ask(food(50, valid_until="2027-02-30"))),
    "basis that is not there": ("basis.unknown", lambda bad: bad.ask(food(50, rests_on=cases.resting_on(ABSENT)))),
    "basis that was annulled": (
        "basis.cause_open", lambda bad: bad.ask(food(50, rests_on=cases.resting_on(bad.fallen["id"]))),
    ),
    "basis in a cycle": ("basis.cycle", cycle),
    "unknown key": ("key.unknown", unknown_key),
    "grant exceeded": ("grant.exceeded", lambda bad: bad.ask(officer(50))),
    "expired token": ("token.expired", lambda bad: bad.bearing(bad.token(now() - timedelta(hours=1)))),
    "token for another region": (
        "token.other_region", lambda bad: bad.bearing(bad.token(now(), issuer="https://other.example")),
    ),
    "clock skew of a client": (
        "assertion.clock", lambda bad: bad.desk.ask_token(bad.desk.assertion(iat=int(now().timestamp()) + 900)),
    ),
    "clock skew of a phone": ("code.clock", code_of_a_wrong_clock),
    "assertion under a strange key": ("assertion.signature", stranger_signs),
    "assertion replayed": ("assertion.replayed", replayed_assertion),
    "code replayed": ("code.replayed", replayed_code),
    "idempotency key reused": ("idempotency.conflict", key_used_for_two_bodies),
}  # fmt: skip
MAKES_SOMETHING_FIRST = {"idempotency key reused", "code replayed", "clock skew of a phone"}


def things(tx: Reading) -> tuple[int, int]:
    """Count entries and licences."""
    return read_head(tx).size, len(tx.execute(licences.select()).all())


async def standing(bad: Bad) -> tuple[int, int]:
    """Count entries and licences as they are now."""
    return await bad.world.service.region.database.read(things)


@pytest.mark.parametrize("name", CASES)
async def test_bad_input_has_a_refusal_of_its_own(bad: Bad, name: str) -> None:
    """The code is the documented one, the answer a problem in the caller's language, and the log as it was."""
    code, case = CASES[name]
    before = await standing(bad)

    answer = await case(bad)

    assert problem(answer) == code, answer.text
    assert answer.json()["title"].isascii() or name.startswith(("assertion", "clock skew of a client"))
    if name not in MAKES_SOMETHING_FIRST:
        assert await standing(bad) == before, "something was written"


async def test_the_same_request_made_right_is_accepted(bad: Bad) -> None:
    """Nothing that was refused has used up its number or its key."""
    assert (await bad.ask(food(50), key="refused-once")).status_code == 201


async def test_a_row_too_long_or_bad_costs_that_row_alone(bad: Bad) -> None:
    """Each bad line of a batch is answered in its place under its own code; the good ones are issued."""
    good = [food(n, client_ref=f"row-{n}") for n in (101, 102, 103)]
    rows = [
        json.dumps(good[0]),
        json.dumps(food(104, client_ref="long", object="x" * 70_000)),
        json.dumps(good[1]),
        '{"client_ref": "cut"',
        json.dumps(food(105)),
        json.dumps(food(106, client_ref="type", type="11100000MB0341032Y999")),
        json.dumps(food(107, client_ref="row-101")),
        json.dumps(good[2]),
    ]

    answers = await batch(bad.desk, rows)

    found = [row["problem"]["code"] if "problem" in row else "issued" for row in answers]
    assert found == [
        "issued", "row.too_long", "issued", "body.not_json", "request.member_missing", "type.unknown",
        "idempotency.conflict", "issued",
    ]  # fmt: skip
    assert [row["row"] for row in answers] == list(range(1, 9))
    again = await batch(bad.desk, [json.dumps(each) for each in good])
    assert [row["id"] for row in again] == [answers[place]["id"] for place in (0, 2, 7)]


async def batch(desk: Caller, rows: list[str]) -> list[dict[str, Any]]:
    """Send rows as one batch and return the answers."""
    answer = await desk.call(
        "POST", "/v1/licences/batch", content="\n".join(rows).encode(), headers={"Content-Type": "application/x-ndjson"}
    )
    assert answer.status_code == 200, answer.text
    return [json.loads(line) for line in answer.text.splitlines()]
