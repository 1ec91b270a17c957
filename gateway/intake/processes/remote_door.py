"""A door in a process of its own. Both ends of its channel stand here: `RemoteDoor` at the front, `serve_door` in that process."""

import asyncio
import contextlib
import socket
from collections.abc import Callable
from typing import Any

from gateway.intake.desk import Desk
from gateway.intake.front.doors import door_of
from gateway.intake.metrics import Figure, Metrics
from gateway.intake.processes.channel import Channel
from gateway.intake.processes.door import DRAIN_SECONDS, GOODBYE_SECONDS, Door
from gateway.intake.processes.remote_desk import DeskCounter, RemoteDesk
from gateway.store.home import Home


class RemoteDoor:
    """Implements `DoorLine`. `opened` is called when the door is ready, `gone` when one of its connections has ended, `lost` when it is."""

    def __init__(
        self,
        name: str,
        end: socket.socket,
        desk: Desk,
        opened: Callable[["RemoteDoor"], None],
        gone: Callable[[str], None],
        lost: Callable[["RemoteDoor"], None],
    ) -> None:
        self.name = name
        self._opened = opened
        self._gone = gone
        self._taking: dict[str, tuple[socket.socket, str]] = {}  # handed over, and not known to have arrived
        self._channel = Channel(end, self._answer, lambda: lost(self))
        self._counter = DeskCounter(desk, lambda session: door_of(session) == name, self._channel.tell)

    async def _answer(self, method: str, arguments: list[Any], along: socket.socket | None) -> Any:
        if method == "open":
            self._opened(self)
        elif method == "taken":
            if (taking := self._taking.pop(arguments[0], None)) is not None:
                taking[0].close()
        elif method == "gone":
            if door_of(arguments[0]) == self.name:
                self._gone(arguments[0])
        else:
            return await self._counter.answer(method, arguments, along)

    def take(self, connection: socket.socket, session: str, address: str) -> None:
        self._taking[session] = (connection.dup(), address)
        self._channel.tell("take", session, address, along=connection)

    def not_taken(self) -> list[tuple[socket.socket, str]]:
        """Connections, and their addresses, that were on their way to the door when it ended: another one can have them."""
        left, self._taking = list(self._taking.values()), {}
        return left

    async def ping(self) -> None:
        await self._channel.ask("ping")

    async def snapshot(self) -> list[Figure]:
        return [tuple(figure) for figure in await self._channel.ask("snapshot")]

    async def recheck(self) -> None:
        await self._channel.ask("recheck")

    async def reload(self) -> None:
        await self._channel.ask("reload")

    async def stop(self) -> None:
        await self._channel.ask("stop")

    def sessions(self) -> set[str]:
        """Those that may still hold something."""
        return self._counter.sessions()

    def close(self) -> None:
        """Let the process end."""
        self._channel.close()


async def serve_door(home: Home, end: socket.socket, name: str) -> None:
    """Be a door until the front at the other `end` is gone; what was written by then is kept for whoever resumes it."""
    ended = asyncio.Event()

    async def answer(method: str, arguments: list[Any], along: socket.socket | None) -> Any:
        if method == "take":
            assert along is not None
            channel.tell("taken", arguments[0])  # first: from its first byte on a connection can't move any more
            door.take(along, *arguments)
        elif method == "asked":
            desk.asked(*arguments)
        elif method == "stop":
            await stop()
        elif method in ("ping", "snapshot", "recheck", "reload"):
            return await getattr(door, method)()
        else:
            raise LookupError("a question that a door is not asked")

    async def stop() -> None:
        """Nobody is left, and what they had begun is kept."""
        await door.stop()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(desk.settled(), DRAIN_SECONDS)

    channel = Channel(end, answer, ended.set)
    desk = RemoteDesk(channel)
    door = Door(name, home, desk, Metrics(), lambda session: channel.tell("gone", session))
    try:
        await door.start()
        channel.tell("open")
        await ended.wait()
    finally:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(door.abandon(), GOODBYE_SECONDS)
