"""`elicence keys register | take-over | compromised | index-again`: tell the ledger what became of a key.

`elicence keys create | rotate | install` prepare keys in the store; these commands log them, so that the trust list
says from when to when each counts (protocol 16). A department's key is `<USCC>/licence`; the region's own are `list`,
`status`, `peer` and `authority-statement`. The private half of what the log has ended is destroyed in the store.
"""

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Annotated, Any

import typer

from api.cli.answers import answering, print_json
from api.cli.catalogue import AsJson, Operator, in_region
from api.cli.key_refusals import EXIT_REFUSED
from api.cli.service import settings_or_exit
from api.composition import open_store
from keys.errors import UnknownKey
from keys.signer import KeyStore
from ledger import key_loss, keys_registry, subject_index
from ledger.actors import Actor
from ledger.errors import Code, Refusal
from ledger.region import Region
from ledger.region_keys import STATEMENT
from verifiers.legal_dates import format_time

Name = Annotated[str, typer.Argument(help="<USCC>/licence|code|statement, list, status, peer, authority-statement")]
_OWN = {"list": "list", "status": "status", "peer": "peer", STATEMENT: "statement"}


def place_of(name: str) -> tuple[str | None, str]:
    """Return department (`None` for the region) and purpose of a key's name. Raises `Refusal` key.unknown."""
    department, slash, purpose = name.partition("/")
    if slash and purpose in keys_registry.DEPARTMENT_PURPOSES:
        return department, purpose
    if name in _OWN:
        return None, _OWN[name]
    raise Refusal(Code.KEY_UNKNOWN, None, key=name)


def register(name: Name, operator: Operator, as_json: AsJson = False) -> None:
    """登记密钥：写入账本和信任列表。Log a key that waits in the store; the trust list will name it."""
    _told(lambda region, actor: keys_registry.register(region, actor, *place_of(name)), operator, as_json)


def take_over(name: Name, operator: Operator, as_json: AsJson = False) -> None:
    """启用后继密钥，终止原密钥。Let the successor sign, and end the key before it."""
    _told(lambda region, actor: keys_registry.rotate(region, actor, *place_of(name)), operator, as_json)


def compromised(
    key: Annotated[str, typer.Argument(help="密钥标识或名称 / id or name of the key: <USCC>/licence, status …")],
    since: Annotated[str, typer.Option(help="时间或日志序号 / 2026-11-21T08:00:00Z, with a zone, or an entry's index")],
    operator: Operator,
    yes: Annotated[bool, typer.Option("--yes", help="不再询问 / do not ask")] = False,
    as_json: AsJson = False,
) -> None:
    """密钥泄露：此后入账的不再可信。Say that a key may have been in other hands; what was logged before stands."""
    moment = _moment_of(since)

    async def look(region: Region) -> key_loss.Loss:
        kid = key if key in region.catalogue.keys else key_loss.key_named(region, *place_of(key))
        return await key_loss.foresee(region, kid, moment)

    with answering(as_json):
        loss = in_region(look)
        if not as_json:
            _show(loss)
            if not yes and not typer.confirm("确认 go on?"):
                raise typer.Exit(EXIT_REFUSED)
        actor = Actor("elicence-cli", "", frozenset({"operate"}), operator)
        done = in_region(lambda region: keys_registry.compromise(region, actor, loss.key.kid, since=moment))
        if as_json:
            print_json(done | {"foreseen": loss.to_json()})
        else:
            typer.echo(f"已登记 logged: {done['kid']}")


def _moment_of(text: str) -> datetime | int:
    """Read an index of an entry, or a time that says its zone (RFC 3339)."""
    if text.isascii() and text.isdigit():
        return int(text)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None or "T" not in text.upper():
        raise typer.BadParameter("2026-11-21T08:00:00Z | 2026-11-21T16:00:00+08:00 | 1234", param_hint="--since")
    return moment


def _show(loss: key_loss.Loss) -> None:
    """Say what will stand and what will fall, before anything is done."""
    whose = loss.key.department or "region"
    typer.echo(f"密钥 key: {loss.key.kid}\t{whose}/{loss.key.purpose}")
    at = "-" if loss.before.at is None else format_time(loss.before.at)
    typer.echo(f"此前有效 good before entry: {loss.before.size}\t{at}")
    if loss.before.watched:
        typer.echo("由法定数量的见证方共签 cosigned by a quorum of witnesses")
    else:
        typer.echo("注意：无人见证，仅凭本日志自身签名 note: nobody watched; only the log's own word stands for this")
    typer.echo(f"保留 stay: {loss.stays}\t失效 fall: {loss.falls}")


def index_again(
    operator: Operator,
    new_key: Annotated[bool, typer.Option("--new-key", help="先生成新密钥 / make the next key first")] = False,
    as_json: AsJson = False,
) -> None:
    """盲索引换钥（先停止服务）。Hash known identity numbers anew under the newest key; stop the service first."""
    with answering(as_json):
        if new_key:
            store = open_store(settings_or_exit())
            store.secret(f"blind-{len(secrets_of(store, 'blind')) + 1}")
        actor = Actor("elicence-cli", "", frozenset({"operate"}), operator)
        done = in_region(lambda region: subject_index.index_again(region, actor))
        if as_json:
            print_json({"subjects": done})
        else:
            typer.echo(f"已更新主体 subjects done: {done}")


def secrets_of(store: KeyStore, name: str) -> list[str]:
    """Return the names of the numbered secrets `name` that a store holds, oldest first."""
    found: list[str] = []
    while True:
        try:
            store.secret(f"{name}-{len(found) + 1}", create=False)
        except UnknownKey:
            return found
        found.append(f"{name}-{len(found) + 1}")


def _told(work: Callable[[Region, Actor], Awaitable[dict[str, Any]]], operator: str, as_json: bool) -> None:
    with answering(as_json):
        actor = Actor("elicence-cli", "", frozenset({"operate"}), operator)
        done = in_region(lambda region: work(region, actor))
        if as_json:
            print_json(done)
        else:
            typer.echo("\t".join(f"{name}={value}" for name, value in done.items() if not isinstance(value, dict)))
