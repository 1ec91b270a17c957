"""Imports of the schools' register: whose a school was when is never lost. And DUO's files, as they were and as they are."""

import csv
import io
from datetime import date
from pathlib import Path

import pytest
from sqlmodel import select

from gateway.registers.schools import DuoRegister, read_duo
from gateway.store.drops import live_register
from gateway.store.ledger import Ledger
from gateway.store.models import Board, Mandate, RegisterVersion, School
from gateway.store.registry import Difference, Differences, What, board_history, import_schools, new_version, school_history
from policies.errors import NotFound, Refused
from policies.register_changes import suspicions
from tests.support.ledgers import audit_rows

D1, D2, D3 = date(2026, 1, 1), date(2026, 3, 1), date(2026, 5, 1)
REAL = Path(__file__).resolve().parents[3] / "shared" / "data" / "alle-vestigingen-bo.csv"


def run(ledger: Ledger, schools: dict[str, str], as_of: date = D1, names: dict[str, str] | None = None) -> Differences:
    """Import schools (code → board); every school's name is its code unless `names` says otherwise."""
    boards = {board: f"Stichting {board}" for board in schools.values()}
    rows = [({"code": code, "name": (names or {}).get(code, code), "city": "Gouda"}, board) for code, board in schools.items()]
    with ledger.change("administrator") as change:
        return import_schools(change, boards, rows, as_of, "ab" * 32)


def changed(found: Differences) -> dict[str, int]:
    """What happened to schools, and how often."""
    return {what: count for what, count in found.counts().items() if count and not what.startswith("board")}


def mandates(ledger: Ledger, school: str) -> list[tuple[str, date, date | None]]:
    with ledger.view() as session:
        rows = session.exec(select(Mandate).where(Mandate.school == school).order_by(Mandate.valid_from)).all()
    return [(row.board, row.valid_from, row.valid_until) for row in rows]


def test_a_first_import_adds_everything_and_is_told(ledger: Ledger) -> None:
    found = run(ledger, {"01AA00": "10001", "01AB00": "10001", "02BB00": "10002"})
    assert changed(found) == {"added": 3}
    assert mandates(ledger, "01AA00") == [("10001", D1, None)]
    (row,) = audit_rows(ledger, "register.")
    assert row.detail == {"as_of": "2026-01-01", "rows": 3, "sha256": "ab" * 32, **found.counts()}
    assert (row.detail["added"], row.detail["board_added"]) == (3, 2)


def test_the_same_register_again_changes_no_mandate(ledger: Ledger) -> None:
    schools = {"01AA00": "10001", "02BB00": "10002"}
    run(ledger, schools)
    assert run(ledger, schools, D2).all == []
    assert mandates(ledger, "01AA00") == [("10001", D1, None)]
    with ledger.view() as session:
        versions = session.exec(select(RegisterVersion).order_by(RegisterVersion.id)).all()
        assert [(row.live, row.reference_date) for row in versions] == [(False, D1), (True, D2)]
        live = live_register(session, "schools")
        assert live is not None and live.id == versions[1].id


def test_a_school_that_moves_keeps_its_history(ledger: Ledger) -> None:
    run(ledger, {"01AA00": "10001", "02BB00": "10002"})
    found = run(ledger, {"01AA00": "10002", "02BB00": "10002"}, D2)
    assert found.all == [
        Difference(What.BOARD_ENDED, "10001", "Stichting 10001"),
        Difference(What.MOVED, "01AA00", "01AA00", "10001", "10002"),
    ]
    assert mandates(ledger, "01AA00") == [("10001", D1, D2), ("10002", D2, None)]
    with ledger.view() as session:
        assert session.get(Board, "10001") is not None, "the board of the time stays"


def test_a_school_that_ends_keeps_its_row_and_may_come_back(ledger: Ledger) -> None:
    run(ledger, {"01AA00": "10001", "02BB00": "10002"})
    assert run(ledger, {"02BB00": "10002"}, D2).of(What.ENDED) == ["01AA00"]
    assert mandates(ledger, "01AA00") == [("10001", D1, D2)]
    with ledger.view() as session:
        assert session.get(School, "01AA00") is not None
    assert run(ledger, {"02BB00": "10002"}, D2).all == [], "it ends once"
    found = run(ledger, {"01AA00": "10003", "02BB00": "10002"}, D3)
    assert (found.of(What.RETURNED), found.of(What.ADDED), found.known) == (["01AA00"], [], 1)
    assert mandates(ledger, "01AA00") == [("10001", D1, D2), ("10003", D3, None)]


