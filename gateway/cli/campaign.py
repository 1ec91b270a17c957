"""`sluis campaign`."""

import os
from collections import Counter
from datetime import UTC, date, datetime
from typing import Annotated

import typer

from gateway.cli.context import home_of
from gateway.cli.dates import day, moment
from gateway.cli.output import say, show
from gateway.store.auditing import sequence
from gateway.store.campaigns import (
    campaign_of,
    campaigns,
    change_campaign,
    create_campaign,
    days_of,
    enrolment_counts,
    enrolments,
    sign_up_of,
)
from gateway.store.drops import drops
from gateway.store.home import Home
from gateway.store.models import Campaign
from gateway.store.objections import newest_registers
from gateway.store.recipient_keys import prepare_recipients
from keys.secret import Secret
from policies.enrolment import Reports, reports_for
from policies.errors import WrongUsage

#: how the ledger marks the counts of linking among a drop's
LINKING = "linking_"

app = typer.Typer(add_completion=False, rich_markup_mode=None, no_args_is_help=True)


@app.command()
def create(
    ctx: typer.Context,
    name: str,
    enrol_until: Annotated[date, day("--enrol-until", "Last day on which a sign-up is in time.")],
    objections_from: Annotated[date, day("--objections-from", "First day on which schools can enter objections.")],
    objections_until: Annotated[date, day("--objections-until", "Last day; nothing is linked before it is over.")],
    deliver_until: Annotated[date, day("--deliver-until", "Last day on which a drop is taken.")],
    publish_from: Annotated[datetime, moment("--publish-from", "When boards see their bundles.")],
) -> None:
    """A new collection round."""
    home = home_of(ctx)
    window = home.config.retention.window_days
    with home.ledger.change("administrator") as change:
        made = create_campaign(
            change, name, enrol_until, objections_from, objections_until, deliver_until, publish_from.astimezone(UTC), window
        )
        deliver_from = days_of(made, window).deliver_from
        if not home.mortal.exists("objections", name):
            home.mortal.create("objections", name, Secret(os.urandom(32)))
    prepare_recipients(home, "administrator")
    sequence(home)
    show(ctx, {"campaign": name, "state": "created", "deliver_from": deliver_from})


@app.command("change")
def change_(
    ctx: typer.Context,
    name: str,
    enrol_until: Annotated[date | None, day("--enrol-until", "Last day on which a sign-up is in time.")] = None,
    objections_from: Annotated[date | None, day("--objections-from", "First day on which schools can enter objections.")] = None,
    objections_until: Annotated[date | None, day("--objections-until", "Last day; can change until it is over.")] = None,
    deliver_until: Annotated[date | None, day("--deliver-until", "Last day on which a drop is taken.")] = None,
    publish_from: Annotated[datetime | None, moment("--publish-from", "When boards see their bundles.")] = None,
) -> None:
    """Give a round other days, by the rules of a new one; drops that wait are looked at again."""
    given = {
        "enrol_until": enrol_until,
        "objections_from": objections_from,
        "objections_until": objections_until,
        "deliver_until": deliver_until,
        "publish_from": publish_from.astimezone(UTC) if publish_from else None,
    }
    to = {what: value for what, value in given.items() if value is not None}
    if not to:
        raise WrongUsage("nothing-to-change", "No day is given.", "Say which day changes, such as --deliver-until 2026-05-01.")
    home = home_of(ctx)
    with home.ledger.change("administrator") as change:
        changed = change_campaign(change, name, to, home.config.retention.window_days)
        found = _days(home, campaign_of(change.session, name))
    prepare_recipients(home, "administrator")
    sequence(home)
    if changed.running_out:
        say(ctx, "Drops that run out are erased before objections close: their vendors deliver them again, from the first day of delivery.")
    show(ctx, {**found, "drops_waiting": changed.waiting, "drops_that_run_out": changed.running_out})


@app.command("list")
def list_(ctx: typer.Context) -> None:
    """All collection rounds."""
    home = home_of(ctx)
    with home.ledger.view() as session:
        counts = enrolment_counts(session)
        show(ctx, [{**_days(home, found), "boards": counts.get(found.name, 0)} for found in campaigns(session)])


@app.command("show")
def show_(ctx: typer.Context, name: str) -> None:
    """One round: its days, who takes part, what came in, and how linking went."""
    home = home_of(ctx)
    with home.ledger.view() as session:
        found = campaign_of(session, name)
        signed = Counter(reports_for(sign_up_of(row), found.enrol_until) for row in enrolments(session, name))
        states: dict[str, int] = {}
        linking: dict[str, int] = {}
        for drop in drops(session, campaign=name):
            states[drop.state] = states.get(drop.state, 0) + 1
            for what, count in drop.counts.items():
                if what.startswith(LINKING):
                    linking[what.removeprefix(LINKING)] = linking.get(what.removeprefix(LINKING), 0) + count
        show(
            ctx,
            {
                **_days(home, found),
                "boards_enrolled": signed[Reports.GROWTH],
                "boards_late": signed[Reports.REGULAR],
                "boards_not_final": signed[Reports.NOTHING],
                "objection_registers": len(newest_registers(session, name)),
                "drops": states,
                "linking": linking,
            },
        )


def _days(home: Home, found: Campaign) -> dict[str, object]:
    return {
        "campaign": found.name,
        "enrol_until": found.enrol_until,
        "objections_from": found.objections_from,
        "objections_until": found.objections_until,
        "deliver_from": days_of(found, home.config.retention.window_days).deliver_from,
        "deliver_until": found.deliver_until,
        "publish_from": found.publish_from,
    }
