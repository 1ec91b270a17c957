"""The SFTP endpoint put together: the front that listens and decides, and the doors behind it, in this process or in others."""

import asyncio
import os
import signal
import socket
import time
from collections.abc import Callable
from typing import Any

import structlog

from gateway.intake.front.defender import Defender
from gateway.intake.front.doors import Doors
from gateway.intake.front.listener import Listener
from gateway.intake.front.reception import Reception
from gateway.intake.front.status import Status
from gateway.intake.front.watch import Watch
from gateway.intake.metrics import Metrics
from gateway.intake.processes.door import LAG_EVERY, Door
from gateway.intake.processes.remote_door import RemoteDoor
from gateway.store.clock import wrong_by
from gateway.store.config import read_configuration
from gateway.store.home import Home
from policies.errors import SluisError, Unsound

#: how often unfinished uploads are looked through for those that nobody finishes any more [s]
EXPIRE_EVERY = 60.0
#: a process that does not answer for so long is not well [s]
HEALTHY_SECONDS = 2.0
#: keys of [intake] that a running endpoint can't change
FIXED = ("host", "port", "processes", "metrics_port")

#: tells the service manager (sd_notify(3)) what state the endpoint is in
Notify = Callable[[str], None]

log = structlog.get_logger("sluis.intake")


class Endpoint:
    """The listening server of one home; `port` is known once it is started. `doors`: so many other processes are about to be doors;
    0: it has one door, in this process."""

    def __init__(self, home: Home, doors: int = 0) -> None:
        config = home.config.intake
        self.home = home
        self.metrics = Metrics()
        self.defender = Defender()
        self.desk = Reception(home, self.defender)
        self.doors = Doors(self.metrics)
        self.watch = Watch(home, self._vendors_changed)
        self.listener = Listener(self.defender, self.metrics, self.doors.hand_over, self.doors.some, self.watch.own, config)
        self.desk.listener = self.listener
        self.status = Status(self._figures, lambda: self.doors.answer(HEALTHY_SECONDS))
        self.port = 0
        self._started = self._stopped = False
        self.door = None if doors else Door("d0", home, self.desk, Metrics(), self._gone)
        self._wanted = doors or 1
        self._added = 0
        self._remote: set[RemoteDoor] = set()
        self._upkeep: list[asyncio.Task[None]] = []
        self._giving_back: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Take the port, adopt what a crash left, find unfinished uploads; when all doors are open, accept. Unsound (`address-in-use`)."""
        config = self.home.config.intake
        try:
            self.port = self.listener.bind(config.host, config.port)
            if config.metrics_port:
                await self.status.start(config.metrics_port)
        except OSError:
            raise Unsound(
                "address-in-use", "The endpoint can't listen there.", "Is it running already, are host and port in [intake] right?"
            ) from None
        await self.desk.start()
        self._started = True
        await self.watch.look()
        if self.door is not None:
            await self.door.start()
            self.doors.add(self.door)
        await self.doors.open(self._wanted)
        upkeep = (self.watch.run(), self.desk.window.run(), self._expire(), self._measure_lag())
        self._upkeep = [asyncio.create_task(each) for each in upkeep]
        self.listener.start()
        log.info("intake.listening", host=config.host, port=self.port)

    async def stop(self) -> None:
        """No new connections; deliveries under way end; what is unfinished is kept for the next start."""
        await self.listener.close()
        self.status.close()
        for task in self._upkeep:
            task.cancel()
        await asyncio.gather(*self._upkeep, return_exceptions=True)
        await self.doors.stop()
        if self._started:
            await self.desk.stop()
        self._stopped = True
        for door in list(self._remote):
            door.close()
        log.info("intake.stopped")

    async def reload(self) -> bool:
        """Read sluis.toml and the host keys anew; sessions go on, under the new limits. False when that is not sound: nothing changes."""
        before = self.home.config.intake
        try:
            config = await asyncio.to_thread(read_configuration, self.home.path / "sluis.toml")
        except SluisError as error:
            log.error("intake.not-reloaded", code=error.code)
            return False
        self.home.config = config
        self.desk.reconfigured(self.home)
        self.listener.change(config.intake)
        await self.doors.reload()
        fixed = [key for key in FIXED if getattr(before, key) != getattr(config.intake, key)]
        log.info("intake.reloaded", after_a_restart=fixed)
        return True

    # ------------------------------------------------------------ doors in other processes

    def add_door(self, name: str, end: socket.socket) -> None:
        """A process was started that is about to be a door; `end` is this side of its channel."""
        self._added += 1
        if self._added > self._wanted:
            self.metrics.door_restarted()
        self._remote.add(RemoteDoor(name, end, self.desk, self.doors.add, self._gone, self._door_lost))

    def _gone(self, session: str) -> None:
        self.doors.gone(session)
        self.listener.gone(session)

    def _door_lost(self, door: RemoteDoor) -> None:
        """Its process ended: what its sessions held is given back."""
        self._remote.discard(door)
        if self._stopped:
            return
        for session in self.doors.remove(door.name):
            self.listener.leaves(session)
        for connection, address in door.not_taken():
            self.listener.again(connection, address)
        task = asyncio.get_running_loop().create_task(self._give_back(door))
        self._giving_back.add(task)
        task.add_done_callback(self._giving_back.discard)

    async def _give_back(self, door: RemoteDoor) -> None:
        for session in door.sessions():
            await self.desk.abandoned(session)

    # ------------------------------------------------------------ while it runs

    async def _figures(self) -> bytes:
        self.metrics.backlog(len(self.desk.registrar.waiting))
        self.metrics.overdue(self.desk.window.overdue or 0)
        self.metrics.clock_wrong(wrong_by(self.home.clock).total_seconds())
        return await self.doors.figures()

    async def _vendors_changed(self) -> None:
        await self.desk.vendors_changed()
        await self.doors.recheck()

    async def _expire(self) -> None:
        while True:
            await asyncio.sleep(EXPIRE_EVERY)
            try:
                await self.desk.expire()
            except Exception:
                log.exception("intake.expire-failed")

    async def _measure_lag(self) -> None:
        loop = asyncio.get_running_loop()
        while self.door is None:  # the door in this process measures it already
            due = loop.time() + LAG_EVERY
            await asyncio.sleep(LAG_EVERY)
            self.metrics.loop_lag(loop.time() - due)

    async def watchdog(self, every: float, notify: Notify) -> None:
        """Feed the service manager's watchdog every so often [s], as long as every process answers in time."""
        while True:
            if await self.doors.answer(every):
                notify("WATCHDOG=1")
            await asyncio.sleep(every)


