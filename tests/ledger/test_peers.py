"""Another region is trusted once two operators approved what it showed, and distrusted as soon as one says so."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from shutil import copyfile
from typing import Any

import orjson
import pytest
from sqlalchemy import select

from keys.certificates import fingerprint
from keys.public_key import PublicKey
from ledger import clients, departments, peers
from ledger.clock import ManualClock
from ledger.errors import Code, Refusal
from ledger.history import load_event
from ledger.outside import Answer
from ledger.rebuilding import rebuild
from ledger.region import Region
from ledger.tables.peers import followed_lists
from tests.ledger.peering import KEYS, THERE, Documents, approve, register
from tests.region import OPERATOR, region_on
from tests.verifiers.log_world import WITNESSES
from verifiers import approval
from verifiers.encoding import b64u_decode, b64u_encode
from verifiers.trust_list import open_trust_list


class Published(Documents):
    """The way to another region: its published files, or what a test puts in their place."""

    def __init__(self, peer: Region) -> None:
        super().__init__({})
        self.peer = peer

    def document(self, path: str) -> bytes | None:
        """What lies at `path`: a test's own document, or the region's."""
        if path in self.shown:
            return self.shown[path]
        if path == "/.well-known/elicence-region":
            return orjson.dumps({"region": self.peer.config.region, "log": {"origin": self.peer.origin}})
        return self.peer.files.read("trust-list/latest" if path == "/trust-list" else path.lstrip("/"))


class World:
    """A region with a clock of its own, another that it may admit, and the way there."""

    def __init__(self, home: Region, there: Published, clock: ManualClock) -> None:
        self.home = home
        self.there = there
        self.clock = clock
        self.root = fingerprint(there.peer.root_certificate)

    async def propose(self, **changes: Any) -> dict[str, Any]:
        """Look at the other region and return what is proposed."""
        return await peers.propose(self.home, {"base": THERE, "root": self.root} | changes)

    def approvals(self, proposal: dict[str, Any], *people: str) -> list[str]:
        """Sign for some people, now."""
        return [approve(proposal, who, at=self.clock.now()) for who in people or ("ann", "bob")]

    async def admit(self, proposal: dict[str, Any], *people: str) -> dict[str, Any]:
        """Admit as some people approve."""
        return await peers.admit(
            self.home, OPERATOR, {"proposal": proposal, "approvals": self.approvals(proposal, *people)}
        )

    async def admitted(self) -> dict[str, Any]:
        """Admit the other region as it should be done."""
        return await self.admit((await self.propose())["proposal"])

    def status(self) -> str | None:
        """How the other region stands here."""
        peer = self.home.catalogue.recognised.peers.get("620000")
        return None if peer is None else peer.status


MARKET = {"id": "11610000010000020C", "names": {"zh": "示例市场监督管理局", "en": "Example Market Regulator"}}


@pytest.fixture
async def world(database_url: str, sqlite_template: Path, tmp_path: Path) -> AsyncIterator[World]:
    """Two regions that know nothing of each other, and the clients of three people in the first."""
    other = tmp_path / "other.db"
    for part in sqlite_template.parent.glob(sqlite_template.name + "*"):
        copyfile(part, other.with_name(part.name.replace(sqlite_template.name, other.name)))
    clock = ManualClock(datetime.now(UTC).replace(microsecond=0))
    names = {"zh": "示例乙省", "en": "Example Province B"}
    below = tmp_path / "other"
    async with (
        region_on(database_url, tmp_path, clock=clock) as home,
        region_on(f"sqlite:///{other}", below, region="620000", names=names, base_url=THERE, clock=clock) as peer,
    ):
        for who in ("ann", "bob"):
            await register(home, who)
        await register(home, "eve", scopes=["audit"])
        assert await peer.trust.settled(20)
        there = Published(peer)
        home.outside = there
        yield World(home, there, clock)


async def refused(code: Code, doing: Any) -> Refusal:
    """Return the refusal that something ends in."""
    with pytest.raises(Refusal) as caught:
        await doing
    assert caught.value.code is code, str(caught.value)
    return caught.value


async def test_a_region_is_admitted_by_two_operators_who_saw_what_it_shows(world: World) -> None:
    """What would be trusted is shown, approved, logged with both approvals, and named in our trust list."""
    proposed = await world.propose()
    shows, proposal = proposed["shows"], proposed["proposal"]
    assert (shows["region"], shows["root"]) == ("620000", world.root)
    assert shows["logs"][0]["origin"] == world.there.peer.origin
    assert {key["purpose"] for key in shows["keys"]} >= {"list", "status", "statement"}
    assert b64u_decode(proposed["digest"]) == approval.digest_of(proposal)

    done = await world.admit(proposal)

    assert (done["status"], world.status()) == ("active", "active")
    assert await world.home.trust.settled(20)
    text = world.home.files.read("trust-list/latest")
    assert text is not None
    own = fingerprint(world.home.root_certificate)
    peer = open_trust_list(text.decode(), root_fingerprint=own, at=world.clock.now()).peer("620000")
    assert peer is not None and (peer.base, peer.root, peer.status) == (THERE, world.root, "active")


async def test_an_auditor_can_check_later_who_approved_what(world: World) -> None:
    """The record has proposal, approvals and keys, and they give the answer the region got."""
    done = await world.admitted()

    event = await world.home.database.read(lambda tx: load_event(tx, world.home.vault, done["entry"]))
    facts = event.facts
    keys = {(each["client"], each["kid"]): PublicKey.from_text(each["key"]) for each in facts["approvers"]}
    given = [approval.parse(text) for text in facts["approvals"]]
    approval.check_approvals(
        facts["proposal"], given, key_of=lambda name, kid: keys.get((name, kid)), at=event.at + timedelta(seconds=1)
    )
    assert (event.kind, event.event, event.thing) == ("peer", "peer.admitted", "peer:620000")
    assert facts["officer"] == OPERATOR.operator


async def test_the_list_that_was_shown_is_kept_as_the_highest_seen(world: World) -> None:
    """The follower begins from it, so an older one is a rollback from the first hour on."""
    proposed = await world.propose()
    await world.admit(proposed["proposal"])

    rows = await world.home.database.read(lambda tx: tx.execute(select(followed_lists)).all())

    seen = proposed["proposal"]["seen"]
    assert [(row.region, row.root, row.seq, b64u_encode(row.digest)) for row in rows] == [
        ("620000", world.root, seen["seq"], seen["digest"])
    ]


async def test_the_root_is_never_taken_from_the_network(world: World) -> None:
    """A region that shows another root than the one written down is not even proposed."""
    await refused(Code.PEER_ROOT_MISMATCH, world.propose(root="ab" * 32))
    await refused(Code.PEER_ROOT_MALFORMED, world.propose(root="ab" * 31))

    spelled = ":".join(world.root.upper()[at : at + 2] for at in range(0, 64, 2))
    assert (await world.propose(root=spelled))["proposal"]["root"] == world.root


async def test_a_region_that_does_not_answer_or_lies_is_refused(world: World) -> None:
    """Silence, an error page, a token of another kind, a list for another address: each has its code."""
    there = world.there
    there.shown["/trust-list"] = b"<html>"
    await refused(Code.PEER_LIST_INVALID, world.propose())
    there.shown = {"/.well-known/elicence-region": b'{"region":"630000"}'}
    await refused(Code.PEER_LIST_INVALID, world.propose())
    there.shown = {"/.well-known/elicence-region": b"[]"}
    await refused(Code.PEER_LIST_INVALID, world.propose())
    there.shown = {}
    there.down = True
    await refused(Code.PEER_UNREACHABLE, world.propose())
    world.home.outside = None
    await refused(Code.PEER_UNREACHABLE, world.propose())


@pytest.mark.parametrize(
    "base",
    [
        "ftp://r620000.example",
        "https://u:p@r620000.example",
        "https://r620000.example/?a=1",
        "r620000.example",
        "http://r620000.example",
        "http://93.184.216.34",
    ],
)
async def test_an_address_is_a_plain_one(world: World, base: str) -> None:
    """Nothing is fetched from an address that carries more than a place."""
    await refused(Code.PEER_ADDRESS, world.propose(base=base))


async def test_an_expired_list_is_nothing_to_trust(world: World) -> None:
    """A region that stopped publishing is not admitted on what it once said."""
    await world.there.peer.trust.pulse.stop()
    world.clock.advance(days=2)

    await refused(Code.PEER_LIST_INVALID, world.propose())


async def test_a_region_does_not_admit_itself(world: World) -> None:
    """Neither its own code nor its own root."""
    own = Published(world.home)
    assert await world.home.trust.settled(20)
    own.shown["/trust-list"] = world.home.files.read("trust-list/latest") or b""
    world.home.outside = own
    raised = await refused(
        Code.PEER_LIST_INVALID,
        peers.propose(world.home, {"base": THERE, "root": fingerprint(world.home.root_certificate)}),
    )
    assert raised.facts["named"] == world.home.base_url

    world.home.outside = world.there
    proposal = (await world.propose())["proposal"] | {"region": "610000"}
    await refused(Code.PEER_SELF, world.admit(proposal))


async def test_nothing_less_than_two_different_operators_admits(world: World) -> None:
    """One approval, the same person or key twice, somebody who may not operate, a client that was shut out."""
    home, proposal = world.home, (await world.propose())["proposal"]
    await refused(Code.PEER_APPROVALS_MISSING, world.admit(proposal, "ann"))
    await refused(Code.PEER_APPROVALS_MISSING, peers.admit(home, OPERATOR, {"proposal": proposal, "approvals": []}))
    await refused(Code.PEER_SAME_APPROVER, world.admit(proposal, "ann", "ann"))
    await refused(Code.PEER_APPROVAL_INVALID, world.admit(proposal, "ann", "eve"))
    await refused(Code.PEER_SAME_APPROVER, world.admit(proposal, "ann", "bob", "bob"))
    await register(home, "ann-again", key=KEYS["ann"])
    twice = [
        *world.approvals(proposal, "ann"),
        approve(proposal, "ann-again", at=world.clock.now(), key=KEYS["ann"]),
    ]
    await refused(Code.PEER_SAME_APPROVER, peers.admit(home, OPERATOR, {"proposal": proposal, "approvals": twice}))
    await clients.change(home, "bob", {"disabled": True})
    await refused(Code.PEER_APPROVAL_INVALID, world.admit(proposal))

    assert world.status() is None


async def test_an_approver_shut_out_at_the_last_moment_approves_nothing(world: World) -> None:
    """Who approves is looked up once more under the head lock."""
    proposal = (await world.propose())["proposal"]
    road = world.there.get

    async def shut_out_meanwhile(url: str, *, limit: int, etag: str | None = None) -> Answer:
        # The list is fetched once more between the check of the approvals and the lock.
        await clients.change(world.home, "bob", {"disabled": True})
        return await road(url, limit=limit, etag=etag)

    world.there.get = shut_out_meanwhile  # type: ignore[method-assign]
    await refused(Code.PEER_APPROVAL_INVALID, world.admit(proposal))

    assert world.status() is None


async def test_approvals_serve_one_proposal_of_one_region_and_expire(world: World) -> None:
    """Another proposal, another region's log, too late, tampered with: each is refused with its reason."""
    home, now = world.home, world.clock.now()
    proposal = (await world.propose())["proposal"]
    good = world.approvals(proposal)
    other = proposal | {"witnesses": {"k": 0, "keys": []}}
    await refused(Code.PEER_APPROVAL_INVALID, peers.admit(home, OPERATOR, {"proposal": other, "approvals": good}))
    elsewhere = proposal | {"origin": "other.example/log/1"}
    await refused(
        Code.PEER_PROPOSAL_INVALID,
        peers.admit(home, OPERATOR, {"proposal": elsewhere, "approvals": world.approvals(elsewhere)}),
    )
    mixed = [good[0], approve(elsewhere, "bob", at=now)]
    await refused(Code.PEER_APPROVAL_INVALID, peers.admit(home, OPERATOR, {"proposal": proposal, "approvals": mixed}))
    forged = [good[0], approve(proposal, "bob", at=now, key=KEYS["ann"], kid=KEYS["bob"].public_key.kid)]
    await refused(Code.PEER_APPROVAL_INVALID, peers.admit(home, OPERATOR, {"proposal": proposal, "approvals": forged}))
    await refused(Code.PEER_PROPOSAL_INVALID, peers.admit(home, OPERATOR, {"proposal": {"v": 2}, "approvals": good}))
    forever = proposal | {"expires": "2099-01-01T00:00:00Z"}
    await refused(Code.PEER_PROPOSAL_INVALID, world.admit(forever))
    world.clock.advance(days=8)
    await refused(Code.PEER_PROPOSAL_EXPIRED, peers.admit(home, OPERATOR, {"proposal": proposal, "approvals": good}))

    assert world.status() is None


