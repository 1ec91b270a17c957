"""Keys by command: what exists is told, no key is ever shown, and what is destroyed is no longer offered."""

from datetime import UTC, timedelta

import pytest
from sqlmodel import select

from gateway.cli.key import PURPOSE
from gateway.store.models import RecipientKey
from keys.secret import Secret
from tests.support.cli import Cli, days, deliver


def kinds(sluis: Cli) -> dict[str, int]:
    return {row["kind"]: row["keys"] for row in sluis("key", "list")}


def test_keys_are_counted_by_kind_with_what_they_are_for(sluis: Cli) -> None:
    rows = sluis("key", "list")
    assert {row["kind"] for row in rows} == {"authority", "signing", "ssh", "checkpoint", "tls", "recipients", "epochs"}
    assert all(row["for"] and row["ends"] and row["oldest"] for row in rows)
    assert {row["kind"] for row in rows if row["in_backup"]} == {"authority", "signing", "ssh", "checkpoint", "tls"}
    deliver(sluis.opened(), campaign=None)
    sluis("campaign", "create", "2026-M", *days())
    assert kinds(sluis)["drops"] == kinds(sluis)["objections"] == 1
    home = sluis.opened()
    assert set(home.keystore.kinds()) | set(home.mortal.kinds()) <= set(PURPOSE), "a kind of keys that nobody explains"


def test_every_key_is_named_and_none_is_shown(sluis: Cli) -> None:
    home = sluis.opened()
    rows = sluis("key", "list", "--every")
    assert sum(kinds(sluis).values()) == len(rows)
    said = sluis.run("key", "list", "--every")[1] + repr(rows)
    for store in (home.keystore, home.mortal):
        for kind in store.kinds():
            for name in store.names(kind):
                assert any((row["kind"], row["name"]) == (kind, name) for row in rows)
                value = store.read(kind, name).reveal()
                assert value.hex() not in said and value.decode("latin-1")[:40] not in said


def recipients(sluis: Cli) -> dict[str, tuple[str | None, str]]:
    """Campaign and state of each key that vendors encrypt to, by its name."""
    rows = sluis("key", "list", "--every")
    assert all(row["campaign"] is row["state"] is row["taken_until"] is None for row in rows if row["kind"] != "recipients")
    return {row["name"]: (row["campaign"], row["state"]) for row in rows if row["kind"] == "recipients"}


def test_rotation_offers_a_new_key_and_still_takes_the_old_one(sluis: Cli) -> None:
    home = sluis.opened()
    sluis("campaign", "create", "2026-M", *days(enrol_until=0, objections_from=1))
    before = home.recipients.public()
    ((old, (campaign, state)),) = recipients(sluis).items()
    assert (campaign, state) == ("2026-M", "current"), "the first campaign takes the key over that there is"
    made = sluis("key", "rotate", "recipients", "--reason", "een jaar oud")
    assert made["public_key"] == home.recipients.public() != before
    assert (made["replaced"], made["campaign"]) == (old, "2026-M")
    assert recipients(sluis) == {old: ("2026-M", "overlapping"), made["name"]: ("2026-M", "current")}
    (told,) = sluis("audit", "show", "--object", f"recipients/{made['name']}")
    assert (told["action"], told["detail"]["replaced"], told["detail"]["reason"]) == ("key.rotated", old, "een jaar oud")
    assert told["detail"]["taken_until"] == made["replaced_taken_until"]


def test_a_key_that_leaked_is_taken_no_more(sluis: Cli) -> None:
    (old,) = recipients(sluis)
    assert "reason" in sluis.refused("key", "rotate", "recipients", "--at-once", status=2)
    made = sluis("key", "rotate", "recipients", "--at-once", "--reason", "gelekt")
    assert recipients(sluis) == {old: (None, "retired"), made["name"]: (None, "current")}
    (told,) = sluis("audit", "show", "--object", f"recipients/{made['name']}")
    assert told["detail"]["reason"] == "gelekt"


@pytest.mark.parametrize("wrong", [("recipients", "--now"), ("ssh-host", "--at-once", "--reason", "x")])
def test_each_kind_has_its_own_haste(sluis: Cli, wrong: tuple[str, ...]) -> None:
    before = sluis("key", "list", "--every")
    sluis.refused("key", "rotate", *wrong, status=2)
    assert sluis("key", "list", "--every") == before


