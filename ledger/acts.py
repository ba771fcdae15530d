"""Acts on a licence, each under its legal name: what it takes, what it does, and when it becomes final (protocol 21a).

撤回 withdraw, 撤销 annul, 吊销 penalty_revoke, 注销 cancel, 失效 expire, 办理转出 transfer_out, 暂扣 suspend, 发还
reinstate. They are kept apart because the law does: only an annulment may reach back before its decision, and
withdrawal, annulment and penalty stay open to reconsideration for 60 days from service (行政复议法). See docs/acts.md.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import select

from ledger.actors import Actor
from ledger.catalogue import Catalogue, require_area
from ledger.database import Reading
from ledger.drafting import Unsigned
from ledger.errors import Code, Refusal
from ledger.events import SubjectPart
from ledger.licence_events import ACTED
from ledger.licences import LicenceRow, load
from ledger.proposals import IdempotencyKey, retrying
from ledger.recording import acted, count_of, record
from ledger.request_members import RequestMembers
from ledger.tables.licences import causes, licence_holders
from verifiers.legal_dates import day_of

if TYPE_CHECKING:
    from ledger.region import Region

GRANTED_BY: Final = {
    "suspend": "suspend",
    "reinstate": "suspend",
    "annul": "annul",
    "withdraw": "annul",
    "penalty_revoke": "penalty",
    "cancel": "change",
    "expire": "change",
    "transfer_out": "change",
}
"""What a department must be granted to do each act."""

OWN_ONLY: Final = frozenset({"cancel", "expire", "transfer_out"})
"""Acts that only the department which answers for the licence does."""

APPEALABLE: Final = frozenset({"annul", "withdraw", "penalty_revoke"})
"""Acts that stay open to reconsideration for a while; until then the status list says 2."""

APPEAL_DAYS: Final = 60


@dataclass(frozen=True, slots=True)
class ActRequest:
    """One act as the department states it; dates are text, `reason` is personal and erasable."""

    act: str
    authority: str
    articles: tuple[str, ...]
    document_no: str
    decided_at: str
    served_at: str | None
    effective_from: str
    until: str | None
    appealable_until: str | None
    reason: str | None
    reason_code: str | None

    def facts(self) -> dict[str, Any]:
        """Return what the record keeps of the act for ever."""
        kept = {
            "act": self.act,
            "authority": self.authority,
            "articles": list(self.articles),
            "document_no": self.document_no,
            "decided_at": self.decided_at,
            "served_at": self.served_at,
            "effective_from": self.effective_from,
            "until": self.until,
            "appealable_until": self.appealable_until,
            "reason_code": self.reason_code,
        }
        return {name: value for name, value in kept.items() if value is not None}


def parse_act(body: Any, today: date, where: str = "") -> ActRequest:
    """Read an act in the contract's shape and check that its dates fit together.

    Raises `Refusal` request.member_…, act.invalid, act.dates.
    """
    members = RequestMembers(body, where)
    act = members.one_of("act", tuple(GRANTED_BY))
    decided = members.day("decided_at")
    served = members.day("served_at") if members.has("served_at") else None
    effective = members.day("effective_from") if members.has("effective_from") else served or decided
    appealable = members.day("appealable_until") if members.has("appealable_until") else None
    request = ActRequest(
        act=act,
        authority=members.text("authority", 200),
        articles=tuple(members.texts("articles", 20)),
        document_no=members.text("document_no", 100),
        decided_at=decided,
        served_at=served,
        effective_from=effective,
        until=members.day("until") if members.has("until") else None,
        appealable_until=appealable or _appeal_end(act, served or decided),
        reason=members.text("reason", 2000) if members.has("reason") else None,
        reason_code=members.text("reason_code", 40) if members.has("reason_code") else None,
    )
    members.done()
    _check_dates(request, members, today)
    if act in APPEALABLE and not request.articles:
        raise Refusal(Code.ACT_INVALID, members.at("articles"), why="the article that allows it")
    return request


def _appeal_end(act: str, from_: str) -> str | None:
    if act not in APPEALABLE:
        return None
    return (date.fromisoformat(from_) + timedelta(days=APPEAL_DAYS)).isoformat()


def _check_dates(request: ActRequest, members: RequestMembers, today: date) -> None:
    if request.decided_at > today.isoformat():
        raise Refusal(Code.ACT_DATES, members.at("decided_at"), today=today.isoformat())
    if request.served_at is not None and not request.decided_at <= request.served_at <= today.isoformat():
        raise Refusal(Code.ACT_DATES, members.at("served_at"), decided_at=request.decided_at)
    # An annulment says that the licence should never have been; every other act works from its decision on.
    if request.effective_from < request.decided_at and request.act != "annul":
        raise Refusal(Code.ACT_DATES, members.at("effective_from"), decided_at=request.decided_at)
    if request.until is not None and (request.act != "suspend" or request.until < request.effective_from):
        raise Refusal(Code.ACT_DATES, members.at("until"), effective_from=request.effective_from)
    if request.appealable_until is not None and (
        request.act not in APPEALABLE or request.appealable_until < (request.served_at or request.decided_at)
    ):
        raise Refusal(Code.ACT_DATES, members.at("appealable_until"))


async def act(
    region: Region, actor: Actor, licence: str, body: Any, *, idempotency: IdempotencyKey | None = None
) -> dict[str, Any]:
    """Do an act on a licence and return `{"id", "act", "state", "entry"}`; the status list follows at once.

    Raises `Refusal` licence.unknown, licence.state, licence.other_department, grant.exceeded, act.…
    """
    request = parse_act(body, day_of(region.clock.now()))
    return await retrying(lambda: _act(region, actor, licence, request, idempotency))


@dataclass(frozen=True, slots=True)
class _Before:
    """A licence as the act finds it: `open` are the acts of its open direct causes, by cause id."""

    row: LicenceRow
    open: dict[str, str]
    first_holder: str
    n: int


async def _act(
    region: Region, actor: Actor, licence: str, request: ActRequest, idempotency: IdempotencyKey | None
) -> dict[str, Any]:
    before = await region.database.read(lambda tx: _before(tx, licence), cheap=True)
    row = before.row
    authorise = authorisation(actor, row, GRANTED_BY[request.act], own_only=request.act in OWN_ONLY)
    authorise(region.catalogue)
    facts = request.facts()
    if request.act == "reinstate":
        closes = sorted(id_ for id_, name in before.open.items() if name == "suspend")
        if not closes and idempotency is None:
            raise Refusal(Code.ACT_NOTHING_OPEN, None, licence=licence)
        facts["closes"] = closes
    elif request.act in before.open.values() and idempotency is None:
        raise Refusal(Code.LICENCE_STATE, "/act", state=row.state)
    subjects = (SubjectPart(before.first_holder, {"reason": request.reason}),) if request.reason else ()
    event = Unsigned(
        "licence.status",
        actor.department,
        ACTED,
        licence,
        before.n,
        row.secret,
        {**acted(actor), "act": facts},
        subjects,
    )
    answer = {"id": licence, "act": request.act, "effective_from": request.effective_from}
    if request.appealable_until is not None:
        answer["appealable_until"] = request.appealable_until
    return await record(
        region,
        [event],
        answer,
        idempotency=idempotency,
        authorise=authorise,
        conditions=[ActFits(licence, request.act, tuple(facts.get("closes", ())))],
    )


def _before(tx: Reading, licence: str) -> _Before:
    row = load(tx, licence)
    query = select(causes.c.id, causes.c.act).where(
        causes.c.licence == licence, causes.c.closed_idx.is_(None), causes.c.kind == "direct"
    )
    holder = select(licence_holders.c.subject).where(licence_holders.c.licence == licence, licence_holders.c.ord == 0)
    open_ = {found.id: found.act for found in tx.execute(query)}
    return _Before(row, open_, tx.execute(holder).scalar_one(), count_of(tx, licence))


def authorisation(actor: Actor, row: LicenceRow, act: str, *, own_only: bool) -> Callable[[Catalogue], None]:
    """Return the check that the actor's department may do `act` to this licence.

    It raises grant.exceeded, area.invalid where the client may not act there, and licence.other_department where only
    the department in charge may.
    """

    def authorise(catalogue: Catalogue) -> None:
        require_area(actor.areas, row.area)
        if own_only and actor.department != row.department:
            raise Refusal(Code.LICENCE_OTHER_DEPARTMENT, None, department=row.department)
        catalogue.require(actor.department, row.type, row.major, row.area, act)

    return authorise


@dataclass(frozen=True, slots=True)
class ActFits:
    """Condition of an act: no equal act is open, and for a reinstatement there is one to lift. Under the head lock."""

    licence: str
    act: str
    closes: tuple[str, ...]

    @classmethod
    def check(cls, tx: Reading, conditions: Sequence[ActFits]) -> dict[ActFits, Refusal]:
        """Read the open direct causes of all licences concerned in one query."""
        wanted = {condition.licence for condition in conditions}
        query = select(causes.c.id, causes.c.licence, causes.c.act).where(
            causes.c.licence.in_(wanted), causes.c.closed_idx.is_(None), causes.c.kind == "direct"
        )
        found = tx.execute(query).all()
        open_ids = {row.id for row in found}
        open_acts = {(row.licence, row.act) for row in found}
        refused: dict[ActFits, Refusal] = {}
        for each in conditions:
            if each.act == "reinstate":
                if not each.closes or not open_ids.issuperset(each.closes):
                    refused[each] = Refusal(Code.ACT_NOTHING_OPEN, None, licence=each.licence)
            elif (each.licence, each.act) in open_acts:
                refused[each] = Refusal(Code.LICENCE_STATE, "/act", licence=each.licence)
        return refused
