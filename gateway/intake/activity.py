"""What a connection is doing, and who came in when."""

import asyncio
import time
from dataclasses import dataclass, field

import structlog
from sqlalchemy.exc import SQLAlchemyError

from gateway.store.entrance import Login, note_logins
from gateway.store.home import Home

#: logins are written down together, this long after the first of them [s]
NOTE_AFTER = 1.0
#: with the ledger away, no more than so many are remembered; only the last of each key matters
MOST_NOTES = 10_000

log = structlog.get_logger("sluis.intake")


@dataclass
class Activity:
    """When a connection last did something, and whether it is doing something now."""

    started: float = field(default_factory=time.monotonic)
    last: float = field(default_factory=time.monotonic)
    busy: int = 0

    def mark(self, change: int = 0) -> None:
        """Something happened; `change` is +1 when it goes on for a while and -1 when that ends."""
        self.busy += change
        self.last = time.monotonic()

    def idle_seconds(self) -> float:
        """How long nothing has happened [s]; 0 while something is going on."""
        return 0.0 if self.busy else time.monotonic() - self.last

    def seconds(self) -> float:
        """How long it has been there [s]."""
        return time.monotonic() - self.started


class LoginBook:
    """Writes down in the ledger who came in, many at a time, so that no login waits for it. Only touched from the event loop."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self._waiting: list[Login] = []
        self._task: asyncio.Task[None] | None = None

    def note(self, vendor: str, fingerprint: str, origin: str) -> None:
        """Somebody came in now; in the ledger soon."""
        if len(self._waiting) < MOST_NOTES:
            self._waiting.append(Login(vendor, fingerprint, origin, self._home.clock()))
        if self._task is None:
            self._task = asyncio.create_task(self._write_soon())

    async def close(self) -> None:
        """Everything noted so far is written down, if the ledger is there."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        await self._write()

    async def _write_soon(self) -> None:
        try:
            while self._waiting:
                await asyncio.sleep(NOTE_AFTER)
                await self._write()
        finally:
            self._task = None

    async def _write(self) -> None:
        logins, self._waiting = self._waiting, []
        if not logins:
            return
        try:
            await asyncio.shield(asyncio.to_thread(self._note, logins))
        except SQLAlchemyError:
            log.warning("logins.not-noted", logins=len(logins))
            self._waiting = logins + self._waiting

    def _note(self, logins: list[Login]) -> None:
        with self._home.ledger.change("intake") as change:
            note_logins(change, logins)
