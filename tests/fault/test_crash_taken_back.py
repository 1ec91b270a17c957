"""kill -9 of the worker before every durable step of a withdrawal: the delivery is taken back once and whole, and nothing of it is left."""

import shutil
from pathlib import Path
from signal import SIGKILL

import pytest
from sqlmodel import select

from gateway.cli.results import results_that_count
from gateway.drop.lifecycle import Raw, State
from gateway.store.drops import drops
from gateway.store.home import Home
from gateway.store.invariants import check_home
from gateway.store.models import AuditRow, Drop, Part, Replacement
from tests.fault.test_crash_worker import Life, opened
from tests.support.crash_plays import DELIVERY, REGISTER, SCHOOLS, deliver, delivery, make_home, register
from tests.support.crashing import Nursery, left_behind
from tests.support.deliveries import age, rows, write_csv
from tests.support.steps import killed_at

pytestmark = [pytest.mark.crash, pytest.mark.slow]

#: delivered first, and replaced for the greater part by what is taken back
OLDER = "leveringen/ouder.csv.age"
WITHDRAWAL = "leveringen/intrekking.csv.age"


@pytest.fixture(scope="module")
def withdrawing(nursery: Nursery) -> Life:
    """Two deliveries are linked and erased, of which the second replaces results of the first; its withdrawal has just come in."""
    before = nursery.room / "withdrawing"
    home = make_home(before)
    deliver(home, REGISTER, register(home))
    deliver(home, OLDER, age(write_csv(rows(150, schools=SCHOOLS)), home.recipients.public()))
    deliver(home, DELIVERY, delivery(home))
    home.ledger.engine.dispose()
    assert nursery.start("work", before).wait() == 0
    with opened(before) as linked:
        _, older, later = sorted_drops(linked)
        assert (older.state, later.state, later.raw) == (State.LINKED, State.LINKED, Raw.ERASED)
        with linked.ledger.view() as session:
            assert [pair.later for pair in session.exec(select(Replacement))] == [later.id]
        deliver(linked, WITHDRAWAL, age(f"levering;reden\n{later.id};onjuist\n".encode(), linked.recipients.public()))
    after = nursery.room / "withdrawn"
    shutil.copytree(before, after)
    child = nursery.start("work", after)
    assert child.wait() == 0
    return Life(nursery, before, child.steps, left_behind(after, "audit"), b"")


def sorted_drops(home: Home) -> list[Drop]:
    with home.ledger.view() as session:
        return drops(session)


def assert_withdrawn_once(life: Life, path: Path) -> None:
    with opened(path) as home:
        _, older, later, order = sorted_drops(home)
        assert (older.state, later.state, order.state) == (State.LINKED, State.WITHDRAWN, State.REGISTERED)
        assert {drop.raw for drop in (older, later, order)} == {Raw.ERASED} and order.counts["withdrawn"] == 1
        with home.ledger.view() as session:
            assert [part.drop for part in session.exec(select(Part))] == [older.id]
            assert session.exec(select(Replacement)).all() == []
            told = [(row.action, row.object) for row in session.exec(select(AuditRow))]
        assert told.count(("drop.withdrawn", later.id)) == told.count(("drop.registered", order.id)) == 1
        assert not [action for action, _ in told if action == "effect.failed"], "dying is no failed attempt"
        with results_that_count(home) as (frame, read):
            assert frame.collect().height > 100 and read.keys() == {older.id}
        assert check_home(home, at_rest=True) == []
        assert left_behind(path, "audit") == life.files, "the files that an uninterrupted worker leaves, and no other"


def test_the_walk_passes_the_end_of_the_results(withdrawing: Life) -> None:
    what = [step.what for step in withdrawing.steps]
    withdrawn = next(place for place, step in enumerate(what) if step.startswith("commit") and "withdrawn" in step)
    removed = next(place for place, step in enumerate(what) if step.startswith("unlink results/"))
    assert withdrawn < removed, "first nobody counts them"


def test_killed_at_every_step_of_a_withdrawal(withdrawing: Life) -> None:
    points = [both for stage in sorted({step.stage for step in withdrawing.steps}) for both in withdrawing.points(stage)]
    assert len(points) > 30
    for step, point in points:
        home = withdrawing.copy()
        with killed_at(step, point):
            assert withdrawing.nursery.start("work", home, point).wait() == -SIGKILL
            assert withdrawing.nursery.start("work", home).wait() == 0
            assert_withdrawn_once(withdrawing, home)
