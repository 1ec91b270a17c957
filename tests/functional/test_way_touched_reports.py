"""A report is built while results are withdrawn from what it is made of: in whatever order, none that holds them may be published."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from sqlmodel import select

from gateway.cli import report as command
from gateway.cli.app import run
from gateway.store.durable import replace_durably
from gateway.store.models import PendingWithdrawal, Report
from gateway.store.touched import touch_reports
from gateway.worker import withdrawals
from tests.support.crash_plays import CAMPAIGN, SCHOOLS
from tests.support.objecting import CHILDREN, EMPTY, NUMBERS, Town

pytestmark = pytest.mark.slow

ONE, OTHER = SCHOOLS
BUILD = ["report", "build", "--campaign", CAMPAIGN, "--school", ONE.lower()]  # as somebody types it


@pytest.fixture
def town(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[Town]:
    """Everybody is linked; commands work in this home, at its own time."""
    town = Town.made(tmp_path_factory.mktemp("town"))
    town.populate(dict.fromkeys(CHILDREN, NUMBERS))
    town.hand_in(EMPTY)
    town.deliver(ONE, CHILDREN)
    town.deliver(OTHER, CHILDREN[4:])
    town.settle()
    monkeypatch.setattr(command, "home_of", lambda _: town.home)
    yield town
    town.home.ledger.engine.dispose()


def sluis(town: Town, *arguments: str) -> int:
    return run(["--home", str(town.home.path), "--json", *arguments])


def object_to(town: Town, *children: int) -> None:
    town.hand_in({ONE: [CHILDREN[at].objects("bsn") for at in children]})


def touched(town: Town) -> dict[str, bool]:
    with town.home.ledger.view() as session:
        return {row.school: row.touched_at is not None for row in session.exec(select(Report))}


def meanwhile(monkeypatch: pytest.MonkeyPatch, place: str, happens: Callable[[], None]) -> None:
    """`happens` just before the build does what `place` of its module does."""
    does = getattr(command, place)

    def then(*arguments: Any) -> Any:
        happens()
        return does(*arguments)

    monkeypatch.setattr(command, place, then)


def withdraw(town: Town) -> None:
    object_to(town, 0)
    assert town.sweep().rows == 3


def test_before_it_is_read_the_report_is_without_them(town: Town) -> None:
    """Pending ones are carried out by the command itself."""
    object_to(town, 0)
    assert sluis(town, *BUILD) == 0
    assert touched(town) == {ONE: False} and len(town.people()) == 5
    with town.home.ledger.view() as session:
        (built,) = session.exec(select(Report))
    assert built.objection_register == 2


@pytest.mark.parametrize("place", ["_rendered", "_keep", "_record"])
def test_while_it_is_made_it_comes_out_touched(town: Town, place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    meanwhile(monkeypatch, place, lambda: withdraw(town))
    assert sluis(town, *BUILD) == 0
    assert touched(town) == {ONE: True}
    monkeypatch.undo()
    monkeypatch.setattr(command, "home_of", lambda _: town.home)
    assert sluis(town, *BUILD) == 0
    assert touched(town) == {ONE: False}


def test_once_it_is_there_it_is_touched(town: Town) -> None:
    assert sluis(town, *BUILD) == 0
    withdraw(town)
    assert touched(town) == {ONE: True}


def test_a_pupil_of_another_school_touches_it_not(town: Town) -> None:
    town.deliver(OTHER, CHILDREN[3:4])  # after a move
    town.settle()
    assert sluis(town, "report", "build", "--campaign", CAMPAIGN) == 0
    town.hand_in({ONE: [CHILDREN[4].objects("bsn")]})
    assert town.sweep().rows == 6  # of both schools
    assert touched(town) == {ONE: True, OTHER: True}
    assert sluis(town, "report", "build", "--campaign", CAMPAIGN) == 0
    town.deliver(OTHER, CHILDREN[5:6])
    town.settle()
    with town.home.ledger.change("worker") as change:
        touch_reports(change, {OTHER: change.now - timedelta(days=1)})
    assert touched(town) == {ONE: False, OTHER: True}


def test_a_withdrawal_that_can_not_be_carried_out_builds_nothing(
    town: Town, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    object_to(town, 0)
    (part, *_) = sorted(town.home.results.rglob("*.parquet"))
    whole = part.read_bytes()
    replace_durably(part, b"damaged")
    assert sluis(town, *BUILD) == 3 and "can't be read" in capsys.readouterr().err
    replace_durably(part, whole)
    with town.home.ledger.view() as session:
        assert session.exec(select(PendingWithdrawal)).all() != []
    monkeypatch.setattr(command, "withdraw_persons", lambda *_: withdrawals.Withdrawal(complete=False))  # somebody reads them just then
    assert sluis(town, *BUILD) == 1 and "objected to are still in the results store" in capsys.readouterr().err
    assert touched(town) == {}


def test_a_school_of_which_nothing_is_left_loses_its_report(town: Town) -> None:
    assert sluis(town, *BUILD) == 0
    (file,) = [town.home.reports / row.file for row in _reports(town)]
    town.hand_in({ONE: [child.objects("bsn") for child in CHILDREN]})
    town.sweep()
    assert touched(town) == {ONE: True} and file.exists()
    assert sluis(town, *BUILD) == 0
    assert touched(town) == {} and not file.exists()
    assert [row.object for row in town.audited("report.removed")] == [ONE]
    assert sluis(town, *BUILD) == 1, "there is nothing to build"


def _reports(town: Town) -> list[Report]:
    with town.home.ledger.view() as session:
        return list(session.exec(select(Report)))
