"""A collection round's days (domain.md, process rules 1, 2 and 4): what is taken when, and for which of several rounds.

Every day is one in Europe/Amsterdam, first and last days included. The first day of delivery is nobody's choice: it follows from the end of
the objection window, before which nothing is linked, and from the retention window, after which nothing is left to link.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from policies.calendar import day_of, end_of_day, start_of_day
from policies.errors import Refused
from policies.retention import WINDOW_DAYS, erase_before, last_call


@dataclass(frozen=True)
class Days:
    """`window_days`: the retention window, so long after its delivery a drop's identifiers are gone [days]."""

    enrol_until: date
    objections_from: date
    objections_until: date
    deliver_until: date
    window_days: int = WINDOW_DAYS

    @property
    def deliver_from(self) -> date:
        """The first day on which everything that is delivered can still be linked: the objection window has closed when its last call
        comes. Never before enrolment's last day, as until then nobody knows who takes part."""
        closing = end_of_day(self.objections_until)
        day = self.objections_until - timedelta(days=self.window_days)
        while last_call(erase_before(start_of_day(day), self.window_days)) < closing:
            day += timedelta(days=1)
        return max(day, self.enrol_until)

    @property
    def objections_taken_until(self) -> date:
        """The last day on which a register that names no round is taken for this one; after `objections_until` it is late, and counts."""
        return max(self.objections_until, self.deliver_until)


def check_days(days: Days, publish_from: datetime) -> None:
    """Refused (`campaign-days-disordered`, `campaign-nothing-linkable`, `campaign-published-unlinked`): a calendar that can't be kept."""
    if not days.enrol_until <= days.objections_from <= days.objections_until:
        raise Refused(
            "campaign-days-disordered",
            "The days are not in order: objections open after enrolment has ended and close after they open.",
            "Give --enrol-until ≤ --objections-from ≤ --objections-until.",
        )
    if days.deliver_until < days.deliver_from:
        raise Refused(
            "campaign-nothing-linkable",
            f"Nothing that is delivered until {days.deliver_until} could be linked: objections close on {days.objections_until}, and what "
            f"is delivered before {days.deliver_from} is erased before that or too soon after it.",
            f"Give --deliver-until {days.deliver_from} or later, or let objections close earlier.",
        )
    if publish_from < end_of_day(days.objections_until):
        raise Refused(
            "campaign-published-unlinked",
            f"Nothing is linked on the day of publication: objections close on {days.objections_until}.",
            "Give a --publish-from after that day.",
        )


def round_of_delivery(day: date, rounds: Mapping[str, Days]) -> str | None:
    """To which round something delivered on `day` belongs, whether or not it is in time: one that takes deliveries, and of several the one
    that ends first; else the next to take them of those whose enrolment has ended; else the one that ended last; None before the first.
    """
    begun = {name: days for name, days in rounds.items() if days.enrol_until <= day}
    taking = [name for name, days in begun.items() if days.deliver_from <= day <= days.deliver_until]
    if taking:
        return min(taking, key=lambda name: (begun[name].deliver_until, name))
    early = [name for name, days in begun.items() if day < days.deliver_from]
    if early:
        return min(early, key=lambda name: (begun[name].deliver_from, name))
    return max(begun, key=lambda name: (begun[name].deliver_until, name), default=None)


def rounds_of_objections(day: date, rounds: Mapping[str, Days]) -> list[str]:
    """For which rounds an objection register that was handed in on `day` counts, the one that ends first at the front.

    A register names no round, and in rounds that overlap an objection must hold in each: it counts for all that take objections. When
    none does, it is late for the round that ended last, or comes before its time (an empty answer; `next_objections` says when).
    """
    taking = [name for name, days in rounds.items() if days.objections_from <= day <= days.objections_taken_until]
    if taking:
        return sorted(taking, key=lambda name: (rounds[name].deliver_until, name))
    last = round_of_delivery(day, rounds)
    return [last] if last is not None and day >= rounds[last].objections_from else []


def require_objections_open(objections_from: date, day: date) -> None:
    """Refused (`objections-too-early`) before a round takes objections; after its window they are late, and count."""
    if day < objections_from:
        raise Refused("objections-too-early", "This round takes no objections yet.", f"Come back on {objections_from}.")


def next_objections(day: date, rounds: Mapping[str, Days]) -> date | None:
    """The first day after `day` on which a round begins to take objections; None when none is planned."""
    return min((days.objections_from for days in rounds.values() if days.objections_from > day), default=None)


def next_delivery(day: date, rounds: Mapping[str, Days]) -> date | None:
    """The first day after `day` on which a round begins to take deliveries; None when none is planned."""
    return min((days.deliver_from for days in rounds.values() if days.deliver_from > day), default=None)


def check_change(before: Days, after: Days, now: datetime) -> None:
    """Refused when a round that goes on would break what was promised (`campaign-window-closed`, `campaign-window-shortened`)."""
    today = day_of(now)
    if before.objections_until != after.objections_until and now >= end_of_day(before.objections_until):
        raise Refused(
            "campaign-window-closed",
            f"Objections closed on {before.objections_until}, and what waited for it was linked.",
            "An objection that comes now is late, and holds all the same: `sluis objection add`.",
        )
    reopened = before.objections_from <= today < after.objections_from
    ends = ((before.objections_until, after.objections_until), (before.deliver_until, after.deliver_until))
    if reopened or any(old != new and new < today for old, new in ends):
        raise Refused(
            "campaign-window-shortened",
            "What has begun can't be made to begin later, and nothing can end on a day that is over.",
            "Give today or a later day as the last one, and leave a first day that has come as it is.",
        )
