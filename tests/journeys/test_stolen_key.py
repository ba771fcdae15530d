"""A thief has a department's licence key and everything public: what he forges is refused, online and offline.

He signs as well as the department does. What he lacks is an entry of his own in the log, so he staples somebody's.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from keys.signer import Signer
from tests.journeys.world import World, until, world_on
from tests.ledger.licensing import COMPANY, MARKET, food
from verifiers import canonical
from verifiers.bundle import format_bundle, parse_bundle
from verifiers.code import build_code, code_text, parse_code_text, sig_structure
from verifiers.commitment import Opening, code_digest, jws_digest
from verifiers.encoding import b64u_decode, b64u_encode
from verifiers.receipt import compose, parse_receipt

Change = Callable[[dict[str, Any]], None]
LONG_AGO = int(datetime(2026, 1, 5, tzinfo=UTC).timestamp())


@pytest.fixture
async def world(sqlite_url: str, tmp_path: Path) -> AsyncIterator[World]:
    """Give a served region; the audit afterwards shows that no forgery left a trace in the ledger."""
    async with world_on(sqlite_url, tmp_path) as world:
        yield world


async def honest(world: World, n: int = 1) -> dict[str, Any]:
    """Issue a licence and read its printed code."""
    desk = world.of(MARKET).desk
    made: dict[str, Any] = await desk.post("/v1/licences?wait=receipt", food(n))
    return made | {"code": (await desk.get(f"/v1/licences/{made['id']}"))["code"]}


async def forged(signer: Signer, compact: str, *changes: Change, holder: str = "示例大盗有限公司") -> str:
    """Return the licence with another holder's name and `changes` to its claims, signed with the stolen key."""
    token, *disclosures, _ = compact.split("~")
    header, payload, _ = token.split(".")
    claims: dict[str, Any] = canonical.decode(b64u_decode(payload))
    for place, text in enumerate(disclosures):
        salt, name, value = json.loads(b64u_decode(text))
        if name == "name" and value == COMPANY["name"]:
            disclosures[place] = b64u_encode(canonical.encode([salt, name, holder]))
            digests = claims["holders"][0]["_sd"]
            digests[digests.index(digest(text))] = digest(disclosures[place])
            digests.sort()
    for change in changes:
        change(claims)
    message = f"{header}.{b64u_encode(canonical.encode(claims))}"
    [signature] = await signer.sign([message.encode("ascii")])
    return "~".join([f"{message}.{b64u_encode(signature)}", *disclosures, ""])


def digest(disclosure: str) -> str:
    """Return the digest under which a disclosure is signed (RFC 9901 §4.2.3)."""
    return b64u_encode(hashlib.sha256(disclosure.encode("ascii")).digest())


def dated_back(claims: dict[str, Any]) -> None:
    """Write an old time into the claims."""
    claims["iat"] = LONG_AGO
    claims["issued_on"] = claims["valid_from"] = "2026-01-05"
    claims.pop("nbf", None)


def as_it_is(_claims: dict[str, Any]) -> None:
    """Leave the claims alone."""


# What only the ledger could have vouched for is missing too; the first reason is the one that decides.
NOT_OURS = ["ledger.unknown", "receipt.missing", "status.missing"]
CHANGES = {"as it is": as_it_is, "dated back": dated_back}


@pytest.mark.parametrize("change", CHANGES)
async def test_a_forgery_needs_an_entry_and_no_stapled_one_will_do(world: World, change: str) -> None:
    """Receipt, `ref` secret, status slot and old time of an honest licence: none of them opens to the forgery."""
    real = await honest(world)
    signer = world.service.region.signer(MARKET, "licence")
    fake = await forged(signer, real["licence"], CHANGES[change])
    options = await world.download(status=real["status"]["uri"])
    assert world.offline(real["licence"], *options, receipt=real["receipt"]) == (0, [])

    assert world.offline(fake, *options) == (2, ["receipt.missing"])
    assert world.offline(fake, *options, receipt=real["receipt"]) == (1, ["receipt.opening"])
    assert world.offline(fake, *options, receipt=rewritten(real["receipt"], fake))[0] == 1
    assert world.offline(stapled(await bundle(world, real), fake), *options[2:4]) == (1, ["receipt.opening"])
    assert await world.codes(fake) == ("invalid", NOT_OURS)
    outcome, reasons = await world.codes(stapled(await bundle(world, real), fake))
    assert outcome == "invalid" and {"receipt.opening", "ledger.unknown"} <= set(reasons)


