"""Signers of a key store, kept open while the log has not closed their keys."""

from __future__ import annotations

from keys.errors import RetiredKey, UnknownKey
from keys.signer import KeyStore, Signer
from ledger.catalogue import Catalogue
from ledger.errors import Code, Refusal
from ledger.region_keys import STATEMENT
from verifiers.entry import REGION


class Signers:
    """The signers one process has opened; used from its event loop."""

    def __init__(self, store: KeyStore) -> None:
        self._store = store
        self._held: dict[str, Signer] = {}

    def find(self, catalogue: Catalogue, department: str | None, purpose: str) -> Signer:
        """Give the signer of a department's key for `purpose`; `None` or `region` mean the region itself.

        Raises `Refusal` key.unknown or key.retired where the store cannot sign with it (any more).
        """
        theirs = department is not None and department != REGION
        own = STATEMENT if purpose == "statement" else purpose
        name = f"{department}/{purpose}" if theirs else own
        held = self._held.get(name)
        known = catalogue.keys.get(held.public_key.kid) if held is not None else None
        if held is None or known is None or known.closed_idx is not None:
            # A store may have to open a file or ask a token; a key the log has not closed need not be asked for again.
            try:
                held = self._held[name] = self._store.signer(name)
            except UnknownKey:
                raise Refusal(Code.KEY_UNKNOWN, None, key=name) from None
            except RetiredKey:
                raise Refusal(Code.KEY_RETIRED, None, key=name) from None
        return held
