"""A clock that jumps, forward or back, lengthens no window: deliveries through the real desk, erased by what the timer runs."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from gateway.drop.lifecycle import Raw
from gateway.store.clock import LOOK_EVERY
from gateway.store.home import Home
from gateway.store.models import Drop, Vendor
from gateway.worker.serve import upkeep
from tests.support.desks import Stage, opened, write
from tests.support.intake import drops, make_home
from tests.support.machines import DAY, SECOND, Machine

WINDOW = 21 * DAY


@dataclass
class Site:
    """A home on a machine whose clock a test sets: the intake's process, which only reads gateway time, and the worker's."""

    path: Path
    machine: Machine

    def process(self) -> Home:
        return Home.open(self.path, self.machine.clock(self.path / "public" / "clock.json"))

    def __post_init__(self) -> None:
        self.worker = self.process()
        upkeep(self.worker)
        self.intake = self.process()

    def restart(self) -> None:
        self.worker, self.intake = self.process(), self.process()

    def runs(self, microseconds: int) -> None:
        """The machine runs for so long, and the worker looks after deadlines every five minutes of the last hour."""
        self.machine.passes(max(0, microseconds - 3600 * SECOND))
        for _ in range(min(12, microseconds // (300 * SECOND))):
            upkeep(self.worker)
            self.machine.passes(300 * SECOND)

    def receive(self, name: str, meanwhile: Callable[[], None] = lambda: None) -> Drop:
        """A delivery; `meanwhile` happens when all of it has arrived and before it is closed."""

        async def run() -> None:
            stage = Stage(self.intake)
            await stage.desk.start()
            one = await stage.session("one")
            handle = await opened(one, name)
            await write(one, handle, name.encode() * 1000)
            meanwhile()
            await one.close(handle)
            await stage.desk.stop()

        asyncio.run(run())
        return next(drop for drop in drops(self.worker) if drop.file_name == name)

    def held(self, drop: Drop) -> bool:
        found = next(each for each in drops(self.worker) if each.id == drop.id)
        gone = found.raw == Raw.ERASED
        assert self.worker.mortal.exists("drops", drop.id) == self.worker.blob(drop.id).exists() == (not gone)
        return not gone


@pytest.fixture
def site(tmp_path: Path) -> Site:
    home = make_home(tmp_path)
    with home.ledger.change("administrator") as change:
        change.session.add(Vendor(name="cito", created_at=change.now))
    home.ledger.engine.dispose()
    (home.public / "clock.json").unlink()
    return Site(home.path, Machine(datetime.now(UTC)))


def reboot(site: Site) -> None:
    site.machine.reboot()
    site.restart()


@pytest.mark.parametrize("meanwhile", [lambda site: None, Site.restart, reboot], ids=["goes on", "restarts", "reboots"])
def test_a_clock_that_is_set_back_lengthens_no_window(site: Site, meanwhile: Callable[[Site], None]) -> None:
    drop = site.receive("voor.csv.age")
    site.machine.set_wall(-30 * DAY)
    upkeep(site.worker)
    meanwhile(site)
    site.runs(WINDOW - 300 * SECOND)
    assert site.held(drop)
    site.runs(900 * SECOND)
    assert not site.held(drop) and site.worker.clock() > drop.erase_before


def test_what_is_closed_after_it_was_set_back_has_no_longer_window(site: Site) -> None:
    drop = site.receive("tijdens.csv.age", lambda: site.machine.set_wall(-30 * DAY))
    site.runs(WINDOW - 300 * SECOND)
    assert site.held(drop)
    site.runs(900 * SECOND)
    assert not site.held(drop)


def test_a_clock_that_jumps_forward_makes_all_due_and_going_back_lengthens_nothing(site: Site) -> None:
    before = site.receive("voor.csv.age")
    unaware = site.receive("nog-niet.csv.age", lambda: site.machine.set_wall(30 * DAY))
    assert unaware.received_at - before.received_at < timedelta(minutes=1), "nobody leads those who erase"
    upkeep(site.worker)
    assert not site.held(before) and not site.held(unaware)
    site.machine.passes(LOOK_EVERY)
    during = site.receive("tijdens.csv.age")
    assert during.received_at > before.received_at + timedelta(days=29)
    site.machine.set_wall(-30 * DAY)
    upkeep(site.worker)
    site.runs(WINDOW - 300 * SECOND)
    assert site.held(during)
    site.runs(900 * SECOND)
    assert not site.held(during)
