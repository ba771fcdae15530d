"""Requests between regions, signed and opened (RFC 9421), as a pair.

One signature covers the method, the whole address, the body's digest (RFC 9530) and the name of the region that calls,
and says when it was made, when it ends, and a nonce. Anything beside exactly that is refused: a second signature,
another component, another parameter, another algorithm. The key is never taken from the request: whoever opens it
looks the `keyid` up in the trust list of the region named. See docs/formats/peer-calls.md.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum, auto
from typing import Any, Final

from http_message_signatures import (
    HTTPMessageSigner,
    HTTPMessageVerifier,
    HTTPSignatureAlgorithm,
    HTTPSignatureKeyResolver,
    InvalidSignature,
)
from http_message_signatures.exceptions import HTTPMessageSignaturesException

from keys.public_key import PublicKey
from keys.signer import Signer

TAG: Final = "elicence-peer"
LABEL: Final = "peer"
REGION_HEADER: Final = "Elicence-Region"
COVERED: Final = ("@method", "@target-uri", "elicence-region", "content-digest")
PARAMETERS: Final = frozenset({"created", "expires", "nonce", "keyid", "alg", "tag"})

LIFE_S: Final = 60
"""Seconds from `created` to `expires`: long enough for a slow network, short enough to remember every nonce."""
SKEW_S: Final = 60
"""How far the clocks of two regions may lie apart."""
NONCE_BYTES: Final = 16
_NONCE_MAX: Final = 64
_FIELDS_MAX: Final = 2048
"""Longest header of ours in characters; one signature takes about three hundred."""


class Fault(Enum):
    """Why a request does not count as signed."""

    MISSING = auto()
    INVALID = auto()
    KEY = auto()
    STALE = auto()


class BadRequestSignature(Exception):
    """A request is not signed as it must be; `detail` is safe to show."""

    def __init__(self, fault: Fault, detail: str) -> None:
        super().__init__(detail)
        self.fault = fault
        self.detail = detail


@dataclass(frozen=True, slots=True)
class Opened:
    """A signature that holds: the key's id, the nonce, and the moment after which the request no longer counts."""

    kid: str
    nonce: str
    until: datetime


@dataclass(slots=True)
class _Message:
    """A request as the library wants to see it."""

    method: str
    url: str
    headers: Any


class _Lines:
    """Header lines as they came in, repeated ones kept apart."""

    def __init__(self, lines: Iterable[tuple[str, str]]) -> None:
        self._lines = list(lines)

    def items(self) -> list[tuple[str, str]]:
        """Return every line in its order."""
        return self._lines


class _Es256(HTTPSignatureAlgorithm):
    """ECDSA over P-256 by our own keys; signing happens elsewhere, perhaps on another machine."""

    algorithm_id = "ecdsa-p256-sha256"

    def __init__(self, public_key: PublicKey | None = None, private_key: None = None) -> None:
        if public_key is None or public_key.suite != "ES256" or private_key is not None:
            raise HTTPMessageSignaturesException("only for checking, and only with an ES256 key")
        self._key = public_key

    def verify(self, signature: bytes, message: bytes) -> None:
        """Return if the signature holds. Raises `BadSignature`."""
        self._key.check(message, signature)


class _Keys(HTTPSignatureKeyResolver):
    def __init__(self, key_of: Callable[[str], PublicKey | None]) -> None:
        self._key_of = key_of

    def resolve_public_key(self, key_id: str) -> Any:
        """Return the key called `key_id`, as our own kind of key, which `_Es256` takes."""
        key = self._key_of(key_id)
        if key is None:
            raise _UnknownKey
        return key


class _UnknownKey(Exception):
    """The trust list names no such key for this purpose."""


