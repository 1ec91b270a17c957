"""Files that are there after a power cut, or were never there: every durable write, move and unlink of the gateway.

Order matters: the file's bytes reach the disk before its name does, and the name's folder is synced before anybody is told.
Modes are wide and the process's umask narrows them (Home.open sets it), so that one place decides who else may read.
"""

import os
import re
import secrets
from pathlib import Path

_UNFINISHED = re.compile(r"\..+\.[0-9a-f]{8}\.tmp")


def fsync_folder(folder: Path) -> None:
    """Make the names in `folder` durable (fsync(2): a file's own fsync does not cover its entry in the folder)."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _write_beside(path: Path, data: bytes) -> Path:
    beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o660)
    try:
        try:
            view = memoryview(data)
            while view:
                view = view[os.write(handle, view) :]
            os.fsync(handle)
        finally:
            os.close(handle)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
    return beside


def write_durably(path: Path, data: bytes) -> None:
    """A new file `path`; FileExistsError when there is one already."""
    beside = _write_beside(path, data)
    try:
        os.link(beside, path)
    finally:
        beside.unlink()
    fsync_folder(path.parent)


def replace_durably(path: Path, data: bytes) -> None:
    """`path` with new content, whole or not at all."""
    beside = _write_beside(path, data)
    try:
        os.replace(beside, path)
    except OSError:
        beside.unlink(missing_ok=True)
        raise
    fsync_folder(path.parent)


def move_durably(source: Path, target: Path) -> None:
    """Rename within one file system, and make both folders know."""
    os.replace(source, target)
    fsync_folder(target.parent)
    if source.parent != target.parent:
        fsync_folder(source.parent)


def unlink_durably(path: Path) -> None:
    """Remove `path` if it is there; afterwards it is gone from the disk's folder too."""
    path.unlink(missing_ok=True)
    fsync_folder(path.parent)


def remove_unfinished(folder: Path) -> None:
    """Remove what processes that were killed left of files they were writing into `folder`; only when nobody writes there now."""
    if not folder.is_dir():
        return
    left = [path for path in folder.iterdir() if _UNFINISHED.fullmatch(path.name)]
    for path in left:
        path.unlink(missing_ok=True)
    if left:
        fsync_folder(folder)


def make_folder(path: Path) -> None:
    """A folder (and its parents) that is there after a power cut."""
    if path.is_dir():
        return
    make_folder(path.parent)
    path.mkdir(mode=0o770, exist_ok=True)
    fsync_folder(path.parent)