async def serve(home: Home, ready: Callable[[], None], notify: Notify = lambda state: None) -> None:
    """Run the endpoint in this process until SIGTERM or SIGINT; `ready` is called once it listens. SIGHUP reads sluis.toml anew."""
    await run(Endpoint(home), ready, notify)


async def run(endpoint: Endpoint, ready: Callable[[], None], notify: Notify) -> None:
    """The life of an endpoint, as signals tell it."""
    stop, reload = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    loop.add_signal_handler(signal.SIGHUP, reload.set)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGTERM, signal.SIGINT, signal.SIGHUP))
    starting, stopping = asyncio.create_task(endpoint.start()), asyncio.create_task(stop.wait())
    tasks: list[asyncio.Task[Any]] = [starting, stopping]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        if starting.done():
            await starting
            tasks.append(asyncio.create_task(_reload_when_told(endpoint, reload, notify)))
            if every := watchdog_seconds():
                tasks.append(asyncio.create_task(endpoint.watchdog(every / 3, notify)))
            ready()
            await stopping
    finally:
        notify("STOPPING=1")
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await endpoint.stop()


async def _reload_when_told(endpoint: Endpoint, told: asyncio.Event, notify: Notify) -> None:
    while True:
        await told.wait()
        told.clear()
        notify(f"RELOADING=1\nMONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}")
        try:
            await endpoint.reload()
        finally:
            notify("READY=1")


def watchdog_seconds() -> float:
    """How often the service manager wants to hear of us (WATCHDOG_USEC) [s]; 0: never."""
    try:
        return int(os.environ.get("WATCHDOG_USEC", "0")) / 1_000_000
    except ValueError:
        return 0.0
