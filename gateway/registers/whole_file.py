"""A register's file is the old one or the new one, never half of either."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from keys.durable import FILE_MODE, fsync_folder, is_unfinished, unfinished_name


@contextmanager
def whole_file(path: Path) -> Iterator[BinaryIO]:
    """A file to write `path` anew (0600): it takes the name when the block ends, durably, and is gone when the block raises."""
    for left in [entry for entry in path.parent.iterdir() if is_unfinished(entry.name, path.name)]:
        left.unlink()  # of an import that was cut off
    unfinished = path.parent / unfinished_name(path.name)
    try:
        descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, FILE_MODE)
        with open(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)
    fsync_folder(path.parent)
