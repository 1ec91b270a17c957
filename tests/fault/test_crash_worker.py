"""kill -9 of the worker before every durable step of two drops' lives: each ends where it should, once, and nothing is left lying.

A delivery waits for its schools' objection registers, which come as the second drop. Two walks: every step without the engine,
and a sample with it, since the engine's own threads make its steps uncountable.
"""

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from random import Random
from signal import SIGKILL

import pytest
from sqlmodel import col, select

from audit import certificate, document
from audit.entry import Entry
from gateway.drop.certificate import certificate_name
from gateway.drop.lifecycle import Effect, Raw, State
from gateway.store.drops import drops
from gateway.store.home import Home
from gateway.store.models import AuditRow, Drop, EffectRow, ObjectionRegister, Part
from gateway.store.parts import LOCK
from tests.support.crash_plays import DELIVERY, REGISTER, SCHOOLS, SHIFT, deliver, delivery, make_home, open_home, register
from tests.support.crashing import Nursery, left_behind, wait_until
from tests.support.steps import Point, Step, killed_at, points_of

pytestmark = [pytest.mark.crash, pytest.mark.slow]

#: what the worker was at, as the play says it
STAGES = ("start", "claim", "check", "link", "erase", "receipt")

#: the same life with the engine: about one moment of each kind
MOMENTS = {
    "the first receipt": Point(pattern=r"replace receipts/.*\.json"),
    "checked, not yet written down": Point(pattern="commit .* accepted/held received"),
    "checked": Point(pattern="commit .* accepted/held received", after=True),
    "waiting": Point(pattern="commit .* accepted/held/waiting", after=True),
    "objections kept": Point(pattern="commit .* registered/held", after=True),
    "results on disk, not yet the ledger's": Point(pattern="replace results/", after=True),
    "linked": Point(pattern="commit .* linked/held", after=True),
    "key no longer a drop's, still on disk": Point(pattern="rename mortal/drops/", nth=2, after=True),
    "bytes gone, not yet written down": Point(pattern="unlink drops/", nth=2, after=True),
    "erased": Point(pattern="commit .* linked/erased", after=True),
    "the certificate": Point(pattern="replace receipts/.*certificaat", nth=2),
    "the engine's tables": Point(pattern="commit engine.sqlite", nth=2),
    "the engine's own account": Point(pattern="commit engine.sqlite", nth=30, after=True),
}


@dataclass(frozen=True)
class Life:
    """A home before, and what an uninterrupted worker makes of it."""

    nursery: Nursery
    before: Path
    steps: list[Step]
    files: set[str]
    results: bytes

    def copy(self) -> Path:
        home = self.nursery.room / "home"
        shutil.rmtree(home, ignore_errors=True)
        shutil.copytree(self.before, home)
        return home

    def points(self, stage: str) -> list[tuple[Step, Point]]:
        """Before every step of the stage, and after every commit. Of steps that only differ in a number the first is enough, unless
        SLUIS_EVERY_CRASH is set."""
        own = [step for step in self.steps if step.stage == stage]
        if not os.environ.get("SLUIS_EVERY_CRASH"):
            own = list({step.kind: step for step in reversed(own)}.values())
        return points_of(own)


@pytest.fixture(scope="module")
def life(nursery: Nursery) -> Life:
    before = nursery.room / "before"
    home = make_home(before)
    deliver(home, DELIVERY, delivery(home))
    deliver(home, REGISTER, register(home))
    home.ledger.engine.dispose()
    after = nursery.room / "after"
    shutil.copytree(before, after)
    child = nursery.start("work", after)
    assert child.wait() == 0
    (part,) = (after / "results").rglob("*.parquet")
    return Life(nursery, before, child.steps, left_behind(after, "audit"), part.read_bytes())


@contextmanager
def opened(path: Path, shift: float = SHIFT) -> Iterator[Home]:
    home = open_home(path, shift)
    try:
        yield home
    finally:
        home.ledger.engine.dispose()


def is_over(path: Path) -> bool:
    """Whether the worker has nothing left to do, and the log has every entry."""
    with opened(path) as home, home.ledger.view() as session:
        due = session.exec(select(EffectRow).where(col(EffectRow.done_at).is_(None), EffectRow.due_at <= home.clock())).first()
        loose = session.exec(select(AuditRow).where(col(AuditRow.leaf).is_(None))).first()
        return due is None and loose is None


