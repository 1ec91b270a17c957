"""How far each upload may be written: vendors' accounts, the disk, and the speed, put together.

Bytes are allowed in pieces, so that a door asks seldom. When a vendor's limit comes near, whoever holds more than it has written gives it
back, and the ledger is asked again what was erased meanwhile: nothing is refused that there is room for.
"""

import asyncio
import os
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, date

from gateway.intake.desk import Ask, Room
from gateway.intake.files.refusals import IntakeRefused
from gateway.intake.front.quota import Account, Limits, Use
from gateway.intake.front.registrar import Registrar
from gateway.intake.front.uploads import Entries, Entry
from gateway.store.deliveries import Standing, delivery_of, limits_of, standing_of
from gateway.store.home import Home

#: what is allowed with the claim: most files are smaller, and need no second question [bytes]
FIRST_PIECE = 1 << 20
#: what is allowed at a time after that [bytes]
PIECE = 16 << 20
#: how long holders have to give back what they don't need [s]
SPARE_SECONDS = 2.0
#: so old may be what the ledger said of a vendor; before a refusal it is asked again in any case [s]
READ_SECONDS = 60.0
#: with less than this above a bound of the disk it is counted exactly what is still to be written [bytes]
NEAR = 1 << 30


class Allowance:
    """Of every vendor. Only ever touched from the event loop."""

    def __init__(self, home: Home, registrar: Registrar, entries: Entries, ask: Callable[[Entry, Ask], None]) -> None:
        self._home = home
        self._registrar = registrar
        self._entries = entries
        self._ask = ask
        self._accounts: dict[str, Account] = {}
        self._own: dict[str, dict[str, int]] = {}
        self._read_at: dict[str, float] = {}
        self._loading: dict[str, asyncio.Lock] = {}
        self.free_disk: Callable[[], int] = self._free_disk
        self.monotonic: Callable[[], float] = time.monotonic

    # ------------------------------------------------------------ accounts

    async def account(self, vendor: str, anew: bool = False) -> Account:
        """A vendor's; `anew`: with the limits that the ledger has for it now."""
        async with self._loading.setdefault(vendor, asyncio.Lock()):
            if vendor not in self._accounts or self.monotonic() - self._read_at[vendor] > READ_SECONDS:
                await self._read(vendor)
            elif anew:
                self._own[vendor] = await asyncio.to_thread(self._limits, vendor)
        account = self.account_now(vendor)
        account.limit(Limits.of(self._home.config.intake, self._own[vendor]))
        return account

    def account_now(self, vendor: str) -> Account:
        """The same of a vendor that was asked for before."""
        account = self._accounts[vendor]
        account.at(self._today())
        return account

    async def refresh(self, vendor: str) -> None:
        """Ask the ledger what it says now of a vendor: deliveries may have been erased."""
        async with self._loading.setdefault(vendor, asyncio.Lock()):
            await self._read(vendor)

    async def _read(self, vendor: str) -> None:
        today = self._today()
        async with self._registrar.quiet:  # while this is held, what waits is not in the ledger
            standing = await asyncio.to_thread(self._standing, vendor, today)
        waiting = [manifest for manifest in self._registrar.waiting.values() if manifest.vendor == vendor]
        arrived_today = [manifest for manifest in waiting if manifest.received.astimezone(UTC).date() == today]
        self._own[vendor] = standing.limits
        self._read_at[vendor] = self.monotonic()
        limits = Limits.of(self._home.config.intake, standing.limits)
        account = self._accounts.setdefault(vendor, Account(limits, today))
        account.limit(limits)
        account.day = today
        account.today = Use(standing.day_files + len(arrived_today), standing.day_bytes + sum(m.bytes for m in arrived_today))
        account.stored = Use(standing.store_files + len(waiting), standing.store_bytes + sum(m.bytes for m in waiting))

    def _limits(self, vendor: str) -> dict[str, int]:
        with self._home.ledger.view() as session:
            return limits_of(session, vendor)

    def _standing(self, vendor: str, day: date) -> Standing:
        with self._home.ledger.view() as session:
            return standing_of(session, vendor, day)

    def reconfigured(self, home: Home) -> None:
        """Other values in `[intake]`."""
        self._home = home
        for vendor, account in self._accounts.items():
            account.limit(Limits.of(home.config.intake, self._own[vendor]))

    async def was_delivered(self, vendor: str, folder: str, name: str) -> bool:
        def asked() -> bool:
            with self._home.ledger.view() as session:
                return delivery_of(session, vendor, folder, name) is not None

        return await asyncio.to_thread(asked)

    # ------------------------------------------------------------ beginning

    def may_begin(self, account: Account) -> bool:
        account.at(self._today())
        return not account.refusal_of_a_new_one()

    def check_disk_for_a_new_one(self, uid: str, account: Account) -> None:
        """IntakeRefused (`disk-full`) while so little of the disk is left that it is kept for what has begun already."""
        if self._disk_left(self._home.config.intake.disk_reserve_bytes) <= 0:
            account.given_up(uid)
            raise IntakeRefused("disk-full")

    def first_piece(self, account: Account, uid: str) -> int:
        """What a new upload may be written up to at once [bytes]: nothing where the speed is bound."""
        piece = 0 if account.limits.bytes_per_second else account.reach(uid, FIRST_PIECE)
        account.allow(uid, piece)
        return piece

    # ------------------------------------------------------------ going on

    async def extend(self, entry: Entry, stop: int) -> int:
        """Up to where the upload may be written [bytes], at least `stop`; waits where the speed is bound. IntakeRefused."""
        account = self.account_now(entry.vendor)
        if stop <= entry.allowed:
            return entry.allowed
        if account.why_not(entry.uid, stop):
            await self._make_room(account, entry, stop)
        self._check_disk(entry, stop)
        before, holder = entry.allowed, entry.holder
        entry.allowed = account.reach(entry.uid, max(stop, before + self._piece(account, stop)))
        account.allow(entry.uid, entry.allowed)
        wait = account.bucket.take(entry.allowed - before, self.monotonic())
        allowed = entry.allowed
        if wait > 0:
            await asyncio.sleep(wait)
        return min(allowed, entry.allowed) if entry.holder == holder else 0

    async def _make_room(self, account: Account, entry: Entry, stop: int) -> None:
        """IntakeRefused unless the limits allow it after all."""
        if account.why_not(entry.uid, stop) != "too-large":
            await self._call_back(entry)
            if account.why_not(entry.uid, stop):
                await self.refresh(entry.vendor)
        if code := account.why_not(entry.uid, stop):
            raise IntakeRefused(code)

    async def _call_back(self, wanting: Entry) -> None:
        others = [e for e in self._entries if e.vendor == wanting.vendor and e.holder and e is not wanting and e.allowed > e.base]
        for entry in others:
            entry.spared.clear()
            self._ask(entry, Ask.SPARE)
        with suppress(TimeoutError):
            await asyncio.wait_for(asyncio.gather(*(entry.spared.wait() for entry in others)), SPARE_SECONDS)

    def _piece(self, account: Account, stop: int) -> int:
        """Smaller where little is left, or where it would be waited for."""
        rate = account.limits.bytes_per_second
        piece = min(PIECE, rate // 4) if rate else PIECE
        return min(piece, account.free_bytes // 4, max(0, self._disk_left(self._home.config.intake.disk_floor_bytes) // 4))

    def give_back(self, entry: Entry, extent: int) -> None:
        """The upload needs no more than `extent` [bytes] of what it was allowed."""
        account = self.account_now(entry.vendor)
        account.bucket.put_back(entry.allowed - extent)
        account.allow(entry.uid, extent)
        entry.allowed = extent

    # ------------------------------------------------------------ the disk

    def _check_disk(self, entry: Entry, stop: int) -> None:
        if self._disk_left(self._home.config.intake.disk_floor_bytes) < stop - entry.allowed:
            raise IntakeRefused("disk-full")

    def _disk_left(self, bound: int) -> int:
        """What of the disk is free above `bound` once everything that is allowed has been written [bytes]."""
        free = self.free_disk() - bound
        at_most = sum(account.arriving_bytes for account in self._accounts.values())  # what is written already counted too
        return free - (self._entries.unwritten() if free - at_most < NEAR else at_most)

    def _free_disk(self) -> int:
        told = os.statvfs(self._home.drops)
        return told.f_bavail * told.f_frsize

    async def room(self, vendor: str) -> Room:
        """What a vendor may still store now."""
        account = await self.account(vendor)
        disk = max(0, self._disk_left(self._home.config.intake.disk_reserve_bytes))
        limits = account.limits
        return Room(limits.store_bytes, min(account.free_bytes, disk), limits.store_files, account.free_files)

    def _today(self) -> date:
        return self._home.clock().astimezone(UTC).date()
