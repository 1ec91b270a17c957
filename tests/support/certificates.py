"""An erasure certificate as the worker signs it, of a made-up drop in a log of some hundred entries."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from audit.certificate import ACTION, DeadKey, Erasure, certificate
from audit.entry import Entry
from gateway.drop.certificate import NOTES, SANITISED_BY, statements
from tests.support.audit_logs import entries, log_of, signer

DROP = "d20261102-abcdefghijklmnop"
RECEIVED = datetime(2026, 11, 2, 8, 15, 0, 250_000, UTC)
ERASED = RECEIVED + timedelta(days=2)
EPOCH_ENDED = ERASED + timedelta(hours=5)

ERASURE = Erasure(
    drop=DROP,
    vendor="parnassys",
    sha256="0f1e2d3c4b5a6978" * 4,
    bytes=111_222_333,
    received_at=RECEIVED,
    linked_at=ERASED - timedelta(minutes=1),
    erased_at=ERASED,
    erase_before=RECEIVED + timedelta(days=21),
    reason="linked",
    software="Sluis 0.1.0",
    sanitised_by=SANITISED_BY["worker"],
    organisation="De Autoriteit",
    address="Postbus 1, 2490 HA Den Haag",
    contact="info@sluis.example",
    keys=[DeadKey("drop", DROP, "AES-256-CTR", ERASED), DeadKey("epoch", "2026-11-02", "X25519", EPOCH_ENDED)],
    verification=statements(epoch_ended=True),
    notes=NOTES,
)


def certified(folder: Path, epoch_lives: bool = False, log_size: int = 310, **changes: Any) -> dict[str, Any]:
    """The signed certificate; `epoch_lives`: of a drop whose day's key has not ended yet. `folder` takes the log."""
    erasure = replace(ERASURE, **changes)
    if epoch_lives:
        epoch = DeadKey("epoch", "2026-11-02", "X25519", None, until=datetime(2026, 11, 24, tzinfo=UTC))
        erasure = replace(erasure, keys=[erasure.keys[0], epoch], verification=statements(epoch_ended=False))
    entry = Entry("0006414c0b2d40-00001-9f8e7d6c", ERASED, "worker", "local", ACTION, erasure.drop, "ok", {"sha256": erasure.sha256})
    log = log_of(folder, [300])
    log.append([entry.to_bytes(), *entries(301, log_size)])
    return certificate(erasure, log.entry(300), log.inclusion_proof(300), signer())
