"""What the browser tests need of a served region: issued licences, their printed codes, a fraud case."""

import io
import itertools
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import zxingcpp
from PIL import Image

from api.cli import demo_people as people
from api.cli.demo_service import DemoService
from verifiers.legal_dates import day_of

ISSUER, FLAGGER, SECOND = "示例经办员", "示例监管员一", "示例监管员二"
_NUMBERS = itertools.count(1)


def today_text(days: int = 0) -> str:
    """Return the calendar date in China, some days on."""
    return (day_of(datetime.now(UTC)) + timedelta(days)).isoformat()


def issue_diploma(service: DemoService, *, rests_on: list[dict[str, str]] | None = None) -> dict[str, Any]:
    """Issue an example diploma with a number of its own and return the service's answer."""
    body = people.diploma() | {
        "number": f"1069712012059{next(_NUMBERS):05d}", "rests_on": rests_on or [],
    }  # fmt: skip
    answer: dict[str, Any] = service.client("education-business").post(
        "/v1/licences?wait=receipt", body, operator=ISSUER
    )
    return answer


def printed_code(service: DemoService, licence: str) -> str:
    """Return the text of a licence's static code, read from its picture."""
    client = service.client("education-business")
    picture = client.get(f"/v1/licences/{licence}/code.png", operator=ISSUER).content
    found = zxingcpp.read_barcode(Image.open(io.BytesIO(picture)).convert("L"))
    assert found is not None
    return str(found.text)


def annul(service: DemoService, licence: str) -> None:
    """Take a licence back for good."""
    act = {
        "act": "annul", "authority": "示例省教育厅", "articles": ["行政许可法第六十九条"],
        "document_no": "示教撤〔2026〕1号", "decided_at": today_text(), "served_at": today_text(),
        "effective_from": today_text(), "reason": "示例",
    }  # fmt: skip
    service.client("education-business").post(f"/v1/licences/{licence}/acts", act, operator=ISSUER)


@dataclass(frozen=True)
class FraudCase:
    """A flagged submission with the licence granted on it and one that rests on that licence."""

    flag: str
    granted: str
    dependant: str


def accuse(service: DemoService) -> FraudCase:
    """Bring a case to the point where a second officer may decide it."""
    education, supervisor = service.client("education-business"), service.client("education-supervisor")
    department = "116100000100000474"
    applied = {
        "received_by": department, "decided_by": department, "destination": department, "channel": "window",
        "applicant": people.PERSON_A.json(), "materials": [{"digest": "ab" * 32, "kind": "学习经历证明"}],
        "missing": [],
    }  # fmt: skip
    submission = education.post("/v1/submissions", applied, operator=ISSUER)["id"]
    granted = issue_diploma(service, rests_on=[{"submission": submission, "basis": "identity"}])["id"]
    dependant = issue_diploma(service, rests_on=[{"licence": granted, "basis": "qualification"}])["id"]
    flag = supervisor.post(
        "/v1/fraud-flags",
        {"targets": [{"submission": submission}], "reason": "证明经核查系伪造（示例）"},
        operator=FLAGGER,
    )["id"]
    notice = {"document_no": "示教告〔2026〕1号", "served_at": today_text(), "respond_by": today_text(5)}
    supervisor.post(f"/v1/fraud-flags/{flag}/notices", notice, operator=FLAGGER)
    statement = {"text": "放弃剩余陈述期限（示例）", "waives": True}
    supervisor.post(f"/v1/fraud-flags/{flag}/statements", statement, operator=FLAGGER)
    return FraudCase(flag, granted, dependant)
