"""Every write, new file, move, unlink, fsync and commit of the worker fails once: lost, done but reported as failed, or half done.

The worker goes on as it does: it tries again, or its process ends and another begins. What must be true of a home is true right after
the failure and when all is at rest; each drop then ends where it should, as if nothing had failed. Of steps that only differ in a number
the first is enough, unless SLUIS_EVERY_CRASH is set.
"""

import os
import re
import shutil
from collections.abc import Sequence, Set
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest

from gateway.drop.lifecycle import Raw, State
from gateway.store.drops import drops
from gateway.store.invariants import check_home
from tests.support.crash_plays import DELIVERY, REGISTER, SHIFT, deliver, delivery, make_home, open_home, register
from tests.support.crashing import Nursery
from tests.support.deliveries import age
from tests.support.steps import Fails, Point, Step, failures_of, killed_at

pytestmark = [pytest.mark.crash, pytest.mark.slow]

#: when the next process begins: whatever was put off is due then [s]
LATER = SHIFT + timedelta(hours=2).total_seconds()
#: when every window is over [s]
LATE = SHIFT + timedelta(days=23).total_seconds()
AFTER_THAT = LATE + timedelta(hours=2).total_seconds()


#: in names of steps; `.d2026…` looks like the random end of an unfinished file's name
DROP_ID = re.compile(r"(d[0-9]{8})?-[a-z2-7]{16}")
#: each of a drop's files in `ontvangst/`
RECEIPT = re.compile(r"(?<=receipts/cito/)ID[.a-z]+")


@dataclass(frozen=True)
class Life:
    """A home before, what `play` does then, and where its drops end; at `shift` it begins, at `after` the worker that recovers."""

    nursery: Nursery
    play: str
    before: Path
    shift: float
    after: float
    steps: Sequence[Step]
    ends: dict[str, tuple[str, str]]

    def points(self, but: Set[str] = frozenset()) -> list[tuple[Step, Point]]:
        """Every failure of every step; unless all are wanted, of one step of each kind that is not among `but`."""
        if os.environ.get("SLUIS_EVERY_CRASH"):
            return failures_of(self.steps)
        return failures_of([step for kind, step in self.kinds.items() if kind not in but])

    @property
    def kinds(self) -> dict[str, Step]:
        return {RECEIPT.sub("receipt", DROP_ID.sub("ID", step.kind)): step for step in reversed(self.steps)}

    def copy(self) -> Path:
        home = self.nursery.room / "home"
        shutil.rmtree(home, ignore_errors=True)
        shutil.copytree(self.before, home)
        return home


def lived(nursery: Nursery, before: Path, shift: float, after: float, play: str = "persist") -> Life:
    """The life that nothing disturbs."""
    home = nursery.room / "undisturbed"
    shutil.rmtree(home, ignore_errors=True)
    shutil.copytree(before, home)
    child = nursery.start(play, home, Point(fails=Fails.NEVER), shift=shift)
    assert child.wait() == 0
    return Life(nursery, play, before, shift, after, child.steps, ends_of(home, after))


def ends_of(path: Path, shift: float) -> dict[str, tuple[str, str]]:
    home = open_home(path, shift)
    try:
        with home.ledger.view() as session:
            return {drop.id: (drop.state, drop.raw) for drop in drops(session)}
    finally:
        home.ledger.engine.dispose()


def assert_sound(path: Path, shift: float, *, at_rest: bool) -> None:
    home = open_home(path, shift)
    try:
        # what a deadline asks for is asked for by the process that failed: it may have failed to do it, the next one does
        found = [one for one in check_home(home, at_rest=at_rest) if at_rest or one.invariant not in ("overdue", "epoch-overdue")]
        assert found == []
    finally:
        home.ledger.engine.dispose()


