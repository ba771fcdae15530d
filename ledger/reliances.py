"""Who elsewhere relies on our licences, and where to look for the status of theirs.

A region whose results rest on a licence of another one asks that region once where the licence's status is shown. The
answer is public anyway, in the licence and in the status list; that somebody asked is written down, so that a notice
goes there when the licence falls.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import and_, select
from sqlalchemy.dialects import postgresql, sqlite

from ledger.database import Reading, Writing
from ledger.errors import Code, Refusal
from ledger.identifiers import PARTS, key_of, whole
from ledger.lineage import chunks
from ledger.outside import Unreachable
from ledger.recognised import Peer
from ledger.request_members import RequestMembers
from ledger.tables.licences import licence_versions, licences
from ledger.tables.peers import reliances
from ledger.tables.publishing import slot_leases
from verifiers.errors import Malformed, Reason
from verifiers.members import Members
from verifiers.trust_document import TYPE_CODE, URI

if TYPE_CHECKING:
    from ledger.region import Region

PATH: Final = "/peer/reliances"
MAX_IDENTIFIERS: Final = 200
IDENTIFIER_MAX: Final = 128


@dataclass(frozen=True, slots=True)
class Located:
    """Where the status of one licence of another region is shown: slot `slot` of the list `uri`; unverified."""

    identifier: str
    uri: str
    slot: int
    type: str
    major: int

    def to_json(self) -> dict[str, Any]:
        """The JSON form."""
        return {
            "identifier": self.identifier,
            "major": self.major,
            "slot": self.slot,
            "type": self.type,
            "uri": self.uri,
        }

    @classmethod
    def read(cls, members: Members) -> Located:
        """What `members` say."""
        return cls(
            members.text("identifier"),
            members.text("uri", URI),
            members.integer("slot"),
            members.text("type", TYPE_CODE),
            members.integer("major", 1, 999),
        )


async def answer(region: Region, peer: Peer, body: Any) -> dict[str, Any]:
    """Tell `peer` where the licences `{"identifiers": […]}` of ours show their status, and remember that it relies on
    them.

    Returns `{"licences": [{"identifier", "uri", "slot", "type", "major"}], "unknown": [identifier]}`.
    """
    members = RequestMembers(body)
    asked = list(dict.fromkeys(members.texts("identifiers", MAX_IDENTIFIERS)))
    members.done()
    if not asked:
        raise Refusal(Code.REQUEST_MEMBER_MISSING, "/identifiers")
    found = await region.database.read(lambda tx: _locate(tx, asked))
    at = region.clock.now()
    # A crash before this line leaves a peer that knows where to look and gets no notice; it follows our log anyway.
    await region.database.write(lambda tx: remember(tx, peer.region, [each[0] for each in found], at))
    located = [each[1] for each in found]
    known = {each.identifier for each in located}
    return {
        "licences": [each.to_json() for each in located],
        "unknown": [each for each in asked if each not in known],
    }


def remember(tx: Writing, peer: str, licence_ids: Sequence[str], at: datetime) -> None:
    """Write down that `peer` relies on licences of ours; what is known already keeps its date."""
    if not licence_ids:
        return
    opening = postgresql.insert if tx.dialect.name == "postgresql" else sqlite.insert
    rows = [{"region": peer, "licence": each, "at": at} for each in sorted(set(licence_ids))]
    tx.execute(opening(reliances).on_conflict_do_nothing(), rows)


def relying(tx: Reading, licence_ids: Sequence[str]) -> dict[str, list[str]]:
    """Return the regions that rely on each of these licences of ours, by licence; those nobody relies on are absent."""
    found: dict[str, list[str]] = {}
    table = reliances
    for chunk in chunks(sorted(set(licence_ids))):
        query = select(table.c.licence, table.c.region).where(table.c.licence.in_(chunk))
        for licence, region in tx.execute(query.order_by(table.c.licence, table.c.region)):
            found.setdefault(licence, []).append(region)
    return found


def _locate(tx: Reading, identifiers: Sequence[str]) -> list[tuple[str, Located]]:
    # Whoever relies on an older version of a licence looks at the newest one's slot: the older slot says that there is
    # a newer document, and state belongs to the licence (protocol 21b).
    asked = {key_of(each): each for each in identifiers if len(each) <= IDENTIFIER_MAX}
    v, of, newest = licence_versions.c, licences.c, licence_versions.alias("newest")
    query = (
        select(of.id, slot_leases.c.uri, newest.c.slot, of.major, *PARTS)
        .join(licences, of.id == v.licence)
        .join(newest, and_(newest.c.licence == v.licence, newest.c.superseded_idx.is_(None)))
        .join(slot_leases, slot_leases.c.list_num == newest.c.list_num)
        .where(v.identifier_key.in_(asked))
    )
    located = [
        (id_, Located(whole(*parts), uri, slot, parts[1], major)) for id_, uri, slot, major, *parts in tx.execute(query)
    ]
    # Whose key is the same is nearly always the same, but not for certain.
    same = [each for each in located if each[1].identifier in asked.values()]
    return sorted(same, key=lambda each: each[1].identifier)


async def ask(region: Region, peer: Peer, identifiers: Sequence[str]) -> tuple[list[Located], list[str]]:
    """Ask `peer` where its licences show their status, telling it that this region relies on them.

    Returns what it located, only what was asked for, and which it does not know; at most `MAX_IDENTIFIERS` a call.
    Raises `Unreachable`, also where the answer is not of the form agreed, and `PeerRefused`.
    """
    if region.peer_calls is None:
        raise Unreachable("this process makes no calls to other regions")
    answered = await region.peer_calls.call(peer, PATH, {"identifiers": list(identifiers)})
    try:
        members = Members(answered, Reason.CANONICAL)
        located = members.objects("licences", Located.read, MAX_IDENTIFIERS)
        unknown = members.texts("unknown", MAX_IDENTIFIERS)
    except Malformed as error:
        raise Unreachable(f"the peer's answer is not of the form agreed: {error.detail}") from None
    asked = set(identifiers)
    return [each for each in located if each.identifier in asked], [each for each in unknown if each in asked]
