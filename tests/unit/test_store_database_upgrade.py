"""A home of an earlier version becomes one of this version: nothing of it is lost, on SQLite and on PostgreSQL."""

import re
import sqlite3
from datetime import UTC, datetime
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from sqlalchemy import Engine, inspect, text
from sqlmodel import Session, SQLModel

from gateway.store.database import _driver, is_current, open_database, upgrade
from gateway.store.models import Drop, Vendor, VendorKey
from policies.errors import Unsound

HOMES = Path(__file__).parent.parent / "vectors" / "homes"
VERSIONS = sorted(path.stem for path in HOMES.glob("*.sql"))
DROP = "d20260220-aaaaaaaaaaaaaaaa"


def migrate(engine: Engine, revision: str) -> None:
    """To an older version too, which the product never does by itself."""
    config = Config()
    config.set_main_option("script_location", "gateway.store:migrations")
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        (command.upgrade if engine.dialect.name == "postgresql" else command.downgrade)(config, revision)


def load(engine: Engine, version: str) -> None:
    """An old home's database: the file as it was, or on PostgreSQL its tables by the old migrations and then its rows."""
    dump = (HOMES / f"{version}.sql").read_text()
    if engine.dialect.name == "sqlite":
        with sqlite3.connect(str(engine.url.database)) as connection:
            connection.executescript(dump)
        return
    migrate(engine, version)
    rows = re.findall(r'^INSERT INTO "(\w+)" VALUES.*;$', dump, re.MULTILINE)
    lines = {name: [line for line in dump.splitlines() if line.startswith(f'INSERT INTO "{name}" ')] for name in rows}
    with engine.begin() as connection:
        for table in SQLModel.metadata.sorted_tables:
            for line in lines.get(table.name, []):
                connection.exec_driver_sql(line)


@pytest.fixture(params=VERSIONS)
def version(request: pytest.FixtureRequest) -> str:
    found: str = request.param
    return found


@pytest.fixture
def old(database_url: str, version: str) -> Engine:
    engine = open_database(database_url)
    load(engine, version)
    assert not is_current(engine)
    return engine


def test_an_old_home_keeps_its_rows_and_gets_what_is_new(old: Engine, version: str) -> None:
    upgrade(old)
    assert is_current(old)
    with Session(old) as session:
        drop, vendor = session.get_one(Drop, DROP), session.get_one(Vendor, "cito")
        key = session.get_one(VendorKey, 1)
        assert (drop.file_name, drop.bytes, drop.counts, drop.waiting_for) == ("levering-0.csv.age", 1234, {"rows": 3}, ["objections"])
        had = version != "0001"
        assert (drop.request, drop.notices) == (("u-1", ["limit-day-files"]) if had else ("", []))
        assert vendor.limits == ({"day_files_per_vendor": 10} if had else {})
        assert session.get_one(Vendor, "boom").removed_at == datetime(2026, 2, 21, 9, tzinfo=UTC)
        assert (key.sources, key.verify_required, key.valid_from, key.valid_until) == (["192.0.2.0/24"], False, None, None)
        drop.bytes = 20 << 30  # more than PostgreSQL's plain integer holds
        session.commit()
    with old.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM drop_school")).scalar_one() == 1
        assert connection.execute(text("SELECT count(*) FROM effect")).scalar_one() == 1
        had_keys = version >= "0003"
        assert connection.execute(text("SELECT count(*) FROM recipient_key")).scalar_one() == had_keys
        assert connection.execute(text("SELECT count(*) FROM objection")).scalar_one() == had_keys
        assert connection.execute(text("SELECT touched_at, objection_register FROM report")).all() == [(None, None)] * had_keys
        for table in ("vendor_signing_key", "objection_person", "pending_withdrawal", "replacement"):
            assert connection.execute(text(f"SELECT count(*) FROM {table}")).scalar_one() == 0
    old.dispose()


def test_its_tables_are_then_those_of_a_new_home(old: Engine) -> None:
    upgrade(old)
    with old.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        assert compare_metadata(context, SQLModel.metadata) == []
        assert inspect(connection).get_foreign_keys("drop_school")
    old.dispose()


def test_references_are_watched_again_after_the_upgrade(sqlite_url: str, version: str) -> None:
    engine = open_database(sqlite_url)
    load(engine, version)
    upgrade(engine)
    with engine.connect() as connection:
        assert _driver(connection).execute("PRAGMA foreign_keys").fetchone() == (1,)
    engine.dispose()


def test_a_row_that_refers_to_nothing_stops_the_upgrade_and_changes_nothing(sqlite_url: str) -> None:
    engine = open_database(sqlite_url)
    load(engine, "0001")
    with sqlite3.connect(str(engine.url.database)) as connection:
        connection.execute('DELETE FROM "drop"')
    with pytest.raises(Unsound) as refusal:
        upgrade(engine)
    assert refusal.value.code == "database-inconsistent"
    assert not is_current(engine) and not inspect(engine).has_table("vendor_ca")
    engine.dispose()


def test_the_way_back_brings_the_old_tables(sqlite_url: str, version: str) -> None:
    engine = open_database(sqlite_url)
    upgrade(engine)
    migrate(engine, version)
    with sqlite3.connect(":memory:") as connection:
        connection.executescript((HOMES / f"{version}.sql").read_text())
        before = {
            name: connection.execute(f'SELECT name, type, "notnull" FROM pragma_table_info({name!r})').fetchall()
            for name in tables(connection)
        }
    with sqlite3.connect(str(engine.url.database)) as connection:
        after = {
            name: connection.execute(f'SELECT name, type, "notnull" FROM pragma_table_info({name!r})').fetchall()
            for name in tables(connection)
        }
    assert after == before
    engine.dispose()


def tables(connection: sqlite3.Connection) -> list[str]:
    return [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")]