def test_a_correction_of_the_same_day_leaves_no_trace_of_what_never_was(ledger: Ledger) -> None:
    run(ledger, {"01AA00": "10001", "02BB00": "10002"})
    run(ledger, {"01AA00": "10009", "02BB00": "10002", "03CC00": "10009"}, D2)
    found = run(ledger, {"01AA00": "10002", "02BB00": "10002"}, D2)
    assert (found.of(What.MOVED), found.of(What.ENDED)) == (["01AA00"], ["03CC00"])
    assert mandates(ledger, "01AA00") == [("10001", D1, D2), ("10002", D2, None)]
    assert mandates(ledger, "03CC00") == []
    run(ledger, {"01AA00": "10001", "02BB00": "10002"}, D2)
    assert mandates(ledger, "01AA00") == [("10001", D1, None)], "it was the first board's all the time"


def test_a_register_older_than_the_one_in_use_is_refused_whole(ledger: Ledger) -> None:
    """It would give a school two boards for the days between, or undo a move."""
    run(ledger, {"01AA00": "10001"}, D1)
    run(ledger, {"01AA00": "10002"}, D3)
    for schools in ({"01AA00": "10001"}, {"01AA00": "10003"}, {"01AA00": "10002", "02BB00": "10002"}):
        with pytest.raises(Refused) as refusal:
            run(ledger, schools, D2)
        assert refusal.value.code == "register-older"
    assert mandates(ledger, "01AA00") == [("10001", D1, D3), ("10002", D3, None)]
    with ledger.view() as session:
        assert session.get(School, "02BB00") is None


def test_names_follow_the_register_and_an_empty_boards_name_erases_none(ledger: Ledger) -> None:
    run(ledger, {"01AA00": "10001"})
    with ledger.change("administrator") as change:
        import_schools(change, {"10001": ""}, [({"code": "01AA00", "name": "De Nieuwe Naam"}, "10001")], D2, "cd" * 32)
    with ledger.view() as session:
        school, board = session.get(School, "01AA00"), session.get(Board, "10001")
    assert school is not None and (school.name, school.city) == ("De Nieuwe Naam", "Gouda")
    assert board is not None and board.name == "Stichting 10001"


def full(ledger: Ledger, as_of: date, *rows: tuple[str, str, dict[str, str]]) -> Differences:
    """Import schools given as (code, board, what is said of them)."""
    usual = {"name": "De Brug", "postcode": "2801AB", "house_number": "1"}
    with ledger.change("administrator") as change:
        boards = {board: f"Stichting {board}" for _, board, _ in rows}
        return import_schools(change, boards, [({**usual, "code": code, **said}, board) for code, board, said in rows], as_of, "00")


def test_what_is_said_of_a_school_and_a_board_is_told_when_it_changes(ledger: Ledger) -> None:
    full(ledger, D1, ("01AA00", "10001", {"kind": "bo"}))
    with ledger.change("administrator") as change:
        rows = [({"code": "01AA00", "name": "De Overkant", "kind": "so"}, "10001")]
        found = import_schools(change, {"10001": "De Nieuwe Stichting"}, rows, D2, "01")
    assert found.all == [
        Difference(What.BOARD_RENAMED, "10001", "De Nieuwe Stichting", "Stichting 10001", "De Nieuwe Stichting"),
        Difference(What.RENAMED, "01AA00", "De Overkant", "De Brug", "De Overkant"),
        Difference(What.KIND_CHANGED, "01AA00", "De Overkant", "bo", "so"),
    ]
    assert full(ledger, D3, ("01AA00", "10001", {"name": "De Overkant"})).of(What.KIND_CHANGED) == [], "a silent file changes no kind"


def test_a_renumbered_school_is_a_new_one_and_people_are_told_where_it_stands(ledger: Ledger) -> None:
    full(ledger, D1, ("01AA00", "10001", {}), ("02BB00", "10001", {"house_number": "2"}))
    found = full(ledger, D2, ("09ZZ00", "10001", {"name": "De Brug 2.0"}), ("02BB00", "10001", {"house_number": "2"}))
    assert found.all == [
        Difference(What.ADDED, "09ZZ00", "De Brug 2.0", None, "10001"),
        Difference(What.ENDED, "01AA00", "De Brug", "10001", None),
        Difference(What.LOOKS_RENUMBERED, "09ZZ00", "De Brug 2.0", "01AA00", "09ZZ00"),
    ]
    assert mandates(ledger, "01AA00") == [("10001", D1, D2)] and mandates(ledger, "09ZZ00") == [("10001", D2, None)]


