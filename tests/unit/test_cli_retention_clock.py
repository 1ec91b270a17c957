"""`retention clock`: gateway time is told, and brought back only when that lengthens nothing."""

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlmodel import col, select

from gateway.drop.lifecycle import Effect
from gateway.store.auditing import sequence
from gateway.store.home import EPOCHS_AHEAD, Home, prepare_epochs
from gateway.store.models import Board, Drop, EffectRow, PortalSession, RecipientKey
from gateway.store.recipient_keys import rotate_recipients
from gateway.store.sessions import open_session
from gateway.worker.epochs import end_all_epochs
from gateway.worker.receipts import erasure_certificate
from keys.secret import Secret
from tests.support.cli import Cli, deliver
from tests.support.ledgers import audit_rows
from tests.support.machines import gateway_time_ahead

MONTH = timedelta(days=30)
FOLLOW = ("retention", "clock", "--follow", "--reason", "the clock was a month ahead")


def told(sluis: Cli, *more: str) -> dict[str, Any]:
    status, out, err = sluis.run("--json", "retention", "clock", *more)
    assert status == 0, err
    return dict(json.loads(out))


def actions(home: Home) -> list[str]:
    return [row.action for row in sorted(audit_rows(home.ledger), key=lambda row: row.leaf if row.leaf is not None else 10**9)]


def test_gateway_time_is_told_beside_the_wall_clock(sluis: Cli) -> None:
    found = told(sluis)
    assert found["ahead_seconds"] == 0 and found["gateway_time"][:16] == found["wall_clock"][:16]
    gateway_time_ahead(sluis.home, MONTH)
    assert told(sluis)["ahead_seconds"] == MONTH.total_seconds()


@pytest.mark.parametrize("words", [("--follow",), ("--reason", "x"), ("--follow", "--reason", "")])
def test_following_wants_a_reason(sluis: Cli, words: tuple[str, ...]) -> None:
    assert sluis.run("retention", "clock", *words)[0] == 2


def test_there_must_be_something_to_follow(sluis: Cli) -> None:
    assert "not ahead" in sluis.refused(*FOLLOW)


def test_nothing_is_brought_back_while_something_is_held(sluis: Cli) -> None:
    gateway_time_ahead(sluis.home, MONTH)
    home = sluis.opened()
    drop = deliver(home, campaign=None)
    assert "still held (1)" in sluis.refused(*FOLLOW) and "drop erase" in sluis.refused(*FOLLOW)
    sluis("drop", "erase", drop, "--reason", "test")
    home.mortal.create("drops", "unknown", Secret(b"sealed"))  # a delivery that the ledger was not told of yet
    assert "still held (1)" in sluis.refused(*FOLLOW)
    folder = home.incoming("cito", "leveringen")
    folder.mkdir(parents=True)
    (folder / "upload1.blob").write_bytes(b"ciphertext")
    assert "still held (2)" in sluis.refused(*FOLLOW)
    assert told(sluis)["ahead_seconds"] == MONTH.total_seconds() and "clock.follow-begun" not in actions(home)


def test_it_is_brought_back_with_new_keys_for_all_days_and_everybody_follows(sluis: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    gateway_time_ahead(sluis.home, MONTH)
    home = sluis.opened()  # as a role has it that was running all the time
    erased = deliver(home, campaign=None)
    sluis("drop", "erase", erased, "--reason", "test")
    with home.ledger.change("portal") as change:
        change.session.add(Board(number="10001", name="Stichting"))
        change.session.flush()
        open_session(change, "0" * 64, "10001", "csrf")
    prepare_epochs(home)
    _, replaced = rotate_recipients(home, "test", "test")
    old = {day: home.epochs.public(day) for day in home.epochs.days()}
    late = max(old) + timedelta(days=1)

    def wait(seconds: float, sleep: Callable[[float], None] = time.sleep) -> None:
        home.epochs.ensure(late)  # a worker that has the old time for a moment still
        sleep(seconds)

    monkeypatch.setattr("gateway.cli.retention_clock.time.sleep", wait)
    found = told(sluis, *FOLLOW[2:])
    assert found["ahead_seconds"] == 0 and set(found["epoch_keys_destroyed"]) == {day.isoformat() for day in (*old, late)}
    assert home.clock() < datetime.now(UTC) + timedelta(minutes=1), "a process that was running followed"
    today = home.clock().date()
    assert home.epochs.days() == [today + timedelta(days=ahead) for ahead in range(EPOCHS_AHEAD)]
    assert not set(old.values()) & {home.epochs.public(day) for day in home.epochs.days()}
    happened = actions(home)
    begun, followed = happened.index("clock.follow-begun"), happened.index("clock.followed")
    assert happened[begun:followed].count("epoch.destroyed") == len(old) + 1 and "epoch.destroyed" not in happened[:begun]
    with home.ledger.view() as session:
        assert session.get(PortalSession, "0" * 64) is None, "its end would be a month off"
        effects = session.exec(select(EffectRow).where(EffectRow.drop == erased, col(EffectRow.done_at).is_(None))).all()
        assert Effect.RECEIPT in {effect.kind for effect in effects}
        assert all(effect.due_at <= home.clock() for effect in effects)
        certified = erasure_certificate(home, session, session.get_one(Drop, erased))
    with home.ledger.view() as session:
        key = session.get_one(RecipientKey, replaced.name)
    assert key.taken_until is not None and key.taken_until <= home.clock() + timedelta(days=16), "taken for a month more"
    assert certified["keys"][1]["destroyed_at"] is not None  # type: ignore[index,call-overload]


def test_a_day_that_got_a_new_key_is_not_certified_as_ended_until_that_ends_too(sluis: Cli) -> None:
    home = sluis.opened()
    drop = deliver(home, campaign=None)
    sluis("drop", "erase", drop, "--reason", "test")

    def epoch_ended() -> Any:
        with home.ledger.view() as session:
            found: Any = erasure_certificate(home, session, session.get_one(Drop, drop))
        return found["keys"][1]["destroyed_at"]

    day = home.clock().date()
    assert epoch_ended() is None
    end_all_epochs(home, "test", "gateway time is brought back")
    sequence(home)
    first = epoch_ended()
    home.epochs.ensure(day)
    assert first is not None and epoch_ended() is None
    later = home.clock() + timedelta(hours=1)
    home.clock = home.ledger.clock = lambda: later
    end_all_epochs(home, "test", "gateway time is brought back")
    sequence(home)
    assert epoch_ended() > first
