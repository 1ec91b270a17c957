"""The population and background registers: what is kept, what is refused, and that no identifier is in the file."""

import base64
import hashlib
import io
import struct
from datetime import date
from pathlib import Path

import polars as pl
import pytest

from gateway.drop.keyed import KEY_COLUMNS, with_keys
from gateway.drop.record import IDENTIFIER_COLUMNS
from gateway.registers.background import BACKGROUND_COLUMNS, import_background, load_background
from gateway.registers.persons import REGISTER_COLUMNS, ImportFacts, import_persons, load_persons
from gateway.registers.table import Table
from keys.pseudonyms import PseudonymDomain
from keys.secret import Secret
from policies.errors import NotFound, Refused, Unsound

KEY = Secret(bytes(range(32)))
PERSONS = PseudonymDomain(Secret(bytes(range(40, 72))), "store", "person")
HEADER = "persoon_id;bsn;onderwijsnummer;geslacht;geboortedatum;postcode;huisnummer;toevoeging;peildatum"
GOOD = "P1;111222333;100000053;V;2015-03-09;1012ZX;12;A;2026-10-01"


def imported(folder: Path, *rows: str, header: str = HEADER) -> tuple[ImportFacts, pl.DataFrame]:
    text = "\n".join([header, *rows])
    target = folder / "persons.parquet"
    return import_persons(io.BytesIO(text.encode()), KEY, target), load_persons(target)


def test_keys_are_those_of_the_readable_row(tmp_path: Path) -> None:
    facts, register = imported(tmp_path, GOOD)
    row = ((111222333, 100000053, "V", date(2015, 3, 9), "1012ZX", 12, "A"),)
    expected = with_keys(pl.DataFrame(row, schema=IDENTIFIER_COLUMNS, orient="row"), KEY)
    assert dict(register.schema) == REGISTER_COLUMNS
    assert register.select(KEY_COLUMNS).row(0) == expected.select(KEY_COLUMNS).row(0)
    assert None not in register.row(0)
    assert register["persoon_id"].to_list() == ["P1"]
    text = f"{HEADER}\n{GOOD}".encode()
    assert facts == ImportFacts(1, 0, date(2026, 10, 1), hashlib.sha256(text).hexdigest(), {})


@pytest.mark.parametrize(
    ("separator", "end", "bom", "quote"),
    [(";", "\n", "", ""), (",", "\n", "", ""), (";", "\r\n", "\ufeff", ""), (",", "\r\n", "", '"')],
)
def test_every_way_of_writing_a_csv(tmp_path: Path, separator: str, end: str, bom: str, quote: str) -> None:
    lines = [
        separator.join(f"{quote}{cell}{quote}" for cell in line.split(";")) for line in (HEADER.upper(), GOOD, GOOD.replace("P1", "P2"))
    ]
    facts = import_persons(io.BytesIO((bom + end.join(lines) + end).encode()), KEY, tmp_path / "p")
    assert (facts.rows, facts.refused_rows) == (2, 0)
    assert load_persons(tmp_path / "p").select(KEY_COLUMNS).unique().height == 1


def test_columns_may_stand_in_any_order(tmp_path: Path) -> None:
    _, register = imported(tmp_path, ";".join(reversed(GOOD.split(";"))), header=";".join(reversed(HEADER.split(";"))))
    _, other = imported(tmp_path, GOOD)
    assert register.equals(other)


@pytest.mark.parametrize(
    ("row", "same_as"),
    [
        ("P1;111222333;100000053;v;2015-03-09; 1012 zx ;12;a;2026-10-01", GOOD),
        ("P1;111222333;100000053;V;2015-03-09;1012ZX;0012;-a-;2026-10-01", GOOD),
    ],
)
def test_spelling_makes_no_other_person(tmp_path: Path, row: str, same_as: str) -> None:
    assert imported(tmp_path, row)[1].equals(imported(tmp_path, same_as)[1])


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("P1;111222334;100000053;V;2015-03-09;1012ZX;12;A;2026-10-01", "bsn"),
        ("P1;11122233x;100000053;V;2015-03-09;1012ZX;12;A;2026-10-01", "bsn"),
        ("P1;111222333;100000054;V;2015-03-09;1012ZX;12;A;2026-10-01", "onderwijsnummer"),
        ("P1;111222333;100000053;W;2015-03-09;1012ZX;12;A;2026-10-01", "geslacht"),
        ("P1;111222333;100000053;V;2015-02-30;1012ZX;12;A;2026-10-01", "geboortedatum"),
        ("P1;111222333;100000053;V;2027-03-09;1012ZX;12;A;2026-10-01", "geboortedatum"),
        ("P1;111222333;100000053;V;1815-03-09;1012ZX;12;A;2026-10-01", "geboortedatum"),
        ("P1;111222333;100000053;V;2015-03-09;1012SS;12;A;2026-10-01", "postcode"),
        ("P1;111222333;100000053;V;2015-03-09;1012ZX;0;A;2026-10-01", "huisnummer"),
        ("P1;111222333;100000053;V;2015-03-09;1012ZX;123456;A;2026-10-01", "huisnummer"),
        ("P1;111222333;100000053;V;2015-03-09;1012ZX;12;ABCDEF;2026-10-01", "toevoeging"),
        ("P1;111222333;100000053;V;2015-03-09;1012ZX;12;A;", "peildatum"),
        (";111222333;100000053;V;2015-03-09;1012ZX;12;A;2026-10-01", "persoon_id"),
        ("P12345678901234567;111222333;100000053;V;2015-03-09;1012ZX;12;A;2026-10-01", "persoon_id"),
        ("P1;111222333;100000053;V;2015-03-09;1012ZX;12;A", "fields"),
        ("P1;111222333;100000053;V;2015-03-09;1012ZX;12;A;2026-10-01;", "fields"),
    ],
)
def test_bad_row_is_refused_and_counted(tmp_path: Path, row: str, reason: str) -> None:
    facts, register = imported(tmp_path, row, GOOD.replace("P1", "P2"), "")
    assert (facts.rows, facts.refused_rows, facts.refused) == (1, 1, {reason: 1})
    assert register["persoon_id"].to_list() == ["P2"]