def assert_ended_once(life: Life, path: Path) -> None:
    """All that must be so of both drops when the worker is done, however often it died."""
    with opened(path) as home:
        with home.ledger.view() as session:
            given, objections = drops(session)
            parts = session.exec(select(Part)).all()
            versions = session.exec(select(ObjectionRegister.school, ObjectionRegister.version).order_by(ObjectionRegister.school)).all()
            undone = session.exec(select(EffectRow.kind).where(col(EffectRow.done_at).is_(None))).all()
        assert (given.state, given.raw, given.waiting_for) == (State.LINKED, Raw.ERASED, [])
        assert (objections.state, objections.raw) == (State.REGISTERED, Raw.ERASED)
        assert versions == [(school, 1) for school in SCHOOLS], "a register is handed in once"
        assert set(undone) <= {Effect.LINK}, "only the look at a later hour may remain"
        assert_results(home, given, parts, life.results)
        for drop in (given, objections):
            assert_receipt(home, drop)
        assert_log(home, given, objections)
        assert not home.mortal.unfinished("drops")
        assert left_behind(path, "audit") == life.files, "the files that an uninterrupted worker leaves, and no other"


def assert_results(home: Home, drop: Drop, parts: list[Part], expected: bytes) -> None:
    (part,) = parts
    assert part.drop == drop.id
    found = (home.results / part.file).read_bytes()
    assert (sha256(found).hexdigest(), found) == (part.sha256, expected)


def assert_receipt(home: Home, drop: Drop) -> None:
    verifier = home.audit_verifier()
    folder = home.receipts(drop.vendor)
    receipt = document.read((folder / f"{drop.id}.json").read_bytes())
    document.check(receipt, [verifier])
    assert receipt["state"] == ("linked" if drop.state == State.LINKED else "accepted")
    assert receipt["erased_at"] and receipt["certificate"] == certificate_name(drop.id) and not receipt["waiting_for"]
    certified = certificate.check((folder / certificate_name(drop.id)).read_bytes(), [verifier])
    assert certified["drop"] == drop.id and certified["erased_at"] == receipt["erased_at"]


def assert_log(home: Home, given: Drop, objections: Drop) -> None:
    verdict = home.audit_log().verify(home.audit_verifier())
    assert verdict.sound, verdict.what
    logged = [Entry.from_bytes(data) for data in home.audit_log().entries()]
    with home.ledger.view() as session:
        rows = {row.leaf: row.id for row in session.exec(select(AuditRow))}
    assert rows == {leaf: entry.id for leaf, entry in enumerate(logged)}, "every row has its leaf, and every leaf its row"
    told = [(entry.action, entry.object) for entry in logged]
    for action in ("drop.received", "drop.accepted", "drop.linked", "drop.erasure-verified"):
        assert told.count((action, given.id)) == 1, action
    assert told.count(("drop.waiting", given.id)) <= 1, "none when the register was read first"
    for action in ("drop.received", "drop.registered", "drop.erasure-verified"):
        assert told.count((action, objections.id)) == 1, action
    for school in SCHOOLS:
        assert told.count(("objections.handed-in", school)) == 1
    assert not [action for action, _ in told if action == "effect.failed"], "dying is no failed attempt"


# ---------------------------------------------------------------- every step


def test_the_walk_leaves_no_step_out(life: Life) -> None:
    assert {step.stage for step in life.steps} == set(STAGES)
    assert len(life.steps) > 150
    for kind in (
        r"^rename mortal/drops/",
        r"^unlink drops/.*\.blob$",
        r"^replace results/",
        r"^replace audit/checkpoint",
        r"linked/erased",
    ):
        assert any(re.search(kind, step.what) for step in life.steps), kind


@pytest.mark.parametrize("stage", STAGES)
def test_killed_at_every_step(life: Life, stage: str) -> None:
    points = life.points(stage)
    assert points
    for step, point in points:
        home = life.copy()
        with killed_at(step, point):
            assert life.nursery.start("work", home, point).wait() == -SIGKILL
            assert life.nursery.start("work", home).wait() == 0
            assert_ended_once(life, home)


