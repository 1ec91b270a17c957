"""Drops and their retention by command: what is shown, what is erased, and what stays as it was."""

from datetime import timedelta
from pathlib import Path

import pytest

from gateway.drop.lifecycle import Event
from gateway.store.ledger import drop_of
from gateway.worker.receipts import write_receipt
from tests.support.cli import BSN, Cli, begin, deliver
from tests.support.ledgers import audit_rows


@pytest.fixture
def way(sluis: Cli, tmp_path: Path) -> Cli:
    begin(sluis, tmp_path)
    return sluis


def advance(sluis: Cli, drop_id: str, *events: Event) -> None:
    home = sluis.opened()
    with home.ledger.change("worker") as change:
        for event in events:
            change.advance(drop_of(change.session, drop_id), event)
    home.ledger.engine.dispose()


def test_drops_are_listed_oldest_first_and_by_campaign_or_vendor(way: Cli) -> None:
    home = way.opened()
    second, first = deliver(home, 2), deliver(home, 1, age_days=1, campaign=None)
    assert [row["drop"] for row in way("drop", "list")] == [first, second]
    assert [row["drop"] for row in way("drop", "list", "--campaign", "2026-M")] == [second]
    assert [row["drop"] for row in way("drop", "list", "--vendor", "cito")] == [first, second]
    assert way("drop", "list", "--vendor", "parnassys") == []
    assert {"vendor", "folder", "file", "bytes", "received_at", "state", "data", "erase_before"} <= way("drop", "list")[0].keys()
    status, out, _ = way.run("drop", "list")
    assert status == 0 and "levering-2.csv.age" in out


def test_a_drop_is_shown_with_its_history(way: Cli) -> None:
    drop = deliver(way.opened())
    advance(way, drop, Event.CHECKS_PASSED)
    shown = way("drop", "show", drop)
    assert (shown["state"], shown["data"], shown["linked_at"], shown["schools"]) == ("accepted", "held", None, [])
    assert [line.split()[2] for line in shown["history"]] == ["drop.received", "drop.accepted"]
    status, out, _ = way.run("drop", "show", drop)
    assert status == 0 and "waiting for" in out


def test_a_receipt_is_shown_as_the_vendor_sees_it(way: Cli) -> None:
    home = way.opened()
    drop = deliver(home)
    assert "no receipt yet" in way.refused("drop", "receipt", drop)
    write_receipt(home, drop)
    document = way("drop", "receipt", drop)
    assert document["schema"] == "sluis-receipt-1" and document["drop"] == drop and document["state"] == "received"
    status, out, _ = way.run("drop", "receipt", drop)
    assert status == 0 and out.startswith("ONTVANGSTBEWIJS")


@pytest.mark.parametrize(
    ("events", "state"),
    [
        ((), "expired"),
        ((Event.CHECKS_PASSED,), "expired"),
        ((Event.TRUNCATED,), "expired"),
        ((Event.CHECKS_FAILED,), "rejected"),
        ((Event.CHECKS_PASSED, Event.PERSONS_FOUND), "linked"),
    ],
)
def test_a_drop_is_erased_from_every_state(way: Cli, events: tuple[Event, ...], state: str) -> None:
    home = way.opened()
    drop = deliver(home)
    advance(way, drop, *events)
    assert way("drop", "erase", drop, "--reason", "verzoek van het bestuur") == {"drop": drop, "raw": "erased"}
    shown = way("drop", "show", drop)
    assert (shown["state"], shown["data"]) == (state, "erased") and shown["erased_at"]
    assert not home.mortal.exists("drops", drop) and not home.blob(drop).exists()
    assert way("drop", "receipt", drop)["certificate"]
    assert way("audit", "prove", drop)["drop"] == drop
    assert any(row["detail"].get("reason") == "verzoek van het bestuur" for row in way("audit", "show", "--object", drop))
    assert "already" in way.refused("drop", "erase", drop, "--reason", "nog eens")


def test_a_reason_that_names_a_pupil_erases_nothing(way: Cli) -> None:
    home = way.opened()
    drop = deliver(home)
    assert BSN not in way.refused("drop", "erase", drop, "--reason", f"leerling {BSN}")
    assert (way("drop", "show", drop)["state"], way("drop", "show", drop)["data"]) == ("received", "held")
    assert home.mortal.exists("drops", drop) and home.blob(drop).exists()
    way.refused("drop", "erase", drop, status=2)


