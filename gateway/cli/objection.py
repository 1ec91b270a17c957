"""`sluis objection`. A pupil's number comes from a file, standard input or a hidden prompt, never from the command line."""

import sys
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Annotated

import typer

from gateway.checks.findings import Finding
from gateway.checks.objections import ObjectionRow, read_objection_register
from gateway.cli.context import home_of
from gateway.cli.dates import day
from gateway.cli.objection_status import status
from gateway.cli.output import say, show
from gateway.drop.keyed import PLACEHOLDER_NUMBERS
from gateway.store.auditing import sequence
from gateway.store.campaigns import campaign_of, standings
from gateway.store.home import Home
from gateway.store.ledger import Change
from gateway.store.models import School
from gateway.store.objecting_persons import lock_objections
from gateway.store.objections import check_not_lost, hand_in, keyed_objections, newest_registers
from gateway.worker.objections import ReadObjections
from gateway.worker.withdrawals import withdraw_persons
from policies.calendar import day_of
from policies.campaign import require_objections_open
from policies.errors import NotFound, Refused
from policies.identifiers import parse_bsn, parse_onderwijsnummer, parse_school

#: findings of a refused register that its error names
TOLD = 5

app = typer.Typer(add_completion=False, rich_markup_mode=None, no_args_is_help=True)
app.command()(status)

File = Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="The register, as `nco-bezwaar-1`.")]


@app.command("import")
def import_(ctx: typer.Context, file: File, campaign: Annotated[str, typer.Option(help="The collection round.")]) -> None:
    """Hand in registers from a `nco-bezwaar-1` file; a school's new register replaces its older one."""
    home = home_of(ctx)
    today = day_of(home.clock())
    with home.ledger.view() as session:
        found = campaign_of(session, campaign)
        require_objections_open(found.objections_from, today)
        schools = set(standings(session, found, today))
    with file.open("rb") as stream:
        register = read_objection_register(stream, schools, today)
    if register.refused:
        first, rest = register.findings[:TOLD], register.findings_total - TOLD
        told = ", ".join(map(_found, first)) + (f" and {rest} more" if rest > 0 else "")
        raise Refused(
            "objections-refused", f"The register was refused: {told}.", "`sluis deliver check FILE --lang en` says what each of them means."
        )
    read = ReadObjections(home, register.schools)
    with home.ledger.change("administrator") as change:
        if _has_ended(change, campaign):
            raise Refused(
                "objections-ended", "This campaign's registers have ended.", "A late objection is still taken: `sluis objection add`."
            )
        rows = read.keyed(change, campaign, register.schools)
        hand_in(change, campaign, rows, source="cli")
    withdrawn = _withdraw_results(ctx, home)
    counts = {"objections": sum(map(len, rows.values())), "unknown_pupils": read.unknown, "withdrawn_results": withdrawn}
    show(ctx, {"campaign": campaign, "schools": len(rows), **counts})


def _found(finding: Finding) -> str:
    """What is wrong and where; row 1 is the first line after the header."""
    place = [f"row {finding.row}"] if finding.row else []
    place += [finding.column] if finding.column else []
    return f"{finding.rule} ({', '.join(place)})" if place else finding.rule


@app.command()
def add(
    ctx: typer.Context,
    school: str,
    campaign: Annotated[str, typer.Option(help="The collection round.")],
    filed_on: Annotated[date | None, day("--filed-on", "Day on which the parent objected; default today.")] = None,
) -> None:
    """Add one objection to a school's register; asks for the pupil's number."""
    home = home_of(ctx)
    school, today = parse_school(school), day_of(home.clock())
    _require_come("--filed-on", filed_on, today)
    with home.ledger.view() as session:
        require_objections_open(campaign_of(session, campaign).objections_from, today)
    asked = _asked(home, campaign, school, filed_on or today)
    with home.ledger.change("administrator") as change:
        version = _added(change, campaign, school, asked)
    withdrawn = _withdraw_results(ctx, home)
    counts = {"unknown_pupils": asked.unknown, "withdrawn_results": withdrawn}
    show(ctx, {"school": school, "campaign": campaign, "register_version": version, **counts})


def _added(change: Change, campaign: str, school: str, asked: ReadObjections) -> int | None:
    """The register's version that holds it; the one that is there when it does already. None when the campaign keeps no registers any more:
    then the pupil's results go, and nothing is kept of it."""
    if _has_ended(change, campaign):
        asked.withdraw(change, campaign)
        change.audit("objections.late", school, campaign=campaign, known=not asked.unknown)
        return None
    row = asked.keyed(change, campaign, [school])[school][0]
    check_not_lost(change.session, campaign, school)
    newest = newest_registers(change.session, campaign, [school], to_change=True).get(school)
    before = keyed_objections(change.session, newest) if newest else []
    if newest is not None and any(known.in_force and row.known_by <= known.known_by for known in before):
        return newest.version
    return hand_in(change, campaign, {school: [*before, row]}, source="cli")[school]


@app.command()
def withdraw(
    ctx: typer.Context,
    school: str,
    campaign: Annotated[str, typer.Option(help="The collection round.")],
    withdrawn_on: Annotated[date | None, day("--withdrawn-on", "Day on which the parent withdrew; default today.")] = None,
) -> None:
    """Withdraw one objection; asks for the pupil's number."""
    home = home_of(ctx)
    school, today = parse_school(school), day_of(home.clock())
    _require_come("--withdrawn-on", withdrawn_on, today)
    asked = _asked(home, campaign, school, today)
    with home.ledger.change("administrator") as change:
        if _has_ended(change, campaign):
            raise Refused(
                "objections-ended", "This campaign's registers have ended.", "Nothing is kept of its objections: there is none to withdraw."
            )
        pupil = asked.keyed(change, campaign, [school])[school][0]
        check_not_lost(change.session, campaign, school)
        newest = newest_registers(change.session, campaign, [school], to_change=True).get(school)
        before = keyed_objections(change.session, newest) if newest else []
        after = [replace(row, withdrawn_on=withdrawn_on or today) if row.in_force and row.is_of(pupil) else row for row in before]
        if after == before:
            raise NotFound("no-such-objection", "This school's register holds no such objection.", "Check the school and the number.")
        version = hand_in(change, campaign, {school: after}, source="cli")[school]
    sequence(home)
    show(ctx, {"school": school, "campaign": campaign, "register_version": version})


def _require_come(option: str, given: date | None, today: date) -> None:
    if given is not None and given > today:
        raise Refused("objection-day-ahead", f"{option} is a day that is still to come.", "Give the day on which the parent said so.")


def _has_ended(change: Change, campaign: str) -> bool:
    lock_objections(change.session)
    return campaign_of(change.session, campaign).objections_ended_at is not None


def _withdraw_results(ctx: typer.Context, home: Home) -> int:
    """What was linked of these pupils goes at once, with what still had to; how many results went."""
    done = withdraw_persons(home, "administrator")
    sequence(home)
    if not done.complete:
        say(ctx, "The results are being read just now: the worker takes these pupils' results out after that.")
    return done.rows


def _asked(home: Home, campaign: str, school: str, filed_on: date) -> ReadObjections:
    """An objection by the number that was typed or piped in."""
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
    if (row.bsn or row.ond) in PLACEHOLDER_NUMBERS:  # it has no key: the objection would meet nobody
        raise Refused(
            "placeholder-number", "That number is a placeholder; it names no pupil.", "Ask the school for the pupil's own number."
        )
    return ReadObjections(home, {school: [row]})