def test_the_history_of_a_school_and_of_a_board_is_told(ledger: Ledger) -> None:
    """A merger: the second board's schools go to the first; one of them is closed later."""
    run(ledger, {"01AA00": "10001", "02BB00": "10002", "02BC00": "10002"})
    run(ledger, {"01AA00": "10001", "02BB00": "10001", "02BC00": "10001"}, D2)
    run(ledger, {"01AA00": "10001", "02BB00": "10001"}, D3)
    with ledger.view() as session:
        school, periods = school_history(session, "02BC00")
        assert [(period.board, period.valid_from, period.valid_until) for period in periods] == [("10002", D1, D2), ("10001", D2, D3)]
        assert school.name == "02BC00"
        _, periods = board_history(session, "10002")
        assert [(period.school, period.valid_until) for period in periods] == [("02BB00", D2), ("02BC00", D2)]
        _, periods = board_history(session, "10001")
        assert [(period.school, period.valid_until) for period in periods] == [("01AA00", None), ("02BB00", None), ("02BC00", D3)]
        for missing in (lambda: school_history(session, "99ZZ99"), lambda: board_history(session, "99999")):
            with pytest.raises(NotFound):
                missing()


def test_an_import_that_fails_halfway_changes_nothing(ledger: Ledger) -> None:
    run(ledger, {"01AA00": "10001"})
    with pytest.raises(Exception, match=r"(?i)foreign|integrity"), ledger.change("administrator") as change:
        import_schools(change, {}, [({"code": "01AA00", "name": "x"}, "66666")], D2, "")
    assert mandates(ledger, "01AA00") == [("10001", D1, None)]


def test_a_new_version_of_a_register_of_persons_hands_back_the_older(ledger: Ledger) -> None:
    def version(name: str, kind: str = "persons") -> RegisterVersion:
        return RegisterVersion(kind=kind, rows=1, sha256="", file=f"{name}.parquet", key_name=name, imported_at=ledger.clock())

    def add(row: RegisterVersion) -> list[str]:
        with ledger.change("administrator") as change:
            return [old.key_name for old in new_version(change, row)]

    assert add(version("first")) == []
    assert add(version("other", "background")) == []
    assert add(version("second")) == ["first"]
    with ledger.view() as session:
        live = live_register(session, "persons")
        assert live is not None and live.key_name == "second"
        assert live_register(session, "schools") is None


# ---------------------------------------------------------------- DUO's files


COLUMNS = (
    "PROVINCIE", "BEVOEGD GEZAG NUMMER", "BEVOEGD GEZAG NAAM", "INSTELLINGSCODE", "VESTIGINGSCODE", "VESTIGINGSNAAM", "STRAATNAAM",
    "HUISNUMMER-TOEVOEGING", "POSTCODE", "PLAATSNAAM", "GEMEENTENAAM", "DENOMINATIE",
)  # fmt: skip


def duo(*rows: dict[str, str], columns: tuple[str, ...] = COLUMNS) -> bytes:
    """A file in the current layout: comma, everything quoted, UTF-8 with a BOM, CRLF."""
    usual = {
        "PROVINCIE": "Zuid-Holland", "BEVOEGD GEZAG NUMMER": "10001", "BEVOEGD GEZAG NAAM": "Stichting Één, Twee",
        "INSTELLINGSCODE": "01AA",
        "VESTIGINGSCODE": "01AA00", "VESTIGINGSNAAM": 'Basisschool "De Brug", Gouda', "STRAATNAAM": "Kade", "HUISNUMMER-TOEVOEGING": "1 a",
        "POSTCODE": "2801 AB", "PLAATSNAAM": "GOUDA", "GEMEENTENAAM": "GOUDA", "DENOMINATIE": "Openbaar",
    }  # fmt: skip
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, quoting=csv.QUOTE_ALL, lineterminator="\r\n", extrasaction="ignore")
    writer.writeheader()
    writer.writerows({**usual, **row} for row in rows)
    return ("\ufeff" + text.getvalue()).encode()


@pytest.mark.parametrize("code", ["01AA00", "00", " 01aa00 ", "01AA 00"])
def test_the_current_layout_with_both_forms_of_the_schools_code(code: str) -> None:
    register = read_duo(duo({"VESTIGINGSCODE": code}))
    (school,), (board,) = register.schools, register.boards
    assert school.code == "01AA00" and school.name == 'Basisschool "De Brug", Gouda'
    assert (school.postcode, school.house_number, school.kind) == ("2801AB", "1 a", "bo")
    assert (board.number, board.name) == ("10001", "Stichting Één, Twee")


