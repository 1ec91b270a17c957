"""SFTP version 3 (draft-ietf-secsh-filexfer-02) for one vendor: first everything is denied, then what the folders allow is let in.

asyncssh's SFTPServer works on the local file system in every method that is not overridden, so DenyEverything overrides all of
them; a test compares the two classes, so that a new version can't open a method silently.
"""

import asyncio
import errno
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from typing import Any, NoReturn, TypeVar

import asyncssh
import structlog
from asyncssh import (
    FXF_APPEND,
    FXF_CREAT,
    FXF_EXCL,
    FXF_READ,
    FXF_TRUNC,
    FXF_WRITE,
    SFTPAttrs,
    SFTPError,
    SFTPFailure,
    SFTPName,
    SFTPNoSuchFile,
    SFTPOpUnsupported,
    SFTPPermissionDenied,
    SSHServerChannel,
)

from gateway.intake.files.folders import Facts, Handle, VendorFolders
from gateway.intake.files.names import canonical, locate
from gateway.intake.files.refusals import CATALOGUE, IntakeRefused, Status
from policies.errors import SluisError

T = TypeVar("T")

log = structlog.get_logger("sluis.intake")

_ERRORS: dict[Status, Callable[[str], SFTPError]] = {
    Status.PERMISSION: lambda text: SFTPPermissionDenied(text, "nl"),
    Status.NO_SUCH: lambda text: SFTPNoSuchFile(text, "nl"),
    Status.FAILURE: lambda text: SFTPFailure(text, "nl"),
    Status.UNSUPPORTED: lambda text: SFTPOpUnsupported(text, "nl"),
}

#: handles one session may have open
MAX_HANDLES = 64

#: refusals of one session that are written to the audit log; the rest is only logged
AUDITED_REFUSALS = 50


def _deny(*_: object) -> NoReturn:
    raise _error(IntakeRefused("unsupported"))


def _error(refused: IntakeRefused) -> SFTPError:
    return _ERRORS[refused.text.status](refused.said)


class DenyEverything(asyncssh.SFTPServer):
    """Every operation of the base class, refused."""

    def map_path(self, path: bytes) -> bytes:
        _deny()

    def reverse_map_path(self, path: bytes) -> bytes:
        _deny()

    def format_user(self, uid: int | None) -> str:
        return "sluis"  # the base class would tell the names of this machine's accounts

    def format_group(self, gid: int | None) -> str:
        return "sluis"

    def scandir(self, path: bytes) -> AsyncIterator[SFTPName]:
        _deny()

    open = open56 = close = read = write = _deny  # type: ignore[assignment]
    lstat = stat = fstat = setstat = lsetstat = fsetstat = _deny  # type: ignore[assignment]
    remove = mkdir = rmdir = rename = posix_rename = _deny  # type: ignore[assignment]
    realpath = readlink = symlink = link = _deny  # type: ignore[assignment]
    lock = unlock = statvfs = fstatvfs = fsync = _deny  # type: ignore[assignment]


