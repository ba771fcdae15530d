"""Publishing the trust list: a new version when the catalogue changed, and well before the last one wants an update.

A version is signed, logged as `trust.published` with its digest, and served only when a checkpoint covers that entry
(protocol 15): whoever gets a list can ask for its receipt, and a list that is not in the log was not published by us.
The whole list lies in the record of its entry, so there is no moment at which one exists without the other.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from dataclasses import replace
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final

import orjson
from sqlalchemy import select

from ledger.catalogue import Catalogue
from ledger.database import Reading, Writing, bulk_insert
from ledger.drafting import Unsigned
from ledger.errors import Code, Refusal
from ledger.events import Event, projector
from ledger.pacing import Pulse
from ledger.publication import pin_checkpoints, read_publication
from ledger.recording import record
from ledger.status_slots import lists_announced
from ledger.tables.log import head
from ledger.tables.publishing import trust_lists
from ledger.trust_document import NotPublishedYet, TrustPolicy, build_document, positions, substance
from verifiers.commitment import jws_digest
from verifiers.encoding import b64u_decode, b64u_encode
from verifiers.entry import REGION
from verifiers.errors import Reason
from verifiers.jws import compact
from verifiers.legal_dates import day_of
from verifiers.members import Members
from verifiers.succession import check_succession
from verifiers.trust_list import TrustDocument, header_segment, signing_input

if TYPE_CHECKING:
    from ledger.region import Region

THING: Final = "trust-list"
EVENT: Final = "trust.published"
FOLDER: Final = "trust-list"
LATEST: Final = f"{FOLDER}/latest"
SETTLE_S: Final = 5.0
"""Longest wait for the trust list to follow the catalogue: some publish intervals, less than a caller's patience."""
_LOOK_AGAIN_S: Final = 0.05


class Contradicted(Exception):
    """The next version would contradict one that was published; it is not signed, and readiness says why."""


