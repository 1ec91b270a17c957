"""The end of a day's key, with which everything that was received that day becomes unreadable, in every copy.

An end is told to the audit log itself, not by way of the ledger: intent → private half destroyed → outcome → public half removed. The
public half keeps the day listed, so that whatever a crash or an error cut off is done again. What the window ends needs only files: no
database, and in the end not even the log, for the promise outranks the record.
"""

from datetime import UTC, date, timedelta

import structlog

from gateway.drop.ids import day_received
from gateway.store.auditing import entry_now, log_directly, sequence
from gateway.store.database import checkpoint
from gateway.store.drop_keys import DROP_KEYS
from gateway.store.drops import holding
from gateway.store.home import Home
from gateway.worker.ended import Ended
from policies.errors import code_of
from policies.retention import epoch_end

log = structlog.get_logger()


def end_overdue_epochs(home: Home, actor: str = "worker") -> Ended:
    """Destroy the keys of the days whose window has ended, whatever else is left of them. By files alone."""
    now, window = home.clock(), home.config.retention.window_days
    ended = Ended()
    for day in home.epochs.days():
        if epoch_end(day, window) <= now:
            ended += end_epoch(home, day, actor, "window ended", record_first=False)
    return ended


def end_spent_epochs(home: Home, actor: str = "worker") -> Ended:
    """Destroy the keys of the days that are over and of which no drop is left.

    A day is left alone until a day after its own: an upload that was closed at midnight is then on disk, if not in the ledger.
    """
    today = home.clock().astimezone(UTC).date()
    with home.ledger.view() as session:
        alive = {drop.epoch for drop in holding(session)}
    # also of drops that the ledger was away too long to be told of
    alive |= {day for name in home.mortal.names(DROP_KEYS) if (day := day_received(name)) is not None}
    ended = Ended()
    for day in home.epochs.days():
        if day + timedelta(days=1) < today and day not in alive:
            ended += end_epoch(home, day, actor, "last drop erased")
    if ended.gone:
        sequence(home)
        checkpoint(home.ledger.engine)
    return ended


def end_all_epochs(home: Home, actor: str, reason: str) -> Ended:
    """Destroy the key of every day, those made ahead too: until new ones are made, nothing can be received."""
    ended = Ended()
    for day in home.epochs.days():
        ended += end_epoch(home, day, actor, reason)
    return ended


def end_epoch(home: Home, day: date, actor: str, reason: str, record_first: bool = True) -> Ended:
    """Destroy the key of a day. `record_first`: without its intent in the log the key stays; else it ends, and the log is told when it can
    be."""
    name = day.isoformat()
    destroyed = False
    try:
        try:
            log_directly(home, [entry_now(home, actor, "epoch.destruction-begun", name, reason=reason)])
        except Exception:
            if record_first:
                raise
        home.epochs.destroy_private(day)
        destroyed = True
        log_directly(home, [entry_now(home, actor, "epoch.destroyed", name)])
        home.epochs.remove_public(day)
    except Exception as error:  # whatever it is, the other days' keys have to end too
        log.error("epoch key: destroyed, not recorded" if destroyed else "epoch key not destroyed", epoch=name, exc_info=True)
        failure = {name: code_of(error)}
        return Ended(untold=failure) if destroyed else Ended(failed=failure)
    return Ended(gone=[name])