class VendorSftp(DenyEverything):
    """What a vendor may do, in terms of VendorFolders."""

    def __init__(self, channel: SSHServerChannel[bytes], folders: VendorFolders, on_activity: Callable[[int], None]) -> None:
        super().__init__(channel)
        self.folders = folders
        self._on_activity = on_activity
        self._lost = False
        self._handles = 0
        self._refusals = 0
        version = str(channel.get_extra_info("client_version", ""))
        self._tell_on_stderr = "OpenSSH" in version  # its sftp shows "Failure" and not the text of the status

    # ------------------------------------------------------------ how it is asked and answered

    async def _ask(self, action: str, question: Coroutine[Any, Any, T]) -> T:
        """Put a question to the folders; a refusal becomes an SFTP status with its text."""
        self._on_activity(1)
        try:
            return await question
        except (SluisError, OSError) as error:
            raise await self._refuse(action, error) from None
        finally:
            self._on_activity(-1)

    async def _refuse(self, action: str, error: SluisError | OSError) -> SFTPError:
        refused = _as_refusal(error)
        if refused is not error:
            log.error("sftp.failed", vendor=self.folders.vendor, action=action, exc_info=error)
        if refused.text.audited:
            self._refusals += 1
            log.warning("sftp.refused", vendor=self.folders.vendor, action=action, code=refused.code, origin=self.folders.origin)
            if self._refusals <= AUDITED_REFUSALS:
                await asyncio.to_thread(self._audit, action, refused.code)
        if self._tell_on_stderr and CATALOGUE[refused.code].status is not Status.NO_SUCH:
            self.channel.write_stderr(f"{refused.said}\r\n".encode())
        return _error(refused)

    def _audit(self, action: str, code: str) -> None:
        folders = self.folders
        with folders.home.ledger.change(f"vendor:{folders.vendor}", folders.origin) as change:
            change.audit(f"sftp.{action}", f"vendor:{folders.vendor}", code)  # never the name: it may hold anything

    def connection_ended(self) -> None:
        """The session ends: a `close` that still comes was not asked for by the client."""
        self._lost = True

    # ------------------------------------------------------------ looking

    async def realpath(self, path: bytes) -> bytes:  # type: ignore[override]
        self._on_activity(0)
        try:
            return canonical(path)
        except IntakeRefused as refused:
            raise await self._refuse("realpath", refused) from None

    async def stat(self, path: bytes) -> SFTPAttrs:  # type: ignore[override]
        async def located() -> Facts:
            return await self.folders.facts(locate(path))

        return _attributes(await self._ask("stat", located()))

    lstat = stat  # type: ignore[assignment]

    async def fstat(self, file_obj: Handle) -> SFTPAttrs:  # type: ignore[override]
        return _attributes(self.folders.handle_facts(file_obj))

    async def scandir(self, path: bytes) -> AsyncIterator[SFTPName]:
        async def located() -> list[Facts]:
            return await self.folders.listing(locate(path))

        for facts in await self._ask("list", located()):
            yield SFTPName(facts.name.encode(), attrs=_attributes(facts))

    # ------------------------------------------------------------ files

    async def open(self, path: bytes, pflags: int, attrs: SFTPAttrs) -> Handle:  # type: ignore[override]
        """Attributes are ignored: modes and owners mean nothing here."""
        if self._handles >= MAX_HANDLES:
            raise await self._refuse("open", IntakeRefused("too-many-handles"))

        async def opened() -> Handle:
            place = locate(path)
            if pflags & (FXF_WRITE | FXF_APPEND):
                return await self.folders.open_to_write(
                    place,
                    create=bool(pflags & FXF_CREAT),
                    anew=bool(pflags & FXF_TRUNC),
                    only_new=bool(pflags & FXF_CREAT and pflags & FXF_EXCL),
                    append=bool(pflags & FXF_APPEND),
                )
            if pflags & FXF_READ:
                return await self.folders.open_to_read(place)
            raise IntakeRefused("not-allowed")

        handle: Handle = await self._ask("open", opened())
        self._handles += 1
        return handle

    async def read(self, file_obj: Handle, offset: int, size: int) -> bytes:  # type: ignore[override]
        return await self._ask("read", self.folders.read(file_obj, offset, size))

    def write(self, file_obj: Handle, offset: int, data: bytes) -> int | Awaitable[int]:  # type: ignore[override]
        """In the event loop: a thread for each write costs more than the write into the page cache (measured)."""
        self._on_activity(0)
        try:
            waiting = self.folders.write(file_obj, offset, data)
        except (SluisError, OSError) as error:
            return self._refused_write(error)
        return len(data) if waiting is None else self._written(waiting, len(data))

    async def _written(self, waiting: Awaitable[None], size: int) -> int:
        async def wait() -> None:
            await waiting

        await self._ask("write", wait())
        return size

    async def _refused_write(self, error: SluisError | OSError) -> int:
        raise await self._refuse("write", error)

    async def close(self, file_obj: Handle) -> None:  # type: ignore[override]
        """Called for a client's CLOSE, and for each open handle when a session ends: only the first is a delivery."""
        self._handles -= 1
        if self._lost:
            await self.folders.lose(file_obj)
        else:
            await self._ask("close", self.folders.close(file_obj))

    async def fsync(self, file_obj: Handle) -> None:  # type: ignore[override]
        await self._ask("fsync", self.folders.sync(file_obj))

    async def rename(self, oldpath: bytes, newpath: bytes) -> None:  # type: ignore[override]
        await self._ask("rename", self._renamed(oldpath, newpath, replace=False))

    async def posix_rename(self, oldpath: bytes, newpath: bytes) -> None:  # type: ignore[override]
        await self._ask("rename", self._renamed(oldpath, newpath, replace=True))

    async def _renamed(self, old: bytes, new: bytes, *, replace: bool) -> None:
        await self.folders.rename(locate(old), locate(new), replace=replace)

    # ------------------------------------------------------------ attributes: nothing is changed

    async def fsetstat(self, file_obj: Handle, attrs: SFTPAttrs) -> None:  # type: ignore[override]
        """Clients set times and modes at the end of an upload: taken, and without effect. Owners and sizes are refused."""

        async def checked() -> None:
            if attrs.uid is not None or attrs.gid is not None:
                raise IntakeRefused("not-allowed")
            if attrs.size is not None:
                await self.folders.cut(file_obj, attrs.size)

        await self._ask("fsetstat", checked())

    async def setstat(self, path: bytes, attrs: SFTPAttrs) -> None:  # type: ignore[override]
        """Times of one's own file: taken, and without effect (WinSCP and FileZilla ask for it). The rest is refused."""

        async def checked() -> None:
            place = locate(path)
            await self.folders.facts(place)
            asked = (attrs.size, attrs.uid, attrs.gid, attrs.permissions)
            if not place.name or not place.takes_uploads or any(value is not None for value in asked):
                raise IntakeRefused("not-allowed")

        await self._ask("setstat", checked())

    async def _forbidden(self, *_: object) -> NoReturn:
        raise await self._refuse("denied", IntakeRefused("not-allowed"))

    remove = mkdir = rmdir = readlink = symlink = _forbidden  # type: ignore[assignment]

    def exit(self) -> None:
        self._on_activity(0)


def _as_refusal(error: SluisError | OSError) -> IntakeRefused:
    if isinstance(error, IntakeRefused):
        return error
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return IntakeRefused("disk-full")
    return IntakeRefused("not-received")


def _attributes(facts: Facts) -> SFTPAttrs:
    changed = int(facts.changed_at)
    return SFTPAttrs(size=facts.size, uid=0, gid=0, permissions=facts.mode, atime=changed, mtime=changed)
