"""`elicence`: what operators, departments and auditors do from a terminal."""

try:
    import typer
except ModuleNotFoundError:  # a verifier's bare install has this command too
    raise SystemExit("elicence needs the service's packages: pip install 'elicence-ledger[service]'") from None

from api.cli import (
    backups,
    catalogue,
    demo,
    equivalences,
    examination,
    hub,
    importing,
    keys,
    monitor,
    peer_cascade,
    peers,
    registered_keys,
    service,
    witness_service,
    witnesses,
)

# Identifiers are base64url (RFC 4648 §5): one in 64 begins with "-", and is an argument all the same.
_TAKES_IDENTIFIER = {"ignore_unknown_options": True}

app = typer.Typer(
    help="电子证照账本 · a ledger for electronic licences",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
app.command("init")(service.init)
app.command("migrate")(service.migrate)
app.command("serve")(service.serve)
app.command("demo")(demo.demo)
app.command("bench")(service.bench)
app.command("audit")(examination.audit)
app.command("rebuild")(examination.rebuild)
app.command("backup")(backups.backup)
app.command("restore")(backups.restore)
app.command("export")(examination.export)
app.command("bundle", context_settings=_TAKES_IDENTIFIER)(examination.bundle)
app.command("erase")(examination.erase)
app.command("import")(importing.import_backlog)
app.command("monitor")(monitor.monitor)
keys.app.command("register")(registered_keys.register)
keys.app.command("take-over")(registered_keys.take_over)
keys.app.command("compromised", context_settings=_TAKES_IDENTIFIER)(registered_keys.compromised)
keys.app.command("index-again")(registered_keys.index_again)
app.add_typer(keys.app, name="keys")
app.add_typer(catalogue.departments_app, name="departments")
app.add_typer(catalogue.grants_app, name="grants")
app.add_typer(catalogue.types_app, name="types")
app.add_typer(catalogue.matters_app, name="matters")
app.add_typer(catalogue.clients_app, name="clients")
peers.app.command("held", help="列出待放行 / what is held for an operator")(peer_cascade.held)
peers.app.command("release", help="放行或不予采取措施 / let it go on, or drop it")(peer_cascade.release)
peers.app.command("evidence", help="查看对其日志的证据 / what is kept against its log")(peer_cascade.evidence)
peers.app.command("notices", help="查看通知送达 / notices to a peer")(peer_cascade.notices)
app.add_typer(peers.app, name="peers")
app.add_typer(hub.app, name="hub")
app.add_typer(equivalences.app, name="equivalences")
witnesses.app.command("watch")(witness_service.watch)
witnesses.app.command("unwatch")(witness_service.unwatch)
witnesses.app.command("watched")(witness_service.watched)
witnesses.app.command("renew")(witness_service.renew_keys)
app.add_typer(witnesses.app, name="witnesses")
