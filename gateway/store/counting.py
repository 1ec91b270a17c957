"""Which results count: of the same result in several deliveries of one campaign that of the delivery received last; of one that was taken
back none.

Parts stay whole. What is replaced is left out when results are read (gateway/linker/results.py), so that it counts again when the
later delivery is taken back, in whatever order they were linked.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import delete
from sqlmodel import Session, col, or_, select

from gateway.drop.lifecycle import Effect, Event
from gateway.store.drops import drop_schools
from gateway.store.ledger import Change
from gateway.store.models import Drop, DropSchool, Part, Replacement, School
from gateway.store.touched import touch_reports


@dataclass(frozen=True)
class Live:
    """A part of the results store. `shared`: there are others of its campaign with results of the same schools: where a later one holds
    the same result, this part's does not count."""

    drop: str
    file: str
    sha256: str
    campaign: str
    shared: bool


@dataclass(frozen=True)
class Rival:
    """Another drop's part that may hold the same results as a drop; `later`: it was received later."""

    drop: str
    file: str
    sha256: str
    later: bool


def live_results(session: Session, campaign: str | None = None) -> list[Live]:
    """The parts of which the results store consists now (of one campaign), in the order in which they were received."""
    parts = select(Part, Drop.received_at).join(Drop, col(Drop.id) == Part.drop)
    held = select(Part.drop, Part.campaign, DropSchool.school).join(DropSchool, col(DropSchool.drop) == Part.drop)
    if campaign is not None:
        parts, held = parts.where(Part.campaign == campaign), held.where(Part.campaign == campaign)
    holding: dict[tuple[str, str], list[str]] = defaultdict(list)
    for drop, name, school in session.exec(held.where(col(DropSchool.linked_pupils) > 0)):
        holding[name, school].append(drop)
    shared = {drop for drops in holding.values() if len(drops) > 1 for drop in drops}
    came = sorted(session.exec(parts), key=lambda found: _order(found[1], found[0].drop))
    return [Live(part.drop, part.file, part.sha256, part.campaign, part.drop in shared) for part, _ in came]


def hold_schools(session: Session, drop_ids: Sequence[str]) -> None:
    """Until the change ends nobody else says what counts of the schools in these drops. Call it before a drop is locked.

    On PostgreSQL these are locks on the schools' rows, in the order of their codes. SQLite has one change at a time anyway.
    """
    held = select(DropSchool.school).where(col(DropSchool.drop).in_(drop_ids))
    session.exec(select(School.code).where(col(School.code).in_(held)).order_by(School.code).with_for_update(key_share=True)).all()


def rivals_of(session: Session, drop: Drop) -> list[Rival]:
    """The live parts of the drop's campaign that hold results of one of its schools, whether received earlier or later."""
    schools = select(DropSchool.school).where(DropSchool.drop == drop.id)
    sharing = select(DropSchool.drop).where(col(DropSchool.school).in_(schools), col(DropSchool.linked_pupils) > 0)
    rows = session.exec(
        select(Part, Drop.received_at)
        .join(Drop, col(Drop.id) == Part.drop)
        .where(Part.campaign == drop.campaign, Part.drop != drop.id, col(Part.drop).in_(sharing))
        .order_by(col(Part.drop))
    )
    return [Rival(part.drop, part.file, part.sha256, _order(at, part.drop) > _order(drop.received_at, drop.id)) for part, at in rows]


def _order(received_at: datetime, drop: str) -> tuple[datetime, str]:
    return received_at, drop


def state_replaced(change: Change, drop: Drop, rows: dict[Rival, int]) -> None:
    """Write down how many rows each of two drops loses to the other, now that `drop` is linked, and have both receipts say so."""
    for rival, count in rows.items():
        if count:
            later, earlier = (rival.drop, drop.id) if rival.later else (drop.id, rival.drop)
            change.session.merge(Replacement(later=later, earlier=earlier, rows=count))
            change.audit("results.replaced", earlier, later=later, rows=count)
            change.ask(rival.drop, Effect.RECEIPT)


def replacements(session: Session, drop_id: str) -> list[Replacement]:
    """What the drop replaces and what replaces it, oldest drop first."""
    concerned = or_(col(Replacement.later) == drop_id, col(Replacement.earlier) == drop_id)
    return list(session.exec(select(Replacement).where(concerned).order_by(col(Replacement.earlier), col(Replacement.later))))


def take_back(change: Change, drop: Drop, reason: str, by: str = "") -> None:
    """Withdraw a drop whole: nothing of it counts from the end of this change on, and what it replaced counts again. Its results' file and
    what is left of its bytes go after it. Refused (`illegal-event`) in a state that does not allow it.

    `by`: the drop that asked for it. The caller has called `hold_schools`, and then locked `drop`.
    """
    part = change.session.get(Part, drop.id)
    if part is not None:
        change.session.delete(part)
        schools = [row.school for row in drop_schools(change.session, drop.id) if row.linked_pupils]
        assert drop.linked_at is not None
        touch_reports(change, dict.fromkeys(schools, drop.linked_at))
    forget_replaced(change, drop.id)
    change.advance(drop, Event.WITHDRAWN, reason=reason, by=by or None, was=drop.state, campaign=drop.campaign)


def forget_replaced(change: Change, drop_id: str) -> None:
    """A drop's results are gone: it replaces nothing any more and nothing replaces it; the other receipts say so."""
    for row in replacements(change.session, drop_id):
        change.ask(row.earlier if row.later == drop_id else row.later, Effect.RECEIPT)
    change.session.execute(delete(Replacement).where(or_(col(Replacement.later) == drop_id, col(Replacement.earlier) == drop_id)))
