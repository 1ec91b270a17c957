"""kill -9 of the portal during a download, and of a publication at every durable step: the same bytes and bundles, nothing orphaned."""

import base64
import hashlib
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from http.client import HTTPException, HTTPResponse, HTTPSConnection
from pathlib import Path
from signal import SIGKILL

import pytest
from sqlmodel import select

from gateway.cli.publishing import publish_campaign
from gateway.store.config import Configuration, Portal
from gateway.store.home import Home
from gateway.store.models import AuditRow, Bundle, Download
from keys.chunked import Reader
from tests.support.boards import CAMPAIGN, PUBLISH_FROM, START, add_report, make_boards
from tests.support.crash_plays import open_home
from tests.support.crashing import Child, Nursery, left_behind, wait_until
from tests.support.intake import free_port
from tests.support.portal_server import trusting
from tests.support.steps import Point, Step, killed_at, points_of

pytestmark = [pytest.mark.crash, pytest.mark.slow]

SCHOOLS = {"11111": ["01AA00", "01AA01"], "22222": ["02BB00"], "33333": ["03CC00"]}
ZIP = f"/rapporten/11111/{CAMPAIGN}/Rapportages.zip"
#: how far off the real clock these homes are, before and after the moment from which boards see their bundles [s]
BEFORE, AFTER = ((moment - datetime.now(UTC)).total_seconds() for moment in (START, PUBLISH_FROM))


@contextmanager
def opened(path: Path) -> Iterator[Home]:
    home = open_home(path, BEFORE)
    try:
        yield home
    finally:
        home.ledger.engine.dispose()


# ---------------------------------------------------------------- publication


@dataclass(frozen=True)
class Publication:
    """A home before a publication or a withdrawal, and what it is after one that nobody disturbed."""

    nursery: Nursery
    before: Path
    play: str
    named: dict[str, object]
    steps: list[Step]
    bundles: list[tuple[object, ...]]
    files: set[str]

    @classmethod
    def of(cls, nursery: Nursery, before: Path, play: str, **named: object) -> "Publication":
        named |= {"shift": BEFORE, "campaign": CAMPAIGN}
        home = copied(nursery, before)
        child = nursery.start(play, home, **named)
        assert child.wait() == 0
        return cls(nursery, before, play, named, child.steps, bundles_of(home), files_of(home))

    def run(self, point: Point | None = None) -> int:
        return self.nursery.start(self.play, self.nursery.room / "home", point, **self.named).wait()


def copied(nursery: Nursery, before: Path) -> Path:
    home = nursery.room / "home"
    shutil.rmtree(home, ignore_errors=True)
    shutil.copytree(before, home)
    return home


def files_of(home: Path) -> set[str]:
    return {name for name in left_behind(home, "audit") if not name.endswith(".lock")}


def bundles_of(path: Path) -> list[tuple[object, ...]]:
    """Every bundle as the ledger has it; those that live are opened, and are what the ledger says."""
    with opened(path) as home, home.ledger.view() as session:
        rows = session.exec(select(Bundle).order_by(Bundle.id)).all()
        for row in rows:
            assert home.mortal.exists("bundles", row.id) == (row.withdrawn_at is None)
            if row.withdrawn_at is None:
                with (home.bundles / row.file).open("rb") as file:
                    reader = Reader(home.mortal.read("bundles", row.id), row.id, file)
                    data = b"".join(reader.read_range(0, reader.size))
                assert (len(data), hashlib.sha256(data).hexdigest()) == (row.bytes, row.sha256)
        return [(row.id, row.version, row.reason, row.sha256, row.withdrawn_at is not None) for row in rows]


def told_of(path: Path) -> list[tuple[str, str]]:
    """What the log has to say of bundles: (action, bundle), in order of their names."""
    with opened(path) as home, home.ledger.view() as session:
        rows = session.exec(select(AuditRow)).all()
    return sorted((row.action, str(row.detail["bundle"])) for row in rows if row.action.startswith("bundle."))


@pytest.fixture(scope="module")
def first(nursery: Nursery) -> Path:
    """Three boards with reports and no bundle yet."""
    folder = nursery.room / "first"
    make_boards(folder, SCHOOLS).home.ledger.engine.dispose()
    return folder


@pytest.fixture(scope="module")
def second(nursery: Nursery) -> Path:
    """The same, published, and then two boards' reports were made anew."""
    boards = make_boards(nursery.room / "second", SCHOOLS)
    publish_campaign(boards.home, CAMPAIGN)
    for school in ("01AA00", "02BB00"):
        add_report(boards, CAMPAIGN, school, content=b"%PDF-1.7 beter " + school.encode())
    boards.home.ledger.engine.dispose()
    return boards.home.path


