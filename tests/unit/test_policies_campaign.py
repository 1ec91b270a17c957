"""A round's days: what is taken when, for which round, and which calendars and changes of them can't be kept."""

from datetime import UTC, date, datetime, timedelta

import pytest

from policies.calendar import end_of_day, start_of_day
from policies.campaign import (
    Days,
    check_change,
    check_days,
    next_delivery,
    next_objections,
    require_objections_open,
    round_of_delivery,
    rounds_of_objections,
)
from policies.errors import Refused

#: seed 000: parents object until 15 February
MIDYEAR = Days(date(2026, 1, 15), date(2026, 1, 22), date(2026, 2, 15), date(2026, 4, 1))
PUBLISH = datetime(2026, 6, 1, tzinfo=UTC)


def days(**other: date | int) -> Days:
    return Days(**{**vars(MIDYEAR), **other})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("closes", "window", "first"),
    [
        (date(2026, 2, 15), 21, date(2026, 1, 27)),
        (date(2026, 4, 10), 21, date(2026, 3, 22)),  # 29 March has 23 hours: nothing is lost by it
        (date(2026, 11, 1), 21, date(2026, 10, 14)),  # 25 October has 25 hours: the 13th would be an hour short of its last call
        (date(2026, 2, 15), 14, date(2026, 2, 3)),
        (date(2026, 2, 15), 1, date(2026, 2, 16)),  # only what comes after the window closed
    ],
)
def test_the_first_day_of_delivery_follows_from_both_windows(closes: date, window: int, first: date) -> None:
    assert days(objections_until=closes, deliver_until=closes, window_days=window).deliver_from == first


def test_nothing_is_delivered_before_enrolment_has_ended() -> None:
    assert days(enrol_until=date(2026, 2, 10), objections_from=date(2026, 2, 11)).deliver_from == date(2026, 2, 10)


def test_a_calendar_in_order_is_taken_to_its_edges() -> None:
    check_days(MIDYEAR, PUBLISH)
    same = date(2026, 2, 15)
    edge = days(enrol_until=same, objections_from=same, objections_until=same, deliver_until=same)
    check_days(edge, end_of_day(same))


@pytest.mark.parametrize(
    ("other", "code"),
    [
        ({"enrol_until": date(2026, 1, 23)}, "campaign-days-disordered"),
        ({"objections_until": date(2026, 1, 21)}, "campaign-days-disordered"),
        ({"objections_from": date(2026, 2, 16)}, "campaign-days-disordered"),
        ({"deliver_until": date(2026, 1, 26)}, "campaign-nothing-linkable"),
        ({"deliver_until": date(2026, 1, 28), "window_days": 14}, "campaign-nothing-linkable"),
    ],
)
def test_a_calendar_that_can_not_be_kept_is_refused(other: dict[str, date | int], code: str) -> None:
    with pytest.raises(Refused) as refusal:
        check_days(days(**other), PUBLISH)
    assert refusal.value.code == code and refusal.value.hint


def test_a_calendar_in_which_nothing_can_be_linked_names_the_first_day_that_could() -> None:
    with pytest.raises(Refused, match="2026-01-27") as refusal:
        check_days(days(deliver_until=date(2026, 1, 26)), PUBLISH)
    assert "2026-01-27" in refusal.value.hint
    check_days(days(deliver_until=date(2026, 1, 27)), PUBLISH)


def test_nothing_is_published_before_it_can_be_linked() -> None:
    closes = end_of_day(MIDYEAR.objections_until)
    assert closes == datetime(2026, 2, 15, 23, tzinfo=UTC)
    with pytest.raises(Refused) as refusal:
        check_days(MIDYEAR, closes - timedelta(seconds=1))
    assert refusal.value.code == "campaign-published-unlinked"


# ---------------------------------------------------------------- several rounds

#: begins to take deliveries on 21 March, while MIDYEAR still does; its objections from 17 March
NEXT = Days(date(2026, 3, 10), date(2026, 3, 17), date(2026, 4, 9), date(2026, 6, 1))
ROUNDS = {"m": MIDYEAR, "next": NEXT}


@pytest.mark.parametrize(
    ("day", "expected"),
    [
        (date(2026, 1, 14), None),
        (date(2026, 1, 15), "m"),  # too early
        (date(2026, 1, 27), "m"),
        (date(2026, 3, 15), "m"),  # the other has begun, and takes nothing yet
        (date(2026, 3, 21), "m"),  # both take deliveries
        (date(2026, 4, 1), "m"),
        (date(2026, 4, 2), "next"),
        (date(2026, 6, 2), "next"),  # too late
    ],
)
def test_a_delivery_belongs_to_the_round_that_takes_it_and_ends_first(day: date, expected: str | None) -> None:
    assert round_of_delivery(day, ROUNDS) == expected


def test_between_two_rounds_a_delivery_is_late_for_one_until_the_other_has_begun() -> None:
    rounds = {"m": MIDYEAR, "e": Days(date(2026, 6, 10), date(2026, 6, 17), date(2026, 7, 20), date(2026, 9, 1))}
    assert [round_of_delivery(date(2026, 6, day), rounds) for day in (9, 10, 30)] == ["m", "e", "e"]
    assert rounds["e"].deliver_from == date(2026, 7, 1)


