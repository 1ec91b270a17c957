"""What the intake asks the ledger about names that were delivered."""

from sqlmodel import Session, col, select

from gateway.drop.lifecycle import State
from gateway.store.models import Drop


def latest_delivery(session: Session, vendor: str, folder: str, file_name: str) -> Drop | None:
    """The newest drop of that vendor under that name."""
    return session.exec(
        select(Drop)
        .where(Drop.vendor == vendor, Drop.folder == folder, Drop.file_name == file_name)
        .order_by(col(Drop.received_at).desc(), col(Drop.id).desc())
    ).first()


def name_is_taken(drop: Drop | None) -> bool:
    """Whether a name with this newest drop is used up. Only a truncated delivery may be sent again under its name."""
    return drop is not None and drop.state != State.INCOMPLETE


def deliveries(session: Session, vendor: str, folder: str, limit: int) -> list[Drop]:
    """A vendor's newest drops in a folder, newest first; at most `limit`."""
    return list(
        session.exec(
            select(Drop)
            .where(Drop.vendor == vendor, Drop.folder == folder)
            .order_by(col(Drop.received_at).desc(), col(Drop.id).desc())
            .limit(limit)
        )
    )
