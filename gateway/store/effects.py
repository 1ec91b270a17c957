"""Effects on their way: claimed before they are tried, done when the ledger says so, tried again when they failed."""

from datetime import datetime, timedelta

from sqlmodel import Session, col, func, select

from gateway.drop.lifecycle import Effect
from gateway.store.ledger import Change
from gateway.store.models import EffectRow

#: the longest pause between two attempts, of which there is no end
LONGEST_PAUSE = timedelta(hours=1)
#: the same for an erasure: identifiers wait for it
LONGEST_ERASE_PAUSE = timedelta(minutes=10)


def due_drops(session: Session, now: datetime, limit: int) -> list[str]:
    """Drops with an effect that is due, longest waiting first."""
    rows = session.exec(
        select(EffectRow.drop)
        .where(col(EffectRow.done_at).is_(None), EffectRow.due_at <= now)
        .group_by(EffectRow.drop)
        .order_by(func.min(EffectRow.due_at))
        .limit(limit)
    )
    return list(rows)


def claim_next(change: Change, drop_id: str) -> EffectRow | None:
    """The drop's effect that is due and was asked for first, marked as being tried; None when nothing is due."""
    effect = change.session.exec(
        select(EffectRow)
        .where(EffectRow.drop == drop_id, col(EffectRow.done_at).is_(None), EffectRow.due_at <= change.now)
        .order_by(col(EffectRow.id))
        .with_for_update()
    ).first()
    if effect is not None:
        effect.claimed_at = change.now
        change.session.add(effect)
    return effect


def finish(change: Change, effect_id: int) -> None:
    effect = change.session.get_one(EffectRow, effect_id)
    effect.done_at = change.now
    change.session.add(effect)


def retry_later(change: Change, effect_id: int, error_code: str) -> EffectRow:
    """Note that an attempt failed, by the error's code only, and when to try again: 1 s, 2 s, 4 s … up to LONGEST_PAUSE, or for an erasure
    LONGEST_ERASE_PAUSE."""
    effect = change.session.get_one(EffectRow, effect_id)
    effect.attempts += 1
    effect.last_error = error_code
    longest = LONGEST_ERASE_PAUSE if effect.kind == Effect.ERASE else LONGEST_PAUSE
    effect.due_at = change.now + min(timedelta(seconds=2 ** min(effect.attempts - 1, 12)), longest)
    change.session.add(effect)
    change.audit("effect.failed", effect.drop, result="error", effect=effect.kind, error=error_code, attempts=effect.attempts)
    return effect
