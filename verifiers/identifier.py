"""Licence identifiers (证照标识, GB/T 36904-2018): six parts, one of them a check character.

    1.2.156.3005.2 . type code [21] . issuer code [18] . serial . version [3 digits] . check

The type code is the defining authority's USCC and three digits or letters; the check character is ISO 7064
MOD 37,36 over the four middle parts joined without dots. See docs/formats/identifier.md.
"""

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from verifiers.identity import uscc_findings

ROOT: Final = "1.2.156.3005.2"
"""The root object identifier, fixed by the standard."""

SERIAL_LENGTH_MAX: Final = 40
"""Longest serial we issue, so that the printed code stays within its limit (docs/formats/static-code.md)."""

_CHARACTERS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_VALUES = {character: value for value, character in enumerate(_CHARACTERS)}
# One step of the hybrid system (ISO 7064 §8): add modulo 36, 0 counting as 36, and double modulo 37.
_STEP = [[((product + value) % 36 or 36) * 2 % 37 for value in range(36)] for product in range(37)]
_TYPE_CODE = re.compile(r"[0-9A-Z]{21}")
_ISSUER = re.compile(r"[0-9A-Z]{18}")
_SERIAL = re.compile(r"[0-9A-Z]{1,40}")
_VERSION = re.compile(r"[0-9]{3}")
_LENGTH_MAX = 160


class IdentifierFinding(StrEnum):
    """One thing that is wrong with an identifier; the closed list shared by issuing and import."""

    SHAPE = "identifier.shape"
    TYPE_CODE = "identifier.type_code"
    ISSUER = "identifier.issuer"
    SERIAL = "identifier.serial"
    VERSION = "identifier.version"
    CHECK = "identifier.check"


@dataclass(frozen=True, slots=True)
class Identifier:
    """One licence identifier: `type_code` (21 characters), `issuer` (18), `serial`, `version` 1 to 999.

    Raises `ValueError` when a part has the wrong shape; use `identifier_findings` on text from outside.
    """

    type_code: str
    issuer: str
    serial: str
    version: int

    def __post_init__(self) -> None:
        if not _TYPE_CODE.fullmatch(self.type_code):
            raise ValueError("a type code has 21 characters 0-9 A-Z")
        if not _ISSUER.fullmatch(self.issuer):
            raise ValueError("an issuer code has 18 characters 0-9 A-Z")
        if not _SERIAL.fullmatch(self.serial):
            raise ValueError("a serial has 1 to 40 characters 0-9 A-Z")
        if not 1 <= self.version <= 999:
            raise ValueError("a version is 1 to 999")

    @property
    def check(self) -> str:
        """The check character, ISO 7064 MOD 37,36."""
        return check_character(f"{self.type_code}{self.issuer}{self.serial}{self.version:03d}")

    @property
    def text(self) -> str:
        """The dotted form that is printed on the licence."""
        return f"{ROOT}.{self.type_code}.{self.issuer}.{self.serial}.{self.version:03d}.{self.check}"


def check_character(body: str) -> str:
    """The ISO 7064 MOD 37,36 check character of `body` (digits and upper-case letters).

    Raises `ValueError` for any other character.
    """
    product = 36
    try:
        for character in body:
            product = _STEP[product][_VALUES[character]]
    except KeyError as error:
        raise ValueError("only digits and letters A-Z have a check character") from error
    return _CHARACTERS[(37 - product) % 36]


def parse_identifier(text: str) -> Identifier:
    """The identifier that `text` spells.

    Raises `ValueError` naming the first finding when there is any.
    """
    findings = identifier_findings(text)
    if findings:
        raise ValueError(findings[0].value)
    _, type_code, issuer, serial, version, _ = _split(text) or ("",) * 6
    return Identifier(type_code, issuer, serial, int(version))


def identifier_findings(text: str) -> tuple[IdentifierFinding, ...]:
    """What is wrong with an identifier; an empty tuple when nothing is.

    Real ones carry a region code where the issuer belongs, or a check character from a routine that counted
    letters wrongly. Our own issuing refuses any finding; import records them as warnings.
    """
    parts = _split(text)
    if parts is None:
        return (IdentifierFinding.SHAPE,)
    root, type_code, issuer, serial, version, check = parts
    if root != ROOT:
        return (IdentifierFinding.SHAPE,)
    found = []
    if not _TYPE_CODE.fullmatch(type_code):
        found.append(IdentifierFinding.TYPE_CODE)
    if uscc_findings(issuer):
        found.append(IdentifierFinding.ISSUER)
    if not _SERIAL.fullmatch(serial):
        found.append(IdentifierFinding.SERIAL)
    if not _VERSION.fullmatch(version) or version == "000":
        found.append(IdentifierFinding.VERSION)
    try:
        right = check_character(type_code + issuer + serial + version) == check
    except ValueError:
        right = False
    if not right:
        found.append(IdentifierFinding.CHECK)
    return tuple(found)


def _split(text: str) -> tuple[str, str, str, str, str, str] | None:
    """Root and the five parts after it, or `None` where the text has another number of parts."""
    if len(text) > _LENGTH_MAX:
        return None
    head, *rest = text.rsplit(".", 5)
    if len(rest) != 5:
        return None
    type_code, issuer, serial, version, check = rest
    return head, type_code, issuer, serial, version, check
