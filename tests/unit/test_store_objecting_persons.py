"""Whom objections are about: in force with the newest register, asked to be withdrawn once, called off when the objection is."""

import threading
from collections.abc import Sequence
from dataclasses import replace
from datetime import date

import pytest
from sqlmodel import select

from gateway.drop.lifecycle import Event
from gateway.store.database import open_database
from gateway.store.ledger import Ledger
from gateway.store.models import Objection, Part
from gateway.store.objecting_persons import (
    add_persons,
    carried_out,
    lock_objections,
    newest_objections,
    pending_withdrawals,
    persons_in_force,
    withdrawal_is_pending,
)
from gateway.store.objections import KeyedObjection, hand_in, keyed_objections, newest_registers, objections_in_force
from tests.support.ledgers import CAMPAIGN, Clock, populate, received

FILED = date(2026, 2, 1)


@pytest.fixture
def linked(ledger: Ledger) -> Ledger:
    """A ledger with results."""
    with ledger.change("administrator") as change:
        populate(change)
    drop = received(ledger, 1, Event.CHECKS_PASSED, Event.PERSONS_FOUND, campaign=CAMPAIGN)
    with ledger.change("worker") as change:
        change.session.add(Part(drop=drop.id, campaign=CAMPAIGN, file=f"{CAMPAIGN}/{drop.id}.parquet", rows=1, sha256=""))
    return ledger


def objection(number: int, *persons: str, withdrawn: date | None = None) -> KeyedObjection:
    return KeyedObjection(number.to_bytes(16, "big"), None, FILED, withdrawn, frozenset(persons))


def hand(ledger: Ledger, rows: Sequence[KeyedObjection], school: str = "01AA00") -> None:
    with ledger.change("administrator") as change:
        hand_in(change, CAMPAIGN, {school: rows}, "cli")


def in_force(ledger: Ledger) -> set[str]:
    with ledger.view() as session:
        return persons_in_force(session)


def pending(ledger: Ledger) -> set[str]:
    with ledger.view() as session:
        found = set(pending_withdrawals(session))
        assert withdrawal_is_pending(session) == bool(found)
        return found


def test_persons_are_those_of_the_newest_register_and_of_no_withdrawn_objection(linked: Ledger) -> None:
    hand(linked, [objection(1, "p1", "p2"), objection(2, "p3", withdrawn=FILED), objection(3)])
    hand(linked, [objection(4, "p4")], "01AB00")
    assert in_force(linked) == {"p1", "p2", "p4"}
    with linked.view() as session:
        register = newest_registers(session, CAMPAIGN)["01AA00"]
        kept = keyed_objections(session, register)
    assert [row.persons for row in kept] == [{"p1", "p2"}, set(), set()]
    hand(linked, [*kept[1:], objection(5, "p5")])
    assert in_force(linked) == {"p4", "p5"}, "the older version is in force no more"


def test_who_is_newly_objected_is_withdrawn_and_who_is_objected_no_more_is_not(linked: Ledger, clock: Clock) -> None:
    hand(linked, [objection(1, "p1"), objection(2, "p2")])
    first = clock()
    assert pending(linked) == {"p1", "p2"}
    with linked.change("worker") as change:
        carried_out(change.session, {"p1"})
    clock.forward(hours=1)
    hand(linked, [objection(1, "p1"), objection(2, "p2"), objection(3, "p3")])
    assert pending(linked) == {"p2", "p3"}, "p1 was carried out and is not new"
    with linked.view() as session:
        assert pending_withdrawals(session) == {"p2": first, "p3": clock()}
    hand(linked, [objection(2, "p2"), objection(3, "p3", withdrawn=FILED)])
    assert pending(linked) == {"p2"}
    hand(linked, [objection(1, "p1")])
    assert pending(linked) == {"p1"}, "objected anew"


