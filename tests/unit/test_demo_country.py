"""The demo's country: a register, schools of real sizes, pupils whose numbers are valid, and exports the checks accept."""

import io
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from stdnum.nl import bsn as stdnum_bsn
from stdnum.nl import onderwijsnummer as stdnum_ond
from stdnum.nl import postcode as stdnum_postcode

from gateway.checks.check import CheckContext, Checked, Outcome
from gateway.checks.objections import Objections, macs_of, read_objection_register
from gateway.checks.schools import SchoolStanding
from gateway.demo.exports import COLUMNS, DOMAINS, OVERLOOKED, results_of, rounds, write_export, write_objections
from gateway.demo.population import NOT_IN_REGISTER, OTHERS, numbers, pupils_of, write_persons
from gateway.demo.schools import FEWEST, MOST, VENDORS, DemoSchool, made_up_register, taking_part
from gateway.drop.keyed import PLACEHOLDER_NUMBERS
from gateway.registers.persons import import_persons
from gateway.registers.schools import DuoRegister, SchoolRow, read_duo
from keys.secret import Secret
from policies.rules import packaged_rules

#: each of these takes a part of a second or more: `make check` leaves them out
pytestmark = pytest.mark.slow

TODAY = date(2026, 11, 21)
KEY = Secret(bytes(32))


def country(seed: int = 1, boards: int = 6, pupils: int | None = 150) -> tuple[list[DemoSchool], pl.DataFrame]:
    rng = np.random.default_rng(seed)
    schools = taking_part(read_duo(made_up_register(boards, rng)), None, pupils, rng)
    return schools, pupils_of(schools, rounds(TODAY)[0].year, rng)


@pytest.fixture(scope="module")
def made() -> tuple[list[DemoSchool], pl.DataFrame]:
    return country()


def checked(export: Path, schools: list[DemoSchool], objections: Objections | None = None) -> Outcome:
    standings = {school.row.code: SchoolStanding(school.row.code, school.row.board, True, school.row.kind, "v") for school in schools}
    context = CheckContext("v", TODAY, standings, objections or Objections([], KEY))
    found = Checked(io.BytesIO(export.read_bytes()), context, packaged_rules("nco-lvs-1"))
    for _ in found.batches():
        pass
    return found.outcome


# ---------------------------------------------------------------- register and schools


@pytest.mark.parametrize("boards", [1, 6, 200])
def test_the_made_up_register_is_one_that_duo_could_have_published(boards: int) -> None:
    source = made_up_register(boards, np.random.default_rng(1))
    assert source.startswith(b'\xef\xbb\xbf"PROVINCIE","BEVOEGD GEZAG NUMMER"') and b"\r\n" in source
    register = read_duo(source)
    assert len(register.boards) == boards and all(board.name for board in register.boards)
    per_board = [sum(school.board == board.number for school in register.schools) for board in register.boards]
    assert per_board[0] == 3 and min(per_board) >= 1 and max(per_board) <= 6
    assert all(stdnum_postcode.is_valid(school.postcode) for school in register.schools)


def test_sizes_are_those_of_the_netherlands() -> None:
    """1.37 million pupils in 6,268 schools; 1,060 of them have 100 or fewer (domain.md)."""
    rows = tuple(SchoolRow(f"{n // 676:02}{chr(65 + n // 26 % 26)}{chr(65 + n % 26)}00", "10001", *[""] * 9) for n in range(6_268))
    register = DuoRegister(read_duo(made_up_register(1, np.random.default_rng(1))).boards, tuple(_of_board(row) for row in rows))
    sizes = [school.pupils for school in taking_part(register, None, None, np.random.default_rng(1))]
    assert len(sizes) == 6_268
    assert 1.30e6 < sum(sizes) < 1.44e6
    assert 0.14 < sum(size <= 100 for size in sizes) / len(sizes) < 0.20
    assert min(sizes) >= FEWEST and max(sizes) <= MOST


def _of_board(row: SchoolRow) -> SchoolRow:
    return SchoolRow(row.code, "90001", "Basisschool", "bo", "", "", "1234AB", "", "", "", "")


