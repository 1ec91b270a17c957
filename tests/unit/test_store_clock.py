"""The gateway's clock and its file: what is kept, what a file that says nothing means, and how a jump is told."""

import json
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from gateway.store import clock as module
from gateway.store.clock import BOOT_ID, FAULT, LOOK_EVERY, TOLERANCE, GatewayClock, boot_id, wrong_by
from gateway.store.home import Home
from gateway.store.timekeeping import keep_time
from policies.errors import Unsound
from tests.support.ledgers import audit_rows
from tests.support.machines import DAY, SECOND, Machine

START = datetime(2026, 2, 10, 10, tzinfo=UTC)


@pytest.fixture
def machine() -> Machine:
    return Machine(START)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "clock.json"


def test_on_a_machine_that_runs_well_it_is_the_wall_clock(machine: Machine, file: Path) -> None:
    clock = machine.clock(file)
    for _ in range(10):
        machine.passes(DAY)
        clock.keep()
        assert clock() == machine.now and clock.ahead() == timedelta(0)


def test_the_real_one_tells_utc(file: Path) -> None:
    before = datetime.now(UTC)
    told = GatewayClock(file)()
    assert before <= told <= datetime.now(UTC) and told.tzinfo is UTC


def test_who_only_reads_writes_nothing(machine: Machine, file: Path) -> None:
    clock = machine.clock(file)
    machine.passes(DAY)
    clock()
    assert list(file.parent.iterdir()) == []


def test_what_was_kept_holds_for_processes_that_start_later(machine: Machine, file: Path) -> None:
    machine.clock(file).keep()
    machine.set_wall(-30 * DAY)
    machine.passes(DAY)
    assert machine.clock(file)() == START + timedelta(days=1)


def test_over_a_reboot_the_line_goes_on_from_what_was_kept(machine: Machine, file: Path) -> None:
    machine.clock(file).keep()
    machine.set_wall(-30 * DAY)
    machine.reboot(off=7 * DAY)
    machine.passes(DAY)
    assert machine.clock(file)() == START + timedelta(days=1)


def test_a_jump_is_followed_when_somebody_has_kept_it(machine: Machine, file: Path) -> None:
    """So that nobody stamps with a time that those who erase have not come to."""
    worker = machine.clock(file)
    worker.keep()
    edge = machine.clock(file)
    machine.set_wall(30 * DAY)
    assert edge() == START and edge.ahead() == timedelta(days=-30)
    worker.keep()
    machine.passes(LOOK_EVERY)
    assert edge() == machine.now


def test_a_step_within_the_tolerance_is_followed_at_once(machine: Machine, file: Path) -> None:
    edge = machine.clock(file)
    machine.set_wall(TOLERANCE)
    assert edge() == machine.now
    machine.set_wall(1)
    assert edge() == machine.now - timedelta(microseconds=1)


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"{}", b"[1]", b'{"line": 0, "gateway": "soon", "wall": "now", "boottime": 0, "boot": "x", "untold": 0}',
     b'{"line": 0, "gateway": "2026-02-10", "wall": "2026-02-10", "boottime": 0, "boot": "x", "untold": 0}',
     b'{"line": Infinity, "gateway": "2036-02-10T00:00Z", "wall": "2026-02-10T00:00Z", "boottime": 0, "boot": "x", "untold": 0}'],
)  # fmt: skip
def test_a_file_that_says_nothing_counts_for_nothing_and_is_written_anew(machine: Machine, file: Path, content: bytes) -> None:
    file.write_bytes(content)
    clock = machine.clock(file)
    assert clock() == START
    assert clock.keep() == clock.keep() and json.loads(file.read_bytes())["gateway"] == START.isoformat()


def test_what_a_killed_process_left_of_the_file_goes(machine: Machine, file: Path) -> None:
    left = file.with_name(".clock.json.0123abcd.tmp")
    left.write_bytes(b"{")
    machine.clock(file).keep()
    assert list(file.parent.iterdir()) == [file]


def test_a_file_of_a_later_time_of_this_boot_counts_from_now(machine: Machine, file: Path) -> None:
    """A machine whose memory was put back to an earlier moment, and its disk was not."""
    machine.clock(file).keep()
    machine.boottime -= 50 * SECOND
    assert machine.clock(file)() == START


