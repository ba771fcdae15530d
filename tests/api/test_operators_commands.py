"""What an operator does on the service's own machine: keys through their life, and the step after a restore."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select
from typer.testing import CliRunner

from api.cli.main import app
from api.cli.service import settings_or_exit
from api.composition import open_region, open_store
from keys.certificates import fingerprint
from keys.file_store import FileKeyStore
from keys.signer import KeyState
from ledger.database import Database
from ledger.tables.publishing import slot_leases
from tests.commanded import PASSWORD, region_in_environment
from tests.ledger.licensing import MARKET
from tests.ledger.watched_log import LOG
from verifiers.__main__ import main as verify_command


def _run(*arguments: str, exit_code: int = 0) -> Any:
    result = CliRunner().invoke(app, [*arguments, "--operator", "示例操作员", "--json"])
    assert result.exit_code == exit_code, (result.output, result.exception)
    return json.loads(result.stdout.splitlines()[-1])


@pytest.fixture
def region_on_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make a region from settings in the environment, as an operator does."""
    asyncio.run(region_in_environment(tmp_path, monkeypatch))


@pytest.mark.usefixtures("region_on_disk")
def test_keys_are_registered_replaced_and_given_up(tmp_path: Path) -> None:
    """The whole way of an operator, on the service's own files."""
    body = tmp_path / "department.json"
    body.write_text(json.dumps({"id": MARKET, "names": {"zh": "示例市场监管局", "en": "Example"}}), "utf-8")
    _run("departments", "add", str(body))
    store = FileKeyStore.open(tmp_path / "keys", PASSWORD)
    old = store.signer("status").public_key.kid

    assert _run("keys", "register", "status", exit_code=1)["error"] == "key.unknown"
    assert _run("keys", "register", f"{MARKET}/face", exit_code=1)["error"] == "key.unknown"
    taken = _run("keys", "take-over", "status")
    assert taken["retired"] == old != store.signer("status").public_key.kid == taken["kid"]

    stolen = store.signer(f"{MARKET}/licence").public_key.kid
    told = _run("keys", "compromised", stolen, "--since", "2026-11-21T00:00:00Z")
    assert told["revoked"]["reason"] == "compromised"
    assert not any(e.public_key.kid == stolen and e.state is KeyState.ACTIVE for e in store.list())
    assert _run("keys", "index-again", "--new-key")["subjects"] == 0
    assert len(FileKeyStore.open(tmp_path / "keys", PASSWORD).secret("blind-2", create=False)) == 32
    new = _run("keys", "take-over", f"{MARKET}/licence")
    assert store.signer(f"{MARKET}/licence").public_key.kid == new["kid"] != stolen


@pytest.mark.parametrize("identifier", ["-r754LBq9JqvLQF6YpdTcQ", "--54LBq9JqvLQF6YpdTcQ"])
@pytest.mark.usefixtures("region_on_disk")
def test_an_identifier_that_begins_with_a_hyphen_is_no_option(identifier: str) -> None:
    """One in 64 does, and a stolen key is given up under it as under any other."""
    told = _run("keys", "compromised", identifier, "--since", "3", exit_code=1)
    assert (told["error"], told["key"]) == ("key.unknown", identifier)
    asked = CliRunner().invoke(app, ["bundle", identifier])
    assert asked.exit_code == 1
    assert "licence.unknown" in asked.output


@pytest.mark.usefixtures("region_on_disk")
def test_what_a_stolen_key_costs_is_shown_before_it_is_given_up(tmp_path: Path) -> None:
    """By name, since an entry or a time that says its zone; nothing happens until somebody says yes."""
    body = tmp_path / "department.json"
    body.write_text(json.dumps({"id": MARKET, "names": {"zh": "示例市场监管局", "en": "Example"}}), "utf-8")
    _run("departments", "add", str(body))
    name = f"{MARKET}/licence"
    give_up = ["keys", "compromised", name, "--operator", "示例操作员", "--since"]

    for since in ("2026-11-21T08:00:00", "2026-11-21", "yesterday", "-3"):
        assert CliRunner().invoke(app, [*give_up, since]).exit_code == 2, since
    asked = CliRunner().invoke(app, [*give_up, "3"], input="n\n")
    assert asked.exit_code == 1 and "nobody watched" in asked.output and "fall: 0" in asked.output
    store = FileKeyStore.open(tmp_path / "keys", PASSWORD)
    store.signer(name)  # raises where the key was retired

    done = CliRunner().invoke(app, [*give_up, "2026-11-21T16:00:00+08:00"], input="y\n")
    assert done.exit_code == 0 and "logged" in done.output, done.output
    told = _run("keys", "compromised", name, "--since", "0")
    assert told["foreseen"]["trust_before"]["size"] == 0 == told["foreseen"]["stays"]
    assert _run("keys", "compromised", "status", "--since", "1")["foreseen"]["watched"] is False


