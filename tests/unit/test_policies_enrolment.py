"""Sign-ups: nothing before both papers are in, and then the date decides (seed 004: the deadline's own day is in time)."""

from datetime import date, timedelta

import pytest

from policies.enrolment import CONTRACT, FORM, Reports, SignUp, reports_for

DEADLINE = date(2020, 11, 27)
NEXT_DAY = DEADLINE + timedelta(days=1)
EARLY = date(2020, 11, 1)


@pytest.mark.parametrize(
    ("contract", "form", "final_on", "reports"),
    [
        (EARLY, DEADLINE, DEADLINE, Reports.GROWTH),
        (DEADLINE, EARLY, DEADLINE, Reports.GROWTH),
        (NEXT_DAY, EARLY, NEXT_DAY, Reports.REGULAR),
        (EARLY, NEXT_DAY, NEXT_DAY, Reports.REGULAR),
        (EARLY, None, None, Reports.NOTHING),
        (None, EARLY, None, Reports.NOTHING),
        (None, None, None, Reports.NOTHING),
    ],
)
def test_the_later_paper_decides(contract: date | None, form: date | None, final_on: date | None, reports: Reports) -> None:
    sign_up = SignUp(contract, form)
    assert sign_up.final_on == final_on
    assert reports_for(sign_up, DEADLINE) is reports


def test_what_is_missing_is_what_had_not_come_on_the_day() -> None:
    sign_up = SignUp(EARLY, NEXT_DAY)
    assert [sign_up.missing(day) for day in (EARLY - timedelta(days=1), DEADLINE, NEXT_DAY)] == [f"{CONTRACT} en {FORM}", FORM, ""]
    assert [sign_up.is_final(day) for day in (DEADLINE, NEXT_DAY)] == [False, True]
    assert not SignUp(EARLY, None).is_final(date(2030, 1, 1))
