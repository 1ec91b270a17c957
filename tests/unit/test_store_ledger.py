"""The one commit point: state, audit entry and effects become true together, or not at all."""

import threading
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import inspect, text
from sqlmodel import select

from gateway.drop.lifecycle import Effect, Event, Raw, RawEvent, State, next_raw, next_state
from gateway.store.database import open_database
from gateway.store.ledger import Ledger, drop_of
from gateway.store.models import AuditRow, Drop, EffectRow, Vendor
from policies.errors import NotFound, Refused
from tests.support.ledgers import START, Clock, a_drop, audit_rows, effects_of, populate, received


class Boom(Exception):
    pass


def snapshot(ledger: Ledger) -> dict[str, list[tuple[Any, ...]]]:
    """Every row of every table."""
    with ledger.engine.connect() as connection:
        tables = sorted(inspect(connection).get_table_names())
        return {table: sorted(map(repr, connection.execute(text(f'SELECT * FROM "{table}"')))) for table in tables}  # type: ignore[misc]


@pytest.fixture
def populated(ledger: Ledger) -> Ledger:
    with ledger.change("administrator") as change:
        populate(change)
    return ledger


def test_a_received_drop_has_its_state_its_entry_and_its_effects(populated: Ledger) -> None:
    drop = received(populated)
    with populated.view() as session:
        kept = drop_of(session, drop.id)
        rows = session.exec(select(EffectRow).where(EffectRow.drop == drop.id)).all()
    assert (kept.state, kept.raw, kept.received_at, kept.waiting_for) == ("received", "held", START, [])
    assert [row.kind for row in rows] == ["receipt", "check"] and {row.due_at for row in rows} == {START}
    (row,) = audit_rows(populated, "drop.")
    assert (row.action, row.object, row.actor, row.origin, row.result, row.leaf) == ("drop.received", drop.id, "intake", "cito", "ok", None)
    assert row.detail == {
        "vendor": "cito", "folder": "leveringen", "bytes": 1234, "sha256": "0" * 64, "epoch": "2026-02-20",
    }  # fmt: skip


@pytest.mark.parametrize("events", [(), (Event.CHECKS_PASSED,), (Event.CHECKS_PASSED, Event.PERSONS_FOUND)])
def test_a_change_that_raises_leaves_nothing(populated: Ledger, events: tuple[Event, ...]) -> None:
    before = snapshot(populated)
    with pytest.raises(Boom), populated.change("worker") as change:
        drop = a_drop(change.now)
        change.receive(drop)
        for event in events:
            change.advance(drop, event)
        change.session.flush()
        raise Boom
    assert snapshot(populated) == before


def test_what_the_audit_log_would_refuse_undoes_the_change(populated: Ledger) -> None:
    drop = received(populated)
    before = snapshot(populated)
    with pytest.raises(Refused) as refusal, populated.change("worker") as change:
        change.advance(drop_of(change.session, drop.id), Event.CHECKS_FAILED, reason="leerling 111222333")
    assert refusal.value.code == "entry-identifies" and "111222333" not in str(refusal.value)
    assert snapshot(populated) == before


@pytest.mark.parametrize("events", [(), (Event.CHECKS_PASSED,), (Event.CHECKS_PASSED, Event.PERSONS_FOUND), (Event.TRUNCATED,)])
def test_an_illegal_event_leaves_everything_as_it_was(populated: Ledger, events: tuple[Event, ...]) -> None:
    drop = received(populated, 1, *events)
    before = snapshot(populated)
    refused = 0
    for event in Event:
        try:
            next_state(State(drop.state), event)
        except Refused:
            refused += 1
            with pytest.raises(Refused), populated.change("worker") as change:
                change.advance(drop_of(change.session, drop.id), event)
    with pytest.raises(Refused), populated.change("worker") as change:
        change.advance_raw(drop_of(change.session, drop.id), RawEvent.ERASURE_VERIFIED)
    assert refused and snapshot(populated) == before


def test_an_illegal_event_that_is_caught_inside_a_change_still_changes_nothing(populated: Ledger) -> None:
    drop = received(populated)
    before = snapshot(populated)
    with populated.change("worker") as change:
        found = drop_of(change.session, drop.id)
        with pytest.raises(Refused):
            change.advance(found, Event.PERSONS_FOUND)
        with pytest.raises(Refused):
            change.advance_raw(found, RawEvent.ERASURE_BEGUN)
    assert snapshot(populated) == before


