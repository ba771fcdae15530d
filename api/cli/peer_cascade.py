"""`elicence peers held | release | notices | evidence`: what waits for an operator, what was told, what is proven.

These work on the database directly, as the operator on the service's own machine; the running service acts on a
release within seconds.
"""

from typing import Annotated, Any

import typer

from api.cli.answers import answering, print_json
from api.cli.catalogue import AsJson, Operator, in_region
from api.cli.peer_lines import plain
from ledger import flood, misbehaviour, peer_notices
from ledger.actors import Actor
from ledger.peer_inbox import inbox
from ledger.region import Region

Code6 = Annotated[str, typer.Argument(metavar="REGION", help="地区代码 / region code")]
Only = Annotated[
    list[str] | None, typer.Option("--only", metavar="IDENTIFIER", help="仅此证照，可重复 / this one only, repeatable")
]
Drop = Annotated[bool, typer.Option("--drop", help="不予采取措施 / do not act on it")]
Received = Annotated[bool, typer.Option("--received", help="对方发来的 / those the peer sent")]
Limit = Annotated[int, typer.Option("--limit", min=1, max=200, help="条数 / how many")]


def held(region_code: Code6, as_json: AsJson = False) -> None:
    """List what is held because too much fell at once, oldest first."""

    async def work(region: Region) -> list[dict[str, Any]]:
        region.catalogue.recognised.peer(region_code, None)
        return await region.database.read(lambda tx: flood.listed(tx, region_code))

    with answering(as_json):
        found = in_region(work)
        if as_json:
            print_json({"items": found})
            return
        for each in found:
            parts = (each["since"], each["state"], each["identifier"], str(each["effects"]), each["cause"])
            typer.echo("\t".join(parts))


def release(
    region_code: Code6, operator: Operator, only: Only = None, drop: Drop = False, as_json: AsJson = False
) -> None:
    """Let what is held go on, or drop it; without --only everything that is held because of the region."""
    body: dict[str, Any] = {"drop": drop} | ({"identifiers": only} if only else {})
    actor = Actor("elicence-cli", "", frozenset({"operate"}), operator)
    with answering(as_json):
        done = in_region(lambda region: flood.release(region, actor, region_code, body))
        if as_json:
            print_json(done)
        elif drop:
            typer.echo(f"{region_code}\t不予采取措施 dropped\t{done['dropped']}")
        else:
            typer.echo(f"{region_code}\t放行 released\t{done['released']}")


def evidence(region_code: Code6, as_json: AsJson = False) -> None:
    """Show what is kept against a peer's log: pairs of heads it signed that do not fit together."""

    async def work(region: Region) -> list[dict[str, Any]]:
        region.catalogue.recognised.peer(region_code, None)
        return await region.database.read(lambda tx: misbehaviour.against(tx, region_code))

    with answering(as_json):
        found = in_region(work)
        if as_json:
            print_json({"items": found})
            return
        for each in found:
            typer.echo("\t".join((each["seen_at"], each["kind"], each["origin"], each["detail"])))


def notices(region_code: Code6, received: Received = False, limit: Limit = 50, as_json: AsJson = False) -> None:
    """List the notices to a peer, newest entry first, and how far each has come; or those it sent."""

    async def work(region: Region) -> dict[str, Any]:
        region.catalogue.recognised.peer(region_code, None)
        look = inbox if received else peer_notices.outbox
        return await region.database.read(lambda tx: look(tx, region_code, None, limit))

    with answering(as_json):
        found = in_region(work)
        if as_json:
            print_json(found)
            return
        if received:
            for each in found["items"]:
                taken = (str(each["entry"]), each["event"], each["state"], each["received_at"], each["cause"])
                typer.echo("\t".join(taken))
            return
        for each in found["items"]:
            came = each["delivered_at"] or f"未送达 not delivered ({each['attempts']})"
            named, said = str(len(each["licences"])), plain(each["answer"])
            parts = (str(each["entry"]), each["event"], named, came, said, each["cause"])
            typer.echo("\t".join(parts))
