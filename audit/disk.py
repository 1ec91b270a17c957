"""The few things the log does to a file system, each durable when it returns: one place in which tests let the disk fail."""

import os
from pathlib import Path


class Disk:
    """Files are made 0660 and folders 0770 less the umask, which says whether a group of roles shares them. Every OSError escapes."""

    def create(self, path: Path, data: bytes) -> None:
        """A new file with this content, synced; FileExistsError when there is one. Its name is durable after `sync_folder`."""
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o660)
        try:
            rest = memoryview(data)
            while rest:
                rest = rest[os.write(descriptor, rest) :]
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def make_folder(self, path: Path) -> None:
        """This folder and those above it, as far as they are missing; their names are durable."""
        if path.is_dir():
            return
        self.make_folder(path.parent)
        path.mkdir(0o770, exist_ok=True)
        self.sync_folder(path.parent)

    def sync_folder(self, path: Path) -> None:
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def replace(self, source: Path, target: Path) -> None:
        """Renames; durable after `sync_folder`."""
        source.replace(target)

    def remove(self, path: Path) -> None:
        """Unlinks; nothing to do when there is none. Durable after `sync_folder`."""
        path.unlink(missing_ok=True)

    def remove_folder(self, path: Path) -> None:
        """An empty folder; durable after `sync_folder` of the one above."""
        path.rmdir()

    def overwrite(self, descriptor: int, data: bytes, sync: bool) -> None:
        """The first bytes of an open file; less than a sector, so that it is whole or not at all."""
        os.pwrite(descriptor, data, 0)
        if sync:
            os.fsync(descriptor)
