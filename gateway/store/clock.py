"""Gateway time: what deadlines are set and kept by. It does not go back, and does not run more slowly than the machine does.

It is a line: CLOCK_BOOTTIME (clock_gettime(2): nobody can set it, and it runs on while the machine sleeps) plus an offset that only grows.
The wall clock moves the line forward, never back. So a wall clock that is set back lengthens no window: deadlines come along the line.

Several processes share one line by a small file. Who only reads it never leads it by more than TOLERANCE; who may write it (`keep`) moves
it to wherever the wall clock has gone. So nobody stamps a delivery with a time that those who erase have not come to yet.
"""

import fcntl
import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import structlog

from gateway.store.durable import remove_unfinished, replace_durably
from policies.errors import Unsound

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
#: how far a process follows the wall clock's steps beyond what the file says (NTP steps by seconds) [µs]
TOLERANCE = 60_000_000
#: how often a process looks into the file, by the way, when it is asked for the time [µs]
LOOK_EVERY = 5_000_000
#: a greater difference between gateway time and the wall clock is a fault
FAULT = timedelta(minutes=5)

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")

log = structlog.get_logger()


def _wall() -> int:
    return time.time_ns() // 1000


def _boottime() -> int:
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1000


def boot_id() -> str:
    """What names this boot of the machine: SLUIS_BOOT_ID (systemd's %b, for services that see no /proc/sys), or the kernel's. Unsound when
    neither can be read: nobody could say then whether a CLOCK_BOOTTIME of before can be counted on from."""
    try:
        told = os.environ.get("SLUIS_BOOT_ID") or BOOT_ID.read_text(encoding="ascii")
    except OSError:
        raise Unsound("boot-unknown", "The id of this boot can't be read.", "Set Environment=SLUIS_BOOT_ID=%b in the unit.") from None
    return told.strip().replace("-", "").lower()


@dataclass(frozen=True)
class Kept:
    """What the file says. Times in µs: `gateway` and `wall` since 1970, `boottime` since the boot that is called `boot`."""

    #: a number that grows when an administrator brings gateway time back: then the offset is what stands here, and not the greatest
    line: int
    gateway: int
    wall: int
    boottime: int
    boot: str
    #: by how much the wall clock was set in all, as far as the audit log does not tell of it yet
    untold: int

    def offset(self, boottime: int, boot: str) -> int:
        """Of the line, for who reads this now. After a reboot its time counts on from what was kept last: it can't have been less."""
        return self.gateway - min(self.boottime, boottime) if boot == self.boot else self.gateway

    def jump(self, wall: int, boottime: int, boot: str) -> int:
        """By how much the wall clock was set since [µs]. How long the machine was off nobody knows: over a reboot, only backwards shows."""
        if boot == self.boot:
            return (wall - self.wall) - (boottime - self.boottime)
        return min(0, wall - self.wall - boottime)


