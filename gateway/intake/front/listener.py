"""Accepts connections, decides which may stand on the doorstep, and says for whom each one stands there.

Nothing of SSH happens here: a connection costs a socket and an entry in a table until a door takes it. The doors take it at
once; what is bounded here is how many they have that did not log in.
"""

import asyncio
import errno
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from gateway.intake.front.defender import Defender
from gateway.intake.front.doorstep import Doorstep
from gateway.intake.front.proxy import NoProxyHeader, Proxies, read_origin
from gateway.intake.metrics import Metrics
from gateway.store.config import Intake

#: connections that the kernel holds ready; a burst of logins fits in
BACKLOG = 512
#: a listed network that would be shut out waits this long instead [s]
SLOWED = 2.0
#: with no file descriptor left, the next connection is tried for after this [s]
OUT_OF_DESCRIPTORS = 0.2
#: how often one address is told of in the log while it is refused [s]
QUIET = 60.0

log = structlog.get_logger("sluis.intake")

#: hands a connection and its address on; answers the session's name, or None when no door is there to take it
HandOver = Callable[[socket.socket, str], str | None]


def plain(address: str) -> str:
    """An address as its owner writes it: a socket for both families tells an IPv4 address as ::ffff:192.0.2.1."""
    return address.removeprefix("::ffff:") if "." in address else address


@dataclass
class Rules:
    """What the listener asks before it lets a connection through; replaced whole by a reload."""

    proxies: Proxies
    own: Callable[[str], bool]  # whether a vendor has listed the address as its own


