"""A licence type as data: what its face holds, who may hold it, how long it lasts and what fraud does to it.

A definition is one canonical JSON document (docs/licence-types.md lists its members). It is parsed once, checked to
the last member, and from then on answers questions about requests. A minor version may only add optional fields
(protocol 38).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from ledger.errors import Code, Refusal
from ledger.request_members import is_day
from verifiers import identity

BASES: Final = ("identity", "qualification", "evidence")
EFFECTS: Final = ("none", "notice", "suspended", "revoked")
HOLDER_KINDS: Final = ("person", "organisation")
FIELD_KINDS: Final = ("text", "date", "integer", "boolean", "choice", "list")
# The hardest effect a basis may ever have, whatever a department instructs (protocol 22, 22a).
STRONGEST: Final[Mapping[str, str]] = {"identity": "revoked", "qualification": "suspended", "evidence": "notice"}

MAX_FIELDS = 64
"""Fields on one face; the fullest face we know of has about thirty."""
MAX_TEXT = 4096
"""Characters in one field, unless the field says less."""
MAX_ITEMS = 200
"""Items in one list field."""
MAX_PATTERN = 256
"""Characters in a pattern: long ones are where runaway matching hides."""

_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}\Z")
_CODE = re.compile(r"[0-9A-HJ-NPQRTUWXY]{18}[0-9]{3}\Z")
_AREA = re.compile(r"[0-9]{6}\Z")
_RESERVED: Final = frozenset({"_sd", "_sd_alg", "..."})


@dataclass(frozen=True, slots=True)
class FaceField:
    """One field of the face. `disclosure` is always or selective; `printed` fields also stand on paper."""

    name: str
    kind: str
    label: Mapping[str, str]
    required: bool
    disclosure: str
    printed: bool
    pattern: re.Pattern[str] | None
    max_length: int
    choices: frozenset[str]

    def fault(self, value: Any) -> str | None:
        """Say in one word what is wrong with `value`, or `None` when it fits."""
        return _FIELD_CHECKS[self.kind](self, value)


def _text_fault(field: FaceField, value: Any) -> str | None:
    if type(value) is not str:
        return "type"
    if not value or value.isspace() or "\0" in value:
        return "empty"
    if len(value) > field.max_length:
        return "too_long"
    if field.pattern is not None and not field.pattern.fullmatch(value):
        return "pattern"
    return None


def _date_fault(_: FaceField, value: Any) -> str | None:
    return None if is_day(value) else "date"


def _integer_fault(field: FaceField, value: Any) -> str | None:
    if type(value) is not int or not -(2**53) < value < 2**53:
        return "type"
    return "pattern" if field.pattern is not None and not field.pattern.fullmatch(str(value)) else None


def _boolean_fault(_: FaceField, value: Any) -> str | None:
    return None if type(value) is bool else "type"


def _choice_fault(field: FaceField, value: Any) -> str | None:
    return None if type(value) is str and value in field.choices else "choice"


def _list_fault(field: FaceField, value: Any) -> str | None:
    if type(value) is not list or not value:
        return "type"
    if len(value) > MAX_ITEMS:
        return "too_long"
    return next((fault for item in value if (fault := _text_fault(field, item))), None)


_FIELD_CHECKS: Final[Mapping[str, Callable[[FaceField, Any], str | None]]] = {
    "text": _text_fault,
    "date": _date_fault,
    "integer": _integer_fault,
    "boolean": _boolean_fault,
    "choice": _choice_fault,
    "list": _list_fault,
}


@dataclass(frozen=True, slots=True)
class TypeDefinition:
    """A parsed definition; `document` is the JSON it came from, which is what gets signed and served."""

    code: str
    major: int
    minor: int
    names: Mapping[str, str]
    authority_names: Mapping[str, str]
    holder_kinds: frozenset[str]
    several_holders: bool
    fields: tuple[FaceField, ...]
    by_name: Mapping[str, FaceField]
    required: frozenset[str]
    number_pattern: re.Pattern[str] | None
    number_required: bool
    serial_from: str
    object_rule: str
    validity_rule: str
    validity_max_months: int | None
    grace_s: int
    receipt: str
    areas: tuple[str, ...]
    effect_of_fraud: Mapping[str, str]
    document: dict[str, Any]

    def vct(self, base: str) -> str:
        """Return the type's URL under `base` (protocol 38)."""
        return f"{base}/types/{self.code}/{self.major}"

    @property
    def always_shown(self) -> frozenset[str]:
        """Names of the fields that every presentation shows."""
        return frozenset(field.name for field in self.fields if field.disclosure == "always")


