"""A running region: everything the ledger works with, put together once and handed around.

`Region.create` opens a new log, `Region.open` an existing one; both give a region that is running. Functions of the
ledger take it as their first argument and use its plain attributes.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from sqlalchemy import insert

from keys.public_key import PublicKey
from keys.signer import KeyStore, Signer
from ledger import erasing, keys_registry, positions, projections, witness_identity  # noqa: F401 - registers every projector
from ledger.catalogue import Catalogue
from ledger.catalogue_cache import CatalogueCache
from ledger.clock import Clock, SystemClock
from ledger.committing import Committer
from ledger.config import RegionConfig
from ledger.cosigning import FILE as WITNESSED_FILE
from ledger.cosigning import Cosigner
from ledger.database import Database, Reading, Writing
from ledger.drafting import Unsigned, sign_drafts
from ledger.errors import Code, Refusal
from ledger.events import Event, projector
from ledger.gathering import Gathering
from ledger.grouped_writes import GroupedWrites
from ledger.history import load_event
from ledger.largest_seen import LargestSeen
from ledger.log_signing import LogSigner
from ledger.pacing import Pulse
from ledger.proposals import Proposal
from ledger.public_files import CHECKPOINT, PublicFiles
from ledger.publishing import Publisher
from ledger.receipts import TOGETHER as RECEIPTS_TOGETHER
from ledger.receipts import receipts_of
from ledger.region_keys import LOG_KEYS, OWN, STATEMENT, prepare_keys
from ledger.scan_reads import ScanReads
from ledger.scan_writes import write_looks
from ledger.schema import require_newest
from ledger.sealing import CATALOGUE_KINDS
from ledger.sequencing import Rules, read_head
from ledger.signers import Signers
from ledger.status_publishing import StatusPublisher
from ledger.status_slots import SlotPool
from ledger.tables.log import head
from ledger.trust_document import TrustPolicy
from ledger.trust_publishing import TrustPublisher
from ledger.vault import Vault
from ledger.witness_identity import WitnessIdentity, witness_name
from ledger.witness_policies import log_policy, policy_of
from ledger.writer import Writer
from verifiers.checkpoint import LogPolicy, open_checkpoint
from verifiers.encoding import b64u_decode, b64u_encode
from verifiers.entry import FIRST_PREV, REGION
from verifiers.errors import VerificationError
from verifiers.merkle import Frontier
from verifiers.trust_document import Names
from verifiers.trusted_peers import Intervals, WitnessService
from verifiers.witness_policy import WitnessPolicy

if TYPE_CHECKING:
    from ledger.following import Following
    from ledger.outside import Outside
    from ledger.peer_calls import PeerCalls
    from ledger.preparers import Preparers

OPENED = "log.opened"


class Region:
    """A running region. Its attributes are fixed while it runs, but `catalogue`, which follows the log.

    `origin` names the log, `root_certificate` (DER) is the root, `vkeys` are the log's verifier keys. `outside`,
    `following` and `peer_calls` are how it reaches other regions; who composes the service gives them, `None` is alone.
    `on_notice` is told the region whose licences there is something to look at: a notice came, or an operator spoke.
    """

    def __init__(
        self,
        config: RegionConfig,
        store: KeyStore,
        database: Database,
        clock: Clock,
        opened: Event,
        catalogue: Catalogue,
    ) -> None:
        self.config = config
        self.store = store
        self.database = database
        self.clock = clock
        self.origin: str = opened.facts["origin"]
        self.base_url = config.base_url
        self.root_certificate = b64u_decode(opened.facts["root"])
        self.vault = Vault.open(store)
        self.files = PublicFiles(config.tiles)
        self.seen = LargestSeen()
        self.looks = GroupedWrites(database, write_looks)
        self.scan_reads = ScanReads(database)
        # Those who wait for the same checkpoint get their receipts by one look and from one set of tiles.
        self.receipts: Gathering[int, str] = Gathering(lambda asked: receipts_of(self, asked), RECEIPTS_TOGETHER)
        self.slots = SlotPool(database, store.secret("slots"), config.base_url)
        self._catalogues = CatalogueCache(catalogue)
        self._signers = Signers(store)
        log = LogSigner(self.origin, tuple(store.signer(name) for name in LOG_KEYS))
        self.vkeys = log.vkeys
        self.cosigner: Cosigner | None = None
        rules = Rules(self.origin, self.vault, clock, self._catalogues.at, ahead=self._is_ahead, seen=self.seen)
        self.writer = Writer(Committer(database, rules))
        self.publisher = Publisher(
            database,
            self.files,
            clock,
            log,
            interval_s=config.publish_interval_ms / 1000,
            republish_s=config.republish_interval_s,
            seen=self.seen,
            withholds=lambda: self.withholds,
        )
        self.status = StatusPublisher(
            database,
            self.files,
            clock,
            origin=self.origin,
            signer=lambda: self.signer(None, "status"),
            # A list of a state that others have seen go on would take revocations back.
            leads=lambda: None if self.seen.trouble is not None else self.publisher.token,
            ttl_s=config.status_ttl_s,
        )
        self.witness_identity = WitnessIdentity(store)
        self.trust = TrustPublisher(self, self._trust_policy(), self.root_certificate)
        self.outside: Outside | None = None
        self.following: Following | None = None
        self.peer_calls: PeerCalls | None = None
        self.preparers: Preparers | None = None
        self.on_notice: list[Callable[[str], None]] = []
        self._follow = Pulse("catalogue", self._follow_others, pause_s=0.5, idle_s=1.0)

    @classmethod
    async def create(
        cls,
        config: RegionConfig,
        store: KeyStore,
        *,
        clock: Clock | None = None,
        root_certificate: bytes | None = None,
    ) -> Region:
        """Open a new log in a migrated, empty database and run the region.

        `root_certificate` (DER) says that the root lies elsewhere; without it the root is made in `store`. A crash on
        the way leaves a log without entries, which the next call continues. Raises `Refusal` with `log.exists`,
        `schema.outdated` or `key.certificate`.
        """
        clock = clock or SystemClock()
        root = await prepare_keys(config, store, clock.now(), root_certificate)
        database = Database.open(config.database_url)
        try:
            await database.write(lambda tx: _begin(tx, config, clock))
            await _write_first_entries(config, store, database, clock, root)
        finally:
            database.close()
        return await cls.open(config, store, clock=clock)

    @classmethod
    async def open(
        cls,
        config: RegionConfig,
        store: KeyStore,
        *,
        clock: Clock | None = None,
        outside: Outside | None = None,
        takes_over: bool = True,
    ) -> Region:
        """Run the region whose log is in the database; what it has `outside` it asks before it signs anything.

        Without `takes_over` it publishes only while no other process does, as a command beside the service should.
        Raises `Refusal` with `schema.outdated`, `log.missing`, or `log.other` for another region's log.
        """
        clock = clock or SystemClock()
        database = Database.open(config.database_url)
        try:
            vault = Vault.open(store)
            opened, catalogue = await database.read(lambda tx: _read_start(tx, vault))
            await erasing.replay_erasures(database)
            if opened.facts["region"] != config.region:
                raise Refusal(Code.LOG_OTHER, found=opened.facts["origin"])
            await asyncio.to_thread(witness_identity.begin, database, store, witness_name(config), clock.now())
            region = cls(config, store, database, clock, opened, catalogue)
            region.publisher.takes_over = takes_over
            region.reach(outside)
            await database.read(region.witness_identity.refresh)
            await region.look_back()
        except BaseException:
            database.close()
            raise
        region._start()
        return region

    def reach(self, outside: Outside | None) -> None:
        """Give the region its way to other services, and with it to the witnesses of its log."""
        self.outside = outside
        self.cosigner = None if outside is None else Cosigner(self, outside)

    async def look_back(self) -> None:
        """Find out, before anything is written, how large the log is in other hands, and whether we are behind."""
        own = log_policy(self.origin, self.vkeys, WitnessPolicy())
        for name in (CHECKPOINT, WITNESSED_FILE):
            note = self.files.read(name)
            try:
                size = 0 if note is None else open_checkpoint(note, own).size
            except VerificationError:
                continue  # not signed by this log: the publisher says so, and it proves nothing
            self.seen.saw(size, "the published checkpoint")
        if self.cosigner is not None:
            await self.cosigner.look_back()
        self.seen.compare((await self.database.read(read_head)).size)

    async def close(self) -> None:
        """Write and publish what is under way, then give everything back."""
        if self.cosigner is not None:
            await self.cosigner.stop()
        # Those that append stop before the writer, and the writer before what its commits wake.
        await self._follow.stop()
        await self.trust.pulse.stop()
        await self.writer.stop()
        await self.status.pulse.stop()
        await self.publisher.stop()
        if self.outside is not None:
            await self.outside.close()
        self.database.close()

    @property
    def catalogue(self) -> Catalogue:
        """The newest catalogue this process knows: immutable, so whoever took one keeps it for the whole request."""
        return self._catalogues.current

    @property
    def witness_service(self) -> WitnessService | None:
        """What the trust list says of this region's witness; None while it may not sign."""
        witness = self.witness_identity.current
        return None if witness is None else WitnessService(witness.name, witness.vkeys, f"{self.base_url}/witness")

    @property
    def log_policy(self) -> LogPolicy:
        """What a checkpoint of this log must carry: all of the log's keys, and the quorum of its witnesses."""
        return log_policy(self.origin, self.vkeys, policy_of(self.catalogue))

    @property
    def withholds(self) -> bool:
        """Whether nothing is shown that no quorum has cosigned."""
        return self.config.witness_mode == "closed" and policy_of(self.catalogue).quorum > 0

    def signer(self, department: str | None, purpose: str) -> Signer:
        """Give the signer of a department's key for `purpose`; `None` or `region` mean the region itself.

        Raises `Refusal` key.unknown or key.retired where the store cannot sign with it (any more).
        """
        return self._signers.find(self.catalogue, department, purpose)

    async def readiness(self) -> dict[str, dict[str, Any]]:
        """Tell for each part whether it works right now: `{"database": {"ready": true}, …}` with a `detail` if not."""
        checks: dict[str, dict[str, Any]] = {"database": {"ready": True}, "writer": {"ready": True}}
        try:
            behind = self.seen.compare((await self.database.read(read_head, cheap=True)).size)
            if behind is not None:
                checks["log"] = {"ready": False, "detail": str(behind.code), **behind.facts}
        except Refusal as refusal:
            checks["database"] = {"ready": False, "detail": str(refusal.code)}
        trouble = self.writer.trouble
        if trouble is not None:
            checks["writer"] = {"ready": False, "detail": str(trouble.code)}
        for name, pulse in (
            ("publisher", self.publisher.pulse),
            ("status", self.status.pulse),
            ("trust", self.trust.pulse),
        ):
            fault = pulse.fault
            checks[name] = {"ready": True} if fault is None else {"ready": False, "detail": type(fault).__name__}
        if self.witness_identity.current is None:
            # Issuing does not wait for it: the service stays ready, and says that its witness is not.
            checks["witness"] = {"ready": False, "optional": True, "detail": str(Code.WITNESS_STATE_MISSING)}
        if self.cosigner is not None:
            checks["witnesses"] = self.cosigner.readiness()
        if not self.trust.begun:
            checks["trust"] = {"ready": False, "detail": "the trust list does not say yet what the catalogue says"}
        return checks

    async def figures(self) -> dict[str, Any]:
        """Give the numbers operators watch: sizes, waiting proposals, ages in seconds."""
        size = (await self.database.read(read_head, cheap=True)).size
        return {
            "queue": self.writer.waiting,
            "size": size,
            "published": self.publisher.size,
            "checkpoint_age_s": self.publisher.age_s,
            "status_age_s": max(self.status.ages().values(), default=0),
            "witnesses": None if self.cosigner is None else self.cosigner.figures(),
        }

    def _start(self) -> None:
        keys_registry.follow_log(self)
        self.writer.on_commit(self._committed)
        self.publisher.on_publish.append(lambda _size: self.trust.pulse.wake())
        self.writer.start()
        for pulse in (self.publisher.pulse, self.status.pulse, self.trust.pulse, self._follow):
            pulse.start()

    def _is_ahead(self) -> bool:
        return self.cosigner is not None and self.cosigner.clock_ahead

    def _committed(self, _size: int, kinds: frozenset[str]) -> None:
        if not kinds.isdisjoint(CATALOGUE_KINDS):
            # Whoever asked for the change is answered after this, and finds it in force.
            with self.database.reading() as tx:
                self._catalogues.refresh(tx)
            self.trust.pulse.wake()
        self.publisher.pulse.wake()
        self.status.pulse.wake()

    async def _follow_others(self) -> None:
        await self.database.read(self._catalogues.refresh, cheap=True)
        if await self.database.read(self.witness_identity.refresh, cheap=True):
            self.trust.pulse.wake()

    def _trust_policy(self) -> TrustPolicy:
        config = self.config
        return TrustPolicy(
            region=config.region,
            names=Names(**config.names),
            base_url=config.base_url,
            origin=self.origin,
            vkeys=self.vkeys,
            former=config.former_base_urls,
            ttl_s=config.trust_list_ttl_s,
            expiry_s=config.trust_list_expiry_s,
            intervals=Intervals(config.publish_interval_ms, config.republish_interval_s, config.status_ttl_s),
        )


