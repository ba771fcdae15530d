"""What recognition starts from in tests: a peer that was admitted, what it publishes, and a declaration about it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import orjson

from ledger import peers, types
from ledger.drafting import Unsigned
from ledger.followed import StoredList, keep_list
from ledger.recording import record
from ledger.region import Region
from tests.ledger.licensing import FOOD
from tests.ledger.peering import CODE, THERE, Documents
from tests.verifiers.issuer import FOOD as THEIR_FOOD
from tests.verifiers.issuer import Issuer
from verifiers.entry import REGION

NOTICE_S = 172_800
PEER = CODE
ABROAD = Issuer(region=PEER, base=THERE)
ID = f"{PEER}.{THEIR_FOOD}.1"
LARGE: dict[str, Any] = {">=": [{"var": "payload.fields.area_m2"}, 100]}


def trial(expect: Any, **fields: Any) -> dict[str, Any]:
    """Return a case for a rule: a licence that shows these fields."""
    return {"payload": {"fields": fields}, "at": "2026-11-21T00:00:00Z", "expect": expect}


TESTS = [trial(True, area_m2=100), trial(False, area_m2=99), trial("undetermined")]


def declaration(**changes: Any) -> dict[str, Any]:
    """Return the request: their food licence counts as ours if the premises are large enough."""
    body: dict[str, Any] = {
        "peer": PEER,
        "their": {"type": THEIR_FOOD, "major": 1},
        "ours": {"type": FOOD, "major": 1},
        "conditions": LARGE,
        "names": {"zh": "面积足够", "en": "Large enough"},
        "fields": {"premises": "site", "number": "number"},
        "tests": TESTS,
    }
    return body | changes


async def admit(region: Region) -> None:
    """Log that the peer was admitted, as `ledger.peers` does after two approvals."""
    names = {"zh": "示例乙省", "en": "Example Province B"}
    proposal = {"base": THERE, "root": ABROAD.pin, "names": names, "witnesses": None}
    event = Unsigned("peer", REGION, peers.ADMITTED, peers.thing_of(PEER), 0, bytes(32), {"proposal": proposal})
    await record(region, [event], {})


class Metadata(Documents):
    """The way to the peer, which shows its type metadata or nothing."""

    def __init__(self, metadata: bytes | None) -> None:
        shown = {} if metadata is None else {f"/types/{THEIR_FOOD}/1": metadata}
        super().__init__(shown)


async def following(region: Region, metadata: bytes | None, pinned: bool = True) -> None:
    """Keep a list of the peer that names the digest of `metadata`, which it publishes for its food licence."""
    kinds = []
    for kind in ABROAD.document().types:
        integrity = (types.integrity_of(metadata),) if metadata is not None and pinned else kind.integrity
        kinds.append(replace(kind, integrity=integrity))
    ABROAD.seq += 1
    text = ABROAD.trust_token(ABROAD.document(types=tuple(kinds)))
    now = region.clock.now()
    stored = StoredList(ABROAD.seq, bytes(32), text, 1)
    await region.database.write(lambda tx: keep_list(tx, PEER, ABROAD.pin, stored, now))
    region.outside = Metadata(metadata)


def metadata(*fields: tuple[str, str]) -> bytes:
    """Return SD-JWT VC type metadata with face fields and how they are disclosed; it claims to extend our type."""
    claims = [{"path": ["fields", name], "sd": sd, "mandatory": True} for name, sd in fields]
    return orjson.dumps({"vct": "x", "extends": f"https://region.example/types/{FOOD}/1", "claims": claims})
