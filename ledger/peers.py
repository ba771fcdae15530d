"""Whom this region recognises: admitted by two operators under a root from elsewhere, suspended or withdrawn by one.

Taking trust away is one act of one person at once; giving it takes a proposal, two approvals and an entry that keeps
all of it (`ledger.peer_approvals`). A withdrawn peer comes back only by being admitted anew.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

import orjson
from sqlalchemy import delete, func, insert, select, update

from keys.certificates import fingerprint
from ledger import peer_approvals
from ledger.actors import Actor
from ledger.catalogue import Catalogue
from ledger.database import Reading, Writing
from ledger.drafting import Unsigned
from ledger.errors import Code, Refusal
from ledger.events import Event, projector
from ledger.followed import judge_anew
from ledger.peer_approvals import ApproverStands
from ledger.peer_proposals import (
    ADMIT,
    CHANGE,
    RESUME,
    PeerProposal,
    Seen,
    pinned_root,
    plain_address,
    read_witnesses,
    witnesses_of,
)
from ledger.peer_showing import Shown, look, look_again, told
from ledger.proposals import IdempotencyKey
from ledger.recognised import Peer
from ledger.recording import acted, count_of, record
from ledger.request_members import RequestMembers
from ledger.tables.peers import followed_lists, peers
from verifiers.approval import LIFETIME
from verifiers.encoding import b64u_decode, b64u_encode
from verifiers.entry import REGION
from verifiers.trust_document import Names

if TYPE_CHECKING:
    from ledger.region import Region

KIND: Final = "peer"
ADMITTED: Final = "peer.admitted"
CHANGED: Final = "peer.changed"
SUSPENDED: Final = "peer.suspended"
RESUMED: Final = "peer.resumed"
WITHDRAWN: Final = "peer.withdrawn"
ACTS: Final = ("suspend", "withdraw", "resume", "change")

_MAX_REASON: Final = 400


def thing_of(region_code: str) -> str:
    """Return the id under which the log knows the peer with this region code."""
    return f"peer:{region_code}"


async def propose(region: Region, body: Any) -> dict[str, Any]:
    """Return `{"proposal", "digest", "shows"}` for two operators to approve; nothing is decided or kept yet.

    `body` is `{"base", "root", "witnesses"?}` for an admission, where `shows` is what would be trusted, fetched now; or
    `{"act": "resume" | "change", "region", "witnesses"?}`, where it is the peer as it stands.

    Raises `Refusal` peer.address, peer.root_malformed, peer.witnesses_invalid, peer.unreachable, peer.root_mismatch,
    peer.list_invalid, peer.self, peer.exists, peer.unknown, peer.withdrawn, peer.state.
    """
    members = RequestMembers(body)
    act = members.one_of("act", ("admit", "resume", "change")) if members.has("act") else "admit"
    if act == "admit":
        base, root = plain_address(members.text("base", 512)), pinned_root(members.text("root", 200))
        witnesses = read_witnesses(members.take("witnesses")) if members.has("witnesses") else None
        members.done()
        seen_seq = await region.database.read(lambda tx: highest_seen(tx, root), cheap=True)
        shown = await look(region.outside, base, root, region.clock.now(), seen_seq)
        document = shown.trust.document
        _admissible(region, document.region, root)(region.catalogue)
        seen = Seen(document.seq, shown.trust.digest)
        proposal = await _proposal(region, ADMIT, document.region, document.names, base, root)
        return _proposed(replace(proposal, witnesses=witnesses, seen=seen), told(shown, region))
    peer = region.catalogue.recognised.peer(members.text("region", 6), "/region")
    name = RESUME if act == "resume" else CHANGE
    proposal = await _proposal(region, name, peer.region, _names(peer), peer.base, peer.root)
    witnesses = witnesses_of(peer.witnesses)
    if act == "change":
        witnesses = read_witnesses(members.take("witnesses")) if members.has("witnesses") else None
    members.done()
    _allowed(proposal)(region.catalogue)
    return _proposed(replace(proposal, witnesses=witnesses), answer_of(peer))


async def admit(
    region: Region, actor: Actor, body: Any, *, idempotency: IdempotencyKey | None = None
) -> dict[str, Any]:
    """Admit the peer of `{"proposal", "approvals": [2]}` and return it as it is now.

    The trust list that was approved is fetched once more and kept, so that nothing older is ever taken for it. Raises
    `Refusal` peer.proposal_invalid, peer.proposal_expired, peer.proposal_outdated, peer.approvals_missing,
    peer.same_approver, peer.approval_invalid, peer.exists, peer.self, or as `propose` does for what is fetched.
    """
    proposal, texts = _request(RequestMembers(body))
    if proposal.act != ADMIT or proposal.seen is None:
        raise Refusal(Code.PEER_PROPOSAL_INVALID, "/proposal/act", why="not the proposal of an admission")
    approvers = await _approved(region, proposal, texts)
    seen = proposal.seen
    shown = await look_again(region.outside, proposal.base, proposal.root, seen.seq, seen.digest, region.clock.now())
    document = shown.trust.document
    if document.region != proposal.region or document.names != proposal.names:
        raise Refusal(Code.PEER_PROPOSAL_INVALID, "/proposal/region", why="the list names another region")
    done = await _record_approved(region, actor, ADMITTED, proposal, texts, approvers, idempotency)
    # A crash before this: the follower fetches a list of its own, and the entry says which seq had been seen.
    try:
        await region.database.write(lambda tx: keep_list(tx, shown, region.clock.now()))
    except Refusal as refusal:
        if refusal.code is not Code.CONFLICT:
            raise  # on a conflict the follower of another process kept this very list first
    return done


async def act(
    region: Region, actor: Actor, code: str, body: Any, *, idempotency: IdempotencyKey | None = None
) -> dict[str, Any]:
    """Do what `{"act", …}` says to the peer `code`: suspend and withdraw with a `reason`, the others with approvals.

    Raises `Refusal` as `suspend` and `carry_out` do.
    """
    members = RequestMembers(body)
    wanted = members.one_of("act", ACTS)
    if wanted in ("suspend", "withdraw"):
        reason = members.text("reason", _MAX_REASON)
        members.done()
        cut = suspend if wanted == "suspend" else withdraw
        return await cut(region, actor, code, reason, idempotency=idempotency)
    proposal, texts = _request(members)
    if proposal.act != (RESUME if wanted == "resume" else CHANGE) or proposal.region != code:
        raise Refusal(Code.PEER_PROPOSAL_INVALID, "/proposal/act", why="the proposal of another act or peer")
    return await carry_out(region, actor, proposal, texts, idempotency=idempotency)


async def suspend(
    region: Region, actor: Actor, code: str, reason: str, *, idempotency: IdempotencyKey | None = None
) -> dict[str, Any]:
    """Stop relying on a peer for now: what it issued is undetermined here until it is resumed.

    Raises `Refusal` peer.unknown, peer.withdrawn, peer.state.
    """
    return await _cut(region, actor, code, SUSPENDED, reason, idempotency)


async def withdraw(
    region: Region, actor: Actor, code: str, reason: str, *, idempotency: IdempotencyKey | None = None
) -> dict[str, Any]:
    """End the recognition of a peer: what it issued counts no more here. Raises `Refusal` peer.unknown, .withdrawn."""
    return await _cut(region, actor, code, WITHDRAWN, reason, idempotency)


async def carry_out(
    region: Region,
    actor: Actor,
    proposal: PeerProposal,
    texts: Sequence[str],
    *,
    idempotency: IdempotencyKey | None = None,
) -> dict[str, Any]:
    """Resume or change a peer as two operators approved.

    Raises `Refusal` peer.unknown, peer.withdrawn, peer.state, and for proposal and approvals as `admit` does.
    """
    region.catalogue.recognised.peer(proposal.region, "/proposal/region")
    approvers = await _approved(region, proposal, texts)
    event = RESUMED if proposal.act == RESUME else CHANGED
    return await _record_approved(region, actor, event, proposal, texts, approvers, idempotency)


def keep_list(tx: Writing, shown: Shown, at: datetime) -> None:
    """Keep the trust list that was approved, unless the follower was faster: from now on `seq` only rises.

    What following found before a withdrawal is no longer held against the peer.
    """
    document, table = shown.trust.document, followed_lists
    place = {"region": document.region, "root": shown.trust.root_fingerprint, "seq": document.seq}
    judge_anew(tx, document.region)
    same = [table.c[name] == value for name, value in place.items()]
    if tx.execute(select(table.c.seq).where(*same)).one_or_none() is None:
        tx.execute(insert(table).values(**place, digest=shown.trust.digest, list=shown.text, fetched_at=at))


def highest_seen(tx: Reading, root: str) -> int:
    """Return the highest `seq` of a trust list that was ever kept under this root, 0 before the first."""
    query = select(func.max(followed_lists.c.seq)).where(followed_lists.c.root == root)
    return tx.execute(query).scalar_one() or 0


def answer_of(peer: Peer) -> dict[str, Any]:
    """Return what callers see of a peer."""
    return {
        "region": peer.region,
        "names": dict(peer.names),
        "base": peer.base,
        "root": peer.root,
        "status": peer.status,
        "witnesses": None if peer.witnesses is None else dict(peer.witnesses),
        "changed_entry": peer.idx,
    }


def _proposed(proposal: PeerProposal, shows: dict[str, Any]) -> dict[str, Any]:
    return {"proposal": proposal.to_json(), "digest": b64u_encode(proposal.digest), "shows": shows}


async def _proposal(region: Region, name: str, code: str, names: Names, base: str, root: str) -> PeerProposal:
    n = await region.database.read(lambda tx: count_of(tx, thing_of(code)), cheap=True)
    expires = (region.clock.now() + LIFETIME).replace(microsecond=0)
    return PeerProposal(name, region.origin, code, names, base, root, None, None, n, expires)


def _request(members: RequestMembers) -> tuple[PeerProposal, list[str]]:
    proposal = PeerProposal.read(members.take("proposal"))
    texts = members.texts("approvals", 8)
    members.done()
    return proposal, texts


async def _approved(region: Region, proposal: PeerProposal, texts: Sequence[str]) -> tuple[ApproverStands, ...]:
    """Return who approved, as conditions. Whatever is wrong with the proposal itself is said first."""
    if proposal.origin != region.origin:
        raise Refusal(Code.PEER_PROPOSAL_INVALID, "/proposal/origin", why="made for another region", ours=region.origin)
    _allowed(proposal)(region.catalogue)
    if proposal.act == ADMIT:
        _admissible(region, proposal.region, proposal.root)(region.catalogue)
    now = region.clock.now()
    return await region.database.read(
        lambda tx: peer_approvals.check(tx, proposal.to_json(), proposal.expires, texts, now)
    )


async def _record_approved(
    region: Region,
    actor: Actor,
    event: str,
    proposal: PeerProposal,
    texts: Sequence[str],
    approvers: tuple[ApproverStands, ...],
    idempotency: IdempotencyKey | None,
) -> dict[str, Any]:
    thing = thing_of(proposal.region)
    # Approvals are for one moment of the peer's history: used once, they are too old for the next time.
    if await region.database.read(lambda tx: count_of(tx, thing), cheap=True) != proposal.n:
        raise Refusal(Code.PEER_PROPOSAL_OUTDATED, "/proposal/n", region=proposal.region)
    known = region.catalogue.recognised.peers.get(proposal.region)
    facts = {
        **acted(actor),
        "proposal": proposal.to_json(),
        "approvals": list(texts),
        "approvers": [each.to_json() for each in approvers],
    }
    secret = os.urandom(32) if known is None else known.secret
    unsigned = Unsigned(KIND, REGION, event, thing, proposal.n, secret, facts)
    status = known.status if event == CHANGED and known is not None else "active"
    answer = {
        "region": proposal.region,
        "names": proposal.names.to_json(),
        "base": proposal.base,
        "root": proposal.root,
        "status": status,
        "witnesses": None if proposal.witnesses is None else proposal.witnesses.to_json(),
    }

    def still(catalogue: Catalogue) -> None:
        _allowed(proposal)(catalogue)
        if proposal.act == ADMIT:
            _admissible(region, proposal.region, proposal.root)(catalogue)

    return await record(region, [unsigned], answer, idempotency=idempotency, authorise=still, conditions=approvers)


async def _cut(
    region: Region, actor: Actor, code: str, event: str, reason: str, idempotency: IdempotencyKey | None
) -> dict[str, Any]:
    def still(catalogue: Catalogue) -> None:
        peer = _present(catalogue, code)
        if event == SUSPENDED and peer.status != "active":
            raise Refusal(Code.PEER_STATE, None, region=code, status=peer.status)

    still(region.catalogue)
    peer = region.catalogue.recognised.peer(code, None)
    n = await region.database.read(lambda tx: count_of(tx, thing_of(code)), cheap=True)
    facts = {**acted(actor), "reason": reason}
    unsigned = Unsigned(KIND, REGION, event, thing_of(code), n, peer.secret, facts)
    answer = {**answer_of(peer), "status": "suspended" if event == SUSPENDED else "withdrawn"}
    answer.pop("changed_entry")
    return await record(region, [unsigned], answer, idempotency=idempotency, authorise=still)


def _admissible(region: Region, code: str, root: str) -> Callable[[Catalogue], None]:
    def check(catalogue: Catalogue) -> None:
        if code == region.config.region or root == fingerprint(region.root_certificate):
            raise Refusal(Code.PEER_SELF, None, region=code)
        known = catalogue.recognised.peers.get(code)
        if known is not None and known.status != "withdrawn":
            raise Refusal(Code.PEER_EXISTS, None, region=code, status=known.status)

    return check


def _allowed(proposal: PeerProposal) -> Callable[[Catalogue], None]:
    """Check that a peer stands where resuming or changing it begins; an admission is judged by `_admissible`."""

    def check(catalogue: Catalogue) -> None:
        if proposal.act == ADMIT:
            return
        peer = _present(catalogue, proposal.region)
        if proposal.act == RESUME and peer.status != "suspended":
            raise Refusal(Code.PEER_STATE, None, region=peer.region, status=peer.status)
        if (proposal.base, proposal.root) != (peer.base, peer.root):
            raise Refusal(Code.PEER_PROPOSAL_OUTDATED, "/proposal/root", region=peer.region)

    return check


def _present(catalogue: Catalogue, code: str) -> Peer:
    peer = catalogue.recognised.peer(code, None)
    if peer.status == "withdrawn":
        raise Refusal(Code.PEER_WITHDRAWN, None, region=code)
    return peer


def _names(peer: Peer) -> Names:
    return Names(peer.names["zh"], peer.names["en"])


@projector(ADMITTED, CHANGED, SUSPENDED, RESUMED, WITHDRAWN)
def project_peers(tx: Writing, events: Sequence[Event]) -> None:
    """Keep each peer as its last event leaves it; events of one peer come in their order."""
    for event in events:
        code = event.thing.partition(":")[2]
        here = peers.c.region == code
        if event.event == ADMITTED:
            kept = tx.execute(select(peers.c.secret).where(here)).scalar_one_or_none()
            tx.execute(delete(peers).where(here))
            tx.execute(insert(peers).values(_row(event, code, kept)))
        elif event.event in (SUSPENDED, WITHDRAWN):
            status = "suspended" if event.event == SUSPENDED else "withdrawn"
            tx.execute(update(peers).where(here).values(status=status, changed_idx=event.idx))
        else:
            values = {"proposal": _text(event.facts["proposal"]), "changed_idx": event.idx}
            if event.event == RESUMED:
                values["status"] = "active"
            else:
                values["witnesses"] = _witnesses_text(event)
            tx.execute(update(peers).where(here).values(**values))


def _row(event: Event, code: str, kept: bytes | None) -> dict[str, Any]:
    proposal = event.facts["proposal"]
    secret = event.facts.get("secret")
    return {
        "region": code,
        "base": proposal["base"],
        "root": proposal["root"],
        "names": _text(proposal["names"]),
        "status": "active",
        "witnesses": _witnesses_text(event),
        "proposal": _text(proposal),
        "admitted_idx": event.idx,
        "changed_idx": event.idx,
        "secret": kept if secret is None else b64u_decode(secret, 32),
    }


def _witnesses_text(event: Event) -> str | None:
    witnesses = event.facts["proposal"]["witnesses"]
    return None if witnesses is None else _text(witnesses)


def _text(value: Any) -> str:
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()
