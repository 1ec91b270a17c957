"""The values of one school's report: pure, already as they may be shown, and small enough to be sent to another process.

Figures come out of `figure` only, which asks policies.disclosure; None stands for what is not shown and for what does not exist.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from gateway.reports.cells import OVER_SUMMER, WITHIN_YEAR, Instrument, school_year
from policies.disclosure import Disclosure
from policies.growth import Growth

#: Always named in a report, with or without figures.
CORE_DOMAINS = ("begrijpend_lezen", "rekenen_wiskunde", "spelling")


@dataclass(frozen=True)
class Figure:
    """One bar group: a cohort's growth on its test's own scale unless said otherwise. Rounded, and never of a small group."""

    n: int  # pupils with both tests
    first: float  # mean of the first test
    second: float
    growth: float
    national: float | None = None  # mean growth of all pupils of the country
    national_n: int | None = None
    reference: float | None = None  # predicted mean growth
    standardised: float | None = None  # [national standard deviations]
    at_least: int | None = None  # pupils who grew at least as much as the national mean [percent]


@dataclass(frozen=True)
class Row:
    """One group in one period, with a place for each cohort, oldest first."""

    group: int  # of the first test; 0 is jaargroep S
    figures: tuple[Figure | None, ...]


@dataclass(frozen=True)
class Period:
    """M→E or E→M on one instrument: the rows that the country has, whether or not this school has them."""

    period: int
    cohorts: tuple[str, ...]  # school years of the second test
    rows: tuple[Row, ...]

    def newest(self) -> list[tuple[int, Figure]]:
        """Group and figure of the last cohort, where shown."""
        return [(row.group, row.figures[-1]) for row in self.rows if row.figures[-1] is not None]


@dataclass(frozen=True)
class InstrumentPart:
    instrument: Instrument
    periods: tuple[Period, ...]


@dataclass(frozen=True)
class Domain:
    """All that a report shows of one domain; without parts nothing is shown of it."""

    domain: str
    parts: tuple[InstrumentPart, ...]
    standardised: float | None  # mean of the newest shown figures, weighted with their n
    compared: int | None  # -1, 0, 1: below, about equal to, above the national average


@dataclass(frozen=True)
class SchoolReport:
    board: str  # 5 digits
    board_name: str
    code: str  # BRIN-vestiging, 99AA99
    name: str
    newest: str  # the newest round's school year
    domains: tuple[Domain, ...]


def figure(values: Mapping[str, Any], rules: Disclosure) -> Figure | None:
    """What may be shown of one school's cell (columns of gateway.reports.campaign); None for a group too small."""
    n = int(values["n"])
    first, second = rules.mean(values["first"], n), rules.mean(values["second"], n)
    growth = rules.mean(values["growth"], n)
    if first is None or second is None or growth is None:
        return None
    whole = int(values["nation_n"])
    if not rules.beside(n, whole):
        return Figure(n, first, second, growth)
    return Figure(
        n=n,
        first=first,
        second=second,
        growth=growth,
        national=rules.mean(values["nation_growth"], whole),
        national_n=whole,
        reference=rules.mean(values["reference_growth"], n),
        standardised=rules.standardised(values["standardised"], n),
        at_least=rules.percentage(int(values["at_least"]), n),
    )


def domains(
    cells: Iterable[Mapping[str, Any]],
    known: list[Instrument],
    groups: Mapping[tuple[int, int], list[int]],
    rules: Disclosure,
    growth: Growth,
) -> tuple[Domain, ...]:
    """A school's cells as domains. `known` are the instruments by number; `groups` says which groups
    the country has for (instrument number, period): so the form of a page does not depend on figures that are not shown."""
    figures = {}
    for cell in cells:
        shown = figure(cell, rules)
        if shown is not None:
            figures[cell["instrument"], cell["period"], cell["group"], cell["round"]] = shown
    parts: dict[str, list[InstrumentPart]] = {domain: [] for domain in CORE_DOMAINS}
    for number, instrument in enumerate(known):
        if any(key[0] == number for key in figures):
            periods = tuple(
                period for kind in (WITHIN_YEAR, OVER_SUMMER) if (period := _period(number, kind, figures, groups.get((number, kind), [])))
            )
            parts.setdefault(instrument.domain, []).append(InstrumentPart(instrument, periods))
    return tuple(_domain(domain, found, rules, growth) for domain, found in sorted(parts.items()))


def _period(number: int, period: int, figures: Mapping[tuple[int, int, int, int], Figure], groups: list[int]) -> Period | None:
    rounds = sorted({key[3] for key in figures if key[:2] == (number, period)})
    if not rounds:
        return None
    rows = (Row(group, tuple(figures.get((number, period, group, one)) for one in rounds)) for group in groups)
    return Period(period, tuple(school_year(one) for one in rounds), tuple(rows))


def _domain(domain: str, parts: list[InstrumentPart], rules: Disclosure, growth: Growth) -> Domain:
    newest = [figure for part in parts for period in part.periods for _, figure in period.newest()]
    known = [(figure.n, figure.standardised) for figure in newest if figure.standardised is not None]
    pupils = sum(n for n, _ in known)
    mean = rules.standardised(sum(n * value for n, value in known) / pupils, pupils) if pupils else None
    return Domain(domain, tuple(parts), mean, None if mean is None else growth.compared(mean))
