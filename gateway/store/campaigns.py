"""Collection rounds and who takes part in them: campaigns, enrolments, and the school's standing on a day."""

import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime

from sqlmodel import Session, col, func, or_, select

from gateway.drop.lifecycle import Effect, State
from gateway.store.ledger import Change
from gateway.store.models import AuditRow, Board, Bundle, Campaign, Drop, DropSchool, Enrolment, Mandate, School
from gateway.store.objecting_persons import lock_objections
from gateway.store.takeover import OBJECTIONS
from gateway.store.vendors import vendor_of
from policies.calendar import day_of, end_of_day
from policies.campaign import Days, check_change, check_days, round_of_delivery, rounds_of_objections
from policies.enrolment import Reports, SignUp, reports_for
from policies.errors import NotFound, Refused
from policies.retention import WINDOW_DAYS

#: a campaign's name stands in the portal's addresses and in folder names
NAME = re.compile(r"[0-9A-Za-z][0-9A-Za-z._-]{0,39}")


#: the days of a round that an administrator sets
CHANGEABLE = ("enrol_until", "objections_from", "objections_until", "deliver_until", "publish_from")


@dataclass(frozen=True)
class Standing:
    """A school of the register on a day: its board, its kind, and its board's sign-up for a round.

    `enrolled`: the sign-up was final on that day. `vendor`: through whom the board consents, None when it did not sign up. `missing`: what
    a sign-up lacks (policies/enrolment.py), empty when there is none.
    """

    school: str
    board: str
    kind: str
    enrolled: bool
    vendor: str | None
    missing: str = ""
    reports: Reports = Reports.NOTHING


@dataclass(frozen=True)
class Changed:
    """What a change of a round's days does to the drops of it that wait: how many, and which of them end before they can be linked."""

    waiting: int
    running_out: list[str]


def campaign_of(session: Session, name: str) -> Campaign:
    """The campaign; NotFound when there is none."""
    if (found := session.get(Campaign, name)) is None:
        raise NotFound("no-such-campaign", f"There is no campaign {name!r}.", "`sluis campaign list` shows the ones there are.")
    return found


def create_campaign(
    change: Change,
    name: str,
    enrol_until: date,
    objections_from: date,
    objections_until: date,
    deliver_until: date,
    publish_from: datetime,
    window_days: int = WINDOW_DAYS,
) -> Campaign:
    """A new campaign; Refused when its name is taken or its calendar can't be kept (policies/campaign.py)."""
    if change.session.get(Campaign, name) is not None:
        raise Refused("campaign-exists", f"There is a campaign {name!r} already.", "Choose another name.")
    if not NAME.fullmatch(name):
        raise Refused(
            "campaign-name", "That can't be a campaign's name.", "Use letters, digits, '.', '_' and '-': it stands in an address."
        )
    check_days(Days(enrol_until, objections_from, objections_until, deliver_until, window_days), publish_from)
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
    change.audit("campaign.created", name, **{day: getattr(made, day).isoformat() for day in CHANGEABLE})
    return made


def change_campaign(change: Change, name: str, to: Mapping[str, date | datetime], window_days: int) -> Changed:
    """Give a round other days (of CHANGEABLE); its waiting drops are looked at again. Refused by the rules of a new one, and when what
    was promised would be broken, is published, or has ended."""
    lock_objections(change.session)  # so that they end either before this, or not at all
    campaign = campaign_of(change.session, name)
    before = days_of(campaign, window_days)
    for day, value in to.items():
        setattr(campaign, day, value)
    after = days_of(campaign, window_days)
    check_days(after, campaign.publish_from)
    check_change(before, after, change.now)
    if before.deliver_until < after.deliver_until and objection_key_ended(change.session, name):
        raise Refused(
            "campaign-ended", "This round is over: the objections to it are gone, so nothing can be taken for it.", "Make a new round."
        )
    if "publish_from" in to and _is_published(change.session, name):
        raise Refused("campaign-published", "This round is published.", "Take its bundles back first: `sluis withdraw --campaign NAME`.")
    change.session.add(campaign)
    change.audit("campaign.changed", name, **{day: value.isoformat() for day, value in to.items()})
    waiting = change.session.exec(select(Drop).where(Drop.campaign == name, Drop.state == State.ACCEPTED).order_by(col(Drop.id))).all()
    for drop in waiting:
        change.ask(drop.id, Effect.LINK)
    return Changed(len(waiting), [drop.id for drop in waiting if drop.erase_before <= end_of_day(after.objections_until)])


