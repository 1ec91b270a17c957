"""The four folders as one vendor sees them, and the rights of each. Knows no protocol: whoever speaks SFTP asks here.

    leveringen/ bezwaren/   upload only: own names are listed, nothing is read back, a delivered name is never overwritten
    ontvangst/              this vendor's receipts, read only
    sleutels/               the gateway's public keys, and the rules that its administrator added; read only

Everything is called on the event loop; what touches the disk or the ledger for long goes to a thread from here. `write` only copies into
the page cache.
"""

import asyncio
import os
import re
import stat
from collections.abc import Awaitable
from dataclasses import dataclass
from pathlib import Path

from gateway.intake.desk import Desk, Room, Unfinished
from gateway.intake.files import note
from gateway.intake.files.arriving import Arriving, as_refusal, asked, start
from gateway.intake.files.names import FOLDERS, UPLOAD_FOLDERS, Place, check_name, is_unfinished
from gateway.intake.files.refusals import IntakeRefused
from gateway.intake.files.upload import Upload
from gateway.store.deliveries import delivery_of, newest_deliveries
from gateway.store.durable import make_folder
from gateway.store.home import Home
from policies.errors import SluisError

#: delivered names that a listing shows, newest first
LISTED = 1000

#: what is handed out of the home's public folder, under the same name, when it is there
PUBLIC_FILES = ("sluis.age.txt", "sluis.pgp.asc", "sluis.regels.toml", "sluis.sleutels.json", "sluis.vkey.txt")

#: what the worker writes into a vendor's receipts; anything else there is not shown
RECEIPT = re.compile(r"d\d{8}-[a-z2-7]{16}[a-z.]*\.(json|txt|pdf)")


@dataclass(frozen=True)
class Facts:
    """What a listing and a stat tell."""

    name: str
    is_folder: bool
    writable: bool
    size: int = 0
    changed_at: float = 0.0  # [s since 1970]

    @property
    def mode(self) -> int:
        kind = stat.S_IFDIR | 0o110 if self.is_folder else stat.S_IFREG
        return kind | 0o440 | (0o220 if self.writable else 0)


@dataclass(eq=False)
class Reading:
    """A handle on a receipt or a public key."""

    descriptor: int
    facts: Facts


Handle = Arriving | Reading

__all__ = ["Arriving", "Facts", "Handle", "Reading", "VendorFolders"]


