"""`elicence keys register | take-over | compromised`: the ledger learns what became of a key."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from api.cli.main import app
from api.cli.service import create_region, settings_or_exit
from keys.file_store import FileKeyStore
from keys.signer import KeyState
from tests.ledger.licensing import MARKET

PASSWORD = "示例口令"


def _run(*arguments: str, exit_code: int = 0) -> Any:
    result = CliRunner().invoke(app, [*arguments, "--operator", "示例操作员", "--json"])
    assert result.exit_code == exit_code, (result.output, result.exception)
    return json.loads(result.stdout.splitlines()[-1])


def test_keys_are_registered_replaced_and_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The whole way of an operator, on the service's own files."""
    for name, value in {
        "DATABASE_URL": f"sqlite:///{tmp_path / 'log.sqlite'}",
        "KEYSTORE": str(tmp_path / "keys"),
        "KEYSTORE_PASSWORD": PASSWORD,
        "TILES": str(tmp_path / "public"),
        "BASE_URL": "https://region.example",
        "REGION": "610000",
    }.items():
        monkeypatch.setenv(f"ELICENCE_{name}", value)
    asyncio.run(create_region(settings_or_exit(), testing_only=True))
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
    new = _run("keys", "take-over", f"{MARKET}/licence")
    assert store.signer(f"{MARKET}/licence").public_key.kid == new["kid"] != stolen
