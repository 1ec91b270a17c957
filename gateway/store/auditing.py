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
from audit.log import AuditLog
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
    with _one_at_a_time(home.path / "audit"):
        log = home.audit_log()
        done = _heal(home, log)
        while True:
            with home.ledger.view() as session:
                waiting = session.exec(select(AuditRow).where(col(AuditRow.leaf).is_(None)).order_by(col(AuditRow.id)).limit(BATCH)).all()
            if not waiting:
                return done
            places = log.append([entry_of(row).to_bytes() for row in waiting])
            with home.ledger.change("log") as change:
                numbered = [{"id": row.id, "leaf": place} for row, place in zip(waiting, places, strict=True)]
                change.session.execute(update(AuditRow), numbered)
            done += len(waiting)


def _heal(home: Home, log: AuditLog) -> int:
    """Number the rows whose entries the log has already; nothing is appended before that, or such an entry would be found no more."""
    log.append(())  # settles an append that was killed with its checkpoint signed and not yet in place: it grows the log by its entries
    with home.ledger.view() as session:
        recorded = session.exec(select(func.max(AuditRow.leaf))).one()
    done, size = 0, log.size
    for start in range(0 if recorded is None else recorded + 1, size, BATCH):
        stop = min(start + BATCH, size)
        places = {Entry.from_bytes(data).id: start + at for at, data in enumerate(log.entries(start, stop))}
        with home.ledger.change("log") as change:
            waiting = change.session.exec(select(AuditRow.id).where(col(AuditRow.leaf).is_(None), col(AuditRow.id).in_(places))).all()
            if waiting:
                change.session.execute(update(AuditRow), [{"id": name, "leaf": places[name]} for name in waiting])
        done += len(waiting)
    return done
