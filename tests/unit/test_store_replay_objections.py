"""What a restore makes of objections and of deliveries that were taken back: registers lost or ended, results gone, reports touched."""

from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from audit.entry import Entry
from gateway.drop.lifecycle import Event
from gateway.store.home import Home
from gateway.store.losses import Losses, begin
from gateway.store.models import Campaign, Drop, Objection, ObjectionPerson, ObjectionRegister, Part, Replacement, Report, School, Vendor
from gateway.store.objecting_persons import persons_in_force
from gateway.store.objections import LOST, newest_registers
from gateway.store.replay import Replay
from gateway.store.replay_objections import register_told, remove_again
from gateway.store.takeover import dead_keys
from policies.errors import Unsound
from tests.support.ledgers import audit_rows, effects_of, received
from tests.support.replays import NOW, all_of, played


@pytest.fixture
def dumped(home: Home) -> Home:
    """As the ledger stood at a backup: a school, a vendor, a campaign."""
    day = date(2026, 1, 1)
    with home.ledger.change("test") as change:
        change.session.add(School(code="01AA00", name="School"))
        change.session.add(Vendor(name="cito", created_at=NOW))
        change.session.add(
            Campaign(
                name="m",
                enrol_until=day,
                objections_from=day,
                objections_until=day,
                deliver_until=home.clock().date(),
                publish_from=NOW,
                created_at=NOW,
            )
        )
    return home


def test_the_newest_lost_register_of_a_school_is_remembered(dumped: Home) -> None:
    [(place, entry)] = played(dumped, handed_in(2), handed_in(3, 4)).registers.items()
    told = register_told(entry)
    assert place == ("m", "01AA00")
    assert (told.version, told.received_at, told.objections, told.source) == (3, NOW + timedelta(hours=1), 4, "cli")


def test_registers_that_ended_after_the_backup_end_again(dumped: Home) -> None:
    with dumped.ledger.change("test") as change:
        register = ObjectionRegister(campaign="m", school="01AA00", version=1, source="cli", received_at=NOW, objections=1)
        change.session.add(register)
        change.session.flush()
        change.session.add(Objection(register_id=register.id, bsn_mac=bytes(16), filed_on=date(2026, 1, 1)))
        change.session.flush()
        change.session.add(ObjectionPerson(objection_id=1, person="p1-x"))
    assert played(dumped, ("objections.ended", "m", {"objections": 1})).again == {}
    assert all_of(dumped.ledger, Objection) == [] == all_of(dumped.ledger, ObjectionPerson)
    assert all_of(dumped.ledger, Campaign)[0].objections_ended_at == NOW
    assert [row.objections for row in all_of(dumped.ledger, ObjectionRegister)] == [1]
    assert ("objections", "m") in dead_keys([Entry("1", NOW, "worker", "local", "key.destroyed", "objections/m", "ok")])


def handed_in(version: int, objections: int = 1) -> tuple[str, str, dict[str, Any]]:
    return "objections.handed-in", "01AA00", {"campaign": "m", "version": version, "objections": objections, "source": "cli"}


def begun(home: Home, *entries: tuple[str, str, dict[str, Any]]) -> Losses:
    """What is lost, after these entries were played."""
    replay = played(home, *entries)
    with home.ledger.change("restore") as change:
        return begin(replace(replay, change=change), True, lambda *_: (0, ""))


def test_registers_that_ended_stay_facts_and_nobody_is_asked_for_them(dumped: Home) -> None:
    losses = begun(dumped, handed_in(2, 5), ("objections.ended", "m", {"objections": 5}))
    assert losses.registers == {}
    assert [(row.version, row.objections, row.source) for row in all_of(dumped.ledger, ObjectionRegister)] == [(2, 5, "cli")]
    assert dumped.mortal.names("objections") == [] and audit_rows(dumped.ledger, "key.lost") == []


def test_of_a_lost_register_only_whom_it_is_about_still_counts(dumped: Home) -> None:
    with dumped.ledger.change("test") as change:
        register = ObjectionRegister(campaign="m", school="01AA00", version=1, source="cli", received_at=NOW, objections=2)
        change.session.add(register)
        change.session.flush()
        for _ in range(2):
            change.session.add(Objection(register_id=register.id, bsn_mac=bytes(16), filed_on=date(2026, 1, 1)))
        change.session.flush()
        change.session.add(ObjectionPerson(objection_id=2, person="p1-x"))
    losses = begun(dumped, handed_in(2))
    assert losses.registers == {"m": ["01AA00"]}
    assert [(row.version, row.source) for row in all_of(dumped.ledger, ObjectionRegister)] == [(1, "cli"), (2, LOST)]
    assert [(row.id, row.bsn_mac) for row in all_of(dumped.ledger, Objection)] == [(2, None)]
    with dumped.ledger.view() as session:
        assert persons_in_force(session) == {"p1-x"} and newest_registers(session, "m") == {}
    assert [row.object for row in audit_rows(dumped.ledger, "key.lost")] == ["objections/m"]


