"""`elicence equivalences`: declare what of another region's licences counts here, try rules, list and withdraw.

These work on the database directly, as the operator on the service's own machine; running services notice within a
second. `test` needs neither: it tries a declaration's rule on its cases, and says what came out.
"""

from pathlib import Path
from typing import Annotated, Any

import typer

from api import strict_json
from api.cli.answers import answering, print_json
from api.cli.catalogue import AsJson, Operator, in_region
from ledger import equivalences, rules
from ledger.actors import Actor
from ledger.region import Region

app = typer.Typer(help="证照互认 · equivalences with other regions", no_args_is_help=True)

_MAX_FILE = 1_048_576  # the same as a request body

File = Annotated[Path, typer.Argument(help="声明文件 / file of the declaration (JSON)", exists=True, dir_okay=False)]
Id = Annotated[str, typer.Argument(metavar="ID", help="互认声明编号 / id of the equivalence")]
Peer = Annotated[str | None, typer.Option("--peer", help="只列该地区 / of this region only")]
Reason = Annotated[str, typer.Option("--reason", help="理由 / why")]
From = Annotated[str | None, typer.Option("--from", help="终止时间（UTC），默认立即 / from when, otherwise at once")]


@app.command("declare", help="声明互认或其新版本 / declare an equivalence or its next version")
def declare(file: File, operator: Operator, as_json: AsJson = False) -> None:
    """Declare what the file says; it takes effect after the period of notice."""
    with answering(as_json):
        body = _read(file)
        found = in_region(lambda region: equivalences.declare(region, _actor(operator), body))
        if as_json:
            print_json(found)
        else:
            rule = found["rule"]
            named = "-" if rule is None else f"{rule['id']}@{rule['version']}"
            typer.echo(f"{found['id']}@{found['version']}\t{found['valid_from']}\trule {named}")
            for warning in found["warnings"]:
                typer.echo(f"未核对 not checked: {warning}")


@app.command("withdraw", help="终止互认 / end an equivalence")
def withdraw(id_: Id, reason: Reason, operator: Operator, from_: From = None, as_json: AsJson = False) -> None:
    """End an equivalence with all its versions."""
    with answering(as_json):
        body = {"reason": reason} | ({} if from_ is None else {"from": from_})
        found = in_region(lambda region: equivalences.withdraw(region, _actor(operator), id_, body))
        if as_json:
            print_json(found)
        else:
            typer.echo(f"{found['id']}\t终止 ends {found['withdrawn_from']}")


@app.command("list", help="列出 / list the equivalences")
def list_all(peer: Peer = None, as_json: AsJson = False) -> None:
    """List the newest version of each, with its window and whether it is in force."""

    async def work(region: Region) -> list[dict[str, Any]]:
        return equivalences.listed(region.catalogue, region.clock.now(), peer)

    with answering(as_json):
        found = in_region(work)
        if as_json:
            print_json({"equivalences": found})
        for each in [] if as_json else found:
            typer.echo(_line(each))


@app.command("show", help="查看全部版本 / show all versions of one")
def show(id_: Id, as_json: AsJson = False) -> None:
    """Show every version of an equivalence, the newest first."""

    async def work(region: Region) -> dict[str, Any]:
        return equivalences.history(region.catalogue, region.clock.now(), id_)

    with answering(as_json):
        found = in_region(work)
        if as_json:
            print_json(found)
        for each in [] if as_json else found["versions"]:
            typer.echo(_line(each))


@app.command("test", help="试算规则 / try a declaration's rule on its cases")
def try_cases(file: File, as_json: AsJson = False) -> None:
    """Say what the rule answers to each case; it is refused just where declaring it would be."""
    with answering(as_json):
        asked = equivalences.read_declaration(_read(file))
        found = [] if asked.conditions is None else rules.try_out(asked.conditions)
        variables = [] if asked.conditions is None else list(asked.conditions.rule.variables)
        if as_json:
            print_json({"answers": found, "variables": variables})
        else:
            typer.echo(f"{len(found)} 个用例均符合预期 cases judged as expected; reads {', '.join(variables) or '-'}")


def _read(file: Path) -> Any:
    return strict_json.parse(file.read_bytes(), limit=_MAX_FILE)


def _actor(operator: str) -> Actor:
    return Actor("elicence-cli", "", frozenset({"operate"}), operator)


def _line(each: dict[str, Any]) -> str:
    theirs, ours = (f"{each[side]['type']}@{each[side]['major']}" for side in ("their", "ours"))
    window = f"{each['valid_from']}\t{each['valid_until'] or '-'}\t{each['state']}"
    return f"{each['id']}@{each['version']}\t{each['peer']} {theirs} → {ours}\t{window}"
