"""`elicence audit | rebuild | export | bundle | erase`: is what is stored what was signed, and what then?"""

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from api.cli.answers import answering, print_json, say
from api.cli.catalogue import in_region
from api.cli.key_refusals import EXIT_REFUSED
from api.cli.service import settings_or_exit
from api.composition import open_store, region_config
from ledger import bundles, erasing, kits, status_tokens, subjects, trust_publishing
from ledger.actors import Actor
from ledger.auditing import Stored, audit_stored
from ledger.clock import SystemClock
from ledger.database import Database
from ledger.errors import Code, Refusal
from ledger.rebuilding import rebuild as rebuild_projections
from ledger.region import Region
from ledger.vault import Vault
from verifiers.checkpoint import parse_checkpoint
from verifiers.note import parse_note
from verifiers.tiles import all_tiles

AsJson = Annotated[bool, typer.Option("--json", help="机器可读 / for programs")]
_LISTS = (trust_publishing.FOLDER, status_tokens.FOLDER)


@contextmanager
def progress(what: str, quiet: bool) -> Iterator[Callable[[int, int], None]]:
    """Show a bar on standard error, unless a program reads us."""
    rate = TextColumn("{task.fields[rate]:,.0f}/s")
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), rate, TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), disable=quiet, transient=True) as bar:
        task, began = bar.add_task(what, total=None, rate=0.0), time.monotonic()

        def tell(done: int, whole: int) -> None:
            bar.update(task, completed=done, total=whole, rate=done / max(time.monotonic() - began, 1e-3))

        yield tell


def audit(
    log_only: Annotated[bool, typer.Option("--log-only", help="只核对公开账本 / the public log alone")] = False,
    as_json: AsJson = False,
) -> None:
    """审计：逐条核对账本、记录、投影、文件。Audit everything stored and name what was changed."""
    with answering(as_json):
        settings = settings_or_exit()
        stored = Stored.open(region_config(settings), open_store(settings))
        try:
            with progress("审计 audit", as_json) as tell:
                report = audit_stored(stored, progress=tell, log_only=log_only)
        finally:
            stored.database.close()
    if as_json:
        print_json(report.to_json())
    else:
        for finding in report.findings:
            typer.echo(str(finding))
        counts = "，".join(f"{name} {number}" for name, number in sorted(report.counts.items()))
        verdict = "通过 passed" if report.passed else f"发现 {report.found} 处改动 changes found"
        typer.echo(f"{report.origin} · {report.size} 条 entries · {verdict}\n{counts}")
    if not report.passed:
        raise typer.Exit(EXIT_REFUSED)


def rebuild(as_json: AsJson = False) -> None:
    """由账本重建所有投影。Make every projection again from the log; changes only what differs."""
    with answering(as_json):
        settings = settings_or_exit()
        database = Database.open(settings.database_url)
        try:
            with progress("重建 rebuild", as_json) as tell:
                done = rebuild_projections(database, Vault.open(open_store(settings)), SystemClock(), tell)
        finally:
            database.close()
    if as_json:
        print_json({"size": done.size, "replaced": list(done.replaced)})
    else:
        replaced = ", ".join(done.replaced) or "（无 none）"
        typer.echo(f"{done.size} 条 entries；已替换 replaced: {replaced}")


def export(
    folder: Annotated[Path, typer.Argument(help="目标目录 / folder to write")],
    as_json: AsJson = False,
) -> None:
    """导出公开账本：检查点、瓦片、信任列表、状态列表。Copy everything public, consistent at one checkpoint."""
    with answering(as_json):
        public = settings_or_exit().tiles
        note = public / "checkpoint"
        if not note.exists():
            raise Refusal(Code.LOG_MISSING)
        # The checkpoint is read first: every file it needs is there already, whatever is published meanwhile.
        text = note.read_text("utf-8")
        size = parse_checkpoint(parse_note(text).text).size
        tiles = list(all_tiles(size))
        with progress("导出 export", as_json) as tell:
            for number, tile in enumerate(tiles, 1):
                _copy(public / tile.path(), folder / tile.path())
                tell(number, len(tiles))
        for name in _LISTS:
            if (public / name).is_dir():
                shutil.copytree(public / name, folder / name, dirs_exist_ok=True)
        (folder / "checkpoint").write_text(text, "utf-8")
    if as_json:
        print_json({"folder": str(folder), "files": len(tiles) + 1, "size": size})
    else:
        typer.echo(f"{size} 条 entries → {folder}")


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)


def bundle(
    licence: Annotated[str | None, typer.Argument(help="证照编号（系统内）/ id of the licence")] = None,
    out: Annotated[Path | None, typer.Option("--out", help="写入文件 / file to write")] = None,
    regions: Annotated[str | None, typer.Option(help="离线包所含地区代码 / regions of a kit, 610000,620000")] = None,
    types: Annotated[str | None, typer.Option(help="离线包所受理的证照类型 / our types a kit is for")] = None,
) -> None:
    """导出一张证照的核验包，或供断网窗口使用的离线包。Make the bundle of a licence, or an offline kit for windows."""
    if (licence is None) == (regions is None and types is None):
        raise typer.BadParameter("一张证照，或 --regions/--types / a licence, or --regions or --types")
    with answering():
        if licence is not None:
            data = in_region(lambda region: bundles.bundle_of(region, licence))
        else:
            made = in_region(lambda region: kits.make_kit(region, _listed(regions), _listed(types) or ()))
            data = made.data
            for name, fault in made.kit.faults:
                typer.echo(f"未能收入 not usable: {name}: {fault}", err=True)
        if out is None:
            typer.echo(data.decode())
        else:
            out.write_bytes(data)


def _listed(codes: str | None) -> list[str] | None:
    return None if codes is None else [code.strip() for code in codes.split(",") if code.strip()]


def erase(
    id_type: Annotated[str, typer.Option(help="证件类型代码 / GB/T 36903 code, e.g. 111")],
    first: Annotated[str, typer.Option("--operator", help="第一名操作员 / first person")],
    second: Annotated[str, typer.Option("--second", help="第二名操作员 / second person")],
    ground: Annotated[str, typer.Option(help="依据 / legal ground")],
    document_no: Annotated[str, typer.Option(help="文书号 / number of the document")],
    as_json: AsJson = False,
) -> None:
    """依法删除一个主体的个人信息（号码从标准输入读取）。Erase a subject's personal data; the number is asked for."""
    number = typer.prompt("证件号码 number", hide_input=True).strip()
    with answering(as_json):
        actor = Actor("elicence-cli", "", frozenset({"operate"}), first)

        async def work(region: Region) -> dict[str, Any]:
            subject = await region.database.read(lambda tx: subjects.find(tx, region.vault, id_type, number))
            if subject is None:
                raise Refusal(Code.SUBJECT_UNKNOWN)
            return await erasing.erase_subject(
                region, actor, subject, second=second, ground=ground, document_no=document_no
            )

        done = in_region(work)
        if as_json:
            print_json(done)
        else:
            say(f"已删除 erased: {done}")
