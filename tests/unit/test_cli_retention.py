"""`sluis retention` when something fails: what can end ends, what can't is told and tried again, and nothing of it reads as success."""

import json
import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlmodel import Session, select

from gateway.drop.lifecycle import Event, RawEvent
from gateway.store.home import Home
from gateway.store.ledger import drop_of
from gateway.store.models import EffectRow
from gateway.worker import deadlines
from gateway.worker.deadlines import warn_of_deadlines, warnings_given
from gateway.worker.receipts import write_receipt
from gateway.worker.serve import upkeep
from keys.secret import Secret
from tests.support.cli import Cli, deliver
from tests.support.ledgers import audit_rows
from tests.support.retention import NOTHING, is_alive, key_of, logged, old_epoch, rows_about, run, way

__all__ = ["way"]


def test_the_status_tells_everything_that_may_identify_soonest_first(way: Cli) -> None:
    home = way.opened()
    soon, fresh = deliver(home, 1, age_days=19.5), deliver(home, 2)
    folder = home.incoming("cito", "leveringen")
    folder.mkdir(parents=True)
    (folder / "upload1.blob").write_bytes(b"ciphertext")
    home.mortal.create("registers", "persons-1", Secret(b"k" * 32))
    told = way("retention", "status")
    assert told["ledger"] == "read"
    assert told["oldest"]["kind"] == "drop" and told["oldest"]["name"] == soon
    assert told["margin_hours"] == 35 == told["material"][0]["hours_left"]
    today = home.clock().astimezone(UTC).date().isoformat()
    kinds = [(row["kind"], row["name"], row["attention"]) for row in told["material"]]
    assert kinds[:4] == [
        ("drop", soon, "3 days"),
        ("unfinished upload", "upload1", ""),
        ("drop", fresh, ""),
        ("epoch key", today, ""),
    ]
    assert ("register key", "persons-1", "") in kinds and ("objection key", "2026-M", "") in kinds
    assert [row["erase_before"] is None for row in told["material"]] == [False] * 4 + [True] * (len(kinds) - 4)
    assert max(row["name"] for row in told["material"] if row["kind"] == "epoch key") == today, "nothing was received yet under later ones"


def test_run_twice_does_nothing_the_second_time(way: Cli) -> None:
    home = way.opened()
    deliver(home, 1, age_days=22)
    deliver(home, 2, age_days=20)
    old_epoch(home)
    done, _ = run(way, status=0)
    assert (done["drops_erased"], done["warnings"], len(done["epoch_keys_destroyed"])) == (1, 1, 1)
    size = home.audit_log().size
    assert run(way, status=0)[0] == NOTHING
    assert home.audit_log().size == size


@pytest.mark.parametrize("place", [key_of, Home.blob])
def test_a_drop_that_can_not_be_erased_holds_up_no_other_and_is_never_said_to_be_erased(
    way: Cli, place: Callable[[Home, str], Path]
) -> None:
    home = way.opened()
    others = [deliver(home, number, age_days=22 + number) for number in (1, 2)]
    stuck = deliver(home, 3, age_days=22.5)
    path = place(home, stuck)
    path.unlink()
    path.mkdir()  # nothing overwrites or unlinks a folder
    for _ in range(2):
        done, said = run(way)
        assert done["failed"] == {stuck: "EISDIR"} and "1 erasures failed and are tried again (EISDIR)" in said
    assert [way("drop", "show", drop)["data"] for drop in (*others, stuck)] == ["erased", "erased", "maybe erased"]
    assert not any(key_of(home, drop).exists() or home.blob(drop).exists() for drop in others)
    assert rows_about(home, stuck).count("drop.erasure-failed") == 1, "told once a day"
    status, out, _ = way.run("--json", "doctor")
    doctor = {row["check"]: row for row in json.loads(out)}
    assert status == 3 and not doctor["erasure"]["ok"] and "EISDIR" in doctor["erasure"]["says"]
    assert way("drop", "receipt", others[0])["state"] == "expired"
    for left in (path, *(home.path / "mortal" / "drops").glob(".gone.*")):
        if left.is_dir():
            left.rmdir()
    assert run(way, status=0)[0]["drops_erased"] == 1
    assert way("drop", "show", stuck)["data"] == "erased" and way("audit", "prove", stuck)["drop"] == stuck


def test_an_erasure_that_is_half_done_is_completed_before_its_time(way: Cli) -> None:
    home = way.opened()
    drop = deliver(home)
    with home.ledger.change("worker") as change:
        found = drop_of(change.session, drop)
        change.advance(found, Event.CHECKS_FAILED)
        change.advance_raw(found, RawEvent.ERASURE_BEGUN)
    assert run(way, status=0)[0]["drops_erased"] == 1
    assert way("drop", "show", drop)["data"] == "erased" and way("drop", "show", drop)["state"] == "rejected"


