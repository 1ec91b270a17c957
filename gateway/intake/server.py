"""The SFTP endpoint as a service: starts, watches over its connections, and stops without losing a byte that arrived."""

import asyncio
import signal
from collections.abc import Callable
from typing import Any

import asyncssh
import structlog

from gateway.intake.front.desk import FrontDesk
from gateway.intake.ssh.activity import Counted
from gateway.intake.ssh.algorithms import hardened
from gateway.intake.ssh.connection import VendorConnection
from gateway.store.home import Home

#: the receive window of a session; 16 MiB and more collapses throughput (measured) [bytes]
WINDOW = 4 << 20

#: how often idle, revoked and unfinished are looked for [s]
WATCH_SECONDS = 5.0

#: how long a stop waits for deliveries that are being made durable [s]
DRAIN_SECONDS = 30.0

log = structlog.get_logger("sluis.intake")


class Endpoint:
    """The listening server of one home; `port` is known once it is started."""

    def __init__(self, home: Home) -> None:
        self.home = home
        self.config = home.config.intake
        self.desk = FrontDesk(home)
        self.counted = Counted(self.config.max_sessions_per_vendor)
        self.connections: set[VendorConnection] = set()
        self.port = 0
        self._acceptor: asyncssh.SSHAcceptor | None = None
        self._watch: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Adopt what a crash left, find unfinished uploads, listen."""
        await self.desk.start()
        host_key = self.home.keystore.read("ssh", "host").reveal()
        self._acceptor = await asyncssh.listen(
            self.config.host,
            self.config.port,
            server_factory=lambda: VendorConnection(self),
            server_host_keys=[asyncssh.import_private_key(host_key)],
            **self._options(),
        )
        self.port = self._acceptor.get_port()
        self._watch = asyncio.create_task(self._watch_over())
        log.info("intake.listening", host=self.config.host, port=self.port)

    def _options(self) -> dict[str, Any]:
        return {
            **hardened(),
            "encoding": None,
            "window": WINDOW,
            "server_version": "Sluis",
            "login_timeout": self.config.login_timeout_seconds,
            "keepalive_interval": 60,
            "gss_host": None,
            "password_auth": False,
            "kbdint_auth": False,
            "host_based_auth": False,
            "allow_pty": False,
            "line_editor": False,
            "agent_forwarding": False,
            "x11_forwarding": False,
            "allow_scp": False,
            "x509_trusted_certs": None,
        }

    async def stop(self) -> None:
        """No new connections; deliveries under way end; what is unfinished is kept for the next start."""
        if self._watch is not None:
            self._watch.cancel()
        if self._acceptor is not None:
            self._acceptor.close()
        deadline = asyncio.get_running_loop().time() + DRAIN_SECONDS
        while any(connection.activity.busy for connection in self.connections) and asyncio.get_running_loop().time() < deadline:
            await asyncio.sleep(0.02)
        open_now = [connection for connection in self.connections if connection.connection is not None]
        for connection in open_now:
            connection.end(asyncssh.DISC_BY_APPLICATION, "De dienst stopt; hervat later. / The service stops; resume later.")
        for connection in open_now:
            if connection.connection is not None:
                await connection.connection.wait_closed()
        await self.desk.stop()
        log.info("intake.stopped")

    # ------------------------------------------------------------ while it runs

    async def _watch_over(self) -> None:
        while True:
            await asyncio.sleep(WATCH_SECONDS)
            try:
                await self.look_after()
            except Exception:
                log.exception("intake.watch-failed")

    async def look_after(self) -> None:
        """End connections that are idle or whose key was revoked; destroy uploads that nobody finished."""
        for connection in list(self.connections):
            if not connection.logged_in:
                continue  # the login timeout is asyncssh's
            if connection.activity.idle_seconds() > self.config.idle_timeout_seconds:
                connection.end(asyncssh.DISC_BY_APPLICATION, "Te lang niets gedaan. / Idle for too long.")
            elif not await connection.still_may_enter():
                log.warning("connection.revoked", vendor=connection.vendor, origin=connection.address)
                connection.end(asyncssh.DISC_NO_MORE_AUTH_METHODS_AVAILABLE, "De sleutel is ingetrokken. / The key was revoked.")
        await self.desk.expire()


async def serve(home: Home, ready: Callable[[], None]) -> None:
    """Run the endpoint until SIGTERM or SIGINT; `ready` is called once it listens."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    endpoint = Endpoint(home)
    await endpoint.start()
    try:
        ready()
        await stop.wait()
    finally:
        await endpoint.stop()
