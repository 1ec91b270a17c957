"""A small file system in memory that can be full to the last byte, or read-only."""

import errno
import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

MIB = 1 << 20


class Volume:
    def __init__(self, path: Path) -> None:
        self.path = path
        self._ballast = path / "ballast"

    def fill(self, but: int = 0) -> None:
        """From now on `but` [bytes, a multiple of a page] are free, or nothing at all."""
        with self._ballast.open("ab", buffering=0) as file:
            for piece in (MIB, 4096):
                try:
                    while True:
                        file.write(bytes(piece))
                except OSError as error:
                    assert error.errno == errno.ENOSPC
            assert self.free == 0
            os.ftruncate(file.fileno(), file.seek(0, os.SEEK_END) - but)
        assert self.free == but

    def make_room(self) -> None:
        self._ballast.unlink()

    @property
    def free(self) -> int:
        """What is free [bytes]."""
        told = os.statvfs(self.path)
        return told.f_bavail * told.f_frsize

    def remount(self, how: str) -> None:
        """`ro` or `rw`; nobody may have a file open for writing."""
        subprocess.run(["mount", "-o", f"remount,{how}", str(self.path)], check=True)


@contextmanager
def volume(size: int) -> Iterator[Volume]:
    """A new one of this size [bytes]; only root mounts."""
    with tempfile.TemporaryDirectory(prefix="sluis-volume-") as name:
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size},mode=700", "sluis-test", name], check=True)
        try:
            yield Volume(Path(name))
        finally:
            subprocess.run(["umount", "--lazy", name], check=True)
