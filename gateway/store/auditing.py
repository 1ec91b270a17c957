"""From the ledger to the Merkle log: entries are written with the change they tell of, and numbered here.

A crash between the log and the database is healed: the log is asked first which entries it already has. Only a process that holds
the log's signing key (the worker, an administrator) does this; the edge roles only write rows.
"""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import update
from sqlmodel import col, func, select

from audit.entry import Entry
from gateway.store.home import Home
from gateway.store.ledger import entry_of
from gateway.store.models import AuditRow

#: entries appended in one go; bounds memory, not correctness
BATCH = 5_000


@contextmanager
def _one_at_a_time(folder: Path) -> Iterator[None]:
    with (folder / ".sequencing").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def sequence(home: Home) -> int:
    """Append every waiting entry to the log, in the order of their time; answers how many there were."""
    with home.ledger.view() as session:
        if session.exec(select(AuditRow.id).where(col(AuditRow.leaf).is_(None)).limit(1)).first() is None:
            return 0
    done = 0
    with _one_at_a_time(home.path / "audit"):
        log = home.audit_log()
        while True:
            with home.ledger.view() as session:
                waiting = session.exec(select(AuditRow).where(col(AuditRow.leaf).is_(None)).order_by(col(AuditRow.id)).limit(BATCH)).all()
                recorded = session.exec(select(func.max(AuditRow.leaf))).one()
            if not waiting:
                return done
            known = 0 if recorded is None else recorded + 1
            healed = {Entry.from_bytes(data).id: known + at for at, data in enumerate(log.entries(known, log.size))}
            fresh = [row for row in waiting if row.id not in healed]
            places = dict(healed)
            if fresh:
                places |= zip((row.id for row in fresh), log.append([entry_of(row).to_bytes() for row in fresh]), strict=True)
            with home.ledger.change("log") as change:
                change.session.execute(update(AuditRow), [{"id": row.id, "leaf": places[row.id]} for row in waiting])
            done += len(waiting)