def killed_at_every_step(publication: Publication) -> None:
    """Whatever the step was, doing it again ends as if nothing had happened, and every bundle's end is told once."""
    home = copied(publication.nursery, publication.before)
    assert publication.run() == 0
    told = told_of(home)
    for step, point in points_of(publication.steps):
        copied(publication.nursery, publication.before)
        with killed_at(step, point):
            assert publication.run(point) == -SIGKILL
            assert publication.run() == 0
            assert bundles_of(home) == publication.bundles
            assert files_of(home) == publication.files, "no orphan key or file"
            assert told_of(home) == told
            with opened(home) as found:
                assert not found.mortal.unfinished("bundles")


def test_a_publication_killed_at_every_step(nursery: Nursery, first: Path) -> None:
    publication = Publication.of(nursery, first, "publish", reason="")
    assert len(publication.bundles) == 3 and len(publication.steps) > 15
    killed_at_every_step(publication)


def test_a_new_version_killed_at_every_step(nursery: Nursery, second: Path) -> None:
    publication = Publication.of(nursery, second, "publish", reason="aangevuld")
    assert [gone for *_, gone in publication.bundles] == [True, False, True, False, False]
    killed_at_every_step(publication)


def test_a_withdrawal_killed_at_every_step(nursery: Nursery, second: Path) -> None:
    publication = Publication.of(nursery, second, "withdraw")
    assert all(gone for *_, gone in publication.bundles)
    killed_at_every_step(publication)


# ---------------------------------------------------------------- download


@dataclass(frozen=True)
class Served:
    """A portal with one board's bundle of some megabytes."""

    nursery: Nursery
    home: Path
    port: int
    password: str
    sha256: str

    def serve(self, point: Point | None = None) -> Child:
        child = self.nursery.start("serve_portal", self.home, point, shift=AFTER)
        wait_until(self._answers)
        return child

    def _answers(self) -> bool:
        with suppress(OSError), opened(self.home) as home:
            connection = HTTPSConnection("127.0.0.1", self.port, timeout=20, context=trusting(home))
            connection.connect()
            connection.close()
            return True
        return False

    def get(self, headers: Mapping[str, str] | None = None) -> HTTPResponse:
        with opened(self.home) as home:
            connection = HTTPSConnection("127.0.0.1", self.port, timeout=20, context=trusting(home))
        basic = base64.b64encode(f"11111:{self.password}".encode()).decode()
        connection.request("GET", ZIP, headers={"Authorization": f"Basic {basic}", **(headers or {})})
        return connection.getresponse()

    def downloads(self) -> list[int]:
        with opened(self.home) as home, home.ledger.view() as session:
            rows = session.exec(select(Download).order_by(Download.id)).all()
            told = [row for row in session.exec(select(AuditRow)) if row.action == "bundle.downloaded"]
        assert len(told) == len(rows)
        return [row.bytes for row in rows]


@pytest.fixture(scope="module")
def served(nursery: Nursery) -> Served:
    port = free_port()
    boards = make_boards(nursery.room / "served", {"11111": ["01AA00"]}, Configuration(portal=Portal(port=port)))
    add_report(boards, CAMPAIGN, "01AA00", content=b"%PDF-1.7" + os.urandom(20_000_000))
    publish_campaign(boards.home, CAMPAIGN)
    boards.give_credentials("11111")
    boards.home.ledger.engine.dispose()
    return Served(nursery, boards.home.path, port, boards.passwords["11111"], boards.bundle("11111").sha256)


def test_a_download_goes_on_after_the_portal_was_killed(served: Served) -> None:
    child = served.serve()
    answer = served.get()
    assert answer.status == 200
    etag, size = answer.headers["ETag"], int(answer.headers["Content-Length"])
    got = answer.read(3_000_000)
    child.kill()
    with suppress(OSError, HTTPException):  # what was under way in the network may still come
        while data := answer.read(65_536):
            got += data
    assert 3_000_000 <= len(got) < size
    child = served.serve()
    answer = served.get({"Range": f"bytes={len(got)}-", "If-Range": etag})
    assert (answer.status, answer.headers["Content-Range"]) == (206, f"bytes {len(got)}-{size - 1}/{size}")
    whole = got + answer.read()
    child.terminate()
    assert hashlib.sha256(whole).hexdigest() == served.sha256


@pytest.mark.parametrize("after", [False, True], ids=["before it is written down", "when it is written down"])
def test_killed_where_a_download_is_written_down(served: Served, after: bool) -> None:
    """Not one byte goes out that is not written down; one that is written down may not have gone out."""
    before = served.downloads()
    # the login is the first commit of the request
    child = served.serve(Point(pattern="commit sluis", nth=2, after=after))
    with pytest.raises((OSError, HTTPException)):
        served.get()
    assert child.wait() == -SIGKILL
    assert len(served.downloads()) == len(before) + after
    child = served.serve()
    data = served.get().read()
    child.terminate()
    assert hashlib.sha256(data).hexdigest() == served.sha256
    assert served.downloads()[len(before) + after :] == [len(data)]
