"""The desk itself: everything that the intake's processes share, on the event loop of the front.

What is decided is decided between two awaits: whoever waited looks again. So two sessions never hold one upload, and no limit is exceeded
by two that ask at the same time.
"""

import asyncio
import base64
import os
import secrets
import time
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, date

import structlog
from sqlalchemy.exc import SQLAlchemyError

from gateway.intake.desk import Ask, Asked, Claim, Room, Unfinished
from gateway.intake.files import note
from gateway.intake.files.manifest import Manifest
from gateway.intake.files.names import twin_key
from gateway.intake.files.refusals import IntakeRefused
from gateway.intake.files.upload import new_uid
from gateway.intake.front.allowance import Allowance
from gateway.intake.front.delivered import DeliveredNames
from gateway.intake.front.orphans import Found, recovered, unfinished_uploads, whole_manifests
from gateway.intake.front.registrar import Registrar
from gateway.intake.front.uploads import Entries, Entry
from gateway.intake.front.visits import Visit, Visits
from gateway.intake.front.window import Window
from gateway.store.home import Home

#: how long a session has to give way to a newer one [s]
YIELD_SECONDS = 30.0
ASK_AGAIN_SECONDS = 0.5

#: who holds an upload while the desk destroys it or looks what became of it; no session is called so
DESK = "the desk"

log = structlog.get_logger("sluis.intake")


