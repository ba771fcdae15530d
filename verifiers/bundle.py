"""The bundle: everything needed to check one licence without a network, as one canonical JSON document.

    {"code", "events", "exported_at", "licence", "receipt", "secret", "status_list", "trust_list", "v"}

Nothing in it is believed because it is in it: `verify` opens the trust list under the verifier's own pinned root, the
status list under that trust list, and so on. `exported_at` is for people and decides nothing. See
docs/formats/bundle.md.
"""

import datetime as dt
from dataclasses import dataclass, field
from typing import Any, Final

from verifiers import canonical
from verifiers.encoding import b64u_encode
from verifiers.errors import Malformed, Reason
from verifiers.legal_dates import format_time
from verifiers.members import Members

LENGTH_MAX: Final = 67_108_864
"""Longest bundle in bytes: a trust list and a status list of the largest size allowed."""

EVENTS_MAX: Final = 1000


@dataclass(frozen=True, slots=True)
class Bundle:
    """One unverified bundle: `licence` (compact) or `code` (text) or both; all other parts as their own formats say.

    `secret` is the 32 bytes from which the `ref` of each event of this licence follows; `events` are the receipts of
    later events.
    """

    licence: str | None
    code: str | None
    receipt: str
    secret: bytes = field(repr=False)
    trust_list: str
    status_list: str
    exported_at: dt.datetime
    events: tuple[str, ...] = ()


def format_bundle(bundle: Bundle) -> bytes:
    """The canonical JSON of `bundle`. Raises `ValueError` where it holds neither licence nor code."""
    if bundle.licence is None and bundle.code is None:
        raise ValueError("a bundle holds a licence, a code or both")
    return canonical.encode(
        {
            "code": bundle.code,
            "events": list(bundle.events),
            "exported_at": format_time(bundle.exported_at),
            "licence": bundle.licence,
            "receipt": bundle.receipt,
            "secret": b64u_encode(bundle.secret),
            "status_list": bundle.status_list,
            "trust_list": bundle.trust_list,
            "v": 1,
        }
    )


def parse_bundle(data: bytes) -> Bundle:
    """The bundle that `data` spells; one line feed at its end, as editors add, is dropped.

    Raises `Malformed` with `bundle.malformed`.
    """
    try:
        document: Any = canonical.decode(data.removesuffix(b"\n"), LENGTH_MAX)
    except Malformed as error:
        raise Malformed(Reason.BUNDLE, error.detail) from None
    members = Members(document, Reason.BUNDLE)
    members.integer("v", 1, 1)
    bundle = Bundle(
        licence=members.nullable("licence", members.text),
        code=members.nullable("code", members.text),
        receipt=members.text("receipt"),
        secret=members.octets("secret", 32),
        trust_list=members.text("trust_list"),
        status_list=members.text("status_list"),
        exported_at=members.time("exported_at"),
        events=members.texts("events", EVENTS_MAX),
    )
    members.done()
    if bundle.licence is None and bundle.code is None:
        raise Malformed(Reason.BUNDLE, "neither licence nor code")
    return bundle
