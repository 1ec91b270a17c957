"""A door: the part of the endpoint that speaks SSH with vendors. There is one per process; each connection gets it."""

import asyncio
import os
import socket
import time
from collections.abc import Callable
from contextlib import suppress

import asyncssh
import structlog

from gateway.intake.activity import LoginBook
from gateway.intake.desk import Desk
from gateway.intake.metrics import Figure, Metrics
from gateway.intake.sftp.session import all_settled
from gateway.intake.ssh.algorithms import server_options
from gateway.intake.ssh.connection import VendorConnection
from gateway.intake.ssh.hostkeys import host_keys
from gateway.intake.ssh.lean import accept
from gateway.store.config import Intake, read_configuration
from gateway.store.home import Home

#: how often idle connections are looked for [s]
IDLE_EVERY = 5.0
#: how often the lag of the loop is measured [s]
LAG_EVERY = 0.5
#: how long a stop waits for deliveries that are being made durable [s]
DRAIN_SECONDS = 30.0
#: and then for the connections to take their leave [s]
GOODBYE_SECONDS = 5.0
#: any value but 0 turns the shorter way of bulk data through asyncssh off
PLAIN_TRANSPORT = "SLUIS_PLAIN_TRANSPORT"

GOODBYE = "De dienst stopt; hervat later. / The service stops; resume later."
IDLE = "Te lang niets gedaan. / Idle for too long."

log = structlog.get_logger("sluis.intake")


class Door:
    """What the connections of one process share, and what the front asks of them."""

    def __init__(self, name: str, home: Home, desk: Desk, metrics: Metrics, gone: Callable[[str], None]) -> None:
        self.name = name
        self.home = home
        self.desk = desk
        self.metrics = metrics
        self.connections: set[VendorConnection] = set()
        self.logins = LoginBook(home)
        self._gone = gone
        self._options: asyncssh.SSHServerConnectionOptions | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._upkeep: list[asyncio.Task[None]] = []
        self._lean = os.environ.get(PLAIN_TRANSPORT, "0") == "0"

    @property
    def config(self) -> Intake:
        """[intake] of sluis.toml as it was last read: a reload changes it."""
        return self.home.config.intake

    async def start(self) -> None:
        """Read the host keys; `take` may be called from now on."""
        self._options = await asyncio.to_thread(_options, self.home)
        self._upkeep = [asyncio.create_task(self._measure_lag()), asyncio.create_task(self._look_for_idle())]

    def take(self, connection: socket.socket, session: str, address: str) -> None:
        """Speak SSH on a connected socket, which is the door's from now on. `gone` is called when the connection has ended."""
        task = asyncio.create_task(self._serve(connection, session, address))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, connection: socket.socket, session: str, address: str) -> None:
        assert self._options is not None
        try:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            accepted = await accept(connection, lambda: VendorConnection(self, session, address), self._options, self._lean)
            await accepted.wait_closed()
        except (OSError, asyncssh.Error):
            pass  # it did not log in: VendorConnection has told why
        except Exception:
            log.exception("connection.failed", session=session)
        finally:
            self._gone(session)

    # ------------------------------------------------------------ what the front asks

    async def ping(self) -> None:
        """Returns when the event loop has come round."""
        await asyncio.sleep(0)

    async def snapshot(self) -> list[Figure]:
        return self.metrics.snapshot()

    async def recheck(self) -> None:
        """See of every connection whether its login is still good."""
        looked = await asyncio.gather(*(connection.recheck() for connection in self.connections), return_exceptions=True)
        if failed := [error for error in looked if isinstance(error, BaseException)]:
            log.error("door.not-rechecked", connections=len(failed), exc_info=failed[0])

    async def reload(self) -> None:
        """Read the configuration and the host keys anew; sessions go on. SluisError when they are not sound: nothing changes then."""
        config = await asyncio.to_thread(read_configuration, self.home.path / "sluis.toml")
        options = await asyncio.to_thread(_options, self.home)
        self.home.config, self._options = config, options

    async def stop(self) -> None:
        """Let what is being delivered end, say goodbye to everybody, keep what is unfinished."""
        await self._until(lambda: not any(connection.activity.busy for connection in self.connections), DRAIN_SECONDS)
        for connection in list(self.connections):
            connection.end(asyncssh.DISC_BY_APPLICATION, GOODBYE)
        await self._until(lambda: not self._tasks, GOODBYE_SECONDS)
        await self.abandon()

    async def abandon(self) -> None:
        """Cut every connection: there is no desk any more, or no time."""
        for task in [*self._upkeep, *self._tasks]:
            task.cancel()
        await asyncio.gather(*self._upkeep, *self._tasks, return_exceptions=True)
        with suppress(TimeoutError):
            await asyncio.wait_for(all_settled(), GOODBYE_SECONDS)  # what was open is kept for whoever resumes it
        await self.logins.close()

    @staticmethod
    async def _until(ended: Callable[[], bool], patience: float) -> None:
        deadline = time.monotonic() + patience
        while not ended() and time.monotonic() < deadline:
            await asyncio.sleep(0.02)

    # ------------------------------------------------------------ upkeep

    async def _measure_lag(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + LAG_EVERY
            await asyncio.sleep(LAG_EVERY)
            self.metrics.loop_lag(loop.time() - due)

    async def _look_for_idle(self) -> None:
        while True:
            await asyncio.sleep(min(IDLE_EVERY, self.config.idle_timeout_seconds))
            self.end_idle()

    def end_idle(self) -> None:
        """End connections that did nothing for too long; how long a login may take is asyncssh's."""
        for connection in list(self.connections):
            if connection.logged_in and connection.activity.idle_seconds() > self.config.idle_timeout_seconds:
                connection.end(asyncssh.DISC_BY_APPLICATION, IDLE)


def _options(home: Home) -> asyncssh.SSHServerConnectionOptions:
    return server_options(home.config.intake, host_keys(home))