def parse_definition(document: Any) -> TypeDefinition:
    """Read a definition as docs/licence-types.md describes it.

    Raises `Refusal` type.malformed with a JSON Pointer to the first member that is missing, unknown or wrong.
    """
    body = _object(document, "", required=_MEMBERS, optional=("template", "description", "example"))
    code = _matching(body["code"], _CODE, "/code")
    if identity.uscc_findings(code[:18]):
        raise _malformed("/code", why="check digit of the defining authority")
    fields = _fields(body["fields"])
    holders = _object(body["holders"], "/holders", required=("kinds", "several"))
    number = _object(body["number"], "/number", required=("required", "serial"), optional=("pattern", "label"))
    validity = _object(body["validity"], "/validity", required=("rule",), optional=("max_months",))
    if holders["kinds"] == [] or type(holders["kinds"]) is not list:
        raise _malformed("/holders/kinds")
    by_name = {field.name: field for field in fields}
    return TypeDefinition(
        code=code,
        major=_integer(body["major"], "/major", 1, 999),
        minor=_integer(body["minor"], "/minor", 0, 999),
        names=names(body["names"], "/names"),
        authority_names=names(body["authority"], "/authority"),
        holder_kinds=frozenset(_one_of(k, HOLDER_KINDS, f"/holders/kinds/{i}") for i, k in enumerate(holders["kinds"])),
        several_holders=_boolean(holders["several"], "/holders/several"),
        fields=fields,
        by_name=by_name,
        required=frozenset(field.name for field in fields if field.required),
        number_pattern=_pattern(number.get("pattern"), "/number/pattern"),
        number_required=_boolean(number["required"], "/number/required"),
        serial_from=_one_of(number["serial"], ("number", "random"), "/number/serial"),
        object_rule=_one_of(body["object"], ("none", "optional", "required"), "/object"),
        validity_rule=_one_of(validity["rule"], ("fixed", "open", "either"), "/validity/rule"),
        validity_max_months=_optional_integer(validity.get("max_months"), "/validity/max_months"),
        grace_s=_integer(body["grace_s"], "/grace_s", 1, 366 * 86400),
        receipt=_one_of(body["receipt"], ("required", "optional"), "/receipt"),
        areas=_areas(body["areas"]),
        effect_of_fraud=parse_effects(body["effect_of_fraud"], "/effect_of_fraud"),
        document=body,
    )


_MEMBERS: Final = (
    "code", "major", "minor", "names", "authority", "holders", "fields", "number", "object", "validity", "grace_s",
    "receipt", "areas", "effect_of_fraud",
)  # fmt: skip


def check_minor(old: TypeDefinition, new: TypeDefinition) -> None:
    """Refuse `new` as the next minor of `old` unless all it does is add optional fields (protocol 38).

    Names, labels, grace and the like may be reworded; what decides whether an old licence is well formed may not.
    Raises `Refusal` type.incompatible with a pointer.
    """
    if new.minor != old.minor + 1:
        raise Refusal(Code.TYPE_INCOMPATIBLE, "/minor", expected=old.minor + 1)
    for member in ("holders", "number", "object", "validity", "receipt", "areas"):
        if old.document[member] != new.document[member]:
            raise Refusal(Code.TYPE_INCOMPATIBLE, f"/{member}")
    before = {item["name"]: item for item in old.document["fields"]}
    for position, item in enumerate(new.document["fields"]):
        known = before.pop(item["name"], None)
        same = known is not None and {**known, "label": 0} == {**item, "label": 0}
        if not same and (known is not None or item.get("required", False)):
            raise Refusal(Code.TYPE_INCOMPATIBLE, f"/fields/{position}")
    if before:
        raise Refusal(Code.TYPE_INCOMPATIBLE, "/fields", missing=", ".join(sorted(before)))


def parse_effects(value: Any, pointer: str) -> dict[str, str]:
    """Read an effect-of-fraud table: every basis, with an effect no harder than `STRONGEST` lets it have.

    Raises `Refusal` type.malformed.
    """
    table = _object(value, pointer, required=BASES)
    for basis in BASES:
        effect = _one_of(table[basis], EFFECTS, f"{pointer}/{basis}")
        if EFFECTS.index(effect) > EFFECTS.index(STRONGEST[basis]):
            raise _malformed(f"{pointer}/{basis}", strongest=STRONGEST[basis])
    return {basis: table[basis] for basis in BASES}