class GatewayClock:
    """Called, it tells gateway time in UTC. Safe to use from several threads. A file that is not there, or that says nothing, counts for
    nothing: the line starts at the wall clock, as there is nothing else to start at."""

    def __init__(
        self, file: Path, wall: Callable[[], int] = _wall, boottime: Callable[[], int] = _boottime, boot: Callable[[], str] = boot_id
    ) -> None:
        self._file = file
        self._wall, self._boottime = wall, boottime
        self._boot = boot()
        self._changing = threading.Lock()
        now, since_boot = self._read()
        self._line, self._offset, self._ceiling = 0, now - since_boot, now - since_boot + TOLERANCE
        if (kept := self._kept()) is not None:
            self._take_over(kept, since_boot)
        self._look_at = since_boot + LOOK_EVERY

    def __call__(self) -> datetime:
        return EPOCH + timedelta(microseconds=self._now()[0])

    def ahead(self) -> timedelta:
        """How far gateway time is ahead of the wall clock; negative where the wall clock jumped forward and nobody has kept that yet."""
        gateway, wall = self._now()
        return timedelta(microseconds=gateway - wall)

    def _read(self) -> tuple[int, int]:
        """The wall clock first: a pause between the two must not look like a wall clock that runs ahead."""
        wall = self._wall()
        return wall, self._boottime()

    def _now(self) -> tuple[int, int]:
        wall, boottime = self._read()
        if boottime >= self._look_at:
            self._look(boottime)
        if self._offset < wall - boottime <= self._ceiling:
            with self._changing:
                if wall - boottime <= self._ceiling:
                    self._offset = max(self._offset, wall - boottime)
        return boottime + self._offset, wall

    # ------------------------------------------------------------ the file

    def _look(self, boottime: int) -> None:
        self._look_at = boottime + LOOK_EVERY
        if (kept := self._kept()) is not None:
            with self._changing:
                self._adopt(kept, boottime)

    def _take_over(self, kept: Kept, boottime: int) -> None:
        self._line, self._offset = kept.line, kept.offset(boottime, self._boot)
        self._ceiling = self._offset + TOLERANCE

    def _adopt(self, kept: Kept, boottime: int) -> None:
        if kept.line > self._line:
            self._take_over(kept, boottime)
        else:
            self._move(kept.offset(boottime, self._boot))

    def _move(self, offset: int) -> None:
        self._offset = max(self._offset, offset)
        self._ceiling = max(self._ceiling, offset + TOLERANCE)

    def keep(self) -> Kept:
        """Move the line to the wall clock, if that is ahead, and write it down for all processes and for after a reboot. OSError when it
        can't be written: then it holds for this process."""
        with self._alone():
            before = self._kept()
            wall, boottime = self._read()
            with self._changing:
                if before is not None:
                    self._adopt(before, boottime)
                self._move(wall - boottime)
                now = Kept(self._line, boottime + self._offset, wall, boottime, self._boot, 0)
            if before is not None:
                jump = before.jump(wall, boottime, self._boot)
                now = replace(now, untold=before.untold + (jump if abs(jump) > FAULT / timedelta(microseconds=1) else 0))
            self._write(now)
        return now

    def not_before(self, moment: datetime) -> None:
        """Gateway time has come to `moment` when this returns, whatever the wall clock says, and goes on from there. OSError when it can't
        be written."""
        _, boottime = self._read()
        with self._changing:
            self._move((moment - EPOCH) // timedelta(microseconds=1) - boottime)
        self.keep()

    def told(self, kept: Kept) -> None:
        """The audit log tells of what `kept` calls untold. OSError when that can't be written: then it is told twice."""
        with self._alone():
            now = self._kept() or kept
            self._write(replace(now, untold=now.untold - kept.untold))

    def follow(self) -> None:
        """Bring gateway time back to the wall clock: whoever asks has made sure that nothing is left whose window that would lengthen.
        Other processes follow within LOOK_EVERY. OSError when it can't be written: then nothing changes."""
        with self._alone():
            before = self._kept()
            wall, boottime = self._read()
            now = Kept(max(self._line, before.line if before else 0) + 1, wall, wall, boottime, self._boot, 0)
            self._write(now)
            with self._changing:
                self._take_over(now, boottime)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        folder = os.open(self._file.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(folder, fcntl.LOCK_EX)
            yield
        finally:
            os.close(folder)

    def _kept(self) -> Kept | None:
        try:
            told = json.loads(self._file.read_bytes())
            gateway, wall = (_microseconds(told[name]) for name in ("gateway", "wall"))
            return Kept(int(told["line"]), gateway, wall, int(told["boottime"]), str(told["boot"]), int(told["untold"]))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError, OverflowError) as error:
            log.error("clock.unreadable", problem=type(error).__name__)
            return None

    def _write(self, kept: Kept) -> None:
        remove_unfinished(self._file.parent)
        told = asdict(kept) | {name: (EPOCH + timedelta(microseconds=getattr(kept, name))).isoformat() for name in ("gateway", "wall")}
        replace_durably(self._file, json.dumps(told).encode() + b"\n")


def _microseconds(moment: str) -> int:
    return (datetime.fromisoformat(moment) - EPOCH) // timedelta(microseconds=1)


def wrong_by(clock: Callable[[], datetime]) -> timedelta:
    """How far gateway time is off the wall clock, where that is a fault, and else nothing. A clock of another kind is taken as right."""
    ahead = clock.ahead() if isinstance(clock, GatewayClock) else timedelta(0)
    return ahead if abs(ahead) > FAULT else timedelta(0)
