"""Tells the ledger of drops that are durable: many in one transaction, again and again until the ledger has them.

A vendor was told of success before the ledger was; the manifest on disk is what keeps that promise: the next start tells the ledger of
every drop that it does not know. What is committed and reported lost is not told twice.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import suppress

import structlog

from gateway.intake.files.manifest import Manifest
from gateway.intake.files.refusals import IntakeRefused
from gateway.store.deliveries import Arrival, receive_all
from gateway.store.home import Home

#: drops in one transaction
BATCH = 200
#: how long the first of a batch waits for company [s]
GATHER_SECONDS = 0.25
#: waits after a failure: doubled each time from the first to the last [s]
BACK_OFF = (0.1, 30.0)
#: beyond so many waiting drops, or so old a failure, nothing new is taken: what vendors were promised must stay within reach
MAX_WAITING = 5_000
MAX_BEHIND_SECONDS = 600.0
#: how long a stop tries to tell the rest; the next start goes on with it [s]
LAST_TRY_SECONDS = 10.0

log = structlog.get_logger("sluis.intake")


class Registrar:
    """One per endpoint. Only ever touched from the event loop."""

    def __init__(self, home: Home, clock: Callable[[], float] = time.monotonic) -> None:
        self.home = home
        #: durable and not in the ledger yet, by drop id, oldest first
        self.waiting: dict[str, Manifest] = {}
        self._by_name: dict[tuple[str, str, str], Manifest] = {}
        self.batches = 0
        #: held while the ledger is told: what is read from it under this lock has all of `waiting` or none of it
        self.quiet = asyncio.Lock()
        self._adopted: set[str] = set()
        self._clock = clock
        self._behind_since: float | None = None
        self._some = asyncio.Event()
        self._none = asyncio.Event()
        self._none.set()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Tell what is left, within LAST_TRY_SECONDS; what is not told then, the next start adopts."""
        if self._task is None:
            return
        with suppress(TimeoutError):
            await asyncio.wait_for(self._none.wait(), LAST_TRY_SECONDS)
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task
        self._task = None

    def add(self, manifest: Manifest, adopted: bool = False) -> None:
        """A drop is durable: tell the ledger. `adopted`: it was found on disk, after a crash."""
        self.waiting[manifest.id] = manifest
        self._by_name[manifest.vendor, manifest.folder, manifest.file_name] = manifest
        if adopted:
            self._adopted.add(manifest.id)
        self._none.clear()
        self._some.set()

    def under(self, vendor: str, folder: str, name: str) -> Manifest | None:
        """What waits under that name."""
        return self._by_name.get((vendor, folder, name))

    async def settled(self) -> None:
        """When this returns, the ledger has everything that was added before."""
        await self._none.wait()

    def check_not_behind(self) -> None:
        """IntakeRefused (`ledger-behind`) when so much waits for the ledger that nothing more should."""
        late = self._behind_since is not None and self._clock() - self._behind_since > MAX_BEHIND_SECONDS
        if late or len(self.waiting) >= MAX_WAITING:
            raise IntakeRefused("ledger-behind")

    async def _run(self) -> None:
        wait = BACK_OFF[0]
        while True:
            await self._some.wait()
            await asyncio.sleep(GATHER_SECONDS)
            try:
                async with self.quiet:
                    await self._tell(list(self.waiting.values())[:BATCH])
            except Exception as error:
                told = None if self._behind_since is not None else error
                self._behind_since = self._clock() if self._behind_since is None else self._behind_since
                log.error("registrar.failed", waiting=len(self.waiting), exc_info=told)
                await asyncio.sleep(wait)
                wait = min(2 * wait, BACK_OFF[1])
            else:
                wait, self._behind_since = BACK_OFF[0], None

    async def _tell(self, batch: Sequence[Manifest]) -> None:
        window = self.home.config.retention.window_days
        arrivals = [manifest.arrival(window, manifest.id in self._adopted) for manifest in batch]
        try:
            await asyncio.to_thread(_record, self.home, arrivals)
        except Exception:
            if len(batch) == 1:
                # one that fails for ever must not keep the others waiting for ever
                self.waiting[batch[0].id] = self.waiting.pop(batch[0].id)
                raise
            await self._tell(batch[:1])
            await self._tell(batch[1:])
            return
        self.batches += 1
        for manifest in batch:
            del self.waiting[manifest.id]
            if self.under(*(name := (manifest.vendor, manifest.folder, manifest.file_name))) is manifest:
                del self._by_name[name]
            self._adopted.discard(manifest.id)
        if not self.waiting:
            self._some.clear()
            self._none.set()


def _record(home: Home, arrivals: Sequence[Arrival]) -> None:
    """One transaction. Blocking; may be repeated."""
    with home.ledger.change("intake") as change:
        receive_all(change, arrivals)
