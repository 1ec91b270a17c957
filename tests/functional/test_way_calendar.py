"""A round's days at the real door: what comes before its time, what comes late, rounds that overlap, days that change, boards that sign up.

The stages are the worker's own, the door is the intake's; the clock is the test's. Everything begins on 10 February 2026.
"""

import os
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from sqlmodel import select

from gateway.store.campaigns import change_campaign, create_campaign, enrol
from gateway.store.effects import due_drops
from gateway.store.models import Drop, ObjectionRegister, Report
from gateway.store.objections import newest_registers
from gateway.store.registry import import_schools
from keys.secret import Secret
from policies.calendar import end_of_day, start_of_day
from policies.errors import Refused
from tests.support.gateway import CAMPAIGN, Calendar, Staged
from tests.support.pupils import SCHOOLS, delivery, objections

pytestmark = pytest.mark.slow

Make = Callable[..., Staged]
SECOND = timedelta(seconds=1)
WINDOW = 21


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    """Makes the test's one place, with a campaign of these days."""
    made: list[Staged] = []

    def place(**days: int) -> Staged:
        made.append(Staged(tmp_path, Calendar(**days)))
        return made[0]

    yield place
    for one in made:
        one.stop()


def sent(place: Staged, name: str, *schools: str, vendor: str = "cito") -> Drop:
    return place.deliver(f"{name}.csv.age", place.sealed(delivery(place.at(*schools or ("41AA00",)), place.today)), vendor=vendor)


def handed_in(place: Staged, name: str, *schools: str) -> Drop:
    return place.deliver(f"{name}.csv.age", place.sealed(objections(schools or ("41AA00",), [], place.today)), "bezwaren")


def told(place: Staged, drop: Drop) -> tuple[str, dict[str, str]]:
    """State and findings (code → text) of the receipt that the vendor fetches; warnings about scores are of no matter here."""
    receipt = place.receipt(drop)
    return receipt["state"], {found["rule"]: found["message"] for found in receipt["findings"] if found["rule"] != "unusual-score"}


def another_round(place: Staged, enrol_until: date, objections_from: date, objections_until: date, deliver_until: date) -> None:
    place.home.mortal.create("objections", "ronde-2", Secret(os.urandom(32)))
    with place.home.ledger.change("test") as change:
        create_campaign(
            change, "ronde-2", enrol_until, objections_from, objections_until, deliver_until, end_of_day(objections_until), WINDOW
        )
        signed = place.today - timedelta(days=40)
        enrol(change, "41001", "ronde-2", "cito", signed, signed)


def registers(place: Staged, campaign: str) -> dict[str, ObjectionRegister]:
    with place.home.ledger.view() as session:
        return newest_registers(session, campaign)


# ---------------------------------------------------------------- before its time, and late


def test_a_drop_that_could_not_be_linked_is_refused_at_once_until_the_day_it_can(make: Make) -> None:
    place = make(objections_until=30, deliver_until=40)
    first = date(2026, 2, 21)  # objections close on 12 March; a drop of 20 February ends on 13 March, before its last call
    early = sent(place, "te-vroeg")
    state, found = told(place, early)
    assert state == "rejected" and list(found) == ["too-early"] and "21-02-2026" in found["too-early"]
    assert place.receipt(early)["erased_at"] and not place.home.blob(early.id).exists()
    place.at_time(start_of_day(first) - SECOND)
    assert list(told(place, sent(place, "nog-te-vroeg"))[1]) == ["too-early"]
    place.at_time(start_of_day(first))
    handed_in(place, "bezwaar")
    drop = sent(place, "op-tijd")
    assert told(place, drop) == ("accepted", {})
    closing = end_of_day(date(2026, 3, 12))
    assert closing <= drop.erase_before - timedelta(days=1), "a day before its end"
    place.at_time(closing)
    assert told(place, drop)[0] == "linked"


def test_before_the_first_round_a_vendor_hears_when_it_begins(make: Make) -> None:
    place = make(enrol_until=5, objections_from=12, objections_until=28, deliver_until=40)
    assert list(told(place, sent(place, "levering"))[1]) == ["too-early"]
    assert "19-02-2026" in told(place, place.drop("levering.csv.age"))[1]["too-early"]
    state, found = told(place, handed_in(place, "bezwaar"))
    assert state == "rejected" and "22-02-2026" in found["objections-too-early"]
    assert registers(place, CAMPAIGN) == {}
    place.at_time(start_of_day(date(2026, 2, 22)) - SECOND)
    assert list(told(place, handed_in(place, "bezwaar-2"))[1]) == ["objections-too-early"]
    place.at_time(start_of_day(date(2026, 2, 22)))
    with place.home.ledger.change("test") as change:
        enrol(change, "41001", CAMPAIGN, "cito", place.today, place.today)
    assert told(place, handed_in(place, "bezwaar-3")) == ("accepted", {})
    assert set(registers(place, CAMPAIGN)) == {"41AA00"}