@pytest.mark.parametrize("seed", range(8))
def test_killed_again_while_it_recovers(life: Life, seed: int) -> None:
    chance = Random(seed)
    home = life.copy()
    deaths = [chance.randrange(1, len(life.steps)), chance.randrange(1, 12), chance.randrange(1, 12)]
    with killed_at(str(deaths)):
        for number in deaths:
            life.nursery.start("work", home, Point(number=number)).wait()
        assert life.nursery.start("work", home).wait() == 0
        assert_ended_once(life, home)


# ---------------------------------------------------------------- with the engine


@pytest.mark.parametrize("moment", MOMENTS)
def test_the_engine_takes_up_what_a_killed_worker_left(life: Life, moment: str) -> None:
    home = life.copy()
    assert life.nursery.start("serve_worker", home, MOMENTS[moment]).wait() == -SIGKILL
    again = life.nursery.start("serve_worker", home)
    wait_until(lambda: is_over(home))
    again.terminate()
    assert_ended_once(life, home)


# ---------------------------------------------------------------- the window's end


@pytest.fixture(scope="module")
def waiting(nursery: Nursery) -> Life:
    """A delivery whose schools never hand in a register; the worker that ends it comes when its window is over."""
    before = nursery.room / "waiting"
    home = make_home(before)
    deliver(home, DELIVERY, delivery(home))
    home.ledger.engine.dispose()
    assert nursery.start("work", before).wait() == 0
    after = nursery.room / "expired"
    shutil.copytree(before, after)
    child = nursery.start("work", after, shift=LATE)
    assert child.wait() == 0
    return Life(nursery, before, child.steps, left_behind(after, "audit"), b"")


LATE = SHIFT + timedelta(days=23).total_seconds()


def test_killed_at_every_step_of_the_windows_end(waiting: Life) -> None:
    points = [both for stage in {step.stage for step in waiting.steps} for both in waiting.points(stage)]
    assert any("epochs" in step.what for step, _ in points), "the day's key ends too"
    for step, point in points:
        home = waiting.copy()
        with killed_at(step, point):
            assert waiting.nursery.start("work", home, point, shift=LATE).wait() == -SIGKILL
            assert waiting.nursery.start("work", home, shift=LATE).wait() == 0
            assert_expired_once(waiting, home)


def assert_expired_once(life: Life, path: Path) -> None:
    with opened(path, LATE) as home:
        with home.ledger.view() as session:
            (drop,) = drops(session)
            told = [(row.action, row.object, row.leaf is not None) for row in session.exec(select(AuditRow))]
            assert not session.exec(select(Part)).all()
        assert (drop.state, drop.raw) == (State.EXPIRED, Raw.ERASED)
        for action in ("drop.expired", "drop.erasure-verified"):
            assert told.count((action, drop.id, True)) == 1
        assert told.count(("epoch.destroyed", drop.epoch.isoformat(), True)) >= 1
        assert drop.epoch not in home.epochs.days()
        assert all(sequenced for _, _, sequenced in told)
        verdict = home.audit_log().verify(home.audit_verifier())
        assert verdict.sound, verdict.what
        assert_certificate(home, drop)
        # a day's key that was being made ends with its day (Keystore.destroy)
        assert {name for name in left_behind(path, "audit") if "epochs/.new." not in name} == life.files


def assert_certificate(home: Home, drop: Drop) -> None:
    found = certificate.check((home.receipts(drop.vendor) / certificate_name(drop.id)).read_bytes(), [home.audit_verifier()])
    assert (found["drop"], found["reason"]) == (drop.id, State.EXPIRED)


def test_results_of_a_drop_that_expired_after_all_are_not_kept(life: Life, waiting: Life) -> None:
    """Killed between the results' file and the ledger, and started again when the window is over: nothing is anybody's."""
    home = life.copy()
    assert life.nursery.start("work", home, Point(pattern="replace results/", after=True)).wait() == -SIGKILL
    assert life.nursery.start("work", home, shift=LATE).wait() == 0
    with opened(home, LATE) as late, late.ledger.view() as session:
        assert drops(session)[0].state == State.EXPIRED
    assert [name for name in left_behind(home) if name.startswith("results/")] == [f"results/{LOCK}"]