async def test_what_was_not_shown_is_not_admitted(world: World) -> None:
    """A list that changed under its number between approval and admission is not the one approved."""
    proposal = (await world.propose())["proposal"]
    await refused(
        Code.PEER_LIST_INVALID, world.admit(proposal | {"seen": {"seq": 1, "digest": b64u_encode(bytes(32))}})
    )
    await refused(
        Code.PEER_PROPOSAL_INVALID, world.admit(proposal | {"names": {"zh": "别的省", "en": "Another Province"}})
    )


async def test_one_operator_suspends_and_two_resume(world: World) -> None:
    """Taking trust away is one act; giving it back takes two people, each time anew."""
    await world.admitted()
    home = world.home
    await peers.act(home, OPERATOR, "620000", {"act": "suspend", "reason": "来源待查"})
    assert world.status() == "suspended"
    await refused(Code.PEER_STATE, peers.suspend(home, OPERATOR, "620000", "again"))
    await refused(Code.PEER_EXISTS, world.propose())

    resume = (await peers.propose(home, {"act": "resume", "region": "620000"}))["proposal"]
    asked = {"act": "resume", "proposal": resume, "approvals": world.approvals(resume)}
    await refused(
        Code.PEER_APPROVALS_MISSING, peers.act(home, OPERATOR, "620000", asked | {"approvals": asked["approvals"][:1]})
    )
    done = await peers.act(home, OPERATOR, "620000", asked)
    assert (done["status"], world.status()) == ("active", "active")

    await peers.suspend(home, OPERATOR, "620000", "又有疑问")
    await refused(Code.PEER_PROPOSAL_OUTDATED, peers.act(home, OPERATOR, "620000", asked))
    assert world.status() == "suspended"


