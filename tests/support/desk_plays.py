"""Deliveries played against a desk without a network: what tests of crashes and of failing disks have in common."""

import asyncio
import hashlib
import os
from collections.abc import Awaitable, Callable
from typing import Any

from gateway.drop.formats import AGE
from gateway.drop.lifecycle import Raw, State
from gateway.intake.files import delivery
from gateway.intake.files.arriving import Arriving
from gateway.intake.files.folders import VendorFolders
from gateway.intake.front.desk import FrontDesk
from gateway.store.home import Home
from tests.support.desks import opened, write
from tests.support.intake import audit_rows, content, drops, files_below

DATA = AGE + os.urandom(100_000)
#: larger than what a manifest tells the ciphertext's digest of
LARGE = AGE + os.urandom(delivery.SMALL + 300_000)


Play = Callable[[FrontDesk, VendorFolders], Awaitable[Any]]


def play(home: Home, what: Play, *, stop: bool = True) -> Any:
    """A run of the service with one session; without `stop`, as kill -9 ends it."""

    async def run() -> Any:
        desk = FrontDesk(home)
        await desk.start()
        await desk.enter("s", "cito", "192.0.2.1")
        answer = await what(desk, VendorFolders(home, desk, "s", "cito", "192.0.2.1"))
        if stop:
            await desk.stop()
        return answer

    return asyncio.run(run())


async def arrived(folders: VendorFolders, name: str = "x.age", data: bytes = DATA) -> Arriving:
    handle = await opened(folders, name)
    await write(folders, handle, data[handle.upload.size :])
    return handle


def deliver(home: Home, name: str = "x.age", data: bytes = DATA) -> None:
    async def what(desk: FrontDesk, folders: VendorFolders) -> None:
        await folders.close(await arrived(folders, name, data))

    play(home, what)


def restart(home: Home) -> dict[str, int]:
    """What the service does when it starts, and answers; the unfinished uploads and their sizes."""

    async def what(desk: FrontDesk, folders: VendorFolders) -> dict[str, int]:
        await desk.settled()
        return {one.name: one.size for one in await desk.look("cito", "leveringen")}

    found: dict[str, int] = play(home, what)
    return found


def assert_clean(home: Home, unfinished: int = 0) -> None:
    """No key, note, manifest or ciphertext but those of drops and of unfinished uploads."""
    known = [drop.id for drop in drops(home)]
    assert sorted(home.mortal.names("drops")) == sorted(known)
    assert sorted(path.name for path in files_below(home.drops)) == sorted(f"{name}.blob" for name in known)
    assert len(files_below(home.run)) == unfinished
    assert len(files_below(home.path / "incoming")) == 2 * unfinished


def assert_received(home: Home, data: bytes = DATA) -> None:
    (drop,) = drops(home)
    assert content(home, drop) == data
    assert (drop.state, drop.raw, drop.bytes, drop.sha256) == (State.RECEIVED, Raw.HELD, len(data), hashlib.sha256(data).hexdigest())
    assert len(audit_rows(home, "drop.received")) == 1
    assert_clean(home)