def test_a_file_of_2020_in_windows_1252() -> None:
    text = (
        "PROVINCIE;BEVOEGD GEZAG NUMMER;BRIN NUMMER;VESTIGINGSNUMMER;VESTIGINGSNAAM;POSTCODE\r\n"
        "Fryslân;10249;16AH;16AH01;Café Eén;9000AA\r\n"
    )
    register = read_duo(text.encode("windows-1252"))
    assert [(school.code, school.name, school.province) for school in register.schools] == [("16AH01", "Café Eén", "Fryslân")]


@pytest.mark.parametrize(("written", "kind"), [("Bo", "bo"), ("Sbo", "sbo"), ("SO", "so"), ("vso", "vso"), ("", "bo")])
def test_the_kind_of_school_where_the_file_tells_it(written: str, kind: str) -> None:
    (school,) = read_duo(duo({"SOORT PO": written}, columns=(*COLUMNS, "SOORT PO"))).schools
    assert school.kind == kind


@pytest.mark.parametrize(
    ("source", "code"),
    [
        (duo({"VESTIGINGSCODE": "1AA00"}), "duo-school-code"),
        (duo({}, {"VESTIGINGSCODE": "01AB00", "BEVOEGD GEZAG NUMMER": "1234"}), "duo-board-number"),
        (duo({}, {}), "duo-school-twice"),
        (duo({}, {"VESTIGINGSCODE": "00"}), "duo-school-twice"),
        (duo(), "duo-empty"),
        (b"", "duo-column-missing"),
        (b"\x00\xff\xfe", "duo-column-missing"),
        (duo({}, columns=("BEVOEGD GEZAG NUMMER", "VESTIGINGSNAAM")), "duo-column-missing"),
        (duo({}, columns=("BEVOEGD GEZAG NUMMER", "VESTIGINGSCODE")), "duo-column-missing"),
        (duo({}) + b'"' + b"x" * 200_000, "duo-unreadable"),
    ],
)  # fmt: skip
def test_a_file_that_is_not_duos_is_refused_with_a_reason(source: bytes, code: str) -> None:
    with pytest.raises(Refused) as refusal:
        read_duo(source)
    assert refusal.value.code == code and refusal.value.hint


def test_a_wrong_line_is_named_by_its_number() -> None:
    with pytest.raises(Refused, match="Line 3"):
        read_duo(duo({}, {"VESTIGINGSCODE": "?"}))


@pytest.fixture(scope="module")
def real() -> DuoRegister:
    if not REAL.is_file():
        pytest.skip(f"DUO's register of December 2020 is not beside the project ({REAL.parent.name}/{REAL.name})")
    return read_duo(REAL.read_bytes())


def test_the_real_register_has_every_school_and_board(real: DuoRegister) -> None:
    assert (len(real.schools), len(real.boards)) == (6_268, 847)
    names = {school.code: school for school in real.schools}
    assert names["16AH00"].name == "Openbare Basisschool 't Eenspan" and names["16AH00"].board == "10249"
    assert "Fryslân" in {school.province for school in real.schools} or "Friesland" in {school.province for school in real.schools}
    assert not any("\ufffd" in school.name for school in real.schools)


def test_half_of_the_real_register_is_not_believed_and_a_usual_year_is(lite: Ledger, real: DuoRegister) -> None:
    schools = {school.code: school.board for school in real.schools}
    run(lite, schools, D1)
    half = run(lite, dict(list(schools.items())[:3_134]), D2)
    assert suspicions(half.counts(), half.known) == ["3,134 of 6,268 schools (50%) would have no board any more."]
    run(lite, schools, D2)
    boards = sorted(set(schools.values()))
    merged = {board: board if at % 40 else boards[at - 1] for at, board in enumerate(boards)}
    codes = list(schools)
    year = run(lite, {code: merged[schools[code]] for at, code in enumerate(codes) if at % 100}, D3)
    assert len(year.of(What.ENDED)) == 63 and len(year.of(What.MOVED)) > 100 and len(year.of(What.BOARD_ENDED)) >= 20
    assert suspicions(year.counts(), year.known) == []


def test_the_kinds_that_a_file_does_not_tell_are_known_to_be_untold(real: DuoRegister) -> None:
    assert not real.kinds_told
    assert read_duo(duo({"SOORT PO": "Bo"}, columns=(*COLUMNS, "SOORT PO"))).kinds_told


def test_the_real_register_goes_into_the_ledger_and_again_without_a_change(lite: Ledger, real: DuoRegister) -> None:
    schools = {school.code: school.board for school in real.schools}
    names = {school.code: school.name for school in real.schools}
    assert changed(run(lite, schools, D1, names)) == {"added": 6_268}
    assert run(lite, schools, D2, names).all == []
    with lite.view() as session:
        assert len(session.exec(select(Mandate)).all()) == 6_268