def test_only_what_is_far_off_is_wrong(machine: Machine, file: Path) -> None:
    clock = machine.clock(file)
    clock.keep()
    machine.set_wall(-FAULT // timedelta(microseconds=1))
    assert wrong_by(clock) == timedelta(0)
    machine.set_wall(-1)
    assert wrong_by(clock) == FAULT + timedelta(microseconds=1)
    assert wrong_by(lambda: START) == timedelta(0)


def test_the_boot_is_named_by_the_service_manager_or_the_kernel(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """systemd's %b has no hyphens."""
    kernel = BOOT_ID.read_text().strip()
    monkeypatch.delenv("SLUIS_BOOT_ID", raising=False)
    assert boot_id() == kernel.replace("-", "")
    monkeypatch.setattr(module, "BOOT_ID", tmp_path / "hidden")
    with pytest.raises(Unsound) as unsound:
        boot_id()
    assert unsound.value.code == "boot-unknown" and "%b" in unsound.value.hint
    monkeypatch.setenv("SLUIS_BOOT_ID", kernel.replace("-", ""))
    assert boot_id() == kernel.replace("-", "")


# ---------------------------------------------------------------- kept for a home


@pytest.fixture
def standing(home_folder: Path, machine: Machine) -> Home:
    """A home whose clock is the machine's."""
    file = home_folder / "public" / "clock.json"
    file.unlink()
    home = Home.open(home_folder, machine.clock(file))
    keep_time(home, "worker")
    return home


def jumps(home: Home) -> list[tuple[str, dict[str, object]]]:
    return [(row.actor, row.detail) for row in audit_rows(home.ledger) if row.action == "clock.jumped"]


def test_a_clock_that_was_set_is_told_once_forward_and_back(standing: Home, machine: Machine) -> None:
    for _ in range(2):
        machine.passes(300 * SECOND)
        keep_time(standing, "worker")
    assert jumps(standing) == []
    machine.set_wall(30 * DAY)
    for _ in range(2):
        keep_time(standing, "worker")
    forward = ("worker", {"by_seconds": 30 * 86_400, "gateway_ahead_seconds": 0})
    assert jumps(standing) == [forward]
    machine.passes(SECOND)  # entries of one moment are in no order
    machine.set_wall(-30 * DAY)
    for _ in range(2):
        keep_time(standing, "retention")
    assert jumps(standing) == [forward, ("retention", {"by_seconds": -30 * 86_400, "gateway_ahead_seconds": 30 * 86_400})]


def test_over_a_reboot_a_clock_that_was_set_back_is_told(standing: Home, machine: Machine) -> None:
    machine.reboot(off=7 * DAY)
    again = Home.open(standing.path, machine.clock(standing.public / "clock.json"))
    keep_time(again, "worker")
    assert jumps(again) == [], "being off is no jump"
    machine.set_wall(-DAY)
    machine.reboot()
    again = Home.open(standing.path, machine.clock(standing.public / "clock.json"))
    keep_time(again, "worker")
    assert [detail["by_seconds"] for _, detail in jumps(again)] == [-86_400]


def test_what_the_ledger_could_not_be_told_it_is_told_later(standing: Home, machine: Machine, tmp_path: Path) -> None:
    database = standing.path / "sluis.sqlite"
    standing.ledger.engine.dispose()
    for path in standing.path.glob("sluis.sqlite*"):
        shutil.move(path, tmp_path)
    machine.set_wall(30 * DAY)
    keep_time(standing, "retention")
    assert standing.clock() == machine.now, "who is about to erase goes by the time that it is"
    standing.ledger.engine.dispose()
    for path in standing.path.glob("sluis.sqlite*"):
        path.unlink()
    for path in tmp_path.glob("sluis.sqlite*"):
        shutil.move(path, database.parent)
    keep_time(standing, "worker")
    assert [actor for actor, _ in jumps(standing)] == ["worker"]


def test_a_disk_that_takes_no_file_keeps_nobody_from_erasing(standing: Home, machine: Machine) -> None:
    file = standing.public / "clock.json"
    file.unlink()
    file.mkdir()
    machine.set_wall(30 * DAY)
    keep_time(standing, "retention")
    assert standing.clock() == machine.now
    file.rmdir()
    keep_time(standing, "retention")
    assert file.is_file()
