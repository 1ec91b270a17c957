"""Every write, new file, move, unlink, fsync and commit of an upload fails once: lost, done but reported as failed, or half done.

The client is refused and comes back, or was told of success and is believed; in the end the drop is there once, byte for byte.
"""

import asyncio
import hashlib
import os
import re
import shutil
from collections.abc import Iterator

import pytest

from gateway.drop.formats import AGE
from gateway.drop.lifecycle import Raw, State
from gateway.intake.front.desk import FrontDesk
from gateway.store.drops import drops
from gateway.store.home import Home
from gateway.store.invariants import check_home
from gateway.store.models import Drop
from tests.support.crash_plays import DELIVERY, make_home, open_home
from tests.support.crashing import Nursery
from tests.support.intake import audit_rows, content
from tests.support.steps import Fails, Point, Step, failures_of, killed_at

pytestmark = [pytest.mark.crash, pytest.mark.slow]

SMALL = AGE + os.urandom(60_000)
#: more than a manifest tells the digest of, and than is lost without a note
LARGE = AGE + os.urandom(2_000_000)
PART = f"{DELIVERY}.part"
#: content, the name it is sent under, the name it gets, whether the client asks for each piece to be synced
WAYS = {
    "small, in one go": (SMALL, DELIVERY, "", False),
    "large, synced on the way": (LARGE, DELIVERY, "", True),
    "renamed when whole": (SMALL, PART, DELIVERY, True),
}
#: the random parts of names
RANDOM = re.compile(r"\b[0-9a-f]{24}\b|d[0-9]{8}-[a-z2-7]{16}|\.gone\.[0-9a-f]{16}")
#: what only the worker brings to rest
WORKERS = {"effect-due", "log-behind", "receipt"}


class Stage:
    """A home to copy, and the processes."""

    def __init__(self) -> None:
        self.nursery = Nursery()
        self.before, self.home = self.nursery.room / "before", self.nursery.room / "home"
        self.told, self.data = self.nursery.room / "told", self.nursery.room / "data"
        make_home(self.before).ledger.engine.dispose()

    def copy(self) -> None:
        shutil.rmtree(self.home, ignore_errors=True)
        shutil.copytree(self.before, self.home)
        self.told.unlink(missing_ok=True)

    def insist(self, way: str, point: Point) -> list[Step]:
        """Sends; the steps it took. The failure that was asked for has come."""
        data, name, final, synced = WAYS[way]
        self.data.write_bytes(data)
        child = self.nursery.start(
            "insist", self.home, point, data=str(self.data), name=name, final=final, told=str(self.told), synced=synced
        )
        assert child.wait() == 0
        assert child.failed is not None or point.fails == Fails.NEVER, "nothing failed"
        return child.steps

    def come_back(self, way: str) -> None:
        """The intake starts again, without a failure, and so does a client who was not told of success."""
        _, name, final, _ = WAYS[way]
        child = self.nursery.start("upload", self.home, data=str(self.data), name=name, final=final, told=str(self.told))
        assert child.wait() == 0

    def opened(self) -> Home:
        return open_home(self.home)


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    stage = Stage()
    yield stage
    stage.nursery.close()


def found(home: Home) -> list[Drop]:
    with home.ledger.view() as session:
        return drops(session)


async def start_and_stop(home: Home) -> None:
    desk = FrontDesk(home)
    await desk.start()
    await desk.stop()


def assert_kept(stage: Stage) -> None:
    """Right after the failure nothing contradicts itself, and what a client was told is so when the intake starts again."""
    home = stage.opened()
    try:
        assert check_home(home) == []
        if stage.told.exists():
            asyncio.run(start_and_stop(home))
            assert len(found(home)) == 1, "the client was told so"
    finally:
        home.ledger.engine.dispose()


def assert_received_once(stage: Stage, data: bytes) -> None:
    home = stage.opened()
    try:
        (drop,) = found(home)
        assert (drop.state, drop.raw, drop.bytes) == (State.RECEIVED, Raw.HELD, len(data))
        assert content(home, drop) == data
        assert drop.sha256 == hashlib.sha256(data).hexdigest()
        assert len(audit_rows(home, "drop.received")) == 1
        assert [broken for broken in check_home(home, at_rest=True) if broken.invariant not in WORKERS] == []
    finally:
        home.ledger.engine.dispose()


def kinds(steps: list[Step]) -> dict[str, Step]:
    """The first step of each kind."""
    return {RANDOM.sub("ID", step.what): step for step in reversed(steps)}


@pytest.fixture(scope="module")
def ways(stage: Stage) -> dict[str, list[Step]]:
    """What each way takes when nothing fails."""
    taken = {}
    for way in WAYS:
        stage.copy()
        taken[way] = stage.insist(way, Point(fails=Fails.NEVER))
    return taken


@pytest.mark.parametrize("way", WAYS)
def test_each_step_of_an_upload_fails(stage: Stage, ways: dict[str, list[Step]], way: str) -> None:
    """Of each kind of step one, in the first way that comes by it, unless all are wanted."""
    steps, before = ways[way], list(WAYS)[: list(WAYS).index(way)]
    if not os.environ.get("SLUIS_EVERY_CRASH"):
        known = {kind for earlier in before for kind in kinds(ways[earlier])}
        steps = [step for kind, step in kinds(steps).items() if kind not in known]
    points = failures_of(steps)
    assert len(points) >= (5 if before else 20)
    for step, point in points:
        stage.copy()
        with killed_at(step, point):
            stage.insist(way, point)
            assert_kept(stage)
            stage.come_back(way)
            assert_received_once(stage, WAYS[way][0])


def test_an_upload_comes_by_every_durable_thing(ways: dict[str, list[Step]]) -> None:
    whats = [step.what for steps in ways.values() for step in steps]
    for kind in (
        r"^create mortal/drops/d", r"^write mortal/drops/d", r"^fsync mortal/drops/d", r"^fsync mortal/drops$", r"^create drops/d",
        r"^write drops/d", r"^fsync drops/d", r"^fsync drops$", r"^rename incoming/.*blob", r"^write incoming/.*blob",
        r"^write incoming/.*json.tmp", r"^replace incoming/.*json.tmp", r"^create run/uploads/", r"^unlink run/uploads/\.gone",
        r"^unlink incoming/.*json", r"^commit sluis.sqlite received/held",
    ):  # fmt: skip
        assert any(re.search(kind, what) for what in whats), kind
