"""SD-JWT (RFC 9901): a signed JSON object whose members can be shown one by one.

    <JWT>~<disclosure>~…~<disclosure>~[<key binding JWT>]

A disclosure is base64url of `[salt, name, value]` (of `[salt, value]` for an array element); the JWT carries only its
SHA-256 digest. This file knows nothing of licences. `resolve` follows RFC 9901 §7.1 step by step: each digest at most
once, each disclosure referenced, children only below a shown parent, unknown digests (decoys) left out.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final

import orjson

from verifiers.encoding import b64u_decode, b64u_encode
from verifiers.errors import Malformed, Reason
from verifiers.jws import Jws, parse_jws, read_json

DISCLOSURES_MAX: Final = 512
"""Most disclosures in one presentation; a licence with forty holders and a hundred fields has fewer."""

DISCLOSURE_LENGTH_MAX: Final = 262_144
"""Longest disclosure in characters; a photograph on a licence is at most 50 KB."""

LENGTH_MAX: Final = 2_097_152
"""Longest presentation in characters."""

DEPTH_MAX: Final = 16
"""Deepest nesting of claims we walk."""

_RESERVED: Final = frozenset({"_sd", "..."})

Path = tuple[str | int, ...]
"""Where a claim stands: member names and array positions from the top."""


@dataclass(frozen=True, slots=True)
class SdJwt:
    """One parsed, *unverified* SD-JWT; `key_binding` is the text after the last tilde, if any."""

    jws: Jws
    token: str
    disclosures: tuple[str, ...]
    key_binding: str | None


def make_disclosure(salt: bytes, name: str, value: Any) -> tuple[str, str]:
    """The disclosure of member `name` with a 16-byte `salt`, and its digest, both as base64url text."""
    text = b64u_encode(orjson.dumps([b64u_encode(salt), name, value], option=orjson.OPT_SORT_KEYS))
    return text, digest_of(text)


def digest_of(disclosure: str) -> str:
    """The digest by which a payload refers to `disclosure`: over its very text (RFC 9901 §4.2.3)."""
    return b64u_encode(sha256(disclosure.encode("ascii")).digest())


def parse_sd_jwt(text: str, *, typ: str, reason: Reason) -> SdJwt:
    """The parts of a compact SD-JWT of kind `typ`.

    Raises `Malformed` with `reason`; with `disclosure.malformed` for the parts after the first tilde.
    """
    if len(text) > LENGTH_MAX:
        raise Malformed(reason, f"longer than {LENGTH_MAX} characters")
    token, *rest = text.split("~")
    if not rest:
        raise Malformed(reason, "no tilde after the token")
    binding = rest.pop()
    if len(rest) > DISCLOSURES_MAX:
        raise Malformed(Reason.DISCLOSURE, f"more than {DISCLOSURES_MAX} disclosures")
    if "" in rest or any(len(one) > DISCLOSURE_LENGTH_MAX for one in rest):
        raise Malformed(Reason.DISCLOSURE, "an empty or oversized disclosure")
    if not text.isascii() and token.isascii():
        raise Malformed(Reason.DISCLOSURE, "not ASCII")
    jws = parse_jws(token, typ=typ, reason=reason, limit=LENGTH_MAX)
    return SdJwt(jws, token, tuple(rest), binding or None)


def join(token: str, disclosures: tuple[str, ...]) -> str:
    """The compact form of a token and its disclosures, without key binding."""
    return "~".join((token, *disclosures, ""))


def resolve(sd_jwt: SdJwt) -> dict[str, Any]:
    """The claims with every shown disclosure put in its place, and without `_sd` and `_sd_alg`.

    Raises `Malformed` with a `disclosure.…` reason.
    """
    return _Resolution(sd_jwt).claims


def select(text: str, keep: Callable[[Path], bool], *, typ: str, reason: Reason) -> str:
    """The presentation that shows only the claims at paths for which `keep` says yes.

    A claim inside another disclosed claim needs both. Raises `Malformed` as `parse_sd_jwt` and `resolve` do.
    """
    sd_jwt = parse_sd_jwt(text, typ=typ, reason=reason)
    paths = _Resolution(sd_jwt).paths
    return join(sd_jwt.token, tuple(one for one in sd_jwt.disclosures if keep(paths[one])))


class _Resolution:
    """The walk of RFC 9901 §7.1 over one token; `claims` is its result, `paths` where each disclosure went."""

    __slots__ = ("_available", "_seen", "claims", "paths")

    def __init__(self, sd_jwt: SdJwt) -> None:
        payload = sd_jwt.jws.payload
        if payload.get("_sd_alg", "sha-256") != "sha-256":
            raise Malformed(Reason.DISCLOSURE, "_sd_alg is not sha-256")
        self._available = {digest_of(text): text for text in sd_jwt.disclosures}
        if len(self._available) != len(sd_jwt.disclosures):
            raise Malformed(Reason.DISCLOSURE_DUPLICATE, "a disclosure is given twice")
        self._seen: set[str] = set()
        self.paths: dict[str, Path] = {}
        self.claims = self._object(payload, ())
        self.claims.pop("_sd_alg", None)
        if len(self.paths) != len(self._available):
            raise Malformed(Reason.DISCLOSURE_UNREFERENCED, "a disclosure that the token does not refer to")

    def _object(self, members: dict[str, Any], path: Path) -> dict[str, Any]:
        if len(path) > DEPTH_MAX:
            raise Malformed(Reason.DISCLOSURE, f"claims nested deeper than {DEPTH_MAX}")
        if "..." in members:
            raise Malformed(Reason.DISCLOSURE, "a member named ... outside an array")
        result: dict[str, Any] = {}
        for name, value in members.items():
            kind = type(value)
            if name == "_sd":
                continue
            if kind is dict:
                result[name] = self._object(value, (*path, name))
            elif kind is list:
                result[name] = self._array(value, (*path, name))
            else:
                result[name] = value
        digests = members.get("_sd")
        if digests is None and "_sd" not in members:
            return result
        if type(digests) is not list:
            raise Malformed(Reason.DISCLOSURE, "_sd is not an array of digests")
        for text in self._shown(digests):
            _, name, value = _elements(text, 3)
            if type(name) is not str or name in _RESERVED or name in members or name in result:
                raise Malformed(Reason.DISCLOSURE, "a disclosed name that may not stand here")
            self.paths[text] = where = (*path, name)
            kind = type(value)
            result[name] = self._value(value, where) if kind is dict or kind is list else value
        return result

    def _array(self, elements: list[Any], path: Path) -> list[Any]:
        if len(path) > DEPTH_MAX:
            raise Malformed(Reason.DISCLOSURE, f"claims nested deeper than {DEPTH_MAX}")
        result: list[Any] = []
        for element in elements:
            if type(element) is dict and "..." in element:
                if len(element) != 1:
                    raise Malformed(Reason.DISCLOSURE, "an array digest with company")
                for text in self._shown([element["..."]]):
                    _, value = _elements(text, 2)
                    self.paths[text] = where = (*path, len(result))
                    result.append(self._value(value, where))
            else:
                result.append(self._value(element, (*path, len(result))))
        return result

    def _value(self, value: Any, path: Path) -> Any:
        kind = type(value)
        if kind is dict:
            return self._object(value, path)
        return self._array(value, path) if kind is list else value

    def _shown(self, digests: list[Any]) -> Iterator[str]:
        """Yield the disclosures with these digests; a hidden claim or a decoy has none."""
        available, seen = self._available, self._seen
        for digest in digests:
            if type(digest) is not str:
                raise Malformed(Reason.DISCLOSURE, "a digest that is no string")
            if digest in seen:
                raise Malformed(Reason.DISCLOSURE_DUPLICATE, "a digest occurs twice")
            seen.add(digest)
            text = available.get(digest)
            if text is not None:
                yield text


def _elements(text: str, length: int) -> list[Any]:
    """The `length` elements of a disclosure, the first of them a salt."""
    try:
        data = b64u_decode(text)
        value = orjson.loads(data)
    except (Malformed, orjson.JSONDecodeError):
        raise Malformed(Reason.DISCLOSURE, "not JSON in base64url") from None
    if type(value) is not list or len(value) != length or type(value[0]) is not str:
        raise Malformed(Reason.DISCLOSURE, f"not an array of {length} that begins with a salt")
    if type(value[-1]) in (dict, list) or b"\\u0000" in data:
        # Only where objects can be inside can a member be repeated, which takes the slower look.
        return list(read_json(data, Reason.DISCLOSURE))
    return value
