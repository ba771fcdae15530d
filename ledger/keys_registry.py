"""Which keys departments and services sign with, from the entry that registers one to the entry that ends it.

Certificates come from the region's root where its key lies in the store; else `elicence keys request|sign|install`
carry the request to the root and the certificate back, and `register` logs the result. A retired key's private half is
destroyed, its signatures before that stay good (protocol 16, 17).
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import orjson
from sqlalchemy import bindparam, update

from keys.certificates import LeafSubject, check_root, department_subject, fingerprint, service_subject
from keys.certification import issue_leaf, read_request
from keys.errors import RetiredKey, UnknownKey
from keys.public_key import PublicKey
from keys.signer import KeyState
from keys.suites import ES256
from ledger import positions
from ledger.actors import Actor
from ledger.catalogue import RegisteredKey
from ledger.database import Writing, bulk_insert
from ledger.drafting import Unsigned
from ledger.errors import Code, Refusal
from ledger.events import Event, projector
from ledger.proposals import IdempotencyKey
from ledger.publication import pin_checkpoints
from ledger.recording import acted, count_of, record
from ledger.region_keys import PEER, STATEMENT
from ledger.tables.catalogue import registered_keys
from verifiers.encoding import b64u_decode, b64u_encode
from verifiers.entry import REGION, parse_at
from verifiers.legal_dates import format_time

if TYPE_CHECKING:
    from ledger.region import Region

DEPARTMENT_PURPOSES: Final = ("licence", "code", "statement")
"""What each department signs with keys of its own."""

CERTIFIED: Final = frozenset({"licence", "code", "status", "list"})
"""Purposes whose keys carry a certificate under the region's root."""

REASONS: Final = ("compromised", "superseded", "unspecified")


def registered(
    purpose: str,
    department: str | None,
    key: PublicKey,
    certificate: bytes | None,
    log_from: Mapping[str, Any],
    by: Mapping[str, str] | None = None,
) -> Unsigned:
    """Prepare the event that makes a key known."""
    facts: dict[str, Any] = {
        **(by or {}),
        "purpose": purpose,
        "suite": key.suite,
        "spki": b64u_encode(key.spki),
        "log_from": dict(log_from),
    }
    if department is not None:
        facts["department"] = department
    if certificate is not None:
        facts["certificate"] = b64u_encode(certificate)
    return Unsigned("key", REGION, "key.registered", key.kid, 0, secrets.token_bytes(32), facts)


def ended(key: RegisteredKey, n: int, event: str, facts: dict[str, Any]) -> Unsigned:
    """Prepare the event that ends a key's signing (`key.retired`, `key.compromised`), its n-th."""
    return Unsigned("key", REGION, event, key.kid, n, key.secret, facts)


def new_department_keys(region: Region, department: str) -> dict[str, PublicKey]:
    """Make the three keys of a department in the store, those that are not there yet, and return them by purpose."""
    held = {entry.name: entry.public_key for entry in region.store.list() if entry.state == "active"}
    names = {purpose: f"{department}/{purpose}" for purpose in DEPARTMENT_PURPOSES}
    return {purpose: held.get(name) or region.store.create(name, ES256) for purpose, name in names.items()}


async def certify(region: Region, name: str, subject: LeafSubject) -> bytes | None:
    """Have the root in the store certify key `name`, install and return the leaf; `None` where the root is off line."""
    try:
        root = region.store.signer("root")
    except UnknownKey:
        return None
    if root.certificate is None:
        return None
    trusted = check_root(root.certificate)
    request = read_request(region.store.request(name, subject))
    begins = max(region.clock.now().replace(microsecond=0), trusted.not_before)
    leaf = await issue_leaf(root, root.certificate, request, not_before=begins, not_after=trusted.not_after)
    region.store.install(name, leaf)
    return leaf


def certificate_in_store(region: Region, name: str, key: PublicKey) -> bytes | None:
    """Return the certificate that was installed for `key`, if any."""
    for entry in region.store.list():
        if entry.name == name and entry.public_key == key:
            return entry.certificate
    return None


async def department_keys(
    region: Region, department: str, organisation: str, log_from: Mapping[str, Any]
) -> list[Unsigned]:
    """Make and certify the keys of a new department; those waiting for a certificate are left out."""
    events = []
    for purpose, key in new_department_keys(region, department).items():
        name = f"{department}/{purpose}"
        certificate = certificate_in_store(region, name, key)
        if purpose in CERTIFIED and certificate is None:
            certificate = await certify(region, name, _subject(region, department, organisation, purpose))
            if certificate is None:
                continue
        events.append(registered(purpose, department, key, certificate, log_from))
    return events


