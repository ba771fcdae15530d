"""How a peer, and what it would be trusted with, read on a terminal: one fact a line, in both languages."""

import re
from typing import Any, Final

_UNPRINTED: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]")
"""What moves the cursor, hides or turns round what stands beside it: another region chose these names."""


def peer_line(each: dict[str, Any]) -> str:
    """Return one peer on one line."""
    following = each.get("following") or {}
    parts = [each["region"], plain(each["names"]["zh"]), plain(each["names"]["en"]), each["status"], each["base"]]
    parts += [str(following["state"])] if "state" in following else []
    resting = each.get("relied_on") or {}
    told = (("held", "待放行"), ("fallen", "失效"), ("unresolved", "未定位"))
    return "\t".join([*parts, *(f"{zh} {name} {resting[name]}" for name, zh in told if resting.get(name))])


def shown_lines(found: dict[str, Any]) -> list[str]:
    """Return what a proposal says and, for an admission, everything that would be trusted."""
    proposal, shows = found["proposal"], found.get("shows") or {}
    lines = [
        f"提案 proposal\t{proposal.get('act')}\t→ {proposal.get('expires')}",
        f"地区 region\t{proposal.get('region')}\t{_names(proposal)}",
        f"地址 address\t{proposal.get('base')}",
        f"根指纹 root\t{proposal.get('root')}",
        f"见证要求 witnesses\t{_rule(proposal.get('witnesses'))}",
    ]
    seen = proposal.get("seen")
    if seen:
        lines.append(f"信任列表 trust list\t#{seen['seq']}\t{seen['digest']}")
    for log in shows.get("logs", []):
        lines.append(f"日志 log\t{log['origin']}")
        lines += [f"\t{plain(vkey[:76])}" for vkey in log["keys"]]
    for each in shows.get("departments", []):
        lines.append(f"部门 department\t{each['id']}\t{_names(each)}\t{each['status']}")
        lines += [f"\t{key['purpose']}\t{key['kid']}{' (ended)' if key['ended'] else ''}" for key in each["keys"]]
    lines += [f"地区密钥 key\t{key['purpose']}\t{key['kid']}" for key in shows.get("keys", [])]
    lines += [f"证照类型 type\t{each['code']}@{each['major']}\t{_names(each)}" for each in shows.get("types", [])]
    lines += [f"状态列表 status list\t{uri}" for uri in shows.get("status_lists", [])]
    if shows.get("witness"):
        lines.append(f"其见证服务 its witness\t{plain(shows['witness']['name'])}\t{shows['witness']['url']}")
    if shows.get("intervals"):
        promised = " ".join(f"{name}={value}" for name, value in sorted(shows["intervals"].items()))
        lines.append(f"承诺间隔 intervals\t{promised}")
    return lines


def plain(text: str) -> str:
    """Return a text of another region as it may stand on a terminal where people decide by what they read."""
    return _UNPRINTED.sub("\N{REPLACEMENT CHARACTER}", text)


def _names(each: dict[str, Any]) -> str:
    names = each.get("names") or {}
    return plain(f"{names.get('zh', '')} {names.get('en', '')}".strip())


def _rule(rule: dict[str, Any] | None) -> str:
    if rule is None:
        return "以对方声明为准 as it declares"
    names = sorted({each["name"] for each in rule["keys"]})
    return f"{rule['k']}/{len(names)}: {', '.join(names)}"
