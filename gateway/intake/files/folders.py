"""The four folders as one vendor sees them, and the rights of each. Knows no protocol: whoever speaks SFTP asks here.

    leveringen/ bezwaren/   upload only: own names are listed, nothing is read back, a delivered name is never overwritten
    ontvangst/              this vendor's receipts, read only
    sleutels/               the gateway's public keys, read only

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

from gateway.intake.desk import Desk, Room
from gateway.intake.files.delivery import deliver
from gateway.intake.files.names import FOLDERS, UPLOAD_FOLDERS, Place, check_name, is_unfinished
from gateway.intake.files.refusals import IntakeRefused
from gateway.intake.files.upload import Upload
from gateway.intake.files.uploads import Uploads
from gateway.store.deliveries import deliveries, latest_delivery, name_is_taken
from gateway.store.home import Home

#: delivered names that a listing shows, newest first
LISTED = 1000

#: what is handed out of the home's public folder, under the same name
PUBLIC_FILES = ("sluis.age.txt", "sluis.pgp.asc", "sluis.vkey.txt")

#: what the worker writes into a vendor's receipts; anything else there is not shown
RECEIPT = re.compile(r"d\d{8}-[a-z2-7]{16}[a-z.]*\.(json|txt)")


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
class Arriving:
    """A handle on an upload."""

    upload: Upload
    append: bool
    owner: object  # what the upload knows its writer by
    failed: bool = False  # a write was refused: closing it now would deliver a file with less in it than was sent


@dataclass(eq=False)
class Reading:
    """A handle on a receipt or a public key."""

    descriptor: int
    facts: Facts


Handle = Arriving | Reading


class VendorFolders:
    """One vendor's view; one per SFTP session."""

    def __init__(self, home: Home, desk: Desk, session: str, vendor: str, origin: str) -> None:
        self.home = home
        self.desk = desk
        self.session = session
        self.uploads: Uploads = desk.uploads  # type: ignore[attr-defined]
        self.vendor = vendor
        self.origin = origin
        self.max_bytes = self.home.config.intake.max_file_bytes

    # ------------------------------------------------------------ on the event loop

    async def facts(self, place: Place) -> Facts:
        """What is at `place`; IntakeRefused (`no-such-file`) for what this vendor does not have."""
        return await asyncio.to_thread(self._facts, place)

    async def listing(self, place: Place) -> list[Facts]:
        """What is in the folder; never a name of another vendor."""
        return await asyncio.to_thread(self._listing, place)

    async def open_to_read(self, place: Place) -> Reading:
        return await asyncio.to_thread(self._open_to_read, place)

    async def open_to_write(self, place: Place, *, create: bool, anew: bool, only_new: bool, append: bool) -> Arriving:
        return await asyncio.to_thread(self._open_to_write, place, create=create, anew=anew, only_new=only_new, append=append)

    async def read(self, handle: Handle, offset: int, size: int) -> bytes:
        return await asyncio.to_thread(self._read, handle, offset, size)

    def write(self, handle: Handle, offset: int, data: bytes | bytearray | memoryview) -> Awaitable[None] | None:
        """None: it is in the page cache. Otherwise the session waits for the answer before it goes on. `data` is used until then."""
        self._write(handle, offset, data)
        return None

    async def sync(self, handle: Handle) -> None:
        await asyncio.to_thread(self._sync, handle)

    async def cut(self, handle: Handle, size: int) -> None:
        self._cut(handle, size)

    async def close(self, handle: Handle) -> str | None:
        """The client closed the handle: a file under its final name is delivered; answers the drop's id then."""
        return await asyncio.to_thread(self._close, handle)

    async def lose(self, handle: Handle) -> None:
        """The connection ended without a close: what arrived stays and can be resumed."""
        await asyncio.to_thread(self._lose, handle)

    async def rename(self, old: Place, new: Place, *, replace: bool) -> str | None:
        return await asyncio.to_thread(self._rename, old, new, replace=replace)

    async def space(self) -> Room:
        """What this vendor may still store (statvfs@openssh.com)."""
        return await self.desk.room(self.vendor)

    # ------------------------------------------------------------ looking

    def _facts(self, place: Place) -> Facts:
        """What is at `place`; IntakeRefused (`no-such-file`) for what this vendor does not have."""
        if place.is_root:
            return Facts("/", is_folder=True, writable=False)
        if place.is_folder:
            return Facts(place.folder, is_folder=True, writable=place.takes_uploads)
        if not place.takes_uploads:
            return self._readable(place)[1]
        if upload := self.uploads.find(self.vendor, place.folder, place.name):
            return _of_upload(upload)
        with self.home.ledger.view() as session:
            drop = latest_delivery(session, self.vendor, place.folder, place.name)
        if drop is None:
            raise IntakeRefused("no-such-file")
        resend = not name_is_taken(drop)  # an incomplete delivery is to be sent again from its first byte
        return Facts(
            drop.file_name, is_folder=False, writable=resend, size=0 if resend else drop.bytes, changed_at=drop.received_at.timestamp()
        )

    def _listing(self, place: Place) -> list[Facts]:
        """What is in the folder; never a name of another vendor."""
        if place.name:
            self._facts(place)
            raise IntakeRefused("no-such-file")
        if place.is_root:
            return [self._facts(Place(folder)) for folder in FOLDERS]
        if place.folder in UPLOAD_FOLDERS:
            shown = {upload.name: _of_upload(upload) for upload in self.uploads.of(self.vendor, place.folder)}
            with self.home.ledger.view() as session:
                for drop in deliveries(session, self.vendor, place.folder, LISTED):
                    facts = Facts(drop.file_name, is_folder=False, writable=False, size=drop.bytes, changed_at=drop.received_at.timestamp())
                    shown.setdefault(drop.file_name, facts)
            return list(shown.values())
        names = sorted(os.listdir(folder)) if (folder := self._source(place.folder)).is_dir() else []
        return [one for name in names if (one := self._try_readable(Place(place.folder, name)))]

    def _source(self, folder: str) -> Path:
        return self.home.receipts(self.vendor) if folder == "ontvangst" else self.home.public

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

    # ------------------------------------------------------------ opening, reading, writing

    def _open_to_read(self, place: Place) -> Reading:
        """A receipt or a public key; delivered files are never read back."""
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

    def _open_to_write(self, place: Place, *, create: bool, anew: bool, only_new: bool, append: bool) -> Arriving:
        """Begin or resume an upload. IntakeRefused for a folder without that right, a bad name, or a delivered one."""
        self._check_target(place)
        owner = object()
        upload = self.uploads.open(owner, self.vendor, place.folder, place.name, create=create, anew=anew, only_new=only_new)
        return Arriving(upload, append, owner)

    def _check_target(self, place: Place) -> None:
        if not place.name or not place.takes_uploads:
            raise IntakeRefused("is-a-folder" if place.is_root or place.is_folder else "not-a-place-to-write")
        check_name(place.name)
        with self.home.ledger.view() as session:
            if name_is_taken(latest_delivery(session, self.vendor, place.folder, place.name)):
                raise IntakeRefused("name-taken")

    def _read(self, handle: Handle, offset: int, size: int) -> bytes:
        if isinstance(handle, Arriving):
            raise IntakeRefused("no-reading-back")
        return os.pread(handle.descriptor, size, offset)

    def _write(self, handle: Handle, offset: int, data: bytes | bytearray | memoryview) -> None:
        if not isinstance(handle, Arriving):
            raise IntakeRefused("not-a-place-to-write")
        try:
            if handle.append:
                handle.upload.append(handle.owner, bytes(data), self.max_bytes)
            else:
                handle.upload.write(handle.owner, offset, bytes(data), self.max_bytes)
        except BaseException:
            handle.failed = True
            raise

    def _sync(self, handle: Handle) -> None:
        """What was written through the handle so far is on the disk when this returns (fsync@openssh.com)."""
        if isinstance(handle, Arriving):
            handle.upload.sync(handle.owner)

    def handle_facts(self, handle: Handle) -> Facts:
        return _of_upload(handle.upload) if isinstance(handle, Arriving) else handle.facts

    def _cut(self, handle: Handle, size: int) -> None:
        """A new size through the handle: only the one it has, since what arrived has used its key stream."""
        if not isinstance(handle, Arriving) or size != handle.upload.size:
            raise IntakeRefused("not-allowed")

    # ------------------------------------------------------------ ending

    def _close(self, handle: Handle) -> str | None:
        """The client closed the handle: a file under its final name is delivered; answers the drop's id then."""
        if isinstance(handle, Reading):
            os.close(handle.descriptor)
            return None
        upload = handle.upload
        if upload.owner is not handle.owner:
            raise IntakeRefused("taken-over")
        try:
            if handle.failed:
                raise IntakeRefused("write-failed")
            if is_unfinished(upload.name):
                upload.check_whole()
                upload.closed = True
                return None
            return deliver(self.uploads, upload, upload.name, self.origin)
        finally:
            upload.release(handle.owner)

    def _lose(self, handle: Handle) -> None:
        """The connection ended without a close: what arrived stays and can be resumed."""
        if isinstance(handle, Reading):
            os.close(handle.descriptor)
        else:
            handle.upload.release(handle.owner)

    def _rename(self, old: Place, new: Place, *, replace: bool) -> str | None:
        """Give a closed, unfinished upload another name; a final one delivers it and answers the drop's id.

        `replace` (posix-rename) may take the name of another unfinished upload, never that of a delivered file.
        """
        if not old.name or not old.takes_uploads or new.folder != old.folder:
            raise IntakeRefused("not-allowed")
        upload = self.uploads.find(self.vendor, old.folder, old.name)
        if upload is None:
            with self.home.ledger.view() as session:
                delivered = latest_delivery(session, self.vendor, old.folder, old.name)
            raise IntakeRefused("no-such-file" if delivered is None else "not-allowed")
        self._check_target(new)
        if not upload.closed or upload.owner is not None:
            raise IntakeRefused("not-closed")
        other = self.uploads.find(self.vendor, new.folder, new.name)
        if other is not None and other is not upload:
            if not replace or other.owner is not None:
                raise IntakeRefused("name-unfinished-taken")
            self.uploads.give_up(other)
        if not is_unfinished(new.name):
            return deliver(self.uploads, upload, new.name, self.origin)
        self.uploads.rename(upload, new.name)
        return None


def _of_upload(upload: Upload) -> Facts:
    return Facts(upload.name, is_folder=False, writable=True, size=upload.size, changed_at=upload.changed_at)
