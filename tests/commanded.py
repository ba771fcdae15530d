"""A region on disk for tests of commands, which find it through the environment."""

from __future__ import annotations

from pathlib import Path

import pytest

from api.cli.service import create_region, settings_or_exit
from tests.region import BASE_URL, REGION_CODE

PASSWORD = "示例口令"
"""Of its key store."""


async def region_in_environment(folder: Path, monkeypatch: pytest.MonkeyPatch, **more: str) -> None:
    """Make a region below `folder` from settings in the environment, as an operator does; `more` are settings too."""
    for name, value in {
        "DATABASE_URL": f"sqlite:///{folder / 'log.sqlite'}",
        "KEYSTORE": str(folder / "keys"),
        "KEYSTORE_PASSWORD": PASSWORD,
        "TILES": str(folder / "public"),
        "BASE_URL": BASE_URL,
        "REGION": REGION_CODE,
        **more,
    }.items():
        monkeypatch.setenv(f"ELICENCE_{name}", value)
    await create_region(settings_or_exit(), testing_only=True)
