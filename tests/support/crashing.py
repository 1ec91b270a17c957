"""Processes of the product that kill themselves at a chosen durable step, and the process that makes them.

A step is an fsync, a rename, a link, an unlink or a commit below the home. The product does not know of it: `count_steps` wraps the
functions of this process. Processes are forked from one that has imported everything and started no thread: 0.1 s each
instead of several. What they run stands in tests/support/crash_plays.py.
"""

import json
import os
import re
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sqlalchemy.engine.default import DefaultDialect

PROJECT = Path(__file__).resolve().parent.parent.parent

#: Where homes of crash tests stand: kill -9 takes nothing that was written, so the disk's speed is no part of it.
MEMORY = Path("/dev/shm") if os.access("/dev/shm", os.W_OK) else None


#: for one process to come to its end; on a busy machine too [s]
PATIENCE = 60


@dataclass(frozen=True)
class Point:
    """Where to die: before, or right `after`, step `number` of all, or the `nth` whose text `pattern` is found in."""

    number: int = 0
    pattern: str = ""
    nth: int = 1
    after: bool = False


@dataclass(frozen=True)
class Step:
    """One durable step: its number from 1 on, what the play said it was at, and what was done to which file."""

    number: int
    stage: str
    what: str

    def __str__(self) -> str:
        return f"{self.number} [{self.stage}] {self.what}"

    @property
    def kind(self) -> str:
        """The step without the random parts of names, and without the numbers of the log's tiles and of days."""
        return re.sub(r"\.p/[0-9]+|20[0-9]{2}-[0-9]{2}-[0-9]{2}|\.[0-9a-f]{8,16}\b", "", self.what)

    @property
    def is_commit(self) -> bool:
        return self.what.startswith("commit")


def points_of(steps: Sequence[Step]) -> list[tuple[Step, Point]]:
    """Before every step, and after every commit: what was written between two other steps is there before the second."""
    before = [(step, Point(number=step.number)) for step in steps]
    return before + [(step, Point(number=step.number, after=True)) for step in steps if step.is_commit]


@contextmanager
def killed_at(where: Step | str, point: Point | None = None) -> Iterator[None]:
    """A failure in this block says where the process was killed."""
    try:
        yield
    except AssertionError as error:
        error.add_note(f"killed {'after' if point and point.after else 'at'} {where}")
        raise


class Counter:
    """The steps of this process so far; kills it at `point`."""

    def __init__(self, home: Path, point: Point | None, trace: Path) -> None:
        self.stage = ""
        self._home = f"{home.resolve()}/"
        self._point = point
        self._trace = trace.open("w")
        self._lock = threading.Lock()
        self._number = self._found = 0

    def step(self, what: str, work: Callable[[], Any]) -> Any:
        """Does `work`, unless this is the moment to die."""
        with self._lock:
            self._number += 1
            step = Step(self._number, self.stage, what)
            self._trace.write(json.dumps(asdict(step)) + "\n")
            self._trace.flush()
            dies = self._is_point(step)
        if dies and self._point and not self._point.after:
            die()
        try:
            return work()
        finally:
            if dies:
                die()

    def _is_point(self, step: Step) -> bool:
        point = self._point
        if point is None or not point.pattern:
            return point is not None and point.number == step.number
        if re.search(point.pattern, f"[{step.stage}] {step.what}"):
            self._found += 1
        else:
            return False
        return self._found == point.nth

    def below_home(self, path: Any) -> str | None:
        """The path below the home, or None."""
        if isinstance(path, int):
            path = os.readlink(f"/proc/self/fd/{path}")
        text = os.path.abspath(os.fspath(path))
        return text.removeprefix(self._home) if text.startswith(self._home) else None


def die() -> None:
    """As kill -9 from outside: no handler, no `finally`, nothing flushed."""
    os.kill(os.getpid(), signal.SIGKILL)
    threading.Event().wait()


def count_steps(home: Path, point: Point | None, trace: Path) -> Counter:
    """From now on every durable step of this process is written into `trace`, and `point` is its last."""
    counter = Counter(home, point, trace)
    for name in ("fsync", "replace", "rename", "link", "unlink"):
        _wrap(counter, name)
    commit = DefaultDialect.do_commit

    def committing(dialect: DefaultDialect, connection: Any) -> None:
        counter.step(_told_of_commit(connection), lambda: commit(dialect, connection))

    DefaultDialect.do_commit = committing  # type: ignore[method-assign]
    return counter


def _wrap(counter: Counter, name: str) -> None:
    real = getattr(os, name)

    def stepping(path: Any, *rest: Any, **named: Any) -> Any:
        place = counter.below_home(path)
        if place is None:
            return real(path, *rest, **named)
        return counter.step(f"{name} {place}", lambda: real(path, *rest, **named))

    setattr(os, name, stepping)


