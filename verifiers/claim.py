"""What a licence and a static code claim, in the one form that `verify` judges. Not part of the public face."""

import datetime as dt
from typing import Any, Final, NamedTuple

from verifiers.code import UnverifiedCode
from verifiers.commitment import code_digest, jws_digest
from verifiers.licence import UnverifiedLicence

_SHOWN = (
    "identifier", "version", "region", "issued_on", "valid_from", "valid_until",
    "number", "object", "holders", "fields", "imported",
)  # fmt: skip

CLAIMED: Final = "claimed_types"
"""Member of a verdict's content that repeats what a licence claims its type to be equal to: shown, never believed."""

_EQUALS = frozenset({"aka_vcts", "extends"})


class Claim(NamedTuple):
    """What a licence and a static code have in common once parsed; still unverified.

    `content` is what is shown of it if its signature holds.
    """

    is_code: bool
    signed: bytes
    signature: bytes
    valid_from: dt.date
    valid_until: dt.date | None
    status_idx: int
    issued_at: dt.datetime | None
    imported: bool
    content: dict[str, Any]

    @property
    def digest(self) -> bytes:
        """The SHA-256 of `signed` as the log commits to it; only a receipt is compared with that."""
        return code_digest(self.signed) if self.is_code else jws_digest(self.signed)


def claim_of_licence(licence: UnverifiedLicence) -> Claim:
    """What a parsed licence claims."""
    claims = licence.claims
    content: dict[str, Any] = {name: claims[name] for name in _SHOWN if name in claims}
    if not _EQUALS.isdisjoint(claims):
        content[CLAIMED] = {name: claims[name] for name in sorted(_EQUALS) if name in claims}
    signed = licence.signing_input
    return Claim(
        False,
        signed,
        licence.sd_jwt.jws.signature,
        licence.valid_from,
        licence.valid_until,
        licence.status_idx,
        licence.issued_at,
        licence.imported is not None,
        content,
    )


def claim_of_code(code: UnverifiedCode) -> Claim:
    """What a parsed static code claims."""
    payload = code.payload
    content = {
        "name": payload.name,
        "name_cut": payload.name_cut,
        "serial": payload.serial,
        "several_holders": payload.several_holders,
        "valid_from": payload.valid_from.isoformat(),
        "valid_until": None if payload.valid_until is None else payload.valid_until.isoformat(),
        "version": payload.version,
    }
    return Claim(
        is_code=True,
        signed=code.sig_structure,
        signature=code.signature,
        valid_from=payload.valid_from,
        valid_until=payload.valid_until,
        status_idx=payload.status_idx,
        issued_at=None,
        imported=False,
        content=content,
    )
