"""Who is to cosign our log: a C2SP policy file, logged when it changes, named in the trust list, in force at once."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import select

from ledger.actors import Actor
from ledger.catalogue import Catalogue
from ledger.database import Reading, Writing, bulk_insert
from ledger.drafting import Unsigned
from ledger.errors import Code, Refusal
from ledger.events import Event, projector
from ledger.proposals import IdempotencyKey
from ledger.recording import acted, count_of, record
from ledger.request_members import RequestMembers
from ledger.tables.peers import followed_lists
from ledger.tables.witnessing import witness_policies
from verifiers.checkpoint import LogPolicy
from verifiers.encoding import b64u_decode
from verifiers.entry import REGION
from verifiers.errors import Malformed, VerificationError
from verifiers.note import NoteKey
from verifiers.trust_document import TrustedLog, Witness
from verifiers.trust_list import open_trust_list
from verifiers.trusted_peers import WitnessService
from verifiers.witness_policy import MAX_BYTES, PolicyWitness, WitnessPolicy, format_policy, parse_policy

if TYPE_CHECKING:
    from ledger.region import Region

KIND: Final = "peer"
EVENT: Final = "witnesses.set"
THING: Final = "witnesses"

MAX_KEYS: Final = 48
"""Most keys of witnesses: with the log's own lines a checkpoint then stays a note of at most 64 lines."""

_NOBODY: Final = WitnessPolicy()
_read = lru_cache(maxsize=64)(parse_policy)


def policy_of(catalogue: Catalogue) -> WitnessPolicy:
    """Return the policy in force; one without witnesses where none was set."""
    found = catalogue.recognised.witnesses
    return _NOBODY if found is None else _read(found.text)


def policy_in(tx: Reading) -> WitnessPolicy:
    """Return the policy in force as the database says it."""
    query = select(witness_policies.c.policy).order_by(witness_policies.c.idx.desc()).limit(1)
    text = tx.execute(query).scalar_one_or_none()
    return _NOBODY if text is None else _read(text)


def every_policy(tx: Reading) -> list[WitnessPolicy]:
    """Return all policies there ever were, oldest first: what one of them asked for stays checkable."""
    query = select(witness_policies.c.policy).order_by(witness_policies.c.idx)
    return [_read(text) for text in tx.execute(query).scalars()]


def log_policy(origin: str, vkeys: Sequence[str], policy: WitnessPolicy) -> LogPolicy:
    """Return what a checkpoint of the log must carry: every one of `vkeys`, and the quorum to be `witnessed`."""
    return LogPolicy(origin, tuple(NoteKey.from_text(vkey) for vkey in vkeys), policy.quorum, policy.keys)


def trusted_log(origin: str, vkeys: tuple[str, ...], catalogue: Catalogue) -> TrustedLog:
    """Return what a trust list says of the log."""
    quorum, rows = policy_of(catalogue).to_rows()
    return TrustedLog(origin, vkeys, quorum=quorum, witnesses=tuple(Witness(*row) for row in rows))


async def set_policy(
    region: Region, actor: Actor, body: Any, idempotency: IdempotencyKey | None = None
) -> dict[str, Any]:
    """Put `{"policy": text of a policy file}` in force and return it as it is kept.

    Raises `Refusal` witness_policy.invalid, with `why`.
    """
    members = RequestMembers(body)
    text = members.text("policy", MAX_BYTES)
    members.done()
    try:
        policy = parse_policy(text)
    except Malformed as error:
        raise _invalid("/policy", error.detail) from None
    return await _set(region, actor, policy, "/policy", idempotency)


async def add_witness(
    region: Region, actor: Actor, body: Any, idempotency: IdempotencyKey | None = None
) -> dict[str, Any]:
    """Add a witness to the policy in force and return the policy.

    `body` is `{"peer": region code}`, which takes keys and address from that peer's trust list, or `{"vkeys": [],
    "url"}`; `quorum` says how many of all are asked for from now on, else as many as before, at least one. Raises
    `Refusal` peer.unknown, witness_policy.invalid.
    """
    members = RequestMembers(body)
    quorum = members.integer("quorum", 1, MAX_KEYS) if members.has("quorum") else None
    if members.has("peer"):
        code = members.text("peer", 6)
        service = await region.database.read(lambda tx: _service_of(tx, region, code))
        vkeys, url = service.vkeys, service.url
    else:
        vkeys, url = tuple(members.texts("vkeys")), members.text("url", 512)
    members.done()
    try:
        keys = tuple(NoteKey.from_text(vkey) for vkey in vkeys)
        policy = with_witness(policy_of(region.catalogue), keys, url.rstrip("/"), quorum)
    except Malformed as error:
        raise _invalid("", error.detail) from None
    return await _set(region, actor, policy, "", idempotency)


