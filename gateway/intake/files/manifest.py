"""What the ledger will be told of a drop; on disk beside its sealed key, so that the next start can tell it too."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from gateway.store.deliveries import Arrival
from gateway.store.drop_keys import facts_of, sealed_key_of, with_facts
from keys.secret import Secret


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
    #: SHA-256 of what must be on disk for the delivery to be whole: the sealed key; the ciphertext of a small file (of a large one it was
    #: synced before the manifest was written, and this is empty)
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


def with_manifest(manifest: Manifest, sealed: Secret) -> Secret:
    """What is kept under the drop's id."""
    return with_facts(json.dumps(vars(manifest)), sealed.reveal())


def read_manifest(kept: Secret) -> Manifest | None:
    """The manifest of a delivery whose key is whole; None when any of it was cut off while it was written."""
    try:
        manifest = Manifest(**json.loads(facts_of(kept)))
    except (ValueError, TypeError):
        return None
    return manifest if hashlib.sha256(sealed_key_of(kept)).hexdigest() == manifest.sealed else None
