"""`sluis report`."""

import hashlib
import multiprocessing
import os
import re
from collections.abc import Iterator, Mapping
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
from gateway.cli.results import results_that_count
from gateway.cli.settings import settings_of
from gateway.registers.background import load_background
from gateway.reports.campaign import CampaignFigures
from gateway.reports.pdf import render
from gateway.store.auditing import sequence
from gateway.store.campaigns import boards_that_delivered, campaign_of
from gateway.store.drops import live_register
from gateway.store.durable import make_folder, replace_durably, unlink_durably
from gateway.store.home import Home
from gateway.store.models import Board, Campaign, Mandate, Report, School
from gateway.store.objections import newest_registers
from gateway.store.publication import reference_date
from gateway.store.touched import check_settled, schools_changed, touched_reports
from gateway.worker.withdrawals import withdraw_persons
from policies.calendar import day_of
from policies.errors import NotFound, Refused, SluisError
from policies.identifiers import parse_school

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
    """Compute the campaign's figures and make a growth report for every school of which something was delivered in it."""
    home = home_of(ctx)
    school = parse_school(school) if school is not None else None
    withdraw_persons(home, "administrator")
    with home.ledger.view() as session:
        found = campaign_of(session, campaign)
        check_settled(session)
        registers = {code: register.version for code, register in newest_registers(session, campaign).items()}
        schools = _schools(home, session, found)
        delivered = boards_that_delivered(session, campaign)  # what is known of earlier rounds alone makes no report of this one
        background = live_register(session, "background")
    traits = load_background(home.registers / background.file) if background else None
    with results_that_count(home) as (results, read):
        figures = CampaignFigures.compute(results, schools, traits) if read else None
    having_results = [code for code in figures.codes() if code in delivered] if figures else []
    codes = [code for code in having_results if school in (None, code)]
    removed = _remove_without_results(home, campaign, school, having_results)
    if not codes and not removed:
        raise _no_results(bool(read), school)
    make_folder(home.reports / campaign)
    made: list[Report] = []
    touched: set[str] = set()
    silent = settings_of(ctx).json
    if figures is not None:
        rendered = _rendered(figures, codes, day_of(found.publish_from), campaign)
        for code, pdf in track(rendered, total=len(codes), description="Reports", disable=silent):
            made.append(_keep(home, campaign, code, "growth", pdf, registers.get(code)))
            if len(made) == BATCH:
                touched |= _record(home, campaign, made, read)
                made = []
    touched |= _record(home, campaign, made, read)
    sequence(home)
    if not silent:
        again = f"{len(touched)} of them hold results that were withdrawn meanwhile: build them again. " if touched else ""
        say(ctx, f"{again}`sluis publish` makes them visible to their boards.")
    show(ctx, {"campaign": campaign, "reports": len(codes), "removed": len(removed), "touched": len(touched)})


@app.command("import")
def import_(
    ctx: typer.Context,
    folder: Annotated[Path, typer.Argument(exists=True, file_okay=False)],
    campaign: Annotated[str, typer.Option(help="The collection round.")],
) -> None:
    """Take in regular reports made elsewhere: files named `99AA99….pdf`, one per school. All of them, or none."""
    home = home_of(ctx)
    files = sorted(folder.glob("*.[pP][dD][fF]"))
    if not files:
        raise Refused("no-regular-reports", "There is no PDF in that folder.", "Name the folder with the files 99AA99….pdf.")
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
    _record(home, campaign, [_keep(home, campaign, code, "regular", file.read_bytes()) for code, file in taken], {})
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


def _no_results(linked: bool, school: str | None) -> SluisError:
    if linked and school is not None:
        return NotFound(
            "no-results-of-school", f"School {school} has no results in this campaign.", "`sluis drop list` tells where its drop stands."
        )
    return Refused("no-results", "Nothing has been linked yet.", "`sluis drop list` tells where the drops stand.")


def _remove_without_results(home: Home, campaign: str, school: str | None, having_results: list[str]) -> list[str]:
    """Touched reports (of one school) that can't be built anew, for nothing is left of their schools' results, are gone; which schools'."""
    with home.ledger.view() as session:
        touched = [report for report in touched_reports(session, campaign) if school in (None, report.school)]
    removed = [report for report in touched if report.school not in having_results]
    for report in removed:
        unlink_durably(home.reports / report.file)
        with home.ledger.change("administrator") as change:
            change.session.delete(change.session.get_one(Report, (campaign, report.school, report.kind)))
            change.audit("report.removed", report.school, campaign=campaign, reason="no results of the school are left")
    return [report.school for report in removed]


def _keep(home: Home, campaign: str, code: str, kind: str, pdf: bytes, register: int | None = None) -> Report:
    name = f"{campaign}/{code}.{kind}.pdf"
    replace_durably(home.reports / name, pdf)
    return Report(
        campaign=campaign,
        school=code,
        kind=kind,
        file=name,
        sha256=hashlib.sha256(pdf).hexdigest(),
        bytes=len(pdf),
        built_at=home.clock(),
        objection_register=register,
    )


def _record(home: Home, campaign: str, reports: list[Report], read: Mapping[str, str]) -> set[str]:
    """Enter reports that were made of the parts `read`; answers the schools of which results were withdrawn since: theirs are touched."""
    if not reports:
        return set()
    with home.ledger.change("administrator") as change:
        changed = schools_changed(change.session, read)
        for report in reports:
            report.touched_at = change.now if report.school in changed else None
            change.session.merge(report)
        change.audit("reports.kept", campaign, count=len(reports), kind=reports[0].kind, first=reports[0].school, last=reports[-1].school)
    return changed & {report.school for report in reports}
