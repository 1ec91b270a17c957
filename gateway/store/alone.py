"""One at a time: what two processes must not do at once."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from policies.errors import Refused


@contextmanager
def alone_in(folder: Path, busy: Refused) -> Iterator[None]:
    """Nobody else is `alone_in` this folder until the block ends, or this process does; raises `busy` when somebody is."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise busy from None
        yield
    finally:
        os.close(descriptor)