async def register(
    region: Region, actor: Actor, department: str | None, purpose: str, *, idempotency: IdempotencyKey | None = None
) -> dict[str, Any]:
    """Log the key whose certificate has been installed in the store: a department's, or with `None` a successor of the
    region's own, so that verifiers have heard of it before it takes over. A region that was opened before there were
    calls between regions gets its key for them here.

    Raises `Refusal` key.certificate while there is none, key.unknown where nothing waits, department.unknown.
    """
    if department is not None:
        region.catalogue.active_department(department)
    name = store_name(department, purpose)
    key = _waiting(region, name) or _first(region, name)
    if key is None:
        raise Refusal(Code.KEY_UNKNOWN, None, department=department or "", purpose=purpose)
    certificate = certificate_in_store(region, name, key)
    if purpose in CERTIFIED and certificate is None:
        raise Refusal(Code.KEY_CERTIFICATE, None, key=name)
    if key.kid in region.catalogue.keys:
        return answer_of(region.catalogue.keys[key.kid])
    log_from = await region.database.read(lambda tx: positions.latest(tx, region.origin))
    event = registered(purpose, department, key, certificate, log_from, acted(actor))
    answer = {"kid": key.kid, "purpose": purpose, "department": department or REGION}
    return await record(region, [event], answer, idempotency=idempotency)


async def rotate(
    region: Region, actor: Actor, department: str | None, purpose: str, *, idempotency: IdempotencyKey | None = None
) -> dict[str, Any]:
    """Let a new key take over from the one that signs now, or from one that was compromised; `None` is the region.

    What the old one signed stays good as far as it did. Raises `Refusal` key.unknown, department.unknown,
    key.certificate where the root is off line.
    """
    catalogue = region.catalogue
    names = region.config.names if department is None else catalogue.active_department(department).names
    known = [key for key in catalogue.keys.values() if (key.department, key.purpose) == (department, purpose)]
    if not known:
        raise Refusal(Code.KEY_UNKNOWN, None, department=department or "", purpose=purpose)
    name = store_name(department, purpose)
    key = _waiting(region, name) or _successor(region, name)
    certificate = certificate_in_store(region, name, key)
    if purpose in CERTIFIED and certificate is None:
        certificate = await certify(region, name, _subject(region, department, names["zh"], purpose))
        if certificate is None:
            raise Refusal(Code.KEY_CERTIFICATE, None, key=name)
    log_from = await region.database.read(lambda tx: positions.latest(tx, region.origin))
    old = [each for each in known if each.closed_idx is None and each.kid != key.kid]
    # All in one transaction: there is no moment without a key.
    events = [ended(each, 1, "key.retired", {"kid": each.kid}) for each in old]
    if key.kid not in catalogue.keys:
        events.insert(0, registered(purpose, department, key, certificate, log_from, acted(actor)))
    answer = {"kid": key.kid, "purpose": purpose, "department": department or REGION}
    answer |= {"retired": old[0].kid} if old else {}
    result = await record(region, events, answer, idempotency=idempotency)
    # A crash before this line leaves the old key active in the store; the next start comes through here too.
    follow_log(region)
    return result


def store_name(department: str | None, purpose: str) -> str:
    """Return what the store calls the key of a department, or of the region, for `purpose`."""
    if department is not None:
        return f"{department}/{purpose}"
    return STATEMENT if purpose == "statement" else purpose


def _waiting(region: Region, name: str) -> PublicKey | None:
    """The successor of `name` in the store, or an active key that the log does not know."""
    held = {entry.state: entry.public_key for entry in region.store.list() if entry.name == name}
    active = held.get(KeyState.ACTIVE)
    unknown = active if active is not None and active.kid not in region.catalogue.keys else None
    return held.get(KeyState.NEXT) or unknown


def _first(region: Region, name: str) -> PublicKey | None:
    """The key for calls to other regions, made where the store has never held one."""
    if name != PEER or any(entry.name == name for entry in region.store.list()):
        return None
    return region.store.create(name, ES256)


def _successor(region: Region, name: str) -> PublicKey:
    try:
        return region.store.rotate(name)
    except (RetiredKey, UnknownKey):
        return region.store.create(name, ES256)


def _subject(region: Region, department: str | None, organisation: str, purpose: str) -> LeafSubject:
    if department is None:
        return service_subject(region.base_url, purpose, organisation)
    return department_subject(region.base_url, department, organisation, purpose)


def follow_log(region: Region) -> None:
    """Bring the store in line with the log: what the log has ended signs no more, and its private half is destroyed.

    A successor takes over once it is registered and the log has ended the key before it.
    """
    for entry in region.store.list():
        known = region.catalogue.keys.get(entry.public_key.kid)
        if entry.state is not KeyState.ACTIVE or known is None or known.closed_idx is None:
            continue
        follower = region.catalogue.keys.get(_kid_of_next(region, entry.name))
        if follower is not None and follower.closed_idx is None:
            region.store.promote(entry.name)
        else:
            region.store.retire(entry.name)


