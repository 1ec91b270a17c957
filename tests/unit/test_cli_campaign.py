"""`sluis campaign`: the first day of delivery that follows from the others, calendars that can't be kept, and days that change."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlmodel import select

from gateway.drop.lifecycle import Event
from gateway.store.ledger import drop_of
from gateway.store.models import Bundle, EffectRow
from policies.calendar import day_of
from tests.support.cli import Cli, begin, days, deliver

TODAY = day_of(datetime.now(UTC))
NAME = "2026-M"


def ahead(count: int) -> str:
    return (TODAY + timedelta(days=count)).isoformat()


def shown(sluis: Cli, name: str = NAME) -> dict[str, Any]:
    found: dict[str, Any] = sluis("campaign", "show", name)
    return found


def test_the_first_day_of_delivery_is_told_wherever_a_round_is(sluis: Cli, tmp_path: Path) -> None:
    begin(sluis, tmp_path, enrol_until=0, objections_from=7, objections_until=40, deliver_until=60)
    first = date.fromisoformat(shown(sluis)["deliver_from"])
    assert first - TODAY in (timedelta(days=21), timedelta(days=22)), "19 or 18 days before objections close"
    assert [row["deliver_from"] for row in sluis("campaign", "list")] == [first.isoformat()]
    made = sluis("campaign", "create", "2026-E", *days(objections_until=40, deliver_until=60))
    assert made == {"campaign": "2026-E", "state": "created", "deliver_from": first.isoformat()}


def test_a_round_in_which_nothing_could_be_linked_or_published_is_refused(sluis: Cli) -> None:
    said = sluis.refused("campaign", "create", "x", *days(objections_until=60, deliver_until=30))
    assert "--deliver-until" in said and ahead(60) in said
    said = sluis.refused("campaign", "create", "x", *days()[:-1], f"{ahead(20)}T23:59")
    assert "--publish-from" in said
    assert sluis("campaign", "list") == []


def test_a_round_gets_other_days_and_says_which(sluis: Cli, tmp_path: Path) -> None:
    begin(sluis, tmp_path)
    before = shown(sluis)
    answer = sluis("campaign", "change", NAME, "--deliver-until", ahead(45), "--publish-from", f"{ahead(70)}T09:00")
    assert (answer["deliver_until"], answer["drops_waiting"], answer["drops_that_run_out"]) == (ahead(45), 0, [])
    after = shown(sluis)
    assert {name for name in before if before[name] != after[name]} == {"deliver_until", "publish_from"}
    (entry,) = sluis("audit", "show", "--action", "campaign.changed")
    assert entry["object"] == NAME and set(entry["detail"]) == {"deliver_until", "publish_from"}
    sluis("campaign", "change", NAME, "--objections-until", ahead(28), "--enrol-until", ahead(11))
    assert shown(sluis)["deliver_from"] > before["deliver_from"] or shown(sluis)["deliver_from"] == ahead(11)


@pytest.mark.parametrize(
    ("arguments", "status", "what"),
    [
        ([], 2, "No day is given"),
        (["--deliver-until", ahead(-1)], 1, "objections close"),
        (["--objections-until", ahead(10)], 1, "not in order"),
        (["--objections-until", ahead(70)], 1, "could be linked"),
        (["--publish-from", f"{ahead(20)}T12:00"], 1, "day of publication"),
        (["--enrol-until", "soon"], 2, "write a day as"),
    ],
)
def test_days_that_can_not_be_change_nothing(sluis: Cli, tmp_path: Path, arguments: list[str], status: int, what: str) -> None:
    begin(sluis, tmp_path)
    before = shown(sluis)
    assert what in sluis.refused("campaign", "change", NAME, *arguments, status=status)
    assert shown(sluis) == before
    sluis.refused("campaign", "change", "nonexistent", "--deliver-until", ahead(45))


def test_drops_that_run_out_are_named_and_all_that_wait_are_looked_at_again(sluis: Cli, tmp_path: Path) -> None:
    begin(sluis, tmp_path, enrol_until=-30, objections_from=-20, objections_until=2)
    home = sluis.opened()
    old, new = deliver(home, 1, age_days=15, campaign=NAME), deliver(home, 2, age_days=1, campaign=NAME)
    with home.ledger.change("worker") as change:
        for name in (old, new):
            change.advance(drop_of(change.session, name), Event.CHECKS_PASSED)
        for effect in change.session.exec(select(EffectRow).where(EffectRow.kind == "link")):
            effect.due_at = change.now + timedelta(days=2)
    answer = sluis("campaign", "change", NAME, "--objections-until", ahead(10))
    assert (answer["drops_waiting"], answer["drops_that_run_out"]) == (2, [old])
    with home.ledger.view() as session:
        due = {row.drop for row in session.exec(select(EffectRow).where(EffectRow.kind == "link")) if row.due_at <= home.clock()}
    assert due == {old, new}
    status, _, said = sluis.run("campaign", "change", NAME, "--objections-until", ahead(11))
    assert status == 0 and "run out" in said


def test_a_published_round_is_published_when_it_said(sluis: Cli, tmp_path: Path) -> None:
    begin(sluis, tmp_path)
    with sluis.opened().ledger.change("test") as change:
        now = change.now
        change.session.add(
            Bundle(id="b", campaign=NAME, board="10001", version=1, file="b", bytes=1, sha256="0", visible_from=now, created_at=now)
        )
    assert "sluis withdraw" in sluis.refused("campaign", "change", NAME, "--publish-from", f"{ahead(90)}T09:00")
    sluis("campaign", "change", NAME, "--deliver-until", ahead(45))
