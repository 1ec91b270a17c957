"""The sftp session by itself, with a client to talk to it. Folders are in memory."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import structlog

from gateway.intake.activity import Activity
from gateway.intake.metrics import Metrics
from gateway.intake.sftp.session import SftpSession
from tests.support import sftp_packets as sftp
from tests.support.memory_folders import MemoryFolders
from tests.support.sftp_packets import Answer, MemoryChannel

X = b"leveringen/x.age"

#: what comes at once in a message of a channel [bytes]
PIECE = 32_768


class Talk:
    """A session with a client that has said hello."""

    def __init__(self, folders: MemoryFolders | None = None, version: str = "SSH-2.0-Other", greet: bool = True) -> None:
        self.folders = folders or MemoryFolders()
        self.memory = self.folders.memory
        self.activity = Activity()
        self.channel = MemoryChannel(version)
        self.session = SftpSession(self.folders, self.activity, Metrics(), structlog.get_logger())  # type: ignore[arg-type]
        self.session.connection_made(self.channel)  # type: ignore[arg-type]
        self._waiting = b""
        self._told = 0
        if greet:
            self.send(sftp.init())

    def send(self, data: bytes) -> None:
        """As the channel does: what comes while the session pauses waits in the channel."""
        self._waiting += data
        while self.channel.reading and self._waiting and not self.channel.is_closing():
            piece, self._waiting = self._waiting[:PIECE], self._waiting[PIECE:]
            self.session.data_received(piece)

    async def settle(self) -> None:
        while True:
            await self.session.settled()
            await asyncio.sleep(0)
            if not self._waiting or not self.channel.reading or self.channel.is_closing():
                return
            self.send(b"")

    async def ask(self, *requests: bytes) -> list[Answer]:
        """Their answers, and no others."""
        self.send(b"".join(requests))
        await self.settle()
        said = list(sftp.answers(self.channel.sent))
        new = said[self._told :]
        self._told = len(said)
        return [answer for answer in new if answer.kind != 2]

    async def handle(self, path: bytes = X, flags: int = sftp.NEW) -> bytes:
        (answer,) = await self.ask(sftp.open_(1, path, flags))
        return answer.handle


def talk(scene: Callable[[], Coroutine[Any, Any, None]]) -> Callable[[], None]:
    def run() -> None:
        asyncio.run(asyncio.wait_for(scene(), 60))

    run.__name__, run.__doc__ = scene.__name__, scene.__doc__
    return run
