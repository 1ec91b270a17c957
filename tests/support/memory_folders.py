"""A vendor's folders in memory, behind the face of VendorFolders: for whoever tests what is before them, or sends it garbage.

The rights are the real ones (names.py decides where a path points); there is no disk, no ledger and no other process.
"""

import asyncio
from collections.abc import Awaitable
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from gateway.intake.desk import Room
from gateway.intake.files.folders import Arriving, Facts, Reading
from gateway.intake.files.names import FOLDERS, Place, check_name, is_unfinished
from gateway.intake.files.refusals import IntakeRefused

#: the largest file that is taken [bytes]
MAX_BYTES = 64 << 20

KEY = b"age1example\n"


@dataclass
class Memory:
    """What there is of one vendor: what arrives, and what was delivered."""

    unfinished: dict[Place, bytearray] = field(default_factory=dict)
    closed: set[Place] = field(default_factory=set)
    delivered: dict[Place, bytes] = field(default_factory=dict)
    readable: dict[Place, bytes] = field(default_factory=lambda: {Place("sleutels", "sluis.age.txt"): KEY})
    audited: list[tuple[str, str]] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    handles: int = 0  # those that the desk is told of


class _Arriving(Arriving):
    def __init__(self, place: Place, append: bool) -> None:
        self.place = place
        self.append = append
        self.failed = False


class _Reading(Reading):
    def __init__(self, facts: Facts, content: bytes) -> None:
        self.facts = facts
        self.content = content


class MemoryDesk:
    def __init__(self, memory: Memory) -> None:
        self._memory = memory

    async def handle(self, session: str, change: int) -> None:
        self._memory.handles += change

    async def failed(self, session: str, address: str, account: str, reason: str) -> None:
        self._memory.failed.append(reason)


class MemoryLedger:
    def __init__(self, memory: Memory) -> None:
        self._memory = memory

    @contextmanager
    def change(self, actor: str, origin: str = "local") -> Any:
        yield self

    def audit(self, action: str, object: str, result: str = "ok") -> None:
        self._memory.audited.append((action, result))


class MemoryHome:
    def __init__(self, memory: Memory) -> None:
        self.ledger = MemoryLedger(memory)


