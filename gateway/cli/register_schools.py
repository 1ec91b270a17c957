"""`sluis register schools`, `school` and `board`: DUO's register, what an import of it changes, and whose a school was when."""

import hashlib
from collections.abc import Sequence
from dataclasses import asdict
from datetime import date
from pathlib import Path
from typing import Annotated, Any

import typer

from gateway.cli.context import home_of
from gateway.cli.dates import day
from gateway.cli.output import say, show
from gateway.cli.settings import settings_of
from gateway.registers.schools import DuoRegister, read_duo
from gateway.store.auditing import sequence
from gateway.store.registry import Differences, Period, What, board_history, import_schools, school_history
from policies.calendar import day_of
from policies.errors import Refused
from policies.identifiers import parse_school
from policies.register_changes import suspicions

File = Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="The CSV to import.")]


class _DryRun(Exception):
    """Undoes the change of a rehearsal."""


def schools(
    ctx: typer.Context,
    file: File,
    as_of: Annotated[date | None, day("--as-of", "From which day it is so; default today.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would change, one by one, and change nothing.")] = False,
    accept: Annotated[bool, typer.Option("--accept", help="Also when so much changes that the file may be a wrong one.")] = False,
) -> None:
    """Boards and schools from DUO's CSV of all vestigingen; keeps who was whose when."""
    home = home_of(ctx)
    source = file.read_bytes()
    register = read_duo(source)
    numbers = {board.number: board.name for board in register.boards}
    try:
        with home.ledger.change("administrator") as change:
            differences = import_schools(
                change, numbers, _rows(register), as_of or day_of(home.clock()), hashlib.sha256(source).hexdigest()
            )
            doubts = suspicions(differences.counts(), differences.known)
            if dry_run:
                raise _DryRun
            if doubts and not accept:
                raise Refused(
                    "register-suspicious",
                    f"So much changes that the file may be a wrong one or half of one: {' '.join(doubts)}",
                    "Look at what would change with --dry-run; if it is right, import it with --accept.",
                )
    except _DryRun:
        pass
    sequence(home)
    answer: dict[str, Any] = {"schools": len(register.schools), "boards": len(register.boards), **differences.counts()}
    if dry_run:
        _show_with(ctx, answer | {"changed": False, "suspicious": doubts}, "changes", _changes(differences))
    else:
        show(ctx, answer)


def school(ctx: typer.Context, code: Annotated[str, typer.Argument(help="Its BRIN and vestiging: 99AA99.")]) -> None:
    """A school, and whose it was when. A school that got another number is another school."""
    with home_of(ctx).ledger.view() as session:
        found, periods = school_history(session, parse_school(code))
    now = [period.board for period in periods if period.valid_until is None]
    document = {"school": found.code, "name": found.name, "kind": found.kind, "city": found.city, "board": now[0] if now else None}
    _show_with(ctx, document, "history", _history(periods, ("board", "board_name")))


def board(ctx: typer.Context, board: Annotated[str, typer.Argument(help="Its number: five digits.")]) -> None:
    """A board, and which schools were its own when."""
    with home_of(ctx).ledger.view() as session:
        found, periods = board_history(session, board)
    document = {"board": found.number, "name": found.name, "schools": sum(period.valid_until is None for period in periods)}
    _show_with(ctx, document, "history", _history(periods, ("school", "school_name", "kind")))


def _rows(register: DuoRegister) -> list[tuple[dict[str, str], str]]:
    rows = []
    for row in register.schools:
        fields = asdict(row)
        number = fields.pop("board")
        if not register.kinds_told:  # the kinds that are known stay: no so school becomes a primary school by a file that is silent
            del fields["kind"]
        rows.append((fields, number))
    return rows


def _changes(differences: Differences) -> list[dict[str, Any]]:
    order = list(What)
    return [
        {"change": one.what.value.replace("_", " "), "of": one.object, "name": one.name, "from": one.before, "to": one.after}
        for one in sorted(differences.all, key=lambda one: (order.index(one.what), one.object))
    ]


def _history(periods: Sequence[Period], what: Sequence[str]) -> list[dict[str, Any]]:
    return [{name: getattr(period, name) for name in (*what, "valid_from", "valid_until")} for period in periods]


def _show_with(ctx: typer.Context, document: dict[str, Any], name: str, rows: list[dict[str, Any]]) -> None:
    """A document with a list in it: one JSON document for programs, for people a table below its lines."""
    if settings_of(ctx).json:
        show(ctx, document | {name: rows})
        return
    show(ctx, document)
    if rows:
        show(ctx, rows)
    else:
        say(ctx, f"There is no {name}.")
