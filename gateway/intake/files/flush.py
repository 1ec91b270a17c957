"""fsync for all who close at the same time: whoever comes while the disk is busy goes along with the next round.

A round syncs its files and its folders side by side, each folder once: the file system writes its journal once for all of them
(measured on ext4: 0.55 ms for three new files and two folders, against 1.2 ms one after the other). The first thread to come leads a
round; when it ends, the first of those that came meanwhile leads the next.
"""

import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from gateway.store.durable import fsync_folder

#: fsyncs at once beside the leader's own: with it the three files and two folders of one close
WIDTH = 4


@dataclass(eq=False)
class _Wish:
    descriptors: Sequence[int]
    folders: Sequence[Path]
    #: it is the wish's thread's turn: its wish is done, or it leads
    turn: threading.Event = field(default_factory=threading.Event)
    done: bool = False
    error: BaseException | None = None


class Flusher:
    """One per process, for as long as the process lives. Safe from any thread."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(WIDTH, "fsync")
        self._lock = threading.Lock()
        self._waiting: list[_Wish] = []
        self._busy = False

    def flush(self, descriptors: Sequence[int], folders: Sequence[Path]) -> None:
        """What was written through `descriptors`, and the names in `folders`, are durable when this returns; OSError when one is not.

        Blocking; the descriptors stay open until then.
        """
        wish = _Wish(descriptors, folders)
        with self._lock:
            self._waiting.append(wish)
            leads, self._busy = not self._busy, True
        if not leads:
            wish.turn.wait()
        if not wish.done:
            self._lead()
        if wish.error is not None:
            raise wish.error

    def _lead(self) -> None:
        with self._lock:
            together, self._waiting = self._waiting, []
        try:
            self._round(together)
        finally:
            for wish in together:
                wish.done = True
                wish.turn.set()
            with self._lock:
                if self._waiting:
                    self._waiting[0].turn.set()
                else:
                    self._busy = False

    def _round(self, together: Sequence[_Wish]) -> None:
        folders = list(dict.fromkeys(folder for wish in together for folder in wish.folders))
        work: list[Callable[[], None]] = [partial(os.fsync, descriptor) for wish in together for descriptor in wish.descriptors]
        work += [partial(fsync_folder, folder) for folder in folders]
        errors = self._side_by_side(work)
        at = 0
        for wish in together:
            mine = errors[at : at + len(wish.descriptors)]
            mine += [errors[folders.index(folder) - len(folders)] for folder in wish.folders]
            at += len(wish.descriptors)
            wish.error = next((error for error in mine if error is not None), None)

    def _side_by_side(self, work: Sequence[Callable[[], None]]) -> list[BaseException | None]:
        """What each of them raised; the first is done here, while the others are done in the pool."""
        others: list[Future[None]] = [self._pool.submit(one) for one in work[1:]]
        first: Future[None] = Future()
        try:
            first.set_result(work[0]())
        except OSError as error:
            first.set_exception(error)
        return [one.exception() for one in (first, *others)]
