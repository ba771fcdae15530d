"""Clients: the programs that may call, with their public keys, scopes and department. Operational, not logged.

A client never has a secret of ours: it signs its own assertions (RFC 7523), and a private key sent here by mistake is
refused, because it has leaked.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

import orjson
from sqlalchemy import delete, insert, select, update

from keys.errors import BadKey
from keys.public_key import PublicKey
from ledger.database import Reading, Writing
from ledger.errors import Code, Refusal
from ledger.request_members import RequestMembers
from ledger.tables.catalogue import client_assertions, clients
from verifiers.legal_dates import format_time

if TYPE_CHECKING:
    from ledger.region import Region

SCOPES: Final = frozenset({"issue", "window", "supervise", "verify", "audit", "operate", "holder"})
"""Everything a token can allow (docs: contract, HTTP with an account)."""

OPERATE: Final = "operate"
"""Whoever has it may set the region up; two such clients decide together whom it trusts (`ledger.peer_approvals`)."""

DEPARTMENTAL: Final = frozenset({"issue", "window", "supervise"})
"""Scopes that act in a department's name, so the client must belong to one."""

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_AREA = re.compile(r"[0-9]{6}")
_MAX_KEYS = 8
_FORGET_AFTER_S = 600  # longer than clocks of two processes can differ


@dataclass(frozen=True, slots=True)
class Client:
    """A registered client: `department` is a USCC or empty, `keys` its public keys as JWKs with `kid`."""

    id: str
    name: str
    department: str
    scopes: frozenset[str]
    areas: frozenset[str]
    keys: tuple[dict[str, Any], ...]
    disabled: bool


async def register(region: Region, body: Any, *, remote: bool = False) -> dict[str, Any]:
    """Register `{"id", "name", "department", "scopes", "areas", "jwks"}` and return it.

    What takes two operators would take one, if each could make himself another: so `remote`, by a call over the
    network, no client is made that may operate. Raises `Refusal` client.exists, client.invalid, department.unknown.
    """
    client = _parse(region, body)
    if remote and OPERATE in client.scopes:
        raise _only_here()

    def write(tx: Writing) -> None:
        if find(tx, client.id) is not None:
            raise Refusal(Code.CLIENT_EXISTS, "/id", client=client.id)
        tx.execute(insert(clients).values(_row(client, format_time(region.clock.now()))))

    await region.database.write(write)
    return answer_of(client)


async def change(region: Region, id_: str, body: Any, *, remote: bool = False) -> dict[str, Any]:
    """Change scopes, areas, keys, name or `disabled` of a client and return it as it is now.

    `remote`, a client that may operate is only ever shut out or given less. Raises `Refusal` client.unknown,
    client.invalid.
    """
    if type(body) is not dict:
        raise Refusal(Code.CLIENT_INVALID, "")
    given = dict(body)

    def write(tx: Writing) -> Client:
        known = get(tx, id_)
        merged = {**_stored(known), **given, "id": id_}
        client = _parse(region, merged)
        if remote and OPERATE in client.scopes and not _is_less(client, known):
            raise _only_here()
        values = _row(client, format_time(region.clock.now()))
        tx.execute(update(clients).where(clients.c.id == id_).values(values))
        return client

    return answer_of(await region.database.write(write))


def _is_less(after: Client, before: Client) -> bool:
    """Whether a client that may operate has no key, no scope and no way in that it did not have before."""
    return (
        OPERATE in before.scopes
        and after.scopes <= before.scopes
        and all(key in before.keys for key in after.keys)
        and (after.disabled or not before.disabled)
    )


def _only_here() -> Refusal:
    return Refusal(Code.CLIENT_INVALID, "/scopes", why="who may operate is registered on the machine: elicence clients")


async def remove(region: Region, id_: str) -> None:
    """Forget a client; what it did stays in the log. Raises `Refusal` client.unknown."""

    def write(tx: Writing) -> None:
        if tx.execute(delete(clients).where(clients.c.id == id_)).rowcount == 0:
            raise Refusal(Code.CLIENT_UNKNOWN, None, client=id_)

    await region.database.write(write)


def find(tx: Reading, id_: str) -> Client | None:
    """Return a client, disabled or not, or `None`."""
    row = tx.execute(select(clients).where(clients.c.id == id_)).one_or_none()
    return None if row is None else _client(row)


def get(tx: Reading, id_: str) -> Client:
    """Return a client, disabled or not. Raises `Refusal` client.unknown."""
    found = find(tx, id_)
    if found is None:
        raise Refusal(Code.CLIENT_UNKNOWN, None, client=id_)
    return found


