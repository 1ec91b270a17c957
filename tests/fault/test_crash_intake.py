"""kill -9 of the intake at every durable step of an upload, and while bytes arrive: the drop is there once, byte for byte.

A client that was told of success has a drop; one that was not comes back and goes on where it was, or finds it delivered.
"""

import asyncio
import hashlib
import os
import re
import shutil
import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from random import Random
from signal import SIGKILL

import paramiko  # type: ignore[import-untyped,unused-ignore]
import pytest
from sqlmodel import select

from gateway.drop.formats import AGE
from gateway.drop.lifecycle import Raw, State
from gateway.intake.front.desk import FrontDesk
from gateway.store.config import Configuration, Intake, write_configuration
from gateway.store.drops import drops
from gateway.store.home import Home
from gateway.store.models import AuditRow
from gateway.store.ssh_keys import read_public_keys
from gateway.store.vendors import add_vendor
from tests.support.crash_plays import VENDOR, make_home, open_home
from tests.support.crashing import Child, Nursery, left_behind, wait_until
from tests.support.intake import content, free_port, make_key, send_on, sftp_session
from tests.support.steps import Point, Step, killed_at, points_of

pytestmark = [pytest.mark.crash, pytest.mark.slow]

DATA = AGE + os.urandom(100_000)
#: more than a manifest tells the digest of, and than is lost without a note
LARGE = AGE + os.urandom(2_000_000 - len(AGE))
FINAL = "leveringen/lvs.csv.age"
#: how the client names its file while it sends, and afterwards
WAYS = {"closed under its name": (FINAL, ""), "renamed when whole": ("leveringen/lvs.csv.age.part", FINAL)}
DROP_ID = re.compile(r"d[0-9]{8}-[a-z2-7]{16}")

#: with the real service: moments of a close, and of telling the ledger
MOMENTS = {
    "sealed, not moved": (LARGE, Point(pattern="rename incoming/.*blob")),
    "moved": (LARGE, Point(pattern="rename incoming/.*blob", after=True)),
    "written, not synced": (DATA, Point(pattern="fsync drops/.*blob")),
    "durable": (DATA, Point(pattern="fsync drops$")),
    "before the ledger": (DATA, Point(pattern="commit .* received/held")),
    "in the ledger": (DATA, Point(pattern="commit .* received/held", after=True)),
}
#: those at which no client has been told of success
UNTOLD = ("sealed, not moved", "moved", "written, not synced", "durable")


class Stage:
    """A home to copy, the file to send, and the processes."""

    def __init__(self, nursery: Nursery, folder: Path) -> None:
        self.nursery = nursery
        self.before = nursery.room / "before"
        self.home = nursery.room / "home"
        self.told = nursery.room / "told"
        self.data = nursery.room / "data"
        self.sends(DATA)
        self.key = make_key(folder)
        home = make_home(self.before)
        with home.ledger.change("administrator") as change:
            add_vendor(change, VENDOR, read_public_keys(Path(f"{self.key}.pub").read_text()))
        home.ledger.engine.dispose()

    def sends(self, content: bytes) -> None:
        self.content = content
        self.data.write_bytes(content)

    def copy(self, port: int = 0) -> None:
        shutil.rmtree(self.home, ignore_errors=True)
        shutil.copytree(self.before, self.home)
        self.told.unlink(missing_ok=True)
        if port:
            (self.home / "sluis.toml").write_text(write_configuration(Configuration(intake=Intake(port=port))))

    def send(self, way: str, point: Point | None = None) -> Child:
        name, final = WAYS[way]
        return self.nursery.start("upload", self.home, point, data=str(self.data), name=name, final=final, told=str(self.told))

    def serve(self, port: int, point: Point | None = None) -> Child:
        child = self.nursery.start("serve_intake", self.home, point)
        wait_until(lambda: _listens(port))
        return child

    def uninterrupted(self, way: str) -> tuple[list[Step], list[str]]:
        self.copy()
        child = self.send(way)
        assert child.wait() == 0
        return child.steps, self.files()

    def uninterrupted_files(self) -> list[str]:
        """As after an upload that nobody disturbed, beside the home under test."""
        home, self.home = self.home, self.nursery.room / "undisturbed"
        try:
            return self.uninterrupted(next(iter(WAYS)))[1]
        finally:
            self.home = home

    def files(self) -> list[str]:
        return sorted(DROP_ID.sub("ID", name) for name in left_behind(self.home, "audit"))

    def assert_received_once(self, files: list[str]) -> None:
        home = open_home(self.home)
        try:
            with home.ledger.view() as session:
                (drop,) = drops(session)
                told = [row.action for row in session.exec(select(AuditRow))]
            assert (drop.state, drop.raw, drop.bytes) == (State.RECEIVED, Raw.HELD, len(self.content))
            assert content(home, drop) == self.content
            assert drop.sha256 == hashlib.sha256(self.content).hexdigest()
            assert told.count("drop.received") == 1 and told.count("drop.adopted") <= 1
            assert not home.mortal.unfinished("drops")
            assert self.files() == files, "no key, note, manifest or ciphertext but the drop's own"
        finally:
            home.ledger.engine.dispose()

    def is_in_the_ledger(self) -> bool:
        """After the intake has started again, and before any client came back."""
        home = open_home(self.home)
        try:
            asyncio.run(_start_and_stop(home))
            with home.ledger.view() as session:
                return len(drops(session)) == 1
        finally:
            home.ledger.engine.dispose()


