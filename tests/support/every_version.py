"""Every version of every file that this process ever wrote below some folders: what a disk that never forgets still holds.

A look before and after each durable step (an fsync, a rename, a link, an unlink, a commit) finds every content that was there between
two of them; of a database the pages, also those that were only ever in its write-ahead log. The product does not know of it.
"""

import hashlib
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

from sqlalchemy.engine.default import DefaultDialect

STEPS = ("fsync", "rename", "replace", "link", "unlink", "rmdir", "truncate", "ftruncate")
#: of SQLite, as it is built and left here [bytes]
PAGE = 4096
WAL_HEADER, FRAME_HEADER = 32, 24  # https://www.sqlite.org/fileformat2.html#walformat [bytes]


class EveryVersion:
    """Keeps what it sees below `folders` while the block runs; `versions` is by path and then by content."""

    def __init__(self, *folders: Path) -> None:
        self.versions: dict[Path, dict[bytes, bytes]] = {}  # path → SHA-256 → content: a whole file, or a page of a database
        self.steps = 0
        self._folders = folders
        self._seen: dict[Path, tuple[int, ...]] = {}
        self._lock = threading.RLock()
        self._undo: list[Callable[[], None]] = []

    def __enter__(self) -> "EveryVersion":
        for name in STEPS:
            self._wrap(os, name)
        self._wrap(DefaultDialect, "do_commit")
        return self

    def __exit__(self, _type: type[BaseException] | None, _error: BaseException | None, _traceback: TracebackType | None) -> None:
        for undo in self._undo:
            undo()
        self.look()

    def _wrap(self, owner: Any, name: str) -> None:
        real = getattr(owner, name)

        def stepping(*given: Any, **named: Any) -> Any:
            with self._lock:
                self.steps += 1
                self.look()
            try:
                return real(*given, **named)
            finally:
                self.look()

        setattr(owner, name, stepping)
        self._undo.append(lambda: setattr(owner, name, real))

    def look(self) -> None:
        """Keep whatever changed since the last look."""
        with self._lock:
            for folder in self._folders:
                for path, facts in _files(folder):
                    if self._seen.get(path) != facts:
                        self._seen[path] = facts
                        self._keep(path)

    def _keep(self, path: Path) -> None:
        try:
            content = path.read_bytes()
        except FileNotFoundError:  # another thread took it away: its own look was before
            return
        kept = self.versions.setdefault(path, {})
        for piece in _pages(path.name, content):
            kept.setdefault(hashlib.sha256(piece).digest(), piece)

    def below(self, folder: Path, but: tuple[Path, ...] = ()) -> Iterator[tuple[str, bytes]]:
        """(name, content) of every version below `folder` and not below one of `but`; a database's pages as one piece."""
        for path, kept in self.versions.items():
            if not path.is_relative_to(folder) or any(path.is_relative_to(other) for other in but):
                continue
            if ".sqlite" in path.name:
                yield f"{path.relative_to(folder)}, all pages", b"".join(kept.values())
            else:
                for number, content in enumerate(kept.values()):
                    yield f"{path.relative_to(folder)}, version {number}", content


def _files(folder: Path) -> Iterator[tuple[Path, tuple[int, ...]]]:
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    yield from _files(Path(entry.path))
                else:
                    facts = entry.stat(follow_symlinks=False)
                    yield Path(entry.path), (facts.st_ino, facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns)
    except FileNotFoundError:
        return


def _pages(name: str, content: bytes) -> Iterator[bytes]:
    if ".sqlite" not in name:
        yield content
    elif name.endswith("-wal"):
        for start in range(WAL_HEADER + FRAME_HEADER, len(content), FRAME_HEADER + PAGE):
            yield content[start : start + PAGE]
    else:
        for start in range(0, len(content), PAGE):
            yield content[start : start + PAGE]
