"""The ledger of a home that is being restored: a SQLite of its own until nothing is left to do, only then the database where it will live.

So a restore that fails has touched no database; one that is killed at the very end has filled an empty one, in one transaction.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError
from sqlmodel import col, func, select

from gateway.store.database import checkpoint, open_database, upgrade
from gateway.store.dump import dump, is_empty, load, snapshot
from gateway.store.models import AuditRow
from policies.errors import Refused, Unsound


@dataclass(frozen=True)
class Known:
    """Which of the log's entries the backup's ledger has: those before `size`, and of later ones those with an id in `waiting`."""

    size: int
    waiting: frozenset[str]


def build(folder: Path, engine: Engine, migration: str) -> Known:
    """Load the dump below `folder`/ledger, whose tables are of `migration`, into the empty SQLite of `engine`, bring that up to date, and
    remove the dump.

    Unsound: `backup-damaged`; `database-newer` when a later version made the backup.
    """
    pieces = sorted((folder / "ledger").iterdir())
    upgrade(engine, migration)
    try:
        with engine.execution_options(sluis_change=True).connect() as connection, connection.begin():
            load(connection, ((piece.name.split(".")[1], piece.read_bytes()) for piece in pieces))
    except (SQLAlchemyError, KeyError, ValueError, TypeError, IndexError):  # their texts would repeat rows
        raise Unsound("backup-damaged", "The ledger in this backup does not fit its tables.", "Use another backup.") from None
    upgrade(engine)
    for piece in pieces:
        piece.unlink()
    (folder / "ledger").rmdir()
    with engine.connect() as connection:
        newest = connection.execute(select(func.max(AuditRow.leaf))).scalar_one()
        waiting = connection.execute(select(col(AuditRow.id)).where(col(AuditRow.leaf).is_(None))).scalars()
        return Known(0 if newest is None else newest + 1, frozenset(waiting))


def check_target(url: str) -> None:
    """Refused (`database-not-empty`, `database-unreachable`) when the ledger can't go into that database; "" is the home's own SQLite."""
    if url:
        _with_target(url, _check_empty)


def hand_over(source: Engine, url: str) -> None:
    """Everything in the ledger of `source` is in the database at `url` when this returns, or nothing is."""

    def fill(target: Engine) -> None:
        upgrade(target)
        _check_empty(target)
        with snapshot(source) as rows, target.begin() as connection:
            load(connection, dump(rows))

    _with_target(url, fill)
    checkpoint(source)


def _with_target(url: str, work: Callable[[Engine], None]) -> None:
    try:
        engine = open_database(url)
        try:
            work(engine)
        finally:
            engine.dispose()
    except SQLAlchemyError:  # its text would repeat the address, and the password in it
        raise Refused(
            "database-unreachable", "The database can't be filled.", "Is it running, and is its address right? See --database."
        ) from None


def _check_empty(target: Engine) -> None:
    with target.connect() as connection:
        if not is_empty(connection):
            raise Refused(
                "database-not-empty",
                "The database holds a ledger already.",
                "A ledger is never restored over another: make an empty database, and name it with --database.",
            )
