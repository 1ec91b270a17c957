"""The checks of nco-lvs-1: layouts, types, and every rule that refuses a row or a drop."""

import csv
import io
from collections.abc import Callable
from datetime import date

import pytest

from gateway.checks.check import CheckContext, Checked, Outcome
from gateway.checks.tally import SchoolCount
from gateway.drop.record import BATCH_COLUMNS
from policies.rules import packaged_rules
from tests.support.deliveries import (
    COLUMNS,
    SCHOOL,
    Row,
    bsn,
    check,
    context,
    onderwijsnummer,
    row,
    rows,
    rules_told,
    standing,
    write_csv,
)

EXPECTED = {
    "row": 1,
    "brin_vestiging": SCHOOL,
    "bsn": bsn(1),
    "onderwijsnummer": None,
    "geslacht": "V",
    "geboortedatum": date(2015, 3, 14),
    "postcode": "1234AB",
    "huisnummer": 12,
    "toevoeging": "A",
    "schooljaar": "2025-2026",
    "jaargroep": "5",
    "kinderdagverblijf": True,
    "peuterspeelzaal": None,
    "uitgever": "cito",
    "toetscode": "RW2006-12-155",
    "domein": "rekenen_wiskunde",
    "afnamemoment": "M5",
    "afnamedatum": date(2026, 1, 20),
    "score": 213.5,
}


def with_one_bad(**fields: str) -> bytes:
    """199 valid rows and a changed one: below the share that refuses the whole drop."""
    return write_csv([*rows(100), row(**fields), *rows(99)])


def test_a_row_gets_its_types() -> None:
    checked = Checked(io.BytesIO(write_csv([row()])), context(), packaged_rules("nco-lvs-1"))
    (batch,) = checked.batches()
    assert dict(batch.schema) == BATCH_COLUMNS
    assert batch.to_dicts() == [EXPECTED]
    outcome = checked.outcome
    assert not outcome.refused
    assert not outcome.truncated
    assert outcome.findings == []
    assert outcome.schools == {SCHOOL: SchoolCount(1, 1, 0)}
    assert outcome.counts == {"rows": 1, "pupils": 1, "schools": 1, "accepted_rows": 1, "refused_rows": 0, "objected_pupils": 0}


def test_there_is_no_outcome_before_the_end() -> None:
    checked = Checked(io.BytesIO(write_csv(rows(10))), context(), packaged_rules("nco-lvs-1"), batch_bytes=300)
    batches = checked.batches()
    next(batches)
    with pytest.raises(RuntimeError):
        _ = checked.outcome


def quoted(table: list[Row], quoting: int, separator: str = ";") -> bytes:
    out = io.StringIO(newline="")
    writer = csv.writer(out, delimiter=separator, quoting=quoting, lineterminator="\r\n")  # type: ignore[arg-type]
    writer.writerow(COLUMNS)
    writer.writerows([[entry[name] for name in COLUMNS] for entry in table])
    return out.getvalue().encode()