async def test_a_withdrawn_peer_comes_back_only_by_being_admitted_anew(world: World) -> None:
    """Neither resumed nor changed, but admitted again, by two people who look again."""
    first = (await world.propose())["proposal"]
    await world.admit(first)
    await peers.withdraw(world.home, OPERATOR, "620000", "协议终止")
    assert world.status() == "withdrawn"
    await refused(Code.PEER_WITHDRAWN, peers.suspend(world.home, OPERATOR, "620000", "too late"))
    await refused(Code.PEER_WITHDRAWN, peers.propose(world.home, {"act": "resume", "region": "620000"}))
    await refused(Code.PEER_PROPOSAL_OUTDATED, world.admit(first))

    done = await world.admitted()

    assert world.status() == "active"
    second = await world.home.database.read(lambda tx: load_event(tx, world.home.vault, done["entry"]))
    assert second.n == 2 and "secret" not in second.facts


async def test_a_peer_that_comes_back_does_not_show_an_older_list(world: World) -> None:
    """What was seen under a root is remembered over a withdrawal."""
    there = world.there
    first = there.peer.files.read("trust-list/1")
    assert first is not None
    await departments.register(there.peer, OPERATOR, MARKET)
    assert await there.peer.trust.settled(20)
    await world.admitted()
    await peers.withdraw(world.home, OPERATOR, "620000", "协议终止")
    there.shown["/trust-list"] = first

    raised = await refused(Code.PEER_LIST_INVALID, world.propose())

    assert raised.facts["reason"] == "trust.rollback"


