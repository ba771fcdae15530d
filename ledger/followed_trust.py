"""Following a peer's trust list: every version is one its own log knows, and none is older than one we have seen.

A version is taken when it chains to the root that was pinned at admission, names the version we have as the one before,
takes nothing back that may not be (`verifiers.succession`: revocations, ends, numbers, logs), and its receipt
proves that its signed bytes are in the peer's log (protocol 15). Versions that were missed are fetched one by one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final

from ledger import followed
from ledger.clock import Clock
from ledger.database import Database
from ledger.followed import Followed, StoredList
from ledger.following_faults import UNCHANGED, Misbehaved, digests_of, shortened, signing_input_of, text_of, wanted
from ledger.mirroring import LogFollower
from ledger.outside import Outside
from ledger.recognised import Peer
from ledger.trust_publishing import EVENT, payload_of
from verifiers import receipt
from verifiers.checkpoint import LogPolicy
from verifiers.commitment import jws_digest
from verifiers.errors import Malformed, Reason, VerificationError
from verifiers.members import Members
from verifiers.peer_view import Watch
from verifiers.succession import Contradiction, check_succession
from verifiers.trust_list import LENGTH_MAX, TrustDocument, TrustList, open_trust_list, signing_kid
from verifiers.trusted_peers import WitnessRule

VERSIONS_A_ROUND: Final = 16
"""Missed versions fetched before the rest of a peer gets its turn."""


def policy_of(trust: TrustList, peer: Peer) -> LogPolicy:
    """Who must sign the newest log of a peer, and whose cosignatures count: ours to say, or else the peer's.

    Raises `VerificationError` where a key is none or two are the same.
    """
    log = trust.document.logs[-1]
    if peer.witnesses is None:
        return log.policy()
    rule = WitnessRule.read(Members(dict(peer.witnesses), Reason.TRUST))
    return LogPolicy(log.origin, log.policy().keys, rule.quorum, rule.note_keys())


class ListFollower:
    """Follows the trust list of one peer and stores what held; used by one task at a time."""

    def __init__(
        self,
        region: str,
        database: Database,
        outside: Outside,
        clock: Clock,
        *,
        lag_s: float,
        step_done: Callable[[str], None],
    ) -> None:
        self._region = region
        self._database = database
        self._outside = outside
        self._clock = clock
        self._lag = timedelta(seconds=lag_s)
        self._step_done = step_done
        self._etag: str | None = None
        self._held_back_since: datetime | None = None
        self._text = ""
        self._logged_idx = -1
        self.trust: TrustList | None = None

    async def load(self, root: str) -> None:
        """Take the newest version that is stored and proven, unless it is the one already taken."""
        if self.trust is not None and self.trust.root_fingerprint != root:
            self.trust, self._etag = None, None
        found = await self._database.read(lambda tx: followed.newest_list(tx, self._region, root), cheap=True)
        if found is None or (self.trust is not None and self.trust.digest == found[1]):
            return
        stored = await self._database.read(lambda tx: followed.read_lists(tx, self._region, root))
        newest = next((each for each in stored if each.logged_idx is not None), None)
        if newest is not None:
            self._take(await self._open(newest.text, root, None), newest)

    async def look(self, peer: Peer, log: LogFollower) -> bool:
        """Fetch the newest version and those before it that were missed; tell whether there was news.

        Raises `Misbehaved`, `Unreachable`, or `VerificationError` for what is no list of this peer.
        """
        answer = await self._outside.get(
            f"{peer.base}/trust-list", limit=LENGTH_MAX, etag=None if self.trust is None else self._etag
        )
        if answer.status == UNCHANGED and self.trust is not None:
            self._held_back_since = None
            return False
        text = text_of(wanted(answer, "the trust list"), "the trust list")
        if self.trust is None:
            await self._prove_admitted(peer, log)
        newest = await self._open(text, peer.root, self._clock.now())
        news = await self._advance(peer, log, newest, text)
        if self.trust is not None and self.trust.digest == newest.digest:
            self._etag, self._held_back_since = answer.etag, None
        return news

    async def _prove_admitted(self, peer: Peer, log: LogFollower) -> None:
        """Prove the version that operators approved: nothing older than it is ever taken."""
        stored = await self._database.read(lambda tx: followed.read_lists(tx, self._region, peer.root))
        if stored:
            approved = await self._open(stored[0].text, peer.root, None)
            await self._accept(peer, log, approved, stored[0].text)

    async def _advance(self, peer: Peer, log: LogFollower, newest: TrustList, text: str) -> bool:
        held = self.trust
        if newest.region != peer.region:
            raise Malformed(Reason.TRUST, "the list of another region")
        if held is None:
            await self._accept(peer, log, newest, text)
            return True
        if newest.document.seq < held.document.seq:
            self._refuse_to_go_back(held, newest, text)
            return False
        if newest.document.seq == held.document.seq:
            if newest.digest not in digests_of(self._text):
                raise self._two(text, f"two lists were signed with the number {held.document.seq}")
            return False
        for seq in range(held.document.seq + 1, newest.document.seq)[:VERSIONS_A_ROUND]:
            answer = await self._outside.get(f"{peer.base}/trust-list/{seq}", limit=LENGTH_MAX)
            between = text_of(wanted(answer, f"trust list {seq}"), f"trust list {seq}")
            missed = await self._open(between, peer.root, None)
            if missed.document.seq != seq:
                raise Malformed(Reason.TRUST, f"list {missed.document.seq} where {seq} was asked for")
            await self._accept(peer, log, missed, between)
        if newest.document.seq == self._seq + 1:
            await self._accept(peer, log, newest, text)
        return True

    async def _accept(self, peer: Peer, log: LogFollower, new: TrustList, text: str) -> None:
        held = self.trust
        if held is not None:
            if new.document.prev not in digests_of(self._text):
                raise self._two(text, f"list {new.document.seq} follows another list {held.document.seq} than ours")
            self._judge_succession(held, new, text)
            fault = _wrong_end(log.row, new.document)
            if fault is not None:
                raise self._refused(text, "log_keys", fault)
        another = held is not None and _origin(held) != _origin(new)
        policy = policy_of(new if held is None or another else held, peer)
        opened = await self._logged(peer, new, text, policy)
        idx = opened.index
        if not another:
            await log.begin(policy.origin)
            await log.take(peer.base, policy, opened.checkpoint)
        if not another and idx <= self._logged_idx:
            raise self._refused(text, "unlogged", f"list {new.document.seq} was logged before the one it follows")
        stored = StoredList(new.document.seq, new.digest, text, idx)
        now = self._clock.now()
        # A crash before this: the version is fetched and proven again; none after it was taken.
        await self._database.write(lambda tx: followed.keep_list(tx, self._region, peer.root, stored, now))
        self._take(new, stored)
        self._step_done("list")
        if another:
            # Only now: what is known of the log before is not given up for a list that may never be taken. A crash
            # before this: the log that the list opens is begun at the next look.
            await log.begin(policy.origin)
            log.heard(opened.checkpoint)

    async def _logged(self, peer: Peer, new: TrustList, text: str, policy: LogPolicy) -> receipt.OpenedReceipt:
        """Return the receipt of the entry that announced a version. Raises `Misbehaved` where it proves another one."""
        seq = new.document.seq
        answer = await self._outside.get(f"{peer.base}/trust-list/{seq}/receipt", limit=receipt.MAX_BYTES)
        body = wanted(answer, f"the receipt of trust list {seq}")
        try:
            opened = receipt.check_receipt(body, policy)
        except VerificationError as error:
            raise self._refused(text, "unlogged", f"the receipt of list {seq} does not hold: {error.reason}") from None
        if opened.leaf.kind != EVENT or opened.opening.jws != jws_digest(signing_input_of(text)):
            raise self._refused(text, "unlogged", f"the receipt of list {seq} is that of something else")
        return opened

    def _refuse_to_go_back(self, held: TrustList, older: TrustList, text: str) -> None:
        now = self._clock.now()
        self._held_back_since = self._held_back_since or now
        if now - self._held_back_since >= self._lag:
            raise Misbehaved(
                Watch.ROLLED_BACK,
                "list_rollback",
                f"list {older.document.seq} is shown after list {held.document.seq} had been seen",
                evidence={"seen": shortened(self._text), "shown": shortened(text)},
                about=(str(held.document.seq), str(older.document.seq)),
            )

    def _judge_succession(self, held: TrustList, new: TrustList, text: str) -> None:
        """Refuse what takes back a revocation, moves an end or gives a number away: a thief's list, or a faulty one."""
        signer = held.key(signing_kid(text))
        found = [*check_succession(held.document, new.document)]
        if signer is not None and signer.revoked is not None:
            found.append(Contradiction("signature", "it is signed by a list key that the list before calls revoked"))
        if found:
            kind = "log_keys" if found[0].member == "logs" else "succession"
            evidence = {"lists": [shortened(self._text), shortened(text)]}
            about = (self._text.rpartition(".")[0], text.rpartition(".")[0])
            detail = "; ".join(map(str, found[:5]))
            raise Misbehaved(Watch.INCONSISTENT, kind, detail, evidence=evidence, about=about)

    def _two(self, text: str, detail: str) -> Misbehaved:
        evidence = {"lists": [shortened(self._text), shortened(text)]}
        about = (self._text.rpartition(".")[0], text.rpartition(".")[0])
        return Misbehaved(Watch.FORKED, "equivocation", detail, evidence=evidence, about=about)

    def _refused(self, text: str, kind: str, detail: str) -> Misbehaved:
        about = (text.rpartition(".")[0],)
        return Misbehaved(Watch.INCONSISTENT, kind, detail, evidence={"list": shortened(text)}, about=about)

    @property
    def _seq(self) -> int:
        return 0 if self.trust is None else self.trust.document.seq

    def _take(self, trust: TrustList, stored: StoredList) -> None:
        self.trust, self._text, self._logged_idx = trust, stored.text, stored.logged_idx or 0

    async def _open(self, text: str, root: str, at: datetime | None) -> TrustList:
        """Open a list as of `at`; None is for one that a newer list or our own database vouches for."""
        moment = at if at is not None else _issued_at(text)
        return await asyncio.to_thread(
            lambda: open_trust_list(text, root_fingerprint=root, at=moment, source=self._region)
        )


def _issued_at(text: str) -> datetime:
    try:
        return datetime.fromtimestamp(int(payload_of(text)["iat"]), UTC)
    except (ValueError, KeyError, TypeError, IndexError, OverflowError, OSError, Malformed):
        raise Malformed(Reason.TRUST, "a list without a time") from None


def _origin(trust: TrustList) -> str:
    return trust.document.logs[-1].origin


def _wrong_end(row: Followed, new: TrustDocument) -> str | None:
    """Say where a list ends the log we follow elsewhere than at the last checkpoint that we verified."""
    for log in new.logs:
        if log.origin == row.origin and log.to is not None and (log.to.size, log.to.root) != (row.size, row.root):
            return f"the log {log.origin} is said to end where we did not see it end"
    return None
