"""`elicence hub`: make and check the list of regions that a hub gives out. It needs neither database nor network.

The anchor key lies offline; a second person looks at what it signed and countersigns. Regions that admit each other
from such a list save asking for roots one by one, and still decide with their own two operators.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import typer

from api import strict_json
from api.cli.answers import answering, print_json
from api.cli.catalogue import AsJson
from api.cli.jwk_files import read_key
from api.cli.peer_lines import plain
from keys.certificates import parse_fingerprint
from ledger.errors import Code, Refusal
from verifiers import region_list
from verifiers.errors import Reason, VerificationError
from verifiers.members import Members
from verifiers.region_list import ListedRegion, RegionList, open_region_list

app = typer.Typer(help="枢纽的地区名录 · a hub's list of regions", no_args_is_help=True)

File = Annotated[Path, typer.Argument(help="名录文件 / file of the list", exists=True, dir_okay=False)]
Key = Annotated[Path, typer.Option("--key", help="私钥 JWK / private JWK", exists=True, dir_okay=False)]
OutFile = Annotated[Path, typer.Option("--out", help="写入文件 / write to this file")]
Anchor = Annotated[str, typer.Option("--anchor", help="锚密钥的 SHA-256 / SHA-256 of the anchor key")]
Countersigner = Annotated[
    str, typer.Option("--countersigner", help="副署密钥的 SHA-256 / SHA-256 of the countersigner's key")
]
State = Annotated[
    Path | None, typer.Option("--state", help="记住已见过的版本 / remembers the highest version seen", dir_okay=False)
]


@app.command("sign", help="由锚密钥签发名录 / sign a list with the anchor key")
def sign(
    regions: Annotated[Path, typer.Argument(help="JSON：地区数组 / array of regions", exists=True, dir_okay=False)],
    key: Key,
    out: OutFile,
    previous: Annotated[
        Path | None, typer.Option("--previous", help="上一版 / the version before", exists=True, dir_okay=False)
    ] = None,
    days: Annotated[int, typer.Option("--days", min=1, max=3660, help="有效天数 / days until it expires")] = 365,
    as_json: AsJson = False,
) -> None:
    """Sign the list of `[{"region", "names", "base", "root"}]` as the version after `previous`, or as the first."""
    with hub_answering(as_json):
        found = strict_json.parse(regions.read_bytes(), limit=region_list.MAX_CHARACTERS)
        members = Members({"regions": found}, Reason.REGION_LIST)
        rows = members.objects("regions", ListedRegion.read)
        before = None if previous is None else previous.read_text("utf-8").split("\n")[0]
        now = datetime.now(UTC).replace(microsecond=0)
        document = RegionList(
            seq=1 if before is None else region_list.read_draft(before).seq + 1,
            prev=None if before is None else region_list.digest_of(before),
            issued_at=now,
            next_update=now + timedelta(days=days) / 2,
            expires_at=now + timedelta(days=days),
            regions=rows,
        )
        held = read_key(key)
        to_sign = region_list.signing_input(document, held.public_key)
        line = region_list.finish(to_sign, held.sign(to_sign))
        region_list.read_draft(line)  # what could not be read back would be found out much later
        out.write_text(line + "\n", "utf-8")
        _told(document, {"anchor": held.public_key.key_id.hex(), "file": str(out)}, as_json)


@app.command("countersign", help="由第二人核对后副署 / countersign what the anchor key signed")
def countersign(
    file: File,
    key: Key,
    anchor: Anchor,
    yes: Annotated[bool, typer.Option("--yes", help="不再询问 / do not ask")] = False,
    as_json: AsJson = False,
) -> None:
    """Show the list, and add the second person's signature to the file."""
    with hub_answering(as_json):
        line = file.read_text("utf-8").split("\n")[0]
        document = region_list.read_draft(line, anchor=pinned(anchor))
        if not as_json:
            typer.echo("\n".join(lines_of(document)))
        if not yes:
            typer.confirm("副署该名录？ Countersign this list?", abort=True, err=True)
        held = read_key(key)
        to_sign = region_list.countersigning_input(line, held.public_key)
        text = region_list.format_region_list(line, region_list.finish(to_sign, held.sign(to_sign)))
        mine = held.public_key.key_id.hex()
        open_region_list(text, anchor=pinned(anchor), countersigner=mine, at=datetime.now(UTC))
        file.write_text(text, "utf-8")
        _told(document, {"countersigner": mine, "file": str(file)}, as_json)


@app.command("check", help="核对名录 / check a list")
def check(
    file: File, anchor: Anchor, countersigner: Countersigner, state: State = None, as_json: AsJson = False
) -> None:
    """Check both signatures, the times, and that the list is not older than one already seen."""
    with hub_answering(as_json):
        _told(opened(file, anchor, countersigner, state), {}, as_json)


def opened(file: Path, anchor: str, countersigner: str, state: Path | None) -> RegionList:
    """Return the list in `file` under both pinned keys, and remember its version in `state` where one is given.

    Raises `VerificationError`, `BadCertificate` for a pin that is none, `OSError`, `Refusal` hub.list_invalid for two
    lists of one number.
    """
    text = file.read_text("utf-8")
    seen = {} if state is None or not state.exists() else strict_json.parse(state.read_bytes(), limit=4096)
    document = open_region_list(
        text,
        anchor=pinned(anchor),
        countersigner=pinned(countersigner),
        at=datetime.now(UTC),
        seen_seq=seen.get("seq", 0),
    )
    digest = region_list.digest_of(text.split("\n")[0]).hex()
    if seen.get("seq") == document.seq and seen.get("digest") != digest:
        raise Refusal(Code.HUB_LIST_INVALID, None, why="another list of this number was seen before")
    if state is not None:
        # A crash in between leaves the older memory, never half a file.
        temporary = state.with_name(state.name + ".new")
        temporary.write_text(json.dumps({"digest": digest, "seq": document.seq}), "utf-8")
        temporary.replace(state)
    return document


def listed(file: Path, anchor: str, countersigner: str, state: Path | None, wanted: str) -> ListedRegion:
    """The region a hub's list names by code or address. Raises `Refusal` hub.region_unknown, hub.list_invalid."""
    try:
        found = opened(file, anchor, countersigner, state).find(wanted)
    except VerificationError as error:
        raise Refusal(Code.HUB_LIST_INVALID, None, reason=str(error.reason), why=error.detail) from None
    if found is None:
        raise Refusal(Code.HUB_REGION_UNKNOWN, None, wanted=wanted)
    return found


def pinned(text: str) -> str:
    """Return the SHA-256 of a key as people write it, in 64 hex digits. Raises `BadCertificate`."""
    return parse_fingerprint(text)


def lines_of(document: RegionList) -> list[str]:
    """Return a list for a terminal, one region a line."""
    head = f"#{document.seq}\t{document.issued_at:%Y-%m-%d} → {document.expires_at:%Y-%m-%d}"
    rows = [
        f"{each.region}\t{plain(each.names.zh)} {plain(each.names.en)}\t{each.base}\t{each.root}"
        for each in document.regions
    ]
    return [head, *rows]


@contextmanager
def hub_answering(as_json: bool) -> Iterator[None]:
    """Answer as all commands do; what is wrong with a list is a refusal hub.list_invalid."""
    with answering(as_json):
        try:
            yield
        except VerificationError as error:
            raise Refusal(Code.HUB_LIST_INVALID, None, reason=str(error.reason), why=error.detail) from None


def _told(document: RegionList, more: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print_json({**document.to_json(), **more})
        return
    typer.echo("\n".join([*lines_of(document), *(f"{name}: {value}" for name, value in more.items())]))
