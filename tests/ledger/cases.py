"""A fraud case for tests: two officers of one department take it from the flag to the decision and the reversal."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from datetime import date, datetime, timedelta
from typing import Any

from sqlalchemy import select

from ledger import case_projection, fraud, matters
from ledger.actors import Actor
from ledger.clock import SystemClock
from ledger.decisions import decide
from ledger.region import Region
from ledger.tables.licences import licence_holders, licence_versions, licences, slot_status
from ledger.trust_publishing import newest, payload_of
from tests.ledger import licensing
from tests.region import OPERATOR
from verifiers.legal_dates import day_of

__all__ = ["case_projection"]

FIRST, SECOND = "示例监管员一", "示例监管员二"
DAY = "2026-11-21"


def first_officer(department: str = licensing.MARKET) -> Actor:
    """Return the officer who flags."""
    return licensing.actor(department, "supervise", operator=FIRST)


def second_officer(department: str = licensing.MARKET) -> Actor:
    """Return the officer who decides."""
    return licensing.actor(department, "supervise", operator=SECOND)


def target(id_: str, kind: str = "licence") -> dict[str, str]:
    """Return one target as a request names it."""
    return {kind: id_}


def today(region: Region) -> date:
    """Return today's calendar date in +08:00."""
    return day_of(region.clock.now())


async def flagged(region: Region, *targets: dict[str, str], by: Actor | None = None) -> str:
    """Open a case and return its id."""
    body = {"targets": list(targets), "reason": "材料系伪造(示例)", "evidence": ["0" * 64]}
    return str((await fraud.flag(region, by or first_officer(), body))["id"])


async def notified(region: Region, flag_id: str, *, waived: bool = True, by: Actor | None = None) -> None:
    """Serve notice and, unless told not to, take down that those concerned want no more time."""
    day = today(region).isoformat()
    body = {"document_no": "示例告知〔2026〕1号", "served_at": day, "respond_by": day}
    await fraud.serve_notice(region, by or first_officer(), flag_id, body)
    if waived:
        await fraud.hear(region, by or first_officer(), flag_id, {"text": "无异议(示例)", "waives": True})


async def preview_of(region: Region, flag_id: str, department: str = licensing.MARKET) -> dict[str, Any]:
    """Return the preview an officer sees."""
    view = await region.database.read(lambda tx: fraud.view_case(tx, flag_id, department))
    preview: dict[str, Any] = view["preview"]
    return preview


def ruling(digest: str, **changes: Any) -> dict[str, Any]:
    """Return the body of an upholding decision."""
    body: dict[str, Any] = {
        "outcome": "upheld",
        "articles": ["行政许可法第六十九条第二款"],
        "document_no": "示例撤决〔2026〕1号",
        "preview": digest,
        "liable": [],
        "spared": [],
    }
    return body | changes


async def upheld(region: Region, *targets: dict[str, str], department: str = licensing.MARKET, **changes: Any) -> str:
    """Take a case through every step to an upholding decision and return its id."""
    flag_id = await flagged(region, *targets, by=first_officer(department))
    await notified(region, flag_id, by=first_officer(department))
    preview = await preview_of(region, flag_id, department)
    await decide(region, second_officer(department), flag_id, ruling(preview["digest"], **changes))
    return flag_id


async def states(region: Region, ids: Iterable[str]) -> dict[str, tuple[str, int]]:
    """Return the stored state and the current slot's value of each licence."""
    wanted = list(ids)
    query = (
        select(licences.c.id, licences.c.state, slot_status.c.value)
        .join(licence_versions, licence_versions.c.licence == licences.c.id)
        .join(
            slot_status,
            (slot_status.c.list_num == licence_versions.c.list_num) & (slot_status.c.slot == licence_versions.c.slot),
            isouter=True,
        )
        .where(licences.c.id.in_(wanted), licence_versions.c.superseded_idx.is_(None))
    )
    rows = await region.database.read(lambda tx: tx.execute(query).all())
    return {row[0]: (row[1], row[2] or 0) for row in rows}


def resting_on(*ids: str, basis: str = "identity") -> list[dict[str, str]]:
    """Return `rests_on` of a request for a licence that builds on others."""
    return [{"licence": id_, "basis": basis} for id_ in ids]


async def trusted(region: Region) -> None:
    """Wait until the trust list names the example departments and their keys."""
    for _ in range(400):
        row = await region.database.read(newest)
        if row is not None and len(payload_of(row.list)["grants"]) == len(region.catalogue.grants):
            return
        await asyncio.sleep(0.02)
    raise AssertionError("the trust list did not follow")


class ShiftedClock:
    """The system's clock, `ahead` of it by as much as a test says."""

    def __init__(self) -> None:
        self.ahead = timedelta()

    def now(self) -> datetime:
        """Return the shifted time."""
        return SystemClock().now() + self.ahead


def certificate(n: int = 1, **changes: Any) -> dict[str, Any]:
    """Return a request to another department, for a construction safety certificate with the n-th number."""
    body = licensing.officer(n, **changes)
    body["fields"]["employer_code"] = licensing.COMPANY["id"]
    return body


MATTER = "EXAMPLE-SX-9000001"


async def matter(region: Region, policy: str = "refuse") -> None:
    """Register a matter that needs two fields and the holder of a food business licence, and results in one."""
    body = {
        "base_code": "000000000001",
        "code": MATTER,
        "department": licensing.MARKET,
        "area": "610000",
        "version": 1,
        "names": {"zh": "示例事项", "en": "Example matter"},
        "needs": [{"type": licensing.FOOD, "fields": ["premises", "items", "holders"], "basis": "qualification"}],
        "credit": {"purpose": "示例事项办理", "policy": policy},
        "deferrable": [],
        "promise_allowed": False,
        "results": [licensing.FOOD],
    }
    await matters.register(region, OPERATOR, body)


async def holder_of(region: Region, licence: str) -> str:
    """Return the subject id of a licence's first holder."""
    query = select(licence_holders.c.subject).where(licence_holders.c.licence == licence, licence_holders.c.ord == 0)
    return await region.database.read(lambda tx: str(tx.execute(query).scalar_one()))
