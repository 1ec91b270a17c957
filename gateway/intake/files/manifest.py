"""What the ledger will be told of a drop; on disk beside its blob until the ledger knows."""

from dataclasses import dataclass
from datetime import date, datetime, timedelta

from gateway.drop.lifecycle import Raw, State
from gateway.store.models import Drop


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

    def drop(self, window_days: int) -> Drop:
        received_at = datetime.fromisoformat(self.received_at)
        return Drop(
            id=self.id,
            vendor=self.vendor,
            folder=self.folder,
            file_name=self.file_name,
            state=State.RECEIVED,
            raw=Raw.HELD,
            bytes=self.bytes,
            sha256=self.sha256,
            received_at=received_at,
            epoch=date.fromisoformat(self.epoch),
            erase_before=received_at + timedelta(days=window_days),
        )
