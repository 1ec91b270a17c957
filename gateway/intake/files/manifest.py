"""What the ledger will be told of a drop; on disk beside its blob until the ledger knows."""

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import date, datetime, timedelta
from pathlib import Path

from gateway.store.deliveries import Arrival
from gateway.store.home import Home


@dataclass(frozen=True)
class Manifest:
    """The facts of one delivery, as they were when it became durable."""

    id: str
    upload: str
    vendor: str
    folder: str
    file_name: str
    bytes: int
    sha256: str
    received_at: str
    epoch: str
    request: str = ""
    origin: str = "local"
    notices: Sequence[str] = ()
    #: SHA-256 of what must be on disk beside this for the delivery to be whole: the sealed key; the ciphertext of a small file (of a
    #: large one it was synced before the manifest was written, and this is empty)
    sealed: str = ""
    stored: str = ""

    def arrival(self, window_days: int, adopted: bool) -> Arrival:
        """As the ledger is told of it; `adopted`: found on disk after a crash."""
        return Arrival(
            id=self.id,
            vendor=self.vendor,
            folder=self.folder,
            file_name=self.file_name,
            bytes=self.bytes,
            sha256=self.sha256,
            received_at=self.received,
            epoch=date.fromisoformat(self.epoch),
            erase_before=self.received + timedelta(days=window_days),
            request=self.request,
            notices=self.notices,
            origin=self.origin,
            adopted=adopted,
        )

    @property
    def received(self) -> datetime:
        return datetime.fromisoformat(self.received_at)


def manifest_path(home: Home, drop: str) -> Path:
    return home.drops / f"{drop}.json"


def write_manifest(home: Home, manifest: Manifest) -> int:
    """A new manifest on disk, not synced yet; answers its descriptor, which the caller closes."""
    descriptor = os.open(manifest_path(home, manifest.id), os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o660)
    try:
        view = memoryview(json.dumps(asdict(manifest)).encode())
        while view:
            view = view[os.write(descriptor, view) :]
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def read_manifest(path: Path) -> Manifest | None:
    """The manifest in `path`; None when it was cut off while it was written."""
    try:
        return Manifest(**json.loads(path.read_bytes()))
    except (ValueError, TypeError):
        return None
