"""Objections by command: the number comes from a file or standard input, and only its MAC stays."""

from datetime import date, timedelta
from pathlib import Path

import pytest
from sqlmodel import select

from gateway.store.models import DropSchool, ObjectionRegister
from gateway.store.objections import LOST
from tests.support.cli import BSN, ONDERWIJSNUMMER, OTHER_BSN, Cli, begin, deliver

HEADER = "brin_vestiging;bsn;onderwijsnummer;ingediend_op;ingetrokken_op"
CAMPAIGN = ("--campaign", "2026-M")


@pytest.fixture
def way(sluis: Cli, tmp_path: Path) -> Cli:
    begin(sluis, tmp_path, enrol_until=0, objections_from=0)
    return sluis


def status(way: Cli) -> dict[str, tuple[int | None, int | None]]:
    return {row["school"]: (row["register_version"], row["objections"]) for row in way("objection", "status", *CAMPAIGN)["schools"]}


def nowhere(way: Cli) -> None:
    """No number stands in any file of the home."""
    for file in way.home.rglob("*"):
        if file.is_file():
            data = file.read_bytes()
            for number in (BSN, OTHER_BSN, ONDERWIJSNUMMER):
                assert number.encode() not in data, file


def register(folder: Path, *rows: str) -> Path:
    path = folder / "bezwaren.csv"
    path.write_text("\n".join([HEADER, *rows, ""]))
    return path


def test_a_register_replaces_the_schools_older_one(way: Cli, tmp_path: Path) -> None:
    today = date.today().isoformat()
    file = register(tmp_path, f"01AA00;{BSN};;{today};", f"01AA00;;{ONDERWIJSNUMMER};{today};", "01AB00;;;;")
    assert way("objection", "import", file, *CAMPAIGN) == {
        **{"campaign": "2026-M", "schools": 2, "objections": 2},
        **{"unknown_pupils": None, "withdrawn_results": 0},
    }
    assert status(way) == {"01AA00": (1, 2), "01AB00": (1, 0)}
    way("objection", "import", register(tmp_path, f"01AA00;{BSN};;{today};{today}"), *CAMPAIGN)
    assert status(way) == {"01AA00": (2, 0), "01AB00": (1, 0)}
    nowhere(way)


def test_a_register_that_is_wrong_is_refused_whole_without_a_value(way: Cli, tmp_path: Path) -> None:
    today = date.today().isoformat()
    for wrong in (f"01AA00;{int(BSN) + 1};;{today};", f"99ZZ99;{BSN};;{today};", f"01AA00;{BSN};;morgen;"):
        said = way.refused("objection", "import", register(tmp_path, f"01AA00;{OTHER_BSN};;{today};", wrong), *CAMPAIGN)
        assert BSN not in said and str(int(BSN) + 1) not in said and "morgen" not in said
    assert status(way) == {"01AA00": (None, None), "01AB00": (None, None)}


@pytest.mark.parametrize("written", [BSN, f" {BSN}\n", ONDERWIJSNUMMER])
def test_an_objection_is_added_from_standard_input_and_withdrawn_again(way: Cli, written: str) -> None:
    added = way("objection", "add", "01AA00", *CAMPAIGN, stdin=written)
    said = {"unknown_pupils": None, "withdrawn_results": 0}
    assert added == {"school": "01AA00", "campaign": "2026-M", "register_version": 1, **said}
    assert way("objection", "add", "01AA00", *CAMPAIGN, "--filed-on", "2026-01-30", stdin=OTHER_BSN)["register_version"] == 2
    assert status(way)["01AA00"] == (2, 2)
    assert way("objection", "withdraw", "01AA00", *CAMPAIGN, stdin=written)["register_version"] == 3
    assert status(way)["01AA00"] == (3, 1)
    way.refused("objection", "withdraw", "01AA00", *CAMPAIGN, stdin=written)
    assert status(way)["01AA00"] == (3, 1), "withdrawn once"
    nowhere(way)
    assert BSN not in repr(way("audit", "show"))


def test_a_pupil_who_is_added_twice_counts_once(way: Cli, tmp_path: Path) -> None:
    persons(way, tmp_path)
    for number, version in ((BSN, 1), (BSN, 1), (ONDERWIJSNUMMER, 2), (OTHER_BSN, 3)):
        assert way("objection", "add", "01AA00", *CAMPAIGN, stdin=number)["register_version"] == version
    assert status(way)["01AA00"] == (3, 2), "the second number is of the same pupil, and makes the match surer"
    way("objection", "withdraw", "01AA00", *CAMPAIGN, stdin=ONDERWIJSNUMMER)
    assert status(way)["01AA00"] == (4, 1), "withdrawn by either number"
    assert way("objection", "add", "01AA00", *CAMPAIGN, stdin=BSN)["register_version"] == 5


def test_whom_the_population_register_does_not_know_is_counted(way: Cli, tmp_path: Path) -> None:
    persons(way, tmp_path)
    assert way("objection", "add", "01AA00", *CAMPAIGN, stdin=BSN)["unknown_pupils"] == 0
    assert way("objection", "add", "01AA00", *CAMPAIGN, stdin=OTHER_BSN)["unknown_pupils"] == 1
    file = register(tmp_path, *(f"01AA00;{number};;{date.today()};" for number in (BSN, OTHER_BSN)), f"01AB00;{OTHER_BSN};;{date.today()};")
    assert way("objection", "import", file, *CAMPAIGN)["unknown_pupils"] == 2
    nowhere(way)


