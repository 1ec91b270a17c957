"""Boards' logins: one living credential per board. A new one ends the one before, and every session that was opened with it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime

from sqlmodel import Session, col, select

from gateway.store.ledger import Change
from gateway.store.models import Board, Credential
from gateway.store.sessions import close_all
from policies.errors import NotFound


@dataclass(frozen=True)
class CredentialStanding:
    """A credential as an administrator sees it; `state` is valid, expired or revoked."""

    board: str
    name: str
    state: str
    issued_at: datetime
    valid_until: date
    last_login_at: datetime | None


def boards_named(session: Session, numbers: Sequence[str] | None) -> list[Board]:
    """The boards with these numbers, or all of the register; NotFound names the first that is not in it."""
    boards = session.exec(select(Board).order_by(col(Board.number))).all()
    if numbers is None:
        return list(boards)
    known = {board.number: board for board in boards}
    for number in numbers:
        if number not in known:
            raise NotFound(
                "no-such-board", f"There is no board {number} in the register.", "A board has 5 digits; see `sluis register schools`."
            )
    return [known[number] for number in dict.fromkeys(numbers)]


def issue(change: Change, board: str, password_hash: str, valid_until: date) -> Credential:
    """The board's new credential, valid up to and including `valid_until`; what it had before is revoked."""
    _end_living(change, board)
    made = Credential(board=board, password_hash=password_hash, issued_at=change.now, valid_until=valid_until)
    change.session.add(made)
    change.audit("credential.issued", board, valid_until=valid_until.isoformat())
    return made


def revoke(change: Change, board: str) -> None:
    """End the board's credential and its sessions; NotFound when it has none."""
    if not _end_living(change, board):
        raise NotFound("no-credential", f"Board {board} has no credential.", "`sluis credential list` shows the ones there are.")
    change.audit("credential.revoked", board)


def _end_living(change: Change, board: str) -> int:
    living = change.session.exec(select(Credential).where(Credential.board == board, col(Credential.revoked_at).is_(None))).all()
    for credential in living:
        credential.revoked_at = change.now
        change.session.add(credential)
    close_all(change, board)
    return len(living)


def living(session: Session, board: str) -> Credential | None:
    """The board's credential that was not revoked; it may have expired (`valid_until`)."""
    statement = select(Credential).where(Credential.board == board, col(Credential.revoked_at).is_(None))
    return session.exec(statement.order_by(col(Credential.issued_at).desc())).first()


def logged_in(change: Change, credential_id: int, how: str) -> bool:
    """Write down a login (`how`: form or basic). False when the credential was revoked while its password was being checked."""
    credential = change.session.exec(select(Credential).where(Credential.id == credential_id).with_for_update()).one()
    if credential.revoked_at is not None:
        return False
    credential.last_login_at = change.now
    change.session.add(credential)
    change.audit("portal.login", credential.board, how=how)
    return True


def login_refused(change: Change, board: str, how: str, reason: str) -> None:
    """Write down a login that failed; `board` as typed if it is 5 digits, else `unknown` (people paste passwords there)."""
    change.audit("portal.login", board, result="refused", how=how, reason=reason)


def standings(session: Session, today: date) -> list[CredentialStanding]:
    """Every board's newest credential, by board number."""
    rows = session.exec(
        select(Credential, Board.name)
        .join(Board, col(Board.number) == Credential.board)
        .order_by(col(Credential.board), col(Credential.issued_at), col(Credential.id))
    )
    newest = {credential.board: (credential, name) for credential, name in rows}
    return [
        CredentialStanding(board, name, _state(credential, today), credential.issued_at, credential.valid_until, credential.last_login_at)
        for board, (credential, name) in newest.items()
    ]


def _state(credential: Credential, today: date) -> str:
    if credential.revoked_at is not None:
        return "revoked"
    return "valid" if today <= credential.valid_until else "expired"
