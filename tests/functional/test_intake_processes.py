"""The endpoint as it is deployed: several real processes, which get killed. What was acknowledged stays, what arrived can be resumed."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import paramiko
import psutil
import pytest

from tests.support.intake import Deployed, Service, content, deployed, drops, until

pytestmark = pytest.mark.slow

MIB = 1 << 20


@pytest.fixture
def case(tmp_path: Path) -> Iterator[Deployed]:
    with deployed(tmp_path) as case:
        yield case


def delivered(case: Deployed) -> dict[str, bytes]:
    return {drop.file_name: content(case.home, drop) for drop in drops(case.home)}


def door_of(case: Deployed, at: int) -> psutil.Process:
    """The process that has the session that began as number `at`."""
    name = case.sessions()[at].partition(".")[0]
    return case.service.family()[name]


def written(sftp: Any, name: str, data: bytes, at: int = 0) -> Any:
    """A file that is open and has `data` at `at`, as the endpoint has confirmed. paramiko closes it when nobody holds it any more."""
    file = sftp.open(f"leveringen/{name}", "r+b" if at else "wb")
    file.seek(at)
    file.write(data)
    file.flush()
    file.stat()
    return file


def test_connections_are_spread_evenly(case: Deployed) -> None:
    with case.sftp(), case.sftp(), case.sftp(), case.sftp():
        assert sorted(session.partition(".")[0] for session in case.sessions()) == ["d0", "d0", "d1", "d1"]


def test_the_supervisor_stays_clean(case: Deployed) -> None:
    """What it forks may hold no thread, database or key of its parent's."""
    supervisor = case.service.family()["main"]
    assert supervisor.num_threads() == 1
    assert not [file.path for file in supervisor.open_files() if "sqlite" in file.path or "/keys/" in file.path]
    assert set(case.service.family()) == {"main", "front", "d0", "d1"}


def test_a_killed_door_takes_nothing_with_it_but_its_connections(case: Deployed) -> None:
    first, second = os.urandom(3 * MIB), os.urandom(2 * MIB)
    with case.sftp() as one, case.sftp() as other:
        _open = written(one, "one.age", first[: 2 * MIB])
        file = written(other, "other.age", second[:MIB])
        door_of(case, 0).kill()
        with case.sftp() as again:  # at once, through the other door
            at = again.stat("leveringen/one.age").st_size
            assert at == 2 * MIB
            written(again, "one.age", first[at:], at).close()
        file.write(second[MIB:])  # nobody else noticed
        file.close()
    until(lambda: len(case.service.doors()) == 2)
    assert case.service.terminate() == 0
    assert delivered(case) == {"one.age": first, "other.age": second}


def test_a_door_that_died_is_replaced_and_what_it_counted_stays_counted(case: Deployed) -> None:
    with case.sftp() as one:
        written(one, "one.age", bytes(MIB)).close()
        assert case.figures()["sluis_intake_received_bytes_total"] == MIB
        door_of(case, 0).kill()
        until(lambda: case.figures()["sluis_intake_door_restarts_total"] == 1)
    until(lambda: case.figures()["sluis_intake_doors"] == 2)
    figures = case.figures()
    assert figures["sluis_intake_received_bytes_total"] == MIB and figures["sluis_intake_sessions"] == 0


def test_with_no_door_left_connections_wait_for_the_next_one(case: Deployed) -> None:
    for door in case.service.doors():
        door.kill()
    with case.sftp() as sftp:
        assert "leveringen" in sftp.listdir("/")


def test_an_upload_moves_from_door_to_door(case: Deployed) -> None:
    """A newer connection takes it over, and the older one is told so: two processes never write one file."""
    data = os.urandom(3 * MIB)
    with case.sftp() as one, case.sftp() as other:
        first = written(one, "x.age", data[:MIB])
        assert len({session.partition(".")[0] for session in case.sessions()}) == 2
        second = written(other, "x.age", data[MIB:], MIB)
        with pytest.raises(OSError, match="taken-over"):
            first.write(b"not mine any more")
            first.flush()
            first.stat()
        second.close()
    assert case.service.terminate() == 0
    assert delivered(case) == {"x.age": data}


