"""The rules as values: days and school years, retention, when a drop may be linked, identifiers."""

from datetime import UTC, date, datetime, timedelta

import numpy as np
import pytest

from gateway.drop.record import IDENTIFIER_COLUMNS, RESULT_COLUMNS
from policies import calendar, identifiers, retention
from policies.errors import Refused, SluisError, Unsound, code_of
from policies.objections import may_link
from policies.rules import Role, packaged_rules

DEADLINE = date(2026, 2, 15)


@pytest.mark.parametrize(
    ("moment", "over"),
    [
        (datetime(2026, 2, 15, 22, 59, 59, tzinfo=UTC), False),  # 23:59:59 in Amsterdam
        (datetime(2026, 2, 15, 23, 0, tzinfo=UTC), True),  # midnight in Amsterdam
        (datetime(2026, 2, 14, 23, 0, tzinfo=UTC), False),  # the last day itself has just begun
    ],
)
def test_a_period_includes_its_last_day_in_amsterdam(moment: datetime, over: bool) -> None:
    assert (calendar.day_of(moment) > DEADLINE) is over
    assert (moment >= calendar.end_of_day(DEADLINE)) is over


def test_a_day_of_changing_the_clock_has_23_or_25_hours() -> None:
    def length(day: date) -> timedelta:
        return calendar.end_of_day(day).astimezone(UTC) - calendar.start_of_day(day).astimezone(UTC)

    assert length(date(2026, 3, 29)) == timedelta(hours=23)
    assert length(date(2026, 10, 25)) == timedelta(hours=25)


def test_a_moment_without_zone_has_no_day() -> None:
    with pytest.raises(ValueError, match="zone"):
        calendar.day_of(datetime(2026, 1, 1))


@pytest.mark.parametrize(
    ("day", "schooljaar"), [(date(2026, 7, 31), "2025-2026"), (date(2026, 8, 1), "2026-2027"), (date(2000, 1, 1), "1999-2000")]
)
def test_a_school_year_begins_in_august(day: date, schooljaar: str) -> None:
    assert calendar.schooljaar_of(day) == schooljaar


def test_history_counts_school_years() -> None:
    assert calendar.schooljaren_taken(date(2026, 2, 1), 2) == ["2023-2024", "2024-2025", "2025-2026"]


@pytest.mark.parametrize("text", ["2025", "2025-2027", "2025-2025", "2025/2026", "25-26", "2025-2026 "])
def test_what_is_no_school_year(text: str) -> None:
    with pytest.raises(Refused) as error:
        calendar.first_year(text)
    assert text not in str(error.value.message)


def test_retention_counts_days_of_24_hours_whatever_the_clock_does() -> None:
    received = datetime(2026, 3, 20, 12, 0, tzinfo=calendar.AMSTERDAM)  # summer time begins in between
    deadline = retention.erase_before(received)
    assert deadline == received.astimezone(UTC) + timedelta(days=21)
    assert retention.last_call(deadline) == deadline - timedelta(days=1)
    assert not retention.is_due(deadline, deadline - timedelta(seconds=1))
    assert retention.is_due(deadline, deadline)


def test_warnings_come_at_their_days_once_each_and_none_is_made_up_for() -> None:
    deadline = datetime(2026, 3, 30, 1, 30, tzinfo=UTC)

    def before(days: float) -> datetime:
        return deadline - timedelta(days=days)

    assert retention.WARN_DAYS == (7, 3, 1)
    nearness = {8: None, 7.001: None, 7: 7, 3.001: 7, 3: 3, 1.001: 3, 1: 1, 0.001: 1, 0: 0, -5: 0}
    assert {days: retention.nearness(deadline, before(days)) for days in nearness} == nearness
    assert retention.warning_due(deadline, before(7), ()) == 7
    assert retention.warning_due(deadline, before(6), {7}) is None
    assert retention.warning_due(deadline, before(2), {7}) == 3
    assert retention.warning_due(deadline, before(0.5), ()) == 1, "not 7 and 3 as well"
    assert retention.warning_due(deadline, before(0.5), {7, 3, 1}) is None
    assert retention.warning_due(deadline, deadline, ()) is None, "then it ends"


