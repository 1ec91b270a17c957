"""From the ledger's rows to the log: in order, once each, whatever dies between."""

import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import update
from sqlmodel import col, func, select

import gateway.store.auditing as auditing
from audit.entry import Entry
from audit.log import AuditLog
from gateway.store.auditing import entry_now, log_directly, sequence
from gateway.store.home import Home
from gateway.store.models import AuditRow
from tests.support.ledgers import audit_rows


def tell(home: Home, *objects: str) -> None:
    for name in objects:
        with home.ledger.change("test") as change:
            change.audit("test.step", name)


def log_of(home: Home) -> list[str]:
    return [Entry.from_bytes(data).object for data in home.audit_log().entries()]


def assert_in_step(home: Home) -> None:
    """Every row is numbered, and the entry under its number is that row's."""
    log = [Entry.from_bytes(data).id for data in home.audit_log().entries()]
    rows = audit_rows(home.ledger)
    assert sorted(row.leaf for row in rows if row.leaf is not None) == list(range(len(rows))) == list(range(len(log)))
    assert all(row.leaf is not None and log[row.leaf] == row.id for row in rows)
    assert home.audit_log().verify(home.audit_verifier()).sound


def forget(home: Home, since: int) -> None:
    """What a crash between the log and the database leaves: the log has the entries, their rows don't know."""
    with home.ledger.change("crash") as change:
        change.session.execute(update(AuditRow).where(col(AuditRow.leaf) >= since).values(leaf=None))


def test_entries_are_numbered_in_the_order_of_their_time(home: Home) -> None:
    tell(home, "a", "b", "c")
    assert sequence(home) == 4  # the home's own first
    assert log_of(home) == ["home", "a", "b", "c"]
    tell(home, "d")
    assert sequence(home) == 1 and log_of(home)[-1] == "d"
    assert sequence(home) == 0
    assert_in_step(home)


@pytest.mark.parametrize("since", [0, 1, 3])
def test_a_crash_between_log_and_database_is_healed(home: Home, since: int) -> None:
    tell(home, "a", "b", "c")
    sequence(home)
    size = home.audit_log().size
    forget(home, since)
    assert sequence(home) == 4 - since
    assert home.audit_log().size == size, "an entry stands in the log twice"
    assert_in_step(home)


def test_healing_goes_with_what_came_since(home: Home) -> None:
    tell(home, "a", "b")
    sequence(home)
    forget(home, 1)
    tell(home, "c")
    assert sequence(home) == 3
    assert log_of(home) == ["home", "a", "b", "c"]
    assert_in_step(home)


def test_what_was_logged_without_the_ledger_becomes_its_rows(home: Home) -> None:
    tell(home, "a")
    sequence(home)
    at = home.clock()
    direct = [Entry(f"direct-{n}", at, "retention", "local", "epoch.destroyed", f"2026-02-0{n}", "ok", {"n": n}) for n in (1, 2)]
    log_directly(home, direct)
    log_directly(home, [Entry("direct-3", at, "retention", "local", "epoch.destroyed", "2026-02-03", "ok", {})])
    assert sequence(home) == 0, "none of these waited in the ledger"
    tell(home, "b")
    sequence(home)
    assert log_of(home) == ["home", "a", "2026-02-01", "2026-02-02", "2026-02-03", "b"]
    row = next(row for row in audit_rows(home.ledger) if row.id == "direct-2")
    assert (row.actor, row.action, row.object, row.detail, row.leaf) == ("retention", "epoch.destroyed", "2026-02-02", {"n": 2}, 3)
    assert_in_step(home)


def test_healing_is_right_when_an_earlier_moment_committed_late_and_batches_are_full(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """A change that began first and ended last has the smallest id, and stands before what the log has already."""
    monkeypatch.setattr(auditing, "BATCH", 3)
    tell(home, "a", "b", "c")
    sequence(home)
    forget(home, 1)
    home.ledger.clock = lambda: datetime(2026, 1, 1, tzinfo=UTC)
    tell(home, "late", "later")
    assert sequence(home) == 5
    assert sorted(log_of(home)) == ["a", "b", "c", "home", "late", "later"]
    assert_in_step(home)


def test_many_entries_go_in_batches(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(auditing, "BATCH", 2)
    tell(home, *"abcde")
    assert sequence(home) == 6
    assert log_of(home) == ["home", *"abcde"]
    assert_in_step(home)


def test_a_log_that_can_not_be_written_leaves_the_rows_waiting(home: Home) -> None:
    tell(home, "a")
    signer = home.path / "keys" / "signing" / "audit"
    kept = signer.read_bytes()
    signer.unlink()
    with pytest.raises(Exception, match="signing/audit"):
        sequence(home)
    with home.ledger.view() as session:
        assert session.exec(select(func.count()).select_from(AuditRow).where(col(AuditRow.leaf).is_(None))).one() == 2
    signer.write_bytes(kept)
    assert sequence(home) == 2
    assert_in_step(home)


def test_what_is_logged_directly_while_rows_are_being_numbered_becomes_a_row_too(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another process logs between the look at the log and the append: a later look begins after both."""
    tell(home, "a")
    real = AuditLog.append

    def late(log: AuditLog, entries: Sequence[bytes]) -> range:
        if entries:
            monkeypatch.setattr(AuditLog, "append", real)
            log_directly(home, [entry_now(home, "retention", "epoch.destroyed", "2026-02-01")])
        return real(log, entries)

    monkeypatch.setattr(AuditLog, "append", late)
    assert sequence(home) == 2
    tell(home, "b")
    sequence(home)
    assert log_of(home) == ["2026-02-01", "home", "a", "b"]
    assert_in_step(home)


_SEQUENCER = """
import sys
from pathlib import Path
from gateway.store.auditing import sequence
from gateway.store.home import Home
home = Home.open(Path(sys.argv[1]))
print("ready", flush=True)
sys.stdin.readline()
for number in range(10):
    with home.ledger.change("test") as change:
        change.audit("test.step", sys.argv[2] + str(number))
    sequence(home)
"""


def test_processes_at_once_number_every_entry_once(home: Home, project: Path) -> None:
    command = [sys.executable, "-c", _SEQUENCER, str(home.path)]
    processes = [
        subprocess.Popen([*command, name], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=project) for name in ("x", "y")
    ]
    for process in processes:
        assert process.stdout is not None and process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    assert [process.communicate(timeout=60) and process.returncode for process in processes] == [0, 0]
    sequence(home)
    told = log_of(home)
    assert sorted(told) == sorted(["home", *(f"{name}{number}" for name in "xy" for number in range(10))])
    for name in "xy":
        mine = [one for one in told if one[0] == name]
        assert mine == [f"{name}{number}" for number in range(10)]
    assert_in_step(home)
