"""From the ledger to the Merkle log: entries are written with the change they tell of, and numbered here.

A crash between the log and the database is healed: the log is asked first which entries it already has. What was written to the log
alone (`log_directly`: an end of a key while the database was away, or everything since a backup) becomes rows of the ledger then. Only a
process that holds the log's signing key (the worker, an administrator) does this; the edge roles only write rows.
"""

import fcntl
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import update
from sqlmodel import Session, col, func, select

from audit.canonical import Json
from audit.entry import Entry
from audit.log import AuditLog
from gateway.store.home import Home
from gateway.store.ledger import entry_id, entry_of
from gateway.store.models import AuditRow

#: entries appended in one go; bounds memory, not correctness
BATCH = 5_000


@contextmanager
def _one_at_a_time(folder: Path) -> Iterator[None]:
    with (folder / ".sequencing").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def log_directly(home: Home, entries: Sequence[Entry]) -> None:
    """Append to the log without the ledger, for what must not wait for the database; `sequence` tells the ledger once it is back.

    It takes no part in `sequence`'s lock: that is held by whoever waits for the database.
    """
    home.audit_log().append([entry.to_bytes() for entry in entries])


def entry_now(home: Home, actor: str, action: str, object: str, result: str = "ok", **detail: Json) -> Entry:
    """An entry for `log_directly`: what `Change.audit` would say now."""
    now = home.clock()
    return Entry(entry_id(now, 0), now, actor, "local", action, object, result, detail)


def sequence(home: Home) -> int:
    """Append every waiting entry to the log, in the order of their time; answers how many there were."""
    log = home.audit_log()
    with home.ledger.view() as session:
        waits = session.exec(select(AuditRow.id).where(col(AuditRow.leaf).is_(None)).limit(1)).first() is not None
        if not waits and log.size == _known(session):
            return 0
    with _one_at_a_time(home.path / "audit"):
        done, size = _heal(home, log)
        while True:
            with home.ledger.view() as session:
                waiting = session.exec(select(AuditRow).where(col(AuditRow.leaf).is_(None)).order_by(col(AuditRow.id)).limit(BATCH)).all()
            if not waiting:
                return done
            places = log.append([entry_of(row).to_bytes() for row in waiting])
            with home.ledger.change("log") as change:
                _take_up(change.session, log, size, places.start)  # what was logged directly since we looked
                numbered = [{"id": row.id, "leaf": place} for row, place in zip(waiting, places, strict=True)]
                change.session.execute(update(AuditRow), numbered)
            done, size = done + len(waiting), places.stop


def _known(session: Session) -> int:
    """Up to which index of the log the ledger has its entries."""
    newest = session.exec(select(func.max(AuditRow.leaf))).one()
    return 0 if newest is None else newest + 1


def _heal(home: Home, log: AuditLog) -> tuple[int, int]:
    """Number the rows whose entries the log has already, and add those that it alone has; nothing is appended before that, or such an
    entry would be found no more. Answers how many rows were numbered, and up to which index of the log the ledger has its entries now."""
    log.append(())  # settles an append that was killed with its checkpoint signed and not yet in place: it grows the log by its entries
    with home.ledger.view() as session:
        known = _known(session)
    done, size = 0, log.size
    for start in range(known, size, BATCH):
        with home.ledger.change("log") as change:
            done += _take_up(change.session, log, start, min(start + BATCH, size))
    return done, size


def _take_up(session: Session, log: AuditLog, start: int, stop: int) -> int:
    """The log's entries from `start` up to `stop` are the ledger's, numbered; answers how many of them waited there."""
    entries = [Entry.from_bytes(data) for data in log.entries(start, stop)]
    places = {entry.id: start + at for at, entry in enumerate(entries)}
    rows = dict(session.exec(select(AuditRow.id, AuditRow.leaf).where(col(AuditRow.id).in_(places))).all())
    waiting = [name for name, leaf in rows.items() if leaf is None]
    if waiting:
        session.execute(update(AuditRow), [{"id": name, "leaf": places[name]} for name in waiting])
    session.add_all(_row(entry, places[entry.id]) for entry in entries if entry.id not in rows)
    return len(waiting)


def _row(entry: Entry, leaf: int) -> AuditRow:
    return AuditRow(
        id=entry.id,
        time=entry.time,
        actor=entry.actor,
        origin=entry.origin,
        action=entry.action,
        object=entry.object,
        result=entry.result,
        detail=dict(entry.detail),
        leaf=leaf,
    )
