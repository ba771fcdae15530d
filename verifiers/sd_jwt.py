"""SD-JWT (RFC 9901): a signed JSON object whose members can be shown one by one.

    <JWT>~<disclosure>~…~<disclosure>~[<key binding JWT>]

A disclosure is base64url of `[salt, name, value]` (of `[salt, value]` for an array element); the JWT carries only its
SHA-256 digest. This file knows nothing of licences. `resolve` follows RFC 9901 §7.1 step by step: each digest at most
once, each disclosure referenced, children only below a shown parent, unknown digests (decoys) left out.
"""

from binascii import a2b_base64, b2a_base64
from collections.abc import Callable, Sequence
from hashlib import sha256
from typing import Any, Final, NamedTuple

import orjson
from orjson import loads

from verifiers.encoding import FROM_URL, b64u_decode, b64u_encode, b64u_encode_all
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

_SALT_LENGTH: Final = 16

_ABSENT: Final = object()

_SCALARS: Final = frozenset({str, int, float, bool, type(None)})

# Letters that fill a disclosure's text up to whole groups of four. They spell line feeds, which JSON passes over; where
# the text's own spare bits are not zero, the first of them becomes a byte that no JSON value can end with or be
# followed by. No bytes give one letter more than a group.
_FILLING: Final = ("", None, "oK", "K")

# Texts in base64 that put an array around disclosures and a zero between two of them.
_OPENING: Final = b2a_base64(b"[\n\n", newline=False).decode("ascii")
_BETWEEN: Final = b2a_base64(b",\n0 ,\n", newline=False).decode("ascii")
_CLOSING: Final = b2a_base64(b"\n\n]", newline=False).decode("ascii")

Path = tuple[str | int, ...]
"""Where a claim stands: member names and array positions from the top."""


class SdJwt(NamedTuple):
    """One parsed, *unverified* SD-JWT; `key_binding` is the text after the last tilde, if any."""

    jws: Jws
    token: str
    disclosures: tuple[str, ...]
    key_binding: str | None


def make_disclosure(salt: bytes, name: str, value: Any) -> tuple[str, str]:
    """The disclosure of member `name` with a 16-byte `salt`, and its digest, both as base64url text."""
    [text], [digest] = make_disclosures([salt], [(name, value)])
    return text, digest


def make_disclosures(salts: Sequence[bytes], members: Sequence[tuple[str, Any]]) -> tuple[list[str], list[str]]:
    """The disclosures of `members`, (name, value), each with its 16-byte salt, and their digests in the same order.

    All are put into base64url together, with the `~` between them that no alphabet has: one call for each step of
    that, instead of one for each disclosure.
    """
    if not members:
        return [], []
    joined = b"~".join(
        [
            b2a_base64(orjson.dumps([salt, name, value], option=orjson.OPT_SORT_KEYS), newline=False)
            for salt, (name, value) in zip(b64u_encode_all(salts, _SALT_LENGTH), members, strict=True)
        ]
    )
    joined = joined.replace(b"=", b"").replace(b"+", b"-").replace(b"/", b"_")
    digests = [sha256(text).digest() for text in joined.split(b"~")]
    return joined.decode("ascii").split("~"), b64u_encode_all(digests, 32)


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
    if "" in rest or max(map(len, rest), default=0) > DISCLOSURE_LENGTH_MAX:
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
    claims = _usual_claims(sd_jwt.jws.payload, sd_jwt.disclosures)
    return _Resolution(sd_jwt).claims if claims is None else claims


def _usual_claims(payload: dict[str, Any], disclosures: tuple[str, ...]) -> dict[str, Any] | None:
    """The claims where every disclosure is a member of an object with a plain value; `None` leaves others to the walk.

    Each of the walk's rules is kept, for all disclosures together; whatever breaks one is left to it, which says what.
    """
    members = plain_members(disclosures)
    if members is None or payload.get("_sd_alg", "sha-256") != "sha-256":
        return None
    digests = b64u_encode_all([sha256(text.encode("ascii")).digest() for text in disclosures], 32)
    named: list[Any] = []
    claims = _filled(payload, dict(zip(digests, members, strict=True)), named, 0)
    if claims is None or set(map(type, named)) - {str}:
        return None
    once = set(named)
    if len(once) != len(named) or not once.issuperset(digests) or len(set(digests)) != len(digests):
        return None
    claims.pop("_sd_alg", None)
    return claims


