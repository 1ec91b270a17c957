"""What a rule is, and what breaking it does."""

from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    """What a finding does: refuses the drop whole, refuses its row, or only tells."""

    DROP = "drop"
    ROW = "row"
    WARNING = "warning"


@dataclass(frozen=True)
class Rule:
    """One rule: its code is stable, the texts are for people. `dutch` may hold {count}, {limit} and {topic}."""

    code: str
    level: Level
    dutch: str
    english: str
    cause: str  # Dutch
    cure: str  # Dutch
