"""`elicence monitor`: a department compares what the log says it did with what its own system did (protocol 32).

A key that is hosted by the region could be misused by whoever gets hold of the host. The signed daily list names every
entry in the department's name; what its own records do not know stands out the day after. The list is not taken on
trust: its rows are compared with the public log, and entries of the public log that it leaves out are named too.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, Final

import httpx
import typer

from api.cli.answers import answering, print_json, say
from api.cli.http_client import Refused, ServiceClient, good
from api.cli.key_refusals import EXIT_REFUSED, EXIT_UNUSABLE
from ledger.daily_lists import open_daily_list
from verifiers.checkpoint import open_checkpoint
from verifiers.encoding import b64u_encode
from verifiers.entry import parse
from verifiers.errors import VerificationError
from verifiers.legal_dates import day_begins, day_of
from verifiers.merkle import leaf_hash
from verifiers.tiles import ENTRIES, WIDTH, Tile, parse_bundle
from verifiers.trust_list import TrustList, open_trust_list

OWN_MAX: Final = 10_000_000
"""Most lines of own records that are read: a large department's year."""


@dataclass(frozen=True, slots=True)
class Compared:
    """One day: entries nobody at the department knows of, own ones the log lacks, and what the list left out."""

    day: date
    listed: int
    unknown: tuple[dict[str, Any], ...]
    missing: tuple[int, ...]
    withheld: tuple[int, ...]
    altered: tuple[int, ...]

    @property
    def agrees(self) -> bool:
        """Whether there is nothing to look into."""
        return not (self.unknown or self.missing or self.withheld or self.altered)

    def to_json(self) -> dict[str, Any]:
        """Return what a program reads."""
        return {
            "day": self.day.isoformat(),
            "listed": self.listed,
            "unknown": list(self.unknown),
            "missing": list(self.missing),
            "withheld": list(self.withheld),
            "altered": list(self.altered),
        }


class PublicLog:
    """The entries of a log as everybody sees them, under a checkpoint whose keys the trust list names."""

    def __init__(self, http: httpx.Client, trust: TrustList) -> None:
        self._http = http
        note = good(http.get("/log/checkpoint")).text
        policy = trust.log_policy(note.partition("\n")[0])
        if policy is None:
            raise typer.BadParameter("the trust list does not name this log")
        self.size = open_checkpoint(note, policy).checkpoint.size
        self._held: dict[int, list[bytes]] = {}

    def of_day(self, department: str, day: date) -> dict[int, str]:
        """Return index and leaf hash (b64u) of every entry in the department's name on `day` (+08:00)."""
        begins = datetime.fromtimestamp(day_begins(day), UTC)
        ends = datetime.fromtimestamp(day_begins(day + timedelta(days=1)), UTC)
        found = {}
        for idx in range(self._first_from(begins), self.size):
            data = self.entry(idx)
            leaf = parse(data)
            if leaf.at >= ends:
                break
            if leaf.by == department:
                found[idx] = b64u_encode(leaf_hash(data))
        return found

    def entry(self, idx: int) -> bytes:
        """Return the bytes of one entry."""
        number = idx // WIDTH
        if number not in self._held:
            width = min(WIDTH, self.size - number * WIDTH)
            path = Tile(ENTRIES, number, width).path()
            if len(self._held) > 64:
                self._held.clear()
            self._held[number] = parse_bundle(good(self._http.get(f"/log/{path}")).content, width)
        return self._held[number][idx % WIDTH]

    def _first_from(self, at: datetime) -> int:
        low, high = 0, self.size
        while low < high:
            middle = (low + high) // 2
            low, high = (middle + 1, high) if parse(self.entry(middle)).at < at else (low, middle)
        return low


def compare(
    payload: dict[str, Any], log: dict[int, str], size: int, own: set[int], ignored: frozenset[str], day: date
) -> Compared:
    """Compare a day's list, the public log of `size` entries on that day, and the department's own entry numbers."""
    rows = {row["idx"]: row for row in payload["entries"]}
    unknown = [row for idx, row in sorted(rows.items()) if idx not in own and row["event"] not in ignored]
    unknown += [{"idx": idx, "hash": log[idx]} for idx in sorted(set(log) - set(rows) - own)]
    # Own numbers of other days say nothing here: only those between the day's first and last entry can be missing.
    span = sorted({*rows, *log})
    between = {idx for idx in own if span and span[0] <= idx <= span[-1]}
    return Compared(
        day=day,
        listed=len(rows),
        unknown=tuple(unknown),
        missing=tuple(sorted(between - set(rows) - set(log))),
        withheld=tuple(sorted(set(log) - set(rows))),
        altered=tuple(idx for idx, row in sorted(rows.items()) if idx < size and log.get(idx) != row["hash"]),
    )


