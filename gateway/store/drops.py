"""Questions about drops, and the facts that the worker's stages state about them."""

from datetime import datetime

from sqlmodel import Session, col, select

from gateway.drop.lifecycle import Raw, State
from gateway.store.models import Drop, DropSchool, RegisterVersion


def drops(session: Session, campaign: str | None = None, vendor: str | None = None) -> list[Drop]:
    """All drops, oldest first, of a campaign or a vendor when named."""
    statement = select(Drop).order_by(col(Drop.received_at), col(Drop.id))
    if campaign is not None:
        statement = statement.where(Drop.campaign == campaign)
    if vendor is not None:
        statement = statement.where(Drop.vendor == vendor)
    return list(session.exec(statement))


def drop_schools(session: Session, drop_id: str) -> list[DropSchool]:
    return list(session.exec(select(DropSchool).where(DropSchool.drop == drop_id).order_by(col(DropSchool.school))))


def same_bytes(session: Session, drop: Drop) -> Drop | None:
    """An earlier drop of the same vendor with the very same bytes that was taken: this one would count twice."""
    return session.exec(
        select(Drop)
        .where(
            Drop.vendor == drop.vendor,
            Drop.folder == drop.folder,
            Drop.sha256 == drop.sha256,
            Drop.id != drop.id,
            col(Drop.state).in_([State.ACCEPTED, State.LINKED, State.REGISTERED]),
        )
        .order_by(col(Drop.received_at))
    ).first()


def holding(session: Session, before: datetime | None = None) -> list[Drop]:
    """Drops whose delivered bytes may still be on disk; with `before`, those whose window has ended by then. Soonest first."""
    statement = select(Drop).where(Drop.raw != Raw.ERASED).order_by(col(Drop.erase_before), col(Drop.id))
    if before is not None:
        statement = statement.where(Drop.erase_before <= before)
    return list(session.exec(statement))


def live_register(session: Session, kind: str) -> RegisterVersion | None:
    """The newest version of a register: `schools`, `persons` or `background`."""
    return session.exec(
        select(RegisterVersion)
        .where(RegisterVersion.kind == kind, col(RegisterVersion.live).is_(True))
        .order_by(col(RegisterVersion.id).desc())
    ).first()