def test_row_that_is_wrong_twice_is_one_row(tmp_path: Path) -> None:
    facts, _ = imported(tmp_path, "P1;1;100000053;Q;2015-03-09;1012ZX;12;A;2026-10-01", GOOD)
    assert (facts.refused_rows, facts.refused) == (1, {"bsn": 1, "geslacht": 1})


@pytest.mark.parametrize(
    ("row", "missing"),
    [
        ("P1;;;V;2015-03-09;1012ZX;12;A;2026-10-01", 6),
        ("P1;000000000;0;V;2015-03-09;1012ZX;12;A;2026-10-01", 6),
        ("P1;999999990;;V;2015-03-09;1012ZX;12;A;2026-10-01", 6),
        ("P1;111222333;100000053;;2015-03-09;1012ZX;12;A;2026-10-01", 3),
        ("P1;111222333;100000053;V;2015-00-00;1012ZX;12;A;2026-10-01", 3),
        ("P1;111222333;100000053;V;2015-03-09;;;;2026-10-01", 1),
    ],
)
def test_missing_field_leaves_the_person_without_that_key(tmp_path: Path, row: str, missing: int) -> None:
    facts, register = imported(tmp_path, row)
    assert facts.refused_rows == 0
    assert register.row(0).count(None) == missing


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (b"", "register-empty"),
        (HEADER.encode(), "register-empty"),
        (f"{HEADER}\nnonsense".encode(), "register-empty"),
        (GOOD.encode(), "register-columns"),
        (f"{HEADER};extra\n{GOOD};1".encode(), "register-columns"),
        (f"{HEADER};bsn\n{GOOD};1".encode(), "register-columns"),
        (f"{HEADER}\n{GOOD}\xe9".encode("latin-1"), "register-encoding"),
        (f"{HEADER}\n111222333{GOOD[2:]}".encode(), "person-id-is-number"),
        (f"{HEADER}\n100000053{GOOD[2:]}".encode(), "person-id-is-number"),
    ],
)
def test_unusable_register_is_refused_whole_and_leaves_the_old_one(tmp_path: Path, text: bytes, code: str) -> None:
    imported(tmp_path, GOOD)
    before = (tmp_path / "persons.parquet").read_bytes()
    with pytest.raises(Refused) as refusal:
        import_persons(io.BytesIO(text), KEY, tmp_path / "persons.parquet")
    assert refusal.value.code == code
    assert "111222333" not in repr(refusal.value) and refusal.value.__cause__ is None
    assert [entry.name for entry in tmp_path.iterdir()] == ["persons.parquet"]
    assert (tmp_path / "persons.parquet").read_bytes() == before


def test_order_of_the_import_is_not_kept(tmp_path: Path) -> None:
    """It is often that of the numbers, and would tell where somebody's number lies."""
    rows = [f"P{number:03};;;V;2015-03-09;1012ZX;{number};;2026-10-01" for number in range(1, 200)]
    _, register = imported(tmp_path, *rows)
    assert not register["persoon_id"].is_sorted()
    assert imported(tmp_path, *reversed(rows))[1].equals(register)


def test_newest_reference_date_counts_and_old_rows_stay(tmp_path: Path) -> None:
    facts, register = imported(tmp_path, GOOD.replace("2026", "2025"), GOOD.replace("1012ZX", "9999ZX"))
    assert facts.reference_date == date(2026, 10, 1)
    assert sorted(register["peildatum"].to_list()) == [date(2025, 10, 1), date(2026, 10, 1)]


def test_leftover_of_an_import_that_was_cut_off_is_cleared(tmp_path: Path) -> None:
    (tmp_path / ".new.persons.parquet.00ff").write_bytes(b"half")
    (tmp_path / ".new.other.00ff").write_bytes(b"another's")
    imported(tmp_path, GOOD)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == [".new.other.00ff", "persons.parquet"]
    assert (tmp_path / "persons.parquet").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("batch", [1, 7, 100, 1000])
