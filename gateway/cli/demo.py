"""`sluis demo`."""

import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event
from typing import Annotated

import typer
from rich.console import Console

from gateway.cli.settings import settings_of
from gateway.demo.play import Options, Play, Step, empty
from policies.errors import SluisError

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command()
def demo(
    ctx: typer.Context,
    register: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="A DUO CSV of schools; default: a small made-up one.")
    ] = None,
    boards: Annotated[int | None, typer.Option(min=1, help="How many boards take part; default: 6, or all of --register.")] = None,
    pupils: Annotated[int | None, typer.Option(min=10, help="Pupils per school; default: as in real schools.")] = None,
    home: Annotated[Path | None, typer.Option("--home", help="Where to play; default: a new temporary folder.")] = None,
    seed: Annotated[int, typer.Option(help="The same seed makes the same country.")] = 1,
    database: Annotated[str, typer.Option(help="An empty PostgreSQL database (postgresql+psycopg://…); default: SQLite in the home.")] = "",
    leave: Annotated[bool, typer.Option("--exit", help="Stop after the campaign instead of serving.")] = False,
) -> None:
    """Play one whole campaign on this machine with real parts, and keep serving until Ctrl-C."""
    console = Console(soft_wrap=True, highlight=False)
    place = home or settings_of(ctx).home
    if place is None:
        place = Path(tempfile.mkdtemp(prefix="sluis-demo-"))
    place = place.resolve()
    empty(place)

    def tell(step: Step, done: bool) -> None:
        if done:
            console.print(f"[green]✓[/green] {step.name} [dim]({step.seconds:.1f} s)[/dim]\n    {step.said}")
        elif console.is_terminal:
            console.print(f"[dim]… {step.name}[/dim]", end="\r")

    play = Play(Options(place, register, boards, pupils, seed, database), datetime.now(UTC) - timedelta(minutes=1), tell)
    play.prepare()
    with play.serve() as served:
        try:
            play.deliver()
            play.object_and_link()
            board, password, _ = play.report()
        except SluisError:
            console.print(f"[red]✗[/red] {play.steps[-1].name}")
            raise
        console.print(f"\nThe portal is at [bold]{play.address}[/bold] (its certificate is the demo's own: the browser will warn).")
        console.print(f"Log in as board [bold]{board}[/bold] with the password [bold]{password}[/bold].")
        console.print(f"Everything lies in {place}; look around with `sluis --home {place / 'gateway'} drop list`.")
        if not leave:
            console.print("Serving until Ctrl-C.")
            try:
                while not Event().wait(1):
                    served.check()
            except KeyboardInterrupt:
                console.print("\nStopped.")
    total = sum(step.seconds for step in play.steps)
    console.print(f"\nThe campaign took {total:.0f} s. Largest processes: " + "; ".join(_largest(play)))


def _largest(play: Play) -> list[str]:
    costs = sorted(play.costs.peak_mib.items(), key=lambda item: -item[1])
    return [f"{name} {mib:,.0f} MiB" for name, mib in costs[:4]]