def _begin(tx: Writing, config: RegionConfig, clock: Clock) -> None:
    require_newest(tx)
    row = tx.execute(head.select()).one_or_none()
    if row is not None and (row.size > 0 or row.origin != config.new_origin):
        raise Refusal(Code.LOG_EXISTS, found=row.origin, size=row.size)
    if row is None:
        empty = {"chain": FIRST_PREV, "frontier": Frontier().to_bytes(), "catalogue_idx": -1}
        tx.execute(insert(head).values(id=1, origin=config.new_origin, size=0, at=clock.now(), **empty))


async def _write_first_entries(
    config: RegionConfig, store: KeyStore, database: Database, clock: Clock, root: bytes
) -> None:
    """Append `log.opened` as entry 0 and the region's own keys after it, in one transaction (protocol rule 2)."""
    vault, signer = Vault.open(store), store.signer(STATEMENT)
    log = LogSigner(config.new_origin, tuple(store.signer(name) for name in LOG_KEYS))
    facts = {
        "region": config.region,
        "names": dict(config.names),
        "root": b64u_encode(root),
        "vkeys": list(log.vkeys),
        "previous": None,
    }
    opened = Unsigned(OPENED, REGION, OPENED, "log", 0, secrets.token_bytes(32), facts)
    own = [("statement", signer), *((purpose, store.signer(purpose)) for purpose in OWN)]
    start = positions.start(config.new_origin)
    events = [opened]
    for purpose, each in own:
        key: PublicKey = each.public_key
        events.append(keys_registry.registered(purpose, None, key, each.certificate, start))
    drafts = await sign_drafts(config.new_origin, events, signer)
    with database.reading() as tx:
        empty = CatalogueCache(Catalogue.load(tx))
    writer = Writer(Committer(database, Rules(config.new_origin, vault, clock, empty.at)))
    writer.start()
    try:
        await writer.append(Proposal(drafts))
    finally:
        await writer.stop()


def _read_start(tx: Reading, vault: Vault) -> tuple[Event, Catalogue]:
    require_newest(tx)
    if read_head(tx).size == 0:
        raise Refusal(Code.LOG_MISSING)
    return load_event(tx, vault, 0), Catalogue.load(tx)


@projector(OPENED)
def _project_opened(_tx: Writing, _events: Sequence[Event]) -> None:
    """Entry 0 changes no table: the head carries the origin, and the rest is read from the entry itself."""
