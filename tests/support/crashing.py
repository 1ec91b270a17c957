"""Processes of the product that die, or for which something fails, at a chosen durable step, and the process that makes them.

Processes are forked from one that has imported everything and started no thread: 0.1 s each instead of several. What they run stands in
tests/support/crash_plays.py.
"""

import gc
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tests.support.steps import FAILED, Point, Step, count_steps

PROJECT = Path(__file__).resolve().parent.parent.parent

#: Where homes of crash tests stand: kill -9 takes nothing that was written, so the disk's speed is no part of it.
MEMORY = Path("/dev/shm") if os.access("/dev/shm", os.W_OK) else None


#: for one process to come to its end; on a busy machine too [s]
PATIENCE = 60


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
        return [step for step in self._told() if step.stage != FAILED]

    @property
    def failed(self) -> Step | None:
        """The step that failed, as it was to."""
        return next((step for step in self._told() if step.stage == FAILED), None)

    def _told(self) -> list[Step]:
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
    gc.collect()
    gc.freeze()  # what was imported: a child that looked through it would copy each page of it first
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
