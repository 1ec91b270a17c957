"""An objection is carried out in the very moment of a publication, or of a report's entry: one waits for the other, on either database."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, TimeoutError
from contextlib import suppress
from datetime import datetime, timedelta

import pytest
from sqlmodel import select

from gateway.store.ledger import Change, Ledger
from gateway.store.models import Bundle, DropSchool, Part, Report
from gateway.store.touched import check_publishable, schools_changed, touch_reports
from policies.errors import Refused
from tests.support.ledgers import CAMPAIGN, Clock, populate, received

SCHOOL = "01AA00"
#: whoever is let through is done by then; who waits, waits longer [s]
MOMENT = 0.5
HOUR = timedelta(hours=1)


@pytest.fixture
def published(ledger: Ledger, clock: Clock) -> Ledger:
    """A report of results that were linked an hour before."""
    with ledger.change("test") as change:
        populate(change)
    drop = received(ledger)
    with ledger.change("test") as change:
        change.session.add(DropSchool(drop=drop.id, school=SCHOOL, rows=1, pupils=1))
        change.session.add(Part(drop=drop.id, campaign=CAMPAIGN, file="p", rows=1, sha256="before"))
        change.session.add(report(clock()))
    return ledger


def report(at: datetime) -> Report:
    return Report(campaign=CAMPAIGN, school=SCHOOL, kind="growth", file="f", sha256="0", bytes=1, built_at=at)


def withdraw(change: Change) -> None:
    (part,) = change.session.exec(select(Part))
    part.sha256 = "after"
    change.session.add(part)
    touch_reports(change, {SCHOOL: change.now - HOUR})


def release(change: Change) -> None:
    check_publishable(change.session, CAMPAIGN, [report(change.now)])
    row = {"name": "x", "kind": "growth", "school": SCHOOL, "sha256": "0"}
    change.session.add(
        Bundle(
            id="b",
            campaign=CAMPAIGN,
            board="10001",
            version=1,
            file="b",
            bytes=1,
            sha256="0",
            contents=[row],
            visible_from=change.now + HOUR,
            created_at=change.now,
        )
    )


def enter(change: Change) -> None:
    changed = schools_changed(change.session, {part.drop: "before" for part in change.session.exec(select(Part))})
    made = report(change.now)
    made.touched_at = change.now if SCHOOL in changed else None
    change.session.merge(made)


def one_in_the_other(ledger: Ledger, first: Callable[[Change], None], second: Callable[[Change], None]) -> Future[None]:
    """`second` begins when `first` has done its part and has not committed; both are over when this returns."""

    def other() -> None:
        with ledger.change("other") as change:
            second(change)

    with ThreadPoolExecutor(1) as pool, ledger.change("one") as change:
        first(change)
        change.session.flush()
        waiting = pool.submit(other)
        with suppress(TimeoutError):
            waiting.exception(MOMENT)
        assert not waiting.done(), "it did not wait"
    return waiting


def touched(ledger: Ledger) -> bool:
    with ledger.view() as session:
        return session.get_one(Report, (CAMPAIGN, SCHOOL, "growth")).touched_at is not None


def test_what_is_released_while_it_is_touched_is_withdrawn(published: Ledger) -> None:
    one_in_the_other(published, release, withdraw).result()
    with published.view() as session:
        assert session.get_one(Bundle, "b").withdrawn_at is not None
    assert touched(published)


def test_what_is_touched_while_it_is_released_is_not_released(published: Ledger) -> None:
    with pytest.raises(Refused) as refused:
        one_in_the_other(published, withdraw, release).result()
    assert refused.value.code == "reports-touched"
    with published.view() as session:
        assert session.exec(select(Bundle)).all() == []


@pytest.mark.parametrize("order", [(enter, withdraw), (withdraw, enter)], ids=["entered first", "withdrawn first"])
def test_a_report_that_is_entered_at_that_moment_comes_out_touched(
    published: Ledger, order: tuple[Callable[[Change], None], Callable[[Change], None]]
) -> None:
    one_in_the_other(published, *order).result()
    assert touched(published)
