"""`elicence witnesses watch | unwatch | watched | renew`: which logs our own witness cosigns, and its keys.

These work on the database directly, as the operator on the service's own machine; running services notice at once.
"""

from typing import Annotated

import typer

from api.cli.answers import answering, print_json, say
from api.cli.catalogue import AsJson, in_region
from api.cli.service import settings_or_exit
from api.composition import open_store, region_config
from ledger import watched_logs
from ledger.clock import SystemClock
from ledger.database import Database
from ledger.schema import require_newest
from ledger.witness_identity import renew, witness_name


def watch(
    vkeys: Annotated[list[str], typer.Argument(help="账本的全部验证密钥 / all verifier keys of the log")],
    origin: Annotated[
        str | None, typer.Option("--origin", help="账本名，默认同密钥名 / name of the log, if not that of its keys")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """为外部账本做见证。Cosign a log outside our regions; every key given must have signed its checkpoints."""
    with answering(as_json):
        found = in_region(lambda region: watched_logs.watch(region, vkeys, origin))
        if as_json:
            print_json(found)
        else:
            say(f"开始见证 watching {found['origin']}")


def unwatch(
    origin: Annotated[str, typer.Argument(help="账本名 / name of the log")],
    as_json: AsJson = False,
) -> None:
    """不再为该账本做见证。Cosign a log no longer; what was cosigned is remembered."""
    with answering(as_json):
        in_region(lambda region: watched_logs.unwatch(region, origin))
        if as_json:
            print_json({"origin": origin})
        else:
            say(f"不再见证 no longer watching {origin}")


def watched(as_json: AsJson = False) -> None:
    """列出本见证服务见证的账本。List the logs our witness cosigns, and how far each is."""
    with answering(as_json):
        found = in_region(watched_logs.listed)
        if as_json:
            print_json({"logs": found})
            return
        for each in found:
            size = "-" if each["size"] is None else str(each["size"])
            typer.echo("\t".join([each["origin"], each["named_by"], size, each["cosigned_at"] or "-"]))


def renew_keys(as_json: AsJson = False) -> None:
    """换发见证密钥（数据库丢失或恢复后）。Retire the witness's keys and make new ones, as after a lost database."""
    with answering(as_json):
        vkeys = renewed()
        if as_json:
            print_json({"vkeys": list(vkeys)})
        else:
            typer.echo("\n".join(vkeys))
            say("请将新密钥告知使用本见证的账本 tell the logs that use this witness")


def renewed() -> tuple[str, ...]:
    """Renew the witness of the settings and return its new verifier keys. Raises `Refusal` schema.outdated."""
    settings = settings_or_exit()
    database = Database.open(settings.database_url)
    try:
        with database.reading() as tx:
            require_newest(tx)
        name = witness_name(region_config(settings))
        return renew(database, open_store(settings), name, SystemClock().now())
    finally:
        database.close()
