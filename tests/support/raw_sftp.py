"""An sftp channel as bytes: asyncssh's own client, made to send what it never would, below SFTP and in it."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import asyncssh
from asyncssh.packet import UInt32

from tests.support import sftp_packets as sftp
from tests.support.sftp_packets import Answer
from tests.support.sftp_server import MemoryServer, client_options

X = b"leveringen/x.age"
HANDLE = b"\0\0\0\1"


class Line:
    """An sftp channel in raw bytes."""

    def __init__(self, connection: Any, writer: Any, reader: Any) -> None:
        self.connection, self.writer, self.reader = connection, writer, reader
        self.channel = writer.channel

    async def answer(self) -> Answer:
        head = await self.reader.readexactly(4)
        (said,) = sftp.answers(head + await self.reader.readexactly(int.from_bytes(head, "big")))
        return said

    async def ask(self, packet: bytes) -> Answer:
        self.writer.write(packet)
        return await self.answer()

    def message(self, kind: int, *fields: bytes) -> None:
        """A message of the connection protocol for this channel, whatever it holds."""
        self.connection.send_packet(kind, UInt32(self.channel._send_chan), *fields)

    async def ended(self) -> Exception | None:
        """The endpoint has cut the connection; answers what the client was told."""
        await asyncio.wait_for(self.connection.wait_closed(), 30)
        return self.connection.why  # type: ignore[no-any-return]


class Telling(asyncssh.SSHClient):
    def connection_made(self, conn: Any) -> None:
        self.conn = conn
        conn.why = None

    def connection_lost(self, exc: Exception | None) -> None:
        self.conn.why = exc


@asynccontextmanager
async def line_to(server: Any, greet: bool = True, **options: Any) -> Any:
    given = client_options(server, **options) if isinstance(server, MemoryServer) else options
    connection = await asyncssh.connect(client_factory=Telling, **given)
    try:
        writer, reader, _ = await connection.open_session(subsystem="sftp", encoding=None)
        line = Line(connection, writer, reader)
        if greet:
            assert (await line.ask(sftp.init())).kind == 2
        yield line
    finally:
        connection.abort()
        await connection.wait_closed()


def play(scene: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        await asyncio.wait_for(scene(), 60)  # type: ignore[arg-type]

    asyncio.run(bounded())
