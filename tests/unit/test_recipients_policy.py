"""How long a key counts that vendors encrypt to: the rules alone."""

from datetime import UTC, datetime, timedelta

import pytest

from policies.recipients import Life, Standing, Step, may_destroy, next_step, standing, taken_until

RETIRED = datetime(2026, 3, 20, 15, 30, tzinfo=UTC)
DAY = timedelta(days=1)
INSTANT = timedelta(microseconds=1)
WINDOW = 21


def test_the_current_key_is_current_whenever() -> None:
    assert {standing(Life(), RETIRED + days * DAY) for days in (-1000, 0, 1000)} == {Standing.CURRENT}


def test_a_replaced_key_counts_by_the_moment_of_receipt() -> None:
    life = Life(RETIRED, RETIRED + 14 * DAY)
    assert standing(life, RETIRED - INSTANT) is Standing.CURRENT
    assert standing(life, RETIRED) is Standing.OVERLAPPING
    assert standing(life, RETIRED + 14 * DAY - INSTANT) is Standing.OVERLAPPING
    assert standing(life, RETIRED + 14 * DAY) is Standing.RETIRED


def test_without_overlap_only_what_came_before_counts() -> None:
    life = Life(RETIRED, taken_until(RETIRED, 0))
    assert standing(life, RETIRED - INSTANT) is Standing.CURRENT
    assert standing(life, RETIRED) is Standing.RETIRED


def test_the_overlap_ends_with_a_day_in_amsterdam() -> None:
    # 20 March + 14 = 3 April, which ends at midnight of summer time: 22:00 UTC
    assert taken_until(RETIRED, 14) == datetime(2026, 4, 3, 22, 0, tzinfo=UTC)
    # at 23:30 UTC it is the 21st in Amsterdam
    assert taken_until(RETIRED.replace(hour=23), 14) == datetime(2026, 4, 4, 22, 0, tzinfo=UTC)
    assert taken_until(RETIRED, 1) == datetime(2026, 3, 21, 23, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("campaign", "taking", "over", "step"),
    [
        (None, None, False, Step.KEEP),
        (None, "2026-M", False, Step.ADOPT),
        ("2026-M", "2026-M", False, Step.KEEP),
        ("2026-M", "2026-E", False, Step.REPLACE),
        ("2026-M", "2026-E", True, Step.REPLACE),
        ("2026-M", None, False, Step.KEEP),
        ("2026-M", None, True, Step.END),
    ],
)
def test_a_key_serves_one_campaign(campaign: str | None, taking: str | None, over: bool, step: Step) -> None:
    assert next_step(campaign, taking, over) is step


def test_a_key_that_is_handed_out_is_never_destroyed() -> None:
    assert not may_destroy(Life(), RETIRED + 1000 * DAY, [], WINDOW)


def test_a_key_is_destroyed_a_day_after_the_last_that_it_may_open() -> None:
    until = RETIRED + 14 * DAY
    life = Life(RETIRED, until)
    assert not may_destroy(life, until + DAY - INSTANT, [], WINDOW), "what was closed at the last moment may not be in the ledger yet"
    assert may_destroy(life, until + DAY, [], WINDOW)
    assert may_destroy(life, until + DAY, [until, until + DAY], WINDOW), "it opens nothing that came later"
    assert not may_destroy(life, until + DAY, [RETIRED - 3 * DAY], WINDOW)
    assert not may_destroy(life, until + DAY, [until + DAY, until - INSTANT], WINDOW)


def test_no_key_outlives_the_window_of_what_it_opens() -> None:
    until = RETIRED + 14 * DAY
    life = Life(RETIRED, until)
    held = [until - INSTANT]
    assert not may_destroy(life, until + WINDOW * DAY - INSTANT, held, WINDOW)
    assert may_destroy(life, until + WINDOW * DAY, held, WINDOW)
