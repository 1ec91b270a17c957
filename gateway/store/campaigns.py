"""Collection rounds and who takes part in them: campaigns, enrolments, and the school's standing on a day."""

import re
from dataclasses import dataclass
from datetime import date, datetime

from sqlmodel import Session, col, func, or_, select

from gateway.store.ledger import Change
from gateway.store.models import Board, Campaign, Enrolment, Mandate, School
from gateway.store.vendors import vendor_of
from policies.errors import NotFound, Refused

#: a campaign's name stands in the portal's addresses and in folder names
NAME = re.compile(r"[0-9A-Za-z][0-9A-Za-z._-]{0,39}")


@dataclass(frozen=True)
class Standing:
    """A school of the register on a day: its board, its kind, whether the board takes part, and through which vendor."""

    school: str
    board: str
    kind: str
    enrolled: bool
    vendor: str | None


def campaign_of(session: Session, name: str) -> Campaign:
    """The campaign; NotFound when there is none."""
    if (found := session.get(Campaign, name)) is None:
        raise NotFound("no-such-campaign", f"There is no campaign {name!r}.", "`sluis campaign list` shows the ones there are.")
    return found


def create_campaign(
    change: Change, name: str, enrol_until: date, objections_from: date, objections_until: date, deliver_until: date, publish_from: datetime
) -> Campaign:
    """A new campaign; Refused when its name is taken or its days are not in order (domain.md, process rules 1 and 2)."""
    if change.session.get(Campaign, name) is not None:
        raise Refused("campaign-exists", f"There is a campaign {name!r} already.", "Choose another name.")
    if not NAME.fullmatch(name):
        raise Refused(
            "campaign-name", "That can't be a campaign's name.", "Use letters, digits, '.', '_' and '-': it stands in an address."
        )
    if not enrol_until <= objections_from <= objections_until:
        raise Refused(
            "campaign-days-disordered",
            "The days are not in order: objections open after enrolment has ended and close after they open.",
            "Give --enrol-until ≤ --objections-from ≤ --objections-until.",
        )
    made = Campaign(
        name=name,
        enrol_until=enrol_until,
        objections_from=objections_from,
        objections_until=objections_until,
        deliver_until=deliver_until,
        publish_from=publish_from,
        created_at=change.now,
    )
    change.session.add(made)
    change.audit(
        "campaign.created",
        name,
        enrol_until=enrol_until.isoformat(),
        objections_from=objections_from.isoformat(),
        objections_until=objections_until.isoformat(),
        deliver_until=deliver_until.isoformat(),
        publish_from=publish_from.isoformat(),
    )
    return made


def campaigns(session: Session) -> list[Campaign]:
    """All campaigns, oldest first."""
    return list(session.exec(select(Campaign).order_by(col(Campaign.created_at), col(Campaign.name))))


def campaign_for(session: Session, day: date) -> Campaign | None:
    """The campaign to which something delivered on `day` belongs: the one whose enrolment has ended and whose delivery ends first
    after that day; when all are over, the one that ended last; None when no campaign ever took enrolments before that day."""
    begun = [campaign for campaign in campaigns(session) if campaign.enrol_until <= day]
    still = [campaign for campaign in begun if campaign.deliver_until >= day]
    if still:
        return min(still, key=lambda campaign: (campaign.deliver_until, campaign.name))
    return max(begun, key=lambda campaign: (campaign.deliver_until, campaign.name), default=None)


def enrol(change: Change, board: str, campaign: str, vendor: str, contract_on: date | None, form_on: date | None) -> Enrolment:
    """A board's sign-up, or what is added to it later. It counts when contract and form are both in by the campaign's deadline."""
    campaign_of(change.session, campaign)
    if change.session.get(Board, board) is None:
        raise NotFound("no-such-board", f"There is no board {board} in the register.", "Import the register of schools first.")
    vendor_of(change.session, vendor)  # one that was removed takes no consent
    found = change.session.get(Enrolment, (campaign, board)) or Enrolment(campaign=campaign, board=board, vendor=vendor)
    found.vendor = vendor
    found.contract_on = contract_on or found.contract_on
    found.form_on = form_on or found.form_on
    change.session.add(found)
    change.audit(
        "enrolment.recorded",
        board,
        campaign=campaign,
        vendor=vendor,
        contract_on=found.contract_on.isoformat() if found.contract_on else None,
        form_on=found.form_on.isoformat() if found.form_on else None,
    )
    return found


def enrolments(session: Session, campaign: str) -> list[Enrolment]:
    return list(session.exec(select(Enrolment).where(Enrolment.campaign == campaign).order_by(col(Enrolment.board))))


def is_final(enrolment: Enrolment, campaign: Campaign) -> bool:
    """Whether the sign-up counts: contract AND form, both by the deadline (domain.md: aanmelding)."""
    dates = (enrolment.contract_on, enrolment.form_on)
    return all(day is not None and day <= campaign.enrol_until for day in dates)


def standings(session: Session, campaign: Campaign, day: date) -> dict[str, Standing]:
    """Every school with a board on `day`, and whether and through whom that board takes part in the campaign."""
    vendors = {enrolment.board: enrolment.vendor for enrolment in enrolments(session, campaign.name) if is_final(enrolment, campaign)}
    rows = session.exec(
        select(School.code, School.kind, Mandate.board)
        .join(Mandate, col(Mandate.school) == School.code)
        .where(Mandate.valid_from <= day, or_(col(Mandate.valid_until).is_(None), col(Mandate.valid_until) > day))
    )
    return {code: Standing(code, board, kind, board in vendors, vendors.get(board)) for code, kind, board in rows}


def enrolment_counts(session: Session) -> dict[str, int]:
    """How many boards signed up, by campaign."""
    return dict(session.exec(select(Enrolment.campaign, func.count()).group_by(Enrolment.campaign)).all())
