"""From a licence and its type's definition to the face that is printed: labels, order and words as the type says."""

from datetime import date
from typing import Any

from api.faces import Face, Row
from ledger.type_definition import FaceField, TypeDefinition
from verifiers.licence import UnverifiedLicence, parse

HOLDERS = {"person": "姓名", "organisation": "名称"}
VALIDITY = "有效期限"
OBJECT = "许可内容"


def face_of(definition: TypeDefinition, issuer: str, compact: str, code: str) -> Face:
    """Return the face of a licence of ours: only what its type prints; `code` is the text of the static code."""
    licence = parse(compact)
    template = definition.document.get("template", {})
    label = definition.document["number"].get("label", {}).get("zh")
    labels = {"number": label or "证照编号", "issuer": "发证机关", "issued": "发证日期", "identifier": "证照标识"}
    return Face(
        title=definition.names["zh"],
        title_en=definition.names["en"],
        number=str(licence.claims.get("number", "")),
        identifier=licence.identifier,
        issuer=licence.imported.issuer if licence.imported is not None else issuer,
        issued_on=chinese_day(licence.issued_on),
        rows=_rows(definition, licence),
        code=code,
        orientation=template.get("orientation", "landscape"),
        colour=template.get("colour", "#8a1c1c"),
        labels=labels,
    )


def _rows(definition: TypeDefinition, licence: UnverifiedLicence) -> tuple[Row, ...]:
    claims = licence.claims
    rows = [Row(HOLDERS[holder["kind"]], _holder(holder)) for holder in claims["holders"]]
    if "object" in claims:
        rows.append(Row(OBJECT, str(claims["object"])))
    values = claims["fields"]
    printed = [field for field in definition.fields if field.printed and field.name in values]
    rows += [Row(field.label["zh"], _printed(field, values[field.name])) for field in printed]
    until = "长期" if licence.valid_until is None else chinese_day(licence.valid_until)
    rows.append(Row(VALIDITY, f"{chinese_day(licence.valid_from)}至{until}"))
    return tuple(rows)


def _holder(holder: dict[str, Any]) -> str:
    """A person's number is not printed: a face is shown to many."""
    role = f"（{holder['role']}）" if "role" in holder else ""
    return f"{holder.get('name', '')}{role}"


def _printed(field: FaceField, value: Any) -> str:
    if field.kind == "date":
        return chinese_day(date.fromisoformat(value))
    if field.kind == "boolean":
        return "是" if value else "否"
    return "、".join(value) if isinstance(value, list) else str(value)


def chinese_day(day: date) -> str:
    """Return a date as faces write it: 2026年11月21日."""
    return f"{day.year}年{day.month}月{day.day}日"
