"""What the tests of the audit log share: a fixed key, small logs, and disks that fail."""

import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from audit import merkle
from audit.disk import Disk
from audit.log import AuditLog
from audit.note import Signer

ORIGIN = "example.org/sluis/audit"

#: Where tests put logs of which the steps are judged, not the disk's speed; None: where temporary files always go.
MEMORY = Path("/dev/shm") if os.access("/dev/shm", os.W_OK) else None


def signer(name: str = ORIGIN, seed: int = 7) -> Signer:
    return Signer(name, Ed25519PrivateKey.from_private_bytes(bytes([seed]) * 32))


def log_of(folder: Path, sizes: Sequence[int] = (), disk: Disk | None = None) -> AuditLog:
    """A log with appends of these sizes; entry number n is `entries(n, n + 1)`."""
    log = AuditLog(folder, ORIGIN, signer(), disk)
    at = 0
    for size in sizes:
        assert log.append(entries(at, at + size)) == range(at, at + size)
        at += size
    return log


def entries(start: int, stop: int) -> list[bytes]:
    """Distinct, of several lengths."""
    return [b'{"n":%d,"s":"%s"}' % (n, b"abcdefghijk"[: n % 11]) for n in range(start, stop)]


def root_of(leaves: bytes) -> bytes:
    """MTH (RFC 6962 section 2.1) over the leaf hashes of a whole tree, as a log comes to it."""
    return merkle.fold(merkle.peaks(leaves))


class Dead(BaseException):
    """The process died here; not an Exception, so that nothing of the product can go on after it."""


class FailingDisk(Disk):
    """Does what a disk does until step number `at`; that one ends by `fail`, after having been carried out or not.

    A step is one write, sync, rename or unlink. `at` None: never; `steps` then tells how many there are.
    """

    def __init__(self, at: int | None, done: bool, fail: type[BaseException]) -> None:
        self.at, self.done, self.fail = at, done, fail
        self.steps = 0

    def _step(self, work: Callable[[], None]) -> None:
        self.steps += 1
        if self.steps - 1 != self.at:
            work()
            return
        if self.done:
            work()
        raise self.fail(5, "injected")

    def create(self, path: Path, data: bytes) -> None:
        self._step(lambda: _torn(path, data))  # what a crash in the middle of a write leaves
        path.unlink()
        self._step(lambda: Disk.create(self, path, data))

    def sync_folder(self, path: Path) -> None:
        self._step(lambda: Disk.sync_folder(self, path))

    def replace(self, source: Path, target: Path) -> None:
        self._step(lambda: Disk.replace(self, source, target))

    def remove(self, path: Path) -> None:
        self._step(lambda: Disk.remove(self, path))

    def remove_folder(self, path: Path) -> None:
        self._step(lambda: Disk.remove_folder(self, path))

    def overwrite(self, descriptor: int, data: bytes, sync: bool) -> None:
        self._step(lambda: Disk.overwrite(self, descriptor, data, sync))


def _torn(path: Path, data: bytes) -> None:
    if path.exists():
        raise FileExistsError(path)
    path.write_bytes(data[: len(data) // 2])


class PowerCut(Disk):
    """Keeps beside the folder what would be left of it after a power cut: only what was synced, and the names that were.

    After `cut()` the folder holds just that. A file that was created is there only once its folder was synced as well; a
    rename or unlink that was not followed by a sync of the folder is undone.
    """

    def __init__(self, root: Path, at: int | None = None) -> None:
        self.root = root
        self.at = at
        self.steps = 0
        # names that survive, and their content; what lay there before has long been written
        self.durable: dict[Path, bytes] = {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}
        self.synced = dict(self.durable)  # content that survives if its name does

    def _step(self) -> None:
        if self.steps == self.at:
            raise Dead("power")
        self.steps += 1

    def create(self, path: Path, data: bytes) -> None:
        self._step()
        super().create(path, data)
        self.synced[path] = data

    def sync_folder(self, path: Path) -> None:
        self._step()
        super().sync_folder(path)
        here = set(path.iterdir())
        for gone in [name for name in self.durable if name.parent == path and name not in here]:
            del self.durable[gone]
        for child in here:
            if child.is_file():
                self.durable[child] = self.synced.setdefault(child, b"")

    def replace(self, source: Path, target: Path) -> None:
        self._step()
        super().replace(source, target)
        self.synced[target] = self.synced.pop(source)

    def remove(self, path: Path) -> None:
        self._step()
        super().remove(path)
        self.synced.pop(path, None)

    def overwrite(self, descriptor: int, data: bytes, sync: bool) -> None:
        self._step()
        super().overwrite(descriptor, data, sync)
        if sync:
            path = Path(os.readlink(f"/proc/self/fd/{descriptor}"))
            self.synced[path] = data
            if path in self.durable:
                self.durable[path] = data

    def cut(self, kept: Callable[[Path], bool] = lambda path: False) -> None:
        """Leaves in the folder what a power cut leaves: what was not synced is gone, except where `kept` says it had reached the disk."""
        for path in [path for path in self.root.rglob("*") if path.is_file()]:
            if kept(path):
                self.durable[path] = path.read_bytes()
        for path in [path for path in self.durable if not path.exists()]:
            if kept(path):
                del self.durable[path]
        shutil.rmtree(self.root)
        for folder in sorted(
            {self.root} | {parent for path in self.durable for parent in path.parents if parent.is_relative_to(self.root)}
        ):
            folder.mkdir(exist_ok=True)
        for path, data in self.durable.items():
            path.write_bytes(data)