def plain_members(disclosures: Sequence[str]) -> list[list[Any]] | None:
    """Salt, name and value of each disclosure, read in one go; `None` where one of them is not of that plain kind.

    All are decoded as one text and read as one array, with a zero between two of them. No string can hold the line feed
    before the zero; an array of salt, name and one more scalar could hold it only between two of the three, where the
    name is. So where the array has twice as many elements but one, every second of them zero and the others such
    arrays, all the zeros stand between elements, and each disclosure is one element by itself.
    """
    if not disclosures:
        return []
    try:
        # One letter over has no filling: `None` cannot be added, and such a text is no base64.
        filled = [text + _FILLING[len(text) & 3] for text in disclosures]  # type: ignore[operator]
        text = f"{_OPENING}{_BETWEEN.join(filled)}{_CLOSING}"
        data = a2b_base64(text.encode("ascii").translate(FROM_URL), strict_mode=True)
        read = loads(data)
    except (TypeError, ValueError):
        return None
    members: list[list[Any]] = read[::2]
    count = len(disclosures)
    if len(read) != 2 * count - 1 or read[1::2] != [0] * (count - 1) or b"\\u0000" in data:
        return None
    if set(map(type, members)) != {list} or set(map(len, members)) != {3}:
        return None
    salts, names, values = zip(*members, strict=True)
    if set(map(type, salts + names)) != {str} or not _SCALARS.issuperset(map(type, values)):
        return None
    return members if _RESERVED.isdisjoint(names) else None


def _filled(
    members: dict[str, Any], given: dict[str, list[Any]], named: list[Any], depth: int
) -> dict[str, Any] | None:
    """A copy of an object with the members of `given` put in by their digests; adds all its digests to `named`.

    `None` where anything is not as it should be, or an array holds digests.
    """
    if depth > DEPTH_MAX or "..." in members:
        return None
    result = members.copy()
    for name, value in members.items():
        filled: Any
        kind = type(value)
        if kind is dict:
            filled = _filled(value, given, named, depth + 1)
        elif kind is list and name != "_sd":
            filled = _filled_array(value, given, named, depth + 1)
        else:
            continue
        if filled is None:
            return None
        result[name] = filled
    digests = result.pop("_sd", None)
    if digests is None:
        return result if "_sd" not in members else None
    if type(digests) is not list:
        return None
    named += digests
    try:
        shown = [given[digest] for digest in digests if digest in given]
    except TypeError:  # a digest that is an array or object
        return None
    before = len(result)
    for _, name, value in shown:
        result[name] = value
    return result if len(result) == before + len(shown) else None


def _filled_array(elements: list[Any], given: dict[str, list[Any]], named: list[Any], depth: int) -> list[Any] | None:
    if depth > DEPTH_MAX:
        return None
    result = elements.copy()
    for place, value in enumerate(elements):
        filled: Any
        kind = type(value)
        if kind is dict:
            filled = _filled(value, given, named, depth + 1)
        elif kind is list:
            filled = _filled_array(value, given, named, depth + 1)
        else:
            continue
        if filled is None:
            return None
        result[place] = filled
    return result


def select(text: str, keep: Callable[[Path], bool], *, typ: str, reason: Reason) -> str:
    """The presentation that shows only the claims at paths for which `keep` says yes.

    A claim inside another disclosed claim needs both. Raises `Malformed` as `parse_sd_jwt` and `resolve` do.
    """
    sd_jwt = parse_sd_jwt(text, typ=typ, reason=reason)
    places = _Resolution(sd_jwt).places
    return join(sd_jwt.token, tuple(one for one in sd_jwt.disclosures if keep(_path(places[one]))))


_Place = tuple["_Place", str | int] | None
"""A path as the walk builds it, from below: where the thing around it stands, and its own name or position."""


def _path(place: _Place) -> Path:
    names: list[str | int] = []
    while place is not None:
        place, name = place
        names.append(name)
    return tuple(reversed(names))