def test_one_of_two_objections_withdrawn_leaves_the_other(linked: Ledger) -> None:
    hand(linked, [objection(1, "p1")])
    hand(linked, [objection(1, "p1")], "01AB00")
    hand(linked, [objection(1, "p1", withdrawn=FILED)])
    assert in_force(linked) == {"p1"} == pending(linked)
    hand(linked, [], "01AB00")
    assert in_force(linked) == set() == pending(linked)


def test_without_any_result_nothing_is_asked(linked: Ledger) -> None:
    with linked.change("worker") as change:
        change.session.delete(change.session.exec(select(Part)).one())
    hand(linked, [objection(1, "p1")])
    assert in_force(linked) == {"p1"}
    assert pending(linked) == set()


def test_one_pupil_named_twice_counts_once(linked: Ledger) -> None:
    by_number = KeyedObjection(None, b"o" * 16, FILED, None, frozenset({"p1"}))
    hand(linked, [objection(1), objection(1), objection(2, "p1"), by_number, replace(by_number, onderwijsnummer_mac=b"q" * 16)])
    with linked.view() as session:
        assert newest_registers(session, CAMPAIGN)["01AA00"].objections == 2


def test_an_objection_is_withdrawn_by_its_own_pupil_alone() -> None:
    """A register knew the first one's number as two persons'; the second of them has an objection of its own."""
    first, second = objection(1, "p1", "p2"), objection(2, "p2")
    other_number = replace(objection(0, "p2"), bsn_mac=None, onderwijsnummer_mac=b"o" * 16)
    assert [one.is_of(other_number) for one in (first, second)] == [False, True]
    assert [one.is_of(objection(1)) for one in (first, second)] == [True, False], "by the same number, whoever that is"
    assert not objection(1).is_of(objection(2)), "two whom nobody knows are not one"


def test_a_new_population_register_adds_persons_and_takes_none_away(linked: Ledger) -> None:
    hand(linked, [objection(1, "p1"), objection(2)])
    with linked.change("worker") as change:
        carried_out(change.session, {"p1"})
    with linked.change("administrator") as change:
        lock_objections(change.session)
        (one, *_), (two, *_) = objections_in_force(change.session, CAMPAIGN)
        assert add_persons(change, CAMPAIGN, {one: {"p1"}, two: {"p2", "p3"}}) == 2
    assert in_force(linked) == {"p1", "p2", "p3"}
    assert pending(linked) == {"p2", "p3"}
    with linked.change("administrator") as change:
        assert add_persons(change, CAMPAIGN, {two: {"p2"}}) == 0
    assert in_force(linked) == {"p1", "p2", "p3"}


def test_what_was_read_of_objections_is_told_from_what_came_since(linked: Ledger) -> None:
    def newest() -> int:
        with linked.view() as session:
            return newest_objections(session)

    before = newest()
    hand(linked, [])
    assert newest() == before, "an empty register changes nothing"
    hand(linked, [objection(1)])
    assert newest() > before


@pytest.mark.postgres
@pytest.mark.parametrize("ledger_url", ["postgresql"], indirect=True)
def test_results_are_not_committed_while_objections_change(linked: Ledger, ledger_url: str) -> None:
    """And two that commit results do not wait for each other."""
    ended = threading.Event()

    def look(seen: list[int]) -> None:
        engine = open_database(ledger_url)
        try:
            with Ledger(engine, Clock()).change("worker") as change:
                lock_objections(change.session, to_change=False)
                seen.append(newest_objections(change.session))
        finally:
            engine.dispose()
            ended.set()

    seen: list[int] = []
    with linked.change("worker") as change:
        lock_objections(change.session, to_change=False)
        look(seen)
    ended.clear()
    thread = threading.Thread(target=look, args=(seen,))
    with linked.change("administrator") as change:
        lock_objections(change.session)
        thread.start()
        assert not ended.wait(0.5)
        hand_in(change, CAMPAIGN, {"01AA00": [objection(1)]}, "cli")
        assert not ended.is_set()
    thread.join(60)
    with linked.view() as session:
        objections = session.exec(select(Objection)).all()
    assert len(objections) == 1
    assert seen[1] > seen[0]