@pytest.mark.parametrize("kind", ["authority", "signing", "ssh", "tls", "epochs", "nonsense"])
def test_only_what_can_be_rotated_is(sluis: Cli, kind: str) -> None:
    before = sluis("key", "list", "--every")
    sluis.refused("key", "rotate", kind)
    assert sluis("key", "list", "--every") == before


def test_a_key_is_destroyed_with_its_intent_in_the_log_first(sluis: Cli) -> None:
    home = sluis.opened()
    drop = deliver(home, campaign=None)
    assert sluis("key", "destroy", "drops", drop, "--yes", "--reason", "datalek")["state"] == "destroyed"
    assert not home.mortal.exists("drops", drop)
    told = [(row["action"], row["detail"]["reason"]) for row in sluis("audit", "show", "--object", f"drops/{drop}")]
    assert told == [("key.destruction-begun", "datalek"), ("key.destroyed", "datalek")]
    sluis.refused("key", "destroy", "drops", drop, "--yes", "--reason", "nog eens")


def test_a_destroyed_recipient_is_no_longer_given_to_vendors(sluis: Cli) -> None:
    home = sluis.opened()
    (old,) = recipients(sluis)
    first = home.recipients.public()
    new = sluis("key", "rotate", "recipients")
    sluis("key", "destroy", "recipients", old, "--yes", "--reason", "x")
    assert recipients(sluis) == {new["name"]: (None, "current")} and home.recipients.public() == new["public_key"]
    sluis("key", "destroy", "recipients", new["name"], "--yes", "--reason", "x")
    ((third, stands),) = recipients(sluis).items()
    assert third not in (old, new["name"]) and stands == (None, "current")
    assert home.recipients.public() not in (first, new["public_key"]), "vendors are given another one, and never one from before"
    with home.ledger.view() as session:
        told = {key.name: key.destroyed_at is not None for key in session.exec(select(RecipientKey))}
    assert told == {old: True, new["name"]: True, third: False}


def test_a_destroyed_epoch_takes_no_more_drops(sluis: Cli) -> None:
    home = sluis.opened()
    tomorrow = (home.clock().astimezone(UTC) + timedelta(days=1)).date()
    sluis("key", "destroy", "epochs", tomorrow.isoformat(), "--yes", "--reason", "x")
    assert tomorrow not in home.epochs.days()
    assert [row["action"] for row in sluis("audit", "show", "--object", tomorrow.isoformat())] == [
        "epoch.destruction-begun",
        "epoch.destroyed",
    ], "what certificates look for"


@pytest.mark.parametrize(("answer", "gone"), [("y\n", True), ("n\n", False), ("\n", False), ("", False)])
def test_it_asks_first(sluis: Cli, answer: str, gone: bool) -> None:
    home = sluis.opened()
    drop = deliver(home, campaign=None)
    status, _, err = sluis.run("key", "destroy", "drops", drop, "--reason", "x", stdin=answer)
    assert home.mortal.exists("drops", drop) is not gone and "Traceback" not in err
    assert (status == 0) is gone


@pytest.mark.parametrize(("kind", "name"), [("authority", "pseudonyms"), ("signing", "audit"), ("ssh", "host"), ("tls", "portal")])
def test_what_lives_for_years_is_not_ended_here(sluis: Cli, kind: str, name: str) -> None:
    sluis.refused("key", "destroy", kind, name, "--yes", "--reason", "x")
    assert sluis.opened().keystore.exists(kind, name)


@pytest.mark.parametrize(("kind", "name", "status"), [("../keys", "x", 2), ("drops", "../../keys/signing/audit", 2), ("drops", "x", 1)])
def test_a_name_leads_nowhere_else(sluis: Cli, kind: str, name: str, status: int) -> None:
    sluis.refused("key", "destroy", kind, name, "--yes", "--reason", "x", status=status, hint=status == 1)
    assert sluis.opened().keystore.exists("signing", "audit")


def test_an_end_that_failed_half_way_is_completed_when_it_is_ordered_again(sluis: Cli) -> None:
    home = sluis.opened()
    home.mortal.create("registers", "persons-1", Secret(b"k" * 32))
    folder = home.mortal.kind_folder("registers")
    (folder / "persons-1").rename(folder / ".gone.0123456789abcdef")
    assert sluis("key", "destroy", "registers", "persons-1", "--reason", "test", "--yes")["state"] == "destroyed"
    assert list(folder.iterdir()) == []