def objection_key_ended(session: Session, name: str) -> bool:
    """Whether the key of a campaign's objections was destroyed on purpose, or its end has begun: then none is made again."""
    told = col(AuditRow.action).in_(("key.destruction-begun", "key.destroyed"))
    return session.exec(select(AuditRow.id).where(AuditRow.object == f"{OBJECTIONS}/{name}", told)).first() is not None


def _is_published(session: Session, name: str) -> bool:
    return session.exec(select(Bundle.id).where(Bundle.campaign == name, col(Bundle.withdrawn_at).is_(None))).first() is not None


def days_of(campaign: Campaign, window_days: int) -> Days:
    """The calendar of a round, with the first day of delivery that follows from it."""
    return Days(campaign.enrol_until, campaign.objections_from, campaign.objections_until, campaign.deliver_until, window_days)


def campaigns(session: Session) -> list[Campaign]:
    """All campaigns, oldest first."""
    return list(session.exec(select(Campaign).order_by(col(Campaign.created_at), col(Campaign.name))))


def calendars(session: Session, window_days: int) -> dict[str, Days]:
    """The calendar of every round, by name."""
    return {campaign.name: days_of(campaign, window_days) for campaign in campaigns(session)}


def campaign_for(session: Session, day: date, window_days: int) -> Campaign | None:
    """The campaign to which something delivered on `day` belongs, in time or not (policies/campaign.py: round_of_delivery)."""
    name = round_of_delivery(day, calendars(session, window_days))
    return None if name is None else session.get(Campaign, name)


def campaigns_for_objections(session: Session, day: date, window_days: int) -> list[Campaign]:
    """The campaigns for which an objection register handed in on `day` counts (policies/campaign.py: rounds_of_objections), unless the
    objections to it have ended."""
    found = [campaign_of(session, name) for name in rounds_of_objections(day, calendars(session, window_days))]
    return [campaign for campaign in found if campaign.objections_ended_at is None]


def enrol(change: Change, board: str, campaign: str, vendor: str, contract_on: date | None, form_on: date | None) -> Enrolment:
    """A board's sign-up, or what is added to it later. It is final when contract and form are both in (policies/enrolment.py)."""
    campaign_of(change.session, campaign)
    today = day_of(change.now)
    if any(day is not None and day > today for day in (contract_on, form_on)):
        raise Refused("enrolment-day-ahead", "A paper can't have come in on a day that is still to come.", "Give the day on which it came.")
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


def sign_up_of(enrolment: Enrolment) -> SignUp:
    return SignUp(enrolment.contract_on, enrolment.form_on)


def standings(session: Session, campaign: Campaign, day: date) -> dict[str, Standing]:
    """Every school with a board on `day`, and how that board's sign-up for the campaign stood then."""
    signed = {enrolment.board: (enrolment.vendor, sign_up_of(enrolment)) for enrolment in enrolments(session, campaign.name)}
    rows = session.exec(
        select(School.code, School.kind, Mandate.board)
        .join(Mandate, col(Mandate.school) == School.code)
        .where(Mandate.valid_from <= day, or_(col(Mandate.valid_until).is_(None), col(Mandate.valid_until) > day))
    )
    found = {}
    for code, kind, board in rows:
        standing = Standing(code, board, kind, enrolled=False, vendor=None)
        if board in signed:
            vendor, sign_up = signed[board]
            standing = replace(
                standing,
                enrolled=sign_up.is_final(day),
                vendor=vendor,
                missing=sign_up.missing(day),
                reports=reports_for(sign_up, campaign.enrol_until),
            )
        found[code] = standing
    return found


def boards_that_delivered(session: Session, campaign: str) -> dict[str, set[str]]:
    """The schools of which something delivered for a campaign is linked, each with the boards whose it was when that was delivered."""
    linked = select(DropSchool.school, Drop.received_at).join(Drop, col(Drop.id) == DropSchool.drop)
    days = {
        (school, day_of(received_at))
        for school, received_at in session.exec(
            linked.where(Drop.campaign == campaign, Drop.state == State.LINKED, col(DropSchool.linked_pupils) > 0)
        )
    }
    mandates: dict[str, list[Mandate]] = defaultdict(list)
    for mandate in session.exec(select(Mandate)) if days else ():
        mandates[mandate.school].append(mandate)
    found: dict[str, set[str]] = {school: set() for school, _ in days}
    for school, day in days:
        found[school] |= {
            mandate.board
            for mandate in mandates[school]
            if mandate.valid_from <= day and (mandate.valid_until is None or day < mandate.valid_until)
        }
    return found


def enrolment_counts(session: Session) -> dict[str, int]:
    """How many boards signed up, by campaign."""
    return dict(session.exec(select(Enrolment.campaign, func.count()).group_by(Enrolment.campaign)).all())
