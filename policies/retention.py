"""How long what identifies a pupil may stay: three weeks from delivery, linked or not."""

from collections.abc import Collection
from datetime import UTC, date, datetime, time, timedelta

#: [days] linking happens within 2 to 3 weeks of delivery; then the identifiers are gone.
WINDOW_DAYS = 21

#: [days] so long before the end, a drop that still waits is linked as far as it may be.
LAST_CALL_DAYS = 1

#: [days] so long before the end somebody is warned, once each.
WARN_DAYS = (7, 3, 1)


def erase_before(received_at: datetime, window_days: int = WINDOW_DAYS) -> datetime:
    """The moment (UTC) at which a drop's key must be gone: so many times 24 hours after it was received.

    Counted in UTC, so that a change to summer time adds nothing. ValueError for a time without zone or a window below 1 day.
    """
    if received_at.tzinfo is None:
        raise ValueError("a point in time needs a zone")
    if window_days < 1:
        raise ValueError("a retention window has at least 1 day")
    return received_at.astimezone(UTC) + timedelta(days=window_days)


def last_call(deadline: datetime) -> datetime:
    """The moment from which a waiting drop is linked with the schools that may be: a day before the deadline."""
    return deadline - timedelta(days=LAST_CALL_DAYS)


def is_due(deadline: datetime, now: datetime) -> bool:
    """Whether what this deadline is about must be erased now."""
    return now >= deadline


def epoch_end(day: date, window_days: int = WINDOW_DAYS) -> datetime:
    """The moment (UTC) at which the window of everything that was received on `day` (UTC) has ended."""
    return datetime.combine(day + timedelta(days=1), time(), UTC) + timedelta(days=window_days)


def nearness(deadline: datetime, now: datetime) -> int | None:
    """The last of WARN_DAYS that has come for this deadline, 0 when the deadline itself has; None while it is farther off."""
    if is_due(deadline, now):
        return 0
    return min((days for days in WARN_DAYS if now >= deadline - timedelta(days=days)), default=None)


def warning_due(deadline: datetime, now: datetime, said: Collection[int]) -> int | None:
    """Of which of WARN_DAYS to warn now; None when none is due, it was `said`, or the deadline has passed. One that was missed is not
    made up for when the next has come."""
    days = nearness(deadline, now)
    return days if days and days not in said else None