class _Verifier(HTTPMessageVerifier):
    """The library's verifier with our clock, our one set of parameters and our limits."""

    def __init__(self, key_of: Callable[[str], PublicKey | None], at: datetime) -> None:
        super().__init__(signature_algorithm=_Es256, key_resolver=_Keys(key_of))
        self._at = at

    def validate_created_and_expires(self, sig_input: Any, max_age: timedelta | None = None) -> None:  # noqa: ARG002
        """Check the parameters, of which types the library has checked, against `at`."""
        given = dict(sig_input.params)
        if given.keys() != PARAMETERS or given["tag"] != TAG or given["alg"] != _Es256.algorithm_id:
            raise BadRequestSignature(Fault.INVALID, "not the parameters of a call between regions")
        if [item.value for item in sig_input] != list(COVERED) or any(item.params for item in sig_input):
            raise BadRequestSignature(Fault.INVALID, f"covers other things than {', '.join(COVERED)}")
        if not 16 <= len(given["nonce"]) <= _NONCE_MAX:
            raise BadRequestSignature(Fault.INVALID, "a nonce of the wrong length")
        created, expires, now = given["created"], given["expires"], int(self._at.timestamp())
        if not created < expires <= created + LIFE_S:
            raise BadRequestSignature(Fault.INVALID, f"lives longer than {LIFE_S} s")
        if created > now + SKEW_S or expires < now - SKEW_S:
            raise BadRequestSignature(Fault.STALE, f"made at {created}, and it is {now}")


async def sign_request(
    signer: Signer, *, region: str, method: str, url: str, body: bytes, at: datetime
) -> dict[str, str]:
    """Return the headers that make a request of `region` to `url` one that other regions answer."""
    message = _Message(method, url, {REGION_HEADER: region})
    made = at.astimezone(UTC).replace(microsecond=0)
    pen = HTTPMessageSigner(signature_algorithm=_Es256)
    prepared = pen.prepare(
        message,
        key_id=signer.public_key.kid,
        created=made,
        expires=made + timedelta(seconds=LIFE_S),
        nonce=secrets.token_urlsafe(NONCE_BYTES),
        label=LABEL,
        tag=TAG,
        covered_component_ids=COVERED[:-1],
        body=body,  # whose digest the library adds, as the last component
    )
    (signature,) = await signer.sign([prepared.signature_base])
    pen.apply(message, prepared, signature)
    headers: dict[str, str] = message.headers
    return headers


def open_request(
    lines: Iterable[tuple[str, str]],
    *,
    method: str,
    url: str,
    body: bytes,
    at: datetime,
    key_of: Callable[[str], PublicKey | None],
) -> Opened:
    """Return the one signature of a request whose headers are `lines`; `key_of` gives the key with a `keyid`.

    Raises `BadRequestSignature`.
    """
    kept = [(name.lower(), value) for name, value in lines]
    if not any(name == "signature-input" for name, _ in kept):
        raise BadRequestSignature(Fault.MISSING, "no Signature-Input")
    ours = ("signature", "signature-input", "content-digest", REGION_HEADER.lower())
    if any(sum(each == name for each, _ in kept) != 1 for name in ours):
        raise BadRequestSignature(Fault.INVALID, "a header is missing or stands there twice")
    if any(len(value) > _FIELDS_MAX for name, value in kept if name in ours):
        raise BadRequestSignature(Fault.INVALID, "a header is too long")
    message = _Message(method, url, _Lines((name, value) for name, value in kept if name in ours))
    try:
        # Without a tag or label to select by, the library refuses whatever has more than one signature.
        (found,) = _Verifier(key_of, at).verify(message, max_age=None, body=body)
    except InvalidSignature as error:
        if isinstance(error.__cause__, _UnknownKey):
            raise BadRequestSignature(Fault.KEY, "no key of that name for calls between regions") from error
        raise BadRequestSignature(Fault.INVALID, "the signature does not hold") from error
    except HTTPMessageSignaturesException as error:
        raise BadRequestSignature(Fault.INVALID, "not a signature of the form agreed") from error
    given = found.parameters
    until = datetime.fromtimestamp(int(given["expires"]), UTC) + timedelta(seconds=SKEW_S)
    return Opened(str(given["keyid"]), str(given["nonce"]), until)