async def test_what_we_demand_of_their_witnesses_is_changed_by_two(world: World) -> None:
    """The rule is part of what is approved, and stands in the catalogue."""
    await world.admitted()
    witness, _ = WITNESSES[0]
    row = {"name": witness.name, "vkey": witness.to_text(), "url": "https://witness.example/witness"}
    rule: dict[str, Any] = {"k": 1, "keys": [row]}
    await refused(
        Code.PEER_WITNESSES_INVALID,
        peers.propose(world.home, {"act": "change", "region": "620000", "witnesses": rule | {"k": 2}}),
    )
    log_key = {"k": 1, "keys": [row | {"name": world.there.peer.origin, "vkey": world.there.peer.vkeys[0]}]}
    await refused(
        Code.PEER_WITNESSES_INVALID,
        peers.propose(world.home, {"act": "change", "region": "620000", "witnesses": log_key}),
    )
    change = (await peers.propose(world.home, {"act": "change", "region": "620000", "witnesses": rule}))["proposal"]

    asked = {"act": "change", "proposal": change, "approvals": world.approvals(change)}
    await refused(Code.PEER_PROPOSAL_INVALID, peers.act(world.home, OPERATOR, "620000", asked | {"act": "resume"}))
    await peers.act(world.home, OPERATOR, "620000", asked)

    assert dict(world.home.catalogue.recognised.peers["620000"].witnesses or {}) == rule
    assert world.status() == "active"


async def test_an_unknown_peer_is_not_suspended(world: World) -> None:
    """There is nothing to take away."""
    await refused(Code.PEER_UNKNOWN, peers.suspend(world.home, OPERATOR, "650000", "nobody"))


async def test_the_log_alone_gives_the_peers_back(world: World) -> None:
    """A rebuild finds nothing to mend after a peer went through all its states."""
    await world.admitted()
    await peers.suspend(world.home, OPERATOR, "620000", "一")
    await peers.withdraw(world.home, OPERATOR, "620000", "二")
    last = await world.admitted()
    await world.home.publisher.published(last["entry"])

    assert rebuild(world.home.database, world.home.vault, world.clock).replaced == ()
