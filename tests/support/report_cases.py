"""Reports that are hard to lay out: nothing to show, one group, no country beside it, two tests, the longest of names."""

import dataclasses
from collections.abc import Callable
from functools import cache

from gateway.reports.campaign import CampaignFigures
from gateway.reports.cells import Instrument
from gateway.reports.school import Domain, Figure, InstrumentPart, Period, Row, SchoolReport
from tests.support.reports import made_up_results, made_up_schools

LONG_NAME = (
    "Protestants-Christelijke Daltonbasisschool voor Eigentijds Onderwijs "
    "'De Gereformeerde Scholengemeenschap Prinses Wilhelmina-Juliana van Oranje-Nassau'"
)
LONG_BOARD = "Stichting voor Christelijk en Samenwerkingsonderwijs in de Gemeenten Noordoostpolder, Urk, Steenwijkerland en Omstreken"


@cache
def made_up_report() -> SchoolReport:
    """A school of 210 pupils among 25."""
    schools = made_up_schools(25)
    report = CampaignFigures.compute(made_up_results(schools, 210).lazy(), schools).school(schools["code"][0])
    assert report is not None
    return report


def with_figures(report: SchoolReport, change: Callable[[Figure], Figure]) -> SchoolReport:
    """The report with `change` applied to each figure."""

    def row(one: Row) -> Row:
        return Row(one.group, tuple(None if figure is None else change(figure) for figure in one.figures))

    def part(one: InstrumentPart) -> InstrumentPart:
        return InstrumentPart(one.instrument, tuple(Period(p.period, p.cohorts, tuple(row(r) for r in p.rows)) for p in one.periods))

    domains = tuple(dataclasses.replace(one, parts=tuple(part(p) for p in one.parts)) for one in report.domains)
    return dataclasses.replace(report, domains=domains)


def cases() -> dict[str, SchoolReport]:
    """By name; every one must look good."""
    full = made_up_report()
    nothing = dataclasses.replace(full, domains=tuple(Domain(one.domain, (), None, None) for one in full.domains))
    arithmetic = full.domains[1]
    part = arithmetic.parts[0]
    within = part.periods[0]
    single = InstrumentPart(part.instrument, (Period(0, within.cohorts[-1:], (Row(5, within.rows[2].figures[-1:]),)),))
    one_group = dataclasses.replace(
        full,
        domains=(nothing.domains[0], dataclasses.replace(arithmetic, parts=(single,), standardised=0.4, compared=0), nothing.domains[2]),
    )
    alone = dataclasses.replace(arithmetic, parts=(single,), standardised=None, compared=None)
    two_tests = (part, InstrumentPart(Instrument("rekenen_wiskunde", "iep", "REKENEN"), part.periods[:1]))
    national = with_figures(full, lambda figure: dataclasses.replace(figure, national_n=(figure.national_n or 0) * 97 + 100_000))
    return {
        "full": full,
        "long": dataclasses.replace(national, name=LONG_NAME, board_name=LONG_BOARD),
        "nothing": nothing,
        "one_group": one_group,
        "alone": with_figures(dataclasses.replace(full, domains=(alone,)), lambda f: Figure(f.n, f.first, f.second, -3.2)),
        "two_tests": dataclasses.replace(full, domains=(dataclasses.replace(arithmetic, parts=two_tests),)),
    }