def fail_at_each(life: Life, points: Sequence[tuple[Step, Point]]) -> None:
    for step, point in points:
        home = life.copy()
        with killed_at(step, point):
            child = life.nursery.start(life.play, home, point, shift=life.shift)
            assert child.wait() == 0
            assert child.failed is not None, "nothing failed"
            assert_sound(home, life.shift, at_rest=False)
            assert life.nursery.start("work", home, shift=life.after).wait() == 0
            assert_sound(home, life.after, at_rest=True)
            assert ends_of(home, life.after) == life.ends


@pytest.fixture(scope="module")
def rejected(nursery: Nursery) -> Life:
    """The shortest life: what was delivered is no delivery."""
    before = nursery.room / "nonsense"
    home = make_home(before)
    deliver(home, DELIVERY, age(b"nonsense", home.recipients.public()))
    home.ledger.engine.dispose()
    return lived(nursery, before, SHIFT, LATER)


@pytest.fixture(scope="module")
def linked(nursery: Nursery) -> Life:
    """A delivery waits for its schools' objection registers, which come as the second drop; both end."""
    before = nursery.room / "before"
    home = make_home(before)
    deliver(home, DELIVERY, delivery(home))
    deliver(home, REGISTER, register(home))
    home.ledger.engine.dispose()
    return lived(nursery, before, SHIFT, LATER)


@pytest.fixture(scope="module")
def expired(nursery: Nursery) -> Life:
    """A delivery whose schools never hand in a register, when its window and its day's are over."""
    before = nursery.room / "waiting"
    home = make_home(before)
    deliver(home, DELIVERY, delivery(home))
    home.ledger.engine.dispose()
    assert nursery.start("work", before).wait() == 0
    return lived(nursery, before, LATE, AFTER_THAT)


@pytest.fixture(scope="module")
def timed(nursery: Nursery, expired: Life) -> Life:
    """The same, ended by `sluis retention run` instead of the worker."""
    return lived(nursery, expired.before, LATE, AFTER_THAT, "retain")


def test_the_lives_come_by_every_durable_thing(rejected: Life, linked: Life, expired: Life) -> None:
    assert list(rejected.ends.values()) == [(State.REJECTED, Raw.ERASED)]
    assert sorted(linked.ends.values()) == [(State.LINKED, Raw.ERASED), (State.REGISTERED, Raw.ERASED)]
    assert list(expired.ends.values()) == [(State.EXPIRED, Raw.ERASED)]
    whats = [step.what for life in (rejected, linked, expired) for step in life.steps]
    for kind in (
        r"^rename mortal/drops/", r"^write mortal/drops/\.gone", r"^unlink mortal/drops/\.gone", r"^fsync mortal/drops$",
        r"^unlink drops/.*\.blob$", r"^fsync drops$", r"^replace results/", r"^write results/", r"^replace receipts/", r"^create receipts/",
        r"^write mortal/epochs/\.gone", r"^unlink public/epochs/", r"^write audit/lock", r"^create audit/tile",
        r"^replace audit/checkpoint", r"^commit .*linked/maybe erased", r"^commit .*expired/erased",
    ):  # fmt: skip
        assert any(re.search(kind, what) for what in whats), kind


def test_each_step_of_a_short_life_fails(rejected: Life) -> None:
    points = rejected.points()
    assert len(points) >= 70
    fail_at_each(rejected, points)


def test_each_step_that_linking_adds_fails(rejected: Life, linked: Life) -> None:
    points = linked.points(but=rejected.kinds.keys())
    assert len(points) >= 30
    fail_at_each(linked, points)


def test_each_step_of_the_windows_end_fails(rejected: Life, linked: Life, expired: Life) -> None:
    points = expired.points(but=rejected.kinds.keys() | linked.kinds.keys())
    assert len(points) >= 30
    fail_at_each(expired, points)


def test_each_step_of_the_timers_run_fails(timed: Life) -> None:
    assert list(timed.ends.values()) == [(State.EXPIRED, Raw.ERASED)]
    points = timed.points()
    assert len(points) >= 70
    fail_at_each(timed, points)
