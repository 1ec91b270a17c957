"""`sluis-deliver`: the vendor's side as a program of its own. It is what `sluis deliver` is, and needs none of the server's libraries."""

import sys
from typing import Annotated

import typer

from gateway.cli import deliver
from gateway.cli.frame import run_program
from gateway.cli.settings import Settings

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, pretty_exceptions_enable=False, add_completion=False)
app.registered_commands += deliver.app.registered_commands


@app.callback()
def settings(
    ctx: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="Answer with one JSON document on standard output.")] = False,
) -> None:
    """Check deliveries for Sluis, send them, withdraw them."""
    ctx.obj = Settings(home=None, json=as_json)


def main(arguments: list[str] | None = None) -> None:
    """Entry point. Exit status: 0 done, 1 refused or not found, 2 wrong usage, 3 what the gateway says is not to be believed."""
    sys.exit(run(arguments))


def run(arguments: list[str] | None = None) -> int:
    return run_program(app, "sluis-deliver", arguments)
