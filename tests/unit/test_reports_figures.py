"""Figures of a made-up country: matched as they should be, beside the right national mean, and nothing of small groups."""

import math
from datetime import date

import numpy as np
import polars as pl
import pytest

from gateway.drop.record import LINKED_COLUMNS
from gateway.reports.campaign import CampaignFigures
from gateway.reports.national import national_cells
from gateway.reports.reference import left_out, within_slopes
from gateway.reports.school import Figure, SchoolReport
from gateway.reports.school import figure as figure_of
from policies.disclosure import disclosure
from tests.support.reports import made_up_results, made_up_schools

SCHOOLS = made_up_schools(4)
SCHOOL = SCHOOLS["school"][0]


def result(pupil: int, moment: str, score: float, **other: object) -> dict[str, object]:
    """One result of a pupil of SCHOOL in group 5, in 2025-2026 unless said otherwise."""
    row = {
        "persoon": f"p{pupil}", "school": SCHOOL, "schooljaar": "2025-2026", "jaargroep": moment[1:], "kinderdagverblijf": None,
        "peuterspeelzaal": None, "uitgever": "cito", "toetscode": f"RW-3.0-{moment}", "domein": "rekenen_wiskunde",
        "afnamemoment": moment, "afnamedatum": date(2026, 6 if moment[0] == "E" else 1, 20), "score": score,
    }  # fmt: skip
    return row | other


def figures(rows: list[dict[str, object]]) -> dict[tuple[int, int, str], Figure]:
    """All shown figures of SCHOOL by period, group and cohort."""
    frame = pl.DataFrame(rows, schema=LINKED_COLUMNS)
    report = CampaignFigures.compute(frame.lazy(), SCHOOLS).school(SCHOOLS["code"][0])
    assert report is not None
    return shown(report)


def shown(report: SchoolReport) -> dict[tuple[int, int, str], Figure]:
    found = {}
    for domain in report.domains:
        for part in domain.parts:
            for period in part.periods:
                for row in period.rows:
                    for cohort, figure in zip(period.cohorts, row.figures, strict=True):
                        if figure is not None:
                            found[period.period, row.group, cohort] = figure
    return found


def pupils(count: int, second: float = 120, start: int = 0, **other: object) -> list[dict[str, object]]:
    return [r for i in range(start, start + count) for r in (result(i, "M5", 100), result(i, "E5", second) | other)]


def test_growth_within_a_year_is_the_mean_difference_of_matched_pairs() -> None:
    rows = [*pupils(6, 120), *pupils(4, 110, start=6), result(99, "M5", 500), result(98, "E5", 1)]
    (figure,) = figures(rows).values()
    assert (figure.n, figure.first, figure.second, figure.growth) == (10, 100.0, 116.0, 16.0)


def test_growth_over_the_summer_is_from_e_to_m_of_the_next_year_and_group() -> None:
    rows = [r for i in range(7) for r in (result(i, "E5", 100, schooljaar="2024-2025"), result(i, "M6", 109))]
    assert {key: figure.growth for key, figure in figures(rows).items()} == {(1, 5, "2025-2026"): 9.0}


@pytest.mark.parametrize(
    "other",
    [
        {"toetscode": "RW-2.0-E5"},
        {"uitgever": "iep"},
        {"domein": "spelling"},
        {"school": SCHOOLS["school"][1]},
        {"schooljaar": "2024-2025"},
        {"afnamemoment": "B5"},
        {"jaargroep": "6"},
        {"score": math.nan},
        {"score": None},
    ],
)
def test_nothing_is_matched_across_instruments_schools_years_or_groups(other: dict[str, object]) -> None:
    assert len(figures(pupils(8))) == 1
    assert not figures(pupils(8, **other))


def test_from_middle_to_middle_is_no_pair() -> None:
    assert not figures([r for i in range(8) for r in (result(i, "M5", 100, schooljaar="2024-2025"), result(i, "M6", 120))])


