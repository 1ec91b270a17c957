"""`sluis campaign`."""

import os
from datetime import UTC, date, datetime
from typing import Annotated

import typer

from gateway.cli.context import home_of
from gateway.cli.dates import day, moment
from gateway.cli.output import show
from gateway.store.auditing import sequence
from gateway.store.campaigns import campaign_of, campaigns, create_campaign, enrolment_counts, enrolments, is_final
from gateway.store.drops import drops
from gateway.store.models import Campaign
from gateway.store.objections import newest_registers
from gateway.store.recipient_keys import prepare_recipients
from keys.secret import Secret

#: how the ledger marks the counts of linking among a drop's
LINKING = "linking_"

app = typer.Typer(add_completion=False, rich_markup_mode=None, no_args_is_help=True)


@app.command()
def create(
    ctx: typer.Context,
    name: str,
    enrol_until: Annotated[date, day("--enrol-until", "Last day on which a sign-up counts.")],
    objections_from: Annotated[date, day("--objections-from", "First day on which schools can enter objections.")],
    objections_until: Annotated[date, day("--objections-until", "Last day; nothing is linked before it is over.")],
    deliver_until: Annotated[date, day("--deliver-until", "Last day on which a drop is taken.")],
    publish_from: Annotated[datetime, moment("--publish-from", "When boards see their bundles.")],
) -> None:
    """A new collection round."""
    home = home_of(ctx)
    with home.ledger.change("administrator") as change:
        create_campaign(
            change,
            name,
            enrol_until,
            objections_from,
            objections_until,
            deliver_until,
            publish_from.astimezone(UTC),
        )
        if not home.mortal.exists("objections", name):
            home.mortal.create("objections", name, Secret(os.urandom(32)))
    prepare_recipients(home, "administrator")
    sequence(home)
    show(ctx, {"campaign": name, "state": "created"})


@app.command("list")
def list_(ctx: typer.Context) -> None:
    """All collection rounds."""
    with home_of(ctx).ledger.view() as session:
        counts = enrolment_counts(session)
        show(ctx, [{**_days(found), "boards": counts.get(found.name, 0)} for found in campaigns(session)])


@app.command("show")
def show_(ctx: typer.Context, name: str) -> None:
    """One round: its days, who takes part, what came in, and how linking went."""
    with home_of(ctx).ledger.view() as session:
        found = campaign_of(session, name)
        signed = enrolments(session, name)
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
                **_days(found),
                "boards_enrolled": sum(is_final(enrolment, found) for enrolment in signed),
                "boards_not_final": sum(not is_final(enrolment, found) for enrolment in signed),
                "objection_registers": len(newest_registers(session, name)),
                "drops": states,
                "linking": linking,
            },
        )


def _days(found: Campaign) -> dict[str, object]:
    return {
        "campaign": found.name,
        "enrol_until": found.enrol_until,
        "objections_from": found.objections_from,
        "objections_until": found.objections_until,
        "deliver_until": found.deliver_until,
        "publish_from": found.publish_from,
    }