def test_a_log_that_can_not_be_written_keeps_nothing_alive_past_its_window(way: Cli) -> None:
    home = way.opened()
    drop, day = deliver(home, 1, age_days=22), old_epoch(home)
    size = home.audit_log().size
    obstacle = home.path / "audit" / "checkpoint.next"
    obstacle.mkdir()
    for _ in range(2):
        done, said = run(way)
        assert day.isoformat() in done["not_told_yet"] and done["epoch_keys_destroyed"] == []
        assert "not told yet to the audit log" in said
        assert not is_alive(home, day) and day in home.epochs.days(), "listed until the log tells of it"
    assert not key_of(home, drop).exists() and not home.blob(drop).exists() and way("drop", "show", drop)["data"] == "erased"
    assert home.audit_log().size == size
    obstacle.rmdir()
    done, _ = run(way, status=0)
    assert done["epoch_keys_destroyed"] == [day.isoformat()] and day not in home.epochs.days()
    assert logged(home, day.isoformat()) == ["epoch.destruction-begun", "epoch.destroyed"]
    assert {"drop.erasure-begun", "drop.erasure-verified"} <= set(logged(home, drop))
    write_receipt(home, drop)
    assert way("drop", "receipt", drop)["certificate"] and way("audit", "verify")["sound"]


def test_before_the_windows_end_nothing_goes_that_the_log_does_not_tell_of(way: Cli) -> None:
    home = way.opened()
    spent = old_epoch(home, days=3)
    drop = deliver(home, 1)
    with home.ledger.change("worker") as change:
        found = drop_of(change.session, drop)
        change.advance(found, Event.CHECKS_FAILED)
        change.advance_raw(found, RawEvent.ERASURE_BEGUN)
    (home.path / "audit" / "checkpoint.next").mkdir()
    done, _ = run(way)
    assert set(done["failed"]) == {drop, spent.isoformat()}
    assert is_alive(home, spent) and key_of(home, drop).exists() and home.blob(drop).exists()


def test_an_epoch_key_that_can_not_be_destroyed_is_told_and_holds_up_no_other(way: Cli) -> None:
    home = way.opened()
    stuck, other = old_epoch(home, days=24), old_epoch(home, days=25)
    path = home.path / "mortal" / "epochs" / stuck.isoformat()
    path.unlink()
    path.mkdir()
    done, _ = run(way)
    assert done["failed"] == {stuck.isoformat(): "EISDIR"} and done["epoch_keys_destroyed"] == [other.isoformat()]
    assert stuck in home.epochs.days() and "epoch.destroyed" not in logged(home, stuck.isoformat())
    for left in (home.path / "mortal" / "epochs").glob(".gone.*"):
        left.rmdir()
    assert run(way, status=0)[0]["epoch_keys_destroyed"] == [stuck.isoformat()]


def test_a_strange_file_among_the_keys_hinders_nothing(way: Cli) -> None:
    home = way.opened()
    day = old_epoch(home)
    for folder in (home.path / "mortal" / "epochs", home.path / "mortal" / "drops", home.public / "epochs"):
        for name in (f"{day}.bak", "2026-99-99", "2026-99-99.age.txt", "notes"):
            (folder / name).write_bytes(b"?")
            (folder / name).chmod(0o600)
    assert run(way, status=0)[0]["epoch_keys_destroyed"] == [day.isoformat()]


def test_a_drop_that_the_ledger_was_not_told_of_keeps_its_days_key(way: Cli) -> None:
    """The ledger was away for days; the intake tells it of the drop when it is back."""
    home = way.opened()
    day, empty = old_epoch(home, days=4), old_epoch(home, days=5)
    home.mortal.create("drops", f"d{day:%Y%m%d}-aaaaaaaaaaaaaaaa", Secret(b"sealed"))
    assert run(way, status=0)[0]["epoch_keys_destroyed"] == [empty.isoformat()]
    assert is_alive(home, day)


UPKEEP = """
import sys
from pathlib import Path
from gateway.store.auditing import sequence
from gateway.store.home import Home
from gateway.worker.serve import upkeep
home = Home.open(Path(sys.argv[1]))
print("ready", flush=True)
sys.stdin.readline()
upkeep(home)
sequence(home)
"""


