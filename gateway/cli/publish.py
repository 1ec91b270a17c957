"""`sluis publish`: a bundle per board, visible for all of them at once."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from gateway.cli.context import home_of
from gateway.cli.output import say, show
from gateway.cli.publishing import publish_campaign
from gateway.worker.withdrawals import withdraw_persons

app = typer.Typer(rich_markup_mode=None)


@app.command()
def publish(
    ctx: typer.Context,
    campaign: Annotated[str, typer.Option(help="the campaign whose reports are published")],
    reason: Annotated[str, typer.Option(help="why boards get a new version, when they have one already; they read it")] = "",
) -> None:
    """Make a bundle per board; all become visible at once, from the campaign's publish-from."""
    home = home_of(ctx)
    withdraw_persons(home, "administrator")
    with _progress() as step:
        done = publish_campaign(home, campaign, reason, step)
    say(ctx, f"{done.published + done.replaced} boards got a bundle; {done.unchanged} had the same already.")
    show(ctx, {"campaign": campaign, **vars(done)})


@contextmanager
def _progress() -> Iterator[Callable[[int, int], None]]:
    """A bar on standard error, when a person watches."""
    console = Console(stderr=True)
    with Progress(TextColumn("Bundles"), BarColumn(), MofNCompleteColumn(), console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task("bundles", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
