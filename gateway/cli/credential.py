"""`sluis credential`: boards' logins. A password exists on paper (or once on this terminal) and as Argon2id, nowhere else."""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import date, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from gateway.cli.context import home_of
from gateway.cli.output import say, show
from gateway.publish.letter import LetterFacts, Prepared, prepare
from gateway.store import credentials
from gateway.store.durable import make_folder, remove_unfinished, replace_durably
from gateway.store.home import Home
from gateway.store.models import Board
from policies.calendar import day_of
from policies.errors import WrongUsage

ACTOR = "administrator"

#: Renewed yearly by letter, with a month in which old and new letters may cross in the post [days]
VALID_DAYS = 396

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)


@app.command()
def issue(
    ctx: typer.Context,
    boards: Annotated[list[str] | None, typer.Argument(metavar="BOARD…", help="board numbers of 5 digits")] = None,
    all_boards: Annotated[bool, typer.Option("--all", help="every board of the register")] = False,
    letters: Annotated[Path | None, typer.Option(help="write a letter per board here instead of showing the passwords")] = None,
    valid_until: Annotated[datetime | None, typer.Option(formats=["%Y-%m-%d"], help="last day; default: 13 months from now")] = None,
) -> None:
    """Give boards a new password; what they had before ends."""
    if bool(boards) == all_boards:
        raise WrongUsage("boards-unclear", "Name boards, or give --all.", "For example: sluis credential issue 12345 --letters brieven")
    home = home_of(ctx)
    until = valid_until.date() if valid_until else day_of(home.clock()) + timedelta(days=VALID_DAYS)
    issued = issue_credentials(home, None if all_boards else boards, until, letters)
    if letters is None:
        say(ctx, "These passwords are shown once and stored nowhere: pass them on now.")
    else:
        say(ctx, f"{len(issued)} letters. They hold passwords: print them, then delete them.")
    show(ctx, issued)


@app.command("list")
def list_credentials(ctx: typer.Context) -> None:
    """Every board's newest login: its state and when it was last used."""
    home = home_of(ctx)
    with home.ledger.view() as session:
        found = credentials.standings(session, day_of(home.clock()))
    show(ctx, [vars(standing) for standing in found])


@app.command()
def revoke(ctx: typer.Context, boards: Annotated[list[str], typer.Argument(metavar="BOARD…", help="board numbers of 5 digits")]) -> None:
    """End a board's login and its sessions, at once."""
    with home_of(ctx).ledger.change(ACTOR) as change:
        for board in boards:
            credentials.revoke(change, board)
    show(ctx, {"revoked": boards})


def issue_credentials(home: Home, numbers: Sequence[str] | None, valid_until: date, letters: Path | None) -> list[dict[str, str]]:
    """New credentials for these boards (None: all of the register), true for all of them at once.

    The answer has per board `board`, `name`, `valid_until` and either `letter` (a path) or `password`. Letters are on disk before the
    credentials count: a crash can leave a letter that does not work, never a board that is locked out. Raises NotFound for an unknown
    board, WrongUsage for a day in the past.
    """
    if valid_until < day_of(home.clock()):
        raise WrongUsage("day-past", "A credential can't end before it begins.", "Give a later --valid-until.")
    with home.ledger.view() as session:
        boards = credentials.boards_named(session, numbers)
    if letters is not None:
        make_folder(letters.resolve())
        remove_unfinished(letters.resolve())  # half a letter holds a password too
    made: list[tuple[Board, Prepared]] = []
    with ThreadPoolExecutor(os.cpu_count()) as pool:  # Argon2 and Typst compute outside Python's lock
        facts = [_facts(home, board, valid_until) for board in boards]
        for board, prepared in zip(boards, pool.map(partial(prepare, with_letter=letters is not None), facts), strict=True):
            if letters is not None and prepared.letter is not None:
                replace_durably(_letter(letters, board.number), prepared.letter)
            made.append((board, replace(prepared, letter=None)))
    with home.ledger.change(ACTOR) as change:
        for board, prepared in made:
            credentials.issue(change, board.number, prepared.password_hash, valid_until)
    return [_shown(board, prepared, valid_until, letters) for board, prepared in made]


def _facts(home: Home, board: Board, valid_until: date) -> LetterFacts:
    authority = home.config.authority
    return LetterFacts(
        board=board.number,
        board_name=board.name,
        address=(),  # DUO's register of schools has no address of a board
        portal=home.portal_address,
        valid_until=valid_until,
        written_on=day_of(home.clock()),
        authority=authority.name,
        authority_address=authority.address,
        contact=authority.contact,
    )


def _letter(folder: Path, board: str) -> Path:
    return folder.resolve() / f"{board}.pdf"


def _shown(board: Board, prepared: Prepared, valid_until: date, letters: Path | None) -> dict[str, str]:
    row = {"board": board.number, "name": board.name, "valid_until": valid_until.isoformat()}
    if letters is not None:
        return {**row, "letter": str(_letter(letters, board.number))}
    return {**row, "password": prepared.password or ""}
