"""An import of the population register tells whom objections are about: by either number, for every campaign's key, and nobody else."""

import io

from gateway.checks.objections import ObjectionRow, macs_of
from gateway.registers.objections import ObjectionsSought
from gateway.registers.persons import PERSON_FIELDS, import_persons, seek
from keys.secret import Secret
from tests.support.deliveries import write_csv
from tests.support.objecting import CHILDREN, FILED, NUMBERS

FIRST, SECOND, REGISTER = (Secret(bytes([number]) * 32) for number in (1, 2, 3))


def sought() -> ObjectionsSought:
    """Objections 1 and 2 of one campaign, 3 to 6 of another."""
    made = ObjectionsSought()
    stranger = ObjectionRow(CHILDREN[5].numbers["bsn"], None, FILED)
    rounds = (
        (FIRST, 1, [CHILDREN[0].objects("bsn"), CHILDREN[1].objects("onderwijsnummer")]),
        (SECOND, 3, [CHILDREN[0].objects("onderwijsnummer"), CHILDREN[2].objects("bsn"), stranger, CHILDREN[3].objects("onderwijsnummer")]),
    )
    for key, first, rows in rounds:
        made.add(key, [(first + at, *macs) for at, macs in enumerate(macs_of(rows, key))])
    made.add(SECOND, [])
    return made


def register() -> io.BytesIO:
    """Four children; the fourth without its onderwijsnummer; the first with two rows, and its BSN also another person's."""
    known = dict.fromkeys(CHILDREN[:3], NUMBERS) | {CHILDREN[3]: ("bsn",)}
    rows = [{**child.fields(numbers), "persoon_id": child.person} for child, numbers in known.items()]
    rows += [rows[0], {**rows[0], "persoon_id": "P0099", "onderwijsnummer": ""}]
    return io.BytesIO(write_csv([{**row, "toevoeging": "", "peildatum": "2026-01-01"} for row in rows], PERSON_FIELDS))


FOUND = {1: {"P0000", "P0099"}, 2: {"P0001"}, 3: {"P0000"}, 4: {"P0002"}}


def test_an_import_tells_whom_objections_are_about(tmp_path) -> None:  # type: ignore[no-untyped-def]
    objections = sought()
    facts = import_persons(register(), REGISTER, tmp_path / "persons", objections)
    assert facts.rows == 6
    assert objections.found == FOUND
    again = sought()
    seek(register(), again)
    assert again.found == FOUND, "the same without keeping anything"


def test_another_key_finds_nobody() -> None:
    objections = ObjectionsSought()
    objections.add(SECOND, [(1, *macs_of([CHILDREN[0].objects("bsn")], FIRST)[0])])
    seek(register(), objections)
    assert objections.found == {}
