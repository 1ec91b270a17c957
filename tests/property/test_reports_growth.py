"""Laws of the figures: a slow oracle agrees, order does not matter, and no small group ever shows."""

import math
import statistics
from collections import defaultdict
from datetime import date

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.drop.record import LINKED_COLUMNS
from gateway.reports.campaign import CampaignFigures
from gateway.reports.growth import instruments, matched_pairs, measurements, newest_round
from gateway.reports.pdf import values
from gateway.reports.school import Figure, SchoolReport
from policies.growth import growth
from tests.support.reports import made_up_schools

SCHOOLS = made_up_schools(3)
EVERYTHING = (0, 10_000)

rows = st.fixed_dictionaries(
    {
        "persoon": st.integers(0, 9).map("p{}".format),
        "school": st.sampled_from(SCHOOLS["school"].to_list()),
        "schooljaar": st.sampled_from(["2023-2024", "2024-2025", "2025-2026"]),
        "jaargroep": st.sampled_from(["4", "5", "6", "S"]),
        "kinderdagverblijf": st.sampled_from([None, True, False]),
        "peuterspeelzaal": st.none(),
        "uitgever": st.sampled_from(["cito", "iep"]),
        "toetscode": st.sampled_from(["RW-3.0-M5", "RW-3.0-E5", "RW-2.0-E5"]),
        "domein": st.sampled_from(["rekenen_wiskunde", "spelling"]),
        "afnamemoment": st.sampled_from(["M4", "E4", "M5", "E5", "M6", "B8", ""]),
        "afnamedatum": st.dates(date(2023, 9, 1), date(2026, 7, 31)),
        "score": st.one_of(st.integers(-50, 400).map(float), st.just(math.nan), st.none()),
    }
)


def round_of(row: dict[str, object]) -> int | None:
    year, moment, day = int(str(row["schooljaar"])[:4]), str(row["afnamemoment"]), row["afnamedatum"]
    assert isinstance(day, date)
    if moment[:1] in ("M", "E"):
        return 2 * year + (moment[0] == "E")
    if moment or day.month in (8, 9, 10):
        return None
    return 2 * year + (day.month in (4, 5, 6, 7))


def oracle(table: list[dict[str, object]]) -> list[tuple[str, int, int, int, float, float]]:
    """All pairs as (domain + publisher + scale, period, group, round, first, second), slowly and in plain words."""
    sittings = defaultdict(list)
    for row in table:
        round_, score = round_of(row), row["score"]
        if round_ is None or score is None or math.isnan(float(str(score))):
            continue
        scale = str(row["toetscode"]).rsplit("-", 1)[0]
        instrument = f"{row['domein']}/{row['uitgever']}/{scale}"
        group = 0 if row["jaargroep"] == "S" else int(str(row["jaargroep"]))
        sittings[row["persoon"], row["school"], instrument, round_].append((row["afnamedatum"], score, group))
    first_sitting = {key: min(found) for key, found in sittings.items()}
    pairs = []
    for (person, school, instrument, round_), (_, second, group) in first_sitting.items():
        earlier = first_sitting.get((person, school, instrument, round_ - 1))
        if earlier is None:
            continue
        _, first, before = earlier
        within = round_ % 2 == 1
        if (within and before == group) or (not within and (before == group == 0 or (before and group == before + 1))):
            pairs.append((instrument, int(not within), before, round_, float(str(first)), float(str(second))))
    return sorted(pairs)


@settings(max_examples=100, deadline=None)
@given(st.lists(rows, max_size=60))
def test_pairs_equal_the_oracles(table: list[dict[str, object]]) -> None:
    results = pl.DataFrame(table, schema=LINKED_COLUMNS).lazy()
    known, codes = instruments(results, growth())
    pairs = matched_pairs(measurements(results, codes, *EVERYTHING, growth()))
    named = [f"{one.domain}/{one.publisher}/{one.scale}" for one in known]
    columns = ("instrument", "period", "group", "round", "first", "second")
    assert sorted((named[row[0]], *row[1:]) for row in pairs.select(columns).iter_rows()) == oracle(table)


def figures(report: SchoolReport | None) -> list[Figure]:
    if report is None:
        return []
    periods = [period for domain in report.domains for part in domain.parts for period in part.periods]
    return [figure for period in periods for row in period.rows for figure in row.figures if figure is not None]


@st.composite
def countries(draw: st.DrawFn) -> list[dict[str, object]]:
    """Schools with groups of 0 to 12 pupils on one instrument in one year: the sizes around the limit."""
    table: list[dict[str, object]] = []
    for school in SCHOOLS["school"]:
        for group in ("4", "5"):
            for pupil in range(draw(st.integers(0, 12))):
                for half, month in (("M", 1), ("E", 6)):
                    row = draw(rows)
                    row |= {"persoon": f"{school}{group}{pupil}", "school": school, "jaargroep": group, "uitgever": "cito"}
                    row |= {"schooljaar": "2025-2026", "domein": "spelling", "toetscode": "SP", "afnamedatum": date(2026, month, 9)}
                    table.append(row | {"afnamemoment": f"{half}{group}", "score": float(draw(st.integers(0, 300)))})
    return table


