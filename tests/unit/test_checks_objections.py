"""Objection registers, and that an objecting pupil's rows go no further."""

import io
from datetime import date

import pytest

from gateway.checks import objections as objections_module
from gateway.checks.objections import ObjectionRow, Objections, macs_of, read_objection_register
from tests.support.deliveries import (
    OBJECTION_COLUMNS,
    OBJECTION_KEY,
    SCHOOL,
    TODAY,
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

OTHER = "02BB00"
FILED = date(2026, 1, 28)


def register(*lines: str) -> bytes:
    return "\n".join([";".join(OBJECTION_COLUMNS), *lines, ""]).encode()


def read(*lines: str, schools: set[str] | None = None):  # type: ignore[no-untyped-def]
    return read_objection_register(io.BytesIO(register(*lines)), schools or {SCHOOL, OTHER}, TODAY)


def objections(*entries: tuple[int | None, int | None]) -> Objections:
    return Objections(macs_of([ObjectionRow(number, ond, FILED) for number, ond in entries], OBJECTION_KEY), OBJECTION_KEY)


def test_a_register_is_read_by_school() -> None:
    outcome = read(
        f"{SCHOOL};{bsn(1)};;2026-01-28;",
        f"{SCHOOL};;{onderwijsnummer(2)};2026-01-29;2026-02-01",
        f"{OTHER};;;;",
    )
    assert not outcome.refused
    assert outcome.schools == {
        SCHOOL: [ObjectionRow(bsn(1), None, FILED), ObjectionRow(None, onderwijsnummer(2), date(2026, 1, 29), date(2026, 2, 1))],
        OTHER: [],
    }
    assert [entry.in_force for entry in outcome.schools[SCHOOL]] == [True, False]
    assert outcome.counts == {"rows": 3, "pupils": 2, "schools": 2, "accepted_rows": 3, "refused_rows": 0, "objected_pupils": 0}


def test_a_register_with_more_rows_than_fit_in_memory_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(objections_module, "MOST_ROWS", 3)
    line = f"{SCHOOL};{bsn(1)};;2026-01-28;"
    assert not read(*[line] * 3).refused
    outcome = read(*[line] * 4)
    assert rules_told(outcome) == {"expansion"} and outcome.schools == {}


def test_an_objection_shows_no_number() -> None:
    assert str(bsn(1)) not in repr(ObjectionRow(bsn(1), None, FILED))
    assert str(bsn(1)) not in repr(read(f"{SCHOOL};{bsn(1)};;2026-01-28;"))


@pytest.mark.parametrize(
    ("line", "rule", "column"),
    [
        (f"{SCHOOL};{bsn(1)};;;", "filed-on-missing", "ingediend_op"),
        (f"{SCHOOL};;;2026-01-28;", "objection-without-pupil", None),
        (f"{SCHOOL};{bsn(1)};;2026-01-28;2026-01-27", "withdrawn-before-filed", "ingetrokken_op"),
        (f"{SCHOOL};{bsn(1)};;2026-01-28;2026-02-21", "date-in-future", "ingetrokken_op"),
        (f"{SCHOOL};{bsn(1) + 1};;2026-01-28;", "elfproef", "bsn"),
        (f"{SCHOOL};123456782;;2026-01-28;", "placeholder-number", "bsn"),
        (f"{SCHOOL};{bsn(1)};;28-01-2026;", "date", "ingediend_op"),
        (f";{bsn(1)};;2026-01-28;", "missing-value", "brin_vestiging"),
        (f"{SCHOOL};{bsn(1)};2026-01-28", "field-count", None),
    ],
)
def test_one_bad_row_refuses_the_register(line: str, rule: str, column: str | None) -> None:
    outcome = read(*[f"{SCHOOL};{bsn(number)};;2026-01-28;" for number in range(500)], line)
    assert outcome.refused
    assert outcome.schools == {}
    assert [(item.rule, item.row, item.column) for item in outcome.findings] == [("too-many-refused", None, None), (rule, 501, column)]


def test_a_school_of_somebody_else_refuses_the_register() -> None:
    outcome = read(f"{SCHOOL};;;;", f"{OTHER};;;;", f"{OTHER};{bsn(1)};;2026-01-28;", schools={SCHOOL})
    assert outcome.refused
    assert outcome.schools == {}
    assert [(item.rule, item.row) for item in outcome.findings] == [("wrong-board", 2)]


@pytest.mark.parametrize(("plain", "rule"), [(b"", "no-rows"), (register(), "no-rows"), (write_csv(rows(2)), "unknown-column")])
def test_what_is_no_register_is_refused(plain: bytes, rule: str) -> None:
    outcome = read_objection_register(io.BytesIO(plain), {SCHOOL}, TODAY)
    assert outcome.refused
    assert rule in {item.rule for item in outcome.findings}


def test_an_objecting_pupils_rows_go_no_further() -> None:
    table = rows(50)
    accepted, outcome = check(write_csv(table), context(objections=objections((bsn(2), None), (bsn(5), None))))
    assert {entry["bsn"] for entry in accepted} == {bsn(number) for number in range(10)} - {bsn(2), bsn(5)}
    assert outcome.counts["objected_pupils"] == 2
    assert outcome.counts["accepted_rows"] == 40
    assert outcome.counts["rows"] == 50
    assert outcome.counts["refused_rows"] == 0
    assert outcome.schools[SCHOOL].objected_pupils == 2
    assert outcome.schools[SCHOOL].pupils == 8
    assert not outcome.refused
    (warning,) = outcome.findings
    assert (warning.rule, warning.row) == ("objecting-pupils", None)


def test_either_number_is_enough() -> None:
    both = row(onderwijsnummer=str(onderwijsnummer(7)))
    for entry in ((bsn(1), None), (None, onderwijsnummer(7)), (bsn(1), onderwijsnummer(8))):
        accepted, outcome = check(write_csv([both, *rows(10, seed=3)[:0], row(bsn=str(bsn(30)))]), context(objections=objections(entry)))
        assert [entry["bsn"] for entry in accepted] == [bsn(30)]
        assert outcome.counts["objected_pupils"] == 1


def test_a_school_with_only_objecting_pupils_is_still_in_the_outcome() -> None:
    accepted, outcome = check(write_csv([row()]), context(objections=objections((bsn(1), None))))
    assert accepted == []
    assert not outcome.refused
    assert (outcome.schools[SCHOOL].rows, outcome.schools[SCHOOL].objected_pupils) == (0, 1)
    assert outcome.counts["schools"] == 1


def test_an_objection_holds_at_every_school_that_delivers_the_pupil() -> None:
    where = context(schools={SCHOOL: standing(), OTHER: standing(OTHER)}, objections=objections((bsn(1), None)))
    accepted, outcome = check(write_csv([row(), row(brin_vestiging=OTHER), row(bsn=str(bsn(30)))]), where)
    assert [entry["bsn"] for entry in accepted] == [bsn(30)]
    assert [outcome.schools[school].objected_pupils for school in (SCHOOL, OTHER)] == [1, 1]


def test_a_pupil_whose_rows_stand_apart_is_found_in_each_of_them() -> None:
    mixed = [row(bsn=str(bsn(number))) for number in (1, 2, 1, 3, 3, 1)] + [row(bsn="", onderwijsnummer=str(onderwijsnummer(7)))]
    accepted, _ = check(write_csv(mixed), context(objections=objections((bsn(1), None), (None, onderwijsnummer(7)))))
    assert [entry["bsn"] for entry in accepted] == [bsn(2), bsn(3), bsn(3)]


def test_a_pupil_without_the_number_is_not_taken_for_another() -> None:
    where = context(objections=objections((bsn(1), None)))
    accepted, outcome = check(write_csv([row(bsn="")]), where)
    assert len(accepted) == 1
    assert rules_told(outcome) == set()


def test_another_key_matches_nobody() -> None:
    from keys.secret import Secret

    macs = macs_of([ObjectionRow(bsn(1), None, FILED)], OBJECTION_KEY)
    where = context(objections=Objections(macs, Secret(bytes(32))))
    assert len(check(write_csv([row()]), where)[0]) == 1
    assert macs[0][1] is None
    assert macs_of([], OBJECTION_KEY) == []
