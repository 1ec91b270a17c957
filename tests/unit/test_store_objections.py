"""Objection registers: a version per hand-in, the newest counts whole, and who waits for it is looked at again."""

import threading
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta

import pytest
from sqlmodel import select

from gateway.drop.lifecycle import Effect, Event
from gateway.store.campaigns import create_campaign
from gateway.store.database import open_database
from gateway.store.ledger import Ledger
from gateway.store.models import DropSchool, EffectRow, Objection, ObjectionRegister
from gateway.store.objections import (
    KeyedObjection,
    hand_in,
    keyed_objections,
    newest_registers,
    objections_in_force,
)
from tests.support.ledgers import CAMPAIGN, Clock, audit_rows, effects_of, populate, received

FILED = date(2026, 2, 1)


@pytest.fixture
def populated(ledger: Ledger) -> Ledger:
    with ledger.change("administrator") as change:
        populate(change)
    return ledger


def objection(number: int, withdrawn: date | None = None) -> KeyedObjection:
    return KeyedObjection(number.to_bytes(16, "big"), None, FILED, withdrawn)


def hand(ledger: Ledger, registers: dict[str, Sequence[KeyedObjection]], source: str = "cli") -> dict[str, int]:
    with ledger.change("administrator") as change:
        return hand_in(change, CAMPAIGN, registers, source)


def in_force(ledger: Ledger) -> set[tuple[str, bytes | None, bytes | None]]:
    with ledger.view() as session:
        of = select(Objection.id, ObjectionRegister.school).join(ObjectionRegister, ObjectionRegister.id == Objection.register_id)
        schools = dict(session.exec(of).all())
        return {(schools[number], bsn, ond) for number, bsn, ond in objections_in_force(session, CAMPAIGN)}


def test_a_register_is_kept_with_its_version_and_told_without_a_mac(populated: Ledger) -> None:
    assert hand(populated, {"01AA00": [objection(1), objection(2, date(2026, 2, 3))], "01AB00": []}) == {"01AA00": 1, "01AB00": 1}
    with populated.view() as session:
        found = newest_registers(session, CAMPAIGN)
        assert sorted(found) == ["01AA00", "01AB00"], "an empty register counts, one not handed in does not"
        assert (found["01AA00"].objections, found["01AB00"].objections) == (1, 0)
        assert keyed_objections(session, found["01AA00"]) == [objection(1), objection(2, date(2026, 2, 3))]
    rows = {row.object: row.detail for row in audit_rows(populated, "objections.")}
    assert rows["01AA00"] == {"campaign": CAMPAIGN, "version": 1, "objections": 1, "source": "cli"}
    assert (1).to_bytes(16, "big").hex() not in repr(rows)


def test_withdrawn_objections_are_not_in_force(populated: Ledger) -> None:
    hand(populated, {"01AA00": [objection(1), objection(2, date(2026, 2, 3))]})
    assert in_force(populated) == {("01AA00", objection(1).bsn_mac, None)}


def test_the_newest_version_counts_whole(populated: Ledger) -> None:
    hand(populated, {"01AA00": [objection(1), objection(2)], "01AB00": [objection(3)]})
    assert hand(populated, {"01AA00": [objection(4)]}, source="d20260220-aaaaaaaaaaaaaaaa") == {"01AA00": 2}
    assert in_force(populated) == {("01AA00", objection(4).bsn_mac, None), ("01AB00", objection(3).bsn_mac, None)}
    hand(populated, {"01AA00": []})
    assert in_force(populated) == {("01AB00", objection(3).bsn_mac, None)}
    with populated.view() as session:
        versions = session.exec(
            select(ObjectionRegister.version).where(ObjectionRegister.school == "01AA00").order_by(ObjectionRegister.version)
        ).all()
    assert list(versions) == [1, 2, 3], "what was handed in before stays answerable"