@settings(max_examples=30, deadline=None)
@given(countries(), st.randoms())
def test_the_order_of_rows_changes_nothing(table: list[dict[str, object]], random: object) -> None:
    shuffled = list(table)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    one, other = (CampaignFigures.compute(pl.DataFrame(each, schema=LINKED_COLUMNS).lazy(), SCHOOLS) for each in (table, shuffled))
    assert one.codes() == other.codes()
    assert [one.school(code) for code in one.codes()] == [other.school(code) for code in other.codes()]


@settings(max_examples=100, deadline=None)
@given(countries())
def test_every_figure_is_of_a_group_that_may_be_shown_and_equals_plain_means(table: list[dict[str, object]]) -> None:
    computed = CampaignFigures.compute(pl.DataFrame(table, schema=LINKED_COLUMNS).lazy(), SCHOOLS)
    assert computed.cells.filter(pl.col("n") < 6).is_empty()
    sizes = defaultdict(dict[str, list[float]])
    for row in table:
        if row["afnamemoment"] in ("E4", "E5"):
            before = next(r for r in table if r["persoon"] == row["persoon"] and str(r["afnamemoment"])[0] == "M")
            grown = float(str(row["score"])) - float(str(before["score"]))
            sizes[row["jaargroep"]].setdefault(str(row["school"]), []).append(grown)
    expected = {
        (code, group): (len(per[school]), statistics.fmean(per[school]), sum(map(len, per.values())))
        for code, school in SCHOOLS.select("code", "school").iter_rows()
        for group, per in sizes.items()
        if len(per.get(school, [])) > 5
    }
    found = {}
    for code in computed.codes():
        report = computed.school(code)
        assert report is not None
        for part in (part for domain in report.domains for part in domain.parts):
            for row_ in part.periods[0].rows:
                for figure in row_.figures:
                    if figure is not None:
                        found[code, str(row_.group)] = figure
    assert set(found) == set(expected)
    for key, figure in found.items():
        n, mean, whole = expected[key]
        assert figure.n == n
        assert abs(figure.growth - mean) <= 0.05 + 1e-6
        assert (figure.national_n is None) == (whole - n <= 5)
        assert figure.national_n in (None, whole)
        assert figure.at_least is None or (n >= 20 and figure.at_least in range(5, 100, 5))


@settings(max_examples=30, deadline=None)
@given(countries())
def test_a_group_of_five_or_fewer_could_as_well_not_exist(table: list[dict[str, object]]) -> None:
    """Taking a school's small groups out of the country changes its report in no way where the country's figures stay."""
    own = SCHOOLS["school"][0]
    counts = (
        pl.DataFrame(table, schema=LINKED_COLUMNS).filter(pl.col("school") == own).group_by("jaargroep").agg(pl.col("persoon").n_unique())
    )
    small = set(counts.filter(pl.col("persoon") <= 5)["jaargroep"])
    without = [row for row in table if not (row["school"] == own and row["jaargroep"] in small)]
    anyone = [row for row in without if row["school"] == own]
    # the other schools' pupils decide which groups the country has: six of each, so that it has both
    extra = [
        row | {"persoon": f"extra{i}{group}", "school": SCHOOLS["school"][2], "jaargroep": group, "afnamemoment": f"{half}{group}"}
        for row in table[:1]
        for group in ("4", "5")
        for i in range(6)
        for half in "ME"
    ]
    if not anyone or not extra:
        return
    code = SCHOOLS["code"][0]
    one, other = (
        CampaignFigures.compute(pl.DataFrame([*each, *extra], schema=LINKED_COLUMNS).lazy(), SCHOOLS).school(code)
        for each in (table, without)
    )
    assert one == other


@settings(max_examples=30, deadline=None)
@given(countries())
def test_no_number_of_a_small_group_reaches_the_template(table: list[dict[str, object]]) -> None:
    computed = CampaignFigures.compute(pl.DataFrame(table, schema=LINKED_COLUMNS).lazy(), SCHOOLS)
    for code in computed.codes():
        report = computed.school(code)
        assert report is not None
        said = values(report, date(2026, 7, 3), "c")
        for domain in said["domains"]:
            for part in domain["parts"]:
                for period in part["periods"]:
                    assert all(row[2] == "–" or int(row[2].replace(".", "")) > 5 for row in period["rows"])
                    bars = [bar for group in period["chart"]["groups"] for cohort in group["cohorts"] for bar in cohort["bars"]]
                    assert all(int(bar["n"].replace(".", "")) > 5 for bar in bars)
                    assert len(bars) == sum(row[column] != "–" for row in period["rows"] for column in (5, 6, 8))
        assert len(figures(report)) == sum(
            row[2] != "–" for d in said["domains"] for p in d["parts"] for q in p["periods"] for row in q["rows"]
        )


def test_a_country_without_results_has_no_newest_round() -> None:
    assert newest_round(pl.DataFrame(schema=LINKED_COLUMNS).lazy(), growth()) is None