def test_a_register_after_the_window_is_late_and_counts(make: Make) -> None:
    place = make(objections_until=3)
    assert told(place, handed_in(place, "bezwaar")) == ("accepted", {})
    place.at_time(end_of_day(date(2026, 2, 13)))
    assert told(place, handed_in(place, "later", "41AB00")) == ("accepted", {})
    assert set(registers(place, CAMPAIGN)) == {"41AA00", "41AB00"}


def test_in_rounds_that_overlap_a_register_holds_in_both(make: Make) -> None:
    place = make()
    another_round(place, *(place.today + timedelta(days=ahead) for ahead in (-3, 0, 12, 60)))
    drop = handed_in(place, "bezwaar")
    assert (drop.state, drop.campaign) == ("registered", CAMPAIGN)
    assert set(registers(place, CAMPAIGN)) == set(registers(place, "ronde-2")) == {"41AA00"}
    assert sent(place, "levering").campaign == CAMPAIGN, "it ends first"
    place.at_time(end_of_day(place.today + timedelta(days=14)))
    drop = sent(place, "volgende")
    assert drop.campaign == "ronde-2" and told(place, drop)[0] == "linked", "its register is there"


def test_a_rounds_reports_are_of_schools_that_were_delivered_in_it(make: Make) -> None:
    """What the earlier round left of the other school counts in figures, and makes no report of this round."""
    place = make(deliver_until=1)
    another_round(place, *(place.today + timedelta(days=ahead) for ahead in (-3, 0, 0, 60)))
    handed_in(place, "bezwaar", "41AA00", "41AB00")
    assert sent(place, "eerste", "41AA00").state == "linked"
    place.at_time(end_of_day(place.today + timedelta(days=1)))
    assert sent(place, "tweede", "41AB00").state == "linked"
    made = place.sluis("report", "build", "--campaign", "ronde-2")
    assert made["reports"] == 1
    assert "no results" in place.sluis("report", "build", "--campaign", "ronde-2", "--school", "41AA00", status=1)
    with place.home.ledger.view() as session:
        assert [(report.campaign, report.school) for report in session.exec(select(Report))] == [("ronde-2", "41AB00")]


def test_what_came_too_early_is_no_duplicate_when_it_comes_again(make: Make) -> None:
    place = make(objections_until=30, deliver_until=40)
    data = place.sealed(delivery(place.at("41AA00"), place.today))
    assert place.deliver("vroeg.csv.age", data).state == "rejected"
    place.at_time(start_of_day(date(2026, 2, 21)))
    assert place.deliver("nogmaals.csv.age", data).state == "accepted"


# ---------------------------------------------------------------- days that change


def test_a_postponed_last_day_takes_what_was_too_late(make: Make) -> None:
    place = make(deliver_until=5)
    held = sent(place, "levering")  # its school's register is still to come
    place.at_time(datetime(2026, 2, 18, 10, tzinfo=UTC))
    assert list(told(place, sent(place, "te-laat"))[1]) == ["after-deadline"]
    with place.home.ledger.change("administrator") as change:
        change_campaign(change, CAMPAIGN, {"deliver_until": date(2026, 2, 20)}, WINDOW)
    assert told(place, sent(place, "alsnog"))[0] == told(place, held)[0] == "accepted"
    (row,) = [row for row in place.audited(CAMPAIGN) if row.action == "campaign.changed"]
    assert row.detail == {"deliver_until": "2026-02-20"}


def test_a_round_whose_objections_are_gone_takes_nothing_any_more(make: Make) -> None:
    place = make(deliver_until=5)
    place.at_time(datetime(2026, 2, 18, 10, tzinfo=UTC))
    assert not place.home.mortal.exists("objections", CAMPAIGN)
    assert list(told(place, sent(place, "te-laat"))[1]) == ["after-deadline"]
    assert list(told(place, handed_in(place, "bezwaar"))[1]) == ["no-campaign"]
    with pytest.raises(Refused) as refusal, place.home.ledger.change("administrator") as change:
        change_campaign(change, CAMPAIGN, {"deliver_until": date(2026, 2, 20)}, WINDOW)
    assert refusal.value.code == "campaign-ended"


