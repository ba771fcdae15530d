"""How identifiers of documents (证照标识) are kept: what the licence does not say of them, and a key to find them by.

Nearly every identifier is made of its licence's type, issuer and serial and of the version, so of eighty characters one
is kept, the check character. A whole one is kept where an import brought another, or where the department that made a
new version is not the one whose serial the licence bears.
"""

from __future__ import annotations

from hashlib import sha256
from typing import Final

from ledger.tables.licences import licence_versions, licences
from verifiers.identifier import ROOT

KEY_BYTES: Final = 12
"""Of SHA-256: among a thousand million identifiers two share a key with a chance of 1 in 10^11."""

PARTS: Final = (
    licence_versions.c.identifier_tail,
    licences.c.type,
    licences.c.issuer,
    licences.c.serial,
    licence_versions.c.version,
)
"""What `whole` takes, for a query that joins the two tables."""

_WHOLE: Final = "="


def key_of(identifier: str) -> bytes:
    """Return the key under which an identifier is found, and by which it is there once."""
    return sha256(identifier.encode()).digest()[:KEY_BYTES]


def tail_of(identifier: str, type_: str, issuer: str, serial: str, version: int) -> str:
    """Return what is kept of an identifier beside these parts of its licence."""
    known = _known(type_, issuer, serial, version)
    return identifier[len(known) :] if identifier.startswith(known) else _WHOLE + identifier


def whole(tail: str, type_: str, issuer: str, serial: str, version: int) -> str:
    """Return the identifier of which `tail` was kept."""
    return tail[1:] if tail.startswith(_WHOLE) else _known(type_, issuer, serial, version) + tail


def _known(type_: str, issuer: str, serial: str, version: int) -> str:
    return f"{ROOT}.{type_}.{issuer}.{serial}.{version:03d}."
