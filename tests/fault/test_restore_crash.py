"""kill -9, and failing disks, while a home is saved or restored: there is all of it or nothing that could start, and a second run works."""

import shutil
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import pytest

from gateway.store.config import Configuration
from gateway.store.drops import holding
from gateway.store.home import Home, create_home
from gateway.store.invariants import check_home
from policies.errors import SluisError
from tests.support.crashing import MEMORY, Nursery
from tests.support.disasters import Lost, beside, lose_a_small_one, members, work_on
from tests.support.restore_plays import BACKUP, HOME
from tests.support.steps import Fails, Point, Step, killed_at

pytestmark = [pytest.mark.crash, pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def nursery() -> Iterator[Nursery]:
    nursery = Nursery("tests.support.restore_plays")
    yield nursery
    nursery.close()


@pytest.fixture(scope="module")
def lost(nursery: Nursery) -> Lost:
    folder = nursery.room / "lost"
    template = nursery.room / "template"
    create_home(template, Configuration()).ledger.engine.dispose()
    folder.mkdir()
    return lose_a_small_one(folder, template)


@pytest.fixture
def place(nursery: Nursery) -> Iterator[Path]:
    place = nursery.room / "place"
    place.mkdir()
    yield place
    shutil.rmtree(place)


def given(lost: Lost) -> dict[str, str]:
    return {"backup": str(lost.backup), "identity": lost.identity.reveal().decode(), "log": str(lost.log)}


def sample(steps: Sequence[Step], most: int) -> list[Step]:
    """The last five, and of the others some of every kind of thing that is done, evenly."""
    chosen = {step.number: step for step in (*steps[:: max(len(steps) // (most - 5), 1)], *steps[-5:])}
    return [chosen[number] for number in sorted(chosen)]


def empty(place: Path) -> None:
    for path in place.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()


def holding_nothing(home: Home) -> bool:
    """Whether everything was replayed: the log says of each delivery that it is erased."""
    with home.ledger.view() as session:
        return not holding(session)


def check_restored(place: Path, lost: Lost, nursery: Nursery) -> bool:
    """Whether there was a home already; afterwards there is one, and nothing beside it."""
    home = place / HOME
    was_there = home.exists()
    for left in place.iterdir():
        if left != home:
            with suppress(SluisError):
                opened = Home.open(left)  # only the very last step comes after the one that lets it be opened
                assert check_home(opened) == [] and holding_nothing(opened)
                opened.ledger.engine.dispose()
    if not was_there:
        assert nursery.start("bring_back", place, **given(lost)).wait() == 0
    assert beside(place) == {HOME}
    opened = work_on(home)
    assert check_home(opened, at_rest=True) == []
    opened.ledger.engine.dispose()
    return was_there


def test_a_killed_restore_leaves_nothing_that_starts_and_the_next_one_works(nursery: Nursery, lost: Lost, place: Path) -> None:
    child = nursery.start("bring_back", place, **given(lost))
    assert child.wait() == 0
    steps = child.steps
    assert len(steps) > 100 and any(step.is_commit for step in steps)
    outcomes = []
    for step in sample(steps, 25):
        empty(place)
        with killed_at(step):
            assert nursery.start("bring_back", place, Point(number=step.number), **given(lost)).wait() == -9
            outcomes.append(check_restored(place, lost, nursery))
    assert not all(outcomes) and outcomes == sorted(outcomes), "once the home is there, it stays"


@pytest.mark.parametrize("way", [Fails.LOST, Fails.DONE])
def test_a_step_that_fails_fails_the_restore_or_nothing(nursery: Nursery, lost: Lost, place: Path, way: Fails) -> None:
    child = nursery.start("bring_back", place, Point(fails=Fails.NEVER), **given(lost))
    assert child.wait() == 0
    for step in sample(child.steps, 12):
        empty(place)
        with killed_at(step, Point(number=step.number, fails=way)):
            assert nursery.start("bring_back", place, Point(number=step.number, fails=way), **given(lost)).wait() == 0
            left = [path for path in place.iterdir() if path.name != HOME]
            assert not any(beside(path) for path in left), "a restore that ends by itself leaves nothing but a name"
            check_restored(place, lost, nursery)


def test_keys_that_outlived_the_home_are_never_in_neither_place(nursery: Nursery, lost: Lost, place: Path) -> None:
    """Those that go on are in the new home before they leave the old medium; those that are dead never come back."""
    mortal = nursery.room / "mortal"
    objections = Path("objections") / "2026-M"

    def outlived() -> None:
        shutil.rmtree(mortal, ignore_errors=True)
        (mortal / "objections").mkdir(parents=True)
        (mortal / objections).write_bytes(bytes(range(32)))
        (mortal / "drops").mkdir()
        (mortal / "drops" / "d20260101-aaaaaaaaaaaaaaaa").write_bytes(b"{}\nkey")

    outlived()
    child = nursery.start("bring_back", place, **given(lost), mortal=str(mortal))
    assert child.wait() == 0
    for step in sample(child.steps, 10):
        outlived()
        empty(place)
        with killed_at(step):
            assert nursery.start("bring_back", place, Point(number=step.number), **given(lost), mortal=str(mortal)).wait() == -9
            home = place / HOME
            kept = home / "mortal" / objections if home.exists() else mortal / objections
            assert kept.read_bytes() == bytes(range(32))
            assert not list((home / "mortal" / "drops").glob("d*"))


def test_a_killed_backup_is_not_there_or_whole(nursery: Nursery, lost: Lost, place: Path) -> None:
    home = nursery.room / "alive"
    shutil.copytree(lost.home, home)
    arguments = {"of": str(home), "recipient": lost.recipient}
    child = nursery.start("save", place, **arguments)
    assert child.wait() == 0 and len(child.steps) >= 4
    whole = len(members(place / BACKUP, lost.identity))
    for step in child.steps:
        empty(place)
        with killed_at(step):
            assert nursery.start("save", place, Point(number=step.number), **arguments).wait() == -9
            if (place / BACKUP).exists():
                assert len(members(place / BACKUP, lost.identity)) >= whole
            else:
                assert all(name.startswith(".") for name in beside(place))
    assert MEMORY is None or nursery.room.is_relative_to(MEMORY)