async def _start_and_stop(home: Home) -> None:
    desk = FrontDesk(home)
    await desk.start()
    await desk.stop()


def _listens(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), 5):
        return True
    return False


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    nursery = Nursery()
    yield Stage(nursery, tmp_path_factory.mktemp("vendor"))
    nursery.close()


@pytest.fixture
def large(stage: Stage) -> Iterator[None]:
    stage.sends(LARGE)
    yield
    stage.sends(DATA)


@pytest.mark.parametrize("way", WAYS)
def test_killed_at_every_step_of_an_upload(stage: Stage, way: str) -> None:
    steps, files = stage.uninterrupted(way)
    assert any("rename incoming" in step.what for step in steps) and len(steps) > 15
    _killed_at_each(stage, way, steps, files)


def test_killed_at_every_step_of_a_large_upload(stage: Stage, large: None) -> None:
    """Its ciphertext is synced first, and its own key goes at the end."""
    way = "closed under its name"
    steps, files = stage.uninterrupted(way)
    assert any("run/uploads" in step.what for step in steps), "a key that is destroyed"
    _killed_at_each(stage, way, [step for step in steps if step.stage in ("close", "registrar")], files)


def _killed_at_each(stage: Stage, way: str, steps: list[Step], files: list[str]) -> None:
    for step, point in points_of(steps):
        stage.copy()
        with killed_at(step, point):
            assert stage.send(way, point).wait() == -SIGKILL
            if stage.told.exists():
                assert stage.is_in_the_ledger(), "the client was told so"
            assert stage.send(way).wait() == 0
            stage.assert_received_once(files)


@pytest.mark.parametrize("seed", range(6))
def test_killed_again_while_it_recovers(stage: Stage, seed: int) -> None:
    chance = Random(seed)
    way = chance.choice(list(WAYS))
    steps, files = stage.uninterrupted(way)
    stage.copy()
    for most in (len(steps), 30, 20):
        stage.send(way, Point(number=chance.randrange(1, most), after=chance.random() < 0.5)).wait()
    assert stage.send(way).wait() == 0
    stage.assert_received_once(files)


# ---------------------------------------------------------------- the real service, over SSH


def resume(stage: Stage, port: int, upto: int | None = None) -> int:
    """A client's next attempt; answers from where."""
    with sftp_session(port, VENDOR, stage.key) as sftp:
        at = send_on(sftp, FINAL, stage.content, upto)
    if upto is None:
        stage.told.touch()
    return at


def test_killed_while_bytes_arrive(stage: Stage, large: None) -> None:
    port = free_port()
    stage.copy(port)
    for upto in (300_000, 1_500_000, 1_999_999):
        child = stage.serve(port)
        resume(stage, port, upto)
        child.kill()
    child = stage.serve(port)
    assert resume(stage, port) == 1_999_999, "nothing that arrived was lost"
    child.terminate()
    stage.assert_received_once(stage.uninterrupted_files())


@pytest.mark.parametrize("moment", MOMENTS)
def test_the_service_is_killed_while_it_answers_a_close(stage: Stage, moment: str) -> None:
    data, point = MOMENTS[moment]
    port = free_port()
    stage.sends(data)
    stage.copy(port)
    child = stage.serve(port, point)
    with suppress(OSError, EOFError, paramiko.SSHException):
        resume(stage, port)
    assert child.wait() == -SIGKILL
    if stage.told.exists():
        assert moment not in UNTOLD
        assert stage.is_in_the_ledger(), "the client was told so"
    child = stage.serve(port)
    resume(stage, port)
    child.terminate()
    stage.assert_received_once(stage.uninterrupted_files())