def test_objections_by_onderwijsnummer_and_of_another_campaign_stay_apart(populated: Ledger) -> None:
    by_number = KeyedObjection(None, b"o" * 16, FILED)
    hand(populated, {"01AA00": [by_number]})
    with populated.change("administrator") as change:
        create_campaign(change, "2026-E", *[date(2026, 6, day) for day in (1, 2, 3, 4)], datetime(2026, 7, 1, tzinfo=UTC))
        assert hand_in(change, "2026-E", {"01AA00": [objection(9)]}, "cli") == {"01AA00": 1}
    assert in_force(populated) == {("01AA00", None, b"o" * 16)}


def test_a_register_wakes_the_drops_that_wait_for_its_schools_and_no_others(populated: Ledger, clock: Clock) -> None:
    waiting = received(populated, 1, Event.CHECKS_PASSED, campaign=CAMPAIGN)
    elsewhere = received(populated, 2, Event.CHECKS_PASSED, campaign=CAMPAIGN)
    linked = received(populated, 3, Event.CHECKS_PASSED, Event.PERSONS_FOUND, campaign=CAMPAIGN)
    unread = received(populated, 4, campaign=CAMPAIGN)
    schools = {waiting.id: ["01AA00", "01AB00"], elsewhere.id: ["02BB00"], linked.id: ["01AA00"], unread.id: ["01AA00"]}
    with populated.change("worker") as change:
        for drop, codes in schools.items():
            for code in codes:
                change.session.add(DropSchool(drop=drop, school=code, rows=1, pupils=1))
        for row in change.session.exec(select(EffectRow)):
            row.claimed_at = row.done_at = change.now
    clock.forward(minutes=3)
    hand(populated, {"01AA00": []})
    assert effects_of(populated, waiting.id) == ["link"]
    assert [effects_of(populated, drop.id) for drop in (elsewhere, linked, unread)] == [[], [], []]
    with populated.view() as session:
        (row,) = session.exec(select(EffectRow).where(EffectRow.drop == waiting.id, EffectRow.done_at == None)).all()  # noqa: E711
    assert row.due_at == clock()


def test_a_drop_that_would_look_again_in_an_hour_looks_at_once(populated: Ledger, clock: Clock) -> None:
    drop = received(populated, 1, Event.CHECKS_PASSED, campaign=CAMPAIGN)
    with populated.change("worker") as change:
        change.session.add(DropSchool(drop=drop.id, school="01AA00", rows=1, pupils=1))
        for row in change.session.exec(select(EffectRow)):
            row.claimed_at = row.done_at = change.now
        change.session.flush()
        change.ask(drop.id, Effect.LINK, timedelta(hours=1))
    clock.forward(minutes=3)
    hand(populated, {"01AA00": []})
    with populated.view() as session:
        (row,) = session.exec(select(EffectRow).where(EffectRow.drop == drop.id, EffectRow.done_at == None)).all()  # noqa: E711
    assert row.due_at == clock()


def test_registers_of_one_school_handed_in_at_once_both_count_in_turn(populated: Ledger, ledger_url: str) -> None:
    """Each adds one objection to what is there, as `sluis objection add` does; neither may be lost."""
    start, errors = threading.Barrier(3), []

    def add(number: int) -> None:
        engine = open_database(ledger_url)
        try:
            start.wait(10)
            with Ledger(engine, Clock()).change("administrator") as change:
                newest = newest_registers(change.session, CAMPAIGN, to_change=True).get("01AA00")
                before = keyed_objections(change.session, newest) if newest else []
                hand_in(change, CAMPAIGN, {"01AA00": [*before, objection(number)]}, "cli")
        except Exception as error:
            errors.append(error)
        finally:
            engine.dispose()

    threads = [threading.Thread(target=add, args=(number,)) for number in (1, 2, 3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert errors == []
    assert in_force(populated) == {("01AA00", objection(number).bsn_mac, None) for number in (1, 2, 3)}
