"""`elicence backup | restore`: one state of everything stored, taken while the service runs, and put back."""

import asyncio
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from api.cli import witness_service
from api.cli.answers import answering, print_json, say
from api.cli.examination import AsJson
from api.cli.service import settings_or_exit
from api.composition import open_region, open_store, region_config
from api.settings import Settings
from keys.errors import KeyStoreError
from keys.file_store import FileKeyStore
from keys.private_files import make_directory
from ledger import erased_before, erasing, witness_identity, witness_states
from ledger.auditing import Stored, audit_stored
from ledger.backing_up import back_up
from ledger.backups import KEYS, Manifest, check_parts
from ledger.clock import SystemClock
from ledger.database import Database
from ledger.engines import normal_url
from ledger.errors import Code, Refusal
from ledger.region import Region
from ledger.restoring import Restored
from ledger.restoring import restore as restore_backup
from ledger.sequencing import read_head
from ledger.status_slots import skip_ahead
from ledger.vault import Vault
from verifiers.legal_dates import parse_time

_WHAT = {
    "copy": "复制 copy",
    "examine": "检查 examine",
    "sum": "摘要 sum",
    "check": "核对 check",
    "restore": "恢复 restore",
    "audit": "审计 audit",
}
_SHOWN_AFTER_S = 1.0
_PUBLISHED_S = 600.0