def with_witness(policy: WitnessPolicy, keys: tuple[NoteKey, ...], url: str, quorum: int | None) -> WitnessPolicy:
    """Return `policy` with one more witness that counts; keys of a known name are added to it. Raises `Malformed`."""
    name = keys[0].name if keys else ""
    others = [one for one in policy.witnesses if one.name != name]
    known = next((one.keys for one in policy.witnesses if one.name == name), ())
    label = next((one.label for one in policy.witnesses if one.name == name), name.replace("#", "-"))
    added = PolicyWitness(label, (*known, *(key for key in keys if key not in known)), url)
    return replace(policy, witnesses=(*others, added), quorum=quorum or max(1, policy.quorum))


def answer_of(catalogue: Catalogue) -> dict[str, Any]:
    """Return the policy in force as callers see it."""
    policy = policy_of(catalogue)
    return _answer(policy) | {"entry": None if catalogue.recognised.witnesses is None else policy_entry(catalogue)}


def policy_entry(catalogue: Catalogue) -> int:
    """Return the entry that set the policy in force, -1 where there is none."""
    found = catalogue.recognised.witnesses
    return -1 if found is None else found.idx


async def _set(
    region: Region, actor: Actor, policy: WitnessPolicy, pointer: str, idempotency: IdempotencyKey | None
) -> dict[str, Any]:
    _check(region, policy, pointer)
    known = region.catalogue.recognised.witnesses
    secret = os.urandom(32) if known is None else known.secret
    count = await region.database.read(lambda tx: count_of(tx, THING))
    facts = {**acted(actor), "policy": format_policy(policy)}
    event = Unsigned(KIND, REGION, EVENT, THING, count, secret, facts)
    return await record(region, [event], _answer(policy), idempotency=idempotency)


def _check(region: Region, policy: WitnessPolicy, pointer: str) -> None:
    if any(one.url is None for one in policy.witnesses):
        raise _invalid(pointer, "a witness without a URL cannot be asked")
    if sum(len(one.keys) for one in policy.witnesses) > MAX_KEYS:
        raise _invalid(pointer, f"more than {MAX_KEYS} keys of witnesses")
    if policy.logs and region.origin not in {log.key.name for log in policy.logs}:
        raise _invalid(pointer, "the policy names logs, and ours is not one of them")
    try:
        every = tuple(key for one in policy.witnesses for key in one.keys)
        LogPolicy(region.origin, tuple(NoteKey.from_text(vkey) for vkey in region.vkeys), policy.quorum, every)
    except Malformed as error:
        raise _invalid(pointer, error.detail) from None


def _service_of(tx: Reading, region: Region, code: str) -> WitnessService:
    """Return the witness that the newest trust list of an admitted peer names, opened under the peer's root."""
    peer = region.catalogue.recognised.peer(code)
    table = followed_lists
    mine = (table.c.region == code) & (table.c.root == peer.root)
    text = tx.execute(select(table.c.list).where(mine).order_by(table.c.seq.desc()).limit(1)).scalar_one_or_none()
    if text is None:
        raise _invalid("/peer", "no trust list of this peer is known yet")
    try:
        opened = open_trust_list(text, root_fingerprint=peer.root, at=region.clock.now())
    except VerificationError as error:
        raise _invalid("/peer", error.detail) from None
    if opened.document.witness is None:
        raise _invalid("/peer", "the trust list of this peer names no witness")
    return opened.document.witness


def _answer(policy: WitnessPolicy) -> dict[str, Any]:
    return {
        "policy": format_policy(policy),
        "quorum": policy.quorum,
        "witnesses": [{"name": one.name, "url": one.url, "counts": one.counts} for one in policy.witnesses],
    }


def _invalid(pointer: str, why: str) -> Refusal:
    return Refusal(Code.WITNESS_POLICY_INVALID, pointer or None, why=why)


@projector(EVENT)
def _project(tx: Writing, events: Sequence[Event]) -> None:
    """Keep every policy: what one of them asked for stays checkable. The secret comes with the first."""
    first = select(witness_policies.c.secret).order_by(witness_policies.c.idx).limit(1)
    known = tx.execute(first).scalar_one_or_none()
    rows: list[tuple[Any, ...]] = []
    for event in events:
        given = event.facts.get("secret")
        secret = b64u_decode(given, 32) if given is not None else known
        known = bytes(secret) if secret is not None else None
        rows.append((event.idx, event.facts["policy"], known))
    bulk_insert(tx, witness_policies, rows)