class MemoryFolders:
    """One SFTP session's view of a Memory. `patience`: a write that waits for its turn now and then, as one does that asks the desk."""

    vendor = "cito"
    origin = "192.0.2.1"
    session = "s1"

    def __init__(self, memory: Memory | None = None, patience: int = 0) -> None:
        self.memory = memory or Memory()
        self.home = MemoryHome(self.memory)
        self.desk = MemoryDesk(self.memory)
        self._patience = patience
        self._writes = 0

    async def facts(self, place: Place) -> Facts:
        await asyncio.sleep(0)
        if place.is_root:
            return Facts("/", is_folder=True, writable=False)
        if place.is_folder:
            return Facts(place.folder, is_folder=True, writable=place.takes_uploads)
        if place in self.memory.readable:
            return Facts(place.name, is_folder=False, writable=False, size=len(self.memory.readable[place]))
        if place in self.memory.unfinished:
            return Facts(place.name, is_folder=False, writable=True, size=len(self.memory.unfinished[place]))
        if place in self.memory.delivered:
            return Facts(place.name, is_folder=False, writable=False, size=len(self.memory.delivered[place]))
        raise IntakeRefused("no-such-file")

    async def listing(self, place: Place) -> list[Facts]:
        if place.name:
            raise IntakeRefused("no-such-file")
        if place.is_root:
            return [await self.facts(Place(folder)) for folder in FOLDERS]
        everything = (*self.memory.readable, *self.memory.unfinished, *self.memory.delivered)
        mine = {one for one in everything if one.folder == place.folder}
        return [await self.facts(one) for one in sorted(mine, key=lambda one: one.name)]

    async def open_to_read(self, place: Place) -> Reading:
        if not place.name:
            raise IntakeRefused("is-a-folder")
        if place.takes_uploads:
            raise IntakeRefused("no-reading-back")
        return _Reading(await self.facts(place), self.memory.readable[place])

    async def open_to_write(self, place: Place, *, create: bool, anew: bool, only_new: bool, append: bool) -> Arriving:
        await asyncio.sleep(0)
        if not place.name or not place.takes_uploads:
            raise IntakeRefused("is-a-folder" if place.is_root or place.is_folder else "not-a-place-to-write")
        check_name(place.name)
        if place in self.memory.delivered:
            raise IntakeRefused("name-taken")
        there = place in self.memory.unfinished
        if there and only_new:
            raise IntakeRefused("name-unfinished-taken")
        if not there and not create:
            raise IntakeRefused("no-such-file")
        if not there or anew:
            self.memory.unfinished[place] = bytearray()
        self.memory.closed.discard(place)
        return _Arriving(place, append)

    async def read(self, handle: Any, offset: int, size: int) -> bytes:
        if isinstance(handle, _Arriving):
            raise IntakeRefused("no-reading-back")
        await asyncio.sleep(0)
        content: bytes = handle.content
        return content[offset : offset + size]

    def write(self, handle: Any, offset: int, data: Any) -> Awaitable[None] | None:
        if not isinstance(handle, _Arriving):
            raise IntakeRefused("not-a-place-to-write")
        self._writes += 1
        if self._patience and self._writes % self._patience == 0:
            return self._write_later(handle, offset, data)
        self._write(handle, offset, data)
        return None

    async def _write_later(self, handle: _Arriving, offset: int, data: Any) -> None:
        await asyncio.sleep(0)
        self._write(handle, offset, data)

    def _write(self, handle: _Arriving, offset: int, data: Any) -> None:
        content = self.memory.unfinished.get(handle.place)
        if content is None:
            raise IntakeRefused("taken-over")
        if handle.append:
            offset = len(content)
        if offset + len(data) > MAX_BYTES:
            handle.failed = True
            raise IntakeRefused("too-large")
        content.extend(bytes(max(0, offset + len(data) - len(content))))
        content[offset : offset + len(data)] = data

    async def sync(self, handle: Any) -> None:
        await asyncio.sleep(0)

    def handle_facts(self, handle: Any) -> Facts:
        if isinstance(handle, _Arriving):
            return Facts(handle.place.name, is_folder=False, writable=True, size=len(self.memory.unfinished.get(handle.place, b"")))
        facts: Facts = handle.facts
        return facts

    async def cut(self, handle: Any, size: int) -> None:
        if size != self.handle_facts(handle).size:
            raise IntakeRefused("not-allowed")

    async def close(self, handle: Any) -> str | None:
        await asyncio.sleep(0)
        if isinstance(handle, _Reading):
            return None
        if handle.failed:
            raise IntakeRefused("write-failed")
        if handle.place not in self.memory.unfinished:
            raise IntakeRefused("taken-over")
        if is_unfinished(handle.place.name):
            self.memory.closed.add(handle.place)
            return None
        self.memory.delivered[handle.place] = bytes(self.memory.unfinished.pop(handle.place))
        return "d1"

    async def lose(self, handle: Any) -> None:
        await asyncio.sleep(0)

    async def rename(self, old: Place, new: Place, *, replace: bool) -> str | None:
        await asyncio.sleep(0)
        if not new.name or old.folder != new.folder or not old.takes_uploads:
            raise IntakeRefused("not-allowed")
        check_name(new.name)
        if old not in self.memory.unfinished:
            raise IntakeRefused("no-such-file")
        if old not in self.memory.closed:
            raise IntakeRefused("not-closed")
        if new in self.memory.delivered:
            raise IntakeRefused("name-taken")
        if new in self.memory.unfinished and new != old and not replace:
            raise IntakeRefused("name-unfinished-taken")
        content = self.memory.unfinished.pop(old)
        self.memory.closed.discard(old)
        if is_unfinished(new.name):
            self.memory.unfinished[new] = content
            self.memory.closed.add(new)
            return None
        self.memory.unfinished.pop(new, None)
        self.memory.delivered[new] = bytes(content)
        return "d1"

    async def space(self) -> Room:
        return Room(1 << 30, 1 << 29, 1000, 500)
