"""How long a key counts that vendors encrypt to: handed out during a campaign, taken for a while after it was replaced, then destroyed."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from policies.calendar import day_of, end_of_day

#: [days] a retired key is kept so long after the last delivery that counts for it: whatever was closed then is surely in the ledger
SETTLING_DAYS = 1


class Standing(StrEnum):
    """What a key is at a moment: handed out; replaced and still taken; taken no more."""

    CURRENT = "current"
    OVERLAPPING = "overlapping"
    RETIRED = "retired"


class Step(StrEnum):
    """What is to be done about the key that is handed out."""

    KEEP = "keep"
    ADOPT = "adopt"
    REPLACE = "replace"
    END = "end"


@dataclass(frozen=True)
class Life:
    """`retired_at`: since when the key is handed out no more. `taken_until` (exclusive): what is received before it is still opened."""

    retired_at: datetime | None = None
    taken_until: datetime | None = None


def standing(life: Life, moment: datetime) -> Standing:
    """What the key is for something received at `moment`: a delivery from before the key was replaced stays one to the current key."""
    if life.retired_at is None or moment < life.retired_at:
        return Standing.CURRENT
    return Standing.RETIRED if life.taken_until is None or moment >= life.taken_until else Standing.OVERLAPPING


def taken_until(retired_at: datetime, overlap_days: int) -> datetime:
    """When the overlap ends of a key replaced at `retired_at`: with the last of so many days (Amsterdam) after that day; 0: at once."""
    return retired_at if overlap_days == 0 else end_of_day(day_of(retired_at) + timedelta(days=overlap_days))


def next_step(campaign: str | None, taking: str | None, over: bool) -> Step:
    """What becomes of the current key, which is `campaign`'s or nobody's, now that the campaign `taking` (or none) takes deliveries.

    `over`: the key's campaign takes no more deliveries, and nothing that was delivered is still held.
    """
    if taking is None:
        return Step.END if campaign is not None and over else Step.KEEP
    if campaign is None:
        return Step.ADOPT
    return Step.KEEP if campaign == taking else Step.REPLACE


def may_destroy(life: Life, now: datetime, held: Iterable[datetime], window_days: int) -> bool:
    """Whether a key has nothing left to open. `held`: when the deliveries came in whose bytes are not erased.

    Whatever came in before its end may be to this key or to another: age does not tell before it is opened. All of it ends with its
    window, so the key does not outlive that either.
    """
    if life.taken_until is None or now < life.taken_until + timedelta(days=SETTLING_DAYS):
        return False
    if now >= life.taken_until + timedelta(days=window_days):
        return True
    return not any(received_at < life.taken_until for received_at in held)