class TrustPublisher:
    """Keeps the region's trust list current; one a process.

    It signs with the region's `list` key, which must have its certificate under `root_certificate` (DER), and logs
    with the region's `statement` key. Only the process that holds the publication lease publishes; every one serves.
    """

    def __init__(self, region: Region, policy: TrustPolicy, root_certificate: bytes) -> None:
        self._region = region
        self._policy = policy
        self._root = root_certificate
        self._served = 0
        self._known: tuple[Any, ...] | None = None
        self._before: tuple[bytes, TrustDocument] | None = None
        self.begun = False
        self.pulse = Pulse("trust list", self.step, pause_s=0.2, idle_s=1.0)

    async def step(self) -> None:
        """Publish a new version if one is due and this process leads; then serve every version a checkpoint covers.

        `begun` becomes true once what is served has said all that the catalogue said.
        """
        if self._region.publisher.token is not None:
            await self.publish_if_due()
        await asyncio.to_thread(self._serve)
        self.begun = self.begun or await self._region.database.read(self._is_settled)

    async def settled(self, within_s: float = SETTLE_S) -> bool:
        """Wait until strangers are given a list that says what the catalogue says; tell whether it came to that.

        Whoever registers a department, key, grant or type is answered after this: a licence issued next can be
        verified by anybody at once.
        """
        deadline = asyncio.get_running_loop().time() + within_s
        while not await self._region.database.read(self._is_settled):
            if asyncio.get_running_loop().time() > deadline:
                return False
            self.pulse.wake()
            await asyncio.sleep(_LOOK_AGAIN_S)
        return True

    def _is_settled(self, tx: Reading) -> bool:
        last = newest(tx)
        try:
            return last is not None and last.seq == self._served and self._next(tx) is None
        except (NotPublishedYet, Contradicted):
            return False

    async def publish_if_due(self) -> bool:
        """Sign and log a new version when there is news or the last one gets old; tell whether it did."""
        region = self._region
        try:
            found = await region.database.read(self._next)
        except NotPublishedYet:
            return False  # the checkpoint is on its way and wakes us
        if found is None:
            return False
        document, secret = found
        signer = self._region.signer(None, "list")
        if any(key.public_key.kid == signer.public_key.kid and key.revoked is not None for key in document.keys):
            return False  # this process has yet to notice that another one replaced the key
        text = await self._sign(document)
        # Pinned before the list can be seen: nothing a list names may be thinned away.
        sizes = sorted(positions(document))
        await region.database.write(lambda tx: pin_checkpoints(tx, sizes))
        digest = b64u_encode(sha256(text.encode("ascii")).digest())
        facts: dict[str, Any] = {"seq": document.seq, "hash": digest, "list": text}
        # The entry commits to the signed bytes, so its receipt proves to strangers that this version is logged.
        committed = jws_digest(text.rpartition(".")[0].encode("ascii"))
        event = Unsigned(EVENT, REGION, EVENT, THING, document.seq - 1, secret, facts, jws_digest=committed)
        try:
            await record(region, [event], {"seq": document.seq})
        except Refusal as refusal:
            if refusal.code is not Code.STALE:
                raise
            return False  # another process logged this version first; ours was never shown
        return True

    async def _sign(self, document: TrustDocument) -> str:
        signer = self._region.signer(None, "list")
        if signer.certificate is None:
            raise RuntimeError("the list key has no certificate")
        header = header_segment(signer.public_key.kid, signer.certificate, self._root)
        message = signing_input(document, header=header)
        [signature] = await signer.sign([message])
        return compact(message, signature)

    def _next(self, tx: Reading) -> tuple[TrustDocument, bytes] | None:
        last = newest(tx)
        if last is None:
            return self._build(tx, 1, None), os.urandom(32)
        moment = self._region.clock.now()
        # Half of its freshness is left when a successor comes, so one missed turn does not make anybody stale.
        old = payload_of(last.list)
        old_enough = int(moment.timestamp()) >= old["iat"] + self._policy.ttl_s // 2
        lists = tuple(lists_announced(tx, day_of(moment), self._policy.base_url))
        known = (last.seq, catalogue_position(tx), lists, self._region.witness_service)
        if known == self._known and not old_enough:
            return None
        before = self._last_document(last)
        new = self._build(tx, last.seq + 1, bytes(last.digest), before)
        # Whoever follows us would refuse it for ever, and take it for the work of a thief.
        contradictions = check_succession(before, new)
        if contradictions:
            raise Contradicted("; ".join(map(str, contradictions[:5])))
        if not old_enough and substance(new.to_json()) == substance(old):
            self._known = known  # nothing it is made of has changed until one of these does
            return None
        return new, bytes(last.secret)

    def _build(self, tx: Reading, seq: int, prev: bytes | None, before: TrustDocument | None = None) -> TrustDocument:
        policy, at = replace(self._policy, witness=self._region.witness_service), self._region.clock.now()
        return build_document(tx, Catalogue.load(tx), policy, seq=seq, prev=prev, at=at, before=before)

    def _last_document(self, last: Any) -> TrustDocument:
        """Return the version before, read once: lists of large regions are long."""
        if self._before is None or self._before[0] != bytes(last.digest):
            document = TrustDocument.read(Members(payload_of(last.list), Reason.TRUST))
            self._before = bytes(last.digest), document
        return self._before[1]

    def _serve(self) -> None:
        with self._region.database.reading() as tx:
            covered = trust_lists.c.idx < read_publication(tx).size
            fresh = covered & (trust_lists.c.seq > self._served)
            rows = tx.execute(select(trust_lists).where(fresh).order_by(trust_lists.c.seq)).all()
        self._region.files.write((f"{FOLDER}/{row.seq}", row.list.encode("ascii")) for row in rows)
        if rows:
            newest_text = rows[-1].list.encode("ascii")
            self._region.files.write_forward(
                LATEST, newest_text, lambda text: int(payload_of(text.decode("ascii"))["seq"])
            )
            self._served = rows[-1].seq


def catalogue_position(tx: Reading) -> int:
    """Return the entry that last changed who may do what, -1 before the first."""
    found = tx.execute(select(head.c.catalogue_idx)).scalar_one_or_none()
    return -1 if found is None else int(found)


def newest(tx: Reading) -> Any:
    """Return the row of the newest logged trust list (seq, idx, digest, list, secret), or None before the first."""
    return tx.execute(select(trust_lists).order_by(trust_lists.c.seq.desc()).limit(1)).one_or_none()


def trust_list_at(tx: Reading, seq: int) -> Any:
    """Return the row of version `seq`, or None where there is none."""
    return tx.execute(select(trust_lists).where(trust_lists.c.seq == seq)).one_or_none()


def payload_of(text: str) -> dict[str, Any]:
    """Return the payload of a compact list of our own; for others' lists there is `open_trust_list`."""
    found: dict[str, Any] = orjson.loads(b64u_decode(text.split(".")[1]))
    return found


@projector(EVENT)
def project_trust_lists(tx: Writing, events: Sequence[Event]) -> None:
    """Keep every version with the entry that announced it."""
    rows: list[tuple[Any, ...]] = []
    for event in events:
        secret = event.facts.get("secret")
        known = None if secret is None else b64u_decode(secret, 32)
        if known is None:
            first = select(trust_lists.c.secret).where(trust_lists.c.seq == 1)
            known = rows[0][4] if rows else bytes(tx.execute(first).scalar_one())
        facts = event.facts
        rows.append((facts["seq"], event.idx, b64u_decode(facts["hash"], 32), facts["list"], known))
    bulk_insert(tx, trust_lists, rows)