def remember_assertion(tx: Writing, client: str, jti: str, expires: int, at: datetime) -> None:
    """Take down that an assertion was used; expired ones are forgotten on the way.

    Raises `Refusal` assertion.replayed where it was used before, in whichever process.
    """
    table = client_assertions
    tx.execute(delete(table).where(table.c.expires < int(at.timestamp()) - _FORGET_AFTER_S))
    used = tx.execute(select(table.c.jti).where(table.c.client == client, table.c.jti == jti)).one_or_none()
    if used is not None:
        raise Refusal(Code.ASSERTION_REPLAYED)
    tx.execute(insert(table).values(client=client, jti=jti, expires=expires))


def listed(tx: Reading) -> list[dict[str, Any]]:
    """Return every client by id."""
    return [answer_of(_client(row)) for row in tx.execute(select(clients).order_by(clients.c.id))]


def answer_of(client: Client) -> dict[str, Any]:
    """Return what callers see of a client."""
    return _stored(client)


def _parse(region: Region, body: Any) -> Client:
    members = RequestMembers(body)
    client = Client(
        id=members.matching("id", _ID),
        name=members.text("name", 200),
        department=members.text("department", 18) if members.has("department") else "",
        scopes=frozenset(members.texts("scopes", len(SCOPES))),
        areas=frozenset(members.texts("areas", 64)),
        keys=_keys(members.take("jwks")),
        disabled=members.boolean("disabled") if members.has("disabled") else False,
    )
    members.done()
    if not client.scopes or not client.scopes <= SCOPES:
        raise Refusal(Code.CLIENT_INVALID, "/scopes", allowed=sorted(SCOPES))
    if any(not _AREA.fullmatch(area) for area in client.areas):
        raise Refusal(Code.CLIENT_INVALID, "/areas")
    if client.department:
        region.catalogue.department(client.department, "/department")
    elif client.scopes & DEPARTMENTAL:
        raise Refusal(Code.CLIENT_INVALID, "/department", why="these scopes act in a department's name")
    return client


def _keys(value: Any) -> tuple[dict[str, Any], ...]:
    keys = value.get("keys") if type(value) is dict else None
    if type(keys) is not list or not 1 <= len(keys) <= _MAX_KEYS:
        raise Refusal(Code.CLIENT_INVALID, "/jwks/keys")
    kept = []
    for position, jwk in enumerate(keys):
        where = f"/jwks/keys/{position}"
        if type(jwk) is not dict:
            raise Refusal(Code.CLIENT_INVALID, where)
        try:
            key = PublicKey.from_jwk(jwk)
        except BadKey as error:
            raise Refusal(Code.CLIENT_INVALID, where, why=str(error)) from None
        if key.suite not in ("ES256", "Ed25519"):
            raise Refusal(Code.CLIENT_INVALID, where, why="assertions are signed with ES256 or EdDSA")
        kid = jwk.get("kid", key.kid)
        if type(kid) is not str or not 0 < len(kid) <= 128:
            raise Refusal(Code.CLIENT_INVALID, f"{where}/kid")
        kept.append({**key.jwk(), "kid": kid})
    if len({jwk["kid"] for jwk in kept}) != len(kept):
        raise Refusal(Code.CLIENT_INVALID, "/jwks/keys", why="two keys of one kid")
    return tuple(kept)


def _stored(client: Client) -> dict[str, Any]:
    return {
        "id": client.id,
        "name": client.name,
        "department": client.department or None,
        "scopes": sorted(client.scopes),
        "areas": sorted(client.areas),
        "jwks": {"keys": list(client.keys)},
        "disabled": client.disabled,
    }


def _row(client: Client, at: str) -> dict[str, Any]:
    return {
        "id": client.id,
        "name": client.name,
        "department": client.department or None,
        "scopes": orjson.dumps(sorted(client.scopes)).decode(),
        "areas": orjson.dumps(sorted(client.areas)).decode(),
        "jwks": orjson.dumps({"keys": client.keys}, option=orjson.OPT_SORT_KEYS).decode(),
        "disabled": client.disabled,
        "changed_at": at,
    }


def _client(row: Any) -> Client:
    return Client(
        id=row.id,
        name=row.name,
        department=row.department or "",
        scopes=frozenset(orjson.loads(row.scopes)),
        areas=frozenset(orjson.loads(row.areas)),
        keys=tuple(orjson.loads(row.jwks)["keys"]),
        disabled=row.disabled,
    )
