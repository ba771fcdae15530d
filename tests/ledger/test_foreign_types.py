"""Looking at what a peer's licence type is like: only where that peer was admitted to be."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ledger import equivalences, foreign_types, types
from ledger.outside import Answer
from tests.ledger.licensing import definition
from tests.ledger.recognising import ABROAD, Metadata, admit, declaration, following, metadata
from tests.region import OPERATOR, region_on


async def test_what_a_peer_publishes_is_looked_for_below_its_address_alone(
    sqlite_urls: Callable[[str], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its list may call a type by any address, also by one in our own network; nobody goes there."""
    asked: list[str] = []

    class Asked(Metadata):
        async def get(self, url: str, **how: Any) -> Answer:
            asked.append(url)
            return await super().get(url, **how)

    async with region_on(sqlite_urls("region"), tmp_path) as region:
        await types.register(region, OPERATOR, definition("food-business-licence"))
        await admit(region)
        monkeypatch.setattr(ABROAD, "base", "http://127.0.0.1:8500")
        await following(region, metadata(("site", "always")))
        region.outside = Asked(metadata(("site", "always")))
        answer = await equivalences.declare(region, OPERATOR, declaration())

        assert (answer["warnings"], asked) == ([foreign_types.FIELDS_UNCHECKED], [])
