"""Licences by the million for `benchmarks.growth`: copies of a few prepared ones, each with a place of its own.

A region of ten million takes hours to fill through HTTP, most of it signing and sealing, which cost the same however
large the region is. What may change with size is what stands behind `Committer.commit`: the head's lock, conditions,
entries, records, every projection with its indexes, the tree, and publishing. A copy takes all of that. It is a licence
of another holder with another number, slot and identifier, so each index gets keys as it would from real ones; only the
sealed bytes of the record and of its key are those of the licence it was copied from, and its commitments are random.
So its record does not open, and an audit of such a region can only be one of the log.

`fill` is given a region that nobody serves, and runs its publisher beside the writing.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

from api.cli.example_region import EDUCATION
from api.composition import open_region
from api.settings import Settings
from benchmarks import prepared_entries
from benchmarks.prepared_entries import CHUNK
from benchmarks.requests import DIPLOMA, licence
from ledger import subjects
from ledger.bans import NotBanned
from ledger.bases import NumberFree
from ledger.events import SubjectPart
from ledger.ids import new_id, new_run
from ledger.lineage import BasisSound
from ledger.region import Region
from ledger.sealing import SealedProposal
from ledger.sequencing import read_head
from ledger.status_slots import Slot
from verifiers.encoding import b64u_encode
from verifiers.identifier import Identifier
from verifiers.legal_dates import day_of

TOGETHER: Final = 4
"""Chunks in one commit: 1,024 licences, about what the writer gathers from batches that never pause."""

LAST: Final = 100_000
"""Licences over which the rate of a fill is taken, at its end."""


def fill(settings: Settings, root: str, first: int, until: int, said: Callable[[int], None]) -> float:
    """Append licences from number `first` to `until`, each resting on `root`, to a region nobody serves.

    Waits until all of them are published. Returns how many a second were appended, over the last of them.
    """
    return asyncio.run(_filled(settings, root, first, until, said))


async def _filled(settings: Settings, root: str, first: int, until: int, said: Callable[[int], None]) -> float:
    region = await open_region(settings)
    committer = prepared_entries.committer_of(region)
    began, counted = time.perf_counter(), first
    try:
        # Numbers that no licence has: these are only copied.
        numbers = range(until, until + CHUNK)
        models = await prepared_entries.prepare(region, EDUCATION.id, numbers, rests_on=[root], signed=False)
        for start, stop in prepared_entries.spans(first, until, CHUNK * TOGETHER):
            if counted == first and start >= until - LAST:
                began, counted = time.perf_counter(), start
            batch: list[SealedProposal] = []
            for low, high in prepared_entries.spans(start, stop, CHUNK):
                slots = await region.slots.take(None, high - low)
                batch += copies(region, models, range(low, high), slots, root)
            # In a thread, so that the publisher has its turns.
            await asyncio.to_thread(prepared_entries.commit, committer, batch)
            said(stop)
        rate = (until - counted) / (time.perf_counter() - began)
        size = (await region.database.read(read_head)).size
        await region.publisher.published(size - 1)
    finally:
        committer.close()
        await region.close()
    return rate


def copies(
    region: Region, models: Sequence[SealedProposal], numbers: Sequence[int], slots: Sequence[Slot], root: str
) -> list[SealedProposal]:
    """Copy as many of `models` as there are `numbers`: each with its own holder, number, slot and identifiers."""
    run, today = new_run(), day_of(region.clock.now())
    made = []
    for model, number, slot in zip(models, numbers, slots, strict=False):
        request, random = licence(number), secrets.token_bytes(144)
        holder, serial, subject = request["holder"], request["number"], new_id(run)
        blind = region.vault.blind(holder["id_type"], holder["id"])
        free = NumberFree(DIPLOMA, EDUCATION.id, serial)
        (draft,) = model.drafts
        facts = draft.draft.facts | {
            "thing": new_id(run),
            "secret": b64u_encode(random[:32]),
            "serial": serial,
            "identifier": Identifier(DIPLOMA, EDUCATION.id, serial, 1).text,
            "slot": {"list": slot.list_num, "idx": slot.idx},
            "jws": b64u_encode(random[32:64]),
            "code": b64u_encode(random[64:96]),
            "holders": [{"subject": subject, "kind": "person"}],
        }
        introduces = {"kind": "person", "key": blind[0], "hmac": b64u_encode(blind[1])}
        parts = (SubjectPart(subject, {"introduces": introduces}),)
        copied = replace(draft.draft, facts=facts, ref=random[96:112], subjects=parts)
        touches = frozenset({free.lock, f"subject:{blind[0]}:{blind[1].hex()}"})
        conditions = (
            free,
            BasisSound("licence", root),
            NotBanned(subject, DIPLOMA, today),
            subjects.StillNew(*blind),
        )
        proposal = replace(
            model.proposal,
            drafts=[copied],
            touches=touches,
            conditions=conditions,
            slots=((slot.list_num, slot.idx),),
        )
        sealed = replace(draft, draft=copied, commit=random[112:144])
        made.append(replace(model, proposal=proposal, drafts=(sealed,), touches=touches | {facts["thing"]}))
    return made
