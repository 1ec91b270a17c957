"""Deliveries that are mended and taken back: which results count, what receipts say of it, and what a stranger can't do.

The stages are the worker's own, the door is the intake's; the clock is the test's.
"""

import io
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from gateway.cli.results import results_that_count
from gateway.store.auditing import sequence
from gateway.store.invariants import check_home
from gateway.store.models import Drop, Report
from gateway.worker.erasure import erase
from gateway.worker.withdrawing import withdraw
from policies.errors import Refused
from tests.support.deliveries import COLUMNS, Row, write_csv
from tests.support.gateway import CAMPAIGN, Calendar, Staged
from tests.support.pupils import Pupil, objections, results

pytestmark = pytest.mark.slow

Make = Callable[..., Staged]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    """Makes a place with a campaign of these days and the registers of these schools and of esis'; each ends sound, and stopped."""
    made: list[Staged] = []

    def place(registers: Sequence[str] = ("41AA00", "41AB00"), **days: int) -> Staged:
        folder = tmp_path / f"place-{len(made)}"
        folder.mkdir()
        made.append(Staged(folder, Calendar(**days)))
        hand_in(made[-1], "cito", *registers)
        hand_in(made[-1], "esis", "41BA00")
        return made[-1]

    yield place
    for one in made:
        one.stop()
        sequence(one.home)  # who came in last the intake tells when it stops
        assert check_home(one.home, at_rest=True) == []


def hand_in(place: Staged, vendor: str, *schools: str) -> None:
    """The registers of these schools, without an objection."""
    name = f"bezwaar-{schools[0]}.csv.age"
    assert place.deliver(name, place.sealed(objections(schools, [], place.today)), "bezwaren", vendor).state == "registered"


def rows_of(place: Staged, *schools: str, score: str = "") -> list[Row]:
    """Twelve results of each pupil of these schools, all with this score."""
    return [{**row, **({"score": score} if score else {})} for row in results(place.at(*schools), place.today)]


def deliver(place: Staged, rows: Sequence[Row], name: str, vendor: str = "cito") -> Drop:
    place.clock.now += timedelta(minutes=1)
    return place.deliver(name, place.sealed(write_csv(rows, COLUMNS)), vendor=vendor)


def take_back(place: Staged, *drops: str, name: str, vendor: str = "cito", reason: str = "onjuist") -> Drop:
    lines = ["levering;reden", *(f"{drop};{reason}" for drop in drops)]
    place.clock.now += timedelta(minutes=1)
    return place.deliver(name, place.sealed("\n".join([*lines, ""]).encode()), vendor=vendor)


def counting(place: Staged) -> dict[str, int]:
    """How many results count, by score."""
    with results_that_count(place.home) as (frame, _):
        found = frame.collect()
    assert found.height == found.unique(["persoon", "school", "toetscode", "afnamedatum"]).height
    return {str(score): rows for score, rows in sorted(found.group_by("score").len().iter_rows())}


def said(place: Staged, drop: Drop) -> dict[str, str]:
    """What a drop's receipt finds, by code."""
    return {found["rule"]: found["message"] for found in place.receipt(drop)["findings"]}


# ---------------------------------------------------------------- in one delivery


def test_what_stands_in_a_file_twice_counts_once_as_its_last_row_says(make: Make) -> None:
    place = make()
    rows = rows_of(place, "41AA00", score="200.0")
    mended = [{**row, "score": "210.0"} for row in rows[:3]]
    drop = deliver(place, [*rows, *rows[5:10], *mended, *mended[:1]], "levering.csv.age")
    assert counting(place) == {"200.0": 141, "210.0": 3}
    found = said(place, drop)
    assert found["repeated-results"].startswith("6 resultaten ") and found["contradictory-results"].startswith("3 resultaten ")
    assert place.receipt(drop)["findings_total"] == 2 and place.receipt(drop)["counts"]["accepted_rows"] == len(rows) + 9
    shown = place.drop("levering.csv.age").counts
    assert (shown["linking_linked_rows"], shown["linking_repeated_results"], shown["linking_contradictory_results"]) == (144, 6, 3)


def test_a_pupil_who_moved_has_the_results_of_both_schools(make: Make) -> None:
    place = make()
    rows = rows_of(place, "41AA00", score="200.0")[:12]
    deliver(place, [*rows, *({**row, "brin_vestiging": "41AB00", "score": "210.0"} for row in rows)], "levering.csv.age")
    assert counting(place) == {"200.0": 12, "210.0": 12}


# ---------------------------------------------------------------- in several deliveries


def test_a_correction_replaces_row_by_row_and_both_receipts_say_so(make: Make) -> None:
    place = make()
    first = deliver(place, rows_of(place, "41AA00", "41AB00", score="200.0"), "levering.csv.age")
    second = deliver(place, rows_of(place, "41AA00", score="210.0"), "verbeterd.csv.age")
    assert counting(place) == {"200.0": 144, "210.0": 144}
    assert said(place, second) == {"replaces": f"144 resultaten vervangen die van levering {first.id}."}
    assert said(place, first) == {"replaced": f"144 resultaten zijn vervangen door levering {second.id}."}
    assert place.sluis("drop", "show", second.id)["replaces"] == {first.id: 144}
    assert place.sluis("drop", "show", first.id)["replaced_by"] == {second.id: 144}


