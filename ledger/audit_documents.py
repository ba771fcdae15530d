"""The audit of licences that are kept as what they were built from: does it still build what was signed?

The statement names the digests of the licence's signing input and of its code's; the record holds fields, seeds and
signatures (docs/formats/record.md). Whatever else an edit or a later program changed, those digests cannot follow.
"""

from __future__ import annotations

from typing import Final

from ledger.audit_report import Artefact, Report
from ledger.catalogue import Catalogue
from ledger.database import Reading
from ledger.documents import compact_of, cose_of
from ledger.errors import Refusal
from ledger.events import Event
from ledger.licence_events import IMPORTED, ISSUED, VERSIONED

_DOCUMENTS: Final = frozenset({ISSUED, IMPORTED, VERSIONED})


class DocumentAudit:
    """Writes every document again, with the catalogue that the replay in `replayed` has come to."""

    def __init__(self, replayed: Reading, report: Report) -> None:
        self._replayed = replayed
        self._report = report
        self._catalogue: Catalogue | None = None

    def moved_on(self) -> None:
        """Take down that the catalogue has changed."""
        self._catalogue = None

    def check(self, event: Event) -> None:
        """Write the document of `event` again, unless it is none or its first holder was erased."""
        if event.event not in _DOCUMENTS or event.subjects[0] is None:
            return
        if self._catalogue is None:
            self._catalogue = Catalogue.load(self._replayed)
        try:
            compact_of(event, self._catalogue)
            cose_of(event)
        except Refusal as refusal:
            why = str(refusal.facts.get("why", refusal.code))
            self._report.add(Artefact.RECORD, f"record {event.idx} part 1", why)
        else:
            self._report.count("documents")
