"""`sluis retention clock`: gateway time beside the wall clock, and back to it after the wall clock was wrong."""

import time
from datetime import date, timedelta
from typing import Annotated

import typer
from sqlmodel import col, select, update

from gateway.cli.context import home_of
from gateway.cli.output import show
from gateway.cli.retention_status import unfinished
from gateway.drop.lifecycle import Effect, Raw
from gateway.store.auditing import sequence
from gateway.store.clock import LOOK_EVERY, GatewayClock, wrong_by
from gateway.store.drop_keys import DROP_KEYS
from gateway.store.drops import holding
from gateway.store.home import Home, prepare_epochs
from gateway.store.ledger import Change
from gateway.store.models import Drop, EffectRow
from gateway.store.recipient_keys import recipient_keys
from gateway.store.sessions import close_everybodys
from gateway.worker.epochs import end_all_epochs
from policies.errors import Refused, Unsound, WrongUsage

ACTOR = "administrator"


def clock(
    ctx: typer.Context,
    follow: Annotated[bool, typer.Option("--follow", help="Bring gateway time back to the wall clock.")] = False,
    reason: Annotated[str | None, typer.Option(help="Why; it stands in the audit log.")] = None,
) -> None:
    """Gateway time, by which every deadline is set and kept, beside the wall clock.

    Gateway time does not go back when the wall clock does. --follow brings it back after the wall clock was wrong, once nothing is held
    whose window that would lengthen; the keys of all days end with it, and new ones are made.
    """
    if follow != bool(reason):
        raise WrongUsage("reason-missing", "--follow and --reason belong together.", 'Say why: --follow --reason "TEXT".')
    home = home_of(ctx)
    machine = home.clock
    assert isinstance(machine, GatewayClock), "a command brings no clock of its own"
    ended = _follow(home, machine, str(reason)) if follow else []
    gateway, ahead = machine(), machine.ahead()
    shown: dict[str, object] = {"gateway_time": gateway, "wall_clock": gateway - ahead, "ahead_seconds": round(ahead.total_seconds())}
    show(ctx, shown | ({"epoch_keys_destroyed": ended} if follow else {}))


def _follow(home: Home, machine: GatewayClock, reason: str) -> list[str]:
    ahead = wrong_by(machine)
    if ahead <= timedelta(0):
        raise Refused("clock-right", "Gateway time is not ahead of the wall clock.", "Nothing needs to be done.")
    with home.ledger.view() as session:
        held = {drop.id for drop in holding(session)} | set(home.mortal.names(DROP_KEYS)) | {each.name for each in unfinished(home)}
    if held:
        raise Refused(
            "clock-held",
            f"Deliveries are still held ({len(held)}), with deadlines in gateway time: going back would lengthen their windows.",
            "Run `sluis retention run`; wait for the others, or end each with `sluis drop erase`; "
            "unfinished uploads end after `unfinished_keep_days`.",
        )
    with home.ledger.change(ACTOR) as change:
        change.audit("clock.follow-begun", "clock", reason=reason, ahead_seconds=round(ahead.total_seconds()))
    sequence(home)
    ended = _end_all_epochs(home)  # without their public halves nothing can be received until all processes have the new time
    machine.follow()
    time.sleep(LOOK_EVERY / 1_000_000)
    ended += _end_all_epochs(home)  # those that a worker made meanwhile, for days ahead in the old time
    prepare_epochs(home)
    with home.ledger.change(ACTOR) as change:
        _bring_forward(change, ended)
        change.audit("clock.followed", "clock", reason=reason, epoch_keys_destroyed=len(ended))
    sequence(home)
    return ended


def _end_all_epochs(home: Home) -> list[str]:
    ended = end_all_epochs(home, ACTOR, "gateway time is brought back")
    if complaints := " ".join(ended.complaints()):
        raise Unsound("retention-incomplete", complaints, "Run the command again; `sluis doctor` tells what else is wrong.")
    return ended.gone


def _bring_forward(change: Change, ended: list[str]) -> None:
    """What was to be done or to end soon in the old time is not to wait until the new time comes there."""
    undone = (col(EffectRow.done_at).is_(None), col(EffectRow.due_at) > change.now)
    change.session.execute(update(EffectRow).where(*undone).values(due_at=change.now))
    close_everybodys(change)
    for key in recipient_keys(change.session):  # one that was replaced in the old time is not to be taken until that comes
        if key.destroyed_at is None and key.retired_at is not None and key.taken_until is not None and key.taken_until > change.now:
            overlap = key.taken_until - key.retired_at
            key.retired_at = min(key.retired_at, change.now)
            key.taken_until = min(key.taken_until, key.retired_at + overlap)
            change.session.add(key)
    # their certificates say when the key of their day ended
    days = [date.fromisoformat(day) for day in ended]
    for drop_id in change.session.exec(select(Drop.id).where(Drop.raw == Raw.ERASED, col(Drop.epoch).in_(days))):
        change.ask(drop_id, Effect.RECEIPT)