@pytest.mark.usefixtures("region_on_disk")
def test_after_a_restore_no_new_licence_shares_a_slot_with_an_unknown_one(tmp_path: Path) -> None:
    """Every list's counter moves on, also those of lists the backup never heard of."""
    database = Database.open(f"sqlite:///{tmp_path / 'log.sqlite'}")
    try:
        result = CliRunner().invoke(app, ["restore", "--json"])
        assert result.exit_code == 0 and json.loads(result.stdout)["shredded"] == 0, result.output
        with database.reading() as tx:
            leased = [row.leased for row in tx.execute(select(slot_leases))]
    finally:
        database.close()
    assert len(leased) == 256 and min(leased) >= 1 << 14


@pytest.mark.usefixtures("region_on_disk")
def test_after_a_restore_the_witness_has_new_keys() -> None:
    """What it cosigned is never restored from a backup, so the keys that remember more are retired (protocol 33)."""
    watched = ["witnesses", "watch", *LOG.vkeys]
    assert CliRunner().invoke(app, watched).exit_code == 0

    restored = json.loads(CliRunner().invoke(app, ["restore", "--json"]).stdout)["witness"]
    renewed = json.loads(CliRunner().invoke(app, ["witnesses", "renew", "--json"]).stdout)["vkeys"]

    assert len({*restored, *renewed}) == 4
    assert {vkey.split("+")[0] for vkey in restored} == {"region.example/610000/witness"}
    store = FileKeyStore.open(settings_or_exit().keystore, PASSWORD)
    states = [entry.state for entry in store.list() if entry.name == "witness-mldsa44"]
    assert states == [KeyState.DESTROYED, KeyState.DESTROYED, KeyState.ACTIVE]
    [log] = json.loads(CliRunner().invoke(app, ["witnesses", "watched", "--json"]).stdout)["logs"]
    assert (log["origin"], log["size"], log["vkeys"]) == (LOG.origin, None, LOG.vkeys)
    assert CliRunner().invoke(app, ["witnesses", "unwatch", LOG.origin]).exit_code == 0
    assert CliRunner().invoke(app, ["witnesses", "unwatch", LOG.origin]).exit_code == 1


@pytest.mark.usefixtures("region_on_disk")
def test_a_kit_for_windows_without_network_is_made_by_command(tmp_path: Path) -> None:
    """`bundle --regions … --out` makes a kit that `elicence-verify` opens; a bundle is of a licence or for regions."""

    async def served() -> None:
        region = await open_region(settings_or_exit())
        try:
            assert await region.trust.settled(20)
        finally:
            await region.close()

    asyncio.run(served())
    kit = tmp_path / "kit.json"
    made = CliRunner().invoke(app, ["bundle", "--regions", "610000", "--out", str(kit)])
    assert made.exit_code == 0, made.output
    root = json.loads(kit.read_bytes())
    assert set(root["parts"]) == {"trust-list/610000", "checkpoint/610000/0"}
    pin = fingerprint(open_store(settings_or_exit()).signer("root").certificate or b"")
    assert verify_command(["--kit", str(kit), "--root", pin, "--grace", "--json"]) == 2  # nothing is issued yet

    assert CliRunner().invoke(app, ["bundle"]).exit_code != 0
    assert CliRunner().invoke(app, ["bundle", "A" * 22, "--regions", "610000"]).exit_code != 0
    assert CliRunner().invoke(app, ["bundle", "--regions", "999999"]).exit_code == 1