def test_a_days_key_ends_with_the_window_of_the_days_last_moment() -> None:
    last = datetime(2026, 3, 1, 23, 59, 59, tzinfo=UTC)
    assert retention.erase_before(last) < retention.epoch_end(date(2026, 3, 1)) == datetime(2026, 3, 23, tzinfo=UTC)
    assert retention.epoch_end(date(2026, 3, 1), 5) == datetime(2026, 3, 7, tzinfo=UTC)


def test_retention_refuses_what_it_can_not_count() -> None:
    with pytest.raises(ValueError, match="zone"):
        retention.erase_before(datetime(2026, 1, 1))
    with pytest.raises(ValueError, match="1 day"):
        retention.erase_before(datetime(2026, 1, 1, tzinfo=UTC), 0)


@pytest.mark.parametrize("last_call", [False, True])
def test_nothing_is_linked_while_parents_may_still_object(last_call: bool) -> None:
    decision = may_link(False, {"01AA00": True, "02AA00": True}, last_call)
    assert not decision.may_begin
    assert decision.waiting_for == ("objection-window",)


def test_a_drop_waits_for_the_registers_of_all_its_schools() -> None:
    decision = may_link(True, {"01AA00": True, "02AA00": False}, last_call=False)
    assert decision.linkable == frozenset()
    assert decision.waiting_for == ("objection-register 02AA00",)
    assert decision.without_register == ("02AA00",)


def test_at_the_last_call_the_schools_with_a_register_go_on() -> None:
    decision = may_link(True, {"01AA00": True, "02AA00": False}, last_call=True)
    assert decision.linkable == {"01AA00"}
    assert decision.waiting_for == ("objection-register 02AA00",)


def test_a_complete_drop_is_linked_as_soon_as_the_window_has_closed() -> None:
    decision = may_link(True, {"01AA00": True}, last_call=False)
    assert decision.linkable == {"01AA00"}
    assert decision.waiting_for == decision.without_register == ()


@pytest.mark.parametrize("last_call", [False, True])
def test_a_school_without_register_is_never_linked(last_call: bool) -> None:
    assert may_link(True, {"01AA00": False}, last_call).linkable == frozenset()


def test_identifiers_are_read_and_refused_without_their_value() -> None:
    assert identifiers.parse_bsn(" 111222333 ") == 111222333
    assert identifiers.parse_onderwijsnummer("101222331") == 101222331
    assert identifiers.parse_school(" 01aa00 ") == "01AA00"
    for parse, text in (
        (identifiers.parse_bsn, "111222334"),
        (identifiers.parse_bsn, "1112223330"),
        (identifiers.parse_bsn, "000000000"),
        (identifiers.parse_bsn, "12a"),
        (identifiers.parse_onderwijsnummer, "111222333"),
        (identifiers.parse_school, "01AA"),
    ):
        with pytest.raises(SluisError) as error:
            parse(text)
        assert text not in repr(error.value.args)


def test_no_number_is_both() -> None:
    numbers = np.arange(100_000_000, 110_000_000, 7, dtype=np.uint32)
    bsns, onds = identifiers.are_bsns(numbers), identifiers.are_onderwijsnummers(numbers)
    assert bsns.any()
    assert onds.any()
    assert not (bsns & onds).any()


# ---------------------------------------------------------------- policy files


def test_the_packaged_columns_are_those_of_the_record_on_the_same_side_of_the_lock() -> None:
    columns = packaged_rules("nco-lvs-1").columns
    assert [column.name for column in columns] == ["brin_vestiging", *IDENTIFIER_COLUMNS, *RESULT_COLUMNS]
    assert {column.name for column in columns if column.role is Role.IDENTIFIER} == set(IDENTIFIER_COLUMNS)


def test_every_error_has_a_name_that_may_be_logged() -> None:
    assert code_of(Unsound("key-not-gone", "A key is still there.")) == "key-not-gone"
    assert code_of(OSError(30, "Read-only file system: '/home/111222333'")) == "EROFS"
    assert code_of(OSError("without a number")) == "OSError" and code_of(ValueError("111222333")) == "ValueError"
