"""The vocabulary of the figures: what a cell is about. Pure values, without polars, for those who only render."""

from dataclasses import dataclass

#: What a national figure is about; a school's figure adds `school`.
CELL = ("kind", "instrument", "period", "group", "round")

#: Values of `period`.
WITHIN_YEAR = 0  # M → E
OVER_SUMMER = 1  # E → M of the next year

#: `group` of jaargroep S, which sbo has beside 1 to 8.
GROUP_S = 0

#: The kind of school where the register names none.
DEFAULT_KIND = "bo"


@dataclass(frozen=True, order=True)
class Instrument:
    """Scores of one instrument stand on one scale; no others are compared."""

    domain: str
    publisher: str
    scale: str


def school_year(round_: int) -> str:
    """The school year of a round (see gateway.reports.growth), as 2025-2026."""
    return f"{round_ // 2}-{round_ // 2 + 1}"
