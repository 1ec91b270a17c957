"""The end of a campaign's objection registers: once nothing can be delivered to it, and nothing that was delivered is held, nobody needs to
know any more who objected.

The key ends first: it is what makes the rows mean something, in this database and in every copy of it. Then the rows go, all but how many
objections each version held. A crash between the two is done again.
"""

from datetime import date

import structlog
from sqlmodel import Session, col, select

from gateway.drop.lifecycle import Raw
from gateway.store.auditing import sequence
from gateway.store.campaigns import campaign_of
from gateway.store.database import checkpoint
from gateway.store.home import Home
from gateway.store.ledger import Change
from gateway.store.models import Campaign, Drop
from gateway.store.objecting_persons import lock_objections
from gateway.store.objections import forget_objections
from gateway.store.takeover import OBJECTIONS
from gateway.worker.ended import Ended
from policies.calendar import day_of
from policies.errors import code_of
from policies.objections import registers_end_from

log = structlog.get_logger()

#: why they end, as the audit log says it
REASON = "nothing is delivered to the campaign any more, and its last drop is erased"


def end_registers(home: Home, actor: str = "worker") -> Ended:
    """End the registers of every campaign whose time it is. The intent is in the log before the key goes, the outcome after; what fails is
    tried again."""
    today = day_of(home.clock())
    with home.ledger.view() as session:
        due = due_registers(session, today)
    ended = Ended()
    for campaign in due:
        try:
            with home.ledger.change(actor) as change:
                lock_objections(change.session)
                if campaign not in due_registers(change.session, today):
                    continue  # postponed just now
                change.audit("key.destruction-begun", f"{OBJECTIONS}/{campaign}", reason=REASON)
            sequence(home)
            home.mortal.destroy(OBJECTIONS, campaign)
            with home.ledger.change(actor) as change:
                _end(change, campaign)
        except Exception as error:  # whatever it is, the other campaigns' have to end too
            log.error("objection registers not ended", campaign=campaign, error=code_of(error), exc_info=True)
            ended.failed[f"{OBJECTIONS}/{campaign}"] = code_of(error)
        else:
            ended.gone.append(campaign)
    if ended.gone:
        sequence(home)
        checkpoint(home.ledger.engine)
    return ended


def ends_from(campaign: Campaign) -> date:
    """The first day on which the campaign's registers may end."""
    return registers_end_from(campaign.deliver_until, campaign.objections_until)


def due_registers(session: Session, today: date) -> list[str]:
    """The campaigns whose registers are to end now."""
    living = session.exec(select(Campaign).where(col(Campaign.objections_ended_at).is_(None)).order_by(col(Campaign.name)))
    over = [campaign.name for campaign in living if ends_from(campaign) <= today]
    if not over:
        return []
    held = set(session.exec(select(Drop.campaign).where(Drop.raw != Raw.ERASED).distinct()))
    # one that was not read yet may be any campaign's
    return [] if None in held else [name for name in over if name not in held]


def _end(change: Change, name: str) -> None:
    """Nothing tells any more who objected: MACs and persons go; which versions there were, and of how many objections, stays."""
    session = change.session
    lock_objections(session)  # whoever hands in one more sees that this one has ended
    gone = forget_objections(session, name)
    campaign = campaign_of(session, name)
    campaign.objections_ended_at = change.now
    session.add(campaign)
    change.audit("key.destroyed", f"{OBJECTIONS}/{name}", reason=REASON)
    change.audit("objections.ended", name, objections=gone)
