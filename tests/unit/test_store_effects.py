"""Effects: claimed before they are tried, tried again when they fail, and never lost between asking and doing."""

import threading
from datetime import timedelta

import pytest
from sqlmodel import select

from gateway.drop.lifecycle import Effect, Event
from gateway.store.database import open_database
from gateway.store.effects import LONGEST_ERASE_PAUSE, LONGEST_PAUSE, claim_next, due_drops, finish, retry_later
from gateway.store.ledger import Ledger
from gateway.store.models import Drop, EffectRow
from tests.support.ledgers import START, Clock, audit_rows, effects_of, populate, received


@pytest.fixture
def drop(ledger: Ledger) -> Drop:
    with ledger.change("administrator") as change:
        populate(change)
    return received(ledger)


def claim(ledger: Ledger, drop: Drop) -> tuple[int, str] | None:
    with ledger.change("worker") as change:
        row = claim_next(change, drop.id)
    return None if row is None or row.id is None else (row.id, row.kind)


def done(ledger: Ledger, effect_id: int) -> None:
    with ledger.change("worker") as change:
        finish(change, effect_id)


def ask(ledger: Ledger, drop: Drop, effect: Effect, **after: float) -> None:
    with ledger.change("worker") as change:
        change.ask(drop.id, effect, timedelta(**after))


def test_effects_are_done_in_the_order_in_which_they_were_asked_for(ledger: Ledger, drop: Drop) -> None:
    kinds = []
    while claimed := claim(ledger, drop):
        kinds.append(claimed[1])
        done(ledger, claimed[0])
    assert kinds == ["receipt", "check"]
    assert effects_of(ledger, drop.id) == [] and effects_of(ledger, drop.id, waiting=False) == ["receipt", "check"]
    assert claim(ledger, drop) is None


def test_what_a_dead_worker_had_claimed_is_claimed_again(ledger: Ledger, drop: Drop) -> None:
    assert claim(ledger, drop) == claim(ledger, drop) is not None


def test_what_is_asked_for_while_the_same_is_carried_out_is_not_lost(ledger: Ledger, drop: Drop) -> None:
    first = claim(ledger, drop)
    assert first is not None and first[1] == "receipt"
    ask(ledger, drop, Effect.RECEIPT)  # the one under way may have read before what is now true
    ask(ledger, drop, Effect.RECEIPT)
    done(ledger, first[0])
    assert effects_of(ledger, drop.id) == ["check", "receipt"]
    with ledger.change("worker") as change:
        kinds = [row.kind for row in change.session.exec(select(EffectRow).where(EffectRow.claimed_at == None)).all()]  # noqa: E711
    assert sorted(kinds) == ["check", "receipt"]


def test_asking_while_a_worker_claims_is_not_lost_either(ledger: Ledger, drop: Drop, ledger_url: str) -> None:
    """A change that asked, but has not committed, and a worker that claims meanwhile: it waits, and so sees what the change did."""
    claimed: list[tuple[int, str] | None] = []
    asked = threading.Event()

    def worker() -> None:
        engine = open_database(ledger_url)
        asked.wait(10)
        claimed.append(claim(Ledger(engine, Clock()), drop))
        engine.dispose()

    thread = threading.Thread(target=worker)
    thread.start()
    with ledger.change("administrator") as change:
        change.ask(drop.id, Effect.RECEIPT)
        change.session.flush()
        asked.set()
        thread.join(0.3)
        assert thread.is_alive(), "the claim did not wait: what this change tells is not looked at"
    thread.join(30)
    assert claimed and claimed[0] is not None and claimed[0][1] == "receipt"


def test_a_claim_that_has_not_committed_counts_for_who_asks(ledger: Ledger, drop: Drop, ledger_url: str) -> None:
    claimed = threading.Event()

    def asker() -> None:
        engine = open_database(ledger_url)
        claimed.wait(10)
        ask(Ledger(engine, Clock()), drop, Effect.RECEIPT)
        engine.dispose()

    thread = threading.Thread(target=asker)
    thread.start()
    with ledger.change("worker") as change:
        row = claim_next(change, drop.id)
        change.session.flush()
        assert row is not None and row.kind == "receipt"
        claimed.set()
        thread.join(0.3)
    thread.join(30)
    assert row.id is not None
    done(ledger, row.id)
    assert "receipt" in effects_of(ledger, drop.id), "asked for while it was being claimed, and lost"


def test_a_failure_is_told_by_its_code_and_tried_again_later_and_later(ledger: Ledger, drop: Drop, clock: Clock) -> None:
    first = claim(ledger, drop)
    assert first is not None
    pauses = []
    for attempt in range(1, 16):
        clock.forward(seconds=1)
        with ledger.change("worker") as change:
            row = retry_later(change, first[0], "disk-full")
        pauses.append(row.due_at - clock())
        assert row.attempts == attempt and row.last_error == "disk-full"
    assert pauses[:4] == [timedelta(seconds=2**n) for n in range(4)]
    assert pauses[-1] == LONGEST_PAUSE and pauses == sorted(pauses)
    rows = audit_rows(ledger, "effect.failed")
    assert len(rows) == 15 and rows[0].result == "error" and rows[0].detail == {"effect": "receipt", "error": "disk-full", "attempts": 1}
    following = claim(ledger, drop)
    assert following is not None and following[1] == "check", "one that waits does not hold up the next"
    done(ledger, following[0])
    assert claim(ledger, drop) is None
    clock.forward(hours=1)
    assert claim(ledger, drop) == first


def test_an_erasure_that_fails_is_tried_again_soon_and_for_ever(ledger: Ledger, drop: Drop, clock: Clock) -> None:
    ask(ledger, drop, Effect.ERASE)
    with ledger.view() as session:
        effect = session.exec(select(EffectRow).where(EffectRow.kind == "erase")).one()
    assert effect.id is not None
    for _attempt in range(200):
        clock.forward(minutes=10)
        with ledger.change("worker") as change:
            row = retry_later(change, effect.id, "EROFS")
        assert row.due_at - clock() <= LONGEST_ERASE_PAUSE == timedelta(minutes=10)
    assert "erase" in effects_of(ledger, drop.id)


def test_drops_that_wait_longest_come_first_and_those_not_yet_due_not_at_all(ledger: Ledger, drop: Drop, clock: Clock) -> None:
    clock.forward(minutes=1)
    second = received(ledger, 2)
    clock.forward(minutes=1)
    third = received(ledger, 3, Event.CHECKS_PASSED)
    with ledger.view() as session:
        assert due_drops(session, clock(), 10) == [drop.id, second.id, third.id]
        assert due_drops(session, clock(), 2) == [drop.id, second.id]
        assert due_drops(session, START, 10) == [drop.id]
        assert due_drops(session, START - timedelta(seconds=1), 10) == []
    for found in (drop, second):
        while claimed := claim(ledger, found):
            done(ledger, claimed[0])
    ask(ledger, second, Effect.ERASE, minutes=5)
    with ledger.view() as session:
        assert due_drops(session, clock(), 10) == [third.id]
        assert due_drops(session, clock() + timedelta(minutes=5), 10) == [third.id, second.id]
