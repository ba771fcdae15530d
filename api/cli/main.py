"""`elicence`: what operators, departments and auditors do from a terminal."""

import typer

from api.cli import demo, keys, service

app = typer.Typer(
    help="电子证照账本 · a ledger for electronic licences", no_args_is_help=True, pretty_exceptions_enable=False,
    add_completion=False,
)
app.command("init")(service.init)
app.command("migrate")(service.migrate)
app.command("serve")(service.serve)
app.command("demo")(demo.demo)
app.add_typer(keys.app, name="keys")


def main() -> None:
    """Run the command line."""
    app()
