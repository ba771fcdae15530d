"""`elicence init | migrate | serve`: make a region, bring its database up to date, run it."""

import asyncio
import os
import secrets
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated

import typer
from pydantic import SecretStr, ValidationError

from api.cli import example_region
from api.cli.answers import answering, print_json, say
from api.cli.key_refusals import EXIT_UNUSABLE
from api.composition import open_region, open_store, region_config
from api.settings import Settings
from keys.certificates import fingerprint
from keys.certification import from_pem_or_der
from keys.errors import AlreadyExists, KeyStoreError
from keys.file_store import FileKeyStore
from keys.password import STANDARD, TESTING_ONLY
from ledger.engines import normal_url
from ledger.errors import Code, Refusal
from ledger.region import Region
from ledger.schema import migrate as migrate_schema

EXAMPLE_FOLDER = Path("var/serve")


def settings_or_exit(**changes: object) -> Settings:
    """Read the settings; `changes` replace some. A wrong one is named in one line, exit 3."""
    try:
        return Settings(**changes)  # type: ignore[arg-type]
    except ValidationError as error:
        names = ", ".join("ELICENCE_" + "_".join(str(part) for part in each["loc"]).upper() for each in error.errors())
        say(f"设置有误 unusable settings: {names}")
        raise typer.Exit(EXIT_UNUSABLE) from None


def migrate(as_json: Annotated[bool, typer.Option("--json")] = False) -> None:
    """把数据库升级到当前结构。Bring the database to the newest schema (as its owner)."""
    settings = settings_or_exit()
    with answering(as_json):
        revision = migrate_database(settings)
        if as_json:
            print_json({"revision": revision})
        else:
            typer.echo(f"数据库结构版本 schema revision: {revision}")


def migrate_database(settings: Settings) -> str:
    """Migrate with the owner's address where there is one, and give the service's role its rights."""
    service = normal_url(settings.database_url)
    owner = settings.migration_database_url
    if service.get_backend_name() == "sqlite" and service.database:
        Path(service.database).parent.mkdir(parents=True, exist_ok=True)
    return migrate_schema(owner or settings.database_url, service_role=service.username if owner else None)


def init(
    root_certificate: Annotated[
        Path | None, typer.Option(help="离线根证书 / certificate of a root that lies elsewhere")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json")] = False,
) -> None:
    """新建地区：密钥库、数据库、账本首条和信任列表。Make a region: key store, database, first entry, trust list."""
    settings = settings_or_exit()
    with answering(as_json):
        if settings.keystore_password is None:
            raise Refusal(Code.KEYSTORE_PASSWORD_MISSING)
        root = None if root_certificate is None else from_pem_or_der(root_certificate.read_bytes())
        region_fingerprint = asyncio.run(create_region(settings, root))
        if as_json:
            print_json({"region": settings.region, "root": region_fingerprint})
        else:
            typer.echo(f"地区 region {settings.region}，根指纹 root fingerprint:\n{region_fingerprint}")


async def create_region(settings: Settings, root: bytes | None = None, *, testing_only: bool = False) -> str:
    """Make key store (unless it is there), schema, log and first trust list; return the root's fingerprint."""
    password = settings.keystore_password
    assert password is not None  # noqa: S101 - callers made sure; narrows for mypy
    try:
        profile = TESTING_ONLY if testing_only else STANDARD
        store = await asyncio.to_thread(FileKeyStore.new, settings.keystore, password.get_secret_value(), profile)
    except AlreadyExists:
        store = open_store(settings)
    await asyncio.to_thread(migrate_database, settings)
    region = await Region.create(region_config(settings), store, root_certificate=root)
    try:
        await region.trust.publish_if_due()
        return fingerprint(region.root_certificate)
    finally:
        await region.close()


def serve(
    example: Annotated[bool, typer.Option("--example", help="带示例数据 / with example data in var/serve")] = False,
) -> None:
    """运行服务。Run the service."""
    settings = example_settings() if example else settings_or_exit()
    with answering():
        if settings.workers > 1 and normal_url(settings.database_url).get_backend_name() == "sqlite":
            raise Refusal(Code.WORKERS_ON_SQLITE)
        store = None
        with ThreadPoolExecutor(1) as aside:
            if example:
                asyncio.run(_prepare_example(settings))
                typer.echo(f"示例客户端 example clients: {EXAMPLE_FOLDER / 'clients.json'}")
            elif settings.workers == 1:
                store = aside.submit(open_store, settings)
            # Imported here: no other command waits for the web framework, which takes as long as all the rest of it;
            # and meanwhile the key store is opened, which takes nearly as long.
            from api.cli.serving import run
        run(
            settings,
            None if store is None else store.result(),
            lambda: typer.echo(f"{settings.base_url} (http://{settings.host}:{settings.port})"),
        )


def example_settings(folder: Path = EXAMPLE_FOLDER, **changes: object) -> Settings:
    """Return settings for example data below `folder`; its password is made once and kept there, for us only."""
    folder.mkdir(parents=True, exist_ok=True)
    password = folder / "keystore-password"
    if not password.exists():
        password.touch(mode=0o600)
        password.write_text(secrets.token_urlsafe(24))
    defaults = {
        "database_url": f"sqlite:///{folder / 'elicence.sqlite'}",
        "keystore": folder / "keys",
        "tiles": folder / "public",
        "keystore_password": SecretStr(password.read_text()),
    }
    # What the environment says about the database wins: the example runs on PostgreSQL too.
    chosen = {name: value for name, value in defaults.items() if f"ELICENCE_{name.upper()}" not in os.environ}
    return settings_or_exit(**(chosen | changes))


async def _prepare_example(settings: Settings) -> None:
    """Make the region on the first run and bring the example data into it; a run that was cut short is continued."""
    try:
        region = await open_region(settings)
    except (KeyStoreError, FileNotFoundError):
        region = None
    except Refusal as refused:
        if refused.code not in (Code.LOG_MISSING, Code.SCHEMA_OUTDATED):
            raise
        region = None
    if region is None:
        await create_region(settings)
        region = await open_region(settings)
    try:
        await example_region.seed(region, EXAMPLE_FOLDER)
    finally:
        await region.close()


def bench(
    runs: Annotated[int, typer.Option(min=1, max=50, help="每项次数 / runs of each figure")] = 5,
    out: Annotated[Path, typer.Option(help="结果文件 / file for the figures")] = Path("var/bench.json"),
) -> None:
    """在本机测量（需源码目录）。Measure on this machine; needs a checkout of the source."""
    root = Path(__file__).resolve().parents[2]
    with answering():
        if not (root / "benchmarks").is_dir():
            raise Refusal(Code.EXAMPLES_MISSING, None, where=str(root / "benchmarks"))
        command = [sys.executable, "-m", "benchmarks", "--runs", str(runs), "--out", str(out.resolve())]
        done = subprocess.run(command, cwd=root, check=False)  # noqa: S603 - our own interpreter and module
        raise typer.Exit(done.returncode)
