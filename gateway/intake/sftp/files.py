"""Requests on handles: open, write, read, close, and what else is asked of something open."""

import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from gateway.intake.files.folders import Arriving, Facts, Handle, VendorFolders
from gateway.intake.files.names import Place, locate
from gateway.intake.files.refusals import IntakeRefused
from gateway.intake.metrics import Metrics
from gateway.intake.sftp import wire
from gateway.intake.sftp.handles import Handles, Listing, Opened
from gateway.intake.sftp.wire import Attributes, Fields

#: names in one answer to READDIR
NAMES_AT_ONCE = 100

#: beyond the end of every file, and still a number that a file system takes [bytes]
FAR = 1 << 62

Opening = Callable[[Place], Coroutine[Any, Any, Handle | Listing]]


def attributes_of(facts: Facts) -> Attributes:
    """What a client is told of a file or folder: no owner of this machine among it."""
    changed = min(int(facts.changed_at), 0xFFFFFFFF)
    return Attributes(facts.size, (0, 0), facts.mode, (changed, changed))


class Files:
    """The handles of one session and what is done with them. Methods raise IntakeRefused, OSError, Malformed."""

    def __init__(self, folders: VendorFolders, metrics: Metrics) -> None:
        self.folders = folders
        self.metrics = metrics
        self.handles = Handles()
        #: a close was refused that the client has every reason to think well of
        self.disappointed = False

    # ------------------------------------------------------------ opening

    async def open(self, request: int, fields: Fields) -> bytes:
        """Attributes are ignored: modes and owners mean nothing here."""
        path, flags = fields.text(), fields.u32()
        fields.attributes()
        fields.end()
        place = locate(path)
        if flags & (wire.FXF_WRITE | wire.FXF_APPEND):
            return wire.handle(request, await self._open_to_write(place, flags))
        if flags & wire.FXF_READ:
            return wire.handle(request, await self._counted(self.folders.open_to_read, place))
        raise IntakeRefused("not-allowed")

    async def _open_to_write(self, place: Place, flags: int) -> int:
        self.handles.check_room()
        return self.handles.add(
            await self.folders.open_to_write(
                place,
                create=bool(flags & wire.FXF_CREAT),
                anew=bool(flags & wire.FXF_TRUNC),
                only_new=bool(flags & wire.FXF_CREAT and flags & wire.FXF_EXCL),
                append=bool(flags & wire.FXF_APPEND),
            )
        )

    async def opendir(self, request: int, fields: Fields) -> bytes:
        path = fields.text()
        fields.end()
        return wire.handle(request, await self._counted(self._listing, locate(path)))

    async def _listing(self, place: Place) -> Listing:
        return Listing(await self.folders.listing(place))

    async def _counted(self, opening: Opening, place: Place) -> int:
        """A handle that the desk does not know of by a claim: it is told first, so that its bound is not passed even for a moment."""
        self.handles.check_room()
        await self.folders.desk.handle(self.folders.session, +1)
        try:
            return self.handles.add(await opening(place))
        except BaseException:
            await self.folders.desk.handle(self.folders.session, -1)
            raise

    # ------------------------------------------------------------ content

    def write(self, request: int, number: int, offset: int, data: memoryview) -> bytes | Awaitable[bytes]:
        """In the event loop: a thread for each write costs more than the write into the page cache (measured)."""
        waiting = self.folders.write(self.handles.get(number).file, offset, data)
        self.metrics.bytes_in(len(data))
        return wire.done(request) if waiting is None else _after(waiting, request)

    async def odd_write(self, request: int, fields: Fields) -> bytes:
        """A WRITE whose handle is none of ours, or whose length is wrong."""
        self._opened(fields)
        fields.u64()
        fields.view()
        fields.end()
        raise IntakeRefused("bad-handle")

    async def read(self, request: int, fields: Fields) -> bytes:
        opened, offset, size = self._opened(fields), fields.u64(), fields.u32()
        fields.end()
        found = await self.folders.read(opened.file, min(offset, FAR), min(size, wire.MAX_PIECE))
        if not found:
            return wire.status(request, wire.EOF, "")
        self.metrics.bytes_out(len(found))
        return wire.data(request, found)

    def readdir(self, request: int, fields: Fields) -> bytes:
        opened = self._opened(fields)
        fields.end()
        if not isinstance(opened.on, Listing):
            raise IntakeRefused("bad-handle")
        entries = opened.on.take(NAMES_AT_ONCE)
        if not entries:
            return wire.status(request, wire.EOF, "")
        return wire.names(request, [(facts.name.encode(), attributes_of(facts)) for facts in entries])

    async def fsync(self, request: int, fields: Fields) -> bytes:
        """fsync@openssh.com: what was written so far is on the disk."""
        opened = self._opened(fields)
        fields.end()
        await self.folders.sync(opened.file)
        return wire.done(request)

    # ------------------------------------------------------------ attributes

    def fstat(self, request: int, fields: Fields) -> bytes:
        opened = self._opened(fields)
        fields.end()
        return wire.attributes(request, attributes_of(self.folders.handle_facts(opened.file)))

    async def fsetstat(self, request: int, fields: Fields) -> bytes:
        """Clients set times and modes at the end of an upload: taken, and without effect. Owners and sizes are refused."""
        opened, asked = self._opened(fields), fields.attributes()
        fields.end()
        if asked.owners is not None:
            raise IntakeRefused("not-allowed")
        if asked.size is not None:
            await self.folders.cut(opened.file, asked.size)
        return wire.done(request)

    # ------------------------------------------------------------ ending

    async def close(self, request: int, fields: Fields) -> bytes:
        """The one way in which a file is delivered, but for a rename."""
        number = self._number(fields)
        fields.end()
        opened, began = self.handles.take(number), time.monotonic()
        try:
            if not isinstance(opened.on, Listing):
                size = self.folders.handle_facts(opened.on).size
                if await self.folders.close(opened.on) is not None:
                    self.delivered(size, opened.since, began)
        except Exception:
            self.disappointed = isinstance(opened.on, Arriving) and not opened.on.failed
            raise
        finally:
            await self._uncount(opened)
        return wire.done(request)

    def delivered(self, size: int, since: float, closing: float) -> None:
        """Count a file of `size` [bytes] that was opened at `since` and closed at `closing` [monotonic s]."""
        now = time.monotonic()
        self.metrics.close_seconds(now - closing)
        self.metrics.delivered(size, now - since)

    async def lose(self) -> list[Exception]:
        """The session ends without closing what is open: it stays for whoever resumes it. Answers what went wrong."""
        wrong = []
        for opened in self.handles.take_all():
            try:
                if not isinstance(opened.on, Listing):
                    await self.folders.lose(opened.on)
                await self._uncount(opened)
            except Exception as error:
                wrong.append(error)
        return wrong

    async def _uncount(self, opened: Opened) -> None:
        if not opened.counted_by_claim:
            await self.folders.desk.handle(self.folders.session, -1)

    # ------------------------------------------------------------ handles in requests

    @staticmethod
    def _number(fields: Fields) -> int:
        told = fields.view()
        if len(told) != 4:
            raise IntakeRefused("bad-handle")
        return int.from_bytes(told, "big")

    def _opened(self, fields: Fields) -> Opened:
        return self.handles.get(self._number(fields))

    def check(self, fields: Fields) -> None:
        """IntakeRefused (`bad-handle`) unless the next field is the last and names something open."""
        self._opened(fields)
        fields.end()


async def _after(work: Awaitable[None], request: int) -> bytes:
    await work
    return wire.done(request)
