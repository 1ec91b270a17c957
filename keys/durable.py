"""Files that are still there, whole, after the power fails: the part the store of keys and the public files share."""

import os
import secrets
from pathlib import Path

FILE_MODE = 0o600
#: Public halves: the roles at the edge read them, so the group may where the process's umask lets it (0077: nobody else).
PUBLIC_MODE = 0o640
FOLDER_MODE = 0o700

#: Files still being made. Keys and public files have no names that start with a dot.
UNFINISHED = ".new."


def make_folder(path: Path, mode: int = FOLDER_MODE) -> None:
    """`path` as a folder (of ours alone), and its name durable even when somebody else has just made it."""
    path.mkdir(mode=mode, exist_ok=True)
    fsync_folder(path.parent)


def fsync_folder(path: Path) -> None:
    """Until this returns, a name that was added or taken away in `path` may come back as it was."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def unfinished_name(name: str) -> str:
    """A fresh name for `name` while its file is being made; `is_unfinished` knows it again."""
    return f"{UNFINISHED}{name}.{secrets.token_hex(8)}"


def is_unfinished(entry: str, name: str) -> bool:
    """Whether `entry` is what a crash left of making `name` (and of no other name that starts the same)."""
    return entry.startswith(UNFINISHED) and entry[len(UNFINISHED) :].rpartition(".")[0] == name


def write_new(path: Path, data: bytes, mode: int = FILE_MODE) -> None:
    """A new file with `data`, its content durable; its name is not until the folder is fsynced. FileExistsError if it is there."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
    with open(descriptor, "wb", buffering=0) as file:
        write_whole(file.fileno(), data)
        os.fsync(file.fileno())


def write_whole(descriptor: int, data: bytes | bytearray) -> None:
    """All of `data`, also where the system takes less than it was given."""
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def replace_public(path: Path, data: bytes) -> None:
    """`path` holds `data`: after a crash either the old or the new content is there, whole. Not for secrets."""
    unfinished = path.parent / unfinished_name(path.name)
    try:
        write_new(unfinished, data, PUBLIC_MODE)
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)
    fsync_folder(path.parent)


def remove_public(path: Path) -> None:
    """`path` is gone, durably; fine when it was gone already, or its folder was."""
    path.unlink(missing_ok=True)
    if path.parent.is_dir():
        fsync_folder(path.parent)
