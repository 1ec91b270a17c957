"""By which names the audit log tells of a drop, a vendor, a school or a board: for the timeline that a breach has to be answered with."""

from sqlmodel import Session, col, select

from audit.entry import Entry
from gateway.store.ledger import drop_of
from gateway.store.models import Board, Drop, DropSchool, Mandate, School, Vendor
from policies.calendar import day_of
from policies.errors import NotFound


def names_in(entry: Entry) -> set[str]:
    """What an entry names: its object, also with the kind of thing that it is (a day is many things), its actor, and its details."""
    return {entry.object, f"{entry.action.partition('.')[0]}:{entry.object}", entry.actor, *map(str, entry.detail.values())}


def names_of_drop(session: Session, drop_id: str) -> set[str]:
    """The drop, its upload, and the day whose key its own was sealed to. NotFound (`no-such-drop`)."""
    drop = drop_of(session, drop_id)
    return {drop.id, f"epoch:{drop.epoch.isoformat()}", *([drop.request] if drop.request else [])}


def names_of_vendor(session: Session, vendor: str) -> set[str]:
    """The vendor, and what it delivered. NotFound (`no-such-vendor`)."""
    if session.get(Vendor, vendor) is None:
        raise NotFound("no-such-vendor", f"There is no vendor {vendor}.", "See `sluis vendor list`.")
    return {vendor, f"vendor:{vendor}", *session.exec(select(Drop.id).where(Drop.vendor == vendor))}


def names_of_school(session: Session, school: str) -> set[str]:
    """The school, and the drops that held something of it. NotFound (`no-such-school`)."""
    if session.get(School, school) is None:
        raise NotFound("no-such-school", f"There is no school {school}.", "A school has a BRIN and a vestiging: 99AA99.")
    return {school, *session.exec(select(DropSchool.drop).where(DropSchool.school == school))}


def names_of_board(session: Session, board: str) -> set[str]:
    """The board, and the drops that held something of a school while it was the board's. NotFound (`no-such-board`)."""
    if session.get(Board, board) is None:
        raise NotFound("no-such-board", f"There is no board {board}.", "A board has five digits.")
    held = (
        select(col(Drop.id), col(Drop.received_at), col(Mandate.valid_from), col(Mandate.valid_until))
        .join(DropSchool, col(DropSchool.drop) == Drop.id)
        .join(Mandate, col(Mandate.school) == DropSchool.school)
        .where(Mandate.board == board)
    )
    return {board, f"board {board}"} | {
        drop
        for drop, received_at, since, until in session.exec(held)
        if since <= day_of(received_at) and (until is None or day_of(received_at) < until)
    }