def test_batches_cut_nowhere_inside_a_row(batch: int) -> None:
    text = "\ufeffa;b\r\n" + "".join(f"{number};é{number}\r\n" for number in range(200))
    frame = pl.concat(Table(io.BytesIO(text.encode()), ("b", "a"), max(batch, 8)).batches())
    assert frame.rows() == [(f"é{number}", str(number)) for number in range(200)]


def test_pipe_that_gives_little_at_a_time_gives_the_same() -> None:
    class Pipe(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            return super().read(min(3, size or 0))

    text = "a;b\n" + "".join(f"{number};x\n" for number in range(50))
    table = Table(Pipe(text.encode()), ("a", "b"), 40)
    assert pl.concat(table.batches())["a"].to_list() == [str(number) for number in range(50)]
    assert table.sha256 == hashlib.sha256(text.encode()).hexdigest()


def test_line_without_an_end_is_refused() -> None:
    with pytest.raises(Refused, match="without an end"):
        list(Table(io.BytesIO(b"x" * 1000), ("a",), 100).batches())


def encodings(number: int) -> list[bytes]:
    text = str(number)
    plain = [text.encode(), text.encode("utf-16-le"), text.encode("utf-16-be"), struct.pack("<I", number), struct.pack(">I", number)]
    plain += [f"{number:x}".encode(), f"{number:X}".encode(), text.encode().hex().encode(), base64.b64encode(text.encode())[:10]]
    plain += [base64.b32encode(text.encode())[:12], text[::-1].encode(), bytes.fromhex(text.zfill(10))]
    return [*plain, hashlib.sha256(text.encode()).digest(), hashlib.md5(text.encode()).digest(), hashlib.sha1(text.encode()).digest()]


def test_register_file_holds_no_identifier(tmp_path: Path) -> None:
    """Searched in the file's bytes and in its uncompressed columns; the same search finds them where they do stand."""
    rows = [GOOD, "P2;;100000065;M;2014-07-21;9711AB;7;;2026-10-01"]
    imported(tmp_path, *rows)
    data = (tmp_path / "persons.parquet").read_bytes()
    plain = io.BytesIO()
    load_persons(tmp_path / "persons.parquet").write_parquet(plain, compression="uncompressed")
    needles = [needle for number in (111222333, 100000053, 100000065) for needle in encodings(number)]
    needles += [
        text.encode(code) for text in ("1012ZX", "9711AB", "2015-03-09", "20150309", "09-03-2015") for code in ("utf-8", "utf-16-le")
    ]
    needles += [struct.pack("<i", (day - date(1970, 1, 1)).days) for day in (date(2015, 3, 9), date(2014, 7, 21))]
    assert [needle for needle in needles if needle in data or needle in plain.getvalue()] == []
    assert b"P2" in plain.getvalue()
    readable = io.BytesIO()
    pl.DataFrame({"bsn": [111222333], "postcode": ["1012ZX"]}, schema={"bsn": pl.UInt32, "postcode": pl.String}).write_parquet(
        readable, compression="uncompressed"
    )
    assert sum(needle in readable.getvalue() for needle in needles) >= 2


def test_no_register_and_a_broken_one(tmp_path: Path) -> None:
    for load in (load_persons, load_background):
        with pytest.raises(NotFound):
            load(tmp_path / "none")
        (tmp_path / "broken").write_bytes(b"PAR1 not really")
        with pytest.raises(Unsound):
            load(tmp_path / "broken")
        pl.DataFrame({"bsn": [1]}).write_parquet(tmp_path / "other")
        with pytest.raises(Unsound):
            load(tmp_path / "other")


def test_background_is_kept_under_pseudonyms(tmp_path: Path) -> None:
    text = (
        "persoon_id;opleiding_ouders;herkomst;inkomen;huishouden\n"
        "P2;hoog;Nederland;4;twee ouders\n"
        "P1;laag;;2;één ouder\n"
        "P3;111222333;x;1;y\n"
        "P4;hoog;x;1;y\n"
        "P4;laag;x;1;y\n"
        "P1;laag;;2;één ouder\n"
        ";laag;;2;één ouder\n"
    )
    facts = import_background(io.BytesIO(text.encode()), PERSONS, tmp_path / "background")
    frame = load_background(tmp_path / "background")
    assert dict(frame.schema) == BACKGROUND_COLUMNS
    assert {PERSONS.reveal(row[0]): row[1:] for row in frame.rows()} == {
        "P1": ("laag", None, "2", "één ouder"),
        "P2": ("hoog", "Nederland", "4", "twee ouders"),
    }
    assert frame["persoon"].is_sorted()
    assert (facts.rows, facts.refused_rows) == (2, 4)
    assert facts.refused == {"opleiding_ouders": 1, "persoon_id": 1, "twice": 2}
    assert b"P1" not in (tmp_path / "background").read_bytes()