def test_of_two_rounds_that_take_nothing_yet_the_first_to_begin_is_told() -> None:
    """The vendor is to come back as soon as it can; what ended before does not matter once another round has begun."""
    sooner = Days(date(2026, 6, 1), date(2026, 6, 8), date(2026, 7, 10), date(2026, 8, 1))
    later = Days(date(2026, 6, 1), date(2026, 6, 8), date(2026, 7, 20), date(2026, 9, 1))
    assert sooner.deliver_from < later.deliver_from
    assert round_of_delivery(date(2026, 6, 2), {"over": MIDYEAR, "later": later, "sooner": sooner}) == "sooner"


def test_a_round_that_takes_deliveries_goes_before_one_that_only_ends_sooner() -> None:
    short = Days(date(2026, 2, 1), date(2026, 2, 1), date(2026, 3, 15), date(2026, 3, 20))
    assert short.deliver_from == date(2026, 2, 24)
    rounds = {"long": MIDYEAR, "short": short}
    assert [round_of_delivery(day, rounds) for day in (date(2026, 2, 23), date(2026, 2, 24), date(2026, 3, 21))] == [
        "long",
        "short",
        "long",
    ]


@pytest.mark.parametrize(
    ("day", "expected"),
    [
        (date(2026, 1, 21), []),
        (date(2026, 1, 22), ["m"]),
        (date(2026, 2, 16), ["m"]),  # late, and it counts
        (date(2026, 3, 16), ["m"]),
        (date(2026, 3, 17), ["m", "next"]),  # an objection holds in both
        (date(2026, 4, 1), ["m", "next"]),
        (date(2026, 4, 2), ["next"]),
        (date(2026, 7, 1), ["next"]),  # everything is over, and it is late for the last
    ],
)
def test_an_objection_register_counts_for_every_round_that_takes_objections(day: date, expected: list[str]) -> None:
    assert rounds_of_objections(day, ROUNDS) == expected


def test_between_two_rounds_a_register_comes_too_early_for_the_one_that_has_begun() -> None:
    rounds = {"m": MIDYEAR, "e": Days(date(2026, 6, 10), date(2026, 6, 17), date(2026, 7, 20), date(2026, 9, 1))}
    assert [rounds_of_objections(date(2026, 6, day), rounds) for day in (9, 10, 16, 17)] == [["m"], [], [], ["e"]]
    assert next_objections(date(2026, 6, 10), rounds) == date(2026, 6, 17)


def test_what_comes_before_any_round_is_told_when_the_first_begins() -> None:
    day = date(2026, 1, 1)
    assert (next_objections(day, ROUNDS), next_delivery(day, ROUNDS)) == (date(2026, 1, 22), date(2026, 1, 27))
    assert (next_objections(date(2026, 6, 2), ROUNDS), next_delivery(date(2026, 6, 2), ROUNDS)) == (None, None)


def test_objections_are_taken_from_their_first_day_and_late_ones_for_ever() -> None:
    first = MIDYEAR.objections_from
    require_objections_open(first, first)
    require_objections_open(first, date(2027, 1, 1))
    with pytest.raises(Refused) as refusal:
        require_objections_open(first, first - timedelta(days=1))
    assert refusal.value.code == "objections-too-early" and "2026-01-22" in refusal.value.hint


# ---------------------------------------------------------------- other days

OPEN = start_of_day(date(2026, 2, 1))


@pytest.mark.parametrize(
    ("other", "now", "code"),
    [
        ({"deliver_until": date(2026, 5, 1)}, OPEN, None),
        ({"deliver_until": date(2026, 2, 1)}, OPEN, None),
        ({"deliver_until": date(2026, 1, 31)}, OPEN, "campaign-window-shortened"),
        ({"objections_until": date(2026, 3, 1)}, OPEN, None),
        ({"objections_until": date(2026, 2, 1)}, OPEN, None),
        ({"objections_until": date(2026, 1, 31)}, OPEN, "campaign-window-shortened"),
        ({"objections_until": date(2026, 3, 1)}, end_of_day(date(2026, 2, 15)) - timedelta(seconds=1), None),
        ({"objections_until": date(2026, 3, 1)}, end_of_day(date(2026, 2, 15)), "campaign-window-closed"),
        ({"objections_from": date(2026, 2, 2)}, OPEN, "campaign-window-shortened"),
        ({"objections_from": date(2026, 1, 30)}, OPEN, None),
        ({"objections_from": date(2026, 1, 30)}, start_of_day(date(2026, 1, 21)), None),
        ({"enrol_until": date(2026, 1, 20)}, OPEN, None),
    ],
)
def test_days_change_as_long_as_nothing_promised_is_broken(other: dict[str, date | int], now: datetime, code: str | None) -> None:
    if code is None:
        check_change(MIDYEAR, days(**other), now)
        return
    with pytest.raises(Refused) as refusal:
        check_change(MIDYEAR, days(**other), now)
    assert refusal.value.code == code
