"""A verdict for people and for programs: every line and every member of one that has everything."""

import datetime as dt

import pytest

from verifiers.errors import Reason
from verifiers.reasons import Note
from verifiers.report import describe
from verifiers.verdict import Check, Finding, Mark, Outcome, Recognition, Step, Verdict

NAMES = {"zh": "示例许可证", "en": "Example permit"}
ISSUER = {"zh": "示例局", "en": "Example office"}
FULL = Verdict(
    Outcome.INVALID,
    dt.datetime(2026, 11, 21, 8, 30, tzinfo=dt.UTC),
    findings=(Finding.of(Reason.SUSPENDED, "slot 7 says 2"), Finding.of(Reason.CLOCK_BEHIND)),
    checks=tuple(
        Check(step, mark, age, source)
        for step, mark, age, source in zip(
            Step,
            [Mark.PASSED, Mark.FAILED, Mark.UNDETERMINED, Mark.SKIPPED] * 4,
            [None, 60, 180, None] * 4,
            ["presented", "pinned", "given", None] * 4,
            strict=False,
        )
    ),
    notes=(Note.IMPORTED,),
    bound_s=30,
    licence={
        "identifier": "1.2.156.3005.2.X",
        "number": "JY1",
        "object": "示例标的",
        "region": "610000",
        "issued_on": "2026-11-21",
        "valid_from": "2026-11-22",
        "valid_until": None,
        "type": {"names": NAMES},
        "issuer": {"names": ISSUER},
        "holders": [
            {"name": "示例甲", "id_type": "111", "id": "6101", "role": "负责人", "share": "1/2"},
            {"kind": "person"},
        ],
        "fields": {"scope": "食品", "area": "示例"},
    },
    region="610000",
    recognition=Recognition("620000", "610000", ("E1", 2), ("R1", 3), ("T1", 4), {"scope": "食品"}),
)
WORDS = {
    "zh": """无效
  ! 证照暂时失效 [status.suspended] (slot 7 says 2)
  ! 本机时钟落后 [clock.behind]
  * 历史证照，由其他系统签发后导入 [licence.imported]
    证照标识: 1.2.156.3005.2.X
    证照编号: JY1
    标的: 示例标的
    颁发日期: 2026-11-21
    有效期起: 2026-11-22
    地区: 610000
    示例许可证
    示例局
    持证主体: 示例甲 111 6101 负责人 1/2
    持证主体: —
    area: 示例
    scope: 食品
    本地区视为 T1@4 [E1 v2, R1 v3]
  ✓ 格式 — presented
  ✗ 地区根证书 — pinned, 60 秒
  ? 信任列表 — given, 3 分钟
  · 签发地区
  ✓ 签发密钥 — presented
  ✗ 签发机构与权限 — pinned, 60 秒
  ? 签名 — given, 3 分钟
  · 披露项
  ✓ 有效期 — presented
  ✗ 日志回执 — pinned, 60 秒
  ? 日志位置 — given, 3 分钟
  · 状态列表
  ✓ 互认 — presented
  ✗ 时钟 — pinned, 60 秒
  ? 账本 — given, 3 分钟
  撤销最迟 30 秒 后可见""",
    "en": """INVALID
  ! suspended: not valid for now [status.suspended] (slot 7 says 2)
  ! this clock is behind [clock.behind]
  * imported: issued elsewhere, taken over into this ledger [licence.imported]
    identifier: 1.2.156.3005.2.X
    number: JY1
    object: 示例标的
    issued on: 2026-11-21
    valid from: 2026-11-22
    region: 610000
    Example permit
    Example office
    holder: 示例甲 111 6101 负责人 1/2
    holder: —
    area: 示例
    scope: 食品
    counts here as T1@4 [E1 v2, R1 v3]
  ✓ form — presented
  ✗ region root — pinned, 60 s
  ? trust list — given, 3 min
  · issuing region
  ✓ signing key — presented
  ✗ issuer and scope — pinned, 60 s
  ? signature — given, 3 min
  · disclosures
  ✓ dates — presented
  ✗ log receipt — pinned, 60 s
  ? place in the log — given, 3 min
  · status list
  ✓ recognition — presented
  ✗ clock — pinned, 60 s
  ? ledger — given, 3 min
  a withdrawal shows within 30 s""",
}


@pytest.mark.parametrize("language", WORDS)
def test_a_verdict_with_everything_in_words(language: str) -> None:
    """Outcome, reasons, notes, what the licence says, what it counts as, each step, and how late a withdrawal shows."""
    assert describe(FULL, language) == WORDS[language]


def test_outcomes_members_and_rules_that_the_full_one_has_not() -> None:
    """Valid and undetermined ones; the last day where there is one; recognition without a rule."""
    licence = {"name": "示例甲", "valid_until": "2031-11-20"}
    recognition = Recognition("620000", "610000", ("E1", 2), None, ("T1", 4), {})
    at = FULL.at

    assert describe(Verdict(Outcome.VALID, at)) == "有效"
    assert describe(Verdict(Outcome.VALID, at), "en") == "VALID"
    assert describe(Verdict(Outcome.UNDETERMINED, at)) == "无法判定"
    assert describe(Verdict(Outcome.UNDETERMINED, at), "en") == "UNDETERMINED"
    shown = describe(Verdict(Outcome.VALID, at, licence=licence, recognition=recognition), "zh")
    assert shown == "有效\n    持证主体: 示例甲\n    有效期止: 2031-11-20\n    本地区视为 T1@4 [E1 v2]"
    assert "    valid until: 2031-11-20" in describe(Verdict(Outcome.VALID, at, licence=licence), "en")


def test_a_verdict_with_everything_as_json() -> None:
    """As the service and `elicence-verify --json` give it."""
    document = FULL.to_json("en")
    checks = document.pop("checks")

    assert document == {
        "at": "2026-11-21T08:30:00Z",
        "bound_s": 30,
        "licence": FULL.licence,
        "notes": [
            {"code": "licence.imported", "title": "imported: issued elsewhere, taken over into this ledger"},
        ],
        "outcome": "invalid",
        "reasons": [
            {"code": "status.suspended", "detail": "slot 7 says 2", "title": "suspended: not valid for now"},
            {"code": "clock.behind", "detail": "", "title": "this clock is behind"},
        ],
        "recognition": {
            "by": "620000",
            "equivalence": {"id": "E1", "version": 2},
            "fields": {"scope": "食品"},
            "peer": "610000",
            "rule": {"id": "R1", "version": 3},
            "type": {"code": "T1", "major": 4},
        },
        "region": "610000",
    }
    assert checks[:2] == [
        {"age_s": None, "outcome": "passed", "source": "presented", "step": "shape"},
        {"age_s": 60, "outcome": "failed", "source": "pinned", "step": "root"},
    ]
    assert "recognition" not in Verdict(Outcome.VALID, FULL.at).to_json()