def persons(way: Cli, folder: Path) -> None:
    """A population register in which one person has both numbers."""
    file = folder / "personen.csv"
    file.write_text(
        "persoon_id;bsn;onderwijsnummer;geslacht;geboortedatum;postcode;huisnummer;toevoeging;peildatum\n"
        f"P1;{BSN};{ONDERWIJSNUMMER};M;2016-01-01;1234AB;1;;2026-01-01\n"
    )
    way("register", "persons", file)
    file.unlink()


def test_a_population_register_that_can_not_be_read_is_named(way: Cli, tmp_path: Path) -> None:
    persons(way, tmp_path)
    [stored] = way.home.glob("registers/persons-*.parquet")
    stored.write_bytes(b"PAR1 not really")
    said = way.refused("objection", "add", "01AA00", *CAMPAIGN, stdin=BSN, status=3)
    assert "population register can't be read" in said and "Import the register again" in said
    assert status(way)["01AA00"] == (None, None)


@pytest.mark.parametrize("typed", ["", "abc", "12345678", str(int(BSN) + 1), "000000000"])
def test_what_is_no_number_is_refused_and_not_repeated(way: Cli, typed: str) -> None:
    said = way.refused("objection", "add", "01AA00", *CAMPAIGN, stdin=typed)
    assert not typed or typed not in said
    assert status(way)["01AA00"] == (None, None)


@pytest.mark.parametrize("placeholder", ["123456782", "111111110"])
def test_a_placeholder_is_no_objection_and_makes_no_register(way: Cli, placeholder: str) -> None:
    assert "placeholder" in way.refused("objection", "add", "01AA00", *CAMPAIGN, stdin=placeholder)
    assert status(way)["01AA00"] == (None, None), "no register that says that nobody objects"


def test_a_day_that_is_still_to_come_is_refused(way: Cli) -> None:
    tomorrow = date.today() + timedelta(days=2)
    assert "--filed-on" in way.refused("objection", "add", "01AA00", *CAMPAIGN, "--filed-on", tomorrow, stdin=BSN)
    way("objection", "add", "01AA00", *CAMPAIGN, stdin=BSN)
    assert "--withdrawn-on" in way.refused("objection", "withdraw", "01AA00", *CAMPAIGN, "--withdrawn-on", tomorrow, stdin=BSN)
    assert status(way)["01AA00"] == (1, 1)


def test_a_schools_code_is_taken_as_somebody_types_it(way: Cli) -> None:
    assert way("objection", "add", "01aa00", *CAMPAIGN, stdin=BSN)["school"] == "01AA00"
    assert way("objection", "withdraw", " 01aa00 ", *CAMPAIGN, stdin=BSN)["register_version"] == 2
    assert "99AA99" in way.refused("objection", "add", "01AA", *CAMPAIGN, stdin=BSN)


def test_a_register_that_is_refused_says_where(way: Cli, tmp_path: Path) -> None:
    today = date.today().isoformat()
    said = way.refused("objection", "import", register(tmp_path, f"01AA00;{BSN};;{today};", f"01AA00;123456782;;{today};"), *CAMPAIGN)
    assert "placeholder-number (row 2, bsn)" in said and "more" not in said and "123456782" not in said
    many = register(tmp_path, *(f"01AA00;{BSN};;morgen;" for _ in range(9)))
    assert "date (row 1, ingediend_op)" in (said := way.refused("objection", "import", many, *CAMPAIGN)) and "and 5 more" in said


def test_a_school_that_is_not_there_is_said_before_a_number_is_asked(way: Cli) -> None:
    assert "no such school" in way.refused("objection", "add", "99ZZ99", *CAMPAIGN, stdin=BSN)
    assert "no such objection" in way.refused("objection", "withdraw", "01AA00", *CAMPAIGN, stdin=BSN)


def test_status_tells_what_drops_held_of_objecting_pupils(way: Cli) -> None:
    home = way.opened()
    drop = deliver(home)
    with home.ledger.change("worker") as change:
        change.session.add(DropSchool(drop=drop, school="01AA00", rows=10, pupils=4, objected_pupils=3))
    rows = {row["school"]: row for row in way("objection", "status", *CAMPAIGN)["schools"]}
    assert set(rows) == {"01AA00", "01AB00"}, "the schools that take part"
    assert [rows[code]["objecting_pupils_delivered"] for code in sorted(rows)] == [3, 0]
    way("objection", "add", "02BB00", *CAMPAIGN, stdin=BSN)
    assert status(way)["02BB00"] == (1, 1), "also one that does not, once it handed in a register"


def test_before_the_window_opens_nothing_is_taken_and_the_day_to_come_back_is_told(sluis: Cli, tmp_path: Path) -> None:
    begin(sluis, tmp_path, enrol_until=0, objections_from=1)
    today, tomorrow = date.today().isoformat(), (date.today() + timedelta(days=1)).isoformat()
    assert tomorrow in sluis.refused("objection", "import", register(tmp_path, f"01AA00;{BSN};;{today};"), *CAMPAIGN)
    assert tomorrow in sluis.refused("objection", "add", "01AA00", *CAMPAIGN, stdin=BSN)
    assert status(sluis) == {"01AA00": (None, None), "01AB00": (None, None)}
    sluis("campaign", "change", "2026-M", "--objections-from", today)
    assert sluis("objection", "add", "01AA00", *CAMPAIGN, stdin=BSN)["register_version"] == 1


def test_nothing_is_withdrawn_from_a_register_that_was_lost(way: Cli) -> None:
    way("objection", "add", "01AA00", *CAMPAIGN, stdin=BSN)
    with way.opened().ledger.change("restore") as change:
        change.session.exec(select(ObjectionRegister)).one().source = LOST
    assert "register was lost" in way.refused("objection", "withdraw", "01AA00", *CAMPAIGN, stdin=BSN)