@contextmanager
def stages(quiet: bool) -> Iterator[Callable[[str, int, int], None]]:
    """Show a bar for each stage on standard error, unless a program reads us or all is done within a second."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    begun, tasks = time.monotonic(), {}
    with Progress(*columns, console=Console(stderr=True), disable=quiet, transient=True) as bar:

        def tell(what: str, done: int, whole: int) -> None:
            if what not in tasks:
                if time.monotonic() - begun < _SHOWN_AFTER_S:
                    return
                tasks[what] = bar.add_task(_WHAT.get(what, what), total=None)
            bar.update(tasks[what], completed=done, total=whole)

        yield tell


def backup(
    place: Annotated[Path, typer.Argument(help="存放备份的目录 / folder where backups are kept")],
    keys: Annotated[
        bool, typer.Option("--keys", help="同时复制加密的密钥库 / copy the encrypted key store too")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """在线备份；服务不停。Back everything up while the service runs; older backups than allowed are removed."""
    with answering(as_json):
        settings = settings_or_exit()
        vault = Vault.open(open_store(settings))
        database = Database.open(settings.database_url)
        try:
            with stages(as_json) as tell:
                done = back_up(
                    database,
                    vault,
                    place,
                    now=SystemClock().now(),
                    days=settings.backup_days,
                    keys=settings.keystore if keys else None,
                    published=settings.tiles,
                    progress=tell,
                )
        finally:
            database.close()
    manifest = done.manifest
    whole = sum(part.size for part in manifest.parts)
    if as_json:
        answer = {"folder": str(done.folder), "size": manifest.size, "root": manifest.root, "bytes": whole}
        print_json({**answer, "keys": manifest.has_keys, "removed": list(done.pruned)})
        return
    typer.echo(f"{done.folder}\n{manifest.size} 条 entries · {whole / 1e6:.1f} MB · {manifest.origin}")
    for name in done.pruned:
        say(f"已删除过期备份 removed, too old: {name}")
    if not manifest.has_keys:
        say(
            f"另须保管：密钥库 {settings.keystore} 及其口令，否则备份无法打开 keep the key store and its password apart"
        )
    else:
        say("另须保管：密钥库口令 keep the password of the key store, it is in no backup")


def restore(
    folder: Annotated[
        Path | None,
        typer.Argument(help="备份；不给出则为数据库已用其他工具恢复 / backup; none: restored by other tools"),
    ] = None,
    into: Annotated[str | None, typer.Option("--into", help="目标数据库地址 / address of the database")] = None,
    without_witnesses: Annotated[
        bool, typer.Option("--without-witnesses", help="见证方已不存在，不再等待 / they are gone for good: do not wait")
    ] = False,
    audited: Annotated[bool, typer.Option("--audit/--no-audit", help="恢复后审计 / audit what was restored")] = True,
    as_json: AsJson = False,
) -> None:
    """恢复备份到空数据库，重新执行删除，审计。Restore a backup into an empty database, and make it fit to be served."""
    with answering(as_json):
        settings = settings_or_exit()
        if without_witnesses:
            if folder is not None:
                raise typer.BadParameter("先恢复，再决定 / restore first, decide afterwards")
            told = _unwatched(settings)
        elif folder is None:
            if into is not None:
                raise typer.BadParameter("--into 需要备份 / --into needs a backup")
            told = _after_other_tools(settings)
        else:
            told = _from_backup(settings, folder, into, audited=audited, quiet=as_json)
    if as_json:
        print_json(told)
    elif without_witnesses:
        say("不再等待见证方 the witnesses are not waited for")
    else:
        typer.echo(f"可以启动 ready to start；重新删除 shredded again: {told['shredded']}")
        if "audit" in told:
            typer.echo(f"{told['size']} 条 entries；审计 audit: {told['audit']}")
        say("见证密钥已换发 the witness has new keys")


def _unwatched(settings: Settings) -> dict[str, Any]:
    """Go on without the word of the witnesses. What they were shown after the backup is forked by the next entry."""
    database = Database.open(settings.database_url)
    try:
        with database.writing() as tx:
            waited = witness_states.is_restored(tx)
            witness_states.heard(tx)
    finally:
        database.close()
    return {"waited": waited}


def _after_other_tools(settings: Settings) -> dict[str, Any]:
    store = open_store(settings)
    database = Database.open(settings.database_url)
    try:
        with database.writing() as tx:
            # Licences issued after the backup are in people's hands: no new one may share a bit with them.
            skip_ahead(tx, store.secret("slots"), settings.base_url)
            witness_states.forget(tx)
        shredded = asyncio.run(erasing.replay_erasures(database))
    finally:
        database.close()
    # What the witness cosigned after the backup is forgotten, so its keys may sign nothing more (protocol 33).
    return {"shredded": shredded, "witness": list(witness_service.renewed())}


def _from_backup(settings: Settings, folder: Path, into: str | None, *, audited: bool, quiet: bool) -> dict[str, Any]:
    manifest = Manifest.read(folder)
    if into is not None:
        settings = settings.model_copy(update={"database_url": into, "migration_database_url": None})
    if manifest.region != settings.region:
        raise Refusal(Code.BACKUP_OTHER, found=manifest.region, wanted=settings.region)
    with stages(quiet) as tell:
        store = _store(settings, folder, manifest, tell)
        owner = settings.migration_database_url
        service = normal_url(settings.database_url)
        done = restore_backup(
            folder,
            owner or settings.database_url,
            store,
            base_url=settings.base_url,
            service_role=service.username if owner else None,
            progress=tell,
        )
    return _begun(settings, store, folder, done, audited=audited, quiet=quiet)


def _begun(
    settings: Settings, store: FileKeyStore, folder: Path, done: Restored, *, audited: bool, quiet: bool
) -> dict[str, Any]:
    """Bring the restored region to where it can be served: new witness keys, erasures, published files, audit."""
    manifest = done.manifest
    config = region_config(settings)
    database = Database.open(settings.database_url)
    try:
        name = witness_identity.witness_name(config)
        vkeys = witness_identity.renew(database, store, name, SystemClock().now())
    finally:
        database.close()
    named = erased_before.read_list(folder.parent / erased_before.FILE, manifest.origin)
    age = (SystemClock().now() - parse_time(manifest.made_at)).days
    if age > settings.backup_days:
        say(f"备份已有 {age} 天，早应删除 this backup is {age} days old and should be gone")
    erased_again = asyncio.run(_publish(settings, named))
    told = {"shredded": done.shredded + erased_again, "witness": list(vkeys), "size": manifest.size}
    if audited:
        told["audit"] = _audit(settings, store, quiet)
    return told


async def _publish(settings: Settings, named: dict[str, dict[str, Any]]) -> int:
    """Erase again what was erased since, and make the published files; returns how many parts were erased.

    Raises `Refusal` log.rolled_back where others have seen more of the log than the backup holds.
    """
    region = await open_region(settings)
    try:
        region.seen.require_whole()
        parts = await erased_before.erase_again(region, named)
        await _published(region)
        return parts
    finally:
        await region.close()


async def _published(region: Region) -> None:
    if not await region.trust.settled(_PUBLISHED_S):
        raise TimeoutError("the trust list of the restored region did not come out")
    size = (await region.database.read(read_head)).size
    async with asyncio.timeout(_PUBLISHED_S):
        await region.publisher.published(size - 1)


def _audit(settings: Settings, store: FileKeyStore, quiet: bool) -> str:
    stored = Stored.open(region_config(settings), store)
    try:
        with stages(quiet) as tell:
            report = audit_stored(stored, progress=lambda done, whole: tell("audit", done, whole))
    finally:
        stored.database.close()
    if not report.passed:
        for finding in report.findings[:20]:
            say(str(finding))
        raise Refusal(Code.BACKUP_DAMAGED, findings=report.found)
    return "passed"


def _store(settings: Settings, folder: Path, manifest: Manifest, tell: Callable[[str, int, int], None]) -> FileKeyStore:
    """Open the key store; where there is none and the backup brings one, put that in its place first."""
    target = settings.keystore
    if manifest.has_keys and not (target / "index").exists():
        check_parts(folder, manifest, tell)
        make_directory(target)
        for part in manifest.parts:
            if not part.path.startswith(f"{KEYS}/"):
                continue
            file = target / part.path.removeprefix(f"{KEYS}/")
            make_directory(file.parent)
            shutil.copyfile(folder / part.path, file)
            file.chmod(0o600)
    try:
        return open_store(settings)
    except KeyStoreError:
        if not manifest.has_keys:
            say("备份不含密钥库 the key store is not in this backup")
        raise
