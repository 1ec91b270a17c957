"""A handle on an upload: one session's right to write it, until it is closed, lost, or taken over by a newer connection.

The desk is asked when more bytes are needed than it has allowed, and told how it ends. How it ends is never broken off half-way: a session
that goes away while its file is made durable does not stop that.
"""

import asyncio
import errno
import time
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from typing import Any, TypeVar

import structlog

from gateway.intake.desk import Ask, Claim, Desk
from gateway.intake.files import note
from gateway.intake.files.delivery import Astray, Delivery, Unsafe, deliverer
from gateway.intake.files.names import Place, is_unfinished
from gateway.intake.files.refusals import IntakeRefused
from gateway.intake.files.upload import EARLY, Upload
from gateway.store.home import Home
from policies.errors import SluisError

#: smaller files are not on disk while their first session writes them, and so not noted: a kill loses at most this much [bytes]
NOTE_AFTER = EARLY

#: how far ahead of what is missing a client may write: many times what clients have in flight. A gap is room on the disk that nobody else
#: gets, since it may be filled without another question; without a bound one byte at a far offset would take all of it [bytes]
MAX_AHEAD = 64 << 20

#: how far a scattered upload may grow before its note says so [bytes]
NOTE_EVERY = 16 << 20

#: an answer that gives nothing back [bytes]
EVERYTHING = 1 << 62

T = TypeVar("T")

log = structlog.get_logger("sluis.intake")

#: what this process writes now, by uid: whoever asks for it may be another channel of the same connection
_held: dict[str, "Arriving"] = {}
_tasks: set[asyncio.Task[Any]] = set()


def asked(what: Ask, uid: str) -> None:
    """The desk wants something of an upload that is written here; nothing happens when it has ended since."""
    if (arriving := _held.get(uid)) is not None:
        start(arriving.give_way() if what == Ask.YIELD else arriving.spare())


