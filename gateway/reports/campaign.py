"""All figures of one campaign, computed at once for the whole country; then the values of each school's report by its code."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import polars as pl

from gateway.reports import characteristics, growth, national, school
from gateway.reports.cells import CELL, DEFAULT_KIND, Instrument, school_year
from gateway.reports.reference import with_reference
from gateway.reports.school import SchoolReport
from policies.disclosure import Disclosure, disclosure
from policies.growth import Growth
from policies.growth import growth as growth_rules

#: What `schools` has a column for; `pupils` and `kind` may be missing.
SCHOOL_COLUMNS = ("school", "code", "name", "board", "board_name", "denomination", "municipality")

#: What is kept of a school's cell: small groups are left out before anything is kept.
KEPT = (
    "instrument", "period", "group", "round", "n", "first", "second", "growth", "at_least",
    "nation_n", "nation_growth", "standardised", "reference_growth",
)  # fmt: skip


@dataclass(frozen=True)
class CampaignFigures:
    """Made by `compute`; holds what may be shown of every school, and no pupil."""

    cells: pl.DataFrame  # KEPT and `school`, sorted by school
    places: Mapping[int, tuple[int, int]]  # school → its rows in `cells`
    facts: Mapping[str, Mapping[str, Any]]  # code → what the register says of the school
    instruments: list[Instrument]
    groups: Mapping[str, Mapping[tuple[int, int], list[int]]]  # kind of school → (instrument, period) → the groups it has nationally
    newest: str  # school year of the newest round
    disclosure: Disclosure
    growth: Growth

    @classmethod
    def compute(
        cls,
        results: pl.LazyFrame,
        schools: pl.DataFrame,
        background: pl.DataFrame | None = None,
        *,
        rules: Disclosure | None = None,
        growth_policy: Growth | None = None,
    ) -> "CampaignFigures":
        """Figures of all schools in `results` (LINKED_COLUMNS; every drop's, with repeated rows).

        `schools` has a row per school that gets a report: SCHOOL_COLUMNS, and where known `pupils` (its size; else counted in the
        results) and `kind` (bo or sbo, which are compared each with its own). Results of other schools count for the country only.
        `background` has `persoon` and any of BACKGROUND_CATEGORIES.
        """
        rules, policy = rules or disclosure(), growth_policy or growth_rules()
        newest = growth.newest_round(results, policy)
        known, codes = growth.instruments(results, policy)
        last = newest if newest is not None else 0
        # M→E and E→M of the last `cohorts` school years need one round more than they end in
        rows = growth.measurements(results, codes, last - 2 * policy.cohorts, last, policy)
        register = _register(schools, rows)
        present = set(rows["school"].unique().to_list())
        cells = _cells(rows, register, background, policy)
        del rows
        groups = _groups(cells, rules)
        cells = cells.filter(pl.col("n") >= rules.smallest_group).select("school", *KEPT).sort("school", *KEPT[:4])
        return cls(
            cells=cells,
            places=_places(cells),
            facts={row["code"]: row for row in register.iter_rows(named=True) if row["hashed"] in present},
            instruments=known,
            groups=groups,
            newest=school_year(last) if newest is not None else "",
            disclosure=rules,
            growth=policy,
        )

    def codes(self) -> list[str]:
        """The schools that have a report, sorted: those of `schools` with any result, whether or not a figure of it may be shown."""
        return sorted(self.facts)

    def school(self, code: str) -> SchoolReport | None:
        """The values of a school's report; None when it has no results in this campaign."""
        facts = self.facts.get(code)
        if facts is None:
            return None
        start, stop = self.places.get(facts["hashed"], (0, 0))
        groups = self.groups.get(facts["kind"], {})
        cells = self.cells[start:stop].iter_rows(named=True)
        return SchoolReport(
            board=facts["board"],
            board_name=facts["board_name"],
            code=code,
            name=facts["name"],
            newest=self.newest,
            domains=school.domains(cells, self.instruments, groups, self.disclosure, self.growth),
        )


def _register(schools: pl.DataFrame, rows: pl.DataFrame) -> pl.DataFrame:
    """`schools` with every optional column, and `hashed`, the number that stands for a school in the results."""
    frame = schools.with_columns(hashed=pl.col("school").cast(pl.String).hash())
    if "kind" not in frame.columns:
        frame = frame.with_columns(kind=pl.lit(DEFAULT_KIND))
    if "pupils" not in frame.columns:
        sizes = rows.group_by("school").agg(pupils=pl.col("person").n_unique())
        frame = frame.join(sizes, left_on="hashed", right_on="school", how="left")
    return frame.with_columns(pl.col("kind").fill_null(DEFAULT_KIND))


def _cells(rows: pl.DataFrame, register: pl.DataFrame, background: pl.DataFrame | None, policy: Growth) -> pl.DataFrame:
    """All cells of all schools, also of small groups: for the nation and the reference value only."""
    pairs = growth.matched_pairs(rows).join(
        register.select(pl.col("hashed").alias("school"), "kind"), on="school", how="left", validate="m:1"
    )
    pupils = characteristics.of_pupils(pairs.with_columns(pl.col("kind").fill_null(DEFAULT_KIND)), background)
    schools = characteristics.of_schools(register, policy.reference)
    shares = [name for group in pupils.groups for name in group]
    cells = national.school_cells(pupils.frame, national.national_cells(pupils.frame), shares)
    cells = cells.join(schools.frame, on="school", how="left")
    # the first score tells most by far; then the school's size, its pupils, its denomination and place
    order = [["first"], schools.groups[0], *pupils.groups, *schools.groups[1:]]
    return with_reference(cells, order, policy.reference).with_columns(
        standardised=national.standardised(), reference_growth=pl.col("reference") - pl.col("first")
    )


def _groups(cells: pl.DataFrame, rules: Disclosure) -> dict[str, dict[tuple[int, int], list[int]]]:
    """Per kind of school the groups that an instrument and period have nationally, in any cohort, with enough pupils to be shown."""
    shown = cells.filter(pl.col("nation_n") >= rules.smallest_group).select(*CELL[:4]).unique().sort(CELL[:4])
    found: dict[str, dict[tuple[int, int], list[int]]] = {}
    for kind, instrument, period, group in shown.iter_rows():
        found.setdefault(kind, {}).setdefault((instrument, period), []).append(group)
    return found


def _places(cells: pl.DataFrame) -> dict[int, tuple[int, int]]:
    counts = cells.group_by("school", maintain_order=True).len()
    stops = counts["len"].cum_sum().to_list()
    return {one: (stop - n, stop) for (one, n), stop in zip(counts.iter_rows(), stops, strict=True)}
