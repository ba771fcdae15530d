"""`elicence peers`: see what another region would be trusted with, approve it, admit it, and take it back.

`propose` writes a file, each of two operators adds an approval to it with `approve`, `admit` carries it out; where both
are at the machine, one `admit` does all of it. These work on the database directly, as the operator on the service's
own machine. Running services notice within a second.
"""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from api.cli.answers import answering, print_json, say
from api.cli.catalogue import AsJson, Operator, in_region
from api.cli.peer_files import (
    admission,
    approvers,
    file_text,
    located,
    read_proposal,
    signed,
    witness_rule,
)
from api.cli.peer_lines import peer_line, shown_lines
from api.cli.peer_status import status
from ledger import peer_listing, peers
from ledger.actors import Actor
from ledger.region import Region
from verifiers import approval

app = typer.Typer(help="互认地区 · other regions", no_args_is_help=True)
app.command("status", help="跟踪情况 / how following them goes")(status)

Url = Annotated[str, typer.Argument(help="对方地址 / base address of the other region")]
Code6 = Annotated[str, typer.Argument(metavar="REGION", help="地区代码 / region code")]
Root = Annotated[
    str | None,
    typer.Option("--root", help="根证书文件或指纹，不得取自网络 / its root: file or fingerprint, out of band"),
]
Witnesses = Annotated[
    Path | None,
    typer.Option("--witnesses", help="见证要求：tlog-policy 或 JSON / witness rule", exists=True, dir_okay=False),
]
HubList = Annotated[
    Path | None, typer.Option("--hub", help="枢纽名录 / a hub's list of regions", exists=True, dir_okay=False)
]
Anchor = Annotated[str, typer.Option("--anchor", help="名录的锚密钥指纹 / pinned anchor key of that list")]
Countersigner = Annotated[str, typer.Option("--countersigner", help="名录的副署密钥指纹 / and its second key")]
Approve = Annotated[
    list[str] | None, typer.Option("--approve", help="客户端=私钥文件，两次 / CLIENT=JWKFILE, twice", metavar="C=FILE")
]
ProposalFile = Annotated[
    Path | None, typer.Option("--proposal", help="已批准的提案 / the approved proposal", exists=True, dir_okay=False)
]
Out = Annotated[Path | None, typer.Option("--out", help="写入文件 / write to this file")]
Sure = Annotated[bool, typer.Option("--yes", help="不再询问 / do not ask")]
Reason = Annotated[str, typer.Option("--reason", help="理由 / why")]


@app.command("propose", help="查看并提出互认 / see what would be trusted, and propose it")
def propose(
    url: Url,
    root: Root = None,
    witnesses: Witnesses = None,
    hub_list: HubList = None,
    anchor: Anchor = "",
    countersigner: Countersigner = "",
    out: Out = None,
    as_json: AsJson = False,
) -> None:
    """Fetch what the region shows, check it under the root, and write the proposal for two operators to approve."""
    with answering(as_json):
        base, pinned = located(url, root, hub_list, anchor, countersigner)
        if base is None or pinned is None:
            raise typer.BadParameter("须有 --root 或 --hub / --root or --hub is needed")
        found = in_region(lambda region: peers.propose(region, admission(base, pinned, witnesses)))
        _deliver(found, out, as_json)


@app.command("approve", help="批准提案 / approve a proposal")
def approve(
    file: Annotated[Path, typer.Argument(help="提案文件 / file of the proposal", exists=True, dir_okay=False)],
    client: Annotated[str, typer.Option("--client", help="操作员客户端 / the operator's client id")],
    key: Annotated[Path, typer.Option("--key", help="其私钥 JWK / its private JWK", exists=True, dir_okay=False)],
    out: Out = None,
    yes: Sure = False,
    as_json: AsJson = False,
) -> None:
    """Add an approval to the proposal in `file`. It needs neither network nor database, only the operator's key."""
    with answering(as_json):
        found = read_proposal(file)
        if not as_json:
            typer.echo("\n".join(shown_lines(found)))
        _confirm("批准该提案？ Approve this?", yes)
        text = signed(found["proposal"], client, key)
        found["approvals"] = [*found.get("approvals", []), text]
        target = out or file
        target.write_text(file_text(found), "utf-8")
        if as_json:
            print_json({"approval": text, "approvals": len(found["approvals"]), "file": str(target)})
        else:
            typer.echo(f"已批准 approved: {client} ({len(found['approvals'])}/{approval.NEEDED}) → {target}")


@app.command("admit", help="接纳地区 / admit a region")
def admit(
    operator: Operator,
    url: Annotated[str | None, typer.Argument(help="对方地址 / base address of the other region")] = None,
    root: Root = None,
    witnesses: Witnesses = None,
    approvals: Approve = None,
    proposal: ProposalFile = None,
    hub_list: HubList = None,
    anchor: Anchor = "",
    countersigner: Countersigner = "",
    yes: Sure = False,
    as_json: AsJson = False,
) -> None:
    """Admit the region of an approved proposal; or fetch, show, approve and admit in one go.

    With a hub's list, URL may be a region code, and the root is the one on the list; everything else is the same.
    """
    with answering(as_json):
        url, root = located(url, root, hub_list, anchor, countersigner)
        if (proposal is None) == (url is None or root is None):
            raise typer.BadParameter("URL 与 --root 或 --hub，或 --proposal / URL with --root or --hub, or --proposal")

        async def work(region: Region) -> dict[str, Any]:
            if proposal is not None:
                found = read_proposal(proposal)
            else:
                found = await peers.propose(region, admission(url or "", root or "", witnesses))
            return await _carry_out(region, found, approvals, yes, as_json, operator, None)

        _told(in_region(work), as_json)


