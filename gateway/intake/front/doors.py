"""The doors as the front sees them: which one takes the next connection, and what all of them are asked."""

import asyncio
import base64
import secrets
import socket
from collections.abc import Awaitable, Callable
from typing import Protocol, TypeVar

import structlog

from gateway.intake.metrics import Figure, Merged, Metrics

#: how long a door may take to answer whether it lives, and with what it counted [s]
PATIENCE = 10.0
#: how long all of a stop may take a door [s]
LONGEST_STOP = 75.0

log = structlog.get_logger("sluis.intake")

T = TypeVar("T")


class DoorLine(Protocol):
    """A door in this process or in another; its methods may raise ChannelLost."""

    name: str

    def take(self, connection: socket.socket, session: str, address: str) -> None:
        """Speak SSH on a connected socket, which is the door's from now on."""

    async def ping(self) -> None:
        """Returns when the door's event loop has come round."""

    async def snapshot(self) -> list[Figure]:
        """What it counted."""

    async def recheck(self) -> None:
        """See of every connection whether its login is still good."""

    async def reload(self) -> None:
        """Read the configuration and the host keys anew. SluisError when they are not sound: it goes on with what it has."""

    async def stop(self) -> None:
        """Let what is being delivered end, say goodbye to everybody, keep what is unfinished."""


class Doors:
    """All doors, with the sessions of each."""

    def __init__(self, metrics: Metrics) -> None:
        self.lines: dict[str, DoorLine] = {}
        self.sessions: dict[str, set[str]] = {}
        self.some = asyncio.Event()  # whether there is any
        self._awaited: dict[int, asyncio.Event] = {}
        self._metrics = metrics
        self._merged = Merged()
        self._last: dict[str, list[Figure]] = {}

    # ------------------------------------------------------------ coming and going

    def add(self, line: DoorLine) -> None:
        self.lines[line.name] = line
        self.sessions[line.name] = set()
        self.some.set()
        for number, event in self._awaited.items():
            if len(self.lines) >= number:
                event.set()
        self._metrics.doors(len(self.lines))

    async def open(self, number: int) -> None:
        """Returns once there are so many."""
        event = self._awaited.setdefault(number, asyncio.Event())
        if len(self.lines) < number:
            await event.wait()

    def remove(self, name: str) -> set[str]:
        """A door is gone; answers the sessions it had. What it had counted when it was last asked stays counted."""
        self.lines.pop(name, None)
        self._merged.gone(self._last.pop(name, []))
        self._metrics.doors(len(self.lines))
        if not self.lines:
            self.some.clear()
        return self.sessions.pop(name, set())

    def hand_over(self, connection: socket.socket, address: str) -> str | None:
        """Give a connection to the door that has the fewest; answers the session's name, None when there is no door."""
        if not self.lines:
            return None
        name = min(self.lines, key=lambda each: len(self.sessions[each]))
        session = f"{name}.{base64.b32encode(secrets.token_bytes(10)).decode().lower()}"
        self.lines[name].take(connection, session, address)
        self.sessions[name].add(session)
        return session

    def gone(self, session: str) -> None:
        """A connection has ended."""
        self.sessions.get(door_of(session), set()).discard(session)

    # ------------------------------------------------------------ asking all of them

    async def figures(self) -> bytes:
        """What all processes counted, in Prometheus' text format."""
        for name, snapshot in (await self._of_each(lambda line: line.snapshot())).items():
            if name in self.lines:
                self._last[name] = snapshot
        return self._merged.text([self._metrics.snapshot(), *self._last.values()])

    async def answer(self, patience: float = PATIENCE) -> bool:
        """Whether every door answers within `patience` [s]."""
        asked = set(self.lines)
        return set(await self._of_each(lambda line: _answered(line.ping()), patience)) >= asked and bool(asked)

    async def recheck(self) -> None:
        await self._of_each(lambda line: _answered(line.recheck()))

    async def reload(self) -> None:
        await self._of_each(lambda line: _answered(line.reload()))

    async def stop(self) -> None:
        await self._of_each(lambda line: _answered(line.stop()), LONGEST_STOP)

    async def _of_each(self, question: Callable[[DoorLine], Awaitable[T]], patience: float = PATIENCE) -> dict[str, T]:
        """The answers of those that gave one in time [s]."""

        async def ask(line: DoorLine) -> tuple[str, T] | None:
            try:
                return line.name, await asyncio.wait_for(question(line), patience)
            except TimeoutError:
                log.error("door.silent", door=line.name)
            except Exception:
                log.exception("door.failed", door=line.name)
            return None

        return dict(filter(None, await asyncio.gather(*(ask(line) for line in list(self.lines.values())))))


def door_of(session: str) -> str:
    """The name of the door that a session was handed to."""
    return session.partition(".")[0]


async def _answered(question: Awaitable[None]) -> bool:
    await question
    return True