def test_limits_are_exact_over_all_doors(tmp_path: Path) -> None:
    with deployed(tmp_path, max_sessions_per_vendor=3, day_files_per_vendor=4) as case:
        with case.sftp() as one, case.sftp() as two, case.sftp() as three:
            with pytest.raises((paramiko.SSHException, EOFError)), case.sftp():
                pass
            for at, sftp in enumerate((one, two, three, one)):
                written(sftp, f"{at}.age", b"x").close()
            with pytest.raises(OSError, match=r"\[day-files"):
                written(two, "5.age", b"x").close()
        until(lambda: case.figures()["sluis_intake_sessions"] == 0)
        with case.sftp() as again, pytest.raises(OSError, match=r"\[day-files"):
            written(again, "5.age", b"x").close()


def test_without_a_front_everything_ends_and_starts_anew(case: Deployed) -> None:
    data = os.urandom(2 * MIB)
    with case.sftp() as sftp:
        written(sftp, "done.age", b"done").close()
        _open = written(sftp, "x.age", data[:MIB])
        family = case.service.family()
        family["front"].kill()
        assert case.service.process.wait(30) != 0
        psutil.wait_procs(list(family.values()), 30)
        assert not [process for process in family.values() if process.is_running()]
    case.start_again()
    with case.sftp() as sftp:
        at = sftp.stat("leveringen/x.age").st_size
        assert at == MIB
        written(sftp, "x.age", data[at:], at).close()
    assert case.service.terminate() == 0
    assert delivered(case) == {"done.age": b"done", "x.age": data}


def test_without_a_supervisor_the_others_end_in_good_order(case: Deployed) -> None:
    with case.sftp() as sftp:
        file = written(sftp, "x.age", bytes(MIB))
        family = case.service.family()
        family["main"].kill()
        _gone, alive = psutil.wait_procs([process for name, process in family.items() if name != "main"], 30)
        assert not alive
        with pytest.raises(OSError):
            file.write(b"x")
            file.stat()
    case.start_again()
    with case.sftp() as sftp:
        assert sftp.stat("leveringen/x.age").st_size == MIB


def test_killed_all_at_once_with_files_acknowledged(case: Deployed) -> None:
    """As when the machine stops, but for the disk's cache: what CLOSE acknowledged is in the ledger after the next start."""
    sent: dict[str, bytes] = {}
    with case.sftp() as one, case.sftp() as other:
        for at in range(40):
            data = os.urandom(20_000 + at)
            written((one, other)[at % 2], f"{at}.age", data).close()
            sent[f"{at}.age"] = data
        case.service.kill()
    case.start_again()
    assert case.service.terminate() == 0
    assert delivered(case) == sent


@pytest.mark.parametrize("plain", ["0", "1"])
def test_both_transports_carry_the_same(tmp_path: Path, plain: str) -> None:
    data = os.urandom(5 * MIB)
    with deployed(tmp_path, {"SLUIS_PLAIN_TRANSPORT": plain}) as case:
        with case.sftp() as sftp:
            written(sftp, "x.age", data).close()
            assert sftp.open("sleutels/sluis.age.txt").read().decode().strip() == case.home.recipients.public()
        assert case.service.terminate() == 0
        assert delivered(case) == {"x.age": data}


@pytest.mark.postgres
def test_on_postgresql_every_process_has_connections_of_its_own(tmp_path: Path, postgres_url: str) -> None:
    sent = {f"{at}.age": os.urandom(20_000) for at in range(20)}
    with deployed(tmp_path, database=postgres_url) as case:
        with case.sftp() as one, case.sftp() as other:
            for at, (name, data) in enumerate(sent.items()):
                written((one, other)[at % 2], name, data).close()
            door_of(case, 0).kill()
            with case.sftp() as again, pytest.raises(OSError, match="name-taken"):
                written(again, "0.age", b"again")
        assert case.service.terminate() == 0
        assert delivered(case) == sent


def test_a_stopped_process_does_not_feed_the_watchdog(tmp_path: Path) -> None:
    with deployed(tmp_path, {"WATCHDOG_USEC": "900000"}) as case:
        case.service.wait_for("WATCHDOG=1")
        door = case.service.doors()[0]
        door.send_signal(signal.SIGSTOP)
        _fed_for_the_last_time(case.service)
        door.send_signal(signal.SIGCONT)
        case.service.wait_for("WATCHDOG=1")


def _fed_for_the_last_time(service: Service) -> None:
    """Returns when nothing came for longer than the watchdog would wait."""
    service.told.settimeout(3)
    try:
        while service.told.recv(200):
            pass
    except TimeoutError:
        service.told.settimeout(60)