def start(work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
    """A task that goes on whatever becomes of who started it."""
    task = asyncio.ensure_future(work)
    _tasks.add(task)
    task.add_done_callback(_done)
    return task


def _done(task: asyncio.Task[Any]) -> None:
    """A refusal that nobody waits for any more (the front or the session is gone) is no news; whatever else is raised, is."""
    _tasks.discard(task)
    if not task.cancelled() and not isinstance(error := task.exception(), IntakeRefused | None):
        log.error("upload.failed", exc_info=error)


def as_refusal(error: SluisError | OSError) -> IntakeRefused:
    """What a vendor is told of an error of ours, or of the disk."""
    if isinstance(error, IntakeRefused):
        return error
    full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
    return IntakeRefused("disk-full" if full else "not-received")


class Arriving:
    """Only ever touched from one event loop."""

    def __init__(self, home: Home, desk: Desk, session: str, vendor: str, origin: str, place: Place, upload: Upload, claim: Claim) -> None:
        self.upload = upload
        self.place = place
        self.request = claim.request
        self.allowed = claim.allowed  # [bytes]
        self.append = False
        self.failed = False  # a write was refused: closing it now would deliver a file with less in it than was sent
        self.opened_at = time.monotonic()
        self._home, self._desk = home, desk
        self._session, self._vendor, self._origin = session, vendor, origin
        self._ended = ""  # the code that a request on the handle is refused with from now on
        self._extending = False
        self._no_further = ""  # the code that further bytes were refused with
        self._unsafe = False  # the disk failed: what is on it can't be trusted
        self._noted = 0 if claim.begin else upload.size  # what the note on disk knows [bytes]
        self._has_note = not claim.begin
        self._turn = asyncio.Lock()  # of what is not a write
        _held[upload.uid] = self

    @property
    def is_open(self) -> bool:
        return not self._ended

    # ------------------------------------------------------------ writing

    def write(self, offset: int, data: bytes | bytearray | memoryview) -> Awaitable[None] | None:
        """Take `data` at `offset` [bytes]. None: it is in the page cache; otherwise it is once the answer was awaited. IntakeRefused."""
        if self._ended:
            raise IntakeRefused(self._ended)
        start = self.upload.size if self.append else offset
        if start > self.upload.size + MAX_AHEAD:
            self.failed = True
            raise IntakeRefused("too-far-ahead")
        if start + len(data) <= self.allowed:
            self._put(start, data)
            return None
        if self._no_further:
            raise IntakeRefused(self._no_further)
        return self._put_when_allowed(start, data)

    async def _put_when_allowed(self, start: int, data: bytes | bytearray | memoryview) -> None:
        self._extending = True
        try:
            self.allowed = await self._desk.extend(self._session, self.upload.uid, start + len(data))
        except IntakeRefused as refused:
            self.failed, self._no_further = True, refused.code
            raise
        finally:
            self._extending = False
        self._check()
        self._put(start, data)

    def _put(self, start: int, data: bytes | bytearray | memoryview) -> None:
        upload = self.upload
        try:
            if upload.would_scatter(start):
                upload.scattered = True
                self._save()  # before the write
            elif self._note_is_due(start + len(data)):
                self._save()
            upload.write(start, data)
        except IntakeRefused:
            self.failed = True
            raise
        except (SluisError, OSError) as error:
            self.failed = True
            log.error("upload.write-failed", session=self._session, request=self.request, exc_info=error)
            raise as_refusal(error) from None

    def _note_is_due(self, stop: int) -> bool:
        if not self._has_note:
            return stop > NOTE_AFTER
        return self.upload.scattered and self.upload.size >= self._noted + NOTE_EVERY

    def _save(self) -> None:
        note.save(self._home, self.upload, self.place.name, self.request)
        self._has_note, self._noted = True, self.upload.size

    async def sync(self) -> None:
        """What was written so far is on the disk when this returns."""
        async with self._turn:
            self._check()
            try:
                await self._in_thread(deliverer().sync, self.upload)
            except Unsafe:
                self.failed = self._unsafe = True
                raise IntakeRefused("not-received") from None

    async def spare(self) -> None:
        """Give back what is allowed and not written."""
        if self._ended:
            return
        if not self._extending:  # else the answer that is on its way would give it again
            self.allowed = self.upload.ranges.end
        with suppress(IntakeRefused):  # it ends just now: what is allowed comes back with that
            await self._desk.spare(self._session, self.upload.uid, EVERYTHING if self._extending else self.allowed)

    # ------------------------------------------------------------ ending

    async def close(self) -> str | None:
        """The client closed the handle: under a final name the file is delivered; answers the drop's id then. IntakeRefused."""
        return await asyncio.shield(start(self._close()))

    async def lose(self) -> None:
        """The connection ended without a close: what arrived stays and can be resumed."""
        await asyncio.shield(start(self._let_go("no-such-file")))

    async def give_way(self) -> None:
        """A newer connection takes the upload over."""
        await self._let_go("taken-over")

    async def deliver_as(self, place: Place) -> str:
        """A closed upload under its final name; it keeps its old one when that fails. Answers the drop's id. IntakeRefused."""
        return await asyncio.shield(start(self._deliver_renamed(place)))

    async def keep_as(self, place: Place) -> None:
        """A closed upload under another unfinished name."""
        old, self.place = self.place, place
        await asyncio.shield(start(self._keep_renamed(old)))

    async def _close(self) -> str | None:
        async with self._turn:
            self._check()
            self._end("no-such-file")
            closed = False
            try:
                if self.failed:
                    raise IntakeRefused("write-failed")
                self.upload.check_whole()
                if not is_unfinished(self.place.name):
                    return await self._deliver(self.place)
                closed = True
            except _NothingLeft as nothing:
                raise nothing.refusal from None
            except BaseException:
                await self._keep(closed=False)
                raise
            await self._keep(closed=closed)
            return None

    async def _let_go(self, code: str) -> None:
        async with self._turn:
            if not self._ended:
                self._end(code)
                await self._keep(closed=False)

    async def _deliver_renamed(self, place: Place) -> str:
        async with self._turn:
            self._end("no-such-file")
            try:
                return await self._deliver(place)
            except _NothingLeft as nothing:
                raise nothing.refusal from None
            except BaseException:
                await self._keep(closed=True)
                raise

    async def _keep_renamed(self, old: Place) -> None:
        async with self._turn:
            self._end("no-such-file")
            try:
                await self._in_thread(self._save_clean, True)
            except OSError as error:
                self.place = old
                await self._keep(closed=True)
                raise as_refusal(error) from None
            await self._tell_kept(closed=True)

    async def _deliver(self, place: Place) -> str:
        delivery = Delivery(self._vendor, place.folder, place.name, self.request, self._origin)
        try:
            manifest = await self._in_thread(deliverer().deliver, self._home, self.upload, delivery)
        except (Unsafe, Astray) as error:
            log.error("upload.unsafe", session=self._session, request=self.request, exc_info=error)
            await self._give_up()
            raise _NothingLeft("not-received") from None
        except (SluisError, OSError) as error:
            log.error("upload.not-delivered", session=self._session, request=self.request, exc_info=error)
            raise as_refusal(error) from None
        await self._desk.delivered(self._session, self.upload.uid, manifest)
        log.info("drop.received", vendor=self._vendor, folder=place.folder, drop=manifest.id, bytes=manifest.bytes, origin=self._origin,
                 session=self._session, request=self.request)  # fmt: skip
        return manifest.id

    async def _keep(self, closed: bool) -> None:
        """For whoever resumes it; destroyed when not even a note of it can be left."""
        if self._unsafe:
            return await self._give_up()
        try:
            await self._in_thread(self._save_clean, closed)
        except (SluisError, OSError) as error:
            log.error("upload.not-kept", session=self._session, request=self.request, exc_info=error)
            await self._give_up()
        else:
            await self._tell_kept(closed)

    def _save_clean(self, closed: bool) -> None:
        note.save(self._home, self.upload, self.place.name, self.request, closed=closed, clean=True)
        self.upload.close()

    async def _tell_kept(self, closed: bool) -> None:
        upload = self.upload
        await self._desk.keep(self._session, upload.uid, self.place.name, upload.size, upload.ranges.end, closed)

    async def _give_up(self) -> None:
        self.upload.close()
        await self._desk.given_up(self._session, self.upload.uid)

    def _check(self) -> None:
        if self._ended:
            raise IntakeRefused(self._ended)

    def _end(self, code: str) -> None:
        self._ended = code
        _held.pop(self.upload.uid, None)

    async def _in_thread(self, work: Callable[..., T], *arguments: Any) -> T:
        return await asyncio.get_running_loop().run_in_executor(deliverer().threads, work, *arguments)


class _NothingLeft(Exception):
    """The upload was given up: there is nothing to keep."""

    def __init__(self, code: str) -> None:
        self.refusal = IntakeRefused(code)