LAYOUTS: dict[str, Callable[[list[Row]], bytes]] = {
    "comma": lambda table: write_csv(table, separator=","),
    "byte order mark": lambda table: b"\xef\xbb\xbf" + write_csv(table),
    "carriage returns": lambda table: write_csv(table, eol="\r\n"),
    "no end of line at the end": lambda table: write_csv(table).rstrip(b"\n"),
    "other order of columns": lambda table: write_csv(table, columns=[*reversed(COLUMNS)]),
    "all quoted": lambda table: quoted(table, csv.QUOTE_ALL),
    "all quoted, comma": lambda table: quoted(table, csv.QUOTE_ALL, ","),
    "header in capitals and spaces": lambda table: write_csv(table).replace(b"brin_vestiging", b" BRIN vestiging ", 1),
    "spaces around values": lambda table: write_csv(table).replace(b";rekenen_wiskunde;", b"; Rekenen_Wiskunde ;"),
    "decimal comma": lambda table: write_csv([{**entry, "score": entry["score"].replace(".", ",")} for entry in table]),
    "decimal comma, quoted": lambda table: quoted([{**e, "score": e["score"].replace(".", ",")} for e in table], csv.QUOTE_MINIMAL, ","),
    "lower case and spaced postcode": lambda table: write_csv(
        [
            {**entry, "postcode": f"{entry['postcode'][:4]} {entry['postcode'][4:].lower()}", "geslacht": entry["geslacht"].lower()}
            for entry in table
        ]
    ),
    "zeros in front": lambda table: write_csv([{**e, "bsn": e["bsn"] and e["bsn"].zfill(9)} for e in table]),
    "empty lines": lambda table: write_csv(table) + b"\n\r\n\n",
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("batch_bytes", [16 << 20, 2000])
def test_every_layout_gives_the_same_rows(layout: str, batch_bytes: int) -> None:
    table = rows(60, per_pupil=3)
    accepted, outcome = check(LAYOUTS[layout](table), batch_bytes=batch_bytes)
    expected, _ = check(write_csv(table))
    assert outcome.findings == []
    assert accepted == expected
    assert len(accepted) == 60


BAD_VALUES = [
    ("brin_vestiging", "", "missing-value"),
    ("brin_vestiging", "01AA", "brin"),
    ("brin_vestiging", "AA0101", "brin"),
    ("bsn", "12345678a", "bsn"),
    ("bsn", "-5", "bsn"),
    ("bsn", f"0{bsn(1):09}", "bsn"),
    ("bsn", str(bsn(1) + 1), "elfproef"),
    ("bsn", "000000000", "elfproef"),
    ("bsn", str(onderwijsnummer(1)), "elfproef"),
    ("onderwijsnummer", str(bsn(1)), "elfproef"),
    ("onderwijsnummer", "x", "onderwijsnummer"),
    ("geslacht", "", "missing-value"),
    ("geslacht", "1", "code"),
    ("geboortedatum", "14-03-2015", "date"),
    ("geboortedatum", "2015-02-30", "date"),
    ("geboortedatum", "2015-3-14", "date"),
    ("geboortedatum", "+2015-1-05", "date"),
    ("geboortedatum", "1965-03-14", "age"),
    ("geboortedatum", "2025-03-14", "age"),
    ("postcode", "0123AB", "postcode"),
    ("postcode", "1234SS", "postcode"),
    ("postcode", "1234", "postcode"),
    ("huisnummer", "12A", "number"),
    ("huisnummer", "0", "range"),
    ("huisnummer", "100000", "range"),
    ("toevoeging", "ABCDEF", "addition"),
    ("toevoeging", "A#", "addition"),
    ("schooljaar", "2025", "schooljaar"),
    ("schooljaar", "2025-2027", "schooljaar"),
    ("jaargroep", "9", "code"),
    ("kinderdagverblijf", "ja", "code"),
    ("uitgever", "onbekend", "code"),
    ("toetscode", "12345678", "pattern"),
    ("toetscode", "a" * 41, "pattern"),
    ("toetscode", "een toets", "pattern"),
    ("domein", "rekenen", "code"),
    ("afnamemoment", "E8", "code"),
    ("afnamedatum", "", "missing-value"),
    ("afnamedatum", "2026-02-21", "date-in-future"),
    ("afnamedatum", "2025-07-31", "date-outside-schooljaar"),
    ("score", "", "missing-value"),
    ("score", "abc", "number"),
    ("score", "1.234,5", "number"),
    ("score", "nan", "number"),
    ("score", "inf", "number"),
    ("score", "-1", "range"),
    ("score", "601", "range"),
]


@pytest.mark.parametrize(("column", "value", "rule"), BAD_VALUES)
def test_a_bad_value_refuses_its_row_only(column: str, value: str, rule: str) -> None:
    accepted, outcome = check(with_one_bad(**{column: value}))
    assert not outcome.refused
    assert [(item.row, item.column, item.rule) for item in outcome.findings] == [(101, column, rule)]
    assert len(accepted) == outcome.counts["accepted_rows"] == 199
    assert outcome.counts["rows"] == 200
    assert outcome.counts["refused_rows"] == 1
    assert 101 not in [entry["row"] for entry in accepted]


@pytest.mark.parametrize(
    ("fields", "rule"),
    [
        ({"bsn": "", "postcode": ""}, "no-identifier"),
        ({"bsn": "", "huisnummer": ""}, "no-identifier"),
        ({"bsn": "", "postcode": "", "onderwijsnummer": str(onderwijsnummer(1))}, None),
        ({"bsn": ""}, None),
        ({"postcode": "", "huisnummer": "", "toevoeging": ""}, None),
        ({"afnamemoment": ""}, None),
        (
            {"schooljaar": "2017-2018", "afnamedatum": "2018-06-01", "geboortedatum": "2010-01-01", "afnamemoment": ""},
            "schooljaar-outside-history",
        ),
        ({"schooljaar": "2024-2025"}, "date-outside-schooljaar"),
        ({"uitgever": "iep", "score": "213"}, "range"),
        ({"uitgever": "iep", "score": "105"}, None),
        ({"afnamedatum": "2025-08-01", "afnamemoment": ""}, None),
        ({"schooljaar": "2018-2019", "afnamedatum": "2019-06-01", "geboortedatum": "2010-01-01", "afnamemoment": ""}, None),
    ],
)
def test_what_may_be_left_out_and_what_not(fields: dict[str, str], rule: str | None) -> None:
    accepted, outcome = check(with_one_bad(**fields))
    assert rules_told(outcome) == ({rule} if rule else set())
    assert len(accepted) == (199 if rule else 200)


def test_several_faults_of_one_row_are_all_told_and_it_counts_once() -> None:
    _, outcome = check(with_one_bad(bsn="1", score="x", geslacht=""))
    assert [(item.row, item.rule) for item in outcome.findings] == [(101, "elfproef"), (101, "missing-value"), (101, "number")]
    assert outcome.counts["refused_rows"] == 1


@pytest.mark.parametrize(
    ("line", "rule"),
    [
        (b"01AA00;1;2", "field-count"),
        (b"01AA00", "field-count"),
        (b";" * 18, "field-count"),
        (b'01AA00;"' + b";" * 16, "quotes"),
        (b'01AA00;1"2"' + b";" * 16, "quotes"),
        (b'01AA00;"1"2' + b";" * 16, "quotes"),
        (b'01AA00;"a;b";c', "field-count"),
    ],
)
@pytest.mark.parametrize("style", ["plain", "quoted"])
def test_a_line_that_is_no_row_is_set_apart(line: bytes, rule: str, style: str) -> None:
    table = rows(199)
    text = quoted(table, csv.QUOTE_ALL) if style == "quoted" else write_csv(table)
    lines = text.split(b"\n")
    lines.insert(100, line)  # after the header and 99 rows
    accepted, outcome = check(b"\n".join(lines))
    assert not outcome.refused
    assert [(item.row, item.column, item.rule) for item in outcome.findings] == [(100, None, rule)]
    assert [entry["row"] for entry in accepted] == [number for number in range(1, 201) if number != 100]
    assert outcome.counts["rows"] == 200
    assert outcome.counts["refused_rows"] == 1


def test_an_open_quotation_mark_spoils_no_other_line() -> None:
    lines = write_csv(rows(300)).split(b"\n")
    lines[10] = b'"' + lines[10]
    accepted, outcome = check(b"\n".join(lines))
    assert rules_told(outcome) == {"quotes"}
    assert len(accepted) == 299


@pytest.mark.parametrize(
    ("plain", "found"),
    [
        (b"", [("no-rows", None)]),
        (write_csv([]), [("no-rows", None)]),
        (write_csv([])[:-1], [("no-rows", None)]),
        (write_csv(rows(3)).split(b"\n", 1)[1], [("no-header", None)]),
        (write_csv(rows(3), [name for name in COLUMNS if name != "score"]), [("missing-column", "score")]),
        (write_csv([row(naam="x")], [*COLUMNS, "naam"]), [("unknown-column", None)]),
        (write_csv([row(Dyslexie="x")], [*COLUMNS, "Dyslexie"]), [("special-category", None)]),
        (write_csv([row(**{"geloof ouders": "x"})], ["geloof ouders", *COLUMNS]), [("special-category", None)]),
        (write_csv(rows(3), [*COLUMNS, "score"]), [("duplicate-column", "score")]),
        (write_csv(rows(3), separator="\t"), [("no-header", None)]),
        (write_csv(rows(3)).replace(b"cito", b"c\xeft\xf3", 1), [("not-utf-8", None)]),
        (write_csv(rows(3)).replace(b"cito", b"c\0to", 1), [("not-utf-8", None)]),
        (write_csv(rows(3)).decode().encode("utf-16"), [("not-utf-8", None)]),
        (write_csv(rows(3)).replace(b"score\n", b"scor\x80\n", 1), [("not-utf-8", None)]),
        (b"\xe9" * 200_000, [("not-utf-8", None)]),
        ("é".encode() * 100_000, [("line-too-long", None)]),
        (b"\x1f\x8b\x08 nested gzip", [("not-utf-8", None)]),
        (write_csv([row(score="1" * 70_000)]), [("line-too-long", None)]),
        (b"x" * 200_000, [("line-too-long", None)]),
        (write_csv(rows(3)) + b"x" * 200_000, [("line-too-long", None)]),
    ],
)
def test_a_file_that_is_no_delivery_is_refused_whole(plain: bytes, found: list[tuple[str, str | None]]) -> None:
    for batch_bytes in (16 << 20, 64):
        _, outcome = check(plain, batch_bytes=batch_bytes)
        assert outcome.refused
        assert [(item.rule, item.column) for item in outcome.findings] == found
        assert outcome.counts["accepted_rows"] == 0
        assert outcome.schools == {}


def test_a_row_of_bytes_that_are_no_text_is_named() -> None:
    _, outcome = check(write_csv(rows(3)).replace(b"RW2006-12-155", b"RW\xff", 3).replace(b"RW\xff", b"RW2", 1))
    assert [(item.rule, item.row) for item in outcome.findings] == [("not-utf-8", 2)]


def _context(**changes: object) -> CheckContext:
    return context(schools={SCHOOL: standing(), "02BB00": standing("02BB00", **changes)})


@pytest.mark.parametrize(
    ("where", "rule"),
    [
        (context(), "unknown-school"),
        (_context(enrolled=False), "school-not-enrolled"),
        (_context(vendor="parnassys"), "wrong-board"),
        (_context(vendor=None), "wrong-board"),
        (_context(), None),
        (_context(kind="sbo"), None),
    ],
)
def test_a_school_that_may_not_be_delivered_refuses_the_drop_once(where: CheckContext, rule: str | None) -> None:
    table = rows(40, schools=(SCHOOL, "02BB00"))
    accepted, outcome = check(write_csv(table), where, batch_bytes=1000)
    assert outcome.refused is (rule is not None)
    assert [(item.rule, item.row, item.column) for item in outcome.findings] == ([(rule, 6, "brin_vestiging")] if rule else [])
    assert all(entry["brin_vestiging"] == SCHOOL for entry in accepted) or rule is None


@pytest.mark.parametrize("kind", ["so", "vso"])
def test_pupils_of_so_and_vso_are_refused_row_by_row(kind: str) -> None:
    table = [*rows(299), row(brin_vestiging="02BB00")]
    accepted, outcome = check(write_csv(table), _context(kind=kind, enrolled=False))
    assert [(item.rule, item.row) for item in outcome.findings] == [("school-kind", 300)]
    assert len(accepted) == 299


@pytest.mark.parametrize(("bad", "refused"), [(2, False), (3, True)])
def test_above_one_percent_of_refused_rows_the_drop_is_refused(bad: int, refused: bool) -> None:
    table = [*rows(200 - bad), *(row(score="x") for _ in range(bad))]
    _, outcome = check(write_csv(table))
    assert outcome.refused is refused
    assert ("too-many-refused" in rules_told(outcome)) is refused
    assert outcome.counts["refused_rows"] == bad
    assert outcome.counts["accepted_rows"] == (0 if refused else 198)


def test_findings_are_kept_up_to_a_limit_and_all_counted() -> None:
    _, outcome = check(write_csv([row(score="x", geslacht="?") for _ in range(800)]), batch_bytes=5000)
    assert outcome.findings_total == 1601
    assert len(outcome.findings) == 1000
    assert outcome.findings[0].rule == "too-many-refused"
    assert [item.row for item in outcome.findings[1:5]] == [1, 1, 2, 2]


def test_an_unusual_month_is_only_a_warning() -> None:
    table = [row(afnamemoment="E5"), *rows(5), row(afnamemoment="E6")]
    accepted, outcome = check(write_csv(table), batch_bytes=200)
    assert len(accepted) == 7
    (warning,) = outcome.findings
    assert (warning.rule, warning.row, warning.column) == ("unusual-moment", 1, "afnamemoment")
    assert "In 2 rijen" in warning.message
    assert outcome.findings_total == 1


def test_pupils_are_counted_by_school_and_number() -> None:
    other = {"bsn": "", "onderwijsnummer": "", "geboortedatum": "2014-12-01"}
    table = [
        *rows(20, schools=(SCHOOL, "02BB00")),  # four pupils
        row(**other),
        row(**other),
        row(**{**other, "huisnummer": "13"}),
        row(brin_vestiging="02BB00", bsn=str(bsn(0))),  # a known pupil at another school
    ]
    for batch_bytes in (16 << 20, 400):
        _, outcome = check(write_csv(table), _context(), batch_bytes=batch_bytes)
        assert outcome.counts["pupils"] == 7
        assert outcome.schools == {SCHOOL: SchoolCount(13, 4, 0), "02BB00": SchoolCount(11, 3, 0)}


def test_an_outcome_says_nothing_of_values() -> None:
    _, outcome = check(with_one_bad(bsn="987654321", score="geheim", postcode="9999ZZZ"))
    assert isinstance(outcome, Outcome)
    for text in ("987654321", "geheim", "9999ZZZ", SCHOOL):
        assert text not in repr(outcome.findings)
