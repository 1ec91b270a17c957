"""Somebody with the account of one board, who talks to the portal byte by byte: a client library would straighten out what is odd.

Every answer is kept, and all of them are searched: for the other board, for what is not published yet, for pupils.
"""

import base64
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPResponse
from pathlib import Path
from urllib.parse import urlencode

from sqlmodel import select

from gateway.cli.publishing import publish_campaign
from gateway.store.models import Credential
from tests.support.boards import CAMPAIGN, PUBLISH_FROM, Boards, add_campaign, make_boards
from tests.support.canaries import Search, needles
from tests.support.portal_server import running_portal, trusting
from tests.support.pupils import Pupil, delivery, pupils

MINE, OTHER, NOBODY = "11111", "22222", "99999"
SCHOOLS = {MINE: ["01AA00"], OTHER: ["02BB00"]}
LATER, EARLIER = "2026-E", "2025-M"  # not visible to anybody yet; the other board's alone
ZIP = "/rapporten/{}/{}/Rapportages.zip"
COOKIE = "__Host-sluis"


@dataclass
class Answer:
    status: int
    headers: list[tuple[str, str]]
    body: bytes

    def header(self, name: str) -> str:
        return ", ".join(value for key, value in self.headers if key.lower() == name)

    @property
    def kind(self) -> tuple[int, bytes, set[str]]:
        """All that could tell two refusals apart, but for the date."""
        return self.status, self.body, {f"{key}: {value}" for key, value in self.headers if key.lower() != "date"}


@dataclass
class Attack:
    boards: Boards
    port: int
    context: ssl.SSLContext
    got: list[Answer] = field(default_factory=list)

    def send(self, method: str, target: str | bytes, *headers: str | bytes, body: bytes = b"", cookie: str = "") -> Answer:
        """One request in exactly these bytes, on a connection of its own."""
        lines = [b" ".join((method.encode(), target.encode() if isinstance(target, str) else target, b"HTTP/1.1"))]
        given = [each.encode() if isinstance(each, str) else each for each in headers]
        if not any(each.lower().startswith(b"host:") for each in given):
            lines.append(f"Host: localhost:{self.port}".encode())
        lines += [*given, f"Content-Length: {len(body)}".encode(), b"Connection: close"]
        if cookie:
            lines.append(f"Cookie: {COOKIE}={cookie}".encode())
        with (
            socket.create_connection(("127.0.0.1", self.port), 20) as plain,
            self.context.wrap_socket(plain, server_hostname="localhost") as secure,
        ):
            secure.sendall(b"\r\n".join(lines) + b"\r\n\r\n" + body)
            response = HTTPResponse(secure, method=method.upper())
            response.begin()
            answer = Answer(response.status, response.getheaders(), response.read())
        self.got.append(answer)
        return answer

    def check(self) -> None:
        """Of all answers since the last look, headers and bodies: nothing of the other board, nothing that is not visible yet, no pupil."""
        assert self.got
        bundles = [self.boards.bundle(OTHER, campaign) for campaign in (CAMPAIGN, EARLIER, LATER)] + [self.boards.bundle(MINE, LATER)]
        with self.boards.home.ledger.view() as session:
            hashes = [row.password_hash for row in session.exec(select(Credential))]
        secrets = ["02BB00", f"Stichting {OTHER}", "[database]", *hashes, *(text for one in bundles for text in (one.sha256, one.id))]
        pupil = Search(needles(_exposed()))
        for answer in self.got:
            assert answer.status < 500
            whole = str(answer.headers).encode() + answer.body
            assert [secret for secret in secrets if secret.encode() in whole] == []
            pupil.data(whole, "")
        assert pupil.hits == set()
        self.got.clear()

    def get(self, target: str | bytes, *headers: str | bytes, cookie: str = "") -> Answer:
        return self.send("GET", target, "Accept: text/html", *headers, cookie=cookie)

    def log_in(self, board: str = MINE, password: str | None = None, *headers: str, cookie: str = "") -> Answer:
        form = urlencode({"bestuur": board, "wachtwoord": self.boards.passwords[board] if password is None else password})
        sent = ["Content-Type: application/x-www-form-urlencoded", *(headers or (f"Origin: https://localhost:{self.port}",))]
        return self.send("POST", "/", *sent, body=form.encode(), cookie=cookie)

    def session(self, board: str = MINE) -> str:
        """The cookie of a new session."""
        answer = self.log_in(board)
        assert answer.status == 303
        return answer.header("set-cookie").partition("=")[2].partition(";")[0]

    def basic(self, name: str, password: str) -> str:
        return "Authorization: Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()


def _exposed() -> list[Pupil]:
    return pupils(PUBLISH_FROM.date())[:3]


@contextmanager
def attacked_portal(folder: Path) -> Iterator[Attack]:
    """A portal with two boards; on its home pupils lie in the clear, as they never do, wherever a wrong path could lead."""
    boards = make_boards(folder / "home", SCHOOLS)
    add_campaign(boards, EARLIER, PUBLISH_FROM.replace(year=2025), {OTHER: SCHOOLS[OTHER]})
    add_campaign(boards, LATER, PUBLISH_FROM.replace(month=12), SCHOOLS)
    for campaign in (CAMPAIGN, EARLIER, LATER):
        publish_campaign(boards.home, campaign)
    boards.give_credentials(MINE, OTHER)
    boards.clock.now = PUBLISH_FROM
    for place in ("drops", "results", "registers", "receipts", "incoming", "reports", "public", "bundles", "run"):
        (boards.home.path / place / "leerlingen.csv").write_bytes(delivery(_exposed(), PUBLISH_FROM.date()))
    with running_portal(boards.home) as port:
        yield Attack(boards, port, trusting(boards.home))
