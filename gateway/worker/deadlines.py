"""Warnings ahead of a deadline, 7, 3 and 1 days before identifiers end that are still waiting for something; and what the vendor's receipt
says of the window's end."""

from collections import defaultdict
from typing import Any

import structlog
from sqlmodel import Session, col, select

from gateway.drop import remarks
from gateway.drop.lifecycle import Effect, Event, Raw, State
from gateway.store.drops import holding
from gateway.store.home import Home
from gateway.store.ledger import drop_of
from gateway.store.models import AuditRow, Campaign, Drop
from policies.retention import warning_due

log = structlog.get_logger()

ACTION = "drop.deadline-near"


def warn_of_deadlines(home: Home, actor: str = "worker") -> list[str]:
    """Say once of each drop that its window is about to end, in the log and to whoever reads its receipt; answers the drops' ids.

    What was said stands in the audit log, and nowhere else.
    """
    now = home.clock()
    with home.ledger.view() as session:
        held = [drop for drop in holding(session) if drop.raw == Raw.HELD and warning_due(drop.erase_before, now, ()) is not None]
        said = warnings_given(session)
    warned = []
    for drop in held:
        if warning_due(drop.erase_before, now, said[drop.id]) is None:
            continue
        with home.ledger.change(actor) as change:
            fresh = drop_of(change.session, drop.id)  # locked: two processes warn once
            days = warning_due(fresh.erase_before, now, warnings_given(change.session, drop.id)[drop.id])
            if days is None or fresh.raw != Raw.HELD:
                continue
            change.audit(ACTION, drop.id, days=days, state=fresh.state)
            change.ask(drop.id, Effect.RECEIPT)
        log.warning("deadline near", drop=drop.id, days=days, state=fresh.state, erase_before=fresh.erase_before.isoformat())
        warned.append(drop.id)
    return warned


def warnings_given(session: Session, drop_id: str | None = None) -> dict[str, set[int]]:
    """Which of the warnings of WARN_DAYS were given, by drop: of one, or of all that hold data."""
    given: dict[str, set[int]] = defaultdict(set)
    which = select(Drop.id).where(Drop.raw != Raw.ERASED) if drop_id is None else [drop_id]
    for drop, detail in session.exec(
        select(AuditRow.object, AuditRow.detail).where(AuditRow.action == ACTION, col(AuditRow.object).in_(which))
    ):
        given[drop].add(int(detail["days"]))
    return given


def window_remarks(home: Home, session: Session, drop: Drop) -> list[dict[str, Any]]:
    """What the receipt says of the end of this drop's window, near or past, beside its findings."""
    if drop.state != State.EXPIRED:
        if not warnings_given(session, drop.id)[drop.id]:
            return []
        waiting_for = drop.waiting_for if drop.state == State.ACCEPTED else []
        return remarks.window_near(drop.erase_before, waiting_for, drop.state == State.INCOMPLETE)
    entry = select(AuditRow.detail).where(AuditRow.object == drop.id, AuditRow.action == f"drop.{State.EXPIRED}").order_by(col(AuditRow.id))
    detail = session.exec(entry).first() or {}
    campaign = session.get(Campaign, drop.campaign) if drop.campaign else None
    deliver_until, contact = campaign.deliver_until if campaign else None, home.config.authority.contact
    if detail.get("event") == Event.REPLACED:
        return remarks.delivered_anew()
    if detail.get("event") != Event.WINDOW_ENDED:
        return []
    if "erase_before" not in detail:  # an administrator ended it before its time
        return remarks.ended_on_request(drop.campaign, deliver_until, contact)
    return remarks.window_ended(drop.erase_before, detail.get("was", ""), drop.waiting_for, drop.campaign, deliver_until, contact)