def test_only_schools_that_may_take_part_do_and_every_vendor_has_a_board() -> None:
    rng = np.random.default_rng(3)
    register = read_duo(made_up_register(9, rng))
    kinds = ("bo", "sbo", "so", "vso")
    mixed = DuoRegister(
        register.boards,
        tuple(SchoolRow(**{**vars(row), "kind": kinds[place % 4]}) for place, row in enumerate(register.schools)),
    )
    schools = taking_part(mixed, 5, 20, rng)
    assert {school.row.kind for school in schools} == {"bo", "sbo"} and {school.pupils for school in schools} == {20}
    assert len({school.row.board for school in schools}) == 5
    assert [(school.row.board, school.row.code) for school in schools] == sorted((s.row.board, s.row.code) for s in schools)
    by_board: dict[str, set[str]] = {}
    for school in taking_part(register, None, 20, rng):
        by_board.setdefault(school.row.board, set()).add(school.vendor)
    assert all(len(vendors) == 1 for vendors in by_board.values()), "a board works with one vendor"
    assert set().union(*by_board.values()) == set(VENDORS)


# ---------------------------------------------------------------- pupils


@pytest.mark.parametrize(("remainder", "first", "last"), [(0, 1_000_000, 99_999_999), (5, 10_000_000, 10_999_999)])
@pytest.mark.parametrize("count", [1, 7, 5_000])
def test_numbers_pass_the_elfproef_and_are_unique(remainder: int, first: int, last: int, count: int) -> None:
    found = numbers(count, remainder, first, last, np.random.default_rng(count)).tolist()
    assert len(found) == len(set(found)) == count
    valid = stdnum_bsn if remainder == 0 else stdnum_ond
    assert all(valid.is_valid(f"{number:09}") for number in found)


def test_enough_numbers_for_the_whole_country() -> None:
    assert len(np.unique(numbers(1_400_000, 0, 1_000_000, 99_999_999, np.random.default_rng(1)))) == 1_400_000
    assert len(np.unique(numbers(42_000, 5, 10_000_000, 10_999_999, np.random.default_rng(1)))) == 42_000


def test_pupils_are_valid_and_nobody_is_there_twice(made: tuple[list[DemoSchool], pl.DataFrame]) -> None:
    schools, pupils = made
    assert pupils.height == 150 * len(schools) and pupils["at"].value_counts()["count"].unique().to_list() == [150]
    for name, valid in (("bsn", stdnum_bsn), ("onderwijsnummer", stdnum_ond)):
        given = [number for number in pupils[name].to_list() if number]
        assert len(given) == len(set(given)) and all(valid.is_valid(f"{number:09}") for number in given)
        assert not set(given) & set(PLACEHOLDER_NUMBERS)
    assert not ((pupils["bsn"] > 0) & (pupils["onderwijsnummer"] > 0)).any()
    without = pupils.filter((pl.col("bsn") == 0) & (pl.col("onderwijsnummer") == 0)).height / pupils.height
    assert 0 < without < 0.015 and 0.01 < (pupils["onderwijsnummer"] > 0).mean() < 0.04  # type: ignore[operator]
    assert all(map(stdnum_postcode.is_valid, pupils["postcode"].unique().to_list()))
    assert set(pupils["group"].unique().to_list()) == set(range(1, 9))
    assert set(pupils["geslacht"].unique().to_list()) <= {"M", "V", "X"}


def test_a_pupils_age_fits_the_group(made: tuple[list[DemoSchool], pl.DataFrame]) -> None:
    october = date(rounds(TODAY)[0].year, 10, 1)
    ages = made[1].select(years=(pl.lit(october) - pl.col("geboortedatum")).dt.total_days() / 365.25, group="group")
    assert ages.select((pl.col("years") - pl.col("group").cast(pl.Float64)).is_between(2.99, 4.01).all()).item()


def test_the_population_register_holds_the_pupils_and_a_few_others(made: tuple[list[DemoSchool], pl.DataFrame], tmp_path: Path) -> None:
    pupils = made[1]
    path = tmp_path / "personen.csv"
    rows = write_persons(pupils, path, TODAY, np.random.default_rng(5))
    registered = int(pupils["registered"].sum())
    assert rows == registered + int(registered * OTHERS) and registered > pupils.height * (1 - 5 * NOT_IN_REGISTER)
    with path.open("rb") as source:
        facts = import_persons(source, KEY, tmp_path / "personen.parquet")
    assert (facts.rows, facts.refused_rows, facts.reference_date) == (rows, 0, TODAY)


# ---------------------------------------------------------------- exports


