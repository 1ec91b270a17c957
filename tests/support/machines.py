"""A machine whose clocks a test sets: what a gateway clock is told of it."""

import json
from datetime import datetime, timedelta
from pathlib import Path

from gateway.store.clock import EPOCH, GatewayClock

SECOND = 1_000_000
DAY = 86_400 * SECOND
MICROSECOND = timedelta(microseconds=1)


class Machine:
    """Its wall clock, the time since it booted [µs], and which boot it is. Time passes when a test says so."""

    def __init__(self, wall: datetime) -> None:
        self.wall = (wall - EPOCH) // MICROSECOND
        self.boottime = 100 * SECOND
        self.boot = 1
        #: how long it ran in all [µs]
        self.ran = 0

    def passes(self, microseconds: int) -> None:
        self.wall += microseconds
        self.boottime += microseconds
        self.ran += microseconds

    def set_wall(self, by: int) -> None:
        """The wall clock is set forward or, negative, back [µs]."""
        self.wall += by

    def reboot(self, off: int = 0) -> None:
        """It was off for so long [µs]; its wall clock ran on."""
        self.wall += off
        self.boot += 1
        self.boottime = 0

    def clock(self, file: Path) -> GatewayClock:
        """As a process has it that starts now."""
        return GatewayClock(file, lambda: self.wall, lambda: self.boottime, lambda: f"boot {self.boot}")

    @property
    def now(self) -> datetime:
        """What the wall clock says."""
        return EPOCH + timedelta(microseconds=self.wall)


def gateway_time_ahead(home: Path, by: timedelta) -> None:
    """As after a wall clock that was set forward so far, was kept, and was corrected."""
    file = home / "public" / "clock.json"
    kept = json.loads(file.read_bytes())
    kept["gateway"] = (datetime.fromisoformat(kept["gateway"]) + by).isoformat()
    file.write_text(json.dumps(kept))