def test_what_came_later_counts_also_when_it_was_linked_first(make: Make) -> None:
    """The older drop waits for the register of a school that the newer one has not."""
    place = make(registers=["41AA00"])
    first = deliver(place, rows_of(place, "41AA00", "41AB00", score="200.0"), "levering.csv.age")
    second = deliver(place, rows_of(place, "41AA00", score="210.0")[:50], "verbeterd.csv.age")
    assert (place.drop("levering.csv.age").state, second.state) == ("accepted", "linked")
    assert counting(place) == {"210.0": 50} and said(place, second) == {}
    hand_in(place, "cito", "41AB00")
    assert counting(place) == {"200.0": 238, "210.0": 50}
    assert said(place, place.drop("levering.csv.age")) == {"replaced": f"50 resultaten zijn vervangen door levering {second.id}."}
    assert said(place, second) == {"replaces": f"50 resultaten vervangen die van levering {first.id}."}


# ---------------------------------------------------------------- taken back


def test_a_linked_delivery_is_taken_back_and_what_it_replaced_counts_again(make: Make) -> None:
    place = make()
    first = deliver(place, rows_of(place, "41AA00", score="200.0"), "levering.csv.age")
    second = deliver(place, rows_of(place, "41AA00", score="210.0"), "verbeterd.csv.age")
    file = place.home.results / place.parts()[second.id].file
    order = take_back(place, second.id, name="intrekking.csv.age")
    assert order.state == "registered" and said(place, order) == {
        "withdrawals": "1 levering is ingetrokken. Het ontvangstbewijs van elk daarvan zegt dat ook."
    }
    assert counting(place) == {"200.0": 144} and not file.exists()
    receipt = place.receipt(second)
    assert (receipt["state"], receipt["waiting_for"]) == ("expired", [])
    assert said(place, second)["withdrawn"].startswith(
        f"U hebt deze levering ingetrokken met levering {order.id} (reden: onjuist). Haar res"
    )
    assert "Deze levering is ingetrokken" in place.read(f"{second.id}.txt").decode()
    assert "Uw intrekking is verwerkt." in place.read(f"{order.id}.txt").decode()
    assert said(place, first) == {}, "it is replaced no more"
    assert place.sluis("drop", "show", first.id)["replaced_by"] == {}
    (entry,) = [row for row in place.audited(second.id) if row.action == "drop.withdrawn"]
    assert (entry.detail["by"], entry.detail["reason"], entry.detail["was"]) == (order.id, "onjuist", "linked")


def test_the_very_same_bytes_may_come_again_after_that(make: Make) -> None:
    place = make()
    data = place.sealed(write_csv(rows_of(place, "41AA00", score="200.0"), COLUMNS))
    first = place.deliver("levering.csv.age", data)
    assert place.deliver("nog-eens.csv.age", data).state == "rejected"
    take_back(place, first.id, name="intrekking.csv.age")
    assert counting(place) == {}
    assert place.deliver("weer.csv.age", data).state == "linked"
    assert counting(place) == {"200.0": 144}


def test_what_waits_to_be_linked_is_taken_back_too_and_never_linked(make: Make) -> None:
    place = make(objections_until=3)
    drop = deliver(place, rows_of(place, "41AA00"), "levering.csv.age")
    assert drop.state == "accepted"
    order = take_back(place, drop.id, name="intrekking.csv.age", reason="toestemming")
    assert order.state == "registered", "also before the objection window closes"
    drop = place.drop("levering.csv.age")
    assert (drop.state, drop.raw) == ("withdrawn", "erased")
    assert "(reden: toestemming). Zij wordt niet gekoppeld." in said(place, drop)["withdrawn"]
    place.at_time(place.clock.now + timedelta(days=5))
    assert place.parts() == {} and place.drop("levering.csv.age").state == "withdrawn"


def test_results_can_be_taken_back_when_no_more_can_be_delivered(make: Make) -> None:
    place = make(deliver_until=2)
    drop = deliver(place, rows_of(place, "41AA00"), "levering.csv.age")
    place.at_time(place.clock.now + timedelta(days=40))
    assert deliver(place, rows_of(place, "41AA00"), "te-laat.csv.age").state == "rejected"
    assert take_back(place, drop.id, name="intrekking.csv.age").state == "registered"
    assert counting(place) == {} and place.drop("levering.csv.age").state == "withdrawn"


