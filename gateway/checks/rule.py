"""What a rule is, and what breaking it does."""

from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    """What a finding does: refuses the drop whole, refuses its row, or only tells."""

    DROP = "drop"
    ROW = "row"
    WARNING = "warning"


#: what a rule's text may leave open: numbers, a word of our own policy, days
PLACEHOLDERS = ("count", "limit", "topic", "day", "until")


@dataclass(frozen=True)
class Rule:
    """One rule: its code is stable, the texts are for people. `dutch` may hold the words of PLACEHOLDERS."""

    code: str
    level: Level
    dutch: str
    english: str
    cause: str  # Dutch
    cure: str  # Dutch
