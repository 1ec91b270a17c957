"""The process that starts the others: it imports everything once, forks the front and the doors, and forks a door again that died.

It has no threads and no event loop, opens no connection and holds no key, so that what it forks starts clean; pages that nobody writes
to are shared by all. Signals and the service manager know only this process: it hands SIGTERM and SIGHUP to the front, and
the front's notices (READY=1, WATCHDOG=1 …) to the service manager. When the front ends, everything ends: sessions are lost
without it, and a service manager starts better than we would.
"""

import asyncio
import contextlib
import gc
import json
import os
import resource
import select
import signal
import socket
import sys
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, NoReturn

import structlog
import uvloop

from gateway.intake.processes.channel import Channel, pair
from gateway.intake.processes.remote_door import serve_door
from gateway.intake.server import Endpoint, Notify, run
from gateway.store.home import Home
from policies.errors import SluisError

#: how long the doors may take to end after the front did [s]
LAST_SECONDS = 10.0
#: a door that lived for less than this waits before it is started again, twice as long each time [s] …
SHORT_LIFE = 10.0
#: … up to this [s]
LONGEST_PAUSE = 10.0

#: how long one thread of a process that speaks SFTP may keep another from running: its threads hand each other short pieces of work,
#: and Python's own 5 ms made a small file's close wait longer for its turn than for the disk (measured) [s]
SWITCH_SECONDS = 0.0005

_OURS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD)

log = structlog.get_logger("sluis.intake")


def doors_wanted(processes: int) -> int:
    """How many doors `[intake] processes` means; 0: one per core that this process may use."""
    return processes or len(os.sched_getaffinity(0))


def supervise(home: Home, ready: Callable[[], None], notify: Notify) -> int:
    """Run the endpoint in several processes until SIGTERM or SIGINT; answers the exit status of the front."""
    return Supervisor(home, ready, notify).run()