def test_erasure_is_told_twice_and_keeps_its_moment(populated: Ledger, clock: Clock) -> None:
    drop = received(populated, 0, Event.CHECKS_FAILED)
    for event in (RawEvent.ERASURE_BEGUN, RawEvent.ERASURE_BEGUN, RawEvent.ERASURE_VERIFIED):
        clock.forward(minutes=1)
        with populated.change("worker") as change:
            change.advance_raw(drop_of(change.session, drop.id), event)
    with populated.view() as session:
        kept = drop_of(session, drop.id)
    assert (kept.raw, kept.erased_at) == ("erased", START + timedelta(minutes=3))
    actions = [row.action for row in audit_rows(populated, "drop.erasure")]
    assert actions == ["drop.erasure-begun", "drop.erasure-begun", "drop.erasure-verified"]


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(events=st.lists(st.one_of(st.sampled_from(Event), st.sampled_from(RawEvent)), max_size=12))
def test_random_events_keep_row_entries_and_effects_in_step(lite: Ledger, clock: Clock, events: list[Event | RawEvent]) -> None:
    with lite.change("administrator") as change:
        if change.session.get(Vendor, "cito") is None:
            populate(change)
        number = len(change.session.exec(select(Drop)).all())
    drop = received(lite, number)
    state, raw = State.RECEIVED, Raw.HELD
    entries = ["drop.received"]
    effects = ["receipt", "check"]
    for event in events:
        clock.forward(microseconds=1)  # an entry's id sorts by its time
        try:
            with lite.change("worker") as change:
                found = drop_of(change.session, drop.id)
                if isinstance(event, Event):
                    change.advance(found, event)
                    state = next_state(state, event)
                    entries.append(f"drop.{state}")
                    effects += [kind for kind in {"accepted": ["link"], "incomplete": []}.get(state, ["erase"]) if kind not in effects]
                else:
                    change.advance_raw(found, event)
                    raw = next_raw(state, raw, event)
                    entries.append(f"drop.{event.value.replace(' ', '-')}")
        except Refused:
            continue
    with lite.view() as session:
        kept = drop_of(session, drop.id)
        told = session.exec(select(AuditRow.action).where(AuditRow.object == drop.id).order_by(AuditRow.id)).all()
    assert (kept.state, kept.raw) == (state, raw)
    assert (kept.erased_at is not None) == (raw is Raw.ERASED)
    assert list(told) == entries
    assert sorted(effects_of(lite, drop.id)) == sorted(effects), "a waiting effect is asked for once"


def test_an_audit_entry_sorts_by_time_and_then_by_order(populated: Ledger, clock: Clock) -> None:
    with populated.change("a") as change:
        for number in range(20):
            change.audit("test.step", f"o{number}")
    clock.forward(microseconds=1)
    with populated.change("b") as change:
        change.audit("test.step", "later")
    assert [row.object for row in audit_rows(populated, "test.")] == [*(f"o{number}" for number in range(20)), "later"]


def test_a_drop_that_is_not_there_is_said_so(populated: Ledger) -> None:
    with pytest.raises(NotFound) as missing, populated.view() as session:
        drop_of(session, "d20260101-nothing")
    assert missing.value.code == "no-such-drop" and missing.value.exit_status == 1


def test_a_moment_without_a_zone_never_gets_in(populated: Ledger) -> None:
    with pytest.raises(Exception, match="needs a zone"), populated.change("test") as change:
        change.session.add(Vendor(name="zoneless", created_at=START.replace(tzinfo=None)))


def test_changes_at_once_queue_and_none_is_lost(populated: Ledger, ledger_url: str) -> None:
    """Each thread has an engine of its own, as each role has; every one adds to the same counter, reading before it writes."""
    drop = received(populated)
    threads, times = 4, 5
    start, errors = threading.Barrier(threads), []

    def work() -> None:
        engine = open_database(ledger_url)
        try:
            ledger = Ledger(engine, Clock())
            start.wait(10)
            for _ in range(times):
                with ledger.change("worker") as change:
                    found = drop_of(change.session, drop.id)
                    found.findings_total += 1
                    change.session.add(found)
                    change.audit("test.counted", drop.id)
        except Exception as error:
            errors.append(error)
        finally:
            engine.dispose()

    workers = [threading.Thread(target=work) for _ in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert errors == []
    with populated.view() as session:
        assert drop_of(session, drop.id).findings_total == threads * times
    assert len(audit_rows(populated, "test.counted")) == threads * times


def test_a_second_change_waits_for_the_first(populated: Ledger, ledger_url: str) -> None:
    drop = received(populated)
    inside, order = threading.Event(), []

    def second() -> None:
        engine = open_database(ledger_url)
        inside.wait(10)
        with Ledger(engine, Clock()).change("second") as change:
            order.append(f"second saw {drop_of(change.session, drop.id).state}")
        engine.dispose()

    other = threading.Thread(target=second)
    other.start()
    with populated.change("first") as change:
        found = drop_of(change.session, drop.id)
        change.session.flush()
        inside.set()
        other.join(0.3)  # it can't end while this change is open, however long it gets
        assert other.is_alive() and order == []
        change.advance(found, Event.CHECKS_PASSED)
        order.append("first done")
    other.join(30)
    assert order == ["first done", "second saw accepted"]


def test_readers_see_whole_changes_only(populated: Ledger, ledger_url: str) -> None:
    drop = received(populated)
    engine = open_database(ledger_url)
    reader = Ledger(engine, Clock())
    with populated.change("worker") as change:
        change.advance(drop_of(change.session, drop.id), Event.CHECKS_PASSED)
        change.session.flush()
        with reader.view() as session:
            kept = session.get(Drop, drop.id)
            assert kept is not None and kept.state == "received"
    with reader.view() as session:
        kept = session.get(Drop, drop.id)
        assert kept is not None and kept.state == "accepted"
    engine.dispose()


def test_an_effect_moves_forward_and_never_back(populated: Ledger) -> None:
    drop = received(populated, 0, Event.CHECKS_PASSED)
    assert effects_of(populated, drop.id) == ["receipt", "check", "link"]
    for minutes, expected in ((10, 0), (-5, -5), (3, -5)):
        with populated.change("worker") as change:
            change.ask(drop.id, Effect.LINK, after=timedelta(minutes=minutes))
        with populated.view() as session:
            (row,) = session.exec(select(EffectRow).where(EffectRow.drop == drop.id, EffectRow.kind == "link")).all()
        assert row.due_at == START + timedelta(minutes=expected)
