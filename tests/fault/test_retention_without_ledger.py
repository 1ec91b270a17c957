"""`sluis retention run` while the database is gone: killed before every durable step, or with every step failing once.

The next run has to end every key whose window is over, and the log has to tell of it; once the database is back, all is as if nothing
had happened. Of steps that only differ in a number the first is enough, unless SLUIS_EVERY_CRASH is set.
"""

import os
import re
import shutil
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from signal import SIGKILL

import pytest

from audit.entry import Entry
from gateway.store.home import Home
from gateway.store.invariants import check_home
from tests.support.crash_plays import DELIVERY, SHIFT, clock_of, deliver, delivery, make_home, open_home
from tests.support.crashing import Nursery
from tests.support.steps import Fails, Point, Step, failures_of, killed_at, points_of

pytestmark = [pytest.mark.crash, pytest.mark.slow]

#: when every window is over [s]
LATE = SHIFT + timedelta(days=23).total_seconds()


@pytest.fixture(scope="module")
def before(nursery: Nursery) -> Path:
    """A delivery that waits in vain; its database was moved away, whole, to the folder `database`."""
    path = nursery.room / "before"
    home = make_home(path)
    deliver(home, DELIVERY, delivery(home))
    home.ledger.engine.dispose()
    assert nursery.start("work", path).wait() == 0
    aside = nursery.room / "database"
    aside.mkdir()
    for file in path.glob("sluis.sqlite*"):
        shutil.move(file, aside)
    return path


@pytest.fixture(scope="module")
def steps(nursery: Nursery, before: Path) -> Sequence[Step]:
    """What an undisturbed run does, in the finest steps."""
    child = nursery.start("retain", copy(nursery, before), Point(fails=Fails.NEVER), shift=LATE)
    assert child.wait() == 0
    if os.environ.get("SLUIS_EVERY_CRASH"):
        return child.steps
    return list({step.kind: step for step in reversed(child.steps)}.values())


def copy(nursery: Nursery, before: Path) -> Path:
    home = nursery.room / "home"
    shutil.rmtree(home, ignore_errors=True)
    shutil.copytree(before, home)
    return home


def assert_keys_ended(path: Path) -> None:
    """Of what the window ended no key is left, and the log tells when each ended; no database was made."""
    home = Home.open_without_ledger(path, clock_of(LATE))
    assert home.mortal.names("drops") == [] and home.mortal.unfinished("drops") == home.mortal.unfinished("epochs") == []
    told = [Entry.from_bytes(data) for data in home.audit_log().entries()]
    epochs = {entry.object for entry in told if entry.action == "epoch.destroyed"}
    # an intent that failed to be written keeps no key alive
    assert {entry.object for entry in told if entry.action == "epoch.destruction-begun"} <= epochs and len(epochs) > 0
    assert all(day.isoformat() not in epochs for day in home.epochs.days())
    assert home.audit_log().verify(home.audit_verifier()).sound
    assert not list(path.glob("sluis.sqlite*"))


def assert_recovers(nursery: Nursery, path: Path) -> None:
    assert nursery.start("retain", path, shift=LATE).wait() == 0
    assert_keys_ended(path)
    for file in (nursery.room / "database").iterdir():
        shutil.copy(file, path)
    assert nursery.start("work", path, shift=LATE).wait() == 0
    home = open_home(path, LATE)
    try:
        assert check_home(home, at_rest=True) == []
    finally:
        home.ledger.engine.dispose()


def test_the_run_ends_both_keys_in_durable_steps(steps: Sequence[Step]) -> None:
    for kind in (r"^rename mortal/drops/", r"^write mortal/drops/\.gone", r"^unlink mortal/epochs/\.gone", r"^unlink public/epochs/"):
        assert any(re.search(kind, step.what) for step in steps), kind
    assert not any(step.is_commit for step in steps), "no database takes part"


def test_killed_at_every_step(nursery: Nursery, before: Path) -> None:
    child = nursery.start("retain", copy(nursery, before), shift=LATE)
    assert child.wait() == 0
    points = points_of(child.steps)  # the coarser ones, between which a process dies
    assert len(points) >= 40
    for step, point in points:
        home = copy(nursery, before)
        with killed_at(step, point):
            assert nursery.start("retain", home, point, shift=LATE).wait() == -SIGKILL
            assert_recovers(nursery, home)


def test_each_step_fails(nursery: Nursery, before: Path, steps: Sequence[Step]) -> None:
    points = failures_of(steps)
    assert len(points) >= 60
    for step, point in points:
        home = copy(nursery, before)
        with killed_at(step, point):
            child = nursery.start("retain", home, point, shift=LATE)
            assert child.wait() == 0 and child.failed is not None
            assert_recovers(nursery, home)