def test_repeating_a_group_counts_within_the_year_only() -> None:
    rows = [r for i in range(8) for r in (result(i, "E5", 100, schooljaar="2024-2025"), result(i, "M5", 110), result(i, "E5", 130))]
    assert set(figures(rows)) == {(0, 5, "2025-2026")}


def test_sbo_groups_have_both_periods() -> None:
    rows = [
        result(i, moment, score, schooljaar=year, jaargroep="S")
        for i in range(8)
        for moment, score, year in (("E5", 100, "2024-2025"), ("M5", 110, "2025-2026"), ("E5", 115, "2025-2026"))
    ]
    assert {key: f.growth for key, f in figures(rows).items()} == {(1, 0, "2025-2026"): 10.0, (0, 0, "2025-2026"): 5.0}


def test_a_test_without_a_moment_belongs_to_the_half_of_its_date() -> None:
    def at(pupil: int, month: int, score: float) -> dict[str, object]:
        return result(pupil, "M5", score, uitgever="boom", toetscode="BOOM REKENEN", afnamemoment="", afnamedatum=date(2026, month, 9))

    assert figures([r for i in range(6) for r in (at(i, 2, 10), at(i, 5, 13))])[0, 5, "2025-2026"].growth == 3.0
    assert not figures([r for i in range(6) for r in (at(i, 9, 10), at(i, 5, 13))])


def test_a_history_delivered_twice_and_a_second_sitting_change_nothing() -> None:
    rows = pupils(8)
    again = [result(i, "E5", 150, afnamedatum=date(2026, 6, 30)) for i in range(8)]
    lower = [result(i, "E5", 90, afnamedatum=date(2026, 6, 30)) for i in range(8)]
    assert figures(rows) == figures(rows + rows) == figures(rows + again) == figures(rows + lower)


def test_who_changes_school_between_two_tests_counts_at_neither() -> None:
    rows = pl.DataFrame(pupils(8, school=SCHOOLS["school"][1]), schema=LINKED_COLUMNS)
    assert CampaignFigures.compute(rows.lazy(), SCHOOLS).cells.is_empty()


def test_the_national_deviation_is_that_of_a_sample() -> None:
    cell = {"kind": "bo", "instrument": 0, "period": 0, "group": 5, "round": 1}
    pairs = pl.DataFrame([cell | {"growth": growth} for growth in (1.0, 2.0, 3.0, 6.0)])
    (row,) = national_cells(pairs).iter_rows(named=True)
    assert (row["nation_n"], row["nation_growth"]) == (4, 3.0)
    assert row["nation_sd"] == pytest.approx((14 / 3) ** 0.5)


@pytest.mark.parametrize("count", [0, 1, 5])
def test_nothing_is_shown_of_a_group_of_five_or_fewer(count: int) -> None:
    assert not figures([*pupils(count), *[result(50 + i, "M5", 9) for i in range(20)]])
    assert figures([*pupils(6), *[result(50 + i, "M5", 9) for i in range(20)]])


def test_suppressed_and_absent_look_alike() -> None:
    country = [r | {"school": SCHOOLS["school"][1], "persoon": "q" + str(r["persoon"])} for r in [*pupils(9), *five_e6(9)]]
    own = pupils(8)
    absent = report_of([*country, *own])
    suppressed = report_of([*country, *own, *five_e6(5)])
    assert absent == suppressed
    assert absent != report_of([*country, *own, *five_e6(6)])


def five_e6(count: int) -> list[dict[str, object]]:
    return [r for i in range(70, 70 + count) for r in (result(i, "M6", 100), result(i, "E6", 120))]


def report_of(rows: list[dict[str, object]]) -> SchoolReport:
    report = CampaignFigures.compute(pl.DataFrame(rows, schema=LINKED_COLUMNS).lazy(), SCHOOLS).school(SCHOOLS["code"][0])
    assert report is not None
    return report