class Supervisor:
    def __init__(self, home: Home, ready: Callable[[], None], notify: Notify) -> None:
        self._home = home
        self._ready = ready
        self._notify = notify
        self._front = 0
        self._doors: dict[int, float] = {}  # pids, and when each was started
        self._due: list[float] = []  # when a door is to be started
        self._pause = 0.0
        self._started = 0
        self._stopping = False
        self._control: socket.socket
        self._wakeup: socket.socket

    def run(self) -> int:
        """Everything, until the front has ended."""
        _call("main")
        _many_descriptors()
        self._home.ledger.engine.dispose()
        gc.collect()
        gc.freeze()
        self._wakeup, written = socket.socketpair()
        for end in (self._wakeup, written):
            end.setblocking(False)
        for number in _OURS:
            signal.signal(number, lambda *_: None)
        signal.set_wakeup_fd(written.fileno(), warn_on_full_buffer=False)
        self._control, theirs = pair()
        doors = doors_wanted(self._home.config.intake.processes)
        self._front = self._fork(lambda: _front(self._home, theirs, doors), self._control)
        theirs.close()
        self._due = [0.0] * doors
        try:
            return self._watch()
        finally:
            self._end_doors()

    # ------------------------------------------------------------ the loop

    def _watch(self) -> int:
        control = [self._control]
        while True:
            for due in [due for due in self._due if due <= time.monotonic()]:
                self._due.remove(due)
                self._start_door()
            patience = max(0.0, min(self._due) - time.monotonic()) if self._due else None
            readable, _, _ = select.select([self._wakeup, *control], [], [], patience)
            if self._control in readable and not self._hear():
                control = []
            if self._wakeup in readable and (status := self._signalled(self._wakeup.recv(4096))) is not None:
                return status

    def _hear(self) -> bool:
        """One message of the front; False when it says no more."""
        packet = self._control.recv(65_536)
        if not packet:
            return False
        _number, method, arguments = json.loads(packet[1:])
        if method == "ready":
            self._ready()
        elif method == "notify":
            self._notify(arguments[0])
        return True

    def _signalled(self, numbers: bytes) -> int | None:
        """What came since; the exit status when the front has ended."""
        if signal.SIGTERM in numbers or signal.SIGINT in numbers:
            self._stopping = True
            self._due.clear()
            os.kill(self._front, signal.SIGTERM)
        elif signal.SIGHUP in numbers:
            os.kill(self._front, signal.SIGHUP)
        status = None
        while True:
            try:
                pid, ended = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                break
            if pid == 0:
                break
            if pid == self._front:
                status = os.waitstatus_to_exitcode(ended)
            elif pid in self._doors:
                self._door_ended(pid, os.waitstatus_to_exitcode(ended))
        return status

    # ------------------------------------------------------------ doors

    def _start_door(self) -> None:
        name = f"d{self._started}"
        self._started += 1
        ours, theirs = pair()
        pid = self._fork(lambda: _door(self._home, theirs, name), ours, self._control)
        self._doors[pid] = time.monotonic()
        told = json.dumps([0, "door", [name]]).encode()
        try:
            socket.send_fds(self._control, [b"\x00" + told], [ours.fileno()])
        except OSError:
            log.warning("front.gone")  # SIGCHLD is about to tell how
        ours.close()
        theirs.close()

    def _door_ended(self, pid: int, status: int) -> None:
        lived = time.monotonic() - self._doors.pop(pid)
        if self._stopping:
            return
        self._pause = min(LONGEST_PAUSE, max(0.5, 2 * self._pause)) if lived < SHORT_LIFE else 0.0
        log.error("door.ended", status=status, again_in_seconds=self._pause)
        self._due.append(time.monotonic() + self._pause)

    def _end_doors(self) -> None:
        """They end by themselves when the front does; one that hangs is killed."""
        self._control.close()
        deadline = time.monotonic() + LAST_SECONDS
        while self._doors:
            for pid in list(self._doors):
                if os.waitpid(pid, os.WNOHANG)[0]:
                    del self._doors[pid]
                elif time.monotonic() > deadline:
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.01)  # waitpid(2) takes no deadline, and there is nothing else left to do

    # ------------------------------------------------------------ forking

    def _fork(self, life: Callable[[], Coroutine[Any, Any, None]], *not_its: socket.socket) -> int:
        """A child that lives `life`; it never comes back. A signal that comes meanwhile waits until the child knows what to do with it."""
        signal.pthread_sigmask(signal.SIG_BLOCK, _OURS)
        pid = os.fork()
        if pid == 0:
            signal.set_wakeup_fd(-1)
            for end in (self._wakeup, *not_its):
                end.close()
            _live(life)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _OURS)
        return pid


def _live(life: Callable[[], Coroutine[Any, Any, None]]) -> NoReturn:
    status = 3
    try:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGCHLD,))
        sys.setswitchinterval(SWITCH_SECONDS)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(life())
        status = 0
    except SluisError as error:
        log.critical("intake.failed", code=error.code)
        print(error, file=sys.stderr)
        status = error.exit_status
    except BaseException:
        log.critical("intake.failed", exc_info=True)
    finally:
        sys.stderr.flush()
        os._exit(status)


async def _door(home: Home, end: socket.socket, name: str) -> None:
    """A door's life: it ends with the front, whatever signals a terminal or a service manager sends to all of us."""
    _call(name)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    await serve_door(home, end, name)


async def _front(home: Home, control: socket.socket, doors: int) -> None:
    """The front's life: doors come over `control`, where the supervisor hears what the service manager is to know."""
    _call("front")
    endpoint = Endpoint(home, doors)
    loop = asyncio.get_running_loop()

    async def answer(method: str, arguments: list[Any], along: socket.socket | None) -> None:
        if method == "door" and along is not None:
            endpoint.add_door(arguments[0], along)

    def lost() -> None:
        loop.call_soon(os.kill, os.getpid(), signal.SIGTERM)  # nobody would start a door again

    supervisor = Channel(control, answer, lost)
    await run(endpoint, lambda: supervisor.tell("ready"), lambda state: supervisor.tell("notify", state))


def _call(name: str) -> None:
    """Say which process this is: in each log line, and to ps and top."""
    structlog.contextvars.bind_contextvars(process=name)
    with contextlib.suppress(OSError):
        Path("/proc/self/comm").write_text(f"sluis-{name}")


def _many_descriptors() -> None:
    """A connection is a file descriptor: as many as we may have."""
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
