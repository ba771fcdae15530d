"""Rows of a trust list that are as they usually are, read in fewer steps than `Members` takes and with the same result.

Each function gives what `read` of its class gives of a row, or `None` for what is not plainly in order: that is then
read member by member, which says what is wrong with it. What is given here prints as the very row it was read from.
"""

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from keys.errors import BadKey
from keys.public_key import PublicKey
from verifiers.encoding import b64u_decode
from verifiers.errors import Malformed
from verifiers.trust_document import (
    ACTS,
    AREA,
    DEPARTMENT_ID,
    DEPARTMENT_STATES,
    INTEGRITY,
    ORIGIN,
    PURPOSES,
    RECEIPT_RULES,
    TYPE_CODE,
    URI,
    Department,
    Names,
    Position,
    StatusListName,
    TrustedGrant,
    TrustedKey,
    TrustedType,
)

_ABSENT: Any = object()
_STR = frozenset({str})


def usual_department(row: dict[str, Any]) -> Department | None:
    """A department that is active or closed without successor."""
    if len(row) != 5:
        return None
    id_, number, iss, status, names = row["id"], row["num"], row["iss"], row["status"], row["names"]
    if type(number) is not int or not 0 <= number <= 0xFFFF or not _are_texts(id_, iss, status):
        return None
    known = _names(names)
    if known is None or status not in DEPARTMENT_STATES or not _match(DEPARTMENT_ID, id_) or not _match(URI, iss):
        return None
    return Department(id_, number, known, iss, status)


def usual_key(row: dict[str, Any]) -> TrustedKey | None:
    """A certified key of a department or the region whose term has not ended."""
    department = row.get("department")
    if len(row) != (6 if department is None else 7):
        return None
    suite, spki, kid, purpose, certified = row["suite"], row["spki"], row["kid"], row["purpose"], row["cert_sha256"]
    if not _are_texts(suite, spki, kid, purpose, certified) or purpose not in PURPOSES:
        return None
    if department is not None and not (type(department) is str and _match(DEPARTMENT_ID, department)):
        return None
    start, key = _position(row["log_from"]), _public_key(suite, spki)
    if start is None or key.kid != kid:
        return None
    return TrustedKey(purpose, key, start, department, b64u_decode(certified, 32))


def usual_grant(row: dict[str, Any]) -> TrustedGrant | None:
    """A grant, ended or not."""
    end = row.get("log_to", _ABSENT)
    if len(row) != (6 if end is _ABSENT else 7):
        return None
    department, type_, major, area, acts = row["department"], row["type"], row["major"], row["area"], row["acts"]
    if not _are_texts(department, type_, area) or type(major) is not int or not 1 <= major <= 999:
        return None
    if type(acts) is not list or not 0 < len(acts) <= 16 or not _are_texts(*acts) or not ACTS.issuperset(acts):
        return None
    start, ended = _position(row["log_from"]), None if end is _ABSENT else _position(end)
    if start is None or (ended is None) != (end is _ABSENT) or sorted(acts) != acts:
        return None
    if not (_match(DEPARTMENT_ID, department) and _match(TYPE_CODE, type_) and _match(AREA, area)):
        return None
    return TrustedGrant(department, type_, major, area, tuple(acts), start, ended)


def usual_type(row: dict[str, Any]) -> TrustedType | None:
    """A licence type."""
    if len(row) != 8:
        return None
    number, code, major, vct = row["num"], row["code"], row["major"], row["vct"]
    integrity, grace, receipt = row["integrity"], row["grace_s"], row["receipt"]
    if not (type(number) is type(major) is type(grace) is int and type(integrity) is list):
        return None
    if not (0 <= number <= 0xFFFF and 1 <= major <= 999 and 0 <= grace <= 31_622_400 and len(integrity) <= 1000):
        return None
    names = _names(row["names"])
    if names is None or not _are_texts(code, vct, receipt, *integrity) or receipt not in RECEIPT_RULES:
        return None
    if not (_match(TYPE_CODE, code) and _match(URI, vct) and all(INTEGRITY.fullmatch(one) for one in integrity)):
        return None
    rule: Any = receipt
    return TrustedType(number, code, major, vct, tuple(integrity), names, grace, rule)


def usual_status_list(row: dict[str, Any]) -> StatusListName | None:
    """The name of a status list."""
    number, uri = row["num"], row["uri"]
    if len(row) != 2 or type(number) is not int or not 0 <= number <= 0xFFFF or type(uri) is not str:
        return None
    return StatusListName(number, uri) if _match(URI, uri) else None


def tried(read: Callable[[dict[str, Any]], Any]) -> Callable[[Any], Any]:
    """`read`, with `None` for all that it could not even look at."""

    def quick(row: Any) -> Any:
        try:
            return read(row) if type(row) is dict else None
        except (KeyError, TypeError, Malformed, BadKey):
            return None

    return quick


def _are_texts(*values: Any) -> bool:
    return set(map(type, values)) <= _STR


def _names(row: Any) -> Names | None:
    if type(row) is not dict or len(row) != 2 or not _are_texts(row["zh"], row["en"]):
        return None
    return Names(row["zh"], row["en"])


def _position(row: Any) -> Position | None:
    origin, size, root = row["origin"], row["size"], row["root"]
    # Looked at before the cache, to which true is 1.
    if type(row) is not dict or len(row) != 3 or type(size) is not int or not _are_texts(origin, root):
        return None
    return _known_position(origin, size, root)


@lru_cache(maxsize=1024)
def _known_position(origin: str, size: int, root: str) -> Position | None:
    """Rows by the hundred begin at the same few places of a log."""
    if not 0 <= size < 2**53 or not ORIGIN.fullmatch(origin):
        return None
    return Position(origin, size, b64u_decode(root, 32))


@lru_cache(maxsize=4096)
def _public_key(suite: str, spki: str) -> PublicKey:
    """The key in base64url. Raises `Malformed` or `BadKey`."""
    return PublicKey(suite, b64u_decode(spki))


@lru_cache(maxsize=8192)
def _match(form: re.Pattern[str], text: str) -> bool:
    return form.fullmatch(text) is not None
