"""`elicence keys`: make, certify, rotate and retire the keys of a store.

The region's root may lie in a store of its own on a machine without a network. Then a key gets its certificate in
three steps: `request` on the service's machine, `sign` on the root's, `install` on the service's. What a key may sign
is not decided here: the ledger registers keys, and the signed trust list tells.
"""

import asyncio
import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import typer

from api.cli.key_refusals import EXIT_UNUSABLE, refusal
from keys.certificates import (
    LeafSubject,
    certified_until,
    check_leaf,
    check_root,
    department_subject,
    fingerprint,
    service_subject,
)
from keys.certification import create_root, from_pem_or_der, issue_leaf, read_request, to_pem
from keys.errors import BadCertificate, KeysError
from keys.file_store import FileKeyStore
from keys.signer import KeyEntry
from keys.suites import ES256, TABLE

app = typer.Typer(help="密钥：生成、签证、轮换、停用。Keys: make, certify, rotate, retire.", no_args_is_help=True)

Store = Annotated[Path, typer.Option("--store", envvar="ELICENCE_KEYSTORE", help="密钥库目录 / directory of the store")]
Name = Annotated[str, typer.Argument(help="例如 list 或 <USCC>/licence / the key's name")]
AsJson = Annotated[bool, typer.Option("--json", help="机器可读 / for programs")]
Out = Annotated[Path | None, typer.Option("--out", help="写入文件 / write to this file instead of printing")]
Sure = Annotated[bool, typer.Option("--yes", help="不再询问 / do not ask")]

PASSWORD_VARIABLE = "ELICENCE_KEYSTORE_PASSWORD"  # noqa: S105 - the name of the variable, not a password
_YEAR = timedelta(days=365.25)


@app.command("list")
def list_keys(store: Store, as_json: AsJson = False) -> None:
    """列出密钥及其状态（不需要口令）。List keys and their states; needs no password."""
    with _refusing(as_json):
        entries = FileKeyStore.open(store, None).list()
        if as_json:
            _print_json({"store": str(store), "keys": [_described(entry) for entry in entries]})
            return
        for entry in entries:
            facts = _described(entry)
            until = facts.get("not_after", "-")
            typer.echo(f"{entry.name}\t{facts['suite']}\t{entry.state.value}\t{facts['kid']}\t{until}")


@app.command()
def create(
    name: Name,
    store: Store,
    suite: Annotated[str, typer.Option(help=" | ".join(TABLE))] = ES256,
    new_store: Annotated[bool, typer.Option("--new-store", help="先建库 / make the store first")] = False,
    region: Annotated[str | None, typer.Option(help="地区代码：自签根证书 / GB/T 2260 code: a root")] = None,
    organisation: Annotated[str, typer.Option(help="根证书中的地区名 / the region in words, for a root")] = "",
    years: Annotated[int, typer.Option(min=1, max=100, help="根证书年限 / how long a root certificate lasts")] = 30,
    as_json: AsJson = False,
) -> None:
    """生成密钥；带 --region 时同时自签根证书。Make a key; with --region also its self-signed root certificate."""
    with _refusing(as_json):
        keys = FileKeyStore.new(store, _password(confirm=True)) if new_store else FileKeyStore.open(store, _password())
        key = keys.create(name, suite)
        if region is not None:
            _certify_root(keys, name, region, organisation, years)
        _report(keys, name, key.kid, "已生成密钥", "created key", as_json)


@app.command()
def rotate(
    name: Name,
    store: Store,
    promote: Annotated[bool, typer.Option("--promote", help="启用后继 / let the successor take over")] = False,
    as_json: AsJson = False,
) -> None:
    """生成后继密钥；--promote 时启用。Make a successor; --promote lets it take over."""
    with _refusing(as_json):
        keys = FileKeyStore.open(store, _password())
        if promote:
            key = keys.promote(name)
            _report(
                keys,
                name,
                key.kid,
                "后继密钥已启用，旧私钥已销毁",
                "the successor signs now; old key destroyed",
                as_json,
            )
        else:
            key = keys.rotate(name)
            _report(keys, name, key.kid, "已生成后继密钥，尚未启用", "made a successor that does not sign yet", as_json)


@app.command()
def retire(name: Name, store: Store, yes: Sure = False, as_json: AsJson = False) -> None:
    """停用密钥并销毁私钥，不可恢复。End a key's signing period and destroy its private half, for good."""
    with _refusing(as_json):
        keys = FileKeyStore.open(store, _password())
        _confirm(f"销毁 {name} 的私钥？ / destroy the private key of {name}?", yes)
        key = keys.retire(name)
        _report(keys, name, key.kid, "已停用，私钥已销毁", "retired; its private key is destroyed", as_json)


@app.command()
def request(
    name: Name,
    store: Store,
    base: Annotated[str, typer.Option(envvar="ELICENCE_BASE_URL", help="服务地址 / BASE of the region's service")],
    organisation: Annotated[str, typer.Option(help="部门或地区名称 / the department or region in words")],
    out: Out = None,
    as_json: AsJson = False,
) -> None:
    """写证书请求，交给根签发。Write a certificate request for the root to sign."""
    with _refusing(as_json):
        department, slash, purpose = name.rpartition("/")
        if slash:
            subject = department_subject(base, department, organisation, purpose)
        else:
            subject = service_subject(base, purpose, organisation)
        pem = FileKeyStore.open(store, _password()).request(name, subject)
        _deliver(pem, out, as_json, {"name": name, "request": pem, "subject": _subject(subject)})


