"""The demo's invented people, company and requests: real formats, valid check digits, nobody's data.

Birth dates and sequence numbers are chosen so that the numbers are obviously made up; every name says 示例.
"""

from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from api.cli.example_region import definition

_WEIGHTS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)


def citizen_id(first_seventeen: str) -> str:
    """Return the number with its check character (GB 11643: ISO 7064 MOD 11-2)."""
    total = sum(int(digit) * weight for digit, weight in zip(first_seventeen, _WEIGHTS, strict=True))
    return first_seventeen + "10X98765432"[total % 11]


@dataclass(frozen=True, slots=True)
class Holder:
    """Somebody licences are issued to."""

    kind: str
    name: str
    id_type: str
    id: str

    def json(self) -> dict[str, str]:
        """Return the holder as the interface takes it."""
        return {"kind": self.kind, "name": self.name, "id_type": self.id_type, "id": self.id}


COMPANY = Holder("organisation", "示例建设有限公司", "001", "91610000MA0000015K")
PERSON_A = Holder("person", "示例甲", "111", citizen_id("61010219900101001"))
PERSON_B = Holder("person", "示例乙", "111", citizen_id("61010219910202002"))

PERMIT_MATTER = definition("construction-safety-permit", "matters")["code"]
FOOD_MATTER = definition("food-business-licence", "matters")["code"]


def _request(
    type_name: str,
    holder: Holder,
    number: str,
    fields: dict[str, Any],
    valid_from: date,
    years: int | None,
    rests_on: list[dict[str, Any]],
) -> dict[str, Any]:
    body: dict[str, Any] = {
        "type": definition(type_name)["code"],
        "holder": holder.json(),
        "number": number,
        "fields": fields,
        "valid_from": valid_from.isoformat(),
        "rests_on": rests_on,
    }
    if years is not None:
        body["valid_until"] = (valid_from.replace(year=valid_from.year + years) - timedelta(days=1)).isoformat()
    return body


def diploma() -> dict[str, Any]:
    """Request 甲's diploma: rests on nothing here, so nothing here can take it away."""
    fields = {
        "sex": "男",
        "born_on": "1990-01-01",
        "school": "示例大学",
        "major": "土木工程",
        "level": "本科",
        "study_form": "普通全日制",
        "enrolled_on": "2008-09-01",
        "graduated_on": "2012-07-01",
        "conclusion": "毕业",
    }
    return _request("higher-education-diploma", PERSON_A, "106971201205000001", fields, date(2012, 7, 1), None, [])


def business_licence(today: date, submission: str | None = None) -> dict[str, Any]:
    """Request the company's business licence, granted on a submission if there is one."""
    fields = {
        "entity_type": "有限责任公司",
        "legal_representative": PERSON_B.name,
        "registered_capital": "壹仟万元整",
        "established_on": today.isoformat(),
        "residence": "示例省示例市示例路 1 号",
        "business_scope": "建筑施工；食品销售",
    }
    basis = [] if submission is None else [{"submission": submission, "basis": "identity"}]
    return _request("business-licence", COMPANY, COMPANY.id, fields, today, None, basis)


def safety_certificate(today: date, holder: Holder, number: str, basis: list[dict[str, str]]) -> dict[str, Any]:
    """Request a person's certificate of competence in construction safety."""
    fields = {
        "sex": "男",
        "born_on": f"{holder.id[6:10]}-{holder.id[10:12]}-{holder.id[12:14]}",
        "employer": COMPANY.name,
        "employer_code": COMPANY.id,
        "position": "专职安全生产管理人员",
        "category": "C3",
        "first_issued_on": today.isoformat(),
    }
    return _request("construction-safety-certificate", holder, number, fields, today, 3, basis)


def safety_permit(today: date, basis: list[dict[str, str]]) -> dict[str, Any]:
    """Request the company's construction work safety permit."""
    fields = {
        "principal": PERSON_B.name,
        "address": "示例省示例市示例路 1 号",
        "economic_type": "有限责任公司",
        "scope": "建筑施工",
        "safety_officers": 1,
    }
    return _request("construction-safety-permit", COMPANY, "(示)JZ安许证字[2026]000001", fields, today, 3, basis)


def food_licence(today: date, basis: list[dict[str, Any]]) -> dict[str, Any]:
    """Request the company's food business licence."""
    fields = {
        "legal_representative": PERSON_B.name,
        "residence": "示例省示例市示例路 1 号",
        "premises": "示例省示例市示例路 2 号",
        "business_form": "食品销售经营者",
        "items": ["预包装食品销售"],
    }
    return _request("food-business-licence", COMPANY, "JY10000000000001", fields, today, 5, basis)
