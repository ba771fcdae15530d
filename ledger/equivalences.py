"""Recognition as a decision: a peer's licence type counts as one of ours, from when to when, on which conditions.

To accept more, or otherwise, takes notice: everybody who relies on our list can see it coming. To accept less takes
effect at once. Every version stays in the log, in the trust list and in what is served.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import orjson
from sqlalchemy import or_, update

from ledger import rules
from ledger.actors import Actor
from ledger.catalogue import Catalogue
from ledger.database import Writing, bulk_insert
from ledger.drafting import Unsigned
from ledger.errors import Code, Refusal
from ledger.events import Event, projector
from ledger.foreign_types import ForeignType, look_up
from ledger.proposals import IdempotencyKey
from ledger.recognised import Equivalence
from ledger.recording import acted, count_of, record
from ledger.request_members import RequestMembers
from ledger.tables.peers import equivalences
from ledger.type_definition import names as read_names
from verifiers.encoding import b64u_decode, b64u_encode
from verifiers.entry import REGION
from verifiers.legal_dates import format_time, parse_time
from verifiers.recognition import OWN_MEMBERS
from verifiers.trust_document import REGION as REGION_CODE
from verifiers.trust_document import TYPE_CODE
from verifiers.trusted_peers import RECOGNITION_ID

if TYPE_CHECKING:
    from ledger.region import Region

KIND: Final = "equivalence"
DECLARED: Final = "equivalence.declared"
WITHDRAWN: Final = "equivalence.withdrawn"

HORIZON: Final = timedelta(days=14)
"""How long before it takes effect an equivalence may be declared, beyond the notice; later, the world may differ."""

_MAX_FIELDS = 64
_MAX_REASON = 400


@dataclass(frozen=True, slots=True)
class Declaration:
    """What is asked for: types as (code, major), `fields` from ours to theirs, times or `None` where not given."""

    id: str
    peer: str
    theirs: tuple[str, int]
    ours: tuple[str, int]
    fields: Mapping[str, str]
    names: Mapping[str, str] | None
    conditions: rules.Conditions | None
    valid_from: datetime | None
    valid_until: datetime | None

    @property
    def place(self) -> str:
        """Names what is recognised; only one equivalence may be in force for it."""
        return f"equivalence:{self.peer}/{self.theirs[0]}/{self.theirs[1]}"


async def declare(
    region: Region, actor: Actor, body: Any, *, idempotency: IdempotencyKey | None = None
) -> dict[str, Any]:
    """Declare an equivalence, or the next version of one, and return it; `body` is described in docs/recognition.md.

    Raises `Refusal` peer.unknown, peer.withdrawn, type.unknown, field.unknown, equivalence.type_unknown,
    equivalence.exists, equivalence.notice_too_short, equivalence.window_invalid, rule.malformed, rule.tests_missing,
    rule.test_failed, rule.withholding.
    """
    asked = _in_time(read_declaration(body), region.clock.now(), region.config.recognition_notice_s)
    acceptable = _acceptable(asked)
    acceptable(region.catalogue)
    theirs = await look_up(region, asked.peer, *asked.theirs)
    _check_their_fields(asked, theirs)
    if asked.conditions is not None:
        rules.try_out(asked.conditions, theirs.open_fields)
    catalogue = region.catalogue
    known = catalogue.recognised.equivalences.get(asked.id, ())
    count = await region.database.read(lambda tx: count_of(tx, asked.id))
    events, rule = _rule_events(catalogue, asked, acted(actor))
    secret = known[-1].secret if known else secrets.token_bytes(32)
    statement = {
        "version": len(known) + 1,
        "peer": asked.peer,
        "their": _type_json(asked.theirs),
        "ours": _type_json(asked.ours),
        "rule": rule,
        "fields": dict(asked.fields),
        "valid_from": _time_json(asked.valid_from),
        "valid_until": _time_json(asked.valid_until),
        "warnings": list(theirs.warnings),
    }
    facts = {**acted(actor), **statement, "secret": b64u_encode(secret)}
    events.insert(0, Unsigned(KIND, REGION, DECLARED, asked.id, count, secret, facts))

    def still_next(current: Catalogue) -> None:
        acceptable(current)
        if len(current.recognised.equivalences.get(asked.id, ())) != len(known):
            raise Refusal(Code.STALE)

    answer = {"id": asked.id, **statement}
    return await record(region, events, answer, idempotency=idempotency, authorise=still_next, touches=[asked.place])


async def withdraw(
    region: Region, actor: Actor, id_: str, body: Any, *, idempotency: IdempotencyKey | None = None
) -> dict[str, Any]:
    """End an equivalence: `{"reason", "from"?}`, at once unless it says from when; nothing of it counts from then on.

    Raises `Refusal` equivalence.unknown, or equivalence.window_invalid for a time that has passed.
    """
    members = RequestMembers(body)
    reason = members.text("reason", _MAX_REASON)
    now = region.clock.now().astimezone(UTC).replace(microsecond=0)
    ends = members.maybe("from", lambda name: rules.time_of(members, name)) or now
    members.done()
    if ends < now:
        raise Refusal(Code.EQUIVALENCE_WINDOW_INVALID, "/from", now=format_time(now))
    known = _known(region.catalogue, id_)
    count = await region.database.read(lambda tx: count_of(tx, id_))
    facts = {**acted(actor), "reason": reason, "from": format_time(ends)}
    event = Unsigned(KIND, REGION, WITHDRAWN, id_, count, known[-1].secret, facts)
    answer = {"id": id_, "version": known[-1].version, "withdrawn_from": format_time(ends), "reason": reason}
    return await record(region, [event], answer, idempotency=idempotency)


def listed(catalogue: Catalogue, now: datetime, peer: str | None = None) -> list[dict[str, Any]]:
    """Return the newest version of every equivalence, or of those with one peer, by id."""
    found = catalogue.recognised.equivalences
    newest = (found[id_][-1] for id_ in sorted(found))
    return [answer_of(each, now) for each in newest if peer in (None, each.peer)]


def history(catalogue: Catalogue, now: datetime, id_: str) -> dict[str, Any]:
    """Return all versions of an equivalence, the newest first. Raises `Refusal` equivalence.unknown."""
    return {"id": id_, "versions": [answer_of(each, now) for each in reversed(_known(catalogue, id_))]}


def answer_of(each: Equivalence, now: datetime) -> dict[str, Any]:
    """Return what callers see of one version; `state` is `announced`, `in_force` or `ended` at the time `now`."""
    ended = each.valid_until is not None and (each.valid_until <= now or each.valid_until <= each.valid_from)
    return {
        "id": each.id,
        "version": each.version,
        "peer": each.peer,
        "their": _type_json((each.their_type, each.their_major)),
        "ours": _type_json((each.our_type, each.our_major)),
        "rule": None if each.rule is None else {"id": each.rule[0], "version": each.rule[1]},
        "fields": dict(each.fields),
        "valid_from": _time_json(each.valid_from),
        "valid_until": _time_json(each.valid_until),
        "state": "ended" if ended else "announced" if now < each.valid_from else "in_force",
        "entry": each.idx,
    }


def read_declaration(body: Any) -> Declaration:
    """Read a declaration without looking anything up. Raises `Refusal` with a pointer."""
    members = RequestMembers(body)
    peer = members.matching("peer", REGION_CODE)
    theirs, ours = (_type(RequestMembers(members.take(name), f"/{name}")) for name in ("their", "ours"))
    id_ = members.maybe("id", lambda name: members.matching(name, RECOGNITION_ID))
    tests = members.take("tests") if members.has("tests") else []
    if members.has("conditions"):
        conditions = rules.read_conditions(members.take("conditions"), tests)
    elif tests:
        raise Refusal(Code.REQUEST_MEMBER_INVALID, "/tests", why="there are no conditions to be tried on them")
    else:
        conditions = None
    declaration = Declaration(
        id=id_ or f"{peer}.{theirs[0]}.{theirs[1]}",
        peer=peer,
        theirs=theirs,
        ours=ours,
        fields=_fields(members.take("fields")) if members.has("fields") else {},
        names=members.maybe("names", lambda name: read_names(members.take(name), f"/{name}")),
        conditions=conditions,
        valid_from=members.maybe("valid_from", lambda name: rules.time_of(members, name)),
        valid_until=members.maybe("valid_until", lambda name: rules.time_of(members, name)),
    )
    members.done()
    return declaration


def _in_time(asked: Declaration, now: datetime, notice_s: int) -> Declaration:
    """Settle from when it counts: with notice, not too far ahead, and before it ends."""
    earliest = _ceiling(now + timedelta(seconds=notice_s))
    begins = asked.valid_from or earliest
    if begins < earliest:
        raise Refusal(Code.EQUIVALENCE_NOTICE_TOO_SHORT, "/valid_from", earliest=format_time(earliest))
    if begins > (latest := earliest + HORIZON):
        raise Refusal(Code.EQUIVALENCE_WINDOW_INVALID, "/valid_from", latest=format_time(latest))
    if asked.valid_until is not None and asked.valid_until <= begins:
        raise Refusal(Code.EQUIVALENCE_WINDOW_INVALID, "/valid_until", valid_from=format_time(begins))
    return replace(asked, valid_from=begins)


def _acceptable(asked: Declaration) -> Callable[[Catalogue], None]:
    """Everything that the catalogue decides; asked again under the lock where the catalogue has moved on."""

    def check(catalogue: Catalogue) -> None:
        recognised = catalogue.recognised
        if recognised.peer(asked.peer).status == "withdrawn":
            raise Refusal(Code.PEER_WITHDRAWN, "/peer", region=asked.peer)
        definition = catalogue.type(*asked.ours, pointer="/ours/type").definition
        for name in asked.fields:
            if name not in definition.by_name and name not in OWN_MEMBERS:
                raise Refusal(Code.FIELD_UNKNOWN, f"/fields/{name}", field=name)
        for id_, versions in recognised.equivalences.items():
            newest = versions[-1]
            same_place = (newest.peer, newest.their_type, newest.their_major) == (asked.peer, *asked.theirs)
            if id_ == asked.id and not same_place:
                raise Refusal(Code.EQUIVALENCE_EXISTS, "/id", equivalence=id_)
            if id_ != asked.id and same_place and _overlaps(newest, asked):
                raise Refusal(Code.EQUIVALENCE_EXISTS, "/their/type", equivalence=id_)

    return check


def _overlaps(newest: Equivalence, asked: Declaration) -> bool:
    return newest.valid_until is None or asked.valid_from is None or newest.valid_until > asked.valid_from


def _check_their_fields(asked: Declaration, theirs: ForeignType) -> None:
    for ours, name in asked.fields.items():
        if theirs.fields is not None and name not in theirs.fields and name not in OWN_MEMBERS:
            raise Refusal(Code.FIELD_UNKNOWN, f"/fields/{ours}", field=name, peer=asked.peer)


def _rule_events(
    catalogue: Catalogue, asked: Declaration, by: Mapping[str, str]
) -> tuple[list[Unsigned], dict[str, Any] | None]:
    """The event that publishes the rule, if it says something new, and the name of its version."""
    if asked.conditions is None:
        return [], None
    names = asked.names or catalogue.type(*asked.ours).definition.names
    event, version = rules.published(catalogue, asked.id, asked.conditions, names, secrets.token_bytes(32), by)
    return ([] if event is None else [event]), {"id": asked.id, "version": version}


def _known(catalogue: Catalogue, id_: str) -> tuple[Equivalence, ...]:
    known = catalogue.recognised.equivalences.get(id_)
    if known is None:
        raise Refusal(Code.EQUIVALENCE_UNKNOWN, None, equivalence=id_)
    return known


def _type(members: RequestMembers) -> tuple[str, int]:
    found = (members.matching("type", TYPE_CODE), members.integer("major", 1, 999))
    members.done()
    return found


def _fields(value: Any) -> dict[str, str]:
    if type(value) is not dict or len(value) > _MAX_FIELDS:
        raise Refusal(Code.REQUEST_MEMBER_INVALID, "/fields", expected="object", limit=_MAX_FIELDS)
    members = RequestMembers(value, "/fields")
    return {name: members.text(name, 64) for name in value}


def _type_json(named: tuple[str, int]) -> dict[str, Any]:
    return {"type": named[0], "major": named[1]}


def _time_json(at: datetime | None) -> str | None:
    return None if at is None else format_time(at)


def _ceiling(at: datetime) -> datetime:
    whole = at.astimezone(UTC).replace(microsecond=0)
    return whole if whole == at else whole + timedelta(seconds=1)


@projector(DECLARED, WITHDRAWN)
def project_equivalences(tx: Writing, events: Sequence[Event]) -> None:
    """Keep every version; a newer one ends those before it when it begins, a withdrawal ends all."""
    for event in events:
        facts = event.facts
        here = equivalences.c.id == event.thing
        ends = parse_time(facts["valid_from" if event.event == DECLARED else "from"])
        later = or_(equivalences.c.valid_until.is_(None), equivalences.c.valid_until > ends)
        if event.event == DECLARED:
            tx.execute(update(equivalences).where(here, later).values(valid_until=ends))
            bulk_insert(tx, equivalences, [_row(event)])
        else:
            tx.execute(update(equivalences).where(here, later).values(valid_until=ends, withdrawn_idx=event.idx))


def _row(event: Event) -> tuple[Any, ...]:
    facts = event.facts
    rule, until = facts["rule"], facts["valid_until"]
    return (
        event.thing,
        facts["version"],
        facts["peer"],
        facts["their"]["type"],
        facts["their"]["major"],
        facts["ours"]["type"],
        facts["ours"]["major"],
        None if rule is None else rule["id"],
        None if rule is None else rule["version"],
        orjson.dumps(facts["fields"], option=orjson.OPT_SORT_KEYS).decode(),
        parse_time(facts["valid_from"]),
        None if until is None else parse_time(until),
        event.idx,
        None,
        b64u_decode(facts["secret"]),
    )