class VendorFolders:
    """One vendor's view; one per SFTP session."""

    def __init__(self, home: Home, desk: Desk, session: str, vendor: str, origin: str) -> None:
        self.home = home
        self.desk = desk
        self.session = session
        self.vendor = vendor
        self.origin = origin
        self._open: dict[Place, Arriving] = {}
        desk.attend(session, asked)

    # ------------------------------------------------------------ looking

    async def facts(self, place: Place) -> Facts:
        """What is at `place`; IntakeRefused (`no-such-file`) for what this vendor does not have."""
        if place.is_root:
            return Facts("/", is_folder=True, writable=False)
        if place.is_folder:
            return Facts(place.folder, is_folder=True, writable=place.takes_uploads)
        if not place.takes_uploads:
            return self._readable(place)[1]
        if (arriving := self._open.get(place)) is not None and arriving.is_open:
            return self.handle_facts(arriving)
        if (found := await self.desk.find(self.vendor, place.folder, place.name)) is not None:
            return _of_upload(found)
        if (delivered := await asyncio.to_thread(self._delivered, place)) is None:
            raise IntakeRefused("no-such-file")
        return delivered

    def _delivered(self, place: Place) -> Facts | None:
        with self.home.ledger.view() as session:
            drop = delivery_of(session, self.vendor, place.folder, place.name)
        if drop is None:
            return None
        resend = not drop.final  # an incomplete delivery is to be sent again from its first byte
        return Facts(drop.file_name, is_folder=False, writable=resend, size=0 if resend else drop.bytes, changed_at=drop.received_at)

    async def listing(self, place: Place) -> list[Facts]:
        """What is in the folder; never a name of another vendor."""
        if place.name:
            await self.facts(place)
            raise IntakeRefused("no-such-file")
        if place.is_root:
            return [await self.facts(Place(folder)) for folder in FOLDERS]
        if place.folder not in UPLOAD_FOLDERS:
            return await asyncio.to_thread(self._readables, place.folder)
        shown = {found.name: _of_upload(found) for found in await self.desk.look(self.vendor, place.folder)}
        shown |= {mine.name: self.handle_facts(one) for mine, one in self._open.items() if one.is_open and mine.folder == place.folder}
        for facts in await asyncio.to_thread(self._newest, place.folder):  # after the desk: nothing falls in between
            shown.setdefault(facts.name, facts)
        return list(shown.values())

    def _newest(self, folder: str) -> list[Facts]:
        with self.home.ledger.view() as session:
            newest = newest_deliveries(session, self.vendor, folder, LISTED)
        return [Facts(drop.file_name, is_folder=False, writable=False, size=drop.bytes, changed_at=drop.received_at) for drop in newest]

    def handle_facts(self, handle: Handle) -> Facts:
        if isinstance(handle, Reading):
            return handle.facts
        return Facts(handle.place.name, is_folder=False, writable=True, size=handle.upload.size)

    async def space(self) -> Room:
        """What this vendor may still store (statvfs@openssh.com)."""
        return await self.desk.room(self.vendor)

    def _source(self, folder: str) -> Path:
        return self.home.receipts(self.vendor) if folder == "ontvangst" else self.home.public

    def _readables(self, folder: str) -> list[Facts]:
        names = sorted(os.listdir(source)) if (source := self._source(folder)).is_dir() else []
        return [one for name in names if (one := self._try_readable(Place(folder, name)))]

    def _readable(self, place: Place) -> tuple[Path, Facts]:
        shown = RECEIPT.fullmatch(place.name) if place.folder == "ontvangst" else place.name in PUBLIC_FILES
        path = self._source(place.folder) / place.name
        try:
            told = path.lstat()
        except OSError:
            raise IntakeRefused("no-such-file") from None
        if not shown or not stat.S_ISREG(told.st_mode):
            raise IntakeRefused("no-such-file")
        return path, Facts(place.name, is_folder=False, writable=False, size=told.st_size, changed_at=told.st_mtime)

    def _try_readable(self, place: Place) -> Facts | None:
        try:
            return self._readable(place)[1]
        except IntakeRefused:
            return None

    # ------------------------------------------------------------ reading

    async def open_to_read(self, place: Place) -> Reading:
        """A receipt or a public key; delivered files are never read back. Whoever opens tells the desk of the handle."""
        if not place.name:
            raise IntakeRefused("is-a-folder")
        if place.takes_uploads:
            raise IntakeRefused("no-reading-back")
        path, facts = self._readable(place)
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError:
            raise IntakeRefused("no-such-file") from None
        size = os.fstat(descriptor).st_size  # a receipt may have been rewritten since it was looked at
        return Reading(descriptor, Facts(facts.name, is_folder=False, writable=False, size=size, changed_at=facts.changed_at))

    async def read(self, handle: Handle, offset: int, size: int) -> bytes:
        """At most `size` bytes from `offset` [bytes]; empty at the end."""
        if isinstance(handle, Arriving):
            raise IntakeRefused("no-reading-back")
        return await asyncio.to_thread(os.pread, handle.descriptor, size, offset)

    # ------------------------------------------------------------ writing

    async def open_to_write(self, place: Place, *, create: bool, anew: bool, only_new: bool, append: bool) -> Arriving:
        """Begin or resume an upload. IntakeRefused for a folder without that right, a bad name, a delivered one, or a limit.

        `anew` (SSH_FXF_TRUNC) gives up what there was of it.
        """
        _check_target(place)
        opening = start(self._open_to_write(place, create, anew, only_new, append))
        try:
            return await asyncio.shield(opening)
        except asyncio.CancelledError:  # the session is gone: what it was about to get is given back
            opening.add_done_callback(self._lose_opened)
            raise

    def _lose_opened(self, opening: "asyncio.Task[Arriving]") -> None:
        if not opening.cancelled() and opening.exception() is None:
            start(self.lose(opening.result()))

    async def _open_to_write(self, place: Place, create: bool, anew: bool, only_new: bool, append: bool) -> Arriving:
        claim = await self.desk.claim(self.session, place.folder, place.name, create=create, anew=anew, only_new=only_new)
        folder = self.home.incoming(self.vendor, place.folder)
        try:
            if claim.begin:
                if not folder.is_dir():
                    await asyncio.to_thread(make_folder, folder)
                upload = Upload.begin(folder, claim.uid)
            else:
                upload = await asyncio.to_thread(self._resume, folder, claim.uid)
        except BaseException as error:
            await self.desk.given_up(self.session, claim.uid)
            if isinstance(error, SluisError | OSError):
                raise as_refusal(error) from None
            raise
        arriving = Arriving(self.home, self.desk, self.session, self.vendor, self.origin, place, upload, claim)
        arriving.append = append
        self._open[place] = arriving
        return arriving

    def _resume(self, folder: Path, uid: str) -> Upload:
        restored = note.restore(self.home, folder, uid)
        if restored is None:
            raise IntakeRefused("not-received")
        upload, told = restored
        note.save(self.home, upload, told.name, told.request)  # it is no longer exact
        upload.open()
        return upload

    def write(self, handle: Handle, offset: int, data: bytes | bytearray | memoryview) -> Awaitable[None] | None:
        """None: it is in the page cache. Otherwise the session waits for the answer before it goes on. `data` is used until then."""
        if not isinstance(handle, Arriving):
            raise IntakeRefused("not-a-place-to-write")
        return handle.write(offset, data)

    async def sync(self, handle: Handle) -> None:
        """What was written through the handle so far is on the disk when this returns (fsync@openssh.com)."""
        if isinstance(handle, Arriving):
            await handle.sync()

    async def cut(self, handle: Handle, size: int) -> None:
        """A new size through the handle: only the one it has, since what arrived has used its key stream."""
        if not isinstance(handle, Arriving) or size != handle.upload.size:
            raise IntakeRefused("not-allowed")

    # ------------------------------------------------------------ ending

    async def close(self, handle: Handle) -> str | None:
        """The client closed the handle: a file under its final name is delivered and durable; answers the drop's id then."""
        return await self._ended(handle, True)

    async def lose(self, handle: Handle) -> None:
        """The connection ended without a close: what arrived stays and can be resumed."""
        await self._ended(handle, False)

    async def _ended(self, handle: Handle, asked_for: bool) -> str | None:
        if isinstance(handle, Reading):
            os.close(handle.descriptor)
            return None
        try:
            if asked_for:
                return await handle.close()
            await handle.lose()
            return None
        finally:
            if self._open.get(handle.place) is handle:
                del self._open[handle.place]

    async def rename(self, old: Place, new: Place, *, replace: bool) -> str | None:
        """Give a closed, unfinished upload another name; a final one delivers it and answers the drop's id.

        `replace` (posix-rename) may take the name of another unfinished upload, never that of a delivered file.
        """
        if not old.name or not old.takes_uploads or new.folder != old.folder:
            raise IntakeRefused("not-allowed")
        _check_target(new)
        return await asyncio.shield(start(self._rename(old, new, replace)))

    async def _rename(self, old: Place, new: Place, replace: bool) -> str | None:
        claim = await self.desk.rename(self.session, old.folder, old.name, new.name, replace=replace)
        folder = self.home.incoming(self.vendor, old.folder)
        restored = await asyncio.to_thread(note.restore, self.home, folder, claim.uid)
        if restored is None:
            await self.desk.given_up(self.session, claim.uid)
            raise IntakeRefused("not-received")
        arriving = Arriving(self.home, self.desk, self.session, self.vendor, self.origin, old, restored[0], claim)
        if not is_unfinished(new.name):
            return await arriving.deliver_as(new)
        await arriving.keep_as(new)
        return None


def _check_target(place: Place) -> None:
    if not place.name or not place.takes_uploads:
        raise IntakeRefused("is-a-folder" if place.is_root or place.is_folder else "not-a-place-to-write")
    check_name(place.name)


def _of_upload(found: Unfinished) -> Facts:
    """An unfinished one is shown with no time (1970): a client that mirrors by size and time then sends it again, rather than take it
    for delivered because all of it arrived."""
    changed_at = found.changed_at if found.delivered else 0.0
    return Facts(found.name, is_folder=False, writable=not found.delivered, size=found.size, changed_at=changed_at)
