"""Whatever a round's days are: what is taken on its first day of delivery can be linked, a day earlier it is refused."""

from datetime import date, timedelta

from hypothesis import assume, given
from hypothesis import strategies as st

from policies.calendar import day_of, end_of_day, start_of_day
from policies.campaign import Days, round_of_delivery, rounds_of_objections
from policies.retention import erase_before, last_call

SOME_DAY = st.dates(date(2024, 1, 1), date(2032, 12, 31))


@st.composite
def rounds(draw: st.DrawFn, window: int | None = None) -> Days:
    enrol_until = draw(SOME_DAY)
    objections_from = enrol_until + timedelta(days=draw(st.integers(0, 14)))
    objections_until = objections_from + timedelta(days=draw(st.integers(0, 60)))
    deliver_until = objections_until + timedelta(days=draw(st.integers(-20, 60)))
    found = Days(enrol_until, objections_from, objections_until, deliver_until, window or draw(st.integers(1, 21)))
    assume(found.deliver_until >= found.deliver_from)
    return found


@given(rounds(), st.integers(0, 86_399))
def test_what_is_taken_on_the_first_day_can_be_linked_and_the_day_before_not_all_could(days: Days, second: int) -> None:
    first, closing = days.deliver_from, end_of_day(days.objections_until)
    received = start_of_day(first) + timedelta(seconds=second)
    assume(day_of(received) == first)
    deadline = erase_before(received, days.window_days)
    assert closing <= last_call(deadline) < deadline, "there is a day to link it in"
    earlier = erase_before(start_of_day(first - timedelta(days=1)), days.window_days)
    assert first == days.enrol_until or last_call(earlier) < closing


@given(rounds(), SOME_DAY)
def test_one_round_is_right_about_its_own_days(days: Days, day: date) -> None:
    named = {"r": days}
    assert round_of_delivery(day, named) == ("r" if day >= days.enrol_until else None)
    assert rounds_of_objections(day, named) == (["r"] if day >= days.objections_from else [])


@given(st.lists(rounds(21), min_size=2, max_size=4), SOME_DAY)
def test_no_delivery_is_refused_that_one_of_the_rounds_takes(several: list[Days], day: date) -> None:
    named = {str(number): days for number, days in enumerate(several)}
    taking = [name for name, days in named.items() if days.deliver_from <= day <= days.deliver_until]
    found = round_of_delivery(day, named)
    if taking:
        assert found in taking and named[found].deliver_until == min(named[name].deliver_until for name in taking)
    open_for_objections = {name for name, days in named.items() if days.objections_from <= day <= days.objections_until}
    assert open_for_objections <= set(rounds_of_objections(day, named))
