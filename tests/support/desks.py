"""The front desk of a new home, with sessions of two vendors, and what they do there."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from gateway.intake.files.arriving import Arriving
from gateway.intake.files.folders import VendorFolders
from gateway.intake.files.names import Place
from gateway.intake.files.refusals import IntakeRefused
from gateway.intake.front.desk import FrontDesk
from gateway.store.home import Home
from gateway.store.models import Vendor
from tests.support.intake import make_home


class Stage:
    """A desk with sessions of two vendors."""

    def __init__(self, home: Home) -> None:
        self.home = home
        self.desk = FrontDesk(home)

    async def session(self, name: str, vendor: str = "cito") -> VendorFolders:
        await self.desk.enter(name, vendor, "192.0.2.1")
        return VendorFolders(self.home, self.desk, name, vendor, "192.0.2.1")

    async def unfinished(self, vendor: str = "cito") -> dict[str, tuple[int, bool]]:
        return {one.name: (one.size, one.held) for one in await self.desk.look(vendor, "leveringen")}


def play(home: Home, what: Callable[[Stage], Awaitable[Any]]) -> None:
    """`what`, while a desk of that home is open."""

    async def run() -> None:
        stage = Stage(home)
        await stage.desk.start()
        try:
            await what(stage)
        finally:
            await stage.desk.stop()

    asyncio.run(run())


def played(folder: Path, what: Callable[[Stage], Awaitable[Any]], own: dict[str, int] | None = None, **intake: int) -> Home:
    """`what` on a new home whose vendor cito has limits of its `own`; answers the home."""
    home = make_home(folder, **intake)
    with home.ledger.change("administrator") as change:
        change.session.add(Vendor(name="cito", created_at=change.now, limits=own or {}))
        change.session.add(Vendor(name="boom", created_at=change.now))
    play(home, what)
    return home


async def opened(folders: VendorFolders, name: str, anew: bool = False, append: bool = False) -> Arriving:
    return await folders.open_to_write(Place("leveringen", name), create=True, anew=anew, only_new=False, append=append)


async def write(folders: VendorFolders, handle: Arriving, data: bytes, at: int | None = None) -> None:
    """At an offset [bytes], or where what arrived in order ends."""
    if (waiting := folders.write(handle, handle.upload.size if at is None else at, data)) is not None:
        await waiting


async def deliver(folders: VendorFolders, name: str, data: bytes = b"x") -> None:
    handle = await opened(folders, name)
    await write(folders, handle, data)
    await folders.close(handle)


async def code_of(what: Awaitable[Any]) -> str:
    with pytest.raises(IntakeRefused) as refused:
        await what
    return refused.value.code
