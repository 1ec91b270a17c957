"""What the intake asks the ledger about what was delivered, and how it tells it: many deliveries in one transaction.

Plain values rather than objects: one by one through the session a drop costs the ledger some milliseconds, in a batch a tenth.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, cast

from sqlalchemy import func, insert, select, tuple_
from sqlmodel import Session, SQLModel, col

from gateway.drop.lifecycle import ON_ENTRY, Effect, Event, Raw, State
from gateway.store.ledger import Change
from gateway.store.models import AuditRow, Drop, EffectRow, Vendor

#: parameters of one statement: SQLite takes 32,766
_AT_ONCE = 500


@dataclass(frozen=True)
class Delivered:
    """A name that was delivered."""

    file_name: str
    state: str
    bytes: int
    received_at: float  # [s since 1970]

    @property
    def final(self) -> bool:
        """Whether the name is used up. Only a truncated delivery may be sent again under its name."""
        return self.state != State.INCOMPLETE


@dataclass(frozen=True)
class Standing:
    """What the ledger says of one vendor: its own limits, what it delivered on a day (UTC), what of it is not erased."""

    limits: dict[str, int]
    day_files: int
    day_bytes: int
    store_files: int
    store_bytes: int


#: vendor, folder and name
_Name = tuple[str, str, str]


@dataclass(frozen=True)
class Arrival:
    """A drop that is durable on disk, and who brought it."""

    id: str
    vendor: str
    folder: str
    file_name: str
    bytes: int
    sha256: str
    received_at: datetime
    epoch: date
    erase_before: datetime
    request: str
    notices: Sequence[str]
    origin: str
    adopted: bool  # found on disk after a crash

    @property
    def name(self) -> _Name:
        return self.vendor, self.folder, self.file_name


_SHOWN = (col(Drop.file_name), col(Drop.state), col(Drop.bytes), col(Drop.received_at))


def delivery_of(session: Session, vendor: str, folder: str, file_name: str) -> Delivered | None:
    """The newest delivery of that vendor under that name."""
    found = session.execute(
        select(*_SHOWN)
        .where(col(Drop.vendor) == vendor, col(Drop.folder) == folder, col(Drop.file_name) == file_name)
        .order_by(col(Drop.received_at).desc(), col(Drop.id).desc())
        .limit(1)
    ).first()
    return None if found is None else _delivered(*found)


def newest_deliveries(session: Session, vendor: str, folder: str, limit: int) -> list[Delivered]:
    """A vendor's newest deliveries in a folder, newest first; at most `limit`."""
    found = session.execute(
        select(*_SHOWN)
        .where(col(Drop.vendor) == vendor, col(Drop.folder) == folder)
        .order_by(col(Drop.received_at).desc(), col(Drop.id).desc())
        .limit(limit)
    )
    return [_delivered(*row) for row in found]


def _delivered(file_name: str, state: str, size: int, received_at: datetime) -> Delivered:
    return Delivered(file_name, state, size, received_at.timestamp())


def delivered_names(session: Session, vendor: str) -> Iterable[tuple[str, str]]:
    """Folder and name of everything a vendor ever delivered."""
    found = session.execute(select(col(Drop.folder), col(Drop.file_name)).where(col(Drop.vendor) == vendor))
    return ((folder, name) for folder, name in found)


def limits_of(session: Session, vendor: str) -> dict[str, int]:
    """What differs from `[intake]` for a vendor."""
    return dict(session.execute(select(col(Vendor.limits)).where(col(Vendor.name) == vendor)).scalar() or {})


def standing_of(session: Session, vendor: str, day: date) -> Standing:
    """How much of its limits a vendor has used."""
    start = datetime.combine(day, time(), UTC)
    counts = func.count(), func.coalesce(func.sum(col(Drop.bytes)), 0)
    today = select(*counts).where(
        col(Drop.vendor) == vendor, col(Drop.received_at) >= start, col(Drop.received_at) < start + timedelta(days=1)
    )
    stored = select(*counts).where(col(Drop.vendor) == vendor, col(Drop.raw) != Raw.ERASED)
    return Standing(limits_of(session, vendor), *map(int, session.execute(today).one()), *map(int, session.execute(stored).one()))


