"""Following one log: a checkpoint is believed when it extends the last one that was, and not before.

Entries are mirrored in slices, each one transaction. They continue our own compact range, so a signed root that they
lead to extends our last one by construction. Where they lead elsewhere the hash tiles decide: if these lead to the new
root and to another root at our size, the log signed two histories (forked); otherwise what is served does not fit
what was signed (inconsistent). See docs/following.md.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from ledger import followed
from ledger.clock import Clock
from ledger.database import Database
from ledger.followed import Followed
from ledger.following_faults import ABSENT, FOUND, Misbehaved, forked, signed_at, wanted
from ledger.outside import Outside, Unreachable
from verifiers import entry, note
from verifiers.checkpoint import LogPolicy, SignedCheckpoint, open_checkpoint
from verifiers.errors import Malformed, ProofFailed, Reason
from verifiers.merkle import (
    HASH_SIZE,
    Frontier,
    check_consistency,
    consistency_nodes,
    consistency_proof,
    leaf_hash,
    root_from,
    root_nodes,
)
from verifiers.peer_view import Watch
from verifiers.tiles import ENTRIES, WIDTH, Tile, format_bundle, hashes_from, parse_bundle, parse_hashes, tiles_for

BUNDLE_MAX: Final = WIDTH * (2 + entry.MAX_BYTES)
"""Longest entry bundle that is read: 256 leaves of the greatest length."""

BUNDLES_A_ROUND: Final = 64
"""Entry bundles fetched before the rest of a peer gets its turn: 16,384 entries, some 4 MB."""

COMPARED: Final = 256
"""Older checkpoints of one log that are remembered as compared."""

_SLICE: Final = 4096

HEARD: Final = 16
"""Checkpoints that others were shown and that are larger than ours, kept until we are there."""


class LogFollower:
    """Follows the log of one peer and stores what held; used by one task at a time.

    `lag_s` is how long a peer may show a checkpoint older than one we have seen before that is called a rollback:
    its hosts need not all be equally quick. `step_done` is called after each stored step.
    """

    def __init__(
        self,
        region: str,
        database: Database,
        outside: Outside,
        clock: Clock,
        *,
        mirror: bool,
        lag_s: float,
        step_done: Callable[[str], None],
    ) -> None:
        self._region = region
        self._database = database
        self._outside = outside
        self._clock = clock
        self._mirror = mirror
        self._lag = timedelta(seconds=lag_s)
        self._step_done = step_done
        self._compared: OrderedDict[tuple[int, bytes], None] = OrderedDict()
        self._heard: list[SignedCheckpoint] = []
        self._fresh_at: datetime | None = None
        self._good: Followed | None = None
        self.row = Followed(region, "")

    async def begin(self, origin: str) -> None:
        """Take up the log `origin` where it was left, or from its first entry. Raises `Overtaken`."""
        row = await self._database.read(lambda tx: followed.read_one(tx, self._region), cheap=True)
        if row is None or row.origin != origin:
            # A crash before this: nothing is known of the log, and this is done again.
            await self._database.write(lambda tx: followed.begin(tx, self._region, origin, row))
            row = Followed(self._region, origin)
            self._compared.clear()
            self._heard.clear()
            self._fresh_at = None
            self._step_done("begin")
        self.row = row

    async def look(self, base: str, policy: LogPolicy) -> bool:
        """Fetch the newest checkpoints and follow them; tell whether all that was signed is verified now.

        Raises `Misbehaved`, `Unreachable`, `Overtaken`, or `VerificationError` for what is no checkpoint of this log.
        """
        if policy.quorum:
            seen = await self._outside.get(f"{base}/log/checkpoint.witnessed", limit=note.MAX_BYTES)
            if seen.status == FOUND:
                await self.take(base, policy, open_checkpoint(seen.body, policy))
        answer = await self._outside.get(f"{base}/log/checkpoint", limit=note.MAX_BYTES)
        newest = open_checkpoint(wanted(answer, "the checkpoint"), policy)
        done = await self.take(base, policy, newest)
        self._refuse_to_go_back(newest, self._signed_at(newest, policy))
        return done

    async def take(self, base: str, policy: LogPolicy, checkpoint: SignedCheckpoint) -> bool:
        """Follow the log to a signed checkpoint, or compare it where it is older; tell whether that is complete.

        Raises `Misbehaved`, `Unreachable`, `Overtaken`.
        """
        row = self.row
        if checkpoint.size < row.size:
            await self._compare(base, checkpoint)
            return True
        if row.note and checkpoint.size == row.size:
            if checkpoint.root != row.root:
                raise forked(row.note, checkpoint.text, f"two roots were signed for size {row.size}")
        elif self._mirror:
            if not await self._follow(base, checkpoint):
                return False
        else:
            await self._consistent(base, row, checkpoint)
        await self._keep(checkpoint, self._signed_at(checkpoint, policy))
        return True

    def heard(self, checkpoint: SignedCheckpoint) -> None:
        """Remember a checkpoint of this log that somebody else was shown, until it can be compared."""
        if checkpoint.origin != self.row.origin:
            return  # asked for before the log we follow became another one: its history says nothing about this one's
        if all(each.text != checkpoint.text for each in self._heard):
            self._heard = [*self._heard, checkpoint][-HEARD:]

    async def compare_heard(self, base: str) -> bool:
        """See that what others were shown belongs to our history, as far as that goes; tell whether any was compared.

        Raises `Misbehaved`, `Unreachable`.
        """
        reached = [each for each in self._heard if each.size <= self.row.size]
        for each in reached:
            if each.size < self.row.size:
                await self._compare(base, each)
            elif each.root != self.row.root:
                raise forked(self.row.note, each.text, f"two roots were signed for size {each.size}")
            # More may have been heard meanwhile, and this one given up for it.
            self._heard = [other for other in self._heard if other is not each]
        return bool(reached)

    async def proof_from(self, base: str, old: int) -> list[bytes]:
        """Return the proof that the newest verified checkpoint extends the tree of `old` entries, from its tiles.

        Raises `Misbehaved`, `Unreachable`.
        """
        row = self.row
        return [] if old in (0, row.size) else (await self._root_at(base, old, row.size, row.root))[1]

    async def _keep(self, checkpoint: SignedCheckpoint, signed: datetime | None) -> None:
        row = self.row
        if row.note and checkpoint.size == row.size and not _later(signed, row.signed_at):
            return
        # A crash before this: the entries are there and lead to this checkpoint, which is fetched once more.
        await self._database.write(lambda tx: followed.verified(tx, row, checkpoint, signed))
        self.row = replace(row, size=checkpoint.size, root=checkpoint.root, note=checkpoint.text, signed_at=signed)
        if self.row.mirrored == self.row.size:
            self._good = self.row
        self._step_done("verified")

    def _signed_at(self, checkpoint: SignedCheckpoint, policy: LogPolicy) -> datetime | None:
        """When it was signed; a time yet to come is taken for now, so that it cannot hide a freeze."""
        signed = signed_at(checkpoint, policy)
        return None if signed is None else min(signed, self._clock.now())

    def _refuse_to_go_back(self, newest: SignedCheckpoint, signed: datetime | None) -> None:
        row, now = self.row, self._clock.now()
        if newest.size >= row.size:
            self._fresh_at = now
            return
        later = row.signed_at is not None and _later(signed, row.signed_at)
        since = self._fresh_at if self._fresh_at is not None else row.good_at
        if later or since is None or now - since >= self._lag:
            raise Misbehaved(
                Watch.ROLLED_BACK,
                "rollback",
                f"the newest checkpoint has size {newest.size}, after one of size {row.size} had been seen",
                evidence={"notes": [row.note, newest.text]},
                about=(str(row.size), str(newest.size)),
            )

    # --- entries ---------------------------------------------------------------------------------------------------

    async def _follow(self, base: str, checkpoint: SignedCheckpoint) -> bool:
        """Mirror up to `checkpoint`; false where it is too far for one round. Raises `Misbehaved`."""
        if self.row.mirrored > checkpoint.size:
            await self._cut()
        try:
            for _ in range(BUNDLES_A_ROUND):
                if self.row.mirrored >= checkpoint.size:
                    break
                await self._slice(base, checkpoint.size)
            else:
                if self.row.mirrored < checkpoint.size:
                    return False
            if Frontier.from_bytes(self.row.frontier).root() == checkpoint.root:
                return True
            fault = "the entries do not lead to the signed root"
        except Malformed as error:
            fault = f"an entry is not one: {error.detail}"
        before = self.row
        await self._cut()
        await self._consistent(base, before, checkpoint)
        raise Misbehaved(Watch.INCONSISTENT, "inconsistent", fault)

    async def _slice(self, base: str, size: int) -> None:
        """Fetch and store the entries of one bundle. Raises `Malformed` where they do not continue the chain."""
        row = self.row
        place = row.mirrored // WIDTH
        tile = Tile(ENTRIES, place, min(WIDTH, size - place * WIDTH))
        entries = parse_bundle(await self._tile(base, tile), tile.width)[row.mirrored - place * WIDTH :]
        frontier, chain = Frontier.from_bytes(row.frontier), row.chain
        for data in entries:
            if entry.parse(data).prev != chain:
                raise Malformed(Reason.ENTRY, f"entry {frontier.size} does not continue the one before")
            chain = leaf_hash(data)
            frontier.append(chain)
        # A crash before this: the bundle is fetched again. After: the mirror goes on from here.
        await self._database.write(lambda tx: followed.extend_mirror(tx, row, entries, frontier, chain))
        self.row = replace(row, mirrored=frontier.size, frontier=frontier.to_bytes(), chain=chain)
        self._step_done("slice")

    async def _cut(self) -> None:
        """Give up what was mirrored after the verified checkpoint; all of it where what lies before leads elsewhere."""
        row = self.row
        good = self._good
        if good is None or (good.origin, good.mirrored, good.root) != (row.origin, row.size, row.root):
            good = self._good = await self._read_good(row)
        frontier, chain = Frontier.from_bytes(good.frontier), good.chain
        # A crash before this: the entries lead nowhere again, and this is done again.
        await self._database.write(lambda tx: followed.cut_mirror(tx, row, frontier, chain))
        self.row = replace(row, mirrored=frontier.size, frontier=frontier.to_bytes(), chain=chain)
        self._step_done("cut")

    async def _read_good(self, row: Followed) -> Followed:
        """The mirror up to the verified checkpoint, computed from its entries: once, not whenever a peer lies.

        They are read in slices and written about once, so that nobody who issues waits for it.
        """
        frontier, chain = Frontier(), entry.FIRST_PREV
        end = min(row.size, row.mirrored)
        for start in range(0, end, _SLICE):
            stop = min(start + _SLICE, end)
            for data in await self._database.read(
                lambda tx, start=start, stop=stop: followed.read_mirrored(tx, row.origin, start, stop)  # type: ignore[misc]
            ):
                chain = leaf_hash(data)
                frontier.append(chain)
            await asyncio.sleep(0)
        if frontier.root() != row.root or frontier.size != row.size:
            frontier, chain = Frontier(), entry.FIRST_PREV
        return replace(row, mirrored=frontier.size, frontier=frontier.to_bytes(), chain=chain)

    # --- proofs from hash tiles ------------------------------------------------------------------------------------

    async def _compare(self, base: str, older: SignedCheckpoint) -> None:
        """See that an older signed checkpoint belongs to the history that we verified. Raises `Misbehaved`."""
        name = (older.size, older.root)
        if name in self._compared:
            return
        row = self.row
        if older.size:
            first = await self._root_at(base, older.size, row.size, row.root)
            if first[0] != older.root:
                detail = f"another root was signed for size {older.size}"
                raise forked(row.note, older.text, detail, first[1])
        self._compared[name] = None
        while len(self._compared) > COMPARED:
            self._compared.popitem(last=False)

    async def _consistent(self, base: str, row: Followed, newer: SignedCheckpoint) -> None:
        """See that a newer signed checkpoint extends the one we verified. Raises `Misbehaved`."""
        if row.size == 0:
            return
        if row.size == newer.size:
            found, proof = row.root, list[bytes]()
        else:
            found, proof = await self._root_at(base, row.size, newer.size, newer.root)
        if found != row.root or (row.size == newer.size and newer.root != row.root):
            detail = f"the checkpoint of size {newer.size} does not extend that of size {row.size}"
            raise forked(row.note, newer.text, detail, proof)

    async def _root_at(self, base: str, old: int, new: int, root: bytes) -> tuple[bytes, list[bytes]]:
        """The root that the tree of `new` leaves with this `root` had at size `old`, proven, with the proof.

        Raises `Misbehaved` (inconsistent) where the hash tiles do not lead to `root`.
        """
        nodes, ours = consistency_nodes(old, new), root_nodes(old)
        contents = {tile: await self._tile(base, tile) for tile in tiles_for([*nodes, *ours], new)}
        try:
            hashes = hashes_from([*nodes, *ours], new, contents)
            proof = consistency_proof(old, new, hashes[: len(nodes)])
            first = root_from(old, hashes[len(nodes) :])
            check_consistency(old, first, new, root, proof)
        except (ProofFailed, Malformed) as error:
            detail = f"the hash tiles do not lead to the signed root: {error.detail}"
            raise Misbehaved(Watch.INCONSISTENT, "inconsistent", detail) from None
        return first, proof

    async def _tile(self, base: str, tile: Tile) -> bytes:
        """Fetch a tile; a partial one that is gone is cut from the full one, which then exists (C2SP tlog-tiles)."""
        limit = BUNDLE_MAX if tile.level == ENTRIES else WIDTH * HASH_SIZE
        answer = await self._outside.get(f"{base}/log/{tile.path()}", limit=limit)
        if answer.status != ABSENT or tile.full:
            return wanted(answer, tile.path())
        full = Tile(tile.level, tile.place)
        data = wanted(await self._outside.get(f"{base}/log/{full.path()}", limit=limit), tile.path())
        if tile.level == ENTRIES:
            return format_bundle(_parsed(parse_bundle, data)[: tile.width])
        return b"".join(_parsed(parse_hashes, data)[: tile.width])


def _later(one: datetime | None, other: datetime | None) -> bool:
    return one is not None and (other is None or one > other)


def _parsed(parse: Callable[[bytes], list[bytes]], data: bytes) -> list[bytes]:
    try:
        return parse(data)
    except Malformed as error:
        raise Unreachable(f"a full tile that is none: {error.detail}") from None
