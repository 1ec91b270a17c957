"""fsync for all who close at the same time: whoever comes while the disk is busy goes along with the next round.

A round syncs its files and its folders side by side, each folder once: the file system writes its journal once for all of them
(measured on ext4: 0.55 ms for three new files and two folders, against 1.2 ms one after the other).
"""

import os
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from queue import SimpleQueue
from threading import Thread

from gateway.store.durable import fsync_folder

#: fsyncs at once: the three files and two folders of one close
WIDTH = 5


@dataclass(frozen=True)
class _Wish:
    descriptors: Sequence[int]
    folders: Sequence[Path]
    told: Future[None] = field(default_factory=Future)


class Flusher:
    """One per process, for as long as the process lives. Safe from any thread."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(WIDTH, "fsync")
        self._wishes: SimpleQueue[_Wish] = SimpleQueue()
        Thread(target=self._run, name="flusher", daemon=True).start()

    def flush(self, descriptors: Sequence[int], folders: Sequence[Path]) -> None:
        """What was written through `descriptors`, and the names in `folders`, are durable when this returns; OSError when one is not.

        Blocking; the descriptors stay open until then.
        """
        wish = _Wish(descriptors, folders)
        self._wishes.put(wish)
        wish.told.result()

    def _run(self) -> None:
        while True:
            together = [self._wishes.get()]
            while not self._wishes.empty():
                together.append(self._wishes.get())
            self._round(together)

    def _round(self, together: Sequence[_Wish]) -> None:
        folders = {folder: self._pool.submit(fsync_folder, folder) for wish in together for folder in wish.folders}
        files = [[self._pool.submit(os.fsync, descriptor) for descriptor in wish.descriptors] for wish in together]
        for wish, written in zip(together, files, strict=True):
            done = [*written, *(folders[folder] for folder in wish.folders)]
            errors = [error for one in done if (error := one.exception()) is not None]
            if errors:
                wish.told.set_exception(errors[0])
            else:
                wish.told.set_result(None)
