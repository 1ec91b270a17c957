"""kill -9 before every durable step of carrying out late objections: the results are out of the store once, and nothing is left lying."""

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from signal import SIGKILL

import pytest
from sqlmodel import select

from gateway.store.home import Home
from gateway.store.invariants import check_home
from gateway.store.models import Part
from gateway.worker.withdrawals import ACTION, ROWS
from tests.support.crash_plays import SCHOOLS, open_home
from tests.support.crashing import Nursery, left_behind
from tests.support.objecting import CHILDREN, EMPTY, NUMBERS, RESULTS, Town
from tests.support.steps import Step, killed_at, points_of

pytestmark = [pytest.mark.crash, pytest.mark.slow]

STAYING = {child.person: RESULTS for child in CHILDREN[2:]}


@dataclass(frozen=True)
class Life:
    """A home in which two persons' results are to go out of two of its three parts, and what an uninterrupted worker makes of it."""

    nursery: Nursery
    before: Path
    steps: list[Step]
    parts: dict[str, tuple[str, str]]
    files: set[str]

    def copy(self) -> Path:
        home = self.nursery.room / "home"
        shutil.rmtree(home, ignore_errors=True)
        shutil.copytree(self.before, home)
        return home


@pytest.fixture(scope="module")
def life(nursery: Nursery) -> Life:
    town = Town.made(nursery.room)
    before = nursery.room / "before"
    town.hand_in(EMPTY)
    town.populate(dict.fromkeys(CHILDREN, NUMBERS))
    for children, way in ((CHILDREN[:3], "bsn"), (CHILDREN[:1], "address"), (CHILDREN[3:], "bsn")):
        town.deliver(SCHOOLS[0], children, way)
        town.settle()
    town.hand_in({SCHOOLS[1]: [child.objects("onderwijsnummer") for child in CHILDREN[:2]]})
    town.home.ledger.engine.dispose()
    (nursery.room / "home").rename(before)
    after = nursery.room / "after"
    shutil.copytree(before, after)
    child = nursery.start("work", after)
    assert child.wait() == 0
    with opened(after) as home:
        parts = parts_of(home)
    return Life(nursery, before, child.steps, parts, left_behind(after, "audit"))


@contextmanager
def opened(path: Path) -> Iterator[Home]:
    home = open_home(path)
    try:
        yield home
    finally:
        home.ledger.engine.dispose()


def parts_of(home: Home) -> dict[str, tuple[str, str]]:
    with home.ledger.view() as session:
        return {part.drop: (part.file, part.sha256) for part in session.exec(select(Part))}


def assert_withdrawn_once(life: Life, path: Path) -> None:
    with opened(path) as home:
        town = Town(home)
        assert check_home(home, at_rest=True) == []
        assert town.people() == STAYING
        assert {drop: sha256 for drop, (_, sha256) in parts_of(home).items()} == {drop: sha256 for drop, (_, sha256) in life.parts.items()}
        assert [row.detail["rows"] for row in town.audited(ACTION)] == [3 * RESULTS]
        assert sorted(row.object for row in town.audited(ROWS)) == sorted(drop for drop, (file, _) in life.parts.items() if ".1." in file)
        assert left_behind(path, "audit") == life.files


def test_the_walk_sees_each_step_of_a_withdrawal(life: Life) -> None:
    done = [step.what for step in life.steps if "results/" in step.what]
    assert sum(what.startswith("replace results/") for what in done) == 2, "two parts are written anew"
    assert sum(bool(re.fullmatch(r"unlink results/[^.]*/[^.]*\.parquet", what)) for what in done) == 2, "and two go"
    assert_withdrawn_once(life, life.nursery.room / "after")


def test_killed_at_every_step_of_a_withdrawal(life: Life) -> None:
    steps = list({step.kind: step for step in reversed(life.steps)}.values())
    for step, point in points_of(steps):
        home = life.copy()
        with killed_at(step, point):
            assert life.nursery.start("work", home, point).wait() == -SIGKILL
            with opened(home) as cut_off:
                assert check_home(cut_off) == []
            assert life.nursery.start("work", home).wait() == 0
            assert_withdrawn_once(life, home)
