"""What `sluis objection status` tells: registers, incidents, late withdrawals, touched reports; and `doctor` of what is left to do."""

import hashlib
import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlmodel import select

from gateway.drop.lifecycle import Event
from gateway.store.home import Home
from gateway.store.ledger import drop_of
from gateway.store.models import AuditRow, Campaign, DropSchool, ObjectionRegister, PendingWithdrawal, Report
from gateway.store.objections import LOST
from gateway.store.touched import touch_reports
from tests.support.cli import BSN, OTHER_BSN, Cli, begin, deliver

CAMPAIGN = ("--campaign", "2026-M")


@pytest.fixture
def way(sluis: Cli, tmp_path: Path) -> Cli:
    begin(sluis, tmp_path, enrol_until=-3, objections_from=-2)
    today = sluis.opened().clock().date() - timedelta(days=4)
    sluis("enrol", "add", "10001", *CAMPAIGN, "--vendor", "cito", "--contract", today, "--form", today)
    return sluis


def schools(way: Cli) -> dict[str, dict[str, Any]]:
    return {row["school"]: row for row in way("objection", "status", *CAMPAIGN)["schools"]}


def totals(way: Cli) -> dict[str, Any]:
    found: dict[str, Any] = way("objection", "status", *CAMPAIGN)["totals"]
    return found


def doctor(way: Cli) -> dict[str, Any]:
    _, out, _ = way.run("--json", "doctor")
    return {row["check"]: row for row in json.loads(out)}["objections"]


def held(home: Home, drop: str, **objecting: int) -> None:
    with home.ledger.change("worker") as change:
        for school, pupils in objecting.items():
            change.session.add(DropSchool(drop=drop, school=school.removeprefix("s"), rows=10, pupils=4, objected_pupils=pupils))


def test_registers_by_version_source_and_time(way: Cli) -> None:
    way("objection", "add", "01AA00", *CAMPAIGN, stdin=BSN)
    way("objection", "add", "01AA00", *CAMPAIGN, stdin=OTHER_BSN)
    row = schools(way)["01AA00"]
    assert (row["register_version"], row["source"], row["objections"]) == (2, "cli", 2) and row["received_at"]
    assert schools(way)["01AB00"]["register_version"] is None
    told = way("objection", "status", *CAMPAIGN)
    assert (told["campaign"], told["registers"]) == ("2026-M", "in force") and "end_from" in told
    assert totals(way) == {
        "schools": 2,
        "with_register": 1,
        "objections": 2,
        "incidents": 0,
        "objecting_pupils_delivered": 0,
        "withdrawn_results": 0,
        "persons_still_to_withdraw": 0,
        "touched_reports": 0,
    }


def test_an_incident_names_the_drop_its_vendor_and_how_many(way: Cli) -> None:
    home = way.opened()
    first, second, clean = deliver(home, 1, age_days=2), deliver(home, 2), deliver(home, 3)
    held(home, first, s01AA00=3, s01AB00=1)
    held(home, second, s01AA00=2)
    held(home, clean, s01AA00=0)
    with home.ledger.change("worker") as change:
        change.advance(drop_of(change.session, second), Event.CHECKS_FAILED)
    rows = schools(way)
    told = [(one["drop"], one["vendor"], one["outcome"], one["pupils"]) for one in rows["01AA00"]["incidents"]]
    assert told == [(first, "cito", "stripped", 3), (second, "cito", "rejected", 2)]
    assert rows["01AA00"]["objecting_pupils_delivered"] == 5
    assert [one["drop"] for one in rows["01AB00"]["incidents"]] == [first]
    assert (totals(way)["incidents"], totals(way)["objecting_pupils_delivered"]) == (3, 6)


def test_late_withdrawals_are_counted_per_school(way: Cli) -> None:
    with way.opened().ledger.change("worker") as change:
        for campaign, rows in (("2026-M", 8), ("2026-M", 4), ("2025-E", 100)):
            change.audit("results.withdrawn", "01AA00", campaign=campaign, rows=rows, persons=1)
        change.session.add(PendingWithdrawal(person="p1-x", campaign="2026-M", asked_at=change.now))
    row = schools(way)["01AA00"]
    assert (row["withdrawn_results"], row["withdrawn_persons"]) == (12, 2) and row["withdrawn_at"]
    assert totals(way)["withdrawn_results"] == 12 and totals(way)["persons_still_to_withdraw"] == 1


