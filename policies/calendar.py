"""Days and school years. A day is a day in Europe/Amsterdam, and a period includes its last day."""

import re
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from policies.errors import Refused

AMSTERDAM = ZoneInfo("Europe/Amsterdam")

#: A school year begins on 1 August.
FIRST_MONTH = 8


def day_of(moment: datetime) -> date:
    """The day it is in Amsterdam at an aware point in time; ValueError for one without a zone."""
    if moment.tzinfo is None:
        raise ValueError("a point in time needs a zone")
    return moment.astimezone(AMSTERDAM).date()


def start_of_day(day: date) -> datetime:
    """The first moment of `day` in Amsterdam."""
    return datetime.combine(day, time.min, AMSTERDAM)


def end_of_day(day: date) -> datetime:
    """The first moment after `day` in Amsterdam: what must be done "until" that day is in time when now < end_of_day(day)."""
    return start_of_day(day + timedelta(days=1))


def first_year(schooljaar: str) -> int:
    """2025 of `2025-2026`; Refused (`not-a-schooljaar`) for any other form or for years that don't follow each other."""
    match = re.fullmatch(r"([0-9]{4})-([0-9]{4})", schooljaar)
    if match is None or int(match[2]) != int(match[1]) + 1:
        raise Refused("not-a-schooljaar", "That is not a school year.", "Write it as 2025-2026.")
    return int(match[1])


def schooljaar_from(year: int) -> str:
    """The school year that begins in August of `year`, as `2025-2026`."""
    return f"{year:04}-{year + 1:04}"


def schooljaar_of(day: date) -> str:
    """The school year (1 August to 31 July) in which a day lies."""
    return schooljaar_from(day.year if day.month >= FIRST_MONTH else day.year - 1)


def schooljaren_taken(today: date, history: int) -> list[str]:
    """The current school year and the `history` before it, oldest first."""
    current = first_year(schooljaar_of(today))
    return [schooljaar_from(year) for year in range(current - history, current + 1)]
