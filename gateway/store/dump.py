"""The ledger's rows as lines of JSON, for a backup: the same from SQLite and from PostgreSQL, and nothing of rows that were deleted.

A row is an object of its columns. Points in time are UTC in ISO 8601, bytes are base64, the rest is JSON as it is. Columns go by
their names, so that an older dump can be loaded into tables of its own revision, which are migrated then.
"""

import base64
import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from typing import Any

from sqlalchemy import Connection, Date, DateTime, Engine, Integer, LargeBinary, MetaData, Table, func, insert, select, text
from sqlalchemy.types import TypeDecorator, TypeEngine
from sqlmodel import SQLModel

from gateway.store import models  # noqa: F401  (fills SQLModel.metadata)

#: who is logged in at the moment is no part of what a gateway knows
LEFT_OUT = frozenset({"portal_session"})
#: a piece of a dump is about so long [bytes]; bounds memory, not correctness
PIECE_BYTES = 4 << 20
#: rows read, and inserted, in one go
BATCH = 1_000


@contextmanager
def snapshot(engine: Engine) -> Iterator[Connection]:
    """A connection to which the ledger stands still, while others go on changing it."""
    options = {} if engine.dialect.name == "sqlite" else {"isolation_level": "REPEATABLE READ"}
    with engine.connect().execution_options(**options) as connection, connection.begin():
        yield connection


def revision_of(connection: Connection) -> str:
    """Of which migration the tables are."""
    return str(connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one())


def dump(connection: Connection) -> Iterator[tuple[str, bytes]]:
    """Every table but LEFT_OUT in pieces, each with the table's name; a table that others refer to comes before them."""
    for table in SQLModel.metadata.sorted_tables:
        if table.name in LEFT_OUT:
            continue
        piece = bytearray()
        rows = connection.execution_options(yield_per=BATCH).execute(select(table).order_by(*table.primary_key.columns))
        for row in rows.mappings():
            piece += json.dumps(dict(row), default=_encoded, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"
            if len(piece) >= PIECE_BYTES:
                yield table.name, bytes(piece)
                piece.clear()
        yield table.name, bytes(piece)


def _encoded(value: Any) -> str:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, bytes | memoryview):
        return base64.b64encode(value).decode()
    raise TypeError(f"a {type(value).__name__} has no place in a dump")


def load(connection: Connection, pieces: Iterable[tuple[str, bytes]]) -> int:
    """Insert what `dump` gave, in its order, into the empty tables that `connection` has; answers how many rows. ValueError, TypeError,
    KeyError or sqlalchemy's errors when they are not of these tables."""
    tables = MetaData()
    tables.reflect(connection)
    count = 0
    for name, piece in pieces:
        table = tables.tables[name]
        lines = piece.splitlines()
        for start in range(0, len(lines), BATCH):
            connection.execute(insert(table), [_row(table, json.loads(line)) for line in lines[start : start + BATCH]])
        count += len(lines)
    if connection.dialect.name == "postgresql":
        for table in tables.sorted_tables:
            _go_on_counting(connection, table)
    return count


def is_empty(connection: Connection) -> bool:
    """Whether there is no row in any table of the ledger, or there are no tables yet."""
    found = MetaData()
    found.reflect(connection)
    ours = [found.tables[name] for name in SQLModel.metadata.tables if name in found.tables]
    return all(connection.execute(select(func.count()).select_from(table)).scalar_one() == 0 for table in ours)


def _row(table: Table, given: Any) -> dict[str, Any]:
    if not isinstance(given, dict):
        raise TypeError("a row is an object of its columns")
    return {name: _decoded(table.c[name].type, value) for name, value in given.items()}


def _decoded(kind: TypeEngine[Any], value: Any) -> Any:
    if isinstance(kind, TypeDecorator):
        kind = kind.impl_instance
    if value is None:
        return None
    if isinstance(kind, DateTime):
        return datetime.fromisoformat(value).astimezone(UTC)
    if isinstance(kind, Date):
        return date.fromisoformat(value)
    if isinstance(kind, LargeBinary):
        return base64.b64decode(value, validate=True)
    return value


def _go_on_counting(connection: Connection, table: Table) -> None:
    """PostgreSQL counts a serial column by itself, and must go on after what was inserted with its number."""
    key = list(table.primary_key.columns)
    if len(key) == 1 and isinstance(key[0].type, Integer):
        highest = select(func.max(key[0])).scalar_subquery()
        connection.execute(select(func.setval(func.pg_get_serial_sequence(f'"{table.name}"', key[0].name), highest)))