@pytest.mark.parametrize(("others", "beside"), [(0, False), (5, False), (6, True)])
def test_the_national_mean_is_left_out_where_subtraction_would_show_the_others(others: int, beside: bool) -> None:
    rest = [r | {"school": SCHOOLS["school"][1]} for r in pupils(others, 150, start=50)]
    figure = figures([*pupils(10), *rest])[0, 5, "2025-2026"]
    assert (figure.national is not None) is beside
    assert (figure.national_n is not None) is beside
    assert (figure.standardised is not None) is beside
    assert beside or figure.at_least is None


def test_standardised_growth_is_in_national_deviations_about_the_national_mean() -> None:
    rest = [r | {"school": SCHOOLS["school"][1]} for i in range(20) for r in pupils(1, 100 + i, start=50 + i)]
    figure = figures([*pupils(20, 130), *rest])[0, 5, "2025-2026"]
    growth = np.array([30.0] * 20 + list(range(20)))
    assert figure.national == disclosure().mean(float(growth.mean()), 40)
    assert figure.standardised == disclosure().standardised(float((30 - growth.mean()) / growth.std(ddof=1)), 40)
    assert figure.at_least == 95


def test_the_two_newest_cohorts_stand_side_by_side_and_a_few_misdated_rows_make_no_round() -> None:
    schools = made_up_schools(3)
    results = made_up_results(schools, 200, rounds=9)
    stray = results.head(5).with_columns(schooljaar=pl.lit("2031-2032"))
    report = CampaignFigures.compute(pl.concat([results, stray]).lazy(), schools).school(schools["code"][0])
    assert report is not None
    assert report.newest == "2025-2026"
    assert {cohort for _, _, cohort in shown(report)} == {"2024-2025", "2025-2026"}


def test_schools_without_results_or_unknown_have_no_report_and_one_with_few_has_an_empty_one() -> None:
    computed = CampaignFigures.compute(pl.DataFrame(pupils(3), schema=LINKED_COLUMNS).lazy(), SCHOOLS)
    assert computed.codes() == [SCHOOLS["code"][0]]
    assert computed.school("99ZZ99") is None
    assert computed.school(SCHOOLS["code"][1]) is None
    empty = computed.school(SCHOOLS["code"][0])
    assert empty is not None
    assert not shown(empty)
    assert [domain.parts for domain in empty.domains] == [(), (), ()]


def test_no_results_at_all_is_no_error() -> None:
    assert CampaignFigures.compute(pl.DataFrame(schema=LINKED_COLUMNS).lazy(), SCHOOLS).codes() == []


def test_sbo_is_compared_with_sbo() -> None:
    schools = made_up_schools(2).with_columns(kind=pl.Series(["bo", "sbo"]))
    rest = [r | {"school": schools["school"][1]} for r in pupils(20, 150, start=50)]
    frame = pl.DataFrame([*pupils(10), *rest], schema=LINKED_COLUMNS)
    report = CampaignFigures.compute(frame.lazy(), schools).school(schools["code"][0])
    assert report is not None
    assert all(figure.national is None for figure in shown(report).values())


def test_leaving_a_school_out_by_its_leverage_equals_fitting_without_it() -> None:
    draw = np.random.default_rng(5)
    x = np.column_stack([np.ones(30), draw.normal(size=(30, 3))])
    y, weight = draw.normal(size=30), draw.integers(6, 60, 30).astype(float)
    slow = []
    for i in range(30):
        rest = np.arange(30) != i
        root = np.sqrt(weight[rest])
        slow.append(x[i] @ np.linalg.lstsq(x[rest] * root[:, None], y[rest] * root, rcond=None)[0])
    np.testing.assert_allclose(left_out(x, y, weight), slow, rtol=1e-9)


def test_a_school_that_alone_decides_its_prediction_has_none() -> None:
    x = np.column_stack([np.ones(8), [1.0, 0, 0, 0, 0, 0, 0, 0]])
    predicted = left_out(x, np.arange(8.0), np.ones(8))
    assert np.isnan(predicted[0])
    assert np.isfinite(predicted[1:]).all()


