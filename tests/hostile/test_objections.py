"""False registers of objections, and what can be learnt from true ones: a vendor's account in the wrong hands (A1).

Each line of "With objections" in docs/threat-model.md is asserted here; a stolen backup and a stolen disk have files of their own.
"""

from collections.abc import Iterator

import polars as pl
import pytest
from sqlmodel import col, select

from gateway.linker.results import scan
from gateway.store.models import AuditRow, Drop
from gateway.store.objection_status import SchoolStatus, school_statuses
from gateway.store.objections import newest_registers
from tests.support.gateway import CAMPAIGN, Staged
from tests.support.pupils import Pupil, delivery, objections

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

#: a school of the vendor that is in the wrong hands, and one of another vendor
OWN, OTHERS = "41AA00", "41BA00"


@pytest.fixture
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Staged]:
    """Both schools are linked; the first pupil's parents objected in time, at either."""
    place = Staged(tmp_path_factory.mktemp("objections"))
    try:
        hand_in(place, "eerst.csv.age", [OWN, "41AB00"], place.at(OWN)[:1])
        hand_in(place, "eerst.csv.age", [OTHERS], place.at(OTHERS)[:1], vendor="esis")
        place.deliver("lvs.csv.age", place.sealed(delivery(place.at(OWN), place.today)))
        place.deliver("lvs.csv.age", place.sealed(delivery(place.at(OTHERS), place.today)), vendor="esis")
        assert len(persons(place)) == 22
        yield place
    finally:
        place.stop()


def hand_in(place: Staged, name: str, schools: list[str], objecting: list[Pupil], vendor: str = "cito") -> Drop:
    register = place.sealed(objections(schools, objecting, place.today))
    drop = place.deliver(name, register, "bezwaren", vendor=vendor)
    place.at_time(place.clock.now)  # late objections are carried out
    return drop


def persons(place: Staged) -> set[str]:
    """Whose results are in the store."""
    pseudonyms = scan([place.home.results / part.file for part in place.parts().values()]).select(pl.col("persoon").unique()).collect()
    return {place.home.pseudonyms("person").reveal(person) for person in pseudonyms["persoon"]}


def versions(place: Staged) -> dict[str, int]:
    with place.home.ledger.view() as session:
        return {school: row.version for school, row in newest_registers(session, CAMPAIGN).items()}


def statuses(place: Staged) -> dict[str, SchoolStatus]:
    with place.home.ledger.view() as session:
        return school_statuses(session, CAMPAIGN, place.clock.now)


def test_a_register_of_another_vendors_school_changes_nothing(place: Staged) -> None:
    """Refused whole, also when it holds one's own school too; the receipt does not tell what the other school's holds."""
    before = versions(place), persons(place)
    for name, schools in (("a.csv.age", [OTHERS]), ("b.csv.age", [OWN, OTHERS])):
        drop = hand_in(place, name, schools, [])
        assert (drop.state, [told["rule"] for told in drop.findings]) == ("rejected", ["wrong-board"])
        assert drop.counts["pupils"] == 0
    assert (versions(place), persons(place)) == before


def test_an_empty_register_of_ones_own_school_brings_nobody_back(place: Staged) -> None:
    """It is the school's newest; who objected was left out and stays so until the school is delivered anew. Who handed it in is told."""
    before = persons(place)
    drop = hand_in(place, "leeg.csv.age", [OWN], [])
    assert drop.state == "registered" and versions(place)[OWN] == 2
    assert persons(place) == before
    register = statuses(place)[OWN].register
    assert register is not None and (register.source, register.objections) == (drop.id, 0)
    with place.home.ledger.view() as session:
        told = session.exec(select(AuditRow).where(AuditRow.action == "objections.handed-in", AuditRow.object == OWN)).all()
    assert [row.origin for row in told] == ["cito", "cito"] and told[-1].detail["source"] == drop.id


def test_false_objections_take_results_out_and_say_where_from_whom_and_how_many(place: Staged) -> None:
    """Also of another vendor's school: an objection holds wherever a pupil goes. Nothing of it is silent, and a backup has the results."""
    aimed_at = place.at(OTHERS)[1:4]
    named = [Pupil(**{**vars(pupil), "school": OWN}) for pupil in aimed_at]
    drop = hand_in(place, "vals.csv.age", [OWN], named)
    assert persons(place).isdisjoint(pupil.person for pupil in aimed_at) and len(persons(place)) == 19
    hit = statuses(place)[OTHERS]
    assert (hit.withdrawn_persons, hit.withdrawn_rows) == (3, 36)
    with place.home.ledger.view() as session:
        (entry,) = session.exec(select(AuditRow).where(AuditRow.action == "results.withdrawn", AuditRow.object == OTHERS))
        cause = session.exec(select(AuditRow).where(AuditRow.action == "objections.handed-in").order_by(col(AuditRow.id).desc())).first()
    assert entry.detail["persons"] == 3
    assert cause is not None and (cause.detail["source"], cause.detail["objections"]) == (drop.id, 3)


def test_a_receipt_counts_objections_and_never_says_whose_or_of_which_school(place: Staged) -> None:
    """What a vendor can learn: that there was one among those whom it delivered. It left nobody out by that, and the log has each try."""
    stranger = place.at(OTHERS)[0]  # whose parents objected at the other school
    tried = [Pupil(**{**vars(pupil), "school": OWN}) for pupil in (stranger, place.at(OTHERS)[5])]
    drop = place.deliver("wie.csv.age", place.sealed(delivery(tried, place.today)))
    receipt = place.receipt(drop)
    assert receipt["counts"]["objected_pupils"] == 1
    said = str(receipt)
    assert OTHERS not in said and not any(number in said for pupil in tried for number in (pupil.bsn, pupil.onderwijsnummer) if number)
    assert [told["row"] for told in receipt["findings"] if told["rule"] == "objecting-pupils"] == [None]
    assert statuses(place)[OWN].incidents[-1].drop == drop.id
