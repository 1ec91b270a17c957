"""The lock of a log, and in it what the log was doing last: from which size to which.

Written before the first tile of an append and again after its checkpoint. So what an interrupted append left behind can be
told from what somebody took away: tiles beyond the checkpoint are leftovers only if the record says that they were being
written just there, and a checkpoint of any other size was put back by somebody.
"""

import fcntl
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from audit.disk import Disk
from policies.errors import Unsound

NAME = "lock"

_FORM = re.compile(rb"([0-9]{20}) ([0-9]{20})\n")


@dataclass(frozen=True, slots=True)
class Span:
    """An append from `older` to `newer` entries; equal when none was under way."""

    older: int
    newer: int

    def explains(self, size: int) -> bool:
        return size in (self.older, self.newer)


class Record:
    """The open, locked file."""

    def __init__(self, descriptor: int, disk: Disk) -> None:
        self._descriptor = descriptor
        self._disk = disk

    def read(self) -> Span | None:
        """None when nothing was ever recorded; Unsound (`audit-lock-damaged`) when the file is not a record."""
        data = os.pread(self._descriptor, 64, 0)
        if not data:
            return None
        if not (match := _FORM.fullmatch(data)):
            raise Unsound(
                "audit-lock-damaged",
                f"The file '{NAME}' of the audit log was changed.",
                "Compare the log with a checkpoint kept elsewhere; if it agrees, remove that file.",
            )
        return Span(int(match[1]), int(match[2]))

    def write(self, older: int, newer: int, *, sync: bool) -> None:
        self._disk.overwrite(self._descriptor, b"%020d %020d\n" % (older, newer), sync)


@contextmanager
def locked_for_change(folder: Path, disk: Disk) -> Iterator[Record]:
    """Alone, against other processes and other threads; waits for its turn. The kernel lets go when the process dies."""
    descriptor = os.open(folder / NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o660)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield Record(descriptor, disk)
    finally:
        os.close(descriptor)


@contextmanager
def locked_for_reading(folder: Path) -> Iterator[Span | None]:
    """While nobody appends. A copy of a log without its lock file, or a reader who may not open it, goes without."""
    try:
        descriptor = os.open(folder / NAME, os.O_RDONLY | os.O_CLOEXEC)
    except (FileNotFoundError, PermissionError):
        yield None
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        yield Record(descriptor, Disk()).read()
    finally:
        os.close(descriptor)