def _kid_of_next(region: Region, name: str) -> str:
    kids = [each.public_key.kid for each in region.store.list() if (each.name, each.state) == (name, KeyState.NEXT)]
    return kids[0] if kids else ""


async def compromise(
    region: Region,
    actor: Actor,
    kid: str,
    *,
    since: datetime | int,
    reason: str = "compromised",
    idempotency: IdempotencyKey | None = None,
) -> dict[str, Any]:
    """Say that a key may have been in other hands since a time or an entry: what is proven from before stays good.

    A second call can only move the moment further back (protocol 16). Raises `Refusal` key.unknown,
    request.member_invalid, or key.certificate where the region's own key has no successor and the root is off line.
    """
    key = region.catalogue.keys.get(kid)
    if key is None:
        raise Refusal(Code.KEY_UNKNOWN, None, kid=kid)
    if reason not in REASONS:
        raise Refusal(Code.REQUEST_MEMBER_INVALID, "/reason", allowed=list(REASONS))
    # Found and pinned in one transaction: receipts must be able to end in exactly this tree for ever.
    before = await region.database.write(lambda tx: _keep_before(tx, region.origin, since))
    known = key.revoked or {}
    if "trust_before" in known and known["trust_before"]["size"] <= before.size:
        return answer_of(key)
    revoked = {"at": _moment(region, since, before, known), "reason": reason, "trust_before": before.position}
    if key.department is None and key.closed_idx is None:
        # The region itself never stands without a key: its successor says so, and signs from now on.
        await rotate(region, actor, None, key.purpose)
    n = await region.database.read(lambda tx: count_of(tx, kid))
    event = ended(key, n, "key.compromised", {**acted(actor), "kid": kid, "revoked": revoked})
    result = await record(region, [event], {"kid": kid, "revoked": revoked}, idempotency=idempotency)
    follow_log(region)
    return result


def _keep_before(tx: Writing, origin: str, since: datetime | int) -> positions.Before:
    before = positions.before(tx, origin, since)
    pin_checkpoints(tx, [before.size])
    return before


def _moment(region: Region, since: datetime | int, before: positions.Before, known: Mapping[str, Any]) -> str:
    """When the compromise began: what a quorum cosigned after that proves nothing about an older tree."""
    now = region.clock.now()
    began = (before.at or now) if isinstance(since, int) else since
    moments = [began, now, *([parse_at(known["at"])] if known else [])]
    return format_time(min(moments).astimezone(UTC).replace(microsecond=0))


def answer_of(key: RegisteredKey) -> dict[str, Any]:
    """Return what callers see of a key."""
    answer: dict[str, Any] = {"kid": key.kid, "purpose": key.purpose, "entry": key.idx, "suite": key.key.suite}
    if key.department is not None:
        answer["department"] = key.department
    if key.certificate is not None:
        answer["cert_sha256"] = fingerprint(key.certificate)
    if key.revoked is not None:
        answer["revoked"] = dict(key.revoked)
    return answer


@projector("key.registered")
def _project_registered(tx: Writing, events: Sequence[Event]) -> None:
    bulk_insert(tx, registered_keys, [_row(event) for event in events])


def _row(event: Event) -> tuple[Any, ...]:
    facts = event.facts
    certificate = facts.get("certificate")
    return (
        event.thing,
        facts["purpose"],
        facts.get("department"),
        facts["suite"],
        b64u_decode(facts["spki"]),
        None if certificate is None else b64u_decode(certificate),
        _json(facts["log_from"]),
        None,
        None,
        b64u_decode(facts["secret"]),
        event.idx,
    )


@projector("key.retired")
def _project_retired(tx: Writing, events: Sequence[Event]) -> None:
    _close(tx, events)


@projector("key.compromised")
def _project_compromised(tx: Writing, events: Sequence[Event]) -> None:
    _close(tx, events)
    table = registered_keys
    tx.execute(
        update(table).where(table.c.kid == bindparam("_kid")).values(revoked=bindparam("_revoked")),
        [{"_kid": event.thing, "_revoked": _json(event.facts["revoked"])} for event in events],
    )


def _close(tx: Writing, events: Sequence[Event]) -> None:
    table = registered_keys
    tx.execute(
        update(table)
        .where(table.c.kid == bindparam("_kid"), table.c.closed_idx.is_(None))
        .values(closed_idx=bindparam("_idx")),
        [{"_kid": event.thing, "_idx": event.idx} for event in events],
    )


def _json(value: Any) -> str:
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()