def test_drops_that_wait_are_looked_at_again_and_the_ones_that_run_out_are_named(make: Make) -> None:
    place = make(objections_until=10, deliver_until=40)
    handed_in(place, "bezwaar")
    first = sent(place, "levering")
    place.at_time(datetime(2026, 2, 19, 10, tzinfo=UTC))
    later = sent(place, "latere")
    assert {told(place, drop)[0] for drop in (first, later)} == {"accepted"}
    with place.home.ledger.change("administrator") as change:
        later_days = {"objections_until": date(2026, 3, 8), "publish_from": end_of_day(date(2026, 3, 8))}
        changed = change_campaign(change, CAMPAIGN, later_days, WINDOW)
    assert (changed.waiting, changed.running_out) == (2, [first.id]), "it ends on 3 March"
    with place.home.ledger.view() as session:
        assert set(due_drops(session, place.clock(), 10)) == {first.id, later.id}
    place.at_time(end_of_day(date(2026, 2, 20)))
    assert told(place, later)[0] == "accepted", "it would have been linked now"
    place.at_time(end_of_day(date(2026, 3, 8)))
    assert {drop.file_name: told(place, drop)[0] for drop in (first, later)} == {"levering.csv.age": "expired", "latere.csv.age": "linked"}


def test_what_was_taken_in_time_is_linked_also_when_the_days_have_changed(make: Make) -> None:
    """With the new days it would be too early by some hours: it was taken, and can still be linked."""
    place = make(objections_until=19, deliver_until=40)
    handed_in(place, "bezwaar")
    drop = sent(place, "levering")
    with place.home.ledger.change("administrator") as change:
        later_days = {"objections_until": date(2026, 3, 2), "publish_from": end_of_day(date(2026, 3, 2))}
        change_campaign(change, CAMPAIGN, later_days, WINDOW)
    place.at_time(end_of_day(date(2026, 3, 2)))
    assert told(place, drop) == ("linked", {})


# ---------------------------------------------------------------- who takes part


def test_a_board_that_signs_up_late_is_taken_from_that_day_and_one_half_signed_up_is_told(make: Make) -> None:
    place = make()
    state, found = told(place, sent(place, "half", "41CA00"))
    assert state == "rejected" and found["school-not-enrolled"].endswith("ontbreekt nog: het aanmeldformulier.")
    assert list(told(place, sent(place, "andermans", "41CA00", vendor="esis"))[1]) == ["wrong-board"]
    with place.home.ledger.change("administrator") as change:
        enrol(change, "41003", CAMPAIGN, "cito", None, place.today)
    assert told(place, sent(place, "compleet", "41CA00")) == ("accepted", {})


def test_after_a_merger_the_consent_of_the_old_board_does_not_count(make: Make) -> None:
    place = make()
    moved = {**SCHOOLS, "41AA00": "41002"}
    with place.home.ledger.change("administrator") as change:
        rows = [({"code": code, "name": code}, board) for code, board in moved.items()]
        import_schools(change, dict.fromkeys(moved.values(), ""), rows, place.today, "00" * 32)
    assert list(told(place, sent(place, "oud"))[1]) == ["wrong-board"]
    assert told(place, sent(place, "nieuw", vendor="esis")) == ("accepted", {}), "the new board consents through another vendor"


def test_a_renumbered_school_has_no_register_and_its_old_number_is_no_school(make: Make) -> None:
    place = make()
    handed_in(place, "bezwaar")
    renumbered = {**SCHOOLS, "49ZZ00": "41001"}
    del renumbered["41AA00"]
    with place.home.ledger.change("administrator") as change:
        rows = [({"code": code, "name": code}, board) for code, board in renumbered.items()]
        import_schools(change, dict.fromkeys(renumbered.values(), ""), rows, place.today, "00" * 32)
    plain = delivery(place.at("41AA00"), place.today)
    assert list(told(place, place.deliver("oud.csv.age", place.sealed(plain)))[1]) == ["unknown-school"]
    drop = place.deliver("nieuw.csv.age", place.sealed(plain.replace(b"41AA00", b"49ZZ00")))
    assert told(place, drop)[0] == "accepted"
    assert drop.waiting_for == ["objection-register 49ZZ00"], "the register of the old number is another school's"