def test_the_slope_within_schools_is_that_of_the_other_schools() -> None:
    np.testing.assert_allclose(within_slopes(np.array([2.0, 4.0, 6.0]), np.array([1.0, 1.0, 3.0])), [0.4, 0.5, 1 / 3])
    assert within_slopes(np.zeros(3), np.zeros(3)).tolist() == [0, 0, 0]


def test_the_reference_value_finds_what_a_country_was_made_with() -> None:
    """Second score = 40 + 0.7 first + 10 for the denomination + noise: the prediction must come close for every school."""
    draw = np.random.default_rng(11)
    schools = made_up_schools(60).with_columns(denomination=pl.Series(["A", "B"] * 30))
    rows = []
    truth = {}
    for index, school in enumerate(schools["school"]):
        first = draw.normal(100 + 8 * draw.normal(), 10, 40)
        expected = 40 + 0.7 * first + 10 * (index % 2)
        truth[schools["code"][index]] = float((expected - first).mean())
        for pupil, (one, two) in enumerate(zip(first, expected + draw.normal(0, 5, 40), strict=True)):
            name = index * 100 + pupil
            rows += [result(name, "M5", one, school=school), result(name, "E5", two, school=school)]
    computed = CampaignFigures.compute(pl.DataFrame(rows, schema=LINKED_COLUMNS).lazy(), schools)
    errors = []
    for code, expected_growth in truth.items():
        report = computed.school(code)
        assert report is not None
        (figure,) = shown(report).values()
        assert figure.reference is not None
        errors.append(figure.reference - expected_growth)
    assert abs(np.mean(errors)) < 0.3
    assert np.std(errors) < 1.0


def test_a_schools_own_growth_does_not_move_its_own_reference() -> None:
    schools = made_up_schools(30)
    results = made_up_results(schools, 120)
    own = schools["school"][0]
    better = results.with_columns(
        score=pl.when((pl.col("school") == own) & pl.col("afnamemoment").is_in(["E5"])).then(pl.col("score") + 40).otherwise("score")
    )

    def reference(frame: pl.DataFrame) -> tuple[float | None, float]:
        report = CampaignFigures.compute(frame.lazy(), schools).school(schools["code"][0])
        assert report is not None
        figure = next(p.rows[2].figures[-1] for p in report.domains[1].parts[0].periods if p.period == 0)
        assert figure is not None
        return figure.reference, figure.growth

    assert reference(results)[0] == reference(better)[0]
    assert reference(results)[1] + 40 == pytest.approx(reference(better)[1], abs=0.11)


def test_background_enters_the_reference_and_missing_background_is_a_level() -> None:
    schools = made_up_schools(100)
    results = made_up_results(schools, 60)
    people = results["persoon"].unique().sort()
    levels = pl.Series([("laag", "midden", "hoog")[sum(map(ord, p)) % 3] for p in people])
    background = pl.DataFrame({"persoon": people, "opleiding_ouders": levels, "inkomen": levels}).head(people.len() // 2)
    with_it = CampaignFigures.compute(results.lazy(), schools, background)
    without = CampaignFigures.compute(results.lazy(), schools)
    assert with_it.cells["n"].to_list() == without.cells["n"].to_list()
    assert with_it.cells["reference_growth"].is_not_null().all()
    assert with_it.cells["reference_growth"].to_list() != without.cells["reference_growth"].to_list()


def test_a_figure_of_a_small_group_can_not_be_made_at_all() -> None:
    values = {"n": 5, "first": 1.0, "second": 2.0, "growth": 1.0, "at_least": 3, "nation_n": 500, "nation_growth": 1.0}
    values |= {"reference_growth": 1.0, "standardised": 0.1}
    assert figure_of(values, disclosure()) is None
    assert figure_of(values | {"n": 6}, disclosure()) is not None


def test_an_unknown_denomination_and_one_size_for_all_cost_no_school_its_reference() -> None:
    schools = made_up_schools(30).with_columns(pupils=pl.lit(200), denomination=pl.lit(None, dtype=pl.String))
    computed = CampaignFigures.compute(made_up_results(schools, 90).lazy(), schools)
    assert computed.cells["reference_growth"].is_not_null().all()
