"""The audit log: durable, signed entries beside rows that SQLite commits; judging a whole log beside hashing its entries."""

import sqlite3
import tempfile
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path

from audit.entry import Entry
from audit.log import AuditLog
from audit.verification import verify
from tests.bench.runner import Result, compare
from tests.support.audit_logs import ORIGIN, signer

#: entries in one append: what the sequencer takes from the ledger at a time when much happens
BATCH = 200
BATCHES = 20
LONG = 100_000


def entries(start: int, stop: int) -> list[bytes]:
    """As a delivery leaves them."""
    return [
        Entry(
            f"e{number:020}",
            datetime(2026, 2, 1, tzinfo=UTC) + timedelta(seconds=number),
            "vendor:cito",
            "192.0.2.7",
            "drop.received",
            f"d20260201-{number:016}",
            "ok",
            {"bytes": 20_480, "sha256": sha256(str(number).encode()).hexdigest(), "folder": "leveringen"},
        ).to_bytes()
        for number in range(start, stop)
    ]


def appending(folder: Path) -> Result:
    log = AuditLog(folder / "growing", ORIGIN, signer())
    rows = sqlite3.connect(folder / "rows.sqlite", isolation_level=None)
    rows.execute("PRAGMA journal_mode=WAL")
    rows.execute("PRAGMA synchronous=FULL")
    rows.execute("CREATE TABLE entry (number INTEGER PRIMARY KEY, data BLOB)")
    batches = [entries(at, at + BATCH) for at in range(0, BATCH * BATCHES, BATCH)]

    def insert() -> None:
        for batch in batches:
            rows.execute("BEGIN")
            rows.executemany("INSERT INTO entry (data) VALUES (?)", [(data,) for data in batch])
            rows.execute("COMMIT")

    try:
        return compare(
            "audit_append", lambda: [log.append(batch) for batch in batches], "SQLite, WAL, synchronous=FULL", insert,
            unit="entries/s", amount=BATCH * BATCHES, per=False,
        )  # fmt: skip
    finally:
        rows.close()


def judging(folder: Path) -> Result:
    log = AuditLog(folder / "long", ORIGIN, signer())
    data = entries(0, LONG)
    log.append(data)

    def judge() -> None:
        verdict = verify(log.folder, ORIGIN, [signer().verifier])
        assert verdict.sound and verdict.size == LONG

    return compare(
        "audit_verify", judge, "SHA-256 of each entry in memory", lambda: [sha256(b"\0" + entry).digest() for entry in data],
        unit="entries/s", amount=LONG, per=False,
    )  # fmt: skip


def run() -> list[Result]:
    with tempfile.TemporaryDirectory(prefix="sluis-bench-") as name:
        return [appending(Path(name)), judging(Path(name))]