@app.command()
def sign(
    file: Annotated[Path, typer.Argument(help="证书请求 / the request")],
    store: Store,
    root: Annotated[str, typer.Option(help="根密钥名 / name of the root's key")] = "root",
    days: Annotated[int | None, typer.Option(min=1, max=36525, help="默认同根证书 / default: as the root")] = None,
    out: Out = None,
    yes: Sure = False,
    as_json: AsJson = False,
) -> None:
    """用根密钥签发证书：先核对所列主体。Sign a request with the root, after you have compared what it says."""
    with _refusing(as_json):
        asked = read_request(file.read_text("ascii"))
        keys = FileKeyStore.open(store, _password())
        signer = keys.signer(root)
        if signer.certificate is None:
            raise BadCertificate(f"the key {root!r} has no root certificate; make one with create --region")
        told = ", ".join(f"{label}={value}" for label, value in _subject(asked.subject).items())
        typer.echo(f"{told}, kid={asked.public_key.kid}", err=True)
        _confirm("签发此证书？ / sign this certificate?", yes)
        start, end = _now(), check_root(signer.certificate).not_after
        if days is not None:
            end = start + timedelta(days=days)
        if start >= end:
            raise BadCertificate("the root certificate has ended")
        leaf = asyncio.run(issue_leaf(signer, signer.certificate, asked, not_before=start, not_after=end))
        facts = {
            "kid": asked.public_key.kid,
            "certificate_sha256": fingerprint(leaf),
            "subject": _subject(asked.subject),
        }
        _deliver(to_pem(leaf), out, as_json, {"certificate": to_pem(leaf), **facts})


@app.command()
def install(
    name: Name,
    file: Annotated[Path, typer.Argument(help="证书 / the certificate, PEM or DER")],
    store: Store,
    root: Annotated[Path | None, typer.Option(help="根证书，用于核对 / check against this root certificate")] = None,
    as_json: AsJson = False,
) -> None:
    """把证书放到它的密钥旁。Keep a certificate beside its key."""
    with _refusing(as_json):
        certificate = from_pem_or_der(file.read_bytes())
        if root is not None:
            check_leaf(certificate, from_pem_or_der(root.read_bytes()))
        keys = FileKeyStore.open(store, _password())
        keys.install(name, certificate)
        kid = next(entry.public_key.kid for entry in reversed(keys.list()) if entry.certificate == certificate)
        _report(keys, name, kid, "证书已安装", "certificate installed", as_json)


def _certify_root(keys: FileKeyStore, name: str, region: str, organisation: str, years: int) -> None:
    signer, start = keys.signer(name), _now()
    end = start + years * _YEAR
    try:
        root = create_root(signer, region=region, name=organisation, not_before=start, not_after=end)
        keys.install(name, asyncio.run(root))
    except KeysError:
        keys.retire(name)  # nothing half done: the name is free for another try
        raise


@contextmanager
def _refusing(as_json: bool) -> Iterator[None]:
    """Turn what the key package and the file system refuse into one line and an exit code."""
    try:
        yield
    except (KeysError, OSError, UnicodeDecodeError) as error:
        refused = refusal(error)
        if as_json:
            _print_json({"error": refused.code, "zh": refused.zh, "en": refused.en})
        else:
            typer.echo(f"{refused.zh} / {refused.en}", err=True)
        raise typer.Exit(refused.exit_code) from None


def _password(*, confirm: bool = False) -> str:
    from_environment = os.environ.get(PASSWORD_VARIABLE)
    if from_environment:
        return from_environment
    if not sys.stdin.isatty():
        typer.echo(f"缺少口令：请设置 {PASSWORD_VARIABLE} / no password: set {PASSWORD_VARIABLE}", err=True)
        raise typer.Exit(EXIT_UNUSABLE)
    typed: str = typer.prompt("口令 / password", hide_input=True, confirmation_prompt=confirm, err=True)
    return typed


def _confirm(question: str, yes: bool) -> None:
    if not yes:
        typer.confirm(question, abort=True, err=True)


def _now() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)


def _described(entry: KeyEntry) -> dict[str, Any]:
    key = entry.public_key
    facts = {"name": entry.name, "suite": key.suite, "state": entry.state.value, "kid": key.kid, "key": key.to_text()}
    if entry.certificate is not None:
        facts["certificate_sha256"] = fingerprint(entry.certificate)
        facts["not_after"] = f"{certified_until(entry.certificate):%Y-%m-%dT%H:%M:%SZ}"
    return facts


def _subject(subject: LeafSubject) -> dict[str, str]:
    told = {"purpose": subject.purpose, "organisation": subject.organisation, "uri": subject.uri}
    return told if subject.department is None else {**told, "department": subject.department}


def _report(keys: FileKeyStore, name: str, kid: str, zh: str, en: str, as_json: bool) -> None:
    if as_json:
        _print_json(next(_described(entry) for entry in keys.list() if entry.public_key.kid == kid))
    else:
        typer.echo(f"{zh} / {en}: {name} {kid}")


def _deliver(text: str, out: Path | None, as_json: bool, facts: dict[str, Any]) -> None:
    if out is not None:
        out.write_text(text, "ascii")
    if as_json:
        _print_json(facts)
    elif out is None:
        typer.echo(text, nl=False)
    else:
        typer.echo(f"已写入 / written: {out}")


def _print_json(value: dict[str, Any]) -> None:
    typer.echo(json.dumps(value, ensure_ascii=False, sort_keys=True))
