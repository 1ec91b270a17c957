"""Erasure: what ends an identifier is the end of a key; the file goes after it.

Each step may be repeated, and a crash between two of them leaves "maybe erased", which is done again; it never reads as success
(the intent is in the audit log before, the outcome after).
"""

from datetime import UTC, date, datetime, time, timedelta

from sqlmodel import Session, col, select

from gateway.drop.lifecycle import MAY_ERASE, Effect, Event, Raw, RawEvent, State
from gateway.store.auditing import sequence
from gateway.store.database import checkpoint
from gateway.store.drop_keys import DROP_KEYS
from gateway.store.drops import holding
from gateway.store.durable import unlink_durably
from gateway.store.home import Home
from gateway.store.ledger import drop_of
from gateway.store.models import AuditRow
from keys.durable import is_unfinished
from policies.errors import Unsound

#: how the certificate names what is done (NIST SP 800-88r1, 2.5: cryptographic erase of data that was never stored in plaintext)
METHOD = "cryptographic erase: drop key overwritten and unlinked, then the ciphertext unlinked"


def erase(home: Home, drop_id: str, actor: str = "worker") -> None:
    """End what is left of the delivered bytes of a drop whose state allows it. Does nothing when it is done already."""
    with home.ledger.change(actor) as change:
        drop = drop_of(change.session, drop_id)
        if drop.raw == Raw.ERASED:
            return
        change.advance_raw(drop, RawEvent.ERASURE_BEGUN, method=METHOD)
    sequence(home)  # the intent stands in the log before anything irreversible happens
    if drop.state != State.LINKED and drop.campaign is not None:
        _remove_loose_results(home, drop.campaign, drop_id)
    home.mortal.destroy(DROP_KEYS, drop_id)
    unlink_durably(home.blob(drop_id))
    verify_gone(home, drop_id)
    with home.ledger.change(actor) as change:
        drop = drop_of(change.session, drop_id)
        if drop.raw != Raw.ERASED:
            change.advance_raw(drop, RawEvent.ERASURE_VERIFIED, verified="drop key and ciphertext are absent")
            change.ask(drop_id, Effect.RECEIPT)


def _remove_loose_results(home: Home, campaign: str, drop_id: str) -> None:
    """A worker that was killed while it linked may have left results that never became the ledger's; this drop has none any more."""
    folder, name = home.results / campaign, f"{drop_id}.parquet"
    for path in list(folder.iterdir()) if folder.is_dir() else []:
        if path.name == name or is_unfinished(path.name, name):
            unlink_durably(path)


def verify_gone(home: Home, drop_id: str) -> None:
    """Unsound when the key or the ciphertext can still be found."""
    if home.mortal.exists(DROP_KEYS, drop_id) or home.blob(drop_id).exists():
        raise Unsound(
            "erasure-incomplete", "A drop's key or its bytes are still there after erasure.", "Run `sluis doctor`; erasure is tried again."
        )


def end_window(home: Home, actor: str = "retention") -> list[str]:
    """Expire and erase every drop whose window has ended, linked or not; answers their ids."""
    now = home.clock()
    with home.ledger.view() as session:
        overdue = [drop.id for drop in holding(session, before=now)]
    for drop_id in overdue:
        with home.ledger.change(actor) as change:
            drop = drop_of(change.session, drop_id)
            if State(drop.state) not in MAY_ERASE:
                change.advance(drop, Event.WINDOW_ENDED, erase_before=drop.erase_before.isoformat())
        erase(home, drop_id, actor)
    return overdue


def end_epochs(home: Home, actor: str = "worker") -> list[str]:
    """Destroy the epoch keys whose day is over and whose drops are all gone, and those whose window has ended in any case.

    An epoch is left alone until a day after its own: an upload that was closed at midnight is then surely in the ledger.
    """
    today = home.clock().astimezone(UTC).date()
    with home.ledger.view() as session:
        alive = {drop.epoch for drop in holding(session)}
        begun = _begun_epochs(session)
    ended = []
    for day in sorted({*home.epochs.days(), *begun}):
        over = day + timedelta(days=1) < today
        overdue = overdue_epoch(day, home.clock(), home.config.retention.window_days)
        if over and (day not in alive or overdue):
            with home.ledger.change(actor) as change:
                change.audit("epoch.destruction-begun", day.isoformat(), reason="window ended" if overdue else "last drop erased")
            sequence(home)
            home.epochs.destroy(day)
            with home.ledger.change(actor) as change:
                change.audit("epoch.destroyed", day.isoformat())
            ended.append(day.isoformat())
    if ended:
        checkpoint(home.ledger.engine)
    return ended


def _begun_epochs(session: Session) -> set[date]:
    """Epochs of which the log tells that their end began and not that it was reached: a crash may have come after the last key file."""
    reached = select(AuditRow.object).where(AuditRow.action == "epoch.destroyed")
    begun = select(AuditRow.object).where(AuditRow.action == "epoch.destruction-begun", col(AuditRow.object).not_in(reached))
    return {date.fromisoformat(day) for day in session.exec(begun)}


def overdue_epoch(day: date, now: datetime, window_days: int) -> bool:
    """Whether the retention window of everything received on `day` (UTC) has ended."""
    return now >= datetime.combine(day + timedelta(days=1), time(), UTC) + timedelta(days=window_days)
