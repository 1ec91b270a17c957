"""How a command answers: a table for people, one JSON document for programs. Standard output carries nothing else.

Times in a table are those of Europe/Amsterdam, as options take them (gateway/cli/dates.py); in JSON they say their zone.
"""

import json
import sys
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from gateway.cli.settings import settings_of
from policies.calendar import AMSTERDAM

Document = Mapping[str, Any]


def _plain(value: Any) -> Any:
    if isinstance(value, datetime | date):
        return value.isoformat()
    raise TypeError(f"{type(value).__name__} has no place in an answer")


def _cell(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, datetime):
        return value.astimezone(AMSTERDAM).strftime("%Y-%m-%d %H:%M:%S")
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_cell(item)}" for key, item in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(map(_cell, value))
    return str(value)


def wide_console() -> Console:
    """Standard output for tables: a file or a pipe has no width, so a table is not broken there."""
    return Console(soft_wrap=True, width=None if sys.stdout.isatty() else 240)


def show(
    ctx: typer.Context, document: Document | Sequence[Document], columns: Sequence[str] | None = None, title: str | None = None
) -> None:
    """Print one document (a line per key) or a list of them (a table of `columns`); with --json the whole of it as JSON."""
    if settings_of(ctx).json:
        json.dump(document, sys.stdout, ensure_ascii=False, indent=2, default=_plain)
        sys.stdout.write("\n")
        return
    console = wide_console()
    if isinstance(document, Mapping):
        width = max((len(key) for key in document), default=0)
        for key, value in document.items():
            console.print(f"[bold]{key.replace('_', ' '):<{width}}[/bold]  {escape(_cell(value))}", highlight=False)
        return
    if not document:
        console.print("Nothing to show.", highlight=False)
        return
    names = list(columns or document[0])
    table = Table(title=title, title_justify="left", box=None, header_style="bold", pad_edge=False)
    for name in names:
        right = all(isinstance(row.get(name), int) and not isinstance(row.get(name), bool) for row in document)
        table.add_column(name.replace("_", " "), justify="right" if right else "left", overflow="fold")
    for row in document:
        table.add_row(*(escape(_cell(row.get(name))) for name in names))
    console.print(table)


def say(ctx: typer.Context, text: str) -> None:
    """One line for a person on standard error: what happened, beside the document on standard output."""
    Console(stderr=True, soft_wrap=True).print(text, highlight=False, markup=False)