class _Resolution:
    """The walk of RFC 9901 §7.1 over one token; `claims` is its result, `places` where each disclosure went.

    Nothing of the token is changed: what has a claim to be put in or taken out is copied, scalars are shared.
    """

    __slots__ = ("_available", "_seen", "claims", "places")

    def __init__(self, sd_jwt: SdJwt) -> None:
        payload, disclosures = sd_jwt.jws.payload, sd_jwt.disclosures
        if payload.get("_sd_alg", "sha-256") != "sha-256":
            raise Malformed(Reason.DISCLOSURE, "_sd_alg is not sha-256")
        digests = [sha256(text.encode("ascii")).digest() for text in disclosures]
        self._available = dict(zip(b64u_encode_all(digests, 32), disclosures, strict=True))
        if len(self._available) != len(disclosures):
            raise Malformed(Reason.DISCLOSURE_DUPLICATE, "a disclosure is given twice")
        self._seen: set[str] = set()
        self.places: dict[str, _Place] = {}
        self.claims = self._object(payload, None, 0)
        self.claims.pop("_sd_alg", None)
        if len(self.places) != len(self._available):
            raise Malformed(Reason.DISCLOSURE_UNREFERENCED, "a disclosure that the token does not refer to")

    def _object(self, members: dict[str, Any], place: _Place, depth: int) -> dict[str, Any]:
        if depth > DEPTH_MAX:
            raise Malformed(Reason.DISCLOSURE, f"claims nested deeper than {DEPTH_MAX}")
        if "..." in members:
            raise Malformed(Reason.DISCLOSURE, "a member named ... outside an array")
        result = members.copy()
        digests = result.pop("_sd", _ABSENT)
        for name, value in result.items():
            kind = type(value)
            if kind is dict:
                result[name] = self._object(value, (place, name), depth + 1)
            elif kind is list:
                result[name] = self._array(value, (place, name), depth + 1)
        if digests is not _ABSENT:
            self._disclose(digests, result, place, depth + 1)
        return result

    def _disclose(self, digests: Any, result: dict[str, Any], place: _Place, depth: int) -> None:
        """Put the members with these digests into `result`."""
        if type(digests) is not list:
            raise Malformed(Reason.DISCLOSURE, "_sd is not an array of digests")
        available, seen, places = self._available, self._seen, self.places
        for digest in digests:
            if type(digest) is not str:
                raise Malformed(Reason.DISCLOSURE, "a digest that is no string")
            if digest in seen:
                raise Malformed(Reason.DISCLOSURE_DUPLICATE, "a digest occurs twice")
            seen.add(digest)
            if (shown := available.get(digest)) is None:
                continue  # a hidden claim or a decoy
            _, name, value = _elements(shown, 3)
            if type(name) is not str or name in _RESERVED or name in result:
                raise Malformed(Reason.DISCLOSURE, "a disclosed name that may not stand here")
            places[shown] = where = (place, name)
            kind = type(value)
            result[name] = self._value(value, where, depth) if kind is dict or kind is list else value

    def _array(self, elements: list[Any], place: _Place, depth: int) -> list[Any]:
        if depth > DEPTH_MAX:
            raise Malformed(Reason.DISCLOSURE, f"claims nested deeper than {DEPTH_MAX}")
        result: list[Any] = []
        for element in elements:
            if type(element) is dict and "..." in element:
                if len(element) != 1:
                    raise Malformed(Reason.DISCLOSURE, "an array digest with company")
                self._append(element["..."], result, place, depth + 1)
            else:
                result.append(self._value(element, (place, len(result)), depth + 1))
        return result

    def _append(self, digest: Any, result: list[Any], place: _Place, depth: int) -> None:
        """Put the element with this digest at the end of `result`."""
        if type(digest) is not str:
            raise Malformed(Reason.DISCLOSURE, "a digest that is no string")
        if digest in self._seen:
            raise Malformed(Reason.DISCLOSURE_DUPLICATE, "a digest occurs twice")
        self._seen.add(digest)
        if (shown := self._available.get(digest)) is None:
            return
        _, value = _elements(shown, 2)
        self.places[shown] = where = (place, len(result))
        result.append(self._value(value, where, depth))

    def _value(self, value: Any, place: _Place, depth: int) -> Any:
        kind = type(value)
        if kind is dict:
            return self._object(value, place, depth)
        return self._array(value, place, depth) if kind is list else value


def _elements(text: str, length: int) -> list[Any]:
    """The `length` elements of a disclosure, the first of them a salt."""
    try:
        data = b64u_decode(text)
        value = loads(data)
    except (Malformed, orjson.JSONDecodeError):
        raise Malformed(Reason.DISCLOSURE, "not JSON in base64url") from None
    if type(value) is not list or len(value) != length or type(value[0]) is not str:
        raise Malformed(Reason.DISCLOSURE, f"not an array of {length} that begins with a salt")
    kind = type(value[-1])
    if kind is dict or kind is list or b"\\u0000" in data:
        # Only where objects can be inside can a member be repeated, which takes the slower look.
        return list(read_json(data, Reason.DISCLOSURE))
    return value
