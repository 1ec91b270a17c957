"""Questions about drops: which hold data, which are the same, which name is used up."""

from datetime import timedelta

import pytest

from gateway.drop.lifecycle import Event, RawEvent
from gateway.store.deliveries import delivery_of, newest_deliveries
from gateway.store.drops import drops, holding, same_bytes
from gateway.store.ledger import Ledger, drop_of
from tests.support.ledgers import CAMPAIGN, START, Clock, populate, received


@pytest.fixture
def populated(ledger: Ledger) -> Ledger:
    with ledger.change("administrator") as change:
        populate(change)
    return ledger


def test_drops_are_asked_for_by_campaign_and_vendor_oldest_first(populated: Ledger, clock: Clock) -> None:
    later = received(populated, 1, at=clock() + timedelta(hours=1), campaign=CAMPAIGN)
    first = received(populated, 2, campaign=CAMPAIGN, vendor="parnassys")
    received(populated, 3)
    with populated.view() as session:
        assert [drop.id for drop in drops(session, campaign=CAMPAIGN)] == [first.id, later.id]
        assert [drop.id for drop in drops(session, CAMPAIGN, "parnassys")] == [first.id]
        assert len(drops(session)) == 3


@pytest.mark.parametrize(
    ("events", "counts"),
    [
        ((), False),  # neither is read yet: the one that is read first counts
        ((Event.CHECKS_PASSED,), True),
        ((Event.CHECKS_PASSED, Event.PERSONS_FOUND), True),
        ((Event.OBJECTIONS_KEPT,), True),
        ((Event.CHECKS_FAILED,), False),
        ((Event.TRUNCATED,), False),
        ((Event.WINDOW_ENDED,), False),
    ],
)
def test_the_same_bytes_count_once_when_they_were_taken(populated: Ledger, events: tuple[Event, ...], counts: bool) -> None:
    same = {"sha256": "ab" * 32}
    earlier = received(populated, 1, *events, **same)
    again = received(populated, 2, **same)
    strangers = [
        received(populated, 3, vendor="parnassys", **same),
        received(populated, 4, folder="bezwaren", **same),
        received(populated, 5),
    ]
    with populated.view() as session:
        found = same_bytes(session, again)
        assert (found.id if found else None) == (earlier.id if counts else None)
        assert [same_bytes(session, drop) for drop in strangers] == [None] * 3


def test_what_holds_data_is_told_until_it_is_erased(populated: Ledger, clock: Clock) -> None:
    first, second = received(populated, 1), received(populated, 2, Event.CHECKS_FAILED, at=START + timedelta(days=1))
    third = received(populated, 3, Event.CHECKS_FAILED)
    with populated.change("worker") as change:
        for drop in (second, third):
            change.advance_raw(drop_of(change.session, drop.id), RawEvent.ERASURE_BEGUN)
        change.advance_raw(drop_of(change.session, third.id), RawEvent.ERASURE_VERIFIED)
    with populated.view() as session:
        assert [drop.id for drop in holding(session)] == [first.id, second.id], "maybe erased is not erased"
        assert [drop.id for drop in holding(session, before=first.erase_before)] == [first.id], "due at its very moment"
        assert holding(session, before=first.erase_before - timedelta(microseconds=1)) == []


def test_a_name_is_used_up_unless_what_came_under_it_was_cut_short(populated: Ledger, clock: Clock) -> None:
    name = {"file_name": "x.csv.age"}
    with populated.view() as session:
        assert delivery_of(session, "cito", "leveringen", "x.csv.age") is None
    cut = received(populated, 1, Event.TRUNCATED, **name)
    received(populated, 2, vendor="parnassys", **name)
    with populated.view() as session:
        found = delivery_of(session, "cito", "leveringen", "x.csv.age")
        assert found is not None and found.received_at == cut.received_at.timestamp() and not found.final
        assert delivery_of(session, "cito", "bezwaren", "x.csv.age") is None
    whole = received(populated, 3, at=clock() + timedelta(minutes=1), **name)
    with populated.view() as session:
        found = delivery_of(session, "cito", "leveringen", "x.csv.age")
        assert found is not None and found.received_at == whole.received_at.timestamp() and found.final
        moments = [drop.received_at.timestamp() for drop in (whole, cut)]
        assert [drop.received_at for drop in newest_deliveries(session, "cito", "leveringen", 10)] == moments
        assert [drop.received_at for drop in newest_deliveries(session, "cito", "leveringen", 1)] == moments[:1]
