"""Requests on paths: stat, rename, how much room there is. Where a path points is decided in files/names.py alone."""

import time

from gateway.intake.files.folders import VendorFolders
from gateway.intake.files.names import canonical, locate
from gateway.intake.files.refusals import IntakeRefused
from gateway.intake.sftp import wire
from gateway.intake.sftp.files import Files, attributes_of
from gateway.intake.sftp.handles import MAX_HANDLES
from gateway.intake.sftp.wire import Attributes, Fields

#: the unit in which statvfs tells sizes [bytes]
BLOCK = 4096

#: the longest name [bytes]
MAX_NAME = 255


class Places:
    """What a vendor asks about places. Methods raise IntakeRefused, OSError, Malformed."""

    def __init__(self, folders: VendorFolders, files: Files) -> None:
        self.folders = folders
        self.files = files

    def realpath(self, request: int, fields: Fields) -> bytes:
        path = fields.text()
        fields.end()
        return wire.names(request, [(canonical(path), Attributes())])

    async def stat(self, request: int, fields: Fields) -> bytes:
        path = fields.text()
        fields.end()
        return wire.attributes(request, attributes_of(await self.folders.facts(locate(path))))

    async def setstat(self, request: int, fields: Fields) -> bytes:
        """Times of one's own file: taken, and without effect (WinSCP and FileZilla ask for it). The rest is refused."""
        path, asked = fields.text(), fields.attributes()
        fields.end()
        place = locate(path)
        await self.folders.facts(place)
        wanted = (asked.size, asked.owners, asked.permissions)
        if not place.name or not place.takes_uploads or any(value is not None for value in wanted):
            raise IntakeRefused("not-allowed")
        return wire.done(request)

    async def rename(self, request: int, fields: Fields) -> bytes:
        return await self._rename(request, fields, replace=False)

    async def posix_rename(self, request: int, fields: Fields) -> bytes:
        """posix-rename@openssh.com: another unfinished upload of that name gives way."""
        return await self._rename(request, fields, replace=True)

    async def _rename(self, request: int, fields: Fields, *, replace: bool) -> bytes:
        old, new = fields.text(), fields.text()
        fields.end()
        target, began = locate(new), time.monotonic()
        if await self.folders.rename(locate(old), target, replace=replace) is not None:
            self.files.delivered((await self.folders.facts(target)).size, began, began)
        return wire.done(request)

    # ------------------------------------------------------------ what there is in all

    def limits(self, request: int, fields: Fields) -> bytes:
        """limits@openssh.com: so that clients send large pieces."""
        fields.end()
        return wire.limits(request, MAX_HANDLES)

    async def statvfs(self, request: int, fields: Fields) -> bytes:
        """statvfs@openssh.com: what this vendor may still store, never what the machine has."""
        path = fields.text()
        fields.end()
        await self.folders.facts(locate(path))
        return await self._space(request)

    async def fstatvfs(self, request: int, fields: Fields) -> bytes:
        self.files.check(fields)
        return await self._space(request)

    async def _space(self, request: int) -> bytes:
        room = await self.folders.space()
        total, free = room.total // BLOCK, room.free // BLOCK
        return wire.space(request, BLOCK, BLOCK, total, free, free, room.files, room.files_free, room.files_free, 0, 0, MAX_NAME)
