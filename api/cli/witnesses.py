"""`elicence witnesses`: who cosigns our log, how far each of them is, and how many are asked for.

These work on the database directly, as the operator on the service's own machine; running services notice within a
second.
"""

from pathlib import Path
from typing import Annotated, Any

import typer

from api.cli.answers import answering, print_json, say
from api.cli.catalogue import AsJson, Operator, in_region
from ledger import witness_policies, witness_states
from ledger.actors import Actor
from ledger.region import Region
from verifiers.witness_policy import MAX_BYTES

app = typer.Typer(help="见证 · witnesses", no_args_is_help=True)


@app.command("policy", help="查看或设置见证策略 / show the witness policy, or put a file in force")
def policy(
    file: Annotated[Path | None, typer.Argument(help="C2SP tlog-policy", exists=True, dir_okay=False)] = None,
    operator: Operator = "",
    as_json: AsJson = False,
) -> None:
    """Show the policy in force as a file that could be given back, or log `file` as the new one."""
    with answering(as_json):
        if file is None:
            found = in_region(_policy)
        else:
            with file.open("rb") as opened:
                text = opened.read(MAX_BYTES + 1).decode("utf-8")
            actor = _actor(operator)
            found = in_region(lambda region: witness_policies.set_policy(region, actor, {"policy": text}))
        if as_json:
            print_json(found)
        else:
            typer.echo(found["policy"], nl=False)


@app.command("add", help="增加见证人 / add a witness: an admitted peer, or any C2SP witness by its key")
def add(
    witness: Annotated[str, typer.Argument(help="地区代码或 vkey / region code or vkey")],
    url: Annotated[str | None, typer.Argument(help="地址 / submission prefix, with a vkey")] = None,
    quorum: Annotated[int | None, typer.Option("--quorum", min=1, help="法定数 / how many of all must cosign")] = None,
    operator: Operator = "",
    as_json: AsJson = False,
) -> None:
    """Add a witness to the policy in force. A peer's keys and address come from its trust list."""
    body: dict[str, Any] = {"peer": witness} if url is None else {"vkeys": [witness], "url": url}
    if quorum is not None:
        body["quorum"] = quorum
    with answering(as_json):
        actor = _actor(operator)
        found = in_region(lambda region: witness_policies.add_witness(region, actor, body))
        if as_json:
            print_json(found)
        else:
            typer.echo(found["policy"], nl=False)


@app.command("status", help="各见证人的状态 / how far each witness is")
def status(as_json: AsJson = False) -> None:
    """Say of each witness which size it cosigned last, how long ago, and what went wrong."""
    with answering(as_json):
        found = in_region(_status)
        if as_json:
            print_json(found)
            return
        for each in found["witnesses"]:
            age = "-" if each["age_s"] is None else f"{each['age_s']} s"
            typer.echo("\t".join([each["name"], str(each["size"]), age, each["error"] or "ok"]))
        witnessed = found["witnessed"]
        say(f"法定数 quorum {found['quorum']}; 已见证 witnessed {witnessed['size'] if witnessed else '-'}")


async def _policy(region: Region) -> dict[str, Any]:
    return witness_policies.answer_of(region.catalogue)


async def _status(region: Region) -> dict[str, Any]:
    return await region.database.read(lambda tx: witness_states.status(tx, region.clock.now()))


def _actor(operator: str) -> Actor:
    return Actor("elicence-cli", "", frozenset({"operate"}), operator)
