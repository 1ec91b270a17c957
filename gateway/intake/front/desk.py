"""The desk itself: everything that the intake's processes share, on the event loop of the front."""

import asyncio

from gateway.intake.desk import Asked, Claim, Room, Unfinished
from gateway.intake.files.delivery import adopt_orphans
from gateway.intake.files.manifest import Manifest
from gateway.intake.files.upload import Upload
from gateway.intake.files.uploads import Uploads
from gateway.store.home import Home


class FrontDesk:
    """One per endpoint. Only ever touched from the event loop."""

    def __init__(self, home: Home) -> None:
        self.home = home
        self.uploads = Uploads(home)
        self._asked: dict[str, Asked] = {}

    # ------------------------------------------------------------ the service

    async def start(self) -> None:
        """Adopt what a crash left between disk and ledger, and find unfinished uploads."""
        await asyncio.to_thread(adopt_orphans, self.home)
        await asyncio.to_thread(self.uploads.restore)

    async def stop(self) -> None:
        """What is unfinished is kept for the next start; the ledger knows all that was delivered."""
        await asyncio.to_thread(self.uploads.suspend)

    async def settled(self) -> None:
        """When this returns, the ledger has everything that was delivered before."""

    async def expire(self, keep_seconds: float | None = None) -> None:
        """Destroy uploads that nobody finished in time: the configured days, or `keep_seconds` [s]."""
        if keep_seconds is None:
            keep_seconds = self.home.config.intake.unfinished_keep_days * 86_400
        if expired := await asyncio.to_thread(self.uploads.expire, keep_seconds):
            await asyncio.to_thread(self._tell_expired, [(upload.vendor, upload.place) for upload in expired])

    def _tell_expired(self, expired: list[tuple[str, str]]) -> None:
        with self.home.ledger.change("intake") as change:
            for vendor, folder in expired:
                change.audit("upload.expired", f"vendor:{vendor}", folder=folder)

    async def abandoned(self, session: str) -> None:
        """The process that served the session died: what it held is found on disk."""

    # ------------------------------------------------------------ what a door asks

    async def enter(self, session: str, vendor: str, address: str) -> None: ...

    async def leave(self, session: str) -> None:
        self._asked.pop(session, None)

    async def failed(self, session: str, address: str, account: str, reason: str) -> None: ...

    def attend(self, session: str, asked: Asked) -> None:
        self._asked[session] = asked

    async def handle(self, session: str, change: int) -> None: ...

    async def claim(self, session: str, folder: str, name: str, *, create: bool, anew: bool, only_new: bool) -> Claim:
        raise NotImplementedError

    async def extend(self, session: str, uid: str, stop: int) -> int:
        raise NotImplementedError

    async def spare(self, session: str, uid: str, allowed: int) -> None: ...

    async def keep(self, session: str, uid: str, name: str, size: int, extent: int, closed: bool) -> None: ...

    async def rename(self, session: str, folder: str, old: str, new: str, *, replace: bool) -> Claim:
        raise NotImplementedError

    async def notices(self, session: str, uid: str, size: int) -> list[str]:
        return []

    async def delivered(self, session: str, uid: str, manifest: Manifest) -> None: ...

    async def given_up(self, session: str, uid: str) -> None: ...

    async def look(self, vendor: str, folder: str) -> list[Unfinished]:
        return [_seen(upload) for upload in self.uploads.of(vendor, folder)]

    async def find(self, vendor: str, folder: str, name: str) -> Unfinished | None:
        upload = self.uploads.find(vendor, folder, name)
        return None if upload is None else _seen(upload)

    async def room(self, vendor: str) -> Room:
        intake = self.home.config.intake
        return Room(
            intake.store_bytes_per_vendor, intake.store_bytes_per_vendor, intake.store_files_per_vendor, intake.store_files_per_vendor
        )


def _seen(upload: Upload) -> Unfinished:
    held = upload.owner is not None
    return Unfinished(upload.uid, upload.place, upload.name, upload.size, upload.changed_at, upload.closed, held)
