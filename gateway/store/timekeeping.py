"""What the worker, the retention timer and administrators' commands do for gateway time: keep it, and say when the clock was set."""

from datetime import timedelta

import structlog
from sqlalchemy.exc import SQLAlchemyError

from gateway.store.clock import GatewayClock
from gateway.store.home import Home

log = structlog.get_logger()


def keep_time(home: Home, actor: str) -> None:
    """Write gateway time down. A clock that was set is an error in the log, and an entry (`clock.jumped`) of the audit log; when either
    can't be written now, the next time does it: nobody who is about to erase is kept from it."""
    clock = home.clock
    if not isinstance(clock, GatewayClock):
        return
    try:
        kept = clock.keep()
        if kept.untold:
            jump, ahead = _seconds(timedelta(microseconds=kept.untold)), _seconds(clock.ahead())
            log.error("clock.jumped", by_seconds=jump, gateway_ahead_seconds=ahead)
            with home.ledger.change(actor) as change:
                change.audit("clock.jumped", "clock", by_seconds=jump, gateway_ahead_seconds=ahead)
            clock.told(kept)
    except (OSError, SQLAlchemyError) as error:
        log.error("clock.not-kept", problem=type(error).__name__)


def _seconds(difference: timedelta) -> int:
    return round(difference.total_seconds())