class Listener:
    """Owns the listening socket."""

    def __init__(
        self,
        defender: Defender,
        metrics: Metrics,
        hand_over: HandOver,
        some_door: asyncio.Event,
        own: Callable[[str], bool],
        config: Intake,
    ) -> None:
        self.defender = defender
        self.doorstep = Doorstep(config.max_unauthenticated, config.max_unauthenticated_per_address)
        self._metrics = metrics
        self._hand_over = hand_over
        self._some_door = some_door
        self._rules = Rules(Proxies(config.proxies), own)
        self._waiting: dict[str, str] = {}  # sessions that have not logged in, with their addresses
        self._held = 0  # connections that are not handed over yet: their header is being read, or they are slowed
        self._tasks: set[asyncio.Task[None]] = set()
        self._told: dict[str, float] = {}
        self._socket: socket.socket | None = None
        self._accepting: asyncio.Task[None] | None = None

    def bind(self, host: str, port: int) -> int:
        """Take the address; connections queue up from now on. Answers the port. OSError when it is in use."""
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._socket = socket.create_server((host, port), family=family, backlog=BACKLOG, dualstack_ipv6=host == "::")
        self._socket.setblocking(False)
        bound: int = self._socket.getsockname()[1]
        return bound

    def start(self) -> None:
        """Begin to accept."""
        self._accepting = asyncio.create_task(self._accept())

    def change(self, config: Intake) -> None:
        """The bounds and proxies of a configuration read anew."""
        self.doorstep.in_all = config.max_unauthenticated
        self.doorstep.per_address = config.max_unauthenticated_per_address
        self._rules = Rules(Proxies(config.proxies), self._rules.own)

    async def close(self) -> None:
        """No new connections; what was not handed over yet is cut."""
        for task in [self._accepting, *self._tasks]:
            if task is not None:
                task.cancel()
        await asyncio.gather(*(task for task in [self._accepting, *self._tasks] if task is not None), return_exceptions=True)
        if self._socket is not None:
            self._socket.close()

    # ------------------------------------------------------------ who stands on the doorstep

    def leaves(self, session: str) -> None:
        """A session no longer stands on the doorstep: it has logged in, or its door is gone."""
        if (address := self._waiting.pop(session, None)) is not None:
            self.doorstep.leave(address)
            self._metrics.unauthenticated(self.doorstep.count)

    def gone(self, session: str) -> None:
        """A connection has ended; one that never logged in counts a little against its address."""
        if (address := self._waiting.get(session)) is not None:
            self.leaves(session)
            if address in self._rules.proxies:
                return  # a balancer that looks whether we are there
            self.defender.failed(address, "", "no-login", time.monotonic())

    # ------------------------------------------------------------ accepting

    async def _accept(self) -> None:
        assert self._socket is not None
        loop = asyncio.get_running_loop()
        while True:
            await self._some_door.wait()  # meanwhile they queue up in the kernel
            try:
                connection, peer = await loop.sock_accept(self._socket)
            except OSError as error:
                if error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM):
                    log.error("connection.no-descriptors")
                    await asyncio.sleep(OUT_OF_DESCRIPTORS)
                continue  # otherwise the connection was gone before it was accepted
            try:
                connection.setblocking(False)
                self._arrived(connection, plain(str(peer[0])))
            except Exception as error:  # whatever is wrong with one, the next one is accepted
                self._failed(connection, error)

    def _arrived(self, connection: socket.socket, address: str) -> None:
        if address in self._rules.proxies:
            self._hold(connection, address, self._through_proxy)
        else:
            self._admit(connection, address)

    def _hold(self, connection: socket.socket, address: str, step: Callable[[socket.socket, str], "asyncio._CoroutineLike[None]"]) -> None:
        if self._held >= self.doorstep.in_all:
            self._cut(connection, address, "too-many")
            return
        self._held += 1
        task = asyncio.create_task(step(connection, address))
        self._tasks.add(task)
        task.add_done_callback(lambda done: self._released(done, connection))

    def _released(self, task: asyncio.Task[None], connection: socket.socket) -> None:
        self._held -= 1
        self._tasks.discard(task)
        if task.cancelled():
            connection.close()
        elif (error := task.exception()) is not None:
            self._failed(connection, error)

    def _failed(self, connection: socket.socket, error: BaseException) -> None:
        connection.close()
        self._metrics.connection("failed")
        log.error("connection.not-handed-over", exc_info=error)

    async def _through_proxy(self, connection: socket.socket, proxy: str) -> None:
        try:
            address = await read_origin(connection)
        except NoProxyHeader:
            self._cut(connection, proxy, "no-proxy-header")
            return
        self._admit(connection, address or proxy)

    def _admit(self, connection: socket.socket, address: str) -> None:
        if self.defender.shut_out(address, time.monotonic()):
            if not self._rules.own(address):
                self._cut(connection, address, "shut-out")
                return
            self._hold(connection, address, self._slowly)
            return
        self._let_through(connection, address)

    async def _slowly(self, connection: socket.socket, address: str) -> None:
        await asyncio.sleep(SLOWED)
        self._let_through(connection, address)

    def _let_through(self, connection: socket.socket, address: str) -> None:
        if reason := self.doorstep.why_not(address):
            self.defender.failed(address, "", "flood", time.monotonic())
            self._cut(connection, address, reason)
            return
        session = self._hand_over(connection, address)
        if session is None:
            self.again(connection, address)
            return
        self._waiting[session] = address
        self.doorstep.come(address)
        self._metrics.connection("accepted")
        self._metrics.unauthenticated(self.doorstep.count)

    def again(self, connection: socket.socket, address: str) -> None:
        """A connection that was let through comes back: the door that was to have it is gone. It waits for another one."""
        connection.setblocking(False)
        self._hold(connection, address, self._when_a_door_opens)

    async def _when_a_door_opens(self, connection: socket.socket, address: str) -> None:
        await self._some_door.wait()
        self._let_through(connection, address)

    def _cut(self, connection: socket.socket, address: str, reason: str) -> None:
        """Without a word: whoever floods is not to be answered."""
        connection.close()
        self._metrics.connection(reason)
        now = time.monotonic()
        if now - self._told.get(address, -QUIET) >= QUIET:
            if len(self._told) > 1000:
                self._told.clear()
            self._told[address] = now
            log.warning("connection.refused", code=reason, origin=address)