def receive_all(change: Change, arrivals: Sequence[Arrival]) -> None:
    """New drops, each with its audit entries and effects; those that the ledger has already are left as they are.

    A truncated delivery under the same name ends as replaced. One under a name that is used up is kept too: somebody may have been told
    that it was received; the entry in the audit log says so (`name-taken`).
    """
    session = change.session
    known = _known(session, [arrival.id for arrival in arrivals])
    new = [arrival for arrival in arrivals if arrival.id not in known]
    if not new:
        return
    earlier = _earlier(session, {arrival.name for arrival in new})
    entries: list[dict[str, Any]] = []
    for arrival in new:
        before = earlier.get(arrival.name)
        taken = before is not None and before[1] != State.INCOMPLETE
        if before is not None and not taken:
            _replace(change, before[0], arrival.id)
        earlier[arrival.name] = arrival.id, State.RECEIVED
        if arrival.adopted or taken:
            result = "name-taken" if taken else "ok"
            entries.append(change.entry("drop.adopted", arrival.id, result, actor="intake", origin="local", vendor=arrival.vendor))
        entries.append(_entry(change, arrival))
    session.flush()
    _insert(session, Drop, [_row(arrival) for arrival in new])
    _insert(session, AuditRow, entries)
    _insert(session, EffectRow, [_effect(change, arrival, effect) for arrival in new for effect in ON_ENTRY[State.RECEIVED]])


def _known(session: Session, ids: Sequence[str]) -> set[str]:
    found: set[str] = set()
    for start in range(0, len(ids), _AT_ONCE):
        found.update(session.execute(select(col(Drop.id)).where(col(Drop.id).in_(ids[start : start + _AT_ONCE]))).scalars())
    return found


def _earlier(session: Session, names: set[_Name]) -> dict[_Name, tuple[str, str]]:
    """Id and state of the newest drop under each of the names."""
    columns = col(Drop.vendor), col(Drop.folder), col(Drop.file_name)
    ordered = sorted(names)
    found: dict[_Name, tuple[str, str]] = {}
    for start in range(0, len(ordered), _AT_ONCE):
        rows = session.execute(
            select(*columns, col(Drop.id), col(Drop.state))
            .where(tuple_(*columns).in_(ordered[start : start + _AT_ONCE]))
            .order_by(col(Drop.received_at), col(Drop.id))
        )
        found.update({(vendor, folder, name): (identity, state) for vendor, folder, name, identity, state in rows})
    return found


def _replace(change: Change, identity: str, by: str) -> None:
    drop = change.session.get(Drop, identity)
    assert drop is not None
    change.advance(drop, Event.REPLACED, by=by)


def _entry(change: Change, arrival: Arrival) -> dict[str, Any]:
    return change.entry(
        "drop.received",
        arrival.id,
        actor=f"vendor:{arrival.vendor}",
        origin=arrival.origin,
        vendor=arrival.vendor,
        folder=arrival.folder,
        bytes=arrival.bytes,
        sha256=arrival.sha256,
        epoch=arrival.epoch.isoformat(),
    )


def _row(arrival: Arrival) -> dict[str, Any]:
    """A drop as `Ledger.receive` would make it."""
    row = {**vars(arrival), "state": State.RECEIVED.value, "raw": Raw.HELD.value, "notices": list(arrival.notices)}
    del row["origin"], row["adopted"]
    return {**row, "counts": {}, "findings": [], "findings_total": 0, "waiting_for": []}


def _effect(change: Change, arrival: Arrival, effect: Effect) -> dict[str, Any]:
    return {"drop": arrival.id, "kind": effect.value, "due_at": change.now, "attempts": 0, "last_error": ""}


def _insert(session: Session, table: type[SQLModel], rows: Sequence[dict[str, Any]]) -> None:
    """One statement for all of them; the database numbers those that want a number."""
    if rows:
        session.execute(insert(cast(Any, table).__table__), list(rows))
