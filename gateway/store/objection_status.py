"""What became of a campaign's objections, school by school, in counts: never who objected."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime

from sqlmodel import Session, col, select

from gateway.drop.lifecycle import State
from gateway.store.home import Home
from gateway.store.models import AuditRow, Campaign, Drop, DropSchool, Objection, ObjectionRegister, Report
from gateway.store.objections import LOST
from gateway.store.publication import live_bundles
from gateway.store.takeover import OBJECTIONS
from gateway.store.touched import GROWTH, growth_in, touched_reports, touched_schools

#: what the log says of results that were taken out of the store, of a school in a campaign
WITHDRAWN = "results.withdrawn"


@dataclass(frozen=True)
class Incident:
    """A delivery that held objecting pupils, which it was not to: they were left out of it, or it was refused."""

    drop: str
    vendor: str
    received_at: datetime
    rejected: bool
    pupils: int


@dataclass(frozen=True)
class TouchedReport:
    """A growth report from which results were withdrawn. `rebuilt`: it, or what is left of it, is without them. `published`: its board
    can download one that holds them."""

    touched_at: datetime
    rebuilt: bool
    published: bool


@dataclass
class SchoolStatus:
    """`register`: the newest version, of which nothing counts when it is `lost`."""

    register: ObjectionRegister | None = None
    incidents: list[Incident] = field(default_factory=list)
    withdrawn_rows: int = 0
    withdrawn_persons: int = 0
    withdrawn_at: datetime | None = None  # the last time
    report: TouchedReport | None = None

    @property
    def lost(self) -> bool:
        return self.register is not None and self.register.source == LOST


def school_statuses(session: Session, campaign: str, now: datetime) -> dict[str, SchoolStatus]:
    """By school, of the schools of which there is anything to say."""
    found: dict[str, SchoolStatus] = defaultdict(SchoolStatus)
    registers = select(ObjectionRegister).where(ObjectionRegister.campaign == campaign).order_by(col(ObjectionRegister.version))
    for register in session.exec(registers):
        found[register.school].register = register
    for school, incident in _incidents(session, campaign):
        found[school].incidents.append(incident)
    for row in session.exec(select(AuditRow).where(AuditRow.action == WITHDRAWN).order_by(col(AuditRow.id))):
        if row.detail["campaign"] == campaign:
            status = found[row.object]
            status.withdrawn_rows += row.detail["rows"]
            status.withdrawn_persons += row.detail["persons"]
            status.withdrawn_at = row.time
    for school, report in touched_status(session, campaign, now).items():
        found[school].report = report
    return dict(found)


def touched_status(session: Session, campaign: str, now: datetime) -> dict[str, TouchedReport]:
    """By school; reports that were built anew and are nobody's in the old form are not in it."""
    touched = touched_schools(session, campaign)
    if not touched:
        return {}
    reports = select(Report).where(Report.campaign == campaign, Report.kind == GROWTH)
    built = {report.school: report.sha256 for report in session.exec(reports) if report.touched_at is None}
    waiting = {report.school for report in touched_reports(session, campaign)}
    # one that is the same when it is built anew held nothing of what was withdrawn
    seen = {
        school
        for bundle in live_bundles(session, campaign).values()
        if bundle.visible_from <= now
        for school, sha256 in growth_in(bundle).items()
        if school in touched and bundle.created_at <= touched[school] and sha256 != built.get(school)
    }
    return {
        school: TouchedReport(at, rebuilt=school not in waiting, published=school in seen)
        for school, at in touched.items()
        if school in waiting or school in seen
    }


def left_after_end(home: Home) -> Iterator[str]:
    """What still tells who objected in a campaign whose registers have ended; nothing of it may be there."""
    with home.ledger.view() as session:
        for name in session.exec(select(Campaign.name).where(col(Campaign.objections_ended_at).is_not(None)).order_by(Campaign.name)):
            if home.mortal.exists(OBJECTIONS, name):
                yield f"the registers of {name} have ended and their key is there"
            registers = select(ObjectionRegister.id).where(ObjectionRegister.campaign == name)
            if session.exec(select(Objection.id).where(col(Objection.register_id).in_(registers)).limit(1)).first() is not None:
                yield f"the registers of {name} have ended and objections of them are there"


def _incidents(session: Session, campaign: str) -> Iterator[tuple[str, Incident]]:
    rows = session.exec(
        select(DropSchool, Drop)
        .join(Drop, col(Drop.id) == DropSchool.drop)
        .where(Drop.campaign == campaign, Drop.folder == "leveringen", DropSchool.objected_pupils > 0)
        .order_by(col(Drop.received_at), col(Drop.id))
    )
    for held, drop in rows:
        yield held.school, Incident(drop.id, drop.vendor, drop.received_at, drop.state == State.REJECTED, held.objected_pupils)
