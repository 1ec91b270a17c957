"""For machines of hypothesis: a new home each time one begins, on SQLite or on PostgreSQL, without making keys and tables each time."""

import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeAlias

import pytest
from sqlmodel import SQLModel

from gateway.store.config import Configuration, Database
from gateway.store.home import Home, create_home
from gateway.store.ledger import Change
from tests.support.crashing import MEMORY
from tests.support.ledgers import Clock

#: `fresh(clock, fill)`: a home at that time with the rows that `fill` adds; the one before is closed
Fresh: TypeAlias = Callable[[Clock, Callable[[Change], None]], Home]


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def fresh(request: pytest.FixtureRequest) -> Iterator[Fresh]:
    """The test runs once on SQLite and once on PostgreSQL."""
    with _homes(request.getfixturevalue("postgres_url") if request.param == "postgresql" else "") as homes:
        yield homes


@contextmanager
def _homes(database: str) -> Iterator[Fresh]:
    with tempfile.TemporaryDirectory(dir=MEMORY) as room:
        template, path = Path(room) / "template", Path(room) / "home"
        last = create_home(template, Configuration(database=Database(url=database)), Clock())
        last.ledger.engine.dispose()

        def make(clock: Clock, fill: Callable[[Change], None]) -> Home:
            nonlocal last
            last.ledger.engine.dispose()
            shutil.rmtree(path, ignore_errors=True)
            shutil.copytree(template, path)
            last = Home.open(path, clock)
            with last.ledger.change("test") as change:
                if database:
                    for table in reversed(SQLModel.metadata.sorted_tables):
                        change.session.execute(table.delete())
                fill(change)
            return last

        yield make
        last.ledger.engine.dispose()
