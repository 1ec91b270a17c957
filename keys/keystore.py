"""The store of keys: a folder, in it a folder per kind, in that a file per key.

What must die with a key dies here, so the order of the steps is the whole point:

create   write a file beside it → fsync → link under the key's name (never over another) → take the other name away → fsync folder
destroy  rename to a name that says nothing → fsync folder → overwrite → fsync → unlink → fsync folder → look that it is gone

The rename comes first, so that no reader ever gets a half-overwritten key, and the folder's old blocks end with a name that
tells nothing (a digest, by which only who knows the key's name finds it again). A crash between any two steps is repaired by calling
`destroy` again. A key that can't be overwritten holds up no other. Overwriting is no promise on flash or on a copying file system: keep
keys that must die on a medium of which every copy can be destroyed, and out of every backup (docs/threat-model.md).
"""

import contextlib
import hashlib
import os
import re
import secrets
from datetime import UTC, datetime
from pathlib import Path

from keys.durable import (
    FILE_MODE,
    FOLDER_MODE,
    UNFINISHED,
    fsync_folder,
    is_unfinished,
    make_folder,
    unfinished_name,
    write_new,
    write_whole,
)
from keys.secret import Secret
from policies.errors import NotFound, Refused, Unsound, WrongUsage

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,119}")

GROUP_BITS = 0o070

#: Keys on their way out, whatever they were called.
DOOMED = ".gone."


