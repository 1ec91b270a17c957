"""When a drop may be linked, seen from the parents' right to object."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta

#: Reasons for waiting, as the ledger and the receipt keep them; a missing register is followed by the school's code.
WINDOW_OPEN = "objection-window"
NO_REGISTER = "objection-register"

#: [days] a campaign's registers stay so long after its last delivery may have come in: whatever was closed then is surely in the ledger
SETTLING_DAYS = 1


@dataclass(frozen=True)
class LinkDecision:
    """`linkable`: the schools whose pupils may be linked now. `waiting_for`: the reasons that hold (some of) them back.

    `without_register`: the schools that have not handed in a register, in order.
    """

    linkable: frozenset[str]
    waiting_for: tuple[str, ...]
    without_register: tuple[str, ...]

    @property
    def may_begin(self) -> bool:
        """Whether there is anything that may be linked now."""
        return bool(self.linkable)


def may_link(window_closed: bool, schools: Mapping[str, bool], last_call: bool) -> LinkDecision:
    """Which of a drop's schools may be linked.

    `schools` says of each school in the drop whether it handed in an objection register; an empty register counts. Nothing is
    linked before the window closes, whatever the hour, and never a school without a register. Until the last call a drop waits
    for all its schools, because it is linked once; at the last call those with a register go on and the others stay unlinked.
    """
    missing = tuple(sorted(school for school, handed_in in schools.items() if not handed_in))
    reasons = tuple(f"{NO_REGISTER} {school}" for school in missing)
    if not window_closed:
        return LinkDecision(frozenset(), (WINDOW_OPEN, *reasons), missing)
    if missing and not last_call:
        return LinkDecision(frozenset(), reasons, missing)
    return LinkDecision(frozenset(schools) - frozenset(missing), reasons, missing)


def registers_end_from(deliver_until: date, objections_until: date) -> date:
    """The first day (Amsterdam) on which a campaign's registers end, once nothing that was delivered is held any more: from then on nothing
    comes in that they would be held against. An objection that comes later still takes its pupil's results out of the store."""
    return max(deliver_until, objections_until) + timedelta(days=1 + SETTLING_DAYS)
