"""`sluis withdraw`: bundles taken back, their keys destroyed."""

from typing import Annotated

import typer

from gateway.cli.context import home_of
from gateway.cli.output import show
from gateway.cli.publishing import withdraw_campaign

app = typer.Typer(rich_markup_mode=None)


@app.command()
def withdraw(
    ctx: typer.Context,
    campaign: Annotated[str, typer.Option(help="the campaign whose bundles are taken back")],
    board: Annotated[str | None, typer.Option(help="only this board's")] = None,
    reason: Annotated[str, typer.Option(help="why, for the audit log")] = "",
) -> None:
    """Take bundles back: they are invisible at once and their keys are destroyed."""
    count = withdraw_campaign(home_of(ctx), campaign, board, reason)
    show(ctx, {"campaign": campaign, "withdrawn": count})
