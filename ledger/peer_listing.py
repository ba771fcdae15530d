"""Who our peers are, for those who ask: as the log says, with how following them and telling them goes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson
from sqlalchemy import case, func, select

from ledger.cursors import LIMIT_DEFAULT, LIMIT_MAX, decode_cursor, encode_cursor
from ledger.database import Reading
from ledger.errors import Code, Refusal
from ledger.foreign_standing import Standing, standings
from ledger.history import load_event
from ledger.peers import answer_of
from ledger.tables.peers import peer_notices_out, peers

if TYPE_CHECKING:
    from ledger.region import Region


async def listed(region: Region, cursor: str | None = None, limit: int = LIMIT_DEFAULT) -> dict[str, Any]:
    """Return the peers after `cursor` by region code, withdrawn ones among them: `{"items": […], "cursor"?}`.

    Raises `Refusal` with `cursor.invalid`.
    """
    after = "" if cursor is None else decode_cursor(cursor)[1]
    size = min(limit, LIMIT_MAX)
    known = region.catalogue.recognised.peers
    codes = [code for code in sorted(known) if code > after]
    told, resting = await region.database.read(lambda tx: (_deliveries(tx), standings(tx)))
    states = _following(region)
    items = [
        _item(answer_of(known[code]), states.get(code), told.get(code), resting.get(code)) for code in codes[:size]
    ]
    return {"items": items} | ({"cursor": encode_cursor(0, codes[size - 1])} if len(codes) > size else {})


async def described(region: Region, code: str) -> dict[str, Any]:
    """Return one peer with the entry that last changed it, and who approved what in it.

    Raises `Refusal` peer.unknown.
    """
    peer = region.catalogue.recognised.peer(code, None)

    def read(tx: Reading) -> tuple[dict[str, dict[str, int]], dict[str, Standing], Any, dict[str, Any]]:
        row = tx.execute(select(peers).where(peers.c.region == code)).one_or_none()
        if row is None:
            raise Refusal(Code.PEER_UNKNOWN, None, region=code)
        return _deliveries(tx), standings(tx), row, load_event(tx, region.vault, row.changed_idx).facts

    told, resting, row, facts = await region.database.read(read)
    shown = {name: facts[name] for name in ("client", "officer", "reason", "approvals", "approvers") if name in facts}
    return {
        **_item(answer_of(peer), _following(region).get(code), told.get(code), resting.get(code)),
        "admitted_entry": row.admitted_idx,
        "proposal": orjson.loads(row.proposal),
        "last_change": shown,
    }


def _following(region: Region) -> dict[str, dict[str, Any]]:
    if region.following is None:
        return {}
    return {str(each["region"]): each for each in region.following.states()}


def _deliveries(tx: Reading) -> dict[str, dict[str, int]]:
    out = peer_notices_out.c
    arrived = func.sum(case((out.delivered_at.is_(None), 0), else_=1))
    rows = tx.execute(select(out.region, func.count(), arrived).group_by(out.region))
    return {row[0]: {"delivered": int(row[2]), "waiting": int(row[1] - row[2])} for row in rows}


def _item(
    peer: dict[str, Any],
    following: dict[str, Any] | None,
    notices: dict[str, int] | None,
    resting: Standing | None,
) -> dict[str, Any]:
    return {
        **peer,
        "following": following,
        "notices": notices or {"delivered": 0, "waiting": 0},
        "relied_on": (resting or Standing()).to_json(),
    }
