"""`sluis report`."""

import hashlib
import multiprocessing
import os
import re
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from datetime import date
from pathlib import Path
from typing import Annotated

import polars as pl
import typer
from rich.progress import track
from sqlmodel import Session, col, or_, select

from gateway.cli.context import home_of
from gateway.cli.output import say, show
from gateway.cli.settings import settings_of
from gateway.linker.results import scan
from gateway.reports.campaign import CampaignFigures
from gateway.reports.pdf import render
from gateway.store.auditing import sequence
from gateway.store.campaigns import campaign_of
from gateway.store.drops import live_parts, live_register
from gateway.store.durable import make_folder, replace_durably
from gateway.store.home import Home
from gateway.store.models import Board, Campaign, Mandate, Report, School
from gateway.store.publication import reference_date
from policies.calendar import day_of
from policies.errors import NotFound, Refused

app = typer.Typer(add_completion=False, rich_markup_mode=None, no_args_is_help=True)

#: a regular report's file: the school's code first, then whatever its maker adds
REGULAR_NAME = re.compile(r"(\d{2}[A-Z]{2}\d{2}).*\.pdf", re.IGNORECASE)
#: reports written to the ledger in one go
BATCH = 200


@app.command()
def build(
    ctx: typer.Context,
    campaign: Annotated[str, typer.Option(help="The collection round.")],
    school: Annotated[str | None, typer.Option(help="Only this school (99AA99).")] = None,
) -> None:
    """Compute the campaign's figures and make a growth report for every school that has results."""
    home = home_of(ctx)
    with home.ledger.view() as session:
        found = campaign_of(session, campaign)
        parts = [home.results / part.file for part in live_parts(session)]
        schools = _schools(home, session, found)
        background = live_register(session, "background")
    if not parts:
        raise Refused("no-results", "Nothing has been linked yet.", "`sluis drop list` tells where the drops stand.")
    traits = pl.read_parquet(home.registers / background.file) if background else None
    figures = CampaignFigures.compute(scan(parts), schools, traits)
    codes = [code for code in figures.codes() if school in (None, code)]
    if school is not None and not codes:
        raise NotFound(
            "no-results-of-school", f"School {school} has no results in this campaign.", "`sluis drop list` tells where its drop stands."
        )
    make_folder(home.reports / campaign)
    made: list[Report] = []
    silent = settings_of(ctx).json
    for code, pdf in track(
        _rendered(figures, codes, day_of(found.publish_from), campaign), total=len(codes), description="Reports", disable=silent
    ):
        made.append(_keep(home, campaign, code, "growth", pdf))
        if len(made) == BATCH:
            _record(home, campaign, made)
            made = []
    _record(home, campaign, made)
    sequence(home)
    if not silent:
        say(ctx, "`sluis publish` makes them visible to their boards.")
    show(ctx, {"campaign": campaign, "reports": len(codes)})


@app.command("import")
def import_(ctx: typer.Context, folder: Path, campaign: Annotated[str, typer.Option(help="The collection round.")]) -> None:
    """Take in regular reports made elsewhere: files named `99AA99….pdf`, one per school. All of them, or none."""
    home = home_of(ctx)
    files = sorted(folder.glob("*.[pP][dD][fF]"))
    with home.ledger.view() as session:
        campaign_of(session, campaign)
        known = set(session.exec(select(School.code)))
    taken: list[tuple[str, Path]] = []
    for file in files:
        match = REGULAR_NAME.fullmatch(file.name)
        if match is None or match[1].upper() not in known:
            raise Refused(
                "regular-report-name", f"{file.name} does not begin with the code of a school in the register.", "Name it 99AA99….pdf."
            )
        if not file.read_bytes().startswith(b"%PDF-"):
            raise Refused("regular-report-not-pdf", f"{file.name} is not a PDF.", "Make it anew; nothing was imported.")
        taken.append((match[1].upper(), file))
    if len({code for code, _ in taken}) != len(taken):
        raise Refused("regular-report-twice", "Two files are of the same school.", "Keep one; nothing was imported.")
    make_folder(home.reports / campaign)
    _record(home, campaign, [_keep(home, campaign, code, "regular", file.read_bytes()) for code, file in taken])
    sequence(home)
    show(ctx, {"campaign": campaign, "reports": len(taken)})


def _schools(home: Home, session: Session, campaign: Campaign) -> pl.DataFrame:
    """Every school with a board on the campaign's reference date, with its pseudonym in the results store."""
    day = reference_date(campaign)
    rows = session.exec(
        select(School, Board)
        .join(Mandate, col(Mandate.school) == School.code)
        .join(Board, col(Board.number) == Mandate.board)
        .where(Mandate.valid_from <= day, or_(col(Mandate.valid_until).is_(None), col(Mandate.valid_until) > day))
        .order_by(col(School.code))
    ).all()
    pseudonyms = home.pseudonyms("school").many([school.code for school, _ in rows])
    return pl.DataFrame(
        {
            "school": pseudonyms,
            "code": [school.code for school, _ in rows],
            "name": [school.name for school, _ in rows],
            "board": [board.number for _, board in rows],
            "board_name": [board.name for _, board in rows],
            "denomination": [school.denomination for school, _ in rows],
            "municipality": [school.municipality for school, _ in rows],
            "kind": [school.kind for school, _ in rows],
        }
    )


def _rendered(figures: CampaignFigures, codes: list[str], publication: date, campaign: str) -> Iterator[tuple[str, bytes]]:
    """The PDFs, rendered by as many processes as there are cores; a few at a time, so that memory stays flat."""
    if len(codes) == 1:
        report = figures.school(codes[0])
        assert report is not None
        yield codes[0], render(report, publication, campaign)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(max_workers=os.cpu_count() or 1, mp_context=context) as pool:
        for start in range(0, len(codes), BATCH):
            batch = codes[start : start + BATCH]
            reports = [figures.school(code) for code in batch]
            yield from zip(batch, pool.map(render, reports, [publication] * len(batch), [campaign] * len(batch), chunksize=8), strict=True)


def _keep(home: Home, campaign: str, code: str, kind: str, pdf: bytes) -> Report:
    name = f"{campaign}/{code}.{kind}.pdf"
    replace_durably(home.reports / name, pdf)
    return Report(
        campaign=campaign, school=code, kind=kind, file=name, sha256=hashlib.sha256(pdf).hexdigest(), bytes=len(pdf), built_at=home.clock()
    )


def _record(home: Home, campaign: str, reports: list[Report]) -> None:
    if not reports:
        return
    with home.ledger.change("administrator") as change:
        for report in reports:
            change.session.merge(report)
        change.audit("reports.kept", campaign, count=len(reports), kind=reports[0].kind, first=reports[0].school, last=reports[-1].school)
