"""SD-JWT (RFC 9901): a signed JSON object whose members can be shown one by one.

    <JWT>~<disclosure>~…~<disclosure>~[<key binding JWT>]

A disclosure is base64url of `[salt, name, value]` (of `[salt, value]` for an array element); the JWT carries only its
SHA-256 digest. This file knows nothing of licences. `resolve` follows RFC 9901 §7.1 step by step: each digest at most
once, each disclosure referenced, children only below a shown parent, unknown digests (decoys) left out.
"""

from collections.abc import Callable
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
        self.claims = self._object({name: payload[name] for name in payload if name != "_sd_alg"}, ())
        if len(self.paths) != len(self._available):
            raise Malformed(Reason.DISCLOSURE_UNREFERENCED, "a disclosure that the token does not refer to")

    def _object(self, members: dict[str, Any], path: Path) -> dict[str, Any]:
        if len(path) > DEPTH_MAX:
            raise Malformed(Reason.DISCLOSURE, f"claims nested deeper than {DEPTH_MAX}")
        if "..." in members:
            raise Malformed(Reason.DISCLOSURE, "a member named ... outside an array")
        result = {}
        for name, value in members.items():
            if name == "_sd":
                continue
            kind = type(value)
            if kind is dict:
                value = self._object(value, (*path, name))
            elif kind is list:
                value = self._array(value, (*path, name))
            result[name] = value
        for digest in self._digests(members):
            shown = self._claim(digest, 3)
            if shown is None:
                continue
            text, (_, name, value) = shown
            if type(name) is not str or name in ("_sd", "...") or name in members or name in result:
                raise Malformed(Reason.DISCLOSURE, "a disclosed name that may not stand here")
            where = (*path, name)
            self.paths[text] = where
            result[name] = self._value(value, where)
        return result

    def _array(self, elements: list[Any], path: Path) -> list[Any]:
        if len(path) > DEPTH_MAX:
            raise Malformed(Reason.DISCLOSURE, f"claims nested deeper than {DEPTH_MAX}")
        result: list[Any] = []
        for element in elements:
            if type(element) is dict and "..." in element:
                digest = element["..."]
                if len(element) != 1 or type(digest) is not str:
                    raise Malformed(Reason.DISCLOSURE, "an array digest with company")
                shown = self._claim(digest, 2)
                if shown is None:
                    continue
                text, (_, value) = shown
                where = (*path, len(result))
                self.paths[text] = where
                result.append(self._value(value, where))
            else:
                result.append(self._value(element, (*path, len(result))))
        return result

    def _value(self, value: Any, path: Path) -> Any:
        if type(value) is dict:
            return self._object(value, path)
        if type(value) is list:
            return self._array(value, path)
        return value

    def _digests(self, members: dict[str, Any]) -> list[str]:
        digests = members.get("_sd", [])
        if type(digests) is not list or any(type(digest) is not str for digest in digests):
            raise Malformed(Reason.DISCLOSURE, "_sd is not an array of digests")
        return digests

    def _claim(self, digest: str, length: int) -> tuple[str, list[Any]] | None:
        """The disclosure text of `digest` and its `length` elements, or `None` for a hidden claim or a decoy."""
        if digest in self._seen:
            raise Malformed(Reason.DISCLOSURE_DUPLICATE, "a digest occurs twice")
        self._seen.add(digest)
        text = self._available.get(digest)
        if text is None:
            return None
        try:
            data = b64u_decode(text)
        except Malformed as error:
            raise Malformed(Reason.DISCLOSURE, error.detail) from None
        value = read_json(data, Reason.DISCLOSURE)
        if type(value) is not list or len(value) != length or type(value[0]) is not str:
            raise Malformed(Reason.DISCLOSURE, f"not an array of {length} that begins with a salt")
        return text, value
