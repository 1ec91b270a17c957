"""One school's report as a PDF. Knows no polars, so that a process that only renders stays small."""

from datetime import date
from functools import cache
from typing import Any

from gateway.reports import charts, wording
from gateway.reports.cells import WITHIN_YEAR
from gateway.reports.school import Domain, Figure, Period, SchoolReport
from gateway.typeset import compile_pdf, template_text
from policies.disclosure import disclosure
from policies.growth import growth


def render(report: SchoolReport, publication_date: date, campaign: str) -> bytes:
    """The report as PDF/UA-1 [bytes], in Dutch; the same bytes for the same arguments.

    Can be sent to a pool of processes; these must be spawned, not forked (see gateway.typeset.typst). Raises Unsound.
    """
    title = f"Leergroei-rapportage {report.name} ({report.code}), {campaign}"
    return compile_pdf(_template(), values(report, publication_date, campaign), title=title)


@cache
def _template() -> str:
    return template_text(__package__, "report.typ")


def values(report: SchoolReport, publication_date: date, campaign: str) -> dict[str, Any]:
    """All that the template says, as text and as fractions of a picture's size."""
    rules = disclosure()
    with_figures = [domain for domain in report.domains if domain.parts]
    return {
        "campaign": campaign,
        "date": wording.day(publication_date),
        "board": report.board,
        "board_name": report.board_name,
        "code": report.code,
        "name": report.name,
        "newest": report.newest,
        "domains": [_domain(domain) for domain in with_figures],
        "without": [wording.domain_name(domain.domain).lower() for domain in report.domains if not domain.parts],
        "rules": {
            "too_small": rules.smallest_group - 1,
            "lowest": rules.lowest_percentage,
            "highest": rules.highest_percentage,
            "step": rules.percentage_step,
            "percentage_group": rules.percentage_group,
            "about_equal": wording.number(growth().about_equal),
            "fewest_schools": growth().reference.fewest_schools,
        },
    }


def _domain(domain: Domain) -> dict[str, Any]:
    name = wording.domain_name(domain.domain)
    newest = [(period, group, figure) for part in domain.parts for period in part.periods for group, figure in period.newest()]
    marks = [
        (wording.group_name(group, period.period), period.period == WITHIN_YEAR, figure.standardised)
        for period, group, figure in newest
        if figure.standardised is not None
    ]
    return {
        "name": name,
        "standardised": wording.signed(domain.standardised),
        "verdict": wording.verdict(domain),
        "pairs": wording.whole(sum(figure.n for _, _, figure in newest)),
        "cohorts": " en ".join(sorted({period.cohorts[-1] for period, _, _ in newest})),
        "lead": wording.lead(domain, [figure for _, _, figure in newest]),
        "strip": charts.strip(marks) if marks else None,
        "strip_alt": wording.strip_alternative(name, [(label, value) for label, _, value in marks]),
        "parts": [
            {
                "instrument": wording.instrument_name(part.instrument),
                "periods": [_period(name, period) for period in part.periods],
            }
            for part in domain.parts
        ],
    }


def _period(domain: str, period: Period) -> dict[str, Any]:
    title = wording.period_title(period.period)
    return {
        "title": title,
        "short": wording.period_short(period.period),
        "cohort": period.cohorts[-1],
        "chart": charts.bars(period),
        "alt": wording.chart_alternative(f"{domain.lower()}, {title[0].lower()}{title[1:]}", period),
        "rows": [
            [wording.group_name(row.group, period.period), cohort, *_numbers(figure)]
            for row in period.rows
            for cohort, figure in zip(period.cohorts, row.figures, strict=True)
        ],
    }


def _numbers(figure: Figure | None) -> list[str]:
    """A line of the table after group and school year, in the order of the template's header."""
    if figure is None:
        return [wording.NOTHING] * 10
    standardised = figure.standardised
    return [
        wording.whole(figure.n),
        wording.number(figure.first),
        wording.number(figure.second),
        wording.number(figure.growth),
        wording.number(figure.national),
        wording.whole(figure.national_n),
        wording.number(figure.reference),
        wording.signed(standardised),
        wording.NOTHING if standardised is None else wording.COMPARED_SHORT[growth().compared(standardised)],
        wording.percentage(figure.at_least),
    ]
