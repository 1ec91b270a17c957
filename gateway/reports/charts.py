"""Geometry of the pictures: where a bar begins and ends and where a mark lies, as fractions of a picture's height or width.

Typst draws them as they are said here; nothing is computed in the template.
"""

import math
from collections.abc import Sequence
from typing import Any

from gateway.reports import wording
from gateway.reports.school import Figure, Period

#: Roles of bars, in the order in which they stand; the template has a colour for each.
OWN, NATION, REFERENCE = "own", "nation", "reference"

#: About this many lines across a chart.
LINES = 5

#: The overview's axis [national standard deviations].
STRIP_END = 1.0

#: Room that a mark takes on the axis, as a fraction of its width.
MARK_WIDTH = 0.042


def bars(period: Period) -> dict[str, Any]:
    """A chart of bars: `lines` (height and label), `zero` (height), `groups` with a place for each cohort and its bars."""
    shown = [figure for row in period.rows for figure in row.figures if figure is not None]
    values = [value for figure in shown for value in (figure.growth, figure.national, figure.reference) if value is not None]
    low, high, step = axis(values)

    def height(value: float) -> float:
        return round((value - low) / (high - low), 5)

    ticks = [low + step * index for index in range(round((high - low) / step) + 1)]
    decimals = 0 if step >= 1 else 1
    return {
        "lines": [{"at": height(tick), "label": wording.number(tick + 0.0, decimals)} for tick in ticks],
        "zero": height(0),
        "groups": [
            {
                "label": wording.group_name(row.group, period.period),
                "cohorts": [
                    {"label": wording.short_year(cohort), "bars": [] if figure is None else _bars(figure, height)}
                    for cohort, figure in zip(period.cohorts, row.figures, strict=True)
                ],
            }
            for row in period.rows
        ],
    }


def _bars(figure: Figure, height: Any) -> list[dict[str, Any]]:
    each = (
        (OWN, figure.growth, figure.n),
        (NATION, figure.national, figure.national_n),
        (REFERENCE, figure.reference, figure.n),
    )
    return [{"role": role, "to": height(value), "n": wording.whole(n)} for role, value, n in each if value is not None]


def axis(values: Sequence[float]) -> tuple[float, float, float]:
    """Lowest, highest and step of an axis that holds 0 and all values, in round numbers."""
    low, high = min(0.0, *values), max(0.0, *values)
    rough = max(high - low, 1.0) / LINES
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough)
    top = max(math.ceil(high / step), 1)
    return round(math.floor(low / step) * step, 6), round(top * step, 6), round(step, 6)


def strip(marks: Sequence[tuple[str, bool, float]]) -> dict[str, Any]:
    """Marks (label, within the year, value) along an axis from −STRIP_END to STRIP_END; `lane` keeps them from lying on each other."""
    placed = []
    ends: list[float] = []
    for label, within, value in sorted(marks, key=lambda mark: (mark[2], mark[0])):
        at = (min(max(value, -STRIP_END), STRIP_END) + STRIP_END) / (2 * STRIP_END)
        lane = next((index for index, end in enumerate(ends) if at - end >= MARK_WIDTH), len(ends))
        ends[lane : lane + 1] = [at]
        placed.append({"label": label, "within": within, "at": round(at, 5), "lane": lane})
    return {"marks": placed, "lanes": len(ends)}
