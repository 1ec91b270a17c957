"""An SSH server on a loop of its own with the endpoint's transport and sftp session, and folders in memory behind them.

For tests of what stands between the socket and the folders: no home, no ledger, no accounts; everybody is let in.
"""

import asyncio
import socket
import threading
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from typing import Any, TypeVar

import asyncssh
import structlog
import uvloop

from gateway.intake.activity import Activity
from gateway.intake.metrics import Metrics
from gateway.intake.sftp.session import SftpSession
from gateway.intake.ssh.algorithms import PACKET, WINDOW, hardened
from gateway.intake.ssh.lean import accept
from tests.support.memory_folders import Memory, MemoryFolders

T = TypeVar("T")


@cache
def host_key() -> asyncssh.SSHKey:
    return asyncssh.generate_private_key("ssh-ed25519")


class Everybody(asyncssh.SSHServer):
    """Lets everybody in, and notes what became of it."""

    def __init__(self, server: "MemoryServer") -> None:
        self.server = server
        self.lost: Exception | None = None
        self.gone = threading.Event()
        self.connection: Any = None

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        self.connection = conn
        self.server.connections.append(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = exc
        self.gone.set()

    def begin_auth(self, username: str) -> bool:
        return username == "nobody"  # of whom a key is asked that does not exist

    def session_requested(self) -> SftpSession:
        folders: Any = MemoryFolders(self.server.memory, self.server.patience)
        session = SftpSession(folders, Activity(), self.server.metrics, structlog.get_logger())
        self.server.sessions.append(session)
        return session


class MemoryServer:
    """The server; `lean` as in gateway.intake.ssh.lean.accept."""

    def __init__(self, lean: bool, patience: int = 0, **options: Any) -> None:
        self.lean = lean
        self.patience = patience
        self.memory = Memory()
        self.metrics = Metrics()
        self.connections: list[Everybody] = []
        self.sessions: list[SftpSession] = []
        self.loop = uvloop.new_event_loop()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.setblocking(False)
        self.port: int = self._listener.getsockname()[1]
        usual = {"encoding": None, "window": WINDOW, "max_pktsize": PACKET, "line_editor": False, "allow_pty": False}
        self._options = asyncssh.SSHServerConnectionOptions(
            server_host_keys=[host_key()], **{**hardened(chacha20=True), **usual, **options}
        )
        self._tasks: set[asyncio.Task[None]] = set()
        self._thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self._thread.start()
        self._serving = asyncio.run_coroutine_threadsafe(self._serve(), self.loop)

    async def _serve(self) -> None:
        while True:
            line, _ = await self.loop.sock_accept(self._listener)
            task = self.loop.create_task(self._speak(line))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _speak(self, line: socket.socket) -> None:
        with suppress(OSError, asyncssh.Error):
            connection = await accept(line, lambda: Everybody(self), self._options, self.lean)
            await connection.wait_closed()

    def run(self, what: Coroutine[Any, Any, T]) -> T:
        """On the server's loop."""
        return asyncio.run_coroutine_threadsafe(what, self.loop).result(60)

    def stop(self) -> None:
        async def end() -> None:
            self._serving.cancel()
            for one in self.connections:
                one.connection.abort()
            await asyncio.gather(*self._tasks, *(session.settled() for session in self.sessions), return_exceptions=True)

        self.run(end())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(10)
        self.loop.close()
        self._listener.close()


@contextmanager
def memory_server(lean: bool = True, **options: Any) -> Iterator[MemoryServer]:
    server = MemoryServer(lean, **options)
    try:
        yield server
    finally:
        server.stop()


def client_options(server: MemoryServer, **options: Any) -> dict[str, Any]:
    """For asyncssh.connect."""
    return {
        "host": "127.0.0.1", "port": server.port, "username": "cito", "known_hosts": None, "config": None, "client_keys": [host_key()],
        "agent_path": None, "encryption_algs": ["aes128-gcm@openssh.com"], **options,
    }  # fmt: skip