def test_rounds_are_over_and_newest_first() -> None:
    for day in (TODAY, date(2026, 1, 1), date(2026, 2, 15), date(2026, 6, 25), date(2026, 6, 26), date(2026, 8, 1)):
        found = rounds(day)
        assert len(found) == 4 and [one.day for one in found] == sorted((one.day for one in found), reverse=True)
        assert all(one.day + timedelta(days=14) < day for one in found)
    assert [(one.year, one.half) for one in rounds(TODAY)] == [(2025, "E"), (2025, "M"), (2024, "E"), (2024, "M")]


@pytest.fixture(scope="module")
def export(made: tuple[list[DemoSchool], pl.DataFrame], tmp_path_factory: pytest.TempPathFactory) -> Path:
    schools, pupils = made
    path = tmp_path_factory.mktemp("export") / "levering.csv"
    write_export(results_of(pupils, schools, rounds(TODAY), (1, 0)), path)
    return path


def test_an_export_passes_the_checks_with_few_refused_rows(made: tuple[list[DemoSchool], pl.DataFrame], export: Path) -> None:
    outcome = checked(export, made[0])
    assert not outcome.refused, outcome.findings[:3]
    counts = outcome.counts
    assert counts["rows"] > 10_000 and counts["schools"] == len(made[0])
    assert 0 < counts["refused_rows"] / counts["rows"] < 0.01, "some errors, as in real deliveries, but few"
    assert counts["accepted_rows"] + counts["refused_rows"] == counts["rows"]


def test_an_export_has_every_column_domain_and_a_plausible_score(export: Path) -> None:
    frame = pl.read_csv(export, separator=";", infer_schema=False)
    assert tuple(frame.columns) == COLUMNS == tuple(column.name for column in packaged_rules("nco-lvs-1").columns)
    assert set(frame["domein"].unique()) == set(DOMAINS)
    # sorted by pupil, as vendors export: growth needs two tests of one pupil
    per_pupil = frame.filter(pl.col("bsn") != "").group_by("bsn", "domein").len()
    assert per_pupil["len"].mean() > 1.5  # type: ignore[operator]
    assert frame.group_by("bsn", "domein", "afnamedatum").len().filter((pl.col("len") > 1) & (pl.col("bsn") != "")).is_empty()
    scores = frame.group_by("uitgever").agg(pl.col("score").cast(pl.Float64).mean())
    assert all(20 < mean < 350 for mean in scores["score"])


def test_the_same_seed_makes_the_same_bytes_and_another_does_not(tmp_path: Path) -> None:
    def everything(seed: int) -> list[bytes]:
        schools, pupils = country(seed, boards=2, pupils=30)
        paths = [tmp_path / f"{seed}-{name}" for name in ("export", "persons", "objections")]
        write_export(results_of(pupils, schools, rounds(TODAY), (seed, 0)), paths[0])
        write_persons(pupils, paths[1], TODAY, np.random.default_rng(seed))
        write_objections(pupils, schools, paths[2], TODAY)
        return [made_up_register(2, np.random.default_rng(seed)), *(path.read_bytes() for path in paths)]

    first = everything(1)
    assert everything(1) == first
    assert all(a != b for a, b in zip(first, everything(2), strict=True))


def test_a_boards_export_does_not_depend_on_the_others(made: tuple[list[DemoSchool], pl.DataFrame]) -> None:
    schools, pupils = made
    alone = pupils.filter(pl.col("at") < 3)
    first = results_of(alone, schools[:3], rounds(TODAY), (1, 0))
    results_of(pupils.filter(pl.col("at") >= 3).with_columns(pl.col("at") - 3), schools[3:], rounds(TODAY), (1, 3))
    assert results_of(alone, schools[:3], rounds(TODAY), (1, 0)).equals(first)


# ---------------------------------------------------------------- objections


def test_objection_registers_are_read_and_strip_what_was_delivered_all_the_same(
    made: tuple[list[DemoSchool], pl.DataFrame], export: Path, tmp_path: Path
) -> None:
    schools, pupils = made
    path = tmp_path / "bezwaren.csv"
    count = write_objections(pupils, schools, path, TODAY - timedelta(days=10))
    codes = {school.row.code for school in schools}
    with path.open("rb") as source:
        register = read_objection_register(source, codes, TODAY)
    assert not register.refused and set(register.schools) == codes, "every school hands one in, if only an empty one"
    rows = [row for rows in register.schools.values() for row in rows]
    assert len(rows) == count > 0
    objections = Objections(macs_of(rows, KEY), KEY)
    outcome = checked(export, schools, objections)
    assert 0 < outcome.counts["objected_pupils"] < count * (OVERLOOKED + 0.4), "a few were delivered, most were left out"
