"""Whether identifiers outlive their window, or the clock is wrong: then nothing new is taken in, since what can't be erased in time must
not arrive either.

What ends a window (the worker, and a timer that needs no worker) looks every few minutes; only when it is late by an hour is something
wrong. An upload under way may be finished: what arrived of it is here already, and refusing the rest would leave it here unfinished, to be
sent a second time later.
"""

import asyncio
import time
from collections.abc import Callable
from datetime import timedelta

import structlog

from gateway.intake.files.refusals import IntakeRefused
from gateway.store.clock import wrong_by
from gateway.store.drops import holding
from gateway.store.home import Home
from policies.retention import epoch_end

#: how often it looks [s] …
EVERY = 60.0
#: … and, when somebody wants to begin an upload and may not, so soon again: the reason may be gone [s]
AGAIN = 1.0
#: how late erasure may be
GRACE = timedelta(hours=1)

log = structlog.get_logger("sluis.intake")


class Window:
    """Only ever touched from the event loop."""

    def __init__(self, home: Callable[[], Home], clock: Callable[[], float] = time.monotonic) -> None:
        self._home = home
        self._clock = clock
        #: deliveries and days' keys that should be gone; None before the first look at a ledger that answers
        self.overdue: int | None = None
        self._looked_at = -AGAIN
        self._clock_wrong = False

    def check(self) -> None:
        """IntakeRefused while the clock is wrong (`clock-wrong`), while something should have been erased and was not (`erasure-overdue`),
        and while nobody could look (`ledger-behind`)."""
        if wrong_by(self._home().clock):
            raise IntakeRefused("clock-wrong")
        if self.overdue is None:
            raise IntakeRefused("ledger-behind")
        if self.overdue:
            raise IntakeRefused("erasure-overdue")

    def wants_a_look(self) -> bool:
        """Whether it would refuse by what was seen a while ago."""
        return self.overdue != 0 and self._clock() - self._looked_at > AGAIN

    async def look(self) -> None:
        """Look once. While the ledger is away, what was seen last counts."""
        try:
            overdue = await asyncio.to_thread(self._count, self._home())
        except Exception:
            log.exception("intake.window-failed")
            return
        finally:
            self._looked_at = self._clock()
        if overdue and not self.overdue:
            log.error("intake.erasure-overdue", count=overdue)
        elif self.overdue and not overdue:
            log.info("intake.erasure-caught-up")
        self.overdue = overdue
        self._tell_clock()

    def _tell_clock(self) -> None:
        off = wrong_by(self._home().clock)
        if bool(off) != self._clock_wrong:
            self._clock_wrong = bool(off)
            log.error("intake.clock-wrong" if off else "intake.clock-right", gateway_ahead_seconds=round(off.total_seconds()))

    @staticmethod
    def _count(home: Home) -> int:
        late = home.clock() - GRACE
        # a day's public half goes last: the private ones are not in the intake's view
        days = sum(epoch_end(day, home.config.retention.window_days) <= late for day in home.epochs.public_days())
        with home.ledger.view() as session:
            return days + len(holding(session, before=late))

    async def run(self) -> None:
        """Look for ever."""
        while True:
            await asyncio.sleep(EVERY)
            await self.look()
