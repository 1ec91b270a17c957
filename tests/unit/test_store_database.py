"""The database: its safety switches on every connection, its tables by migration, and nothing of a deleted row left in a file."""

import sqlite3
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text
from sqlmodel import SQLModel

import gateway.store.database as database
from gateway.store import models  # noqa: F401  (fills SQLModel.metadata)
from gateway.store.database import BUSY_TIMEOUT_MS, HEAD, checkpoint, is_current, open_database, upgrade
from gateway.store.ledger import Ledger
from gateway.store.models import Vendor
from policies.errors import Unsound
from tests.support.ledgers import START

SWITCHES = {
    "journal_mode": "wal", "secure_delete": 1, "synchronous": 2, "foreign_keys": 1, "temp_store": 2, "busy_timeout": BUSY_TIMEOUT_MS,
}  # fmt: skip


def scripts() -> ScriptDirectory:
    config = Config()
    config.set_main_option("script_location", "gateway.store:migrations")
    return ScriptDirectory.from_config(config)


def test_every_connection_has_the_switches(sqlite_url: str) -> None:
    engine = open_database(sqlite_url)
    connections = [engine.connect() for _ in range(3)]  # three at once: three connections of the pool
    try:
        for connection in connections:
            found = {name: connection.exec_driver_sql(f"PRAGMA {name}").scalar_one() for name in SWITCHES}
            assert found == SWITCHES
    finally:
        for connection in connections:
            connection.close()
        engine.dispose()


@pytest.mark.parametrize("name", SWITCHES)
def test_a_build_that_ignores_a_switch_is_refused(name: str, sqlite_url: str) -> None:
    class Cursor:
        def __init__(self, real: Any) -> None:
            self.real = real

        def execute(self, statement: str) -> Any:
            if statement == f"PRAGMA {name}":
                return self.real.execute("SELECT 0")
            return self.real.execute(statement)

        def close(self) -> None:
            self.real.close()

    class Driver:
        def __init__(self, real: Any) -> None:
            self.real, self.isolation_level = real, ""

        def cursor(self) -> Cursor:
            return Cursor(self.real.cursor())

    real = sqlite3.connect(sqlite_url.removeprefix("sqlite:///"))
    with pytest.raises(Unsound) as refusal:
        database._prepare_sqlite(Driver(real), None)
    real.close()
    assert refusal.value.code == "database-unsafe" and name in refusal.value.message and refusal.value.exit_status == 3


def test_a_deleted_rows_bytes_are_in_no_file_after_a_checkpoint(lite: Ledger) -> None:
    path = Path(str(lite.engine.url.database))
    marks = [f"sluisvendor{number:04d}kenmerk" for number in range(300)]

    def found(mark: str) -> bool:
        return any(mark.encode() in file.read_bytes() for file in path.parent.glob(f"{path.name}*"))

    with lite.change("test") as change:
        for mark in marks:
            change.session.add(Vendor(name=mark, created_at=START))
    assert all(map(found, marks)), "the search can't find what is there"
    checkpoint(lite.engine)
    with lite.change("test") as change:
        change.session.execute(text("DELETE FROM vendor"))
    assert any(map(found, marks)), "without a checkpoint they are still in the file"
    checkpoint(lite.engine)
    assert not any(map(found, marks))


def test_a_checkpoint_empties_the_log_and_is_nothing_on_postgresql(ledger: Ledger) -> None:
    with ledger.change("test") as change:
        change.session.add(Vendor(name="v", created_at=START))
    checkpoint(ledger.engine)
    if ledger.engine.dialect.name == "sqlite":
        assert Path(f"{ledger.engine.url.database}-wal").stat().st_size == 0
    with ledger.view() as session:
        assert session.get(Vendor, "v") is not None


def test_the_head_named_in_the_code_is_the_newest_migration() -> None:
    assert scripts().get_heads() == [HEAD]
    assert sorted(revision.revision for revision in scripts().walk_revisions()) == sorted(
        path.name.partition("_")[0] for path in Path(database.__file__).parent.glob("migrations/versions/[0-9]*.py")
    )


def test_the_models_are_what_the_migrations_make(ledger_url: str) -> None:
    engine = open_database(ledger_url)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        assert compare_metadata(context, SQLModel.metadata) == []
    engine.dispose()


def test_an_empty_database_becomes_current_and_stays_so(database_url: str) -> None:
    engine = open_database(database_url)
    assert not is_current(engine)
    upgrade(engine)
    assert is_current(engine)
    with Ledger(engine).change("test") as change:
        change.session.add(Vendor(name="v", created_at=START))
    upgrade(engine)
    assert is_current(engine)
    with Ledger(engine).view() as session:
        kept = session.get(Vendor, "v")
        assert kept is not None and kept.created_at == START
    engine.dispose()


@pytest.mark.parametrize("version", ["0000", "9999"])
def test_tables_of_another_version_are_not_current(lite: Ledger, version: str) -> None:
    with lite.change("test") as change:
        change.session.execute(text("UPDATE alembic_version SET version_num = :version").bindparams(version=version))
    assert not is_current(lite.engine)


def test_a_migration_that_fails_leaves_the_database_empty(sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = open_database(sqlite_url)
    real, calls = Connection.execute, 0

    def failing(self: Connection, *arguments: Any, **named: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 12:
            raise RuntimeError("power cut")
        return real(self, *arguments, **named)

    with monkeypatch.context() as patch:
        patch.setattr(Connection, "execute", failing)
        with pytest.raises(RuntimeError):
            upgrade(engine)
    with engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall() == []
    upgrade(engine)
    assert is_current(engine)
    engine.dispose()
