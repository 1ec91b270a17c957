"""The database behind the ledger: SQLite for one machine that trusts itself, PostgreSQL otherwise.

SQLite is told to overwrite what it deletes (secure_delete), to sync at every commit, and to take its write lock at the start of a
change, so that two processes queue instead of failing half-way. What it answers is checked: a build that ignores
secure_delete is refused.
"""

from typing import Any

from sqlalchemy import Engine, create_engine, event, inspect, text
from sqlalchemy.engine import Connection

from policies.errors import Unsound

#: how long one process waits for another's change [ms]
BUSY_TIMEOUT_MS = 60_000
#: how long PostgreSQL may take to answer a new connection: whoever must end keys in time does not wait for one that is frozen [s]
CONNECT_SECONDS = 10
#: the newest migration (a test compares it with the folder)
HEAD = "0004"


def open_database(url: str) -> Engine:
    """An engine for `url` (`sqlite:///…` or `postgresql+psycopg://…`), with SQLite's safety switches set and asserted."""
    sqlite = url.startswith("sqlite")
    engine = create_engine(url, pool_pre_ping=not sqlite, connect_args={} if sqlite else {"connect_timeout": CONNECT_SECONDS})
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
    return engine


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # the "begin" event below starts transactions, not the driver
    wanted = {
        "journal_mode": ("WAL", "wal"),
        "secure_delete": ("ON", 1),
        "synchronous": ("FULL", 2),
        "foreign_keys": ("ON", 1),
        "temp_store": ("MEMORY", 2),
        "busy_timeout": (str(BUSY_TIMEOUT_MS), BUSY_TIMEOUT_MS),
    }
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT_MS}")
    for name, (value, answer) in wanted.items():
        cursor.execute(f"PRAGMA {name}={value}")
        if (got := cursor.execute(f"PRAGMA {name}").fetchone()[0]) != answer:
            raise Unsound(
                "database-unsafe",
                f"This SQLite does not take {name}={value} (it answers {got}).",
                "Deleted rows could survive on disk: use another SQLite build, or PostgreSQL.",
            )
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    change = connection.get_execution_options().get("sluis_change", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if change else "BEGIN")


def upgrade(engine: Engine, revision: str = "head") -> None:
    """Bring the tables to this version's, or to those of `revision`; does nothing when they are. Unsound (`database-newer`) when a later
    version made them."""
    from alembic import command  # slow to import, and most commands never migrate
    from alembic.config import Config
    from alembic.util.exc import CommandError

    config = Config()
    config.set_main_option("script_location", "gateway.store:migrations")
    with engine.execution_options(sluis_change=True).connect() as connection:
        sqlite = engine.dialect.name == "sqlite"
        if sqlite:  # a table that SQLite can't alter is copied, and dropping the old one would count as deleting what others refer to
            _driver(connection).execute("PRAGMA foreign_keys=OFF")
        try:
            with connection.begin():
                config.attributes["connection"] = connection
                command.upgrade(config, revision)
                if sqlite and connection.exec_driver_sql("PRAGMA foreign_key_check").first() is not None:
                    raise Unsound("database-inconsistent", "Rows of the database refer to rows that are not there.", "Restore a backup.")
        except CommandError:
            raise Unsound(
                "database-newer", "The database has tables of a version that this program does not know.", "Install the version it is of."
            ) from None
        finally:
            if sqlite:
                _driver(connection).execute("PRAGMA foreign_keys=ON")


def _driver(connection: Connection) -> Any:
    """sqlite3's own connection: what is said here stands outside any transaction (this switch is ignored inside one)."""
    return connection.connection.dbapi_connection


def is_current(engine: Engine) -> bool:
    """Whether the tables are this version's."""
    with engine.connect() as connection:
        if not inspect(connection).has_table("alembic_version"):
            return False
        return list(connection.execute(text("SELECT version_num FROM alembic_version")).scalars()) == [HEAD]


def checkpoint(engine: Engine) -> None:
    """Empty SQLite's write-ahead log: with the log alone, deleted rows survive in it. Nothing to do on PostgreSQL."""
    if engine.dialect.name == "sqlite":
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