def _told_of_commit(connection: Any) -> str:
    """Which database, and the states its drops will have: a test can name the commit that accepts, links or erases."""
    cursor = connection.cursor()
    try:
        file = Path(cursor.execute("PRAGMA database_list").fetchone()[2]).name
        if file != "sluis.sqlite":
            return f"commit {file}"
        states = cursor.execute('SELECT state, raw, waiting_for FROM "drop" ORDER BY received_at').fetchall()
        told = (f"{state}/{raw}{'/waiting' if waiting != '[]' else ''}" for state, raw, waiting in states)
        return f"commit {file} {' '.join(told)}"
    finally:
        cursor.close()


# ---------------------------------------------------------------- the process that forks


@dataclass(frozen=True)
class Child:
    """A play in a process of its own."""

    nursery: "Nursery"
    pid: int
    trace: Path

    def wait(self) -> int:
        """Its end: 0, or minus the signal that killed it. What went wrong otherwise, or took too long, is in the failure."""
        try:
            status = int(self.nursery.answer(PATIENCE)["status"])
        except TimeoutError:
            os.kill(self.pid, signal.SIGKILL)
            self.nursery.answer(PATIENCE)
            last = self.steps[-1:]
            raise AssertionError(f"the play did not end; its last step was {last}:\n{self.nursery.told()}") from None
        assert status in (0, -signal.SIGKILL), f"the play ended with {status}:\n{self.nursery.told()}"
        return status

    def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)
        self.wait()

    def terminate(self) -> None:
        os.kill(self.pid, signal.SIGTERM)
        assert self.wait() == 0

    @property
    def steps(self) -> list[Step]:
        return [Step(**json.loads(line)) for line in self.trace.read_text().splitlines()]


class Nursery:
    """Forks a child per play, one at a time."""

    def __init__(self, module: str = "tests.support.crash_plays") -> None:
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115
        self._running = 0  # the child that nobody has waited for yet
        self.room = Path(tempfile.mkdtemp(prefix="sluis-crash-", dir=MEMORY))
        self._process = subprocess.Popen(
            [sys.executable, "-m", module],
            cwd=PROJECT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            bufsize=0,
        )

    def start(self, play: str, home: Path, point: Point | None = None, **named: Any) -> Child:
        """`play` (a function of crash_plays) on `home`, dying at `point`."""
        assert self._process.stdin is not None
        trace = self.room / "trace"
        task = {"play": play, "home": str(home), "point": asdict(point) if point else None, "trace": str(trace), "named": named}
        self._process.stdin.write(json.dumps(task).encode() + b"\n")
        self._running = int(self.answer()["pid"])
        return Child(self, self._running, trace)

    def answer(self, seconds: float = 120) -> dict[str, Any]:
        """The next line; TimeoutError when there is none in time."""
        assert self._process.stdout is not None
        if not select.select([self._process.stdout], [], [], seconds)[0]:
            raise TimeoutError
        line = self._process.stdout.readline()
        assert line, f"the process that forks ended:\n{self.told()}"
        answer: dict[str, Any] = json.loads(line)
        if "status" in answer:
            self._running = 0
        return answer

    def told(self) -> str:
        """The last of what the children wrote."""
        self._errors.seek(0)
        return self._errors.read()[-6000:]

    def close(self) -> None:
        """Ends a child that a failed test left, and removes the room."""
        if self._running:
            os.kill(self._running, signal.SIGKILL)
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(30)
        self._errors.close()
        shutil.rmtree(self.room)


def fork_for_each_task(plays: dict[str, Callable[..., None]]) -> None:
    """The other side of `Nursery`: reads tasks, forks, tells pid and end."""
    for line in sys.stdin:
        task = json.loads(line)
        pid = os.fork()
        if pid == 0:
            _play(plays[task["play"]], task)
        _tell(pid=pid)
        _, status = os.waitpid(pid, 0)
        _tell(status=os.waitstatus_to_exitcode(status))


def _tell(**answer: int) -> None:
    print(json.dumps(answer), flush=True)


def _play(play: Callable[..., None], task: dict[str, Any]) -> None:
    import traceback

    os.dup2(2, 1)  # what the product prints must not be taken for an answer
    home = Path(task["home"])
    point = Point(**task["point"]) if task["point"] else None
    try:
        play(home, count_steps(home, point, Path(task["trace"])), **task["named"])
    except BaseException:
        traceback.print_exc()
        os._exit(70)
    os._exit(0)


# ---------------------------------------------------------------- waiting and looking


def wait_until(true: Callable[[], bool], seconds: float = 180, pause: float = 0.02) -> None:
    """Ask again and again until it is so; AssertionError after `seconds`."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it did not come to this in time"
        time.sleep(pause)


def left_behind(home: Path, *but: str) -> set[str]:
    """Every file of the home (paths below it), but those below the folders named and the databases'."""
    files = (path.relative_to(home) for path in home.rglob("*") if path.is_file())
    return {str(path) for path in files if path.parts[0] not in but and ".sqlite" not in path.name}
