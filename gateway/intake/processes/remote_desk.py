"""The desk as a door in another process has it, and the counter at the front where its questions are put to the real one.

Both halves stand here, side by side: what `RemoteDesk` writes into a message, `DeskCounter` reads out of it.
"""

import asyncio
import socket
from collections.abc import Awaitable, Callable
from typing import Any

from gateway.intake.desk import Ask, Asked, Claim, Desk, Room, Unfinished
from gateway.intake.files.manifest import Manifest
from gateway.intake.processes.channel import Channel


def _values(record: object) -> list[Any]:
    return list(vars(record).values())


class RemoteDesk:
    """Implements `Desk` by asking over a channel. What needs no answer is told, and keeps its place in the order of messages."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._asked: dict[str, Asked] = {}
        self._held: set[str] = set()  # uploads that sessions of this door may write
        self._nothing_held = asyncio.Event()
        self._nothing_held.set()

    async def settled(self) -> None:
        """Returns when no upload is held: everything that arrived is kept, delivered or given up."""
        await self._nothing_held.wait()

    def _claimed(self, values: list[Any]) -> Claim:
        claim = Claim(*values)
        self._held.add(claim.uid)
        self._nothing_held.clear()
        return claim

    async def _give_back(self, method: str, session: str, uid: str, *facts: Any) -> None:
        try:
            await self._channel.ask(method, session, uid, *facts)
        finally:
            self._given_back(uid)

    def _given_back(self, uid: str) -> None:
        self._held.discard(uid)
        if not self._held:
            self._nothing_held.set()

    # ------------------------------------------------------------ sessions

    async def enter(self, session: str, vendor: str, address: str) -> None:
        await self._channel.ask("enter", session, vendor, address)

    async def leave(self, session: str) -> None:
        self._asked.pop(session, None)
        self._channel.tell("leave", session)

    async def failed(self, session: str, address: str, account: str, reason: str) -> None:
        await self._channel.ask("failed", session, address, account, reason)

    def attend(self, session: str, asked: Asked) -> None:
        self._asked[session] = asked
        self._channel.tell("attend", session)

    def asked(self, session: str, what: str, uid: str) -> None:
        """The desk wants something of a session of this door; one that has just ended no longer hears it."""
        if (hears := self._asked.get(session)) is not None:
            hears(Ask(what), uid)

    async def handle(self, session: str, change: int) -> None:
        if change > 0:
            await self._channel.ask("handle", session, change)
        else:
            self._channel.tell("handle", session, change)

    # ------------------------------------------------------------ uploads

    async def claim(self, session: str, folder: str, name: str, *, create: bool, anew: bool, only_new: bool) -> Claim:
        return self._claimed(await self._channel.ask("claim", session, folder, name, create, anew, only_new))

    async def extend(self, session: str, uid: str, stop: int) -> int:
        allowed: int = await self._channel.ask("extend", session, uid, stop)
        return allowed

    async def spare(self, session: str, uid: str, allowed: int) -> None:
        self._channel.tell("spare", session, uid, allowed)

    async def keep(self, session: str, uid: str, name: str, size: int, extent: int, closed: bool) -> None:
        await self._give_back("keep", session, uid, name, size, extent, closed)

    async def rename(self, session: str, folder: str, old: str, new: str, *, replace: bool) -> Claim:
        return self._claimed(await self._channel.ask("rename", session, folder, old, new, replace))

    async def delivered(self, session: str, uid: str, manifest: Manifest) -> None:
        # told, not asked: until it arrives nobody else gets the name, and if it never does the manifest on disk says the same
        self._channel.tell("delivered", session, uid, vars(manifest))
        self._given_back(uid)

    async def given_up(self, session: str, uid: str) -> None:
        await self._give_back("given_up", session, uid)

    # ------------------------------------------------------------ looking

    async def look(self, vendor: str, folder: str) -> list[Unfinished]:
        return [Unfinished(*values) for values in await self._channel.ask("look", vendor, folder)]

    async def find(self, vendor: str, folder: str, name: str) -> Unfinished | None:
        values = await self._channel.ask("find", vendor, folder, name)
        return None if values is None else Unfinished(*values)

    async def room(self, vendor: str) -> Room:
        return Room(*await self._channel.ask("room", vendor))


class DeskCounter:
    """Answers one door's questions. A session belongs to the door it was handed to: no other door speaks for it."""

    def __init__(self, desk: Desk, owns: Callable[[str], bool], tell: Callable[..., None]) -> None:
        self._desk = desk
        self._owns = owns
        self._tell = tell
        self._holders: dict[str, str] = {}  # uploads that the door may write, each with its session
        self._entered: set[str] = set()
        #: what is asked for a session
        self.answers: dict[str, Callable[..., Awaitable[Any]]] = {
            "enter": self._enter,
            "leave": self._leave,
            "failed": desk.failed,
            "handle": desk.handle,
            "extend": desk.extend,
            "spare": desk.spare,
            "keep": self._keep,
            "given_up": self._given_up,
            "attend": self._attend,
            "claim": self._claim,
            "rename": self._rename,
            "delivered": self._delivered,
        }
        #: what is asked for a vendor: looking changes nothing
        self.looks: dict[str, Callable[..., Awaitable[Any]]] = {"look": self._look, "find": self._find, "room": self._room}

    async def answer(self, method: str, arguments: list[Any], along: socket.socket | None) -> Any:
        """What the desk says. LookupError for a question that there is not, or for a session of another door."""
        if along is not None:
            along.close()
        if (look := self.looks.get(method)) is not None:
            return await look(*arguments)
        if not self._owns(arguments[0]):
            raise LookupError("a session of another door")
        return await self.answers[method](*arguments)

    async def _attend(self, session: str) -> None:
        self._desk.attend(session, lambda what, uid: self._tell("asked", session, what, uid))

    async def _enter(self, session: str, vendor: str, address: str) -> None:
        self._entered.add(session)
        await self._desk.enter(session, vendor, address)

    async def _leave(self, session: str) -> None:
        self._entered.discard(session)
        await self._desk.leave(session)

    async def _claim(self, session: str, folder: str, name: str, create: bool, anew: bool, only_new: bool) -> list[Any]:
        return self._claimed(session, await self._desk.claim(session, folder, name, create=create, anew=anew, only_new=only_new))

    async def _rename(self, session: str, folder: str, old: str, new: str, replace: bool) -> list[Any]:
        return self._claimed(session, await self._desk.rename(session, folder, old, new, replace=replace))

    def _claimed(self, session: str, claim: Claim) -> list[Any]:
        self._holders[claim.uid] = session
        return _values(claim)

    async def _keep(self, session: str, uid: str, *facts: Any) -> None:
        self._holders.pop(uid, None)
        await self._desk.keep(session, uid, *facts)

    async def _delivered(self, session: str, uid: str, manifest: dict[str, Any]) -> None:
        self._holders.pop(uid, None)
        await self._desk.delivered(session, uid, Manifest(**manifest))

    async def _given_up(self, session: str, uid: str) -> None:
        self._holders.pop(uid, None)
        await self._desk.given_up(session, uid)

    def sessions(self) -> set[str]:
        """Those that may still hold something: when the door is gone, it is found on disk, and free for whoever resumes it."""
        return self._entered | set(self._holders.values())

    async def _look(self, vendor: str, folder: str) -> list[list[Any]]:
        return [_values(one) for one in await self._desk.look(vendor, folder)]

    async def _find(self, vendor: str, folder: str, name: str) -> list[Any] | None:
        found = await self._desk.find(vendor, folder, name)
        return None if found is None else _values(found)

    async def _room(self, vendor: str) -> list[Any]:
        return _values(await self._desk.room(vendor))
