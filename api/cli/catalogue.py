"""`elicence departments | grants | types | matters | clients`: what the region knows, and additions to it.

These work on the database directly, as the operator on the service's own machine: they are how the first operator's
client comes into being. Running services notice within a second.
"""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from api import strict_json
from api.cli.answers import answering, print_json
from api.cli.service import settings_or_exit
from api.composition import open_region
from ledger import clients, departments, grants, matters, types
from ledger.actors import Actor
from ledger.region import Region

T = TypeVar("T")
Listing = Callable[[Region], Awaitable[list[dict[str, Any]]]]
Adding = Callable[[Region, Actor, Any], Awaitable[dict[str, Any]]]

_MAX_FILE = 1_048_576  # the same as a request body: a definition has a few KiB

Operator = Annotated[str, typer.Option("--operator", envvar="ELICENCE_OPERATOR", help="操作员 / who is at work")]
AsJson = Annotated[bool, typer.Option("--json", help="机器可读 / for programs")]
File = Annotated[Path, typer.Argument(help="JSON 文件 / JSON file", exists=True, dir_okay=False)]


def in_region(work: Callable[[Region], Awaitable[T]]) -> T:
    """Open the region, do `work`, close it, and return what came of it; a service that runs goes on publishing."""

    async def run() -> T:
        region = await open_region(settings_or_exit(), takes_over=False)
        try:
            return await work(region)
        finally:
            await region.close()

    return asyncio.run(run())


def _actor(operator: str) -> Actor:
    return Actor("elicence-cli", "", frozenset({"operate"}), operator)


def _sub_app(
    what: str, noun: str, listing: Listing, adding: Adding, line: Callable[[dict[str, Any]], str]
) -> typer.Typer:
    app = typer.Typer(help=what, no_args_is_help=True)

    @app.command("list", help=f"列出 / list the {noun}")
    def list_all(as_json: AsJson = False) -> None:
        with answering(as_json):
            found = in_region(listing)
            if as_json:
                print_json({noun: found})
            for each in [] if as_json else found:
                typer.echo(line(each))

    @app.command("add", help=f"登记 / register one of the {noun} from a JSON file")
    def add(file: File, operator: Operator, as_json: AsJson = False) -> None:
        with answering(as_json):
            body = strict_json.parse(file.read_bytes(), limit=_MAX_FILE)
            made = in_region(lambda region: adding(region, _actor(operator), body))
            if as_json:
                print_json(made)
            else:
                typer.echo(line(made))

    return app


def _named(each: dict[str, Any]) -> str:
    names = each.get("names", {})
    return "\t".join(str(part) for part in (each.get("code", each.get("id")), names.get("zh", ""), names.get("en", "")))


def _grant_line(each: dict[str, Any]) -> str:
    scope = f"{each['type']}@{each['major']}\t{each['area']}\t{','.join(each['acts'])}"
    return f"{each['id']}\t{each['department']}\t{scope}\t{'ended' if each.get('ended') else 'open'}"


def _client_line(each: dict[str, Any]) -> str:
    state = "off" if each["disabled"] else "on"
    return f"{each['id']}\t{each.get('department') or '-'}\t{','.join(each['scopes'])}\t{state}"


async def _departments(region: Region) -> list[dict[str, Any]]:
    return departments.listed(region.catalogue)


async def _grants(region: Region) -> list[dict[str, Any]]:
    return grants.listed(region.catalogue)


async def _types(region: Region) -> list[dict[str, Any]]:
    return types.listed(region.catalogue)


async def _matters(region: Region) -> list[dict[str, Any]]:
    return matters.listed(region.catalogue)


async def _clients(region: Region) -> list[dict[str, Any]]:
    return await region.database.read(clients.listed)


async def _add_client(region: Region, _: Actor, body: Any) -> dict[str, Any]:
    return await clients.register(region, body)


departments_app = _sub_app("部门 · departments", "departments", _departments, departments.register, _named)
grants_app = _sub_app("授权 · grants", "grants", _grants, grants.give, _grant_line)
types_app = _sub_app("证照类型 · licence types", "types", _types, types.register, _named)
matters_app = _sub_app("事项 · matters", "matters", _matters, matters.register, _named)
clients_app = _sub_app("客户端 · clients", "clients", _clients, _add_client, _client_line)


@grants_app.command("end", help="终止授权 / end a grant")
def end_grant(grant: str, operator: Operator, as_json: AsJson = False) -> None:
    """End a grant; what was done under it stays good."""
    with answering(as_json):
        print_json(in_region(lambda region: grants.end(region, _actor(operator), grant)))


@clients_app.command("disable", help="停用客户端 / shut a client out")
def disable_client(client: str, as_json: AsJson = False) -> None:
    """Shut a client out."""
    with answering(as_json):
        print_json(in_region(lambda region: clients.change(region, client, {"disabled": True})))
