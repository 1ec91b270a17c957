"""Two workers link two deliveries of the same schools at the same moment, or one links what another takes back: nothing counts twice.

On SQLite, and on PostgreSQL, where two changes really go on at once.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest
from sqlmodel import select

from gateway.cli.results import results_that_count
from gateway.drop.lifecycle import Effect, State
from gateway.store.counting import Rival
from gateway.store.drops import drops
from gateway.store.effects import claim_next, due_drops, finish
from gateway.store.home import Home
from gateway.store.models import Drop, Part, Replacement
from gateway.worker import linking
from gateway.worker.linking import link
from gateway.worker.reading import Work
from gateway.worker.register import PersonRegister
from gateway.worker.stages import carry_out
from gateway.worker.withdrawing import withdraw
from policies.rules import packaged_rules
from tests.support.crash_plays import REGISTER, SCHOOLS, deliver, make_home, register
from tests.support.deliveries import age, rows, write_csv

pytestmark = pytest.mark.slow


@pytest.fixture
def home(tmp_path: Path, database_url: str) -> Iterator[Home]:
    made = make_home(tmp_path / "home", database=database_url)
    yield made
    made.ledger.engine.dispose()


@pytest.fixture
def work(home: Home) -> Work:
    """Two deliveries of the same 40 pupils that were checked and wait for their registers, which are in."""
    work = Work(home, packaged_rules("nco-lvs-1"), PersonRegister(home))
    for seed in (1, 2):
        scored = [{**row, "score": f"{200 + seed}.0"} for row in rows(200, schools=SCHOOLS)]
        deliver(home, f"leveringen/{seed}.csv.age", age(write_csv(scored), home.recipients.public()))
    while settle(work, but=Effect.LINK):
        pass
    deliver(home, REGISTER, register(home))
    while settle(work, but=Effect.LINK):
        pass
    assert [drop.state for drop in all_drops(home)] == ["accepted", "accepted", "registered"]
    return work


def all_drops(home: Home) -> list[Drop]:
    with home.ledger.view() as session:
        return drops(session)


def settle(work: Work, but: Effect | None = None) -> bool:
    """Do what is due once, drop by drop, and leave effects of one kind for later; whether there was anything."""
    done = False
    with work.home.ledger.view() as session:
        due = due_drops(session, work.home.clock(), 100)
    for drop in due:
        with work.home.ledger.change("worker") as change:
            effect = claim_next(change, drop)
            if effect is None or effect.kind == but:
                change.session.rollback()
                continue
        assert effect.id is not None
        carry_out(work, Effect(effect.kind), drop)
        with work.home.ledger.change("worker") as change:
            finish(change, effect.id)
        done = True
    return done


def when_all_have_counted(monkeypatch: pytest.MonkeyPatch, and_then: Callable[[], None], parties: int) -> None:
    """Who links waits, once, after it has looked what its results replace and before it says so."""
    barrier, counted, once = Barrier(parties, and_then), linking.counted_rivals, list(range(parties))

    def wait(home: Home, drop: Drop, file: str) -> dict[Rival, int]:
        found = counted(home, drop, file)
        if once:
            once.pop()
            barrier.wait(60)
        return found

    monkeypatch.setattr(linking, "counted_rivals", wait)


def test_two_deliveries_that_are_linked_at_once_know_of_each_other(work: Work, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second, _ = all_drops(work.home)
    when_all_have_counted(monkeypatch, lambda: None, parties=2)
    with ThreadPoolExecutor(2) as threads:
        list(threads.map(lambda drop: link(work, drop.id), (first, second)))
    assert sorted(drop.state for drop in all_drops(work.home)[:2]) == ["accepted", "linked"], "one looks again"
    while settle(work):
        pass
    assert_only_the_second_counts(work.home, first, second)


def assert_only_the_second_counts(home: Home, first: Drop, second: Drop) -> None:
    assert [drop.state for drop in all_drops(home)[:2]] == [State.LINKED, State.LINKED]
    with home.ledger.view() as session:
        (pair,) = session.exec(select(Replacement)).all()
        parts = {part.drop: part.rows for part in session.exec(select(Part))}
    assert (pair.later, pair.earlier) == (second.id, first.id)
    with results_that_count(home) as (frame, _):
        found = frame.collect()
    assert pair.rows == parts[first.id] == parts[second.id] == found.height > 100
    assert set(found["score"]) == {202.0}


def test_one_that_is_taken_back_while_another_is_linked_replaces_nothing(work: Work, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second, _ = all_drops(work.home)
    link(work, second.id)
    when_all_have_counted(monkeypatch, lambda: withdraw(work.home, second.id, "onjuist", "administrator"), parties=1)
    link(work, first.id)
    assert all_drops(work.home)[0].state == "accepted", "it looks again"
    while settle(work):
        pass
    assert [drop.state for drop in all_drops(work.home)[:2]] == [State.LINKED, State.WITHDRAWN]
    with work.home.ledger.view() as session:
        assert session.exec(select(Replacement)).all() == []
    with results_that_count(work.home) as (frame, _):
        assert set(frame.collect()["score"]) == {201.0}