def test_a_register_that_was_lost_is_to_be_handed_in_again(way: Cli) -> None:
    way("objection", "add", "01AA00", *CAMPAIGN, stdin=BSN)
    assert doctor(way)["ok"]
    with way.opened().ledger.change("restore") as change:
        register = change.session.exec(select(ObjectionRegister)).one()
        register.source = LOST
        change.session.add(register)
    row = schools(way)["01AA00"]
    assert (row["register_version"], row["objections"], row["source"]) == (None, None, "lost: to be handed in again")
    assert totals(way)["with_register"] == 0
    assert not doctor(way)["ok"] and "registers of 1 schools in 2026-M were lost" in doctor(way)["says"]


def test_a_touched_report_is_told_until_nobody_can_read_it(way: Cli) -> None:
    home = way.opened()
    with home.ledger.change("test") as change:
        campaign = change.session.get_one(Campaign, "2026-M")
        campaign.publish_from = change.now
        change.session.add(campaign)
    build(home, b"%PDF-1.7 eerst")
    way("publish", *CAMPAIGN)
    assert reports(way) == {}
    with home.ledger.change("worker") as change:
        touch_reports(change, {"01AA00": change.now - timedelta(days=1)})
    assert reports(way) == {"01AA00": "published; to be built anew"}
    assert doctor(way)["do"].startswith("`sluis report build --campaign 2026-M`")
    assert "1 report of 2026-M" in way.refused("publish", *CAMPAIGN, "--reason", "zonder")
    build(home, b"%PDF-1.7 eerst")  # the same: nothing of it was in there
    assert reports(way) == {} and doctor(way)["ok"]
    build(home, b"%PDF-1.7 zonder")
    assert reports(way) == {"01AA00": "published; built anew, to be published again"}
    assert "boards can download 1 reports of 2026-M" in doctor(way)["says"]
    way("publish", *CAMPAIGN, "--reason", "zonder")
    assert reports(way) == {} and doctor(way)["ok"]


def reports(way: Cli) -> dict[str, str]:
    rows = way("objection", "status", *CAMPAIGN)["schools"]
    return {row["school"]: row["touched_report"]["report"] for row in rows if row["touched_report"]}


def build(home: Home, content: bytes) -> None:
    folder = home.reports / "2026-M"
    folder.mkdir(exist_ok=True)
    (folder / "r.pdf").write_bytes(content)
    report = Report(
        campaign="2026-M",
        school="01AA00",
        kind="growth",
        file="2026-M/r.pdf",
        sha256=hashlib.sha256(content).hexdigest(),
        bytes=len(content),
        built_at=home.clock(),
    )
    with home.ledger.change("test") as change:
        change.session.merge(report)


def test_for_people_it_is_a_table_with_what_happened_below(way: Cli) -> None:
    home = way.opened()
    drop = deliver(home, 1)
    held(home, drop, s01AA00=3)
    way("objection", "add", "01AA00", *CAMPAIGN, stdin=BSN)
    status, out, err = way.run("objection", "status", *CAMPAIGN)
    assert status == 0 and drop in out and "stripped" in out and "01AB00" in out
    assert "Deliveries that held objecting pupils" in err
    with home.ledger.view() as session:
        assert not any(BSN in json.dumps(row.detail) for row in session.exec(select(AuditRow))) and BSN not in out + err


def test_registers_that_ended_say_so(sluis: Cli, tmp_path: Path) -> None:
    begin(sluis, tmp_path, enrol_until=-40, objections_from=-30, objections_until=-10, deliver_until=-2)
    sluis("objection", "add", "01AA00", *CAMPAIGN, stdin=BSN)
    assert sluis("objection", "status", *CAMPAIGN)["registers"] == "in force"
    sluis("retention", "run")
    told = sluis("objection", "status", *CAMPAIGN)
    assert told["registers"] == "ended" and told["ended_at"]
    assert told["schools"][0]["objections"] == 1, "how many there were stays a fact"
