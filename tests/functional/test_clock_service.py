"""The deployed endpoint, of several processes, while erasure is late or the clock was wrong; and the commands that mend it."""

import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from gateway.store.home import Home, prepare_epochs
from tests.support.cli import deliver as old_drop
from tests.support.intake import Deployed, deployed, drops, until
from tests.support.machines import gateway_time_ahead

pytestmark = pytest.mark.slow


def sluis(home: Home, *words: str) -> int:
    return subprocess.run([sys.executable, "-m", "gateway.cli", "--home", str(home.path), *words], check=False, timeout=120).returncode


def put(sftp: Any, name: str) -> None:
    with sftp.open(f"leveringen/{name}", "wb") as file:
        file.write(name.encode())


def refused(case: Deployed, dutch: str) -> None:
    """Through either door."""
    with case.sftp() as one, case.sftp() as other:
        for sftp in (one, other):
            with pytest.raises(OSError, match=dutch):
                put(sftp, "new.age")


def received_at(case: Deployed, name: str) -> datetime:
    until(lambda: name in {drop.file_name for drop in drops(case.home)})
    return next(drop.received_at for drop in drops(case.home) if drop.file_name == name)


def test_late_erasure_closes_every_door_until_it_is_done(tmp_path: Path) -> None:
    with deployed(tmp_path) as case:
        assert case.service.terminate() == 0
        old_drop(case.home, age_days=22, campaign=None)
        case.start_again()
        refused(case, "Het wissen van eerdere leveringen is te laat")
        assert case.figures()["sluis_intake_erasure_overdue"] == 1
        assert sluis(case.home, "retention", "run") == 0
        with case.sftp() as sftp:
            put(sftp, "new.age")
        received_at(case, "new.age")


def test_a_clock_that_was_wrong_is_followed_back_when_nothing_is_held(tmp_path: Path) -> None:
    follow = ("retention", "clock", "--follow", "--reason", "NTP was wrong")
    with deployed(tmp_path) as case, case.sftp() as sftp:
        under_way = sftp.open("leveringen/under-way.age", "wb")
        under_way.write(b"all of it")
        under_way.stat()
        gateway_time_ahead(case.home.path, timedelta(days=30))
        prepare_epochs(Home.open(case.home.path))  # the worker's part
        until(lambda: case.figures()["sluis_intake_clock_wrong_seconds"] > 0)
        refused(case, "De klok van ons systeem klopt niet")
        under_way.close()
        assert received_at(case, "under-way.age") > datetime.now(UTC) + timedelta(days=29), "its window is gateway time's"
        assert sluis(case.home, *follow) == 1
        assert sluis(case.home, "drop", "erase", drops(case.home)[0].id, "--reason", "test") == 0
        assert sluis(case.home, *follow) == 0
        put(sftp, "new.age")
        assert received_at(case, "new.age") < datetime.now(UTC) + timedelta(minutes=1)
        assert case.figures()["sluis_intake_clock_wrong_seconds"] == 0
