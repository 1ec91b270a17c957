"""Who is it? Board number and password, from the form or from HTTP Basic; and the sessions that follow a login."""

import asyncio
import base64
import hashlib
import re
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date

from starlette.concurrency import run_in_threadpool

from gateway.portal.attempts import ACCOUNT, ADDRESS, Attempts, neighbourhood
from gateway.portal.rights import Rights
from gateway.store import credentials, sessions
from gateway.store.models import PortalSession
from keys import passwords
from policies.calendar import day_of

#: Longer texts are no password of ours; they are cut before anything is computed [characters]
LONGEST_PASSWORD = 200
#: Logins that may wait for their turn, per turn there is; more are told to come back.
QUEUE_PER_TURN = 25

_BOARD = re.compile(r"[0-9]{1,5}")


@dataclass(frozen=True)
class Admitted:
    board: str


@dataclass(frozen=True)
class Wrong:
    """The name or the password is wrong; nobody is told which."""


@dataclass(frozen=True)
class Expired:
    """The password was right, and valid until this day."""

    until: date


@dataclass(frozen=True)
class Later:
    """Too many attempts; not looked at."""

    seconds: int


Admission = Admitted | Wrong | Expired | Later


class Doorkeeper:
    """Checks passwords: so many at once, with back-off, and in the same time whether the board exists or not."""

    def __init__(self, rights: Rights, clock: Callable[[], float] = time.monotonic) -> None:
        self._rights = rights
        self._clock = clock
        self._accounts = Attempts(ACCOUNT)
        self._addresses = Attempts(ADDRESS)
        self._turns = asyncio.Semaphore(rights.concurrent_logins)
        self._waiting = 0

    async def admit(self, typed_board: str, password: str, origin: str, how: str) -> Admission:
        """Whether this is a board. Every answer but Later is written down as `portal.login` (`how`: form or basic)."""
        board = board_number(typed_board)
        place = neighbourhood(origin)
        now = self._clock()
        wait = max(self._accounts.wait(board, now), self._addresses.wait(place, now))
        if wait > 0:
            return Later(int(wait) + 1)
        if self._waiting >= self._rights.concurrent_logins * QUEUE_PER_TURN:
            return Later(5)
        self._accounts.begin(board, now)
        self._addresses.begin(place, now)
        self._waiting += 1
        try:
            async with self._turns:
                admission = await run_in_threadpool(self._check, board, password[:LONGEST_PASSWORD], origin, how)
        finally:
            self._waiting -= 1
        if isinstance(admission, Admitted | Expired):
            self._accounts.succeeded(board)
            self._addresses.succeeded(place)
        return admission

    def _check(self, board: str, password: str, origin: str, how: str) -> Admission:
        ledger = self._rights.ledger
        with ledger.view() as session:
            credential = credentials.living(session, board)
        right = passwords.verify(password, credential.password_hash if credential else passwords.DUMMY_HASH)
        with ledger.change(f"board {board}" if credential and right else "portal", origin) as change:
            if credential is None or credential.id is None or not right:
                credentials.login_refused(change, board, how, "name or password wrong")
                return Wrong()
            if day_of(change.now) > credential.valid_until:
                credentials.login_refused(change, board, how, "expired")
                return Expired(credential.valid_until)
            if not credentials.logged_in(change, credential.id, how):
                return Wrong()
            return Admitted(board)


def board_number(typed: str) -> str:
    """A board number as it is written in the register; `unknown` for anything else, so that no log ever shows what it was."""
    plain = passwords.normalise(typed[:LONGEST_PASSWORD])
    return plain.zfill(5) if _BOARD.fullmatch(plain) else "unknown"


def basic_credentials(header: str) -> tuple[str, str] | None:
    """Name and password of an `Authorization: Basic` header (RFC 7617, UTF-8); None when it is not one."""
    scheme, _, encoded = header.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        name, colon, password = base64.b64decode(encoded.strip(), validate=True).decode("utf-8").partition(":")
    except ValueError:  # not base64, not ASCII, or not UTF-8 inside
        return None
    return (name, password) if colon else None


class Sessions:
    """Sessions on the server's side; the browser has a random token only."""

    def __init__(self, rights: Rights) -> None:
        self._rights = rights

    def open(self, board: str, origin: str, former_token: str | None) -> str:
        """A new session for `board` in place of the browser's former one; the token for its cookie."""
        token = secrets.token_urlsafe(32)
        with self._rights.ledger.change(f"board {board}", origin) as change:
            sessions.sweep(change, self._rights.idle, self._rights.longest)
            if former_token:
                sessions.close_session(change, _fingerprint(former_token))
            sessions.open_session(change, _fingerprint(token), board, secrets.token_urlsafe(24))
        return token

    def find(self, token: str | None) -> PortalSession | None:
        """The living session of this token; using it keeps it alive."""
        if not token:
            return None
        rights = self._rights
        now = rights.ledger.clock()
        with rights.ledger.view() as session:
            found = sessions.living_session(session, _fingerprint(token), now, rights.idle, rights.longest)
        if found is not None and now - found.last_seen_at >= sessions.SEEN_EVERY:
            with rights.ledger.change(f"board {found.board}") as change:
                sessions.seen(change, found.token_sha256)
        return found

    def close(self, token: str, origin: str) -> None:
        with self._rights.ledger.change("portal", origin) as change:
            sessions.close_session(change, _fingerprint(token))


def _fingerprint(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
