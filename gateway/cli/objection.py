"""`sluis objection`. A pupil's number comes from a file, standard input or a hidden prompt, never from the command line."""

import sys
from datetime import date
from pathlib import Path
from typing import Annotated

import typer

from gateway.checks.objections import ObjectionRow, read_objection_register
from gateway.cli.context import home_of
from gateway.cli.dates import day
from gateway.cli.output import show
from gateway.store.auditing import sequence
from gateway.store.campaigns import campaign_of, standings
from gateway.store.drops import drop_schools, drops
from gateway.store.home import Home
from gateway.store.models import School
from gateway.store.objections import KeyedObjection, check_not_lost, hand_in, keyed_objections, newest_registers
from gateway.worker.objections import keyed
from policies.calendar import day_of
from policies.campaign import require_objections_open
from policies.errors import NotFound, Refused
from policies.identifiers import parse_bsn, parse_onderwijsnummer

app = typer.Typer(add_completion=False, rich_markup_mode=None, no_args_is_help=True)

File = Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="The register, as `nco-bezwaar-1`.")]


@app.command("import")
def import_(ctx: typer.Context, file: File, campaign: Annotated[str, typer.Option(help="The collection round.")]) -> None:
    """Hand in registers from a `nco-bezwaar-1` file; a school's new register replaces its older one."""
    home = home_of(ctx)
    with home.ledger.view() as session:
        found = campaign_of(session, campaign)
        require_objections_open(found.objections_from, day_of(home.clock()))
        schools = set(standings(session, found, day_of(home.clock())))
    with file.open("rb") as stream:
        register = read_objection_register(stream, schools)
    if register.refused:
        rules = ", ".join(sorted({finding.rule for finding in register.findings}))
        raise Refused(
            "objections-refused", f"The register was refused: {rules}.", "docs/vendor/bevindingen.md says what each of them means."
        )
    rows = keyed(home.objection_key(campaign), register.schools)
    with home.ledger.change("administrator") as change:
        versions = hand_in(change, campaign, rows, source="cli")
    sequence(home)
    show(ctx, {"campaign": campaign, "schools": len(versions), "objections": sum(map(len, rows.values()))})


@app.command()
def add(
    ctx: typer.Context,
    school: str,
    campaign: Annotated[str, typer.Option(help="The collection round.")],
    filed_on: Annotated[date | None, day("--filed-on", "Day on which the parent objected; default today.")] = None,
) -> None:
    """Add one objection to a school's register; asks for the pupil's number."""
    home = home_of(ctx)
    with home.ledger.view() as session:
        require_objections_open(campaign_of(session, campaign).objections_from, day_of(home.clock()))
    row = _asked(home, campaign, school, filed_on or day_of(home.clock()))
    with home.ledger.change("administrator") as change:
        check_not_lost(change.session, campaign, school)
        newest = newest_registers(change.session, campaign, to_change=True).get(school)
        before = keyed_objections(change.session, newest) if newest else []
        version = hand_in(change, campaign, {school: [*before, row]}, source="cli")[school]
    sequence(home)
    show(ctx, {"school": school, "campaign": campaign, "register_version": version})


@app.command()
def withdraw(
    ctx: typer.Context,
    school: str,
    campaign: Annotated[str, typer.Option(help="The collection round.")],
    withdrawn_on: Annotated[date | None, day("--withdrawn-on", "Day on which the parent withdrew; default today.")] = None,
) -> None:
    """Withdraw one objection; asks for the pupil's number."""
    home = home_of(ctx)
    today = day_of(home.clock())
    asked = _asked(home, campaign, school, today)
    with home.ledger.change("administrator") as change:
        newest = newest_registers(change.session, campaign, to_change=True).get(school)
        before = keyed_objections(change.session, newest) if newest else []
        after = [
            KeyedObjection(row.bsn_mac, row.onderwijsnummer_mac, row.filed_on, withdrawn_on or today) if _same(row, asked) else row
            for row in before
        ]
        if after == before:
            raise NotFound("no-such-objection", "This school's register holds no such objection.", "Check the school and the number.")
        version = hand_in(change, campaign, {school: after}, source="cli")[school]
    sequence(home)
    show(ctx, {"school": school, "campaign": campaign, "register_version": version})


@app.command()
def status(ctx: typer.Context, campaign: Annotated[str, typer.Option(help="The collection round.")]) -> None:
    """Per school that takes part: its register, how many objections, and what drops held of objecting pupils."""
    home = home_of(ctx)
    with home.ledger.view() as session:
        found = campaign_of(session, campaign)
        registers = newest_registers(session, campaign)
        taking_part = {code for code, standing in standings(session, found, day_of(home.clock())).items() if standing.enrolled}
        stripped: dict[str, int] = {}
        for drop in drops(session, campaign=campaign):
            for row in drop_schools(session, drop.id):
                if drop.folder == "leveringen":
                    stripped[row.school] = stripped.get(row.school, 0) + row.objected_pupils
        rows = []
        for code in sorted(taking_part | set(registers)):
            register = registers.get(code)
            rows.append(
                {
                    "school": code,
                    "register_version": register.version if register else None,
                    "received_at": register.received_at if register else None,
                    "source": register.source if register else None,
                    "objections": register.objections if register else None,
                    "objecting_pupils_delivered": stripped.get(code, 0),
                }
            )
    show(ctx, rows)


def _asked(home: Home, campaign: str, school: str, filed_on: date) -> KeyedObjection:
    """The number that was typed or piped in, at once made into MACs."""
    with home.ledger.view() as session:
        campaign_of(session, campaign)
        if session.get(School, school) is None:
            raise NotFound("no-such-school", "There is no such school in the register.", "Give its BRIN and vestiging as 99AA99.")
    text = typer.prompt("BSN or onderwijsnummer", hide_input=True) if sys.stdin.isatty() else sys.stdin.readline()
    try:
        row = ObjectionRow(parse_bsn(text), None, filed_on)
    except Refused:
        try:
            row = ObjectionRow(None, parse_onderwijsnummer(text), filed_on)
        except Refused:
            raise Refused(
                "not-a-number", "That is neither a BSN nor an onderwijsnummer.", "Type the nine digits as the school has them."
            ) from None
    return keyed(home.objection_key(campaign), {school: [row]})[school][0]


def _same(row: KeyedObjection, asked: KeyedObjection) -> bool:
    return row.withdrawn_on is None and (
        (asked.bsn_mac is not None and row.bsn_mac == asked.bsn_mac)
        or (asked.onderwijsnummer_mac is not None and row.onderwijsnummer_mac == asked.onderwijsnummer_mac)
    )
