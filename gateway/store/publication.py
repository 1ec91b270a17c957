"""Bundles per board: who is entitled to which report, what is visible when, what was taken back, who downloaded.

A report belongs to the board whose school it was on the campaign's reference date, the last day for objections: from then on
nothing that is linked can change hands. A growth report further needs that board's final enrolment in time, and a delivery for this
campaign of the time when the school was its own (domain.md, process rules 1 and 10).
"""

from dataclasses import dataclass, field
from datetime import date, datetime

from sqlmodel import Session, col, func, select

from gateway.store.campaigns import Standing, boards_that_delivered, standings
from gateway.store.ledger import Change
from gateway.store.models import Board, Bundle, Campaign, Download, Report, School
from policies.enrolment import KINDS_TAKEN, Reports

#: what the log says when the key of a withdrawn bundle is gone
KEY_DESTROYED = "bundle.key-destroyed"

#: why a board gets no growth report
_NO_GROWTH = {
    Reports.NOTHING: "the board has no final enrolment",
    Reports.REGULAR: "the board enrolled after the deadline: regular reports only",
}


@dataclass(frozen=True)
class Entitled:
    """A report with the school it is about."""

    report: Report
    school_name: str


@dataclass
class Entitlement:
    """Which board may have which reports, and which reports go to nobody."""

    boards: dict[str, list[Entitled]] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)  # of those boards
    left_out: list[dict[str, str]] = field(default_factory=list)  # school, kind, reason


@dataclass(frozen=True)
class Period:
    """A campaign as its board sees it: only the date while it is still to come."""

    campaign: str
    visible_from: datetime
    bundle: Bundle | None  # None: not visible yet
    downloaded_at: datetime | None = None


def reference_date(campaign: Campaign) -> date:
    """The day whose mandates decide who gets a report."""
    return campaign.objections_until


def entitlement(session: Session, campaign: Campaign) -> Entitlement:
    """Every report of the campaign, given to the board it belongs to."""
    found = Entitlement()
    schools = standings(session, campaign, reference_date(campaign))
    delivered = boards_that_delivered(session, campaign.name)
    rows = session.exec(
        select(Report, School.name)
        .join(School, col(School.code) == Report.school)
        .where(Report.campaign == campaign.name)
        .order_by(col(Report.school), col(Report.kind))
    )
    for report, name in rows:
        standing = schools.get(report.school)
        reason = _left_out(report, standing, delivered.get(report.school))
        if standing is None or reason:
            found.left_out.append({"school": report.school, "kind": report.kind, "reason": reason})
        else:
            found.boards.setdefault(standing.board, []).append(Entitled(report, name))
    found.names = dict(session.exec(select(Board.number, Board.name)).all())
    return found


def _left_out(report: Report, standing: Standing | None, delivered: set[str] | None) -> str:
    """Why a report goes to nobody; empty when it goes to the school's board. `delivered`: whose the school was when it was delivered."""
    if standing is None:
        return "no board on the reference date"
    if standing.kind not in KINDS_TAKEN:
        return "so and vso schools take no part"
    if report.kind == "growth" and standing.reports is not Reports.GROWTH:
        return _NO_GROWTH[standing.reports]
    if report.kind == "growth" and delivered is not None and standing.board not in delivered:
        return "delivered while the school was another board's"
    return ""


def live_bundles(session: Session, campaign: str) -> dict[str, Bundle]:
    """The bundle that counts, by board: published and not withdrawn."""
    rows = session.exec(select(Bundle).where(Bundle.campaign == campaign, col(Bundle.withdrawn_at).is_(None)).order_by(col(Bundle.version)))
    return {bundle.board: bundle for bundle in rows}


def last_versions(session: Session, campaign: str) -> dict[str, int]:
    """The highest version there ever was, by board."""
    rows = session.exec(select(Bundle.board, func.max(Bundle.version)).where(Bundle.campaign == campaign).group_by(Bundle.board))
    return {board: int(version) for board, version in rows}


def release(change: Change, bundle: Bundle) -> None:
    """Make a bundle the board's own, from its `visible_from`; its file and key are durable before this is called."""
    change.session.add(bundle)
    change.audit(
        "bundle.published",
        bundle.board,
        campaign=bundle.campaign,
        bundle=bundle.id,
        version=bundle.version,
        files=len(bundle.contents),
        bytes=bundle.bytes,
        sha256=bundle.sha256,
        visible_from=bundle.visible_from.isoformat(),
        reason=bundle.reason or None,
    )


def withdraw(change: Change, bundle_id: str, reason: str) -> None:
    """Take a bundle back: invisible from now on. Its key and file are destroyed after this; `forgotten` says so."""
    bundle = change.session.get_one(Bundle, bundle_id)
    bundle.withdrawn_at = change.now
    change.session.add(bundle)
    change.audit("bundle.withdrawn", bundle.board, campaign=bundle.campaign, bundle=bundle.id, version=bundle.version, reason=reason)


def forgotten(change: Change, bundle: Bundle) -> None:
    """Write down that the key of a withdrawn bundle was destroyed and that its file is gone."""
    change.audit(KEY_DESTROYED, bundle.board, campaign=bundle.campaign, bundle=bundle.id, version=bundle.version)


def visible_bundle(session: Session, board: str, campaign: str, now: datetime) -> Bundle | None:
    """What `board` may download of `campaign` now; the board stands in the question, so no answer can be another's."""
    statement = select(Bundle).where(
        Bundle.board == board, Bundle.campaign == campaign, col(Bundle.withdrawn_at).is_(None), Bundle.visible_from <= now
    )
    return session.exec(statement.order_by(col(Bundle.version).desc())).first()


def periods(session: Session, board: str, now: datetime) -> list[Period]:
    """The campaigns of which the board has or will have a bundle, newest first."""
    rows = session.exec(
        select(Bundle)
        .where(Bundle.board == board, col(Bundle.withdrawn_at).is_(None))
        .order_by(col(Bundle.visible_from).desc(), col(Bundle.campaign).desc(), col(Bundle.version).desc())
    ).all()
    downloads = dict(
        session.exec(select(Download.bundle, func.max(Download.at)).where(Download.board == board).group_by(Download.bundle)).all()
    )
    found: dict[str, Period] = {}
    for bundle in rows:
        shown = bundle if bundle.visible_from <= now else None
        found.setdefault(bundle.campaign, Period(bundle.campaign, bundle.visible_from, shown, downloads.get(bundle.id) if shown else None))
    return list(found.values())


def board_name(session: Session, board: str) -> str:
    found = session.get(Board, board)
    return found.name if found else ""


def downloaded(change: Change, bundle: Bundle, start: int, stop: int) -> None:
    """Write down that bytes `start` up to `stop` of a bundle are about to go out to its board."""
    change.session.add(Download(bundle=bundle.id, board=bundle.board, origin=change.origin, at=change.now, bytes=stop - start))
    change.audit(
        "bundle.downloaded",
        bundle.board,
        campaign=bundle.campaign,
        bundle=bundle.id,
        version=bundle.version,
        first_byte=start,
        bytes=stop - start,
    )
