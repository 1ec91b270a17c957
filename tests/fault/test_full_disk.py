"""A disk that is full to the last byte, or turns read-only: uploads fail cleanly, what must end ends, and nothing is lost."""

import os
from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import paramiko  # type: ignore[import-untyped,unused-ignore]
import pytest

from gateway.drop.formats import AGE
from gateway.drop.lifecycle import Raw, State
from gateway.store.config import Configuration, Intake, write_configuration
from gateway.store.drops import drops
from gateway.store.invariants import Broken, check_home
from gateway.store.models import Drop
from gateway.store.ssh_keys import read_public_keys
from gateway.store.vendors import add_vendor
from tests.support.crash_plays import DELIVERY, REGISTER, SHIFT, START, VENDOR, deliver, delivery, make_home, open_home, register
from tests.support.crashing import Nursery
from tests.support.intake import make_key, running, sftp_session
from tests.support.volumes import MIB, Volume, volume

pytestmark = [pytest.mark.crash, pytest.mark.slow, pytest.mark.skipif(os.geteuid() != 0, reason="only root mounts a file system")]

SIZE = 24 * MIB
LATER = SHIFT + timedelta(hours=2).total_seconds()
LATE = SHIFT + timedelta(days=23).total_seconds()
AFTER_THAT = LATE + timedelta(hours=2).total_seconds()
#: what only a worker brings to rest
WORKERS = {"effect-due", "log-behind", "receipt"}


class Stage:
    """A home on a volume of its own, and processes that work on it."""

    def __init__(self, disk: Volume, nursery: Nursery, folder: Path) -> None:
        self.disk, self.nursery = disk, nursery
        self.path = disk.path / "home"
        self.key = make_key(folder)
        home = make_home(self.path)
        with home.ledger.change("administrator") as change:
            add_vendor(change, VENDOR, read_public_keys(Path(f"{self.key}.pub").read_text()))
        self.delivery, self.register = delivery(home), register(home)
        home.ledger.engine.dispose()
        self.configure(disk_reserve_bytes=0, disk_floor_bytes=0)  # it is the disk itself that refuses

    def configure(self, **intake: int) -> None:
        (self.path / "sluis.toml").write_text(write_configuration(Configuration(intake=Intake(port=0, **intake))))

    def receive(self) -> None:
        """Two drops for the worker."""
        home = open_home(self.path)
        deliver(home, DELIVERY, self.delivery)
        deliver(home, REGISTER, self.register)
        home.ledger.engine.dispose()

    def play(self, name: str, shift: float = SHIFT) -> str:
        """Runs it to its end; what it said, without a traceback of ours."""
        assert self.nursery.start(name, self.path, shift=shift).wait() == 0
        return self.nursery.told()

    def found(self, shift: float = SHIFT) -> list[Drop]:
        home = open_home(self.path, shift)
        try:
            with home.ledger.view() as session:
                return drops(session)
        finally:
            home.ledger.engine.dispose()

    def contradictions(self, shift: float = SHIFT, *, at_rest: bool = False) -> list[Broken]:
        home = open_home(self.path, shift)
        try:
            return check_home(home, at_rest=at_rest)
        finally:
            home.ledger.engine.dispose()

    def assert_ended_well(self, shift: float = LATER) -> None:
        assert self.contradictions(shift, at_rest=True) == []
        assert {(drop.state, drop.raw) for drop in self.found(shift)} == {(State.LINKED, Raw.ERASED), (State.REGISTERED, Raw.ERASED)}


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    nursery = Nursery()
    with volume(SIZE) as disk:
        try:
            yield Stage(disk, nursery, tmp_path)
        finally:
            nursery.close()


# ---------------------------------------------------------------- uploads


@pytest.mark.parametrize("size", [60_000, 3_000_000], ids=["small", "large"])
def test_an_upload_to_a_full_disk_is_refused_and_goes_on_when_there_is_room(stage: Stage, size: int) -> None:
    content = AGE + os.urandom(size)
    home = open_home(stage.path)
    with running(home) as intake:
        with sftp_session(intake.port, VENDOR, stage.key) as sftp:
            file = sftp.open(DELIVERY, "wb")
            stage.disk.fill()
            with suppress(EOFError, OSError, paramiko.SSHException) if size < 100_000 else pytest.raises(OSError, match="De opslag is vol"):
                file.write(content)
                file.close()  # a refusal of the close itself is lost on paramiko: the session ends
                sftp.stat(DELIVERY)
                pytest.fail("the close was not refused")
        assert list(home.drops.iterdir()) == [] and home.mortal.names("drops") == []
        stage.disk.make_room()
        with sftp_session(intake.port, VENDOR, stage.key) as sftp, sftp.open(DELIVERY, "wb") as file:
            file.write(content)
    home.ledger.engine.dispose()
    (drop,) = stage.found()
    assert (drop.state, drop.raw, drop.bytes) == (State.RECEIVED, Raw.HELD, len(content))
    assert [broken for broken in stage.contradictions(at_rest=True) if broken.invariant not in WORKERS] == []


