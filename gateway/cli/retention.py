"""`sluis retention`."""

from datetime import timedelta

import typer

from gateway.cli.context import home_of
from gateway.cli.output import show
from gateway.store.auditing import sequence
from gateway.store.drops import holding
from gateway.worker.erasure import end_epochs, end_window
from gateway.worker.receipts import write_receipt

app = typer.Typer(add_completion=False, rich_markup_mode=None, no_args_is_help=True)

#: a deadline this near is pointed out
WARN = timedelta(days=7)


@app.command()
def status(ctx: typer.Context) -> None:
    """What may still identify somebody, oldest deadline first."""
    home = home_of(ctx)
    now = home.clock()
    with home.ledger.view() as session:
        rows = [
            {
                "drop": drop.id,
                "vendor": drop.vendor,
                "state": drop.state,
                "data": drop.raw,
                "received_at": drop.received_at,
                "erase_before": drop.erase_before,
                "hours_left": int((drop.erase_before - now).total_seconds() // 3600),
                "attention": "overdue" if drop.erase_before <= now else "soon" if drop.erase_before - now < WARN else "",
            }
            for drop in holding(session)
        ]
    show(
        ctx,
        rows,
        title=f"epoch keys: {', '.join(day.isoformat() for day in home.epochs.days() if day <= now.date()) or 'none of the past'}",
    )


@app.command()
def run(ctx: typer.Context) -> None:
    """Erase what is due, linked or not, and destroy the epoch keys whose time is over. For a timer: does nothing when nothing is due."""
    home = home_of(ctx)
    expired = end_window(home)
    for drop_id in expired:
        write_receipt(home, drop_id)
    epochs = end_epochs(home, actor="retention")
    sequence(home)
    show(ctx, {"drops_erased": len(expired), "epoch_keys_destroyed": epochs})
