"""The open claims of a licence, which every reader sees: read strictly, and quickly where they are as usual."""

import datetime as dt
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from verifiers.errors import Malformed, Reason
from verifiers.legal_dates import day_begins, parse_date
from verifiers.members import Members

HOLDER_KINDS: Final = frozenset({"person", "organisation"})
ASSURANCES: Final = frozenset({"declared", "checked"})
_URI = re.compile(r"https?://[!-~]{1,500}")
_INTEGRITY = re.compile(r"sha256-[A-Za-z0-9+/]{43}=")
_REGION = re.compile(r"[0-9]{6}")
_IDENTIFIER = re.compile(r"[0-9A-Z.]{8,160}")


@dataclass(frozen=True, slots=True)
class Imported:
    """What is said of a licence that was issued elsewhere before and taken over: by whom, when, how sure we are."""

    issuer: str
    issued_on: dt.date
    assurance: str
    warnings: tuple[str, ...] = ()


OpenClaims = tuple[
    str, int, int | None, int | None, str, str, str, int, str,
    dt.date, dt.date, dt.date | None, str, int, Imported | None,
]  # fmt: skip
"""The members of `licence.UnverifiedLicence` from `iss` on, in their order."""

_TEXTS_AND_NUMBERS = (*(str,) * 8, *(int,) * 3)


def usual_claims(payload: dict[str, Any]) -> OpenClaims | None:
    """What `read_claims` gives, where every claim is as it usually is; `None` leaves what is not to that.

    Most of these texts are those of the licence before: what was found good of them is remembered by themselves.
    """
    if "imported" in payload or "nbf" in payload:
        return None
    try:
        iss, vct, integrity, identifier = (
            payload["iss"],
            payload["vct"],
            payload["vct#integrity"],
            payload["identifier"],
        )
        iat, version, region, status = payload["iat"], payload["version"], payload["region"], payload["status"]
        issued_on, valid_from, listed = payload["issued_on"], payload["valid_from"], status["status_list"]
        idx, uri = listed["idx"], listed["uri"]
    except (KeyError, TypeError):
        return None
    if type(status) is not dict or len(status) != 1 or type(listed) is not dict or len(listed) != 2:
        return None
    kinds = (*map(type, (iss, vct, integrity, identifier, region, uri, issued_on, valid_from, iat, version, idx)),)
    if kinds != _TEXTS_AND_NUMBERS or not (0 <= iat <= 2**37 and 1 <= version <= 999 and 0 <= idx < 2**53):
        return None
    if not _IDENTIFIER.fullmatch(identifier) or not _well_formed(iss, vct, integrity, region, uri):
        return None
    until = exp = None
    try:
        if "valid_until" in payload or "exp" in payload:
            until, exp = parse_date(payload["valid_until"]), payload["exp"]
            if type(exp) is not int or not -(2**40) <= exp < 2**53:
                return None
        issued, begins = parse_date(issued_on), parse_date(valid_from)
    except (KeyError, TypeError, ValueError):
        return None
    return iss, iat, None, exp, vct, integrity, identifier, version, region, issued, begins, until, uri, idx, None


@lru_cache(maxsize=1024)
def _well_formed(iss: str, vct: str, integrity: str, region: str, uri: str) -> bool:
    forms = ((_URI, iss), (_URI, vct), (_INTEGRITY, integrity), (_REGION, region), (_URI, uri))
    return all(form.fullmatch(text) for form, text in forms)


def read_status(members: Members) -> tuple[int, str]:
    """The slot and the URI of the status list. Raises `Malformed` with `licence.malformed`."""
    return members.object("status", _status)


def read_claims(members: Members, status: tuple[int, str]) -> OpenClaims:
    """The other open claims beside `status`. Raises `Malformed` with `licence.malformed`."""
    status_idx, status_uri = status
    return (
        members.text("iss", _URI),
        members.integer("iat", 0, 2**37),
        members.optional("nbf", members.integer),
        members.integer("exp", -(2**40)) if members.has("exp") else None,
        members.text("vct", _URI),
        members.text("vct#integrity", _INTEGRITY),
        members.text("identifier", _IDENTIFIER),
        members.integer("version", 1, 999),
        members.text("region", _REGION),
        members.date("issued_on"),
        members.date("valid_from"),
        members.optional("valid_until", members.date),
        status_uri,
        status_idx,
        members.object("imported", _imported) if members.has("imported") else None,
    )


def _status(members: Members) -> tuple[int, str]:
    _skip_decoys(members)
    return members.object("status_list", _status_reference)


def _status_reference(members: Members) -> tuple[int, str]:
    _skip_decoys(members)
    return members.integer("idx"), members.text("uri", _URI)


def _skip_decoys(members: Members) -> None:
    """Other makers put decoy digests into every object; what must be open is still read from the open members."""
    members.optional("_sd", members.texts)


def _imported(members: Members) -> Imported:
    _skip_decoys(members)
    return Imported(
        members.text("issuer"),
        members.date("issued_on"),
        members.one_of("assurance", ASSURANCES),
        members.texts("warnings", 32),
    )


def check_claims(
    payload: dict[str, Any], iat: int, nbf: int | None, exp: int | None, valid_from: dt.date, until: dt.date | None
) -> None:
    """Check that holders and fields are there, and that machine times say what the legal dates say.

    Two verifiers would disagree otherwise. Raises `Malformed` with `licence.malformed`.
    """
    _check_holders(payload.get("holders"))
    if type(payload.get("fields")) is not dict:
        raise Malformed(Reason.LICENCE, "/fields is not an object")
    begins, expected_exp = _legal_times(valid_from, until)
    expected_nbf = begins if begins > iat else None
    if exp != expected_exp or nbf != expected_nbf:
        raise Malformed(Reason.LICENCE, "nbf or exp differ from the legal dates")
    if until is not None and until < valid_from:
        raise Malformed(Reason.LICENCE, "valid_until lies before valid_from")


def _check_holders(holders: Any) -> None:
    if type(holders) is not list or not 1 <= len(holders) <= 64:
        raise Malformed(Reason.LICENCE, "/holders is not an array of 1 to 64 holders")
    for holder in holders:
        kind = holder.get("kind") if type(holder) is dict else None
        if type(kind) is not str or kind not in HOLDER_KINDS:  # a list could not even be looked up
            raise Malformed(Reason.LICENCE, "/holders has an element without a known kind")


@lru_cache(maxsize=4096)
def _legal_times(valid_from: dt.date, until: dt.date | None) -> tuple[int, int | None]:
    # Not the beginning of the day after: the last day that a calendar holds has none.
    return day_begins(valid_from), None if until is None else day_begins(until) + 86_400