def names(value: Any, pointer: str) -> dict[str, str]:
    """Read a `{"zh", "en"}` pair of names. Raises `Refusal` type.malformed."""
    pair = _object(value, pointer, required=("zh", "en"))
    for language in ("zh", "en"):
        text = pair[language]
        if type(text) is not str or not 0 < len(text) <= 200 or "\0" in text or text.isspace():
            raise _malformed(f"{pointer}/{language}")
    return {"zh": pair["zh"], "en": pair["en"]}


def _fields(value: Any) -> tuple[FaceField, ...]:
    if type(value) is not list or not 0 < len(value) <= MAX_FIELDS:
        raise _malformed("/fields")
    fields = tuple(_field(item, f"/fields/{position}") for position, item in enumerate(value))
    seen: set[str] = set()
    for position, field in enumerate(fields):
        if field.name in seen:
            raise _malformed(f"/fields/{position}/name", why="named twice")
        seen.add(field.name)
    return fields


def _field(value: Any, pointer: str) -> FaceField:
    item = _object(
        value,
        pointer,
        required=("name", "type", "label", "disclosure", "printed"),
        optional=("required", "pattern", "max_length", "choices"),
    )
    name = _matching(item["name"], _NAME, f"{pointer}/name")
    kind = _one_of(item["type"], FIELD_KINDS, f"{pointer}/type")
    choices = item.get("choices", [])
    if (kind == "choice") != bool(choices) or type(choices) is not list or not all(type(c) is str for c in choices):
        raise _malformed(f"{pointer}/choices")
    if name in _RESERVED:
        raise _malformed(f"{pointer}/name")
    return FaceField(
        name=name,
        kind=kind,
        label=names(item["label"], f"{pointer}/label"),
        required=_boolean(item.get("required", False), f"{pointer}/required"),
        disclosure=_one_of(item["disclosure"], ("always", "selective"), f"{pointer}/disclosure"),
        printed=_boolean(item["printed"], f"{pointer}/printed"),
        pattern=_pattern(item.get("pattern"), f"{pointer}/pattern"),
        max_length=_integer(item.get("max_length", MAX_TEXT), f"{pointer}/max_length", 1, MAX_TEXT),
        choices=frozenset(choices),
    )


def _object(
    value: Any, pointer: str, *, required: tuple[str, ...] = (), optional: tuple[str, ...] = ()
) -> dict[str, Any]:
    if type(value) is not dict:
        raise _malformed(pointer)
    for name in required:
        if name not in value:
            raise _malformed(f"{pointer}/{name}", why="missing")
    for name in value:
        if name not in required and name not in optional:
            raise _malformed(f"{pointer}/{name}", why="unknown member")
    return value


def _areas(value: Any) -> tuple[str, ...]:
    if type(value) is not list or not value:
        raise _malformed("/areas")
    return tuple(_matching(item, _AREA, f"/areas/{position}") for position, item in enumerate(value))


def _pattern(value: Any, pointer: str) -> re.Pattern[str] | None:
    if value is None:
        return None
    if type(value) is not str or len(value) > MAX_PATTERN:
        raise _malformed(pointer)
    try:
        return re.compile(value)
    except re.error as error:
        raise _malformed(pointer, why=str(error)) from error


def _matching(value: Any, pattern: re.Pattern[str], pointer: str) -> str:
    if type(value) is not str or not pattern.match(value):
        raise _malformed(pointer)
    return value


def _one_of(value: Any, words: tuple[str, ...], pointer: str) -> str:
    if type(value) is not str or value not in words:
        raise _malformed(pointer, allowed=", ".join(words))
    return value


def _boolean(value: Any, pointer: str) -> bool:
    if type(value) is not bool:
        raise _malformed(pointer)
    return value


def _integer(value: Any, pointer: str, least: int, most: int) -> int:
    if type(value) is not int or not least <= value <= most:
        raise _malformed(pointer, least=least, most=most)
    return value


def _optional_integer(value: Any, pointer: str) -> int | None:
    return None if value is None else _integer(value, pointer, 1, 1200)


def _malformed(pointer: str, **facts: Any) -> Refusal:
    return Refusal(Code.TYPE_MALFORMED, pointer, **facts)