def test_the_timer_and_the_worker_at_once_end_well(way: Cli, project: Path) -> None:
    home = way.opened()
    drops = [deliver(home, number, age_days=22 + number / 10) for number in range(8)]
    days = [old_epoch(home, days) for days in range(23, 30)]
    home.ledger.engine.dispose()
    worker = subprocess.Popen([sys.executable, "-c", UPKEEP, str(home.path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=project)
    assert worker.stdout is not None and worker.stdout.readline() == b"ready\n" and worker.stdin is not None
    timers = [
        subprocess.Popen([sys.executable, "-m", "gateway.cli", "--home", str(home.path), "retention", "run"], cwd=project) for _ in range(2)
    ]
    worker.stdin.write(b"go\n")
    worker.stdin.flush()
    assert [process.wait(timeout=120) for process in (*timers, worker)] == [0, 0, 0]
    home = way.opened()
    assert {row["data"] for row in way("drop", "list")} == {"erased"} and home.mortal.names("drops") == []
    assert not set(days) & set(home.epochs.days()) and home.mortal.unfinished("epochs") == []
    for drop in drops:
        told = rows_about(home, drop)
        assert (told.count("drop.expired"), told.count("drop.erasure-verified")) == (1, 1)
    for day in days:
        assert "epoch.destroyed" in rows_about(home, day.isoformat())
    assert run(way, status=0)[0] == NOTHING and way("audit", "verify")["sound"]


# ---------------------------------------------------------------- the worker


def test_the_worker_says_at_each_upkeep_what_it_could_not_end(way: Cli, caplog: pytest.LogCaptureFixture) -> None:
    home = way.opened()
    stuck, other = deliver(home, 1, age_days=22), deliver(home, 2, age_days=22)
    key_of(home, stuck).unlink()
    key_of(home, stuck).mkdir()
    for _ in range(2):
        caplog.clear()
        upkeep(home)
        errors = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
        assert any("retention incomplete" in said and "EISDIR" in said for said in errors) and any(stuck in said for said in errors)
    assert way("drop", "show", other)["data"] == "erased"
    assert rows_about(home, stuck).count("drop.erasure-failed") == 1


# ---------------------------------------------------------------- warnings


def test_each_deadline_is_warned_of_at_7_3_and_1_days_and_once_each(way: Cli) -> None:
    home = way.opened()
    drop = deliver(home)
    with home.ledger.change("worker") as change:
        found = drop_of(change.session, drop)
        change.advance(found, Event.CHECKS_PASSED)
        found.waiting_for = ["objection-register 01AA00"]
    begun = home.clock()
    for hours in range(0, 22 * 24, 12):
        home.clock = home.ledger.clock = lambda hours=hours: begun + timedelta(hours=hours)
        warn_of_deadlines(home)
    said = [row for row in audit_rows(home.ledger) if row.action == "drop.deadline-near"]
    assert [row.detail for row in said] == [{"days": days, "state": "accepted"} for days in (7, 3, 1)]
    assert [round((row.time - begun) / timedelta(days=1), 1) for row in said] == [14.0, 18.0, 20.0]
    with home.ledger.view() as session:
        assert "receipt" in session.exec(select(EffectRow.kind).where(EffectRow.drop == drop)).all()
    home.clock = home.ledger.clock = lambda: datetime.now(UTC)
    write_receipt(home, drop)
    (told,) = way("drop", "receipt", drop)["findings"]
    assert told["rule"] == "window-near" and "bezwaarregister van 01AA00" in told["message"]


def test_two_processes_that_looked_at_the_same_time_warn_once(way: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    home = way.opened()
    deliver(home, 1, age_days=20.5)
    assert len(warn_of_deadlines(home)) == 1

    def as_seen_before(session: Session, drop_id: str | None = None) -> dict[str, set[int]]:
        return warnings_given(session, drop_id) if drop_id else defaultdict(set)

    monkeypatch.setattr(deadlines, "warnings_given", as_seen_before)
    assert warn_of_deadlines(home) == []
    assert len(audit_rows(home.ledger, "drop.deadline-near")) == 1


def test_run_warns_and_the_receipt_says_what_can_still_be_done(way: Cli) -> None:
    home = way.opened()
    drop = deliver(home, 1, age_days=20.5)
    with home.ledger.change("worker") as change:
        change.advance(drop_of(change.session, drop), Event.TRUNCATED)
    done, _ = run(way, status=0)
    assert done["warnings"] == 1
    assert [row.detail["days"] for row in audit_rows(home.ledger, "drop.deadline-near")] == [1], "what was missed is not made up for"
    (told,) = way("drop", "receipt", drop)["findings"]
    assert told["rule"] == "window-near" and "onder dezelfde naam" in told["message"]


def test_the_receipt_of_an_expired_drop_says_why_and_what_to_do(way: Cli) -> None:
    home = way.opened()
    late, asked = deliver(home, 1, age_days=22), deliver(home, 2)
    with home.ledger.change("worker") as change:
        found = drop_of(change.session, late)
        change.advance(found, Event.CHECKS_PASSED)
        found.waiting_for = ["objection-window", "objection-register 01AA00"]
    run(way, status=0)
    receipt = way("drop", "receipt", late)
    (told,) = receipt["findings"]
    assert receipt["state"] == "expired" and told["rule"] == "window-ended"
    assert "de bezwaartermijn liep nog en het bezwaarregister van 01AA00 ontbrak nog" in told["message"]
    assert "kunt u voor 2026-M leveren" in told["message"] and home.config.authority.contact in told["message"]
    assert "Wacht:" not in way.run("drop", "receipt", late)[1] and told["message"] in way.run("drop", "receipt", late)[1]
    way("drop", "erase", asked, "--reason", "verzoek van het bestuur")
    (told,) = way("drop", "receipt", asked)["findings"]
    assert told["rule"] == "erased-on-request" and "verzoek" not in told["message"]
