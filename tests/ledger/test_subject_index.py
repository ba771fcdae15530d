"""The blind index under a new key, and subjects with several numbers (protocol 34)."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from ledger import subjects
from ledger.auditing import Stored, audit_stored
from ledger.erasing import erase_subject
from ledger.errors import Code, Refusal
from ledger.rebuilding import rebuild
from ledger.region import Region
from ledger.subject_index import index_again, link
from ledger.tables.subjects import subject_index
from tests.ledger import licensing
from tests.ledger.licensing import EDUCATION, MARKET, PERSON, actor, issued
from tests.region import OPERATOR, memory_store, region_on

PASSPORT = {"id_type": "414", "id": "E00000000", "document_no": "示例〔2026〕3号"}


async def hashes(region: Region, subject: str) -> list[int]:
    """Return under which keys a subject is found, one for each number."""
    query = select(subject_index.c.key_id).where(subject_index.c.subject == subject).order_by(subject_index.c.key_id)
    return await region.database.read(lambda tx: list(tx.execute(query).scalars()))


async def who(region: Region, id_type: str, number: str) -> str | None:
    """Look a number up."""
    return await region.database.read(lambda tx: subjects.find(tx, region.vault, id_type, number))


async def checked(region: Region) -> None:
    """Audit, and rebuild: nothing is to be found."""
    assert (await asyncio.to_thread(audit_stored, Stored.of(region))).findings == []
    assert rebuild(region.database, region.vault, region.clock).replaced == ()


async def test_a_new_key_fills_in_everybody_known(database_url: str, tmp_path: Path) -> None:
    """Holders, applicants, linked numbers: each is hashed again, old hashes stay, a second run adds nothing."""
    store = memory_store()
    async with region_on(database_url, tmp_path, store=store) as first:
        await licensing.furnish(first)
        await issued(first, EDUCATION, licensing.diploma(1))
        await issued(first, MARKET, licensing.food(1))
        person = await who(first, "111", str(PERSON["id"]))
        assert person is not None
        await link(first, OPERATOR, person, PASSPORT)
    store.secret("blind-2")

    second = await Region.open(first.config, store)
    try:
        assert await who(second, "111", str(PERSON["id"])) == person, "found under the old key meanwhile"
        done = await index_again(second, OPERATOR)

        assert done >= 2 and await hashes(second, person) == [1, 1, 2, 2]
        assert await index_again(second, OPERATOR) == 0
        await issued(second, EDUCATION, licensing.diploma(2))
        assert await who(second, "111", str(PERSON["id"])) == person
        await checked(second)
        ground: dict[str, Any] = {"ground": "个人信息保护法 47", "document_no": "示例〔2026〕2号"}
        await erase_subject(second, OPERATOR, person, second="示例复核员", **ground)
        assert await hashes(second, person) == []
        await checked(second)
    finally:
        await second.close()


async def test_a_linked_number_leads_to_the_same_subject(sqlite_url: str, tmp_path: Path) -> None:
    """A licence issued on the new number is the same person's; a number of somebody else is not taken."""
    async with licensing.licensing_region(sqlite_url, tmp_path) as region:
        await issued(region, EDUCATION, licensing.diploma(1))
        person = await who(region, "111", str(PERSON["id"]))
        assert person is not None
        await link(region, actor(MARKET, "supervise"), person, PASSPORT)

        assert await who(region, "414", "e00000000") == person
        with pytest.raises(Refusal) as caught:
            await link(region, OPERATOR, person, PASSPORT | {"id_type": "111", "id": PERSON["id"]})
        assert caught.value.code is Code.CONFLICT
        with pytest.raises(Refusal) as unknown:
            await link(region, OPERATOR, "A" * 22, PASSPORT | {"id": "E00000001"})
        assert unknown.value.code is Code.SUBJECT_UNKNOWN
