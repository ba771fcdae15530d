"""Bundles: everything somebody needs to check one licence without a network, put together when asked for.

Licence, code, receipt, trust list and status list as they are served this moment, and the receipts of later events of
the licence. A bundle ages: what it says of status is as old as its status list (docs/formats/bundle.md).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import select

from ledger import trust_publishing
from ledger.database import Reading
from ledger.documents import code_of, compact_of
from ledger.errors import Code, Refusal
from ledger.events import Event
from ledger.history import load_event
from ledger.licences import entry_of
from ledger.receipts import counting_size, receipt_of, receipts_of, shown_size
from ledger.status_tokens import path_of
from ledger.tables.licences import licence_versions, licences
from ledger.tables.log import thing_events
from verifiers.bundle import EVENTS_MAX, Bundle, format_bundle

if TYPE_CHECKING:
    from ledger.region import Region


async def bundle_of(region: Region, licence: str, version: int | None = None) -> bytes:
    """Return the bundle of a licence's document, the current one by default, as canonical JSON.

    Waits until a checkpoint covers the document. Raises `Refusal` licence.unknown, licence.erased, trust_list.unknown
    or status_list.unknown where those are not published yet.
    """
    found = await region.database.read(lambda tx: _find(tx, region, licence, version))
    event, secret, list_num, later, size = found
    trust_list = region.files.read(trust_publishing.LATEST)
    if trust_list is None:
        raise Refusal(Code.TRUST_LIST_UNKNOWN)
    status_list = region.files.read(path_of(list_num))
    if status_list is None:
        raise Refusal(Code.STATUS_LIST_UNKNOWN, list=list_num)
    receipt = await receipt_of(region, event.idx, size=size, wait=True)
    # Events that no checkpoint covers yet are left out: the status list, which is newer, speaks of them already.
    shown = await shown_size(region)
    covered = [idx for idx in later if idx < shown]
    return format_bundle(
        Bundle(
            licence=compact_of(event, region.catalogue),
            code=code_of(event, region.base_url),
            receipt=receipt,
            secret=secret,
            trust_list=trust_list.decode("ascii"),
            status_list=status_list.decode("ascii"),
            exported_at=region.clock.now(),
            events=tuple(await receipts_of(region, covered)),
        )
    )


def _find(
    tx: Reading, region: Region, licence: str, version: int | None
) -> tuple[Event, bytes, int, list[int], int | None]:
    event = load_event(tx, region.vault, entry_of(tx, licence, version))
    row = tx.execute(select(licence_versions).where(licence_versions.c.idx == event.idx)).one()
    owner = tx.execute(select(licences).where(licences.c.id == licence)).one()
    following = (thing_events.c.thing == licence) & (thing_events.c.n > event.n)
    newest_first = select(thing_events.c.idx).where(following).order_by(thing_events.c.n.desc()).limit(EVENTS_MAX)
    later = sorted(tx.execute(newest_first).scalars())
    size = counting_size(tx, region.catalogue, region.origin, event.idx)
    return event, bytes(owner.secret), row.list_num, later, size
