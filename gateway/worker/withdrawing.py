"""Taking deliveries back: what a vendor's withdrawal names, or an administrator; and what receipts say of which results count."""

from collections.abc import Callable, Sequence
from typing import Any, BinaryIO

from sqlmodel import Session, col, select

from gateway.checks.check import Outcome
from gateway.checks.findings import Finding, finding
from gateway.checks.withdrawal import Withdrawal, read_withdrawal
from gateway.drop import remarks
from gateway.drop.lifecycle import MAY_WITHDRAW, Event, State
from gateway.store.counting import hold_schools, replacements, take_back
from gateway.store.home import Home
from gateway.store.ledger import Change, drop_of
from gateway.store.models import AuditRow, Campaign, Drop
from gateway.store.withdrawn import forget_bundles
from gateway.worker.kept_findings import keep_findings
from policies.errors import Refused

#: the folder in which results come
DELIVERIES = "leveringen"
#: how a withdrawal's counts, and its entry in the log, call the drops that it took back
WITHDRAWN = "withdrawn"


def carry_out_withdrawal(
    home: Home, drop: Drop, campaign: Campaign, stream: BinaryIO, told: Sequence[Finding], require_clean: Callable[[], None]
) -> Outcome | None:
    """Take back what this drop names, all of it in one change; None when that is done, else why nothing of it is."""
    read = read_withdrawal(stream)
    if read.refused:
        return Outcome(True, read.truncated, read.counts, [*told, *read.findings], len(told) + read.findings_total)
    require_clean()
    with home.ledger.change("worker", origin=drop.vendor) as change:
        hold_schools(change.session, list(read.reasons))
        named = _of_vendor(change.session, drop.vendor, list(read.reasons))
        unknown = [finding("unknown-delivery", read.rows[name], "levering") for name in read.reasons if name not in named]
        if unknown:
            counts = {**read.counts, "accepted_rows": 0}
            return Outcome(True, False, counts, [*told, *unknown], len(told) + len(unknown))
        _carry_out(change, drop.id, campaign, read, named, told)
    forget_bundles(home, "worker")
    return None


def _carry_out(change: Change, by: str, campaign: Campaign, read: Withdrawal, named: dict[str, Drop], told: Sequence[Finding]) -> None:
    # in one order, as whoever else locks parts: two changes never wait for each other
    taken = [name for name in sorted(named) if name != by and _may_go(named[name])]
    for name in taken:
        take_back(change, named[name], read.reasons[name], by)
    findings = [*told, *(finding("nothing-to-withdraw", read.rows[name], "levering") for name in read.reasons if name not in taken)]
    drop = drop_of(change.session, by)
    drop.campaign = campaign.name
    drop.counts = {**read.counts, WITHDRAWN: len(taken)}
    keep_findings(drop, findings, len(findings))
    change.advance(drop, Event.OTHERS_WITHDRAWN, campaign=campaign.name, withdrawn=len(taken))


def _may_go(drop: Drop) -> bool:
    """Objections that nobody read yet are not taken back: a new register replaces them."""
    return drop.folder == DELIVERIES and drop.state in MAY_WITHDRAW


def _of_vendor(session: Session, vendor: str, names: Sequence[str]) -> dict[str, Drop]:
    """Those of these drops that are the vendor's, locked in the order of their names."""
    rows = select(Drop).where(Drop.vendor == vendor, col(Drop.id).in_(names)).order_by(Drop.id).with_for_update()
    return {drop.id: drop for drop in session.exec(rows)}


def withdraw(home: Home, drop_id: str, reason: str, actor: str) -> None:
    """Take one drop back on an administrator's order. NotFound (`no-such-drop`), Refused (`nothing-to-withdraw`)."""
    with home.ledger.change(actor) as change:
        hold_schools(change.session, [drop_id])
        drop = drop_of(change.session, drop_id)
        if not _may_go(drop):
            raise Refused(
                "nothing-to-withdraw",
                f"This drop is {drop.state}: there is nothing of it to withdraw.",
                "An objection register is replaced by a new one; `sluis drop erase` ends the bytes of any drop.",
            )
        take_back(change, drop, reason)
    forget_bundles(home, actor)


def remarks_on_results(home: Home, session: Session, drop: Drop) -> list[dict[str, Any]]:
    """What the receipt says of which results count: whether they were taken back, replace others or are replaced."""
    if drop.state == State.WITHDRAWN:
        detail = _entry(session, drop)
        campaign = session.get(Campaign, drop.campaign) if drop.campaign else None
        return remarks.withdrawn(
            detail.get("by") or "",
            detail.get("reason", ""),
            detail.get("was") == State.LINKED,
            drop.campaign,
            campaign.deliver_until if campaign else None,
            home.config.authority.contact,
        )
    if drop.state == State.REGISTERED:
        done = _entry(session, drop).get(WITHDRAWN)
        return [] if done is None else remarks.withdrawals(done)
    return remarks.replaced(drop.id, [(row.later, row.earlier, row.rows) for row in replacements(session, drop.id)])


def _entry(session: Session, drop: Drop) -> dict[str, Any]:
    """What the log tells of how the drop came to its state."""
    entry = select(AuditRow.detail).where(AuditRow.object == drop.id, AuditRow.action == f"drop.{drop.state}")
    return dict(session.exec(entry.order_by(col(AuditRow.id))).first() or {})
