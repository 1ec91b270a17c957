"""`sluis retention`."""

import structlog
import typer
from sqlalchemy.exc import SQLAlchemyError

from gateway.cli.context import home_without_ledger_of
from gateway.cli.output import show
from gateway.cli.retention_clock import clock
from gateway.cli.retention_status import Material, from_files, from_ledger
from gateway.cli.settings import settings_of
from gateway.store.auditing import sequence
from gateway.store.home import Home
from gateway.store.timekeeping import keep_time
from gateway.worker.deadlines import warn_of_deadlines
from gateway.worker.ended import Ended
from gateway.worker.epochs import end_overdue_epochs, end_spent_epochs
from gateway.worker.erasure import complete_keys, end_overdue_keys, end_window
from gateway.worker.objection_end import end_registers
from gateway.worker.receipts import write_receipt
from gateway.worker.recipient_keys import end_recipients
from keys.openpgp import sweep
from policies.errors import Unsound, code_of

app = typer.Typer(add_completion=False, rich_markup_mode=None, no_args_is_help=True)
app.command()(clock)

ACTOR = "retention"

log = structlog.get_logger()


@app.command()
def status(ctx: typer.Context) -> None:
    """What may still identify somebody, soonest deadline first: since when, until when, and how long that is.

    Without the database it tells what the files say, and ends with exit status 3.
    """
    home = home_without_ledger_of(ctx)
    away = _ledger_is_away(home)
    found = from_files(home, without_ledger=True) if away else [*from_ledger(home), *from_files(home, without_ledger=False)]
    rows = [each.row(home.clock()) for each in sorted(found, key=Material.soonest_first)]
    oldest = min((each for each in found if each.deadline is not None), key=lambda each: each.since, default=None)
    summary = {
        "oldest": oldest and {"kind": oldest.kind, "name": oldest.name, "since": oldest.since},
        "margin_hours": rows[0]["hours_left"] if rows else None,
        "ledger": "away" if away else "read",
    }
    if settings_of(ctx).json:
        show(ctx, {**summary, "material": rows})
    else:
        show(ctx, summary)
        show(ctx, rows)
    if away:
        raise Unsound(away.code, f"The ledger is away: this is what the files tell. {away.message}", away.hint)


@app.command()
def run(ctx: typer.Context) -> None:
    """Erase what is due, linked or not, destroy the epoch keys whose time is over, and end the objection registers of campaigns that are
    over. For a timer: does nothing when nothing is due.

    Keys whose window has ended need no database for that. What fails is tried again at the next run, holds up nothing else, and ends with
    exit status 3.
    """
    home = home_without_ledger_of(ctx)
    if swept := sweep():
        log.warning("left of gpg's homes", ended=swept)
    epochs = end_overdue_epochs(home, ACTOR)
    drops, keys, recipients, registers, warned = Ended(), Ended(), Ended(), Ended(), list[str]()
    if (away := _ledger_is_away(home)) is None:
        try:
            keep_time(home, ACTOR)
            drops += end_window(home, ACTOR, half_done=True)
            epochs += end_spent_epochs(home, ACTOR)
            recipients += end_recipients(home, ACTOR)
            registers += end_registers(home, ACTOR)
            warned = warn_of_deadlines(home, ACTOR)
            for drop_id in (*drops.gone, *warned):
                _write_receipt(home, drop_id, drops)
            _tell_log(home, epochs)
        except Exception as error:  # whatever it is, keys have to end
            away = _why(error)
    if away:
        keys += complete_keys(home)
    if away or drops.failed:
        keys += end_overdue_keys(home, ACTOR)
    open_ends = Ended()
    for ended in (drops, keys, epochs, recipients, registers):
        open_ends.failed |= ended.failed
        open_ends.untold |= ended.untold
    show(
        ctx,
        {
            "drops_erased": len(drops.gone),
            "drop_keys_destroyed": len(keys.gone),
            "epoch_keys_destroyed": epochs.gone,
            "recipient_keys_destroyed": recipients.gone,
            "objection_registers_ended": registers.gone,
            "warnings": len(warned),
            "failed": open_ends.failed,
            "not_told_yet": open_ends.untold,
        },
    )
    complaints = list(open_ends.complaints())
    if away:
        told = " ".join([*complaints, "The ledger is away: of drops only overdue keys were looked after, no receipts.", away.message])
        raise Unsound(away.code, told, away.hint)
    if complaints:
        raise Unsound(
            "retention-incomplete", " ".join(complaints), "The log lines above name the places; `sluis doctor` tells what else is wrong."
        )


def _ledger_is_away(home: Home) -> Unsound | None:
    """Why the ledger can't be asked, or None."""
    try:
        home.check_ledger()
    except Exception as error:  # whatever it is, keys have to end
        return _why(error)
    return None


def _why(error: Exception) -> Unsound:
    if isinstance(error, Unsound):
        return error
    log.error("ledger away", error=code_of(error), exc_info=True)
    return Unsound("ledger-away", f"It could not be asked ({code_of(error)}).", "Is the database running, is its disk full?")


def _write_receipt(home: Home, drop_id: str, ended: Ended) -> None:
    """At once, in case no worker runs; one that fails is asked for in the ledger, too."""
    try:
        write_receipt(home, drop_id)
    except Exception as error:
        ended.untold[drop_id] = code_of(error)


def _tell_log(home: Home, ended: Ended) -> None:
    try:
        sequence(home)
    except SQLAlchemyError:
        raise
    except Exception as error:
        ended.untold["audit log"] = code_of(error)
