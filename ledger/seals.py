"""Electronic seals (电子印章) as facts of the ledger: registered, suspended, resumed, retired."""

from __future__ import annotations

import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import bindparam, select, update

from ledger.actors import Actor
from ledger.catalogue import Catalogue
from ledger.database import Reading, Writing, bulk_insert
from ledger.drafting import Unsigned
from ledger.errors import Code, Refusal
from ledger.events import Event, projector
from ledger.ids import new_id
from ledger.proposals import IdempotencyKey, retrying
from ledger.recording import acted, count_of, record
from ledger.request_members import RequestMembers
from ledger.tables.submissions import seals
from verifiers.encoding import b64u_decode
from verifiers.identity import uscc_findings

if TYPE_CHECKING:
    from ledger.region import Region

KINDS: Final = ("official", "finance", "contract", "invoice", "licence", "legal_person")
"""公章, 财务专用章, 合同专用章, 发票专用章, 证照专用章, 法定代表人名章."""

MOVES: Final = {
    "suspend": ("active", "suspended"),
    "resume": ("suspended", "active"),
    "retire": ("active suspended", "retired"),
}
"""Each act with the states it starts from and the state it leads to; a retired seal stays retired."""

_CODE = re.compile(r"[0-9A-Z]{13,32}")
_DIGEST = re.compile(r"[0-9a-f]{64}")


async def register(
    region: Region, actor: Actor, body: Any, *, idempotency: IdempotencyKey | None = None
) -> dict[str, Any]:
    """File a seal `{"code", "kind", "name", "holder", "picture", "certificate", "valid_from", "valid_until"}`.

    `code` is the number it is filed under, `holder` the USCC it belongs to, `picture` and `certificate` SHA-256 in hex.
    Raises `Refusal` seal.exists, seal.invalid, grant.exceeded.
    """
    facts = _parse(body)
    authorise = _may_seal(actor.department)
    authorise(region.catalogue)
    id_ = new_id()
    event = Unsigned(
        "seal", actor.department, "seal.registered", id_, 0, secrets.token_bytes(32), {**acted(actor), **facts}
    )
    answer = {"id": id_, "state": "active", "code": facts["seal_code"]}
    return await record(
        region,
        [event],
        answer,
        idempotency=idempotency,
        authorise=authorise,
        conditions=[CodeFree(facts["seal_code"])],
        touches=[f"seal:{facts['seal_code']}"],
    )


async def act(
    region: Region, actor: Actor, id_: str, body: Any, *, idempotency: IdempotencyKey | None = None
) -> dict[str, Any]:
    """Suspend, resume or retire a seal: `{"act", "reason", "document_no"}`.

    Raises `Refusal` seal.unknown, seal.state, grant.exceeded.
    """
    members = RequestMembers(body)
    move = members.one_of("act", tuple(MOVES))
    facts = {"act": move, "reason": members.text("reason", 500)}
    if members.has("document_no"):
        facts["document_no"] = members.text("document_no", 100)
    members.done()
    return await retrying(lambda: _act(region, actor, id_, facts, idempotency))


async def _act(
    region: Region, actor: Actor, id_: str, facts: dict[str, str], idempotency: IdempotencyKey | None
) -> dict[str, Any]:
    row, n = await region.database.read(lambda tx: (load(tx, id_), count_of(tx, id_)))
    if row["department"] != actor.department:
        raise Refusal(Code.SEAL_UNKNOWN, None, seal=id_)
    from_states, to_state = MOVES[facts["act"]]
    if row["state"] not in from_states.split() and idempotency is None:
        raise Refusal(Code.SEAL_STATE, "/act", state=row["state"])
    event = Unsigned("seal", actor.department, "seal.acted", id_, n, row["secret"], {**acted(actor), **facts})
    answer = {"id": id_, "act": facts["act"], "state": to_state}
    authorise = _may_seal(actor.department)
    return await record(
        region,
        [event],
        answer,
        idempotency=idempotency,
        authorise=authorise,
        conditions=[SealIn(id_, from_states)],
    )


def load(tx: Reading, id_: str) -> dict[str, Any]:
    """Return the row of a seal. Raises `Refusal` seal.unknown."""
    row = tx.execute(select(seals).where(seals.c.id == id_)).one_or_none()
    if row is None:
        raise Refusal(Code.SEAL_UNKNOWN, None, seal=id_)
    return {**row._mapping, "secret": bytes(row.secret)}


