"""Gateway time, whatever is done to the machine's clock: it does not go back, and does not run more slowly than the machine."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.store.clock import EPOCH, LOOK_EVERY, TOLERANCE, GatewayClock
from tests.support.machines import DAY, MICROSECOND, SECOND, Machine

START = datetime(2026, 2, 10, 10, tzinfo=UTC)
WINDOW = 21 * DAY

PASSES, SET, REBOOT, KEEP, TIMER, RESTART_EDGE, RESTART_WORKER = range(7)
SECONDS = st.one_of(st.integers(0, 700), st.integers(0, 3 * 86_400))
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just(PASSES), SECONDS),
        st.tuples(st.just(SET), st.one_of(st.integers(-90, 90), st.integers(-400 * 86_400, 400 * 86_400))),
        st.tuples(st.just(REBOOT), SECONDS),
        st.tuples(st.sampled_from([KEEP, TIMER, RESTART_EDGE, RESTART_WORKER]), st.just(0)),
    ),
    max_size=30,
)


def told(clock: GatewayClock) -> int:
    return (clock() - EPOCH) // MICROSECOND


@dataclass
class Stamped:
    """A delivery: what its deadline counts from, when it came, and how much the machine had run and lost by then [µs]."""

    at: int
    ran: int
    lost: int


class World:
    """One machine with an edge role that only reads the clock's file, a worker that keeps it, and a timer that does too."""

    def __init__(self, folder: Path) -> None:
        self.machine = Machine(START)
        self.file = folder / "clock.json"
        self.timer()
        self.edge, self.worker = self.machine.clock(self.file), self.machine.clock(self.file)
        self.kept_ran = 0
        #: what the machine ran after time was kept last and before it was switched off: the line can't know of it [µs]
        self.lost = self.lost_then = 0
        self.last = {"edge": told(self.edge), "worker": told(self.worker)}
        self.stamps: list[Stamped] = []

    def timer(self) -> None:
        self.machine.clock(self.file).keep()
        self.kept_ran = self.machine.ran

    def step(self, kind: int, seconds: int) -> None:
        match kind:
            case 0:
                self.machine.passes(seconds * SECOND)
            case 1:
                self.machine.set_wall(seconds * SECOND)
            case 2:
                self.lost += self.machine.ran - self.kept_ran
                self.kept_ran = self.machine.ran
                self.machine.reboot(seconds * SECOND)
                self.edge, self.worker = self.machine.clock(self.file), self.machine.clock(self.file)
            case 3:
                self.worker.keep()
                self.kept_ran = self.machine.ran
            case 4:
                self.timer()
            case 5:
                self.edge = self.machine.clock(self.file)
            case 6:
                self.worker = self.machine.clock(self.file)

    def look(self, started: bool) -> None:
        """`started`: a process did, and so lost what it led the file by."""
        for name, clock in (("edge", self.edge), ("worker", self.worker)):
            now = told(clock)
            assert now >= self.last[name] - (self.lost - self.lost_then) - (TOLERANCE if started else 0), f"the {name}'s time went back"
            self.last[name] = now
        self.lost_then = self.lost
        self.stamps.append(Stamped(told(self.edge), self.machine.ran, self.lost))


@given(STEPS)
@settings(max_examples=200, deadline=None)
def test_no_window_gets_longer(steps: list[tuple[int, int]]) -> None:
    """Whatever the edge stamps, whoever erases has come to its deadline when the machine has run for the window and a minute."""
    with TemporaryDirectory() as folder:
        world = World(Path(folder))
        for kind, seconds in steps:
            world.step(kind, seconds)
            world.look(kind in (REBOOT, RESTART_EDGE, RESTART_WORKER))
        world.machine.passes(LOOK_EVERY)
        for stamp in world.stamps:
            ran, lost = world.machine.ran - stamp.ran, world.lost - stamp.lost
            gone_by = told(world.worker) - stamp.at
            assert gone_by >= ran - lost - TOLERANCE, "the deadline comes later than the machine has run"
        world.machine.passes(WINDOW)
        assert all(told(world.worker) - stamp.at >= WINDOW - world.lost - TOLERANCE for stamp in world.stamps)


@given(st.lists(st.integers(-29, 29), max_size=60))
@settings(max_examples=200, deadline=None)
def test_small_steps_never_add_up(steps: list[int]) -> None:
    """NTP's steps to and fro: gateway time is ahead by no more than the farthest that the wall clock ever was."""
    with TemporaryDirectory() as folder:
        machine = Machine(START)
        clock = machine.clock(Path(folder) / "clock.json")
        farthest = machine.wall - machine.boottime
        for step in steps:
            machine.set_wall(step * SECOND)
            machine.passes(300 * SECOND)
            clock.keep()
            farthest = max(farthest, machine.wall - machine.boottime)
            assert clock.ahead() == timedelta(microseconds=farthest - (machine.wall - machine.boottime))


@given(STEPS)
@settings(max_examples=100, deadline=None)
def test_brought_back_everybody_follows(steps: list[tuple[int, int]]) -> None:
    with TemporaryDirectory() as folder:
        world = World(Path(folder))
        for kind, seconds in steps:
            world.step(kind, seconds)
        world.machine.clock(world.file).follow()
        world.worker.keep()  # what it has in mind itself counts no more
        world.machine.passes(LOOK_EVERY)
        assert world.edge.ahead() == world.worker.ahead() == world.machine.clock(world.file).ahead() == timedelta(0)
