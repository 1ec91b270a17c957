"""A ledger with tables, on SQLite and on PostgreSQL, and the rows that most tests of the store want.

tests/unit/conftest.py makes the fixtures known.
"""

import shutil
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlmodel import SQLModel, select

from gateway.drop.ids import drop_id
from gateway.drop.lifecycle import Event
from gateway.store.campaigns import create_campaign
from gateway.store.config import Configuration
from gateway.store.database import open_database, upgrade
from gateway.store.home import Home, create_home
from gateway.store.ledger import Change, Ledger
from gateway.store.models import AuditRow, Board, Drop, EffectRow, Mandate, School, Vendor

START = datetime(2026, 2, 20, 9, 0, tzinfo=UTC)
CAMPAIGN = "2026-M"
DEADLINE = date(2026, 1, 15)
#: school → board, as `populate` makes them
SCHOOLS = {"01AA00": "10001", "01AB00": "10001", "02BB00": "10002"}


@dataclass
class Clock:
    now: datetime = START

    def __call__(self) -> datetime:
        return self.now

    def forward(self, **by: float) -> None:
        self.now += timedelta(**by)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(scope="session")
def sqlite_tables(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tables") / "tables.sqlite"
    _make_tables(f"sqlite:///{path}")
    return path


@pytest.fixture(scope="session")
def postgres_tables(pg: Any) -> str:
    url: str = pg.url(pg.create_database())
    _make_tables(url)
    return url


def _make_tables(url: str) -> None:
    engine = open_database(url)
    upgrade(engine)
    engine.dispose()


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def ledger_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A database with this version's tables: the test runs once on SQLite and once on PostgreSQL."""
    if request.param == "sqlite":
        path = tmp_path / "sluis.sqlite"
        shutil.copy(request.getfixturevalue("sqlite_tables"), path)
        yield f"sqlite:///{path}"
        return
    url: str = request.getfixturevalue("postgres_tables")
    engine = open_database(url)
    with engine.begin() as connection:  # emptied rather than made anew: a database costs a second
        for table in reversed(SQLModel.metadata.sorted_tables):
            connection.execute(table.delete())
    engine.dispose()
    yield url


@pytest.fixture
def ledger(ledger_url: str, clock: Clock) -> Iterator[Ledger]:
    engine = open_database(ledger_url)
    yield Ledger(engine, clock)
    engine.dispose()


@pytest.fixture
def lite(sqlite_tables: Path, tmp_path: Path, clock: Clock) -> Iterator[Ledger]:
    """A ledger on SQLite only, for what has nothing to do with the database."""
    path = tmp_path / "lite.sqlite"
    shutil.copy(sqlite_tables, path)
    engine = open_database(f"sqlite:///{path}")
    yield Ledger(engine, clock)
    engine.dispose()


@pytest.fixture(scope="session")
def home_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("template") / "home"
    create_home(folder, Configuration()).ledger.engine.dispose()
    return folder


@pytest.fixture
def home_folder(home_template: Path, tmp_path: Path) -> Path:
    """A home as `sluis init` makes it: a copy, since keys take time."""
    return Path(shutil.copytree(home_template, tmp_path / "home"))


@pytest.fixture
def home(home_folder: Path) -> Iterator[Home]:
    """The same, opened, with today's clock."""
    opened = Home.open(home_folder)
    yield opened
    opened.ledger.engine.dispose()


# ---------------------------------------------------------------- rows


def populate(change: Change) -> None:
    """Two boards with three schools, two vendors, a campaign whose days lie around START."""
    for vendor in ("cito", "parnassys"):
        change.session.add(Vendor(name=vendor, created_at=change.now))
    for number in sorted(set(SCHOOLS.values())):
        change.session.add(Board(number=number, name=f"Stichting {number}"))
    for code in SCHOOLS:
        change.session.add(School(code=code, name=f"Basisschool {code}"))
    change.session.flush()
    for code, board in SCHOOLS.items():
        change.session.add(Mandate(school=code, board=board, valid_from=date(2010, 8, 1)))
    create_campaign(
        change, CAMPAIGN, DEADLINE, date(2026, 1, 22), date(2026, 2, 15), date(2026, 4, 1), datetime(2026, 6, 1, 7, 0, tzinfo=UTC)
    )


def a_drop(at: datetime, number: int = 0, **changes: Any) -> Drop:
    """A drop as the intake hands it to the ledger; `number` makes its id."""
    usual: dict[str, Any] = {
        "id": drop_id(at, number.to_bytes(10, "big")),
        "vendor": "cito",
        "folder": "leveringen",
        "file_name": f"levering-{number}.csv.age",
        "state": "received",
        "raw": "held",
        "bytes": 1234,
        "sha256": f"{number:064x}",
        "received_at": at,
        "epoch": at.astimezone(UTC).date(),
        "erase_before": at + timedelta(days=21),
    }
    return Drop(**{**usual, **changes})


def received(ledger: Ledger, number: int = 0, *events: Event, at: datetime | None = None, **changes: Any) -> Drop:
    """A drop in the ledger that had these events."""
    with ledger.change("intake", origin="cito") as change:
        drop = a_drop(at or change.now, number, **changes)
        change.receive(drop)
        for event in events:
            change.advance(drop, event)
    return drop


def audit_rows(ledger: Ledger, action: str = "") -> list[AuditRow]:
    with ledger.view() as session:
        return [row for row in session.exec(select(AuditRow).order_by(AuditRow.id)) if row.action.startswith(action)]


def effects_of(ledger: Ledger, drop: str, waiting: bool = True) -> list[str]:
    """The kinds of a drop's effects in the order in which they were asked for; `waiting`: only those that are not done."""
    with ledger.view() as session:
        rows = session.exec(select(EffectRow).where(EffectRow.drop == drop).order_by(EffectRow.id)).all()
    return [row.kind for row in rows if not (waiting and row.done_at)]


def everything(url: str) -> dict[str, list[tuple[Any, ...]]]:
    """Every row of every table of a SQLite database, to see that nothing changed."""
    with sqlite3.connect(url.removeprefix("sqlite:///")) as connection:
        names = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")]
        return {name: connection.execute(f"SELECT * FROM {name} ORDER BY 1, 2").fetchall() for name in names if name != "sqlite_sequence"}