def own_entries(file: Path) -> set[int]:
    """Return the entry numbers in a department's own records: a line is a number, or JSON with `entry`."""
    return set(_numbers(file))


def _numbers(file: Path) -> Iterator[int]:
    with file.open(encoding="utf-8") as lines:
        for count, line in enumerate(lines):
            if count >= OWN_MAX:
                raise typer.BadParameter(f"more than {OWN_MAX} lines")
            said = json.loads(line) if line.strip() else None
            entry = said.get("entry") if isinstance(said, dict) else said
            if isinstance(entry, int):
                yield entry


def monitor(
    department: Annotated[str, typer.Argument(help="统一社会信用代码 / the department's code")],
    own: Annotated[Path, typer.Option(help="本部门记录（NDJSON） / own records", exists=True, dir_okay=False)],
    service: Annotated[str, typer.Option(envvar="ELICENCE_BASE_URL", help="服务地址 / BASE of the service")],
    client: Annotated[str, typer.Option(help="客户端编号 / client_id")],
    key: Annotated[Path, typer.Option(help="私钥 JWK / private JWK of the client", exists=True, dir_okay=False)],
    root: Annotated[str, typer.Option(help="地区根指纹 / fingerprint of the region's root")],
    day: Annotated[datetime | None, typer.Option(formats=["%Y-%m-%d"], help="日期，默认昨天 / yesterday")] = None,
    ignore: Annotated[list[str] | None, typer.Option(help="不比对的事件 / events to leave out")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="机器可读 / for programs")] = False,
) -> None:
    """把账本中以本部门名义的记录与自己的记录逐条核对。Compare the log's entries in your name with your own records."""
    now = datetime.now(UTC)
    chosen = day_of(now) - timedelta(days=1) if day is None else day.date()
    with answering(as_json), httpx.Client(base_url=service, timeout=60) as http:
        try:
            caller = ServiceClient.from_file(http, client, key, service)
            found = watch(http, caller, department, chosen, own_entries(own), root, now, frozenset(ignore or ()))
        except (Refused, VerificationError, httpx.HTTPError) as error:
            say(f"无法核对 cannot be compared: {error}")
            raise typer.Exit(EXIT_UNUSABLE) from None
    _print(found, as_json)
    if not found.agrees:
        raise typer.Exit(EXIT_REFUSED)


def watch(
    http: httpx.Client,
    caller: ServiceClient,
    department: str,
    day: date,
    own: set[int],
    root: str,
    now: datetime,
    ignored: frozenset[str] = frozenset(),
) -> Compared:
    """Fetch the day's list, open it under the pinned root, and compare. Raises `Refused`, `VerificationError`."""
    trust = open_trust_list(good(http.get("/trust-list")).text, root_fingerprint=root, at=now)
    log = PublicLog(http, trust)
    path = f"/v1/departments/{department}/entries"
    text = caller.get(path, params={"day": day.isoformat()}).text
    payload = _opened(text, trust, department, day)
    return compare(payload, log.of_day(department, day), log.size, own, ignored, day)


def _opened(text: str, trust: TrustList, department: str, day: date) -> dict[str, Any]:
    keys = [key for key in trust.document.keys if key.purpose == "statement" and key.department is None]
    failed: VerificationError | None = None
    for key in keys:
        try:
            payload = open_daily_list(text, key.public_key)
        except VerificationError as error:
            failed = error
            continue
        if (payload["department"], payload["day"]) != (department, day.isoformat()):
            raise typer.BadParameter("the service answered with another list")
        return payload
    raise failed or typer.BadParameter("the trust list names no statement key of the region")


def _print(found: Compared, as_json: bool) -> None:
    if as_json:
        print_json(found.to_json())
        return
    typer.echo(f"{found.day} · {found.listed} 条 entries · {'一致 agrees' if found.agrees else '不一致 differs'}")
    for row in found.unknown:
        typer.echo(
            f"本部门无记录 not in your records: entry {row['idx']} {row.get('event', '')} {row.get('thing', '')}"
        )
    for idx in found.missing:
        typer.echo(f"账本中没有 not in the log: entry {idx}")
    for idx in found.withheld:
        typer.echo(f"清单漏列 left out of the list: entry {idx}")
    for idx in found.altered:
        typer.echo(f"清单与公开账本不符 differs from the public log: entry {idx}")
