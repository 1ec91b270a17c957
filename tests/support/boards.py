"""A home with boards, schools and reports, up to the point where bundles are published; and a portal on it."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from httpx import Response
from sqlmodel import select
from starlette.testclient import TestClient

from gateway.cli.credential import issue_credentials
from gateway.portal.app import create_app
from gateway.store.campaigns import create_campaign, enrol
from gateway.store.config import Configuration
from gateway.store.home import Home, create_home
from gateway.store.ledger import Change
from gateway.store.models import AuditRow, Board, Bundle, Mandate, Report, School, Vendor

START = datetime(2026, 6, 1, 10, 0, tzinfo=UTC)
PUBLISH_FROM = datetime(2026, 6, 10, 7, 0, tzinfo=UTC)
REFERENCE = date(2026, 2, 15)
CAMPAIGN = "2026-M"


@dataclass
class Clock:
    now: datetime = START

    def __call__(self) -> datetime:
        return self.now

    def forward(self, **by: float) -> None:
        self.now += timedelta(**by)


@dataclass
class Boards:
    """A home, its clock, and the password of every board that got one."""

    home: Home
    clock: Clock
    passwords: dict[str, str] = field(default_factory=dict)

    def give_credentials(self, *boards: str) -> None:
        for row in issue_credentials(self.home, boards, date(2027, 6, 30), None):
            self.passwords[row["board"]] = row["password"]

    def audit(self, action: str | None = None) -> list[AuditRow]:
        with self.home.ledger.view() as session:
            rows = session.exec(select(AuditRow).order_by(AuditRow.id)).all()
        return [row for row in rows if action in (None, row.action)]

    def bundle(self, board: str, campaign: str = CAMPAIGN) -> Bundle:
        with self.home.ledger.view() as session:
            found = session.exec(select(Bundle).where(Bundle.board == board, Bundle.campaign == campaign).order_by(Bundle.version)).all()
        return found[-1]


def make_boards(folder: Path, schools: dict[str, Sequence[str]], configuration: Configuration | None = None) -> Boards:
    """A new home in `folder` with these boards and their schools, all enrolled, with a growth report of every school."""
    clock = Clock()
    home = create_home(folder, configuration or Configuration(), clock)
    with home.ledger.change("test") as change:
        change.session.add(Vendor(name="volgsysteem", created_at=clock()))
        for board, codes in schools.items():
            change.session.add(Board(number=board, name=f"Stichting {board}"))
            change.session.flush()
            for code in codes:
                add_school(change, code, board)
    boards = Boards(home, clock)
    add_campaign(boards, CAMPAIGN, PUBLISH_FROM, schools)
    return boards


def add_school(change: Change, code: str, board: str, valid_from: date = date(2010, 8, 1), valid_until: date | None = None) -> None:
    if change.session.get(School, code) is None:
        change.session.add(School(code=code, name=f"Basisschool {code}", postcode="2490HA", city="Den Haag"))
        change.session.flush()
    change.session.add(Mandate(school=code, board=board, valid_from=valid_from, valid_until=valid_until))


def add_campaign(boards: Boards, name: str, publish_from: datetime, schools: dict[str, Sequence[str]]) -> None:
    """A campaign in which these boards take part, with a growth report of each school; of the year before when it was published by then."""
    year = REFERENCE.year - (publish_from.date() <= REFERENCE)
    with boards.home.ledger.change("test") as change:
        days = (date(year, 1, 15), date(year, 1, 22), REFERENCE.replace(year=year), date(year, 4, 1))
        create_campaign(change, name, *days, publish_from)
        for board in schools:
            enrol(change, board, name, "volgsysteem", date(year, 1, 5), date(year, 1, 6))
    for codes in schools.values():
        for code in codes:
            add_report(boards, name, code)


def add_report(boards: Boards, campaign: str, school: str, kind: str = "growth", content: bytes | None = None) -> None:
    """A report's file and row; its content names school and campaign, so that a stray byte can be recognised."""
    content = content or (f"%PDF-1.7 geheim {campaign} {school} {kind} ".encode() * 200)
    file = f"{campaign}/{school}-{kind}.pdf"
    path = boards.home.reports / file
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    row = Report(
        campaign=campaign,
        school=school,
        kind=kind,
        file=file,
        sha256=hashlib.sha256(content).hexdigest(),
        bytes=len(content),
        built_at=boards.clock(),
    )
    with boards.home.ledger.change("test") as change:
        change.session.merge(row)


def browser(boards: Boards, sample: Callable[[], bytes] | None = None) -> TestClient:
    """A browser (without a screen) on the portal of this home."""
    return TestClient(
        create_app(boards.home, sample), base_url="https://testserver", follow_redirects=False, headers={"Accept": "text/html"}
    )


def log_in(client: TestClient, board: str, password: str, wanted: str = "") -> Response:
    form = {"bestuur": board, "wachtwoord": password, "naar": wanted}
    return client.post("/", data=form, headers={"Origin": "https://testserver"})
