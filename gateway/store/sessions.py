"""Sessions of the portal, on the server's side. The browser holds a random token; here stands its SHA-256 only."""

from datetime import datetime, timedelta

from sqlmodel import Session, col, delete, or_

from gateway.store.ledger import Change
from gateway.store.models import PortalSession

#: `last_seen_at` is written at most this often: a page view should not cost a write
SEEN_EVERY = timedelta(minutes=1)


def open_session(change: Change, token_sha256: str, board: str, csrf: str) -> None:
    """A new session of `board`; the login it comes from is audited by whoever checked it."""
    change.session.add(PortalSession(token_sha256=token_sha256, board=board, csrf=csrf, created_at=change.now, last_seen_at=change.now))


def living_session(session: Session, token_sha256: str, now: datetime, idle: timedelta, longest: timedelta) -> PortalSession | None:
    """The session, unless it was idle for `idle` or began `longest` ago."""
    found = session.get(PortalSession, token_sha256)
    if found is None or now - found.last_seen_at >= idle or now - found.created_at >= longest:
        return None
    return found


def seen(change: Change, token_sha256: str) -> None:
    """The session was used just now; nothing happens if it has ended meanwhile."""
    found = change.session.get(PortalSession, token_sha256)
    if found is not None:
        found.last_seen_at = change.now
        change.session.add(found)


def close_session(change: Change, token_sha256: str) -> None:
    """End one session; fine when it has ended already."""
    found = change.session.get(PortalSession, token_sha256)
    if found is not None:
        change.session.delete(found)
        change.audit("portal.logout", found.board)


def close_all(change: Change, board: str) -> None:
    """End every session of a board."""
    change.session.exec(delete(PortalSession).where(col(PortalSession.board) == board))


def close_everybodys(change: Change) -> None:
    """End every session there is."""
    change.session.exec(delete(PortalSession))


def sweep(change: Change, idle: timedelta, longest: timedelta) -> None:
    """Remove sessions that have ended by time."""
    change.session.exec(
        delete(PortalSession).where(
            or_(col(PortalSession.last_seen_at) <= change.now - idle, col(PortalSession.created_at) <= change.now - longest)
        )
    )