async def bundle(world: World, real: dict[str, Any]) -> str:
    """Fetch the bundle of an honest licence."""
    return (await world.of(MARKET).desk.call("GET", f"/v1/licences/{real['id']}/bundle")).text


def stapled(honest_bundle: str, fake: str) -> str:
    """Put the forgery where the honest licence was: receipt, `ref` secret and events stay those of the honest one."""
    whole = parse_bundle(honest_bundle.encode())
    return format_bundle(replace(whole, licence=fake, code=None)).decode()


def rewritten(receipt: str, fake: str) -> str:
    """Let the receipt claim that its entry is the forgery's: the digest in it is the forgery's, its proof is not."""
    parsed = parse_receipt(receipt)
    signed = fake.partition("~")[0].rpartition(".")[0].encode()
    opening = replace(Opening.from_bytes(parsed.extra), jws=jws_digest(signed))
    return compose(opening, parsed.index, list(parsed.hashes), parsed.checkpoint)


async def test_a_forged_code_is_settled_online_and_doubted_once_the_theft_is_known(world: World) -> None:
    """A printed code carries no receipt: offline the stolen signature counts until the key is known to be stolen."""
    real = await honest(world)
    region = world.service.region
    payload = replace(parse_code_text(real["code"]).payload, name="示例大盗有限公司")
    signer = region.signer(MARKET, "code")
    [signature] = await signer.sign([sig_structure(payload, signer.public_key.key_id[:8])])
    fake = code_text(region.base_url, build_code(payload, signer.public_key.key_id[:8], signature))
    assert code_digest(parse_code_text(fake).sig_structure) != code_digest(parse_code_text(real["code"]).sig_structure)
    options = await world.download(status=real["status"]["uri"])

    assert world.offline(fake, *options) == (0, []), "the limit that docs/formats/static-code.md states"
    assert await world.codes(fake) == ("invalid", ["ledger.unknown", "status.missing"])

    await lost(world, signer.public_key.kid, since=datetime.now(UTC))
    options = await world.download(status=real["status"]["uri"])
    assert world.offline(fake, *options) == (2, ["key.compromised"])
    assert world.offline(real["code"], *options) == (2, ["key.compromised"])
    assert await world.codes(real["code"]) == ("valid", [])
    outcome, reasons = await world.codes(fake)
    assert outcome == "invalid" and "ledger.unknown" in reasons


async def lost(world: World, kid: str, since: datetime) -> None:
    """Announce that a key has been in other hands, and wait until the served trust list says so."""
    body = {"since": since.strftime("%Y-%m-%dT%H:%M:%SZ"), "reason": "compromised"}
    await world.operator.post(f"/v1/keys/{kid}/compromise", body)

    async def announced() -> bool:
        token = (await world.public("/trust-list")).text
        listed = json.loads(b64u_decode(token.split(".")[1]))["keys"]
        return any(each["kid"] == kid and "revoked" in each for each in listed)

    await until(announced)


async def test_after_the_theft_is_known_the_log_tells_old_from_new(world: World) -> None:
    """What was in the log before stands; what came after falls, entry or not; an old `iat` moves nothing."""
    early = await honest(world, 1)
    since = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=1)

    async def later() -> bool:
        return time.time() > since.timestamp() + 1

    await until(later)
    late = await honest(world, 2)
    signer = world.service.region.signer(MARKET, "licence")
    fakes = [await forged(signer, early["licence"], change) for change in CHANGES.values()]
    await lost(world, signer.public_key.kid, since)
    options = await world.download(status=early["status"]["uri"])

    for fake in fakes:
        assert world.offline(fake, *options) == (2, ["receipt.missing", "key.compromised"])
        assert world.offline(fake, *options, receipt=early["receipt"])[1][0] == "receipt.opening"
        outcome, reasons = await world.codes(fake)
        assert outcome == "invalid" and "ledger.unknown" in reasons
    assert world.offline(late["licence"], *options, receipt=late["receipt"]) == (1, ["key.compromised"])
    assert await world.codes(late["licence"]) == ("invalid", ["key.compromised"])
    assert await world.codes(early["licence"]) == ("valid", [])
    assert world.offline(await bundle(world, early), *options[2:4]) == (0, [])
    assert world.offline(early["licence"], *options, receipt=early["receipt"]) == (0, [])
