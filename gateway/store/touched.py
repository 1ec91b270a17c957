"""Reports that hold results which were taken out of the store after they were built, and the bundles that hold such reports.

A touched report is not published again until it is built anew. A bundle that was released and is not visible yet is withdrawn with it; one
that its board can see stays, for an administrator to decide on. Other schools' reports are not touched: of a pupil elsewhere they hold a
share in a national mean, and nothing else.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from datetime import datetime

from sqlmodel import Session, col, select

from gateway.store.ledger import Change
from gateway.store.models import AuditRow, Bundle, DropSchool, Part, PendingWithdrawal, Report
from gateway.store.publication import withdraw
from policies.errors import Refused

#: what the log says of a report that is touched
TOUCHED = "report.touched"
#: why a bundle is taken back before it is visible, as the log says it
REASON = "holds results that were withdrawn"
GROWTH = "growth"


def touch_reports(change: Change, since: Mapping[str, datetime]) -> list[Report]:
    """Mark the growth reports, of any campaign, that may hold results which this change takes out of the store; answers them.

    `since`: the codes of the schools that lose results, each with the time from which a report could hold them: when the (first) drop was
    linked that they came with. Call it after the change of the parts, in the same change. Keys and files of the bundles that are
    withdrawn here are destroyed after it: gateway.store.withdrawn.forget_bundles.
    """
    change.session.flush()  # the parts first: whoever builds a report meanwhile waits for them, or is seen here
    found = [
        report
        for report in change.session.exec(
            select(Report)
            .where(Report.kind == GROWTH, col(Report.school).in_(since))
            .order_by(col(Report.campaign), col(Report.school))
            .with_for_update()
        )
        if report.built_at >= since[report.school]
    ]
    holding = _holding(change.session, {report.campaign for report in found})
    for report in found:
        # also an earlier build of it, in which the results could stand
        bundles = [bundle for bundle in holding[report.campaign, report.school] if bundle.created_at >= since[report.school]]
        report.touched_at = change.now
        change.session.add(report)
        for bundle in bundles:
            if bundle.withdrawn_at is None and bundle.visible_from > change.now:
                withdraw(change, bundle.id, REASON)
        published = any(bundle.visible_from <= change.now for bundle in bundles)
        change.audit(TOUCHED, report.school, campaign=report.campaign, published=published)
    return found


def _holding(session: Session, campaigns: Collection[str]) -> dict[tuple[str, str], list[Bundle]]:
    """The live bundles of these campaigns, by campaign and school of each growth report in them. On PostgreSQL nobody else withdraws one
    until the change ends."""
    live = (col(Bundle.campaign).in_(campaigns), col(Bundle.withdrawn_at).is_(None))
    found: dict[tuple[str, str], list[Bundle]] = defaultdict(list)
    for bundle in session.exec(select(Bundle).where(*live).order_by(col(Bundle.id)).with_for_update(key_share=True)):
        for school in growth_in(bundle):
            found[bundle.campaign, school].append(bundle)
    return found


def growth_in(bundle: Bundle) -> dict[str, str]:
    """The digests of the growth reports that the bundle holds, by school."""
    return {row["school"]: row["sha256"] for row in bundle.contents if row["kind"] == GROWTH}


def touched_schools(session: Session, campaign: str) -> dict[str, datetime]:
    """When a growth report of the campaign was last touched, by school; also of those that were built anew since."""
    rows = session.exec(select(AuditRow).where(AuditRow.action == TOUCHED).order_by(col(AuditRow.id)))
    return {row.object: row.time for row in rows if row.detail["campaign"] == campaign}


def touched_reports(session: Session, campaign: str) -> list[Report]:
    """The campaign's reports that are to be built anew before they may be published."""
    touched = (Report.campaign == campaign, col(Report.touched_at).is_not(None))
    return list(session.exec(select(Report).where(*touched).order_by(col(Report.school))))


def check_publishable(session: Session, campaign: str, reports: Iterable[Report]) -> None:
    """Refused (`reports-touched`, `reports-changed`) unless these reports are the ones that stand in the ledger now and none is touched. In
    a change they stay so until it ends: what would touch them waits, and then sees what was published."""
    ordered = (col(Report.school), col(Report.kind))
    rows = session.exec(select(Report).where(Report.campaign == campaign).order_by(*ordered).with_for_update()).all()
    now = {(row.school, row.kind): row for row in rows}
    wanted = {(report.school, report.kind): report.sha256 for report in reports}
    touched = sum(row.touched_at is not None for place, row in now.items() if place in wanted)
    if touched:
        raise Refused(
            "reports-touched",
            f"{touched} report{'s' if touched > 1 else ''} of {campaign} hold results that were withdrawn.",
            f"Build them anew with `sluis report build --campaign {campaign}`; `sluis objection status` names the schools.",
        )
    if any(place not in now or now[place].sha256 != sha256 for place, sha256 in wanted.items()):
        raise Refused("reports-changed", "Reports were built while they were being published.", "Run the command again.")


def check_settled(session: Session) -> None:
    """Refused (`objections-pending`) while results of persons whose parents objected are still to be taken out of the store."""
    if session.exec(select(PendingWithdrawal.person).limit(1)).first() is not None:
        raise Refused(
            "objections-pending",
            "Results that parents objected to are still in the results store.",
            "Run the command again; if it says the same, `sluis doctor` tells what is in the way.",
        )


def schools_changed(session: Session, read: Mapping[str, str]) -> set[str]:
    """The schools of which results were taken out of the store since these parts were `read` (each one's digest, by drop). In a change it
    stays so until that ends: what would take more out waits, and then finds what was made of it."""
    now = dict(session.exec(select(Part.drop, Part.sha256).order_by(Part.drop).with_for_update(read=True)).all())
    changed = [drop for drop, sha256 in read.items() if now.get(drop) != sha256]
    return set(session.exec(select(DropSchool.school).where(col(DropSchool.drop).in_(changed)))) if changed else set()
