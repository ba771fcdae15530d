"""Requests the benchmarks send: licences of ten fields for made-up holders, every one another person."""

from __future__ import annotations

from datetime import date
from typing import Any

from api.cli.demo_people import citizen_id
from api.cli.example_region import definition

DIPLOMA = definition("higher-education-diploma")["code"]
ISSUER = "education-business"


def person(number: int) -> dict[str, str]:
    """Return the `number`-th made-up person; numbers up to 30 million differ."""
    day, sequence = divmod(number, 1000)
    born = date.fromordinal(date(1950, 1, 1).toordinal() + day % 20_000)
    return {
        "kind": "person",
        "name": f"示例{number:06d}",
        "id_type": "111",
        "id": citizen_id(f"610102{born:%Y%m%d}{sequence:03d}"),
    }


def licence(number: int) -> dict[str, Any]:
    """Return the request for a licence with ten face fields and holder data."""
    return {
        "type": DIPLOMA,
        "holder": person(number),
        "number": f"{106970000000000000 + number}",
        "valid_from": "2012-07-01",
        "fields": {
            "sex": "男",
            "born_on": "1990-01-01",
            "school": "示例大学",
            "major": "土木工程",
            "level": "本科",
            "study_form": "普通全日制",
            "enrolled_on": "2008-09-01",
            "graduated_on": "2012-07-01",
            "conclusion": "毕业",
        },
        "rests_on": [],
    }


def resting_on(licence: str) -> dict[str, str]:
    """Return the edge to the licence with this id, as the qualification for a later one."""
    return {"licence": licence, "basis": "qualification"}
