"""`sluis drop`."""

import json
from contextlib import suppress
from typing import Annotated

import typer
from sqlmodel import col, select

from gateway.cli.context import home_of
from gateway.cli.output import show
from gateway.cli.settings import settings_of
from gateway.drop.lifecycle import MAY_ERASE, Event, Raw, State
from gateway.store.auditing import sequence
from gateway.store.counting import replacements
from gateway.store.drops import drop_schools, drops
from gateway.store.ledger import drop_of
from gateway.store.models import AuditRow, Drop
from gateway.worker.erasure import erase as erase_drop
from gateway.worker.receipts import write_receipt
from gateway.worker.withdrawing import withdraw
from policies.calendar import AMSTERDAM
from policies.errors import NotFound, Refused

app = typer.Typer(add_completion=False, rich_markup_mode=None, no_args_is_help=True)


@app.command("list")
def list_(
    ctx: typer.Context,
    campaign: Annotated[str | None, typer.Option(help="Only of this collection round.")] = None,
    vendor: Annotated[str | None, typer.Option(help="Only of this vendor.")] = None,
) -> None:
    """All deliveries, oldest first."""
    with home_of(ctx).ledger.view() as session:
        show(ctx, [_line(drop) for drop in drops(session, campaign, vendor)])


@app.command("show")
def show_(ctx: typer.Context, drop_id: Annotated[str, typer.Argument(metavar="ID")]) -> None:
    """One delivery: its state, its schools, and everything that happened to it."""
    with home_of(ctx).ledger.view() as session:
        drop = drop_of(session, drop_id)
        history = session.exec(select(AuditRow).where(AuditRow.object == drop_id).order_by(col(AuditRow.id))).all()
        show(
            ctx,
            {
                **_line(drop),
                "sha256": drop.sha256,
                "epoch": drop.epoch,
                "waiting_for": drop.waiting_for,
                "linked_at": drop.linked_at,
                "erased_at": drop.erased_at,
                "counts": drop.counts,
                "schools": [row.school for row in drop_schools(session, drop_id)],
                "replaces": {row.earlier: row.rows for row in replacements(session, drop_id) if row.later == drop_id},
                "replaced_by": {row.later: row.rows for row in replacements(session, drop_id) if row.earlier == drop_id},
                "history": [
                    f"{row.time.astimezone(AMSTERDAM):%Y-%m-%d %H:%M:%S} {row.action} ({row.actor}) {row.result}" for row in history
                ],
            },
        )


@app.command()
def receipt(ctx: typer.Context, drop_id: Annotated[str, typer.Argument(metavar="ID")]) -> None:
    """The receipt as the vendor sees it; with --json the signed document."""
    home = home_of(ctx)
    with home.ledger.view() as session:
        drop = drop_of(session, drop_id)
    file = home.receipts(drop.vendor) / f"{drop.id}.{'json' if settings_of(ctx).json else 'txt'}"
    if not file.exists():
        raise NotFound("no-receipt-yet", "This drop has no receipt yet.", "Is the worker running? `sluis doctor` tells.")
    text = file.read_text(encoding="utf-8")
    typer.echo(json.dumps(json.loads(text), ensure_ascii=False, indent=2) if settings_of(ctx).json else text)


@app.command()
def erase(
    ctx: typer.Context,
    drop_id: Annotated[str, typer.Argument(metavar="ID")],
    reason: Annotated[str, typer.Option(help="Why; it stands in the audit log. Never a pupil's name or number.")],
) -> None:
    """End a delivery's bytes now: its key is destroyed, then the ciphertext. Nothing brings it back."""
    home = home_of(ctx)
    with home.ledger.change("administrator") as change:
        drop = drop_of(change.session, drop_id)
        if drop.raw == Raw.ERASED:
            raise Refused("already-erased", "This drop's bytes are erased already.", "`sluis audit prove` gives its certificate.")
        if State(drop.state) not in MAY_ERASE:
            change.advance(drop, Event.WINDOW_ENDED, reason=reason)
        else:
            change.audit("drop.erase-ordered", drop_id, reason=reason)
    erase_drop(home, drop_id, actor="administrator")
    write_receipt(home, drop_id)
    sequence(home)
    show(ctx, {"drop": drop_id, "raw": Raw.ERASED.value})


@app.command("withdraw")
def withdraw_(
    ctx: typer.Context,
    drop_id: Annotated[str, typer.Argument(metavar="ID")],
    reason: Annotated[str, typer.Option(help="Why; it stands in the audit log. Never a pupil's name or number.")],
    yes: Annotated[bool, typer.Option("--yes", help="Don't ask.")] = False,
) -> None:
    """Take a delivery back whole, linked or not: nothing of it counts any more, and what it replaced counts again."""
    home = home_of(ctx)
    with home.ledger.view() as session:
        drop = drop_of(session, drop_id)
    if not yes:
        typer.confirm(f"Withdraw {drop_id} of {drop.vendor}, which is {drop.state}? Nothing brings it back", abort=True)
    withdraw(home, drop_id, reason, "administrator")
    with suppress(Refused):  # somebody reads the results: the worker removes this one's after that
        erase_drop(home, drop_id, actor="administrator")
    write_receipt(home, drop_id)
    sequence(home)
    show(ctx, {"drop": drop_id, "state": State.WITHDRAWN.value})


def _line(drop: Drop) -> dict[str, object]:
    return {
        "drop": drop.id,
        "vendor": drop.vendor,
        "folder": drop.folder,
        "file": drop.file_name,
        "bytes": drop.bytes,
        "received_at": drop.received_at,
        "campaign": drop.campaign,
        "state": drop.state,
        "data": drop.raw,
        "findings": drop.findings_total,
        "erase_before": drop.erase_before,
    }