@app.command("list", help="列出 / list the peers")
def list_all(as_json: AsJson = False) -> None:
    """List every region that was ever admitted, and how it stands."""
    with answering(as_json):
        found = in_region(lambda region: peer_listing.listed(region, None, 200))["items"]
        if as_json:
            print_json({"peers": found})
        for each in [] if as_json else found:
            typer.echo(peer_line(each))


@app.command("show", help="查看一个地区 / show one peer")
def show(region_code: Code6, as_json: AsJson = False) -> None:
    """Show a peer with the proposal that was approved last, and by whom."""
    with answering(as_json):
        found = in_region(lambda region: peer_listing.described(region, region_code))
        if as_json:
            print_json(found)
        else:
            typer.echo(peer_line(found))
            typer.echo(f"根 root {found['root']}\n批准 approved by {', '.join(approvers(found)) or '-'}")


@app.command("suspend", help="立即暂停互认 / stop relying on a peer at once")
def suspend(region_code: Code6, reason: Reason, operator: Operator, as_json: AsJson = False) -> None:
    """Stop relying on a peer for now; one operator is enough."""
    _cut(peers.suspend, region_code, reason, operator, as_json)


@app.command("withdraw", help="立即终止互认 / end the recognition of a peer at once")
def withdraw(region_code: Code6, reason: Reason, operator: Operator, as_json: AsJson = False) -> None:
    """End the recognition of a peer; it comes back only by being admitted anew."""
    _cut(peers.withdraw, region_code, reason, operator, as_json)


@app.command("resume", help="恢复互认（须两人批准）/ rely on a suspended peer again, as two approve")
def resume(
    region_code: Code6,
    operator: Operator,
    approvals: Approve = None,
    proposal: ProposalFile = None,
    out: Out = None,
    yes: Sure = False,
    as_json: AsJson = False,
) -> None:
    """Resume a peer; without approvals or a proposal, write what is to be approved."""
    body = {"act": "resume", "region": region_code}
    _approved_act(body, operator, approvals, proposal, out, yes, as_json)


@app.command("change", help="更改对其见证的要求（须两人批准）/ change what its witnesses must do")
def change(
    region_code: Code6,
    operator: Operator,
    witnesses: Witnesses = None,
    approvals: Approve = None,
    proposal: ProposalFile = None,
    out: Out = None,
    yes: Sure = False,
    as_json: AsJson = False,
) -> None:
    """Demand other witnesses of a peer's log; without a file, those that its own trust list declares count."""
    with answering(as_json):
        body = {"act": "change", "region": region_code, "witnesses": witness_rule(witnesses)}
    _approved_act(body, operator, approvals, proposal, out, yes, as_json)


async def _carry_out(
    region: Region,
    found: dict[str, Any],
    approvals: list[str] | None,
    yes: bool,
    as_json: bool,
    operator: str,
    act: tuple[str, str] | None,
) -> dict[str, Any]:
    """Show, sign where keys are given, and do it; `act` is (peer, act) for anything but an admission."""
    if not as_json:
        typer.echo("\n".join(shown_lines(found)))
    _confirm("以上内容将受信任，确认？ All this will be trusted. Go on?", yes)
    texts = list(found.get("approvals", []))
    for each in approvals or []:
        client, _, file = each.partition("=")
        texts.append(signed(found["proposal"], client, Path(file)))
    body = {"proposal": found["proposal"], "approvals": texts}
    if act is None:
        return await peers.admit(region, _actor(operator), body)
    return await peers.act(region, _actor(operator), act[0], {"act": act[1], **body})


def _approved_act(
    body: dict[str, Any],
    operator: str,
    approvals: list[str] | None,
    proposal: Path | None,
    out: Path | None,
    yes: bool,
    as_json: bool,
) -> None:
    with answering(as_json):
        if approvals is None and proposal is None:
            _deliver(in_region(lambda region: peers.propose(region, body)), out, as_json)
            return

        async def work(region: Region) -> dict[str, Any]:
            found = await peers.propose(region, body) if proposal is None else read_proposal(proposal)
            return await _carry_out(region, found, approvals, yes, as_json, operator, (body["region"], body["act"]))

        _told(in_region(work), as_json)


def _cut(act: Callable[..., Awaitable[dict[str, Any]]], code: str, reason: str, operator: str, as_json: bool) -> None:
    with answering(as_json):
        _told(in_region(lambda region: act(region, _actor(operator), code, reason)), as_json)


def _deliver(found: dict[str, Any], out: Path | None, as_json: bool) -> None:
    if out is not None:
        out.write_text(file_text(found), "utf-8")
    if as_json:
        print_json(found)
        return
    typer.echo("\n".join(shown_lines(found)))
    if out is not None:
        say(f"提案已写入，请两名操作员批准 written, for two operators to approve: {out}")


def _told(done: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print_json(done)
    else:
        typer.echo(peer_line(done))


def _confirm(question: str, yes: bool) -> None:
    if not yes:
        typer.confirm(question, abort=True, err=True)


def _actor(operator: str) -> Actor:
    return Actor("elicence-cli", "", frozenset({"operate"}), operator)
