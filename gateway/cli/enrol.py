"""`sluis enrol`."""

import csv
from datetime import date
from pathlib import Path
from typing import Annotated

import typer

from gateway.cli.context import home_of
from gateway.cli.dates import day
from gateway.cli.output import show
from gateway.store.auditing import sequence
from gateway.store.campaigns import campaign_of, enrol, enrolments, sign_up_of
from gateway.store.models import Campaign, Enrolment
from policies.enrolment import reports_for
from policies.errors import NotFound, Refused

app = typer.Typer(add_completion=False, rich_markup_mode=None, no_args_is_help=True)

File = Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="The list of sign-ups.")]

COLUMNS = ("board", "vendor", "contract_on", "form_on")

#: what enrol() refuses, said without the value
_WRONG = {
    "no-such-board": "there is no such board in the register.",
    "no-such-vendor": "there is no such vendor.",
    "enrolment-day-ahead": "a paper can't have come in on a day that is still to come.",
}


@app.command()
def add(
    ctx: typer.Context,
    board: str,
    campaign: Annotated[str, typer.Option(help="The collection round.")],
    vendor: Annotated[str, typer.Option(help="The vendor through whom the board consented.")],
    contract: Annotated[date | None, day("--contract", "Day on which the signed contract came in.")] = None,
    form: Annotated[date | None, day("--form", "Day on which the enrolment form came in.")] = None,
) -> None:
    """Record a board's sign-up; it is final when contract and form are both in, and the later of the two says whether it was in time."""
    home = home_of(ctx)
    with home.ledger.change("administrator") as change:
        row = enrol(change, board, campaign, vendor, contract, form)
        meaning = _meaning(row, campaign_of(change.session, campaign))
    sequence(home)
    show(ctx, {"board": board, "campaign": campaign, "vendor": vendor, **meaning})


@app.command("import")
def import_(ctx: typer.Context, file: File, campaign: Annotated[str, typer.Option(help="The collection round.")]) -> None:
    """Sign-ups from a CSV with the columns board, vendor, contract_on, form_on (`;` or `,`). All of it, or none."""
    home = home_of(ctx)
    try:
        text = file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:  # its text would quote the bytes
        raise Refused("enrolment-encoding", "The list is not UTF-8.", "Save it as CSV in UTF-8.") from None
    reader = csv.DictReader(text.splitlines(), delimiter=";" if ";" in text.partition("\n")[0] else ",")
    try:
        names, rows = tuple(reader.fieldnames or ()), [(reader.line_num, row) for row in reader]
    except csv.Error:
        raise Refused("enrolment-csv", f"Line {reader.line_num + 1} can't be read as CSV.", "Is it the list of sign-ups?") from None
    if names != COLUMNS:
        raise Refused(
            "enrolment-columns",
            "The file does not have the columns of a list of sign-ups.",
            f"Its first line must be: {';'.join(COLUMNS)}.",
        )
    count = 0
    with home.ledger.change("administrator") as change:
        campaign_of(change.session, campaign)
        for number, row in rows:
            if None in row or None in row.values():
                raise Refused(
                    "enrolment-fields", f"Line {number} does not have {len(COLUMNS)} fields.", "Leave a day that is missing empty."
                )
            try:
                days = [date.fromisoformat(row[name]) if row[name] else None for name in ("contract_on", "form_on")]
            except ValueError:
                raise Refused("enrolment-day", f"Line {number} has a day that is not one.", "Write days as 2026-01-31.") from None
            try:
                enrol(change, row["board"], campaign, row["vendor"], *days)
            except (NotFound, Refused) as wrong:  # the line, not the value: who knows what file was given
                raise type(wrong)(wrong.code, f"Line {number}: {_WRONG[wrong.code]}", wrong.hint) from None
            count += 1
    sequence(home)
    show(ctx, {"campaign": campaign, "sign_ups": count})


@app.command("list")
def list_(ctx: typer.Context, campaign: Annotated[str, typer.Option(help="The collection round.")]) -> None:
    """Who signed up, whether it is final, and to which reports it entitles."""
    with home_of(ctx).ledger.view() as session:
        found = campaign_of(session, campaign)
        show(
            ctx,
            [
                {
                    "board": row.board,
                    "vendor": row.vendor,
                    "contract_on": row.contract_on,
                    "form_on": row.form_on,
                    **_meaning(row, found),
                }
                for row in enrolments(session, campaign)
            ],
        )


def _meaning(row: Enrolment, campaign: Campaign) -> dict[str, object]:
    sign_up = sign_up_of(row)
    return {"final": sign_up.final_on is not None, "entitled_to": reports_for(sign_up, campaign.enrol_until)}
