"""Issuing licences: what comes out, what is refused and why, and that the same request gets the same answer."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from ledger.errors import Code, Refusal
from ledger.issued import Issued
from ledger.issuing import issue
from ledger.region import Region
from tests.ledger import licensing
from verifiers.code import parse_code_text
from verifiers.licence import parse


@pytest.fixture
async def region(sqlite_url: str, tmp_path: Path) -> AsyncIterator[Region]:
    """Give a region on SQLite with departments, types and grants."""
    async with licensing.licensing_region(sqlite_url, tmp_path) as region:
        yield region


async def refused(region: Region, department: str, body: dict[str, Any]) -> Refusal:
    """Issue one licence that must be refused."""
    with pytest.raises(Refusal) as caught:
        await licensing.issued(region, department, body)
    return caught.value


async def test_a_licence_says_what_was_asked_for(database_url: str, tmp_path: Path) -> None:
    """The signed document, the code and the answer agree with the request, on both engines."""
    async with licensing.licensing_region(database_url, tmp_path) as region:
        answer = await licensing.issued(region, licensing.MARKET, licensing.food())

        licence = parse(answer.licence)
        assert licence.claims["number"] == "JY16101000000001"
        assert licence.claims["holders"][0]["name"] == "示例甲有限公司"
        assert licence.claims["fields"]["items"] == ["热食类食品制售", "冷食类食品制售"]
        assert answer.identifier == licence.identifier and answer.version == 1
        assert (licence.status_uri, licence.status_idx) == (answer.status_uri, answer.status_idx)
        assert parse_code_text(answer.code).payload.serial == "JY16101000000001"