def test_the_floor_is_enough_for_ledger_log_and_erasure(stage: Stage) -> None:
    """A vendor fills the disk as far as it may; with what is left the worker does all its work."""
    stage.receive()
    stage.configure(disk_reserve_bytes=6 * MIB, disk_floor_bytes=4 * MIB)
    home = open_home(stage.path)
    with running(home) as intake, sftp_session(intake.port, VENDOR, stage.key) as sftp:
        file = sftp.open("leveringen/large.csv.age.part", "wb")
        with pytest.raises(OSError, match="De opslag is vol"):
            file.write(AGE + bytes(SIZE))
            file.close()
    assert 3.75 * MIB < stage.disk.free < 6 * MIB, "as far as it may; notes and the ledger's own log take a little of what is left"
    with running(home) as intake, sftp_session(intake.port, VENDOR, stage.key) as sftp, pytest.raises(OSError, match="De opslag is vol"):
        sftp.open("leveringen/another.csv.age", "wb").write(b"x")
    home.ledger.engine.dispose()
    stage.play("work")
    ended = {(drop.state, drop.raw) for drop in stage.found(LATER)}
    assert ended == {(State.LINKED, Raw.ERASED), (State.REGISTERED, Raw.ERASED)}


# ---------------------------------------------------------------- erasure


def test_a_worker_on_a_full_disk_loses_nothing_and_goes_on_when_there_is_room(stage: Stage) -> None:
    stage.receive()
    stage.disk.fill()
    stage.play("persist")
    stage.disk.make_room()
    assert stage.contradictions() == []
    assert {drop.raw for drop in stage.found()} <= {Raw.HELD, Raw.MAYBE_ERASED}, "never read as success"
    stage.play("work", LATER)
    stage.assert_ended_well()


@pytest.mark.parametrize("pages", [4, 16, 100])
def test_so_it_is_where_the_disk_fills_up_on_the_way(stage: Stage, pages: int) -> None:
    stage.receive()
    stage.disk.fill(but=4096 * pages)
    stage.play("persist")
    stage.disk.make_room()
    assert stage.contradictions(LATER) == []
    stage.play("work", LATER)
    stage.assert_ended_well()


def test_at_the_windows_end_keys_end_on_a_full_disk_too(stage: Stage) -> None:
    """Overwriting and unlinking take no room; ledger and log are told when there is some."""
    stage.receive()
    home = open_home(stage.path, LATE)
    assert len(home.mortal.names("drops")) == 2 and START.date() in home.epochs.days()
    stage.disk.fill()
    said = stage.play("retain", LATE)
    assert home.mortal.names("drops") == [] and home.mortal.unfinished("drops") == []
    assert START.date().isoformat() not in home.mortal.names("epochs") and home.mortal.unfinished("epochs") == []
    assert "sluis: " in said, "it does not read as success"
    home.ledger.engine.dispose()
    stage.disk.make_room()
    stage.play("retain", LATE + 60)
    stage.play("work", AFTER_THAT)
    assert stage.contradictions(AFTER_THAT, at_rest=True) == []
    assert {(drop.state, drop.raw) for drop in stage.found(AFTER_THAT)} == {(State.EXPIRED, Raw.ERASED)}


# ---------------------------------------------------------------- read-only


def test_a_disk_that_turns_read_only_loses_nothing(stage: Stage) -> None:
    stage.receive()
    stage.disk.remount("ro")
    said = stage.play("retain", LATE)
    assert "sluis: " in said and not said.rstrip().endswith("Traceback")
    stage.play("persist")
    stage.disk.remount("rw")
    assert stage.contradictions() == []
    assert {(drop.state, drop.raw) for drop in stage.found()} == {(State.RECEIVED, Raw.HELD)}
    stage.play("work", LATER)
    stage.assert_ended_well()