class FrontDesk:
    """One per endpoint. Only ever touched from the event loop."""

    def __init__(self, home: Home) -> None:
        self.home = home
        self.registrar = Registrar(home)
        self.entries = Entries(home)
        self.visits = Visits(lambda: self.home.config.intake)
        self.allowance = Allowance(home, self.registrar, self.entries, self.visits.ask)
        self.window = Window(lambda: self.home)
        self._names = DeliveredNames(home, self.registrar)
        self._over: set[str] = set()  # uids of which there was a key and no entry

    # ------------------------------------------------------------ the service

    async def start(self) -> None:
        """Find what an earlier run left: drops that the ledger does not know yet, and unfinished uploads."""
        manifests, uploads = await asyncio.to_thread(self._look_around)
        for manifest in manifests:
            self._adopt(manifest)
        for found in uploads:
            await self.allowance.account(found.vendor)
            self._found(found)
        await self.window.look()
        self.registrar.start()

    def _look_around(self) -> tuple[list[Manifest], list[Found]]:
        return whole_manifests(self.home), unfinished_uploads(self.home)

    def _adopt(self, manifest: Manifest) -> None:
        self._names.add(manifest.vendor, manifest.folder, manifest.file_name)
        self.registrar.add(manifest, adopted=True)
        log.warning("drop.adopted", drop=manifest.id, vendor=manifest.vendor)

    def _found(self, found: Found) -> None:
        self.allowance.account_now(found.vendor).found(found.uid, found.extent)
        told = found.note
        entry = Entry(
            found.uid, found.vendor, found.folder, told.name, told.request or _request(), found.size, found.changed_at, told.closed
        )
        entry.allowed = entry.base = found.extent
        entry.let_go()
        self.entries.add(entry)

    async def stop(self) -> None:
        """What is unfinished is kept for the next start; the ledger is told of what was delivered."""
        held = [entry for entry in self.entries if entry.holder]
        for entry in held:
            self.visits.ask(entry, Ask.YIELD)
        with suppress(TimeoutError):
            await asyncio.wait_for(asyncio.gather(*(entry.free.wait() for entry in held)), YIELD_SECONDS)
        await self.registrar.stop()

    async def settled(self) -> None:
        """When this returns, the ledger has everything that was delivered before."""
        await self.registrar.settled()

    def reconfigured(self, home: Home) -> None:
        """The configuration was read again: its limits count from now on."""
        self.home = home
        self.allowance.reconfigured(home)

    async def expire(self, keep_seconds: float | None = None) -> None:
        """Destroy uploads that nobody finished in time: the configured days, or `keep_seconds` [s]."""
        if keep_seconds is None:
            keep_seconds = self.home.config.intake.unfinished_keep_days * 86_400
        oldest = self.home.clock().timestamp() - keep_seconds  # gateway time: a wall clock that is set back keeps none of them longer
        failures: list[Exception] = []  # one that can't be destroyed holds up no other; whoever called hears of the first, and calls again
        for entry in [entry for entry in self.entries if not entry.holder and entry.changed_at < oldest]:
            if entry.holder or self.entries.get(entry.uid) is not entry:
                continue  # claimed while others were destroyed
            entry.hold(DESK)
            try:  # written down first: what is gone can't be looked at any more
                await asyncio.to_thread(self._tell_expired, entry.vendor, entry.folder, entry.request)
            except BaseException as error:
                entry.let_go()
                if not isinstance(error, Exception):
                    raise
                failures.append(error)
                continue
            try:
                await self._destroy(entry)
            except Exception as error:
                failures.append(error)
        try:
            await asyncio.to_thread(note.runtime_keys(self.home).finish, note.KIND)
        except Exception as error:
            failures.append(error)
        await self._forget_what_is_over()
        if failures:
            raise failures[0]

    async def _forget_what_is_over(self) -> None:
        """An upload whose key could not be destroyed when it was delivered or given up: no second key may outlive a drop's own. One that is
        just being recovered has no entry yet: what is over is seen twice."""
        known = await asyncio.to_thread(note.runtime_keys(self.home).names, note.KIND)
        over = {uid for uid in known if self.entries.get(uid) is None}
        for uid in over & self._over:
            for folder in (self.home.path / "incoming").glob("*/*"):
                await asyncio.to_thread(note.forget, self.home, folder, uid)
            log.warning("upload.forgotten-late", upload=uid)
        self._over = over - self._over

    def _tell_expired(self, vendor: str, folder: str, request: str) -> None:
        with self.home.ledger.change("intake") as change:
            change.audit("upload.expired", f"vendor:{vendor}", folder=folder, request=request)

    async def abandoned(self, session: str) -> None:
        """The process that served the session died: what it held is found on disk, and free for whoever resumes it."""
        await self.leave(session)
        held = [entry for entry in self.entries if entry.holder == session]
        for entry in held:
            entry.holder = DESK
        for manifest in await asyncio.to_thread(whole_manifests, self.home, {entry.uid for entry in held}):
            if (delivered := self.entries.get(manifest.upload)) is not None:
                self._received(delivered, session, manifest, adopted=True)
                held.remove(delivered)
        for entry in held:
            await self._look_at(entry, session)

    async def _look_at(self, entry: Entry, session: str) -> None:
        found = await asyncio.to_thread(recovered, self.home, entry.vendor, entry.folder, entry.uid)
        self.allowance.account_now(entry.vendor).given_up(entry.uid)
        self.visits.released(session, entry.uid)
        self.entries.remove(entry)
        if found is not None:
            self._found(found)
        entry.let_go()

    # ------------------------------------------------------------ sessions and handles

    async def enter(self, session: str, vendor: str, address: str) -> None:
        try:
            account = await self.allowance.account(vendor, anew=True)
        except SQLAlchemyError:
            raise IntakeRefused("ledger-behind") from None
        self.visits.enter(session, vendor, account)

    async def leave(self, session: str) -> None:
        self.visits.leave(session)

    def sessions(self, vendor: str = "") -> int:
        """How many connections have logged in now: of one vendor, or of all."""
        return self.visits.count(vendor)

    async def failed(self, session: str, address: str, account: str, reason: str) -> None:
        """Nobody counts here: whoever defends the endpoint does."""

    def attend(self, session: str, asked: Asked) -> None:
        self.visits.attend(session, asked)

    async def handle(self, session: str, change: int) -> None:
        self.visits.handle(session, change)

    # ------------------------------------------------------------ claims

    async def claim(self, session: str, folder: str, name: str, *, create: bool, anew: bool, only_new: bool) -> Claim:
        deadline = time.monotonic() + YIELD_SECONDS
        while True:
            visit = self.visits.of(session)
            entry = self.entries.at(visit.vendor, folder, name)
            if entry is None:
                if not await self._still_free(visit, folder, name):
                    continue
                if not create:
                    raise IntakeRefused("no-such-file")
                if (claim := await self._begin(visit, folder, name)) is not None:
                    return claim
            elif only_new:
                raise IntakeRefused("name-unfinished-taken")
            elif entry.holder:
                await self._wait_for(entry, deadline)
            elif anew and (entry.size or entry.allowed):
                await self._destroy(entry)
            else:
                return await self._resume(visit, entry)

    async def _still_free(self, visit: Visit, folder: str, name: str) -> bool:
        """Whether nobody took the name while it was looked up; IntakeRefused when it was used up before."""
        before = self._names.counts.get(visit.vendor, 0)
        await self._names.check_free(visit.vendor, folder, name)
        free = self.entries.at(visit.vendor, folder, name) is None
        return free and self._names.counts.get(visit.vendor, 0) == before

    async def _begin(self, visit: Visit, folder: str, name: str) -> Claim | None:
        """None when something was looked up meanwhile: whoever asked looks again."""
        self.registrar.check_not_behind()
        if self.window.wants_a_look():
            await self.window.look()
            return None
        self.window.check()
        self.visits.check_room(visit)
        account = visit.account
        if not self.allowance.may_begin(account):
            await self.allowance.refresh(visit.vendor)
            if code := account.refusal_of_a_new_one():
                raise IntakeRefused(code)
            return None
        entry = Entry(new_uid(), visit.vendor, folder, name, _request())
        account.begin(entry.uid)
        self.allowance.check_disk_for_a_new_one(entry.uid, account)
        entry.allowed = self.allowance.first_piece(account, entry.uid)
        self.entries.add(entry)
        self.visits.hold(visit, entry)
        entry.base = 0
        return Claim(entry.uid, name, True, entry.allowed, entry.request)

    async def _resume(self, visit: Visit, entry: Entry) -> Claim:
        self.visits.check_room(visit)
        self.visits.hold(visit, entry)
        entry.closed = False
        return Claim(entry.uid, entry.name, False, entry.allowed, entry.request)

    async def _wait_for(self, entry: Entry, deadline: float) -> None:
        """Until nobody holds it; IntakeRefused when its holder does not give way in time."""
        while not entry.free.is_set():
            if time.monotonic() > deadline:
                raise IntakeRefused("being-delivered")
            self.visits.ask(entry, Ask.YIELD)
            with suppress(TimeoutError):  # asked again: it may have been claimed and not be open yet
                await asyncio.wait_for(entry.free.wait(), ASK_AGAIN_SECONDS)

    async def rename(self, session: str, folder: str, old: str, new: str, *, replace: bool) -> Claim:
        while True:
            visit = self.visits.of(session)
            vendor = visit.vendor
            entry = self.entries.found(vendor, folder, old)
            if entry is None:
                known = self.registrar.under(vendor, folder, old) is not None or await self.allowance.was_delivered(vendor, folder, old)
                raise IntakeRefused("not-allowed" if known else "no-such-file")
            if not entry.closed or entry.holder:
                raise IntakeRefused("not-closed")
            before = self._names.counts.get(vendor, 0)
            await self._names.check_free(vendor, folder, new)
            if self._names.counts.get(vendor, 0) != before or self.entries.found(vendor, folder, old) is not entry or entry.holder:
                continue
            self.visits.of(session)
            other = self._other(entry, vendor, folder, new)
            if other is None:
                break
            if not replace or other.holder:
                raise IntakeRefused("name-unfinished-taken")
            await self._destroy(other)
        self.visits.check_room(visit)
        self.visits.hold(visit, entry)
        self.entries.reserve(entry, new)
        return Claim(entry.uid, new, False, entry.allowed, entry.request)

    def _other(self, entry: Entry, vendor: str, folder: str, new: str) -> Entry | None:
        if twin_key(new) == twin_key(entry.name):
            return None  # it may change its own spelling
        return self.entries.at(vendor, folder, new)

    async def _destroy(self, entry: Entry) -> None:
        entry.hold(DESK)
        try:
            await asyncio.to_thread(note.forget, self.home, self.home.incoming(entry.vendor, entry.folder), entry.uid)
        except BaseException:
            entry.let_go()
            raise
        self.allowance.account_now(entry.vendor).given_up(entry.uid)
        self.entries.remove(entry)
        entry.let_go()

    # ------------------------------------------------------------ while it is written, and how that ends

    async def extend(self, session: str, uid: str, stop: int) -> int:
        entry = self._held(session, uid)
        allowed = await self.allowance.extend(entry, stop)
        self._held(session, uid)
        return allowed

    async def spare(self, session: str, uid: str, allowed: int) -> None:
        entry = self._held(session, uid)
        if allowed < entry.allowed:
            self.allowance.give_back(entry, allowed)
        entry.spared.set()

    async def keep(self, session: str, uid: str, name: str, size: int, extent: int, closed: bool) -> None:
        entry = self._held(session, uid)
        self.allowance.give_back(entry, extent)
        self.entries.named(entry, name)
        entry.size, entry.closed, entry.changed_at = size, closed, self._changed_at(entry)
        self.visits.released(session, entry.uid)
        entry.let_go()

    def _changed_at(self, entry: Entry) -> float:
        try:
            return os.stat(self.home.incoming(entry.vendor, entry.folder) / f"{entry.uid}.blob").st_mtime
        except FileNotFoundError:
            return time.time()

    async def delivered(self, session: str, uid: str, manifest: Manifest) -> None:
        self._received(self._held(session, uid), session, manifest)

    def _received(self, entry: Entry, session: str, manifest: Manifest, adopted: bool = False) -> None:
        account = self.allowance.account_now(entry.vendor)
        self.allowance.give_back(entry, manifest.bytes)
        account.at(self._today())
        account.delivered(entry.uid, manifest.bytes, manifest.received.astimezone(UTC).date())
        self._names.add(manifest.vendor, manifest.folder, manifest.file_name)
        notices = account.notices(manifest.bytes)
        self.registrar.add(replace(manifest, notices=notices) if notices else manifest, adopted)
        self.visits.released(session, entry.uid)
        self.entries.remove(entry)
        entry.let_go()

    async def given_up(self, session: str, uid: str) -> None:
        """What is left of it on disk is destroyed; unless it became a drop after all, and only that was not known."""
        entry = self._held(session, uid)
        entry.holder = DESK
        for manifest in await asyncio.to_thread(whole_manifests, self.home, {uid}):
            return self._received(entry, session, manifest, adopted=True)
        self.visits.released(session, uid)
        await self._destroy(entry)

    def _held(self, session: str, uid: str) -> Entry:
        entry = self.entries.get(uid)
        if entry is None or entry.holder != session:
            raise IntakeRefused("taken-over")
        return entry

    # ------------------------------------------------------------ looking

    async def look(self, vendor: str, folder: str) -> list[Unfinished]:
        unfinished = [self.entries.seen(entry) for entry in self.entries.of(vendor, folder)]
        names = {one.name for one in unfinished}
        return unfinished + [_of_drop(manifest) for manifest in self._waiting(vendor, folder) if manifest.file_name not in names]

    async def find(self, vendor: str, folder: str, name: str) -> Unfinished | None:
        if (entry := self.entries.found(vendor, folder, name)) is not None:
            return self.entries.seen(entry)
        if (manifest := self.registrar.under(vendor, folder, name)) is not None:
            return _of_drop(manifest)
        if not await self._names.may_hold(vendor, folder, name):
            raise IntakeRefused("no-such-file")
        return None

    def _waiting(self, vendor: str, folder: str) -> list[Manifest]:
        return [m for m in self.registrar.waiting.values() if (m.vendor, m.folder) == (vendor, folder)]

    async def room(self, vendor: str) -> Room:
        return await self.allowance.room(vendor)

    def _today(self) -> date:
        return self.home.clock().astimezone(UTC).date()


def _of_drop(manifest: Manifest) -> Unfinished:
    received_at = manifest.received.timestamp()
    return Unfinished(manifest.upload, manifest.folder, manifest.file_name, manifest.bytes, received_at, True, False, True)


def _request() -> str:
    """A name for an upload: r and 12 base32 characters."""
    return "r" + base64.b32encode(secrets.token_bytes(8))[:12].decode().lower()