class Keystore:
    """Keys under (kind, name). Safe for several processes at once; names tell no secret.

    Files are 0600 and folders 0700, unless the store's own folder was opened to its group on purpose (roles under several Unix
    users): then the group has the same rights below, as far as the process's umask lets it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def create(self, kind: str, name: str, value: Secret) -> None:
        """Keep a new key, durably. Refused (`key-exists`) when there is one of that name: a key is never replaced.

        After an OSError the key may or may not be there: `destroy` it before trying again.
        """
        path = self._path(kind, name)
        make_folder(self.folder)
        shared = self.folder.stat().st_mode & GROUP_BITS == GROUP_BITS
        make_folder(path.parent, FOLDER_MODE | (GROUP_BITS if shared else 0))
        unfinished = path.parent / unfinished_name(name)
        try:
            write_new(unfinished, value.reveal(), FILE_MODE | (GROUP_BITS & ~0o111 if shared else 0))
            os.link(unfinished, path)
        except FileExistsError:
            raise Refused("key-exists", f"There is a key {kind}/{name} already.", "Destroy it first, or use another name.") from None
        finally:
            unfinished.unlink(missing_ok=True)  # never overwritten: it may be the key itself, under its second name
        fsync_folder(path.parent)

    def place(self, kind: str, name: str, value: Secret) -> int:
        """As `create`, for whoever makes several files durable together: the key is there after a power cut once the answered descriptor,
        which the caller closes, and the folder `kind_folder(kind)` are fsynced. A crash before that may leave a key that is cut off."""
        path = self._path(kind, name)
        if not path.parent.is_dir():
            make_folder(self.folder)
        shared = self.folder.stat().st_mode & GROUP_BITS == GROUP_BITS
        if not path.parent.is_dir():
            make_folder(path.parent, FOLDER_MODE | (GROUP_BITS if shared else 0))
        mode = FILE_MODE | (GROUP_BITS & ~0o111 if shared else 0)
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
        except FileExistsError:
            raise Refused("key-exists", f"There is a key {kind}/{name} already.", "Destroy it first, or use another name.") from None
        try:
            write_whole(descriptor, value.reveal())
        except BaseException:
            os.close(descriptor)
            raise
        return descriptor

    def kind_folder(self, kind: str) -> Path:
        """Where the keys of a kind lie."""
        return self._kind(kind)

    def read(self, kind: str, name: str) -> Secret:
        """The key; NotFound (`key-gone`) when it was destroyed or never was."""
        try:
            descriptor = os.open(self._path(kind, name), os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except FileNotFoundError:
            raise _gone(kind, name) from None
        with open(descriptor, "rb", buffering=0) as file:
            value = Secret(file.readall())
            # renamed before it is overwritten: while the name is this file's, what was read is the key
            try:
                if os.path.samestat(os.fstat(descriptor), os.lstat(self._path(kind, name))):
                    return value
            except FileNotFoundError:
                pass
        raise _gone(kind, name)

    def exists(self, kind: str, name: str) -> bool:
        """Whether `read` would find it. Not a proof of destruction: for that call `destroy`, which verifies."""
        return self._path(kind, name).is_file()

    def names(self, kind: str) -> list[str]:
        """The names of a kind's keys, sorted."""
        return sorted(entry for entry in _entries(self._kind(kind)) if NAME.fullmatch(entry))

    def kinds(self) -> list[str]:
        """The kinds that were ever used here, sorted."""
        return sorted(entry for entry in _entries(self.folder) if NAME.fullmatch(entry))

    def created_at(self, kind: str, name: str) -> datetime:
        """When the key was made, in UTC; NotFound (`key-gone`)."""
        try:
            return datetime.fromtimestamp(self._path(kind, name).stat().st_mtime, UTC)
        except FileNotFoundError:
            raise _gone(kind, name) from None

    def destroy(self, kind: str, name: str) -> None:
        """The key and whatever a crash left of it are gone when this returns; fine when they were gone already.

        OSError escapes, and then nothing is promised: call again. Unsound (`key-not-gone`) when the file system says it
        has unlinked the key and still lists it.
        """
        path = self._path(kind, name)
        folder = path.parent
        if not folder.is_dir():
            return
        for entry in _entries(folder):
            if entry == name or is_unfinished(entry, name):
                with contextlib.suppress(FileNotFoundError):  # another process was faster
                    os.rename(folder / entry, folder / _doomed(name))
        fsync_folder(folder)  # even if nothing was renamed now: an earlier call's rename may not be durable
        begun = self.unfinished(kind)
        self._complete(kind, own := [entry for entry in begun if _may_have_been(entry, name)])
        if others := [entry for entry in begun if entry not in own]:
            with contextlib.suppress(OSError, Unsound):  # whoever began those tries again
                self._complete(kind, others)
        if any(entry == name or is_unfinished(entry, name) for entry in _entries(folder)):
            raise _not_gone(kind)

    def finish(self, kind: str) -> None:
        """Complete the destructions of this kind that a crash cut short; errors as in `destroy`, once all were tried."""
        self._complete(kind, self.unfinished(kind))

    def _complete(self, kind: str, doomed: list[str]) -> None:
        folder, failure = self._kind(kind), None
        for entry in doomed:
            try:
                _overwrite_and_unlink(folder / entry)
            except OSError as error:
                failure = error
        if folder.is_dir():
            fsync_folder(folder)
        if failure is not None:
            raise failure
        if not set(doomed).isdisjoint(_entries(folder)):
            raise _not_gone(kind)

    def clean(self, kind: str) -> None:
        """Destroy what a crash left of making keys of this kind, and `finish`. Only while nobody makes one; errors as in `destroy`.

        What is left may be a living key's second name, of which only the name may go.
        """
        folder = self._kind(kind)
        for entry in _entries(folder):
            if entry.startswith(UNFINISHED):
                with contextlib.suppress(FileNotFoundError):  # another process was faster
                    if (folder / entry).lstat().st_nlink > 1:
                        os.unlink(folder / entry)
                    else:
                        os.rename(folder / entry, folder / _doomed(entry.removeprefix(UNFINISHED).rpartition(".")[0]))
        self.finish(kind)

    def unfinished(self, kind: str) -> list[str]:
        """Destructions that were begun and not completed: empty unless a crash came between, or one is going on now."""
        return sorted(entry for entry in _entries(self._kind(kind)) if entry.startswith(DOOMED))

    def _kind(self, kind: str) -> Path:
        if not NAME.fullmatch(kind):
            raise WrongUsage("key-name", "A kind of keys is named with letters, digits, dots, dashes and underscores.")
        return self.folder / kind

    def _path(self, kind: str, name: str) -> Path:
        if not NAME.fullmatch(name):
            raise WrongUsage("key-name", "A key is named with letters, digits, dots, dashes and underscores, at most 120.")
        return self._kind(kind) / name


def _doomed(name: str) -> str:
    return f"{DOOMED}{_digest(name)}.{secrets.token_hex(8)}"


def _may_have_been(entry: str, name: str) -> bool:
    """Whether a key on its way out was called `name`; of one whose name has no digest nobody knows."""
    digest, _, chance = entry.removeprefix(DOOMED).partition(".")
    return not chance or digest == _digest(name)


def _digest(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()[:16]


def _entries(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)
    except FileNotFoundError:
        return []


def _overwrite_and_unlink(path: Path) -> None:
    """Zeros over the content, durably, and only then the name away: a key that could not be overwritten keeps its name."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:  # another process was faster
        return
    try:
        write_whole(descriptor, bytes(os.fstat(descriptor).st_size))
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    path.unlink(missing_ok=True)


def _gone(kind: str, name: str) -> NotFound:
    return NotFound("key-gone", f"There is no key {kind}/{name}.", "It was destroyed, or never made in this home.")


def _not_gone(kind: str) -> Unsound:
    return Unsound("key-not-gone", f"A destroyed key of kind {kind} is still there.", "Look at the file system it lies on.")
