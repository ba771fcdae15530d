"""The catalogue in memory, renewed when the log says that it has changed."""

from __future__ import annotations

from sqlalchemy import select

from ledger.catalogue import Catalogue
from ledger.database import Reading
from ledger.tables.log import head


class CatalogueCache:
    """Holds the newest catalogue this process has seen; safe to use from the event loop and the writer's thread."""

    def __init__(self, first: Catalogue) -> None:
        # replaced as a whole, never changed: whoever holds an older one keeps a consistent view
        self._current = first

    @property
    def current(self) -> Catalogue:
        """The newest catalogue this process has seen."""
        return self._current

    def at(self, tx: Reading, idx: int) -> Catalogue:
        """Give the catalogue as of index `idx`, which is the one in force in `tx`."""
        if self._current.idx != idx:
            self._take(Catalogue.load(tx))
        return self._current

    def refresh(self, tx: Reading) -> None:
        """Load the catalogue again if another process has changed it."""
        idx = tx.scalar(select(head.c.catalogue_idx))
        if idx is not None:
            self.at(tx, idx)

    def _take(self, loaded: Catalogue) -> None:
        if loaded.idx >= self._current.idx:
            self._current = loaded