def test_a_report_that_was_touched_after_the_backup_is_touched(dumped: Home) -> None:
    """Also when it was built anew since: that one is not in the backup."""
    with dumped.ledger.change("test") as change:
        change.session.add(Report(campaign="m", school="01AA00", kind="growth", file="f", sha256="0", bytes=1, built_at=NOW))
    touched = {"campaign": "m", "published": False}
    replay = played(dumped, ("report.touched", "01AA00", touched), ("report.touched", "02BB00", touched), ("report.removed", "01AA00", {}))
    assert replay.again == {}
    assert [row.touched_at for row in all_of(dumped.ledger, Report)] == [NOW]


def test_the_rows_that_went_out_of_a_part_after_the_backup_go_once_more(dumped: Home) -> None:
    drop = received(dumped.ledger, vendor="cito")
    with dumped.ledger.change("test") as change:
        change.session.add(Part(drop=drop.id, campaign="m", file="m/d.parquet", rows=9, sha256="first"))
    gone = [
        {"campaign": "m", "was": "first", "now": "second", "rows": "0+2"},
        {"campaign": "m", "was": "first", "now": "second", "rows": "a+1"},  # too long for one entry
        {"campaign": "m", "was": "second", "now": "third", "rows": "1+1"},
    ]
    replay = played(dumped, *(("results.rows-withdrawn", name, told) for told in gone for name in (drop.id, "lost-since")))
    assert replay.again == {}
    asked: list[Any] = []

    def remove(path: Path, removals: Any) -> tuple[int, str]:
        asked.append((path, removals))
        return 5, "written"

    with dumped.ledger.change("restore") as change:
        assert remove_again(dumped, change, replay.removed, remove) == 4
    assert asked == [(dumped.results / "m/d.parquet", [{0, 1, 10}, {1}])]
    assert [(part.rows, part.sha256) for part in all_of(dumped.ledger, Part)] == [(5, "written")]
    with dumped.ledger.change("restore") as change, pytest.raises(Unsound) as unsound:
        remove_again(dumped, change, replay.removed, remove)  # a part that these rows did not go out of
    assert unsound.value.code == "replay-contradicted"


def test_a_delivery_that_was_taken_back_after_the_backup_does_not_count(dumped: Home) -> None:
    earlier, later = (received(dumped.ledger, number, Event.CHECKS_PASSED, Event.PERSONS_FOUND, vendor="cito") for number in (1, 2))
    with dumped.ledger.change("test") as change:
        change.session.add_all(Part(drop=drop.id, campaign="m", file="f", rows=1, sha256="0") for drop in (earlier, later))
        change.session.add(Replacement(later=later.id, earlier=earlier.id, rows=1))
    replay = played(dumped, ("drop.withdrawn", later.id, {"event": "taken back", "campaign": "m", "by": None, "reason": "onjuist"}))
    assert replay.again == {} and replay.drops == {later.id}
    assert [part.drop for part in all_of(dumped.ledger, Part)] == [earlier.id]
    assert all_of(dumped.ledger, Replacement) == []
    assert {drop.id: drop.state for drop in all_of(dumped.ledger, Drop)} == {earlier.id: "linked", later.id: "withdrawn"}
    assert "erase" in effects_of(dumped.ledger, later.id), "its results' file goes"
    assert "receipt" in effects_of(dumped.ledger, earlier.id)


@pytest.mark.parametrize(
    ("folder", "event", "state"), [("leveringen", "others withdrawn", "registered"), ("bezwaren", "objections kept", "expired")]
)
def test_what_took_others_back_after_the_backup_is_not_to_be_delivered_again(dumped: Home, folder: str, event: str, state: str) -> None:
    """A register is: it was lost. What a withdrawal did stands in the log."""
    drop = received(dumped.ledger, vendor="cito", folder=folder)
    with dumped.ledger.change("restore") as change:
        replay = Replay(dumped, change)
        replay.play([Entry("1", NOW, "worker", "local", "drop.registered", drop.id, "ok", {"event": event, "withdrawn": 1})])
        losses = begin(replay, log_is_whole=True, remove_rows=lambda path, rows: (0, ""))
    assert [drop.state for drop in all_of(dumped.ledger, Drop)] == [state]
    assert losses.deliver_again == ({} if state == "registered" else {"cito": [drop.id]})