def get(tx: Reading, id_: str) -> dict[str, Any]:
    """Return what callers see of a seal. Raises `Refusal` seal.unknown."""
    seal = load(tx, id_)
    # Names of columns are a kind of text that JSON encoders do not take for one.
    return {str(name): seal[name] for name in seal if name not in ("secret", "idx") and seal[name] is not None}


@dataclass(frozen=True, slots=True)
class CodeFree:
    """Condition of a registration: nobody filed a seal under this code. Refused as seal.exists."""

    code: str

    @classmethod
    def check(cls, tx: Reading, conditions: Sequence[CodeFree]) -> dict[CodeFree, Refusal]:
        """Look all codes up in one query."""
        wanted = {condition.code for condition in conditions}
        taken = set(tx.execute(select(seals.c.code).where(seals.c.code.in_(wanted))).scalars())
        return {each: Refusal(Code.SEAL_EXISTS, "/code", seal=each.code) for each in conditions if each.code in taken}


@dataclass(frozen=True, slots=True)
class SealIn:
    """Condition of an act: the seal is in one of `states` (words in one text). Refused as seal.state."""

    seal: str
    states: str

    @classmethod
    def check(cls, tx: Reading, conditions: Sequence[SealIn]) -> dict[SealIn, Refusal]:
        """Read the seals concerned in one query."""
        wanted = {condition.seal for condition in conditions}
        rows = tx.execute(select(seals.c.id, seals.c.state).where(seals.c.id.in_(wanted)))
        found = {row.id: row.state for row in rows}
        return {
            each: Refusal(Code.SEAL_STATE, "/act", state=found.get(each.seal, "unknown"))
            for each in conditions
            if found.get(each.seal) not in each.states.split()
        }


def _parse(body: Any) -> dict[str, Any]:
    members = RequestMembers(body)
    facts: dict[str, Any] = {
        "seal_code": members.matching("code", _CODE),
        "seal_kind": members.one_of("kind", KINDS),
        "name": members.text("name", 200),
        "holder": members.text("holder", 18),
        "picture": members.matching("picture", _DIGEST),
        "certificate": members.matching("certificate", _DIGEST) if members.has("certificate") else None,
        "valid_from": members.day("valid_from"),
        "valid_until": members.day("valid_until") if members.has("valid_until") else None,
    }
    members.done()
    if findings := uscc_findings(facts["holder"]):
        raise Refusal(Code.SEAL_INVALID, "/holder", findings=[str(finding) for finding in findings])
    if facts["valid_until"] is not None and facts["valid_until"] < facts["valid_from"]:
        raise Refusal(Code.VALIDITY_REVERSED, "/valid_until", valid_from=facts["valid_from"])
    return facts


def _may_seal(department: str) -> Any:
    """Filing seals needs a grant with the act `seal`, of whatever licence type."""

    def authorise(catalogue: Catalogue) -> None:
        catalogue.active_department(department)
        held = (g for g in catalogue.grants.values() if g.department == department and g.closed_idx is None)
        if not any("seal" in grant.acts for grant in held):
            raise Refusal(Code.GRANT_EXCEEDED, None, department=department, act="seal", lacking="act")

    return authorise


@projector("seal.registered")
def _project_registered(tx: Writing, events: Sequence[Event]) -> None:
    bulk_insert(tx, seals, [_row(event) for event in events])


def _row(event: Event) -> tuple[Any, ...]:
    facts = event.facts
    return (
        event.thing,
        event.by,
        facts["seal_code"],
        facts["seal_kind"],
        facts["name"],
        facts["holder"],
        facts["picture"],
        facts["certificate"],
        "active",
        facts["valid_from"],
        facts["valid_until"],
        b64u_decode(facts["secret"]),
        event.idx,
    )


@projector("seal.acted")
def _project_acted(tx: Writing, events: Sequence[Event]) -> None:
    tx.execute(
        update(seals).where(seals.c.id == bindparam("_id")).values(state=bindparam("_state")),
        [{"_id": event.thing, "_state": MOVES[event.facts["act"]][1]} for event in events],
    )
