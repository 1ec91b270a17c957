"""The durable steps of a process of the product: counted, and at a chosen one it dies, or that step fails.

A step is an fsync, a rename, a link, an unlink or a commit below the home; where steps are to fail also a write, a new file and a new
folder. The product does not know of it: `count_steps` wraps the functions of this process.
"""

import errno
import json
import os
import re
import signal
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

from sqlalchemy.engine.default import DefaultDialect

#: the stage under which a trace has the step that failed
FAILED = "failed"


class Fails(StrEnum):
    """How a step fails that the process outlives."""

    NEVER = "counted only"
    LOST = "lost"  # nothing of it was done
    DONE = "done but reported as failed"
    HALF = "half of it was written"  # of a write


@dataclass(frozen=True)
class Point:
    """Where to die: before, or right `after`, step `number` of all, or the `nth` whose text `pattern` is found in. With `fails` that step
    fails instead, and the finer steps count too."""

    number: int = 0
    pattern: str = ""
    nth: int = 1
    after: bool = False
    fails: Fails | None = None


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

    @property
    def ways(self) -> tuple[Fails, ...]:
        """In which it can fail."""
        return (Fails.LOST, Fails.DONE, Fails.HALF) if self.what.startswith("write ") else (Fails.LOST, Fails.DONE)


def points_of(steps: Sequence[Step]) -> list[tuple[Step, Point]]:
    """Before every step, and after every commit: what was written between two other steps is there before the second."""
    before = [(step, Point(number=step.number)) for step in steps]
    return before + [(step, Point(number=step.number, after=True)) for step in steps if step.is_commit]


def failures_of(steps: Sequence[Step]) -> list[tuple[Step, Point]]:
    """Every step in every way in which it can fail."""
    return [(step, Point(number=step.number, fails=way)) for step in steps for way in step.ways]


@contextmanager
def killed_at(where: Step | str, point: Point | None = None) -> Iterator[None]:
    """A failure in this block says where the process was killed, or what failed."""
    try:
        yield
    except AssertionError as error:
        how = "killed" if point is None or point.fails is None else point.fails
        error.add_note(f"{how} {'after' if point and point.after else 'at'} {where}")
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

    def step(self, what: str, work: Callable[[], Any], error: Callable[[], Exception], half: Callable[[], Any] | None = None) -> Any:
        """Does `work`, unless this is the moment to die, or to raise `error` before it, after it, or after `half` of it."""
        with self._lock:
            self._number += 1
            step = Step(self._number, self.stage, what)
            self._trace.write(json.dumps(asdict(step)) + "\n")
            self._trace.flush()
            chosen = self._point if self._is_point(step) else None
        if chosen is None:
            return work()
        if chosen.fails is not None:
            self._fail(chosen.fails, step, work, half)
            raise error()
        if not chosen.after:
            die()
        try:
            work()
        finally:
            die()

    def _fail(self, way: Fails, step: Step, work: Callable[[], Any], half: Callable[[], Any] | None) -> None:
        self._trace.write(json.dumps(asdict(replace(step, stage=FAILED))) + "\n")
        self._trace.flush()
        if way == Fails.DONE:
            work()
        elif way == Fails.HALF:
            assert half is not None
            half()

    def _is_point(self, step: Step) -> bool:
        point = self._point
        if point is None or point.fails == Fails.NEVER or not point.pattern:
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
    """From now on every durable step of this process is written into `trace`, and `point` is its last, or the one that fails."""
    counter = Counter(home, point, trace)
    for name in ("fsync", "replace", "rename", "link", "unlink"):
        _wrap(counter, name)
    if point is not None and point.fails is not None:
        _wrap(counter, "mkdir")
        _wrap_writes(counter)
    commit = DefaultDialect.do_commit

    def committing(dialect: DefaultDialect, connection: Any) -> None:
        counter.step(_told_of_commit(connection), lambda: commit(dialect, connection), lambda: sqlite3.OperationalError("disk I/O error"))

    DefaultDialect.do_commit = committing  # type: ignore[method-assign]
    return counter


def _wrap(counter: Counter, name: str) -> None:
    real = getattr(os, name)

    def stepping(path: Any, *rest: Any, **named: Any) -> Any:
        place = counter.below_home(path)
        if place is None:
            return real(path, *rest, **named)
        return counter.step(f"{name} {place}", lambda: real(path, *rest, **named), _input_output)

    setattr(os, name, stepping)


def _wrap_writes(counter: Counter) -> None:
    """What a full disk refuses: new files, and bytes in them."""
    real_open, real_text = os.open, Path.write_text

    def opening(path: Any, flags: int, *rest: Any, **named: Any) -> int:
        place = counter.below_home(path) if flags & os.O_CREAT and "dir_fd" not in named else None
        if place is None:
            return real_open(path, flags, *rest, **named)
        opened: list[int] = []
        try:
            return int(counter.step(f"create {place}", lambda: opened.append(real_open(path, flags, *rest, **named)) or opened[0], _full))
        except OSError:
            for descriptor in opened:
                os.close(descriptor)
            raise

    def write(name: str) -> None:
        real = getattr(os, name)

        def writing(descriptor: int, data: Any, *rest: Any) -> Any:
            place = counter.below_home(descriptor)
            if place is None:
                return real(descriptor, data, *rest)
            half = memoryview(data)[: len(data) // 2]
            return counter.step(f"write {place}", lambda: real(descriptor, data, *rest), _full, lambda: real(descriptor, half, *rest))

        setattr(os, name, writing)

    def noting(path: Path, text: str, *rest: Any, **named: Any) -> Any:
        place = counter.below_home(path)
        if place is None:
            return real_text(path, text, *rest, **named)
        return counter.step(
            f"write {place}", lambda: real_text(path, text, *rest, **named), _full, lambda: real_text(path, text[: len(text) // 2])
        )

    os.open = opening
    write("write")
    write("pwrite")
    Path.write_text = noting  # type: ignore[method-assign,assignment]


def _input_output() -> OSError:
    return OSError(errno.EIO, os.strerror(errno.EIO))


def _full() -> OSError:
    return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


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
