"""The ledger: the one commit point. In one transaction the new state, the audit entry and the effects still to do.

Stages state facts; `Change.advance` looks them up in the life-cycle tables and refuses what is not there. Whoever holds a
`Change` may do several things in it: they all become true together when the `with` block ends, or none of them.
"""

import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Engine
from sqlmodel import Session, col, func, select

from audit.entry import Entry
from gateway.drop.lifecycle import ON_ENTRY, Effect, Event, Raw, RawEvent, State, next_raw, next_state
from gateway.store.models import AuditRow, Drop, EffectRow
from policies.errors import NotFound


class Change:
    """One transaction under way, of one actor."""

    def __init__(self, session: Session, now: datetime, actor: str, origin: str) -> None:
        self.session = session
        self.now = now
        self.actor = actor
        self.origin = origin
        self._entries = 0

    def audit(self, action: str, object: str, result: str = "ok", **detail: Any) -> None:
        """Say in the audit log what this change does (BIO2 8.15.01: action, object, result, origin, actor, time).

        `detail`: plain JSON values; Refused when anything in it is shaped like a pupil's number.
        """
        self.session.add(AuditRow(**self.entry(action, object, result, **detail)))

    def entry(
        self, action: str, object: str, result: str = "ok", *, actor: str | None = None, origin: str | None = None, **detail: Any
    ) -> dict[str, Any]:
        """The same as the values of a row, for whoever adds many; `actor` and `origin` when it is not this change's own doing."""
        self._entries += 1
        values: dict[str, Any] = {
            "id": entry_id(self.now, self._entries),
            "time": self.now,
            "actor": self.actor if actor is None else actor,
            "origin": self.origin if origin is None else origin,
            "action": action,
            "object": object,
            "result": result,
            "detail": detail,
        }
        Entry(**values).to_bytes()  # what the log would refuse undoes the change, rather than being found out later
        return values

    def ask(self, drop_id: str, effect: Effect, after: timedelta = timedelta(0)) -> None:
        """Ask for `effect` on a drop, unless it is already waiting; a waiting one moves forward, never back. One that is being carried out
        does not count as waiting: it may have looked before what is now true. On PostgreSQL the waiting one is locked until this change
        ends, so that nobody claims it and looks before what this change says can be seen."""
        due = self.now + after
        for waiting in self._waiting(drop_id, effect):
            waiting.due_at = min(waiting.due_at, due)
            self.session.add(waiting)
            return
        self.session.add(EffectRow(drop=drop_id, kind=effect, due_at=due))

    def _waiting(self, drop_id: str, effect: Effect) -> Sequence[EffectRow]:
        return self.session.exec(
            select(EffectRow)
            .where(
                EffectRow.drop == drop_id, EffectRow.kind == effect, col(EffectRow.done_at).is_(None), col(EffectRow.claimed_at).is_(None)
            )
            .with_for_update()
        ).all()

    def receive(self, drop: Drop) -> None:
        """A new drop: durable on disk before this is called; received for everybody when the change ends."""
        drop.state, drop.raw = State.RECEIVED, Raw.HELD
        self.session.add(drop)
        self.session.flush()
        self.audit(
            "drop.received",
            drop.id,
            vendor=drop.vendor,
            folder=drop.folder,
            bytes=drop.bytes,
            sha256=drop.sha256,
            epoch=drop.epoch.isoformat(),
        )
        self._enter(drop)

    def advance(self, drop: Drop, event: Event, **detail: Any) -> None:
        """The drop's next state after `event`, with its audit entry and effects; Refused when the table has no such step."""
        drop.state = next_state(State(drop.state), event)
        if event is not Event.WINDOW_ENDED:  # then it stays said what it waited for in vain
            drop.waiting_for = []
        self.session.add(drop)
        self.audit(f"drop.{drop.state}", drop.id, event=event.value, **detail)
        self._enter(drop)

    def advance_raw(self, drop: Drop, event: RawEvent, **detail: Any) -> None:
        """The same for what lies on disk."""
        drop.raw = next_raw(State(drop.state), Raw(drop.raw), event)
        if drop.raw == Raw.ERASED:
            drop.erased_at = self.now
        self.session.add(drop)
        self.audit(f"drop.{event.value.replace(' ', '-')}", drop.id, **detail)

    def _enter(self, drop: Drop) -> None:
        for effect in ON_ENTRY[State(drop.state)]:
            self.ask(drop.id, effect)


def entry_id(now: datetime, number: int) -> str:
    """A name for an entry of this moment that nobody else gives; names sort by time, and at one moment by `number`."""
    return f"{int(now.timestamp() * 1_000_000):014x}-{number:05x}-{secrets.token_hex(4)}"


def entry_of(row: AuditRow) -> Entry:
    """The row as the log's entry."""
    return Entry(
        id=row.id,
        time=row.time,
        actor=row.actor,
        origin=row.origin,
        action=row.action,
        object=row.object,
        result=row.result,
        detail=row.detail,
    )


def entries_about(session: Session, actions: Sequence[str]) -> int:
    """How many entries tell of one of these actions: grows by each, so it says whether anything changed since it was last asked."""
    return session.exec(select(func.count()).select_from(AuditRow).where(col(AuditRow.action).in_(actions))).one()


def utc_now() -> datetime:
    return datetime.now(UTC)


class Ledger:
    """Reads by `view`, writes by `change`. Safe to use from several threads and processes."""

    def __init__(self, engine: Engine, clock: Callable[[], datetime] = utc_now) -> None:
        self.engine = engine
        self.clock = clock
        self._changing = engine.execution_options(sluis_change=True)

    @contextmanager
    def view(self) -> Iterator[Session]:
        with Session(self.engine, expire_on_commit=False) as session:
            yield session

    @contextmanager
    def change(self, actor: str, origin: str = "local") -> Iterator[Change]:
        """One transaction: committed when the block ends, undone when it raises."""
        with Session(self._changing, expire_on_commit=False) as session, session.begin():
            yield Change(session, self.clock(), actor, origin)


def drop_of(session: Session, drop_id: str) -> Drop:
    """The drop; NotFound when there is none. On PostgreSQL its row is locked until the change ends."""
    statement = select(Drop).where(Drop.id == drop_id).with_for_update()
    if (drop := session.exec(statement).first()) is None:
        raise NotFound("no-such-drop", "There is no such drop.", "`sluis drop list` shows the ones there are.")
    return drop