def test_retention_tells_the_deadlines_soonest_first(way: Cli) -> None:
    home = way.opened()
    fresh, soon, over = deliver(home, 1), deliver(home, 2, age_days=15), deliver(home, 3, age_days=22)
    rows = [row for row in way("retention", "status")["material"] if row["kind"] == "drop"]
    assert [(row["name"], row["attention"]) for row in rows] == [(over, "overdue"), (soon, "7 days"), (fresh, "")]
    assert rows[0]["hours_left"] == -24 or rows[0]["hours_left"] == -25
    assert 20 * 24 <= rows[2]["hours_left"] <= 21 * 24
    status, out, _ = way.run("retention", "status")
    assert status == 0 and "overdue" in out


def test_retention_run_ends_what_is_due_linked_or_not_and_nothing_else(way: Cli) -> None:
    home = way.opened()
    waiting, fresh = deliver(home, 1, age_days=22), deliver(home, 2, age_days=20)
    linked = deliver(home, 3, age_days=21.001)
    advance(way, waiting, Event.CHECKS_PASSED)
    advance(way, linked, Event.CHECKS_PASSED, Event.PERSONS_FOUND)
    old = (home.clock() - timedelta(days=40)).date()
    home.epochs.ensure(old)
    home.epochs.ensure((home.clock() - timedelta(days=20)).date())
    done = way("retention", "run")
    assert done == {
        "drops_erased": 2,
        "drop_keys_destroyed": 0,
        "epoch_keys_destroyed": [old.isoformat()],
        "recipient_keys_destroyed": [],
        "objection_registers_ended": [],
        "warnings": 1,
        "failed": {},
        "not_told_yet": {},
    }
    states = {row["drop"]: (row["state"], row["data"]) for row in way("drop", "list")}
    assert states == {waiting: ("expired", "erased"), linked: ("linked", "erased"), fresh: ("received", "held")}
    assert home.mortal.names("drops") == [fresh] and home.blob(fresh).exists() and not home.blob(waiting).exists()
    assert way("drop", "receipt", waiting)["state"] == "expired"
    assert way("retention", "run") == {
        "drops_erased": 0,
        "drop_keys_destroyed": 0,
        "epoch_keys_destroyed": [],
        "recipient_keys_destroyed": [],
        "objection_registers_ended": [],
        "warnings": 0,
        "failed": {},
        "not_told_yet": {},
    }
    actors = {row.actor for row in audit_rows(home.ledger, "drop.erasure")}
    assert actors == {"retention"}
    assert way("audit", "verify")["sound"]


def test_an_erasure_that_was_cut_short_is_completed(way: Cli) -> None:
    """The key went, the power failed, the bytes are still there."""
    home = way.opened()
    drop = deliver(home, 1, age_days=22)
    home.mortal.destroy("drops", drop)
    assert way("retention", "run")["drops_erased"] == 1
    assert not home.blob(drop).exists() and way("drop", "show", drop)["data"] == "erased"


def test_an_administrator_takes_a_drop_back_after_a_question(way: Cli) -> None:
    home = way.opened()
    drop = deliver(home)
    advance(way, drop, Event.CHECKS_PASSED)
    command = ("drop", "withdraw", drop, "--reason", "de school vroeg erom")
    status, _, _ = way.run(*command, stdin="n\n")
    assert status == 130 and way("drop", "show", drop)["state"] == "accepted"
    assert way(*command, "--yes") == {"drop": drop, "state": "withdrawn"}
    shown = way("drop", "show", drop)
    assert (shown["state"], shown["data"], shown["replaces"], shown["replaced_by"]) == ("withdrawn", "erased", {}, {})
    assert not home.blob(drop).exists()
    (entry,) = audit_rows(home.ledger, "drop.withdrawn")
    assert (entry.actor, entry.detail["reason"], entry.detail["was"]) == ("administrator", "de school vroeg erom", "accepted")
    receipt = way("drop", "receipt", drop)
    assert receipt["state"] == "expired" and [found["rule"] for found in receipt["findings"]] == ["withdrawn"]
    assert "nothing of it to withdraw" in way.refused(*command, "--yes")
    assert "no such drop" in way.refused("drop", "withdraw", "d20260120-abcdefghijklmnop", "--reason", "x", "--yes")