def test_reports_with_its_results_are_touched_and_no_others(make: Make) -> None:
    place = make()
    drop = deliver(place, rows_of(place, "41AA00"), "levering.csv.age")
    deliver(place, rows_of(place, "41BA00"), "esis.csv.age", vendor="esis")
    place.clock.now += timedelta(minutes=1)
    with place.home.ledger.change("test") as change:
        change.session.add_all(
            Report(campaign=CAMPAIGN, school=school, kind="growth", file="f", sha256="0", bytes=1, built_at=change.now)
            for school in ("41AA00", "41BA00")
        )
    take_back(place, drop.id, name="intrekking.csv.age")
    with place.home.ledger.view() as session:
        touched = {school: session.get_one(Report, (CAMPAIGN, school, "growth")).touched_at for school in ("41AA00", "41BA00")}
    assert touched["41AA00"] is not None and touched["41BA00"] is None


def test_what_somebody_reads_goes_when_he_is_done(make: Make) -> None:
    place = make()
    drop = deliver(place, rows_of(place, "41AA00"), "levering.csv.age")
    file = place.home.results / place.parts()[drop.id].file
    with results_that_count(place.home) as (frame, _):
        withdraw(place.home, drop.id, "op verzoek", "administrator")
        assert frame.collect().height == 144, "he reads on"
        with pytest.raises(Refused) as busy:
            erase(place.home, drop.id)
        assert busy.value.code == "results-read" and file.exists()
    place.settle()
    assert not file.exists() and counting(place) == {}
    assert said(place, drop)["withdrawn"].startswith("De beheerder heeft deze levering ingetrokken. Haar resultaten zijn verwijderd.")
    (entry,) = [row for row in place.audited(drop.id) if row.action == "drop.withdrawn"]
    assert (entry.actor, entry.detail["reason"], entry.detail["by"]) == ("administrator", "op verzoek", None)


# ---------------------------------------------------------------- what is refused


def test_nobody_takes_back_what_is_anothers_nor_learns_that_it_is_there(make: Make) -> None:
    place = make()
    theirs = deliver(place, rows_of(place, "41BA00"), "esis.csv.age", vendor="esis")
    mine = deliver(place, rows_of(place, "41AA00"), "levering.csv.age")
    unknown = f"{theirs.id[:10]}{'a' * 16}"
    found: list[dict[str, Any]] = []
    for number, name in enumerate((theirs.id, unknown)):
        refused = take_back(place, mine.id, name, name=f"intrekking-{number}.csv.age")
        assert refused.state == "rejected"
        found.append(place.receipt(refused)["findings"])
    assert [(one["rule"], one["row"], one["column"]) for one in found[0]] == [("unknown-delivery", 2, "levering")]
    assert found[0] == found[1], "both are told the same"
    assert theirs.id not in str(found)
    assert {place.drop(name).state for name in ("esis.csv.age", "levering.csv.age")} == {"linked"}
    assert not [row for row in place.audited(theirs.id) if row.action == "drop.withdrawn"]


def test_what_is_over_is_told_and_the_others_go(make: Make) -> None:
    place = make()
    drop = deliver(place, rows_of(place, "41AA00"), "levering.csv.age")
    refused = place.deliver("kapot.csv.age", b"not encrypted")
    register = place.drop("bezwaar-41AA00.csv.age")
    first = take_back(place, refused.id, drop.id, drop.id, register.id, name="een.csv.age")
    assert (first.state, first.counts["withdrawn"]) == ("registered", 1)
    found = [(found["rule"], found["row"]) for found in place.receipt(first)["findings"]]
    assert found[0] == ("withdrawals", None) and found[1:] == [("nothing-to-withdraw", 1), ("nothing-to-withdraw", 4)]
    second = take_back(place, drop.id, first.id, name="twee.csv.age")
    assert (second.state, second.counts["withdrawn"]) == ("registered", 0)
    assert [(found["rule"], found["row"]) for found in place.receipt(second)["findings"]][1:] == [
        ("nothing-to-withdraw", 1),
        ("nothing-to-withdraw", 2),
    ]
    assert said(place, second)["withdrawals"].startswith("0 leveringen zijn ingetrokken.")


def test_a_bomb_of_a_withdrawal_is_refused(make: Make) -> None:
    place = make()
    plain = io.BytesIO()
    plain.write(b"levering;reden\n")
    plain.write(b"d20260120-abcdefghijklmnop;onjuist\n" * 2_000_000)
    bomb = place.deliver("intrekking.csv.age", place.sealed(plain.getvalue()))
    assert bomb.state == "rejected" and list(said(place, bomb)) == ["too-many-withdrawals"]


def test_pupils_are_not_named_where_their_results_are_replaced(make: Make) -> None:
    place = make()
    pupil: Pupil = place.at("41AA00")[0]
    first = deliver(place, rows_of(place, "41AA00", score="200.0"), "levering.csv.age")
    second = deliver(place, rows_of(place, "41AA00", score="210.0"), "verbeterd.csv.age")
    for drop in (first, second):
        text = place.read(f"{drop.id}.txt").decode() + place.read(f"{drop.id}.json").decode()
        assert pupil.bsn not in text and place.home.pseudonyms("person").pseudonym(pupil.person) not in text
