"""A verdict as lines for people, in Chinese or English."""

from types import MappingProxyType
from typing import Any, Final

from verifiers.reasons import title
from verifiers.verdict import Mark, Recognition, Step, Verdict

_OUTCOMES: Final = MappingProxyType(
    {"valid": ("有效", "VALID"), "invalid": ("无效", "INVALID"), "undetermined": ("无法判定", "UNDETERMINED")}
)

_STEPS: Final = MappingProxyType(
    {
        Step.SHAPE: ("格式", "form"),
        Step.ROOT: ("地区根证书", "region root"),
        Step.TRUST_LIST: ("信任列表", "trust list"),
        Step.PEER: ("签发地区", "issuing region"),
        Step.KEY: ("签发密钥", "signing key"),
        Step.ISSUER: ("签发机构与权限", "issuer and scope"),
        Step.SIGNATURE: ("签名", "signature"),
        Step.DISCLOSURES: ("披露项", "disclosures"),
        Step.VALIDITY: ("有效期", "dates"),
        Step.RECEIPT: ("日志回执", "log receipt"),
        Step.POSITION: ("日志位置", "place in the log"),
        Step.STATUS: ("状态列表", "status list"),
        Step.RECOGNITION: ("互认", "recognition"),
        Step.CLOCK: ("时钟", "clock"),
        Step.LEDGER: ("账本", "ledger"),
    }
)

_MARKS: Final = MappingProxyType({Mark.PASSED: "✓", Mark.FAILED: "✗", Mark.UNDETERMINED: "?", Mark.SKIPPED: "·"})

_MEMBERS: Final = MappingProxyType(
    {
        "identifier": ("证照标识", "identifier"),
        "number": ("证照编号", "number"),
        "object": ("标的", "object"),
        "name": ("持证主体", "holder"),
        "issued_on": ("颁发日期", "issued on"),
        "valid_from": ("有效期起", "valid from"),
        "valid_until": ("有效期止", "valid until"),
        "region": ("地区", "region"),
    }
)


def describe(verdict: Verdict, language: str = "zh") -> str:
    """The verdict as text of several lines: outcome, reasons, notes, what the licence says, each step with its age."""
    column = 0 if language == "zh" else 1
    lines = [_OUTCOMES[verdict.outcome][column]]
    for finding in verdict.findings:
        detail = f" ({finding.detail})" if finding.detail else ""
        lines.append(f"  ! {title(finding.reason, language)} [{finding.reason}]{detail}")
    lines += [f"  * {title(note, language)} [{note}]" for note in verdict.notes]
    if verdict.licence is not None:
        lines += _content(verdict.licence, column)
    if verdict.recognition is not None:
        lines.append(_recognition(verdict.recognition, column))
    for check in verdict.checks:
        age = "" if check.age_s is None else f", {_age(check.age_s, column)}"
        source = "" if check.source is None else f" — {check.source}{age}"
        lines.append(f"  {_MARKS[check.mark]} {_STEPS[check.step][column]}{source}")
    if verdict.bound_s is not None:
        bound = _age(verdict.bound_s, column)
        lines.append(f"  撤销最迟 {bound} 后可见" if column == 0 else f"  a withdrawal shows within {bound}")
    return "\n".join(lines)


def _content(licence: dict[str, Any], column: int) -> list[str]:
    """The members everybody looks for first, holders, then the face fields by name."""
    lines = [f"    {_MEMBERS[name][column]}: {licence[name]}" for name in _MEMBERS if licence.get(name) is not None]
    for part in ("type", "issuer"):
        names = licence.get(part, {}).get("names")
        if names:
            lines.append(f"    {names['zh'] if column == 0 else names['en']}")
    for holder in licence.get("holders", []):
        shown = [str(holder[name]) for name in ("name", "id_type", "id", "role", "share") if name in holder]
        lines.append(f"    {_MEMBERS['name'][column]}: {' '.join(shown) or '—'}")
    fields = licence.get("fields", {})
    lines += [f"    {name}: {fields[name]}" for name in sorted(fields)]
    return lines


def _recognition(found: Recognition, column: int) -> str:
    """As what it counts here, and by which equivalence and rule, with their versions."""
    by = [f"{found.equivalence[0]} v{found.equivalence[1]}"]
    by += [] if found.rule is None else [f"{found.rule[0]} v{found.rule[1]}"]
    kind = f"{found.type[0]}@{found.type[1]}"
    return f"    {'本地区视为' if column == 0 else 'counts here as'} {kind} [{', '.join(by)}]"


def _age(seconds: int, column: int) -> str:
    for size, zh, en in ((86_400, "天", "d"), (3600, "小时", "h"), (60, "分钟", "min")):
        if seconds >= 2 * size:
            return f"{seconds // size} {zh if column == 0 else en}"
    return f"{seconds} {'秒' if column == 0 else 's'}"
