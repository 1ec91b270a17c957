"""`sluis objection status`: a school's register, what drops held of objecting pupils, late withdrawals, the reports these touched."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Annotated, Any

import typer

from gateway.cli.context import home_of
from gateway.cli.output import say, show
from gateway.cli.settings import settings_of
from gateway.store.campaigns import campaign_of, campaigns, standings
from gateway.store.home import Home
from gateway.store.models import Campaign
from gateway.store.objecting_persons import pending_withdrawals
from gateway.store.objection_status import SchoolStatus, TouchedReport, school_statuses
from gateway.worker.objection_end import ends_from
from policies.calendar import day_of

#: a withdrawal that is pending for so long is in trouble: the worker carries it out within minutes
PATIENCE = timedelta(minutes=15)
REGISTER_COLUMNS = ("school", "register_version", "received_at", "source", "objections", "objecting_pupils_delivered", "withdrawn_results")
INCIDENT_COLUMNS = ("school", "drop", "vendor", "received_at", "outcome", "pupils")
REPORT_COLUMNS = ("school", "touched_at", "report")


def status(
    ctx: typer.Context,
    campaign: Annotated[str, typer.Option(help="The collection round.")],
) -> None:
    """Per school: its register, what drops held of objecting pupils, late withdrawals, and the reports that these touched. Never who."""
    home = home_of(ctx)
    document = _document(home, campaign)
    if settings_of(ctx).json:
        show(ctx, document)
        return
    schools = document.pop("schools")
    totals = document.pop("totals")
    show(ctx, document | totals)
    say(ctx, "")
    show(ctx, schools, REGISTER_COLUMNS)
    if incidents := [{"school": row["school"], **incident} for row in schools for incident in row["incidents"]]:
        say(ctx, "\nDeliveries that held objecting pupils:")
        show(ctx, incidents, INCIDENT_COLUMNS)
    if touched := [{"school": row["school"], **row["touched_report"]} for row in schools if row["touched_report"]]:
        say(ctx, "\nReports that hold withdrawn results, or did:")
        show(ctx, touched, REPORT_COLUMNS)


def faults(home: Home) -> Iterator[tuple[str, str]]:
    """What an operator has to do about objections, of all campaigns: what is so, and what to do."""
    now = home.clock()
    with home.ledger.view() as session:
        late = sum(asked_at < now - PATIENCE for asked_at in pending_withdrawals(session).values())
        if late:
            yield f"results of {late} objecting pupils are still in the store", "Start the worker: its log says what is in the way."
        for campaign in campaigns(session):
            name = campaign.name
            schools = school_statuses(session, name, now).values()
            if lost := sum(school.lost for school in schools if campaign.objections_ended_at is None):
                yield f"registers of {lost} schools in {name} were lost", "Have them handed in again: `sluis objection status` names them."
            reports = [school.report for school in schools if school.report]
            if waiting := sum(not report.rebuilt for report in reports):
                yield f"{waiting} reports of {name} hold withdrawn results", f"`sluis report build --campaign {name}`, then publish."
            if old := sum(report.rebuilt for report in reports):
                yield (
                    f"boards can download {old} reports of {name} that hold withdrawn results",
                    f"`sluis publish --campaign {name} --reason TEXT`, or `sluis withdraw --campaign {name}`.",
                )


def _document(home: Home, name: str) -> dict[str, Any]:
    now = home.clock()
    with home.ledger.view() as session:
        campaign = campaign_of(session, name)
        statuses = school_statuses(session, name, now)
        taking_part = {code for code, standing in standings(session, campaign, day_of(now)).items() if standing.enrolled}
        waiting = len(pending_withdrawals(session))
    schools = [_row(code, statuses.get(code, SchoolStatus())) for code in sorted(taking_part | statuses.keys())]
    return {
        "campaign": name,
        **_end(campaign),
        "schools": schools,
        "totals": {
            "schools": len(schools),
            "with_register": sum(row["register_version"] is not None for row in schools),
            "objections": sum(row["objections"] or 0 for row in schools),
            "incidents": sum(len(row["incidents"]) for row in schools),
            "objecting_pupils_delivered": sum(row["objecting_pupils_delivered"] for row in schools),
            "withdrawn_results": sum(row["withdrawn_results"] for row in schools),
            "persons_still_to_withdraw": waiting,
            "touched_reports": sum(row["touched_report"] is not None for row in schools),
        },
    }


def _end(campaign: Campaign) -> dict[str, Any]:
    """Until when the registers say who objected."""
    if campaign.objections_ended_at is not None:
        return {"registers": "ended", "ended_at": campaign.objections_ended_at}
    return {"registers": "in force", "end_from": ends_from(campaign)}


def _row(code: str, status: SchoolStatus) -> dict[str, Any]:
    register = None if status.lost else status.register
    report = status.report
    return {
        "school": code,
        "register_version": register.version if register else None,
        "received_at": register.received_at if register else None,
        "source": "lost: to be handed in again" if status.lost else register.source if register else None,
        "objections": register.objections if register else None,
        "objecting_pupils_delivered": sum(incident.pupils for incident in status.incidents),
        "incidents": [
            {
                "drop": incident.drop,
                "vendor": incident.vendor,
                "received_at": incident.received_at,
                "outcome": "rejected" if incident.rejected else "stripped",
                "pupils": incident.pupils,
            }
            for incident in status.incidents
        ],
        "withdrawn_results": status.withdrawn_rows,
        "withdrawn_persons": status.withdrawn_persons,
        "withdrawn_at": status.withdrawn_at,
        "touched_report": {"touched_at": report.touched_at, "report": _said(report)} if report else None,
    }


def _said(report: TouchedReport) -> str:
    if not report.published:
        return "to be built anew"
    return "published; built anew, to be published again" if report.rebuilt else "published; to be built anew"
