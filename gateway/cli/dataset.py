"""`sluis dataset`."""

import re
from pathlib import Path
from typing import Annotated

import typer

from gateway.cli.context import home_of
from gateway.cli.output import show
from gateway.cli.results import results_that_count
from gateway.linker.dataset import Domains, export
from gateway.store.auditing import sequence
from gateway.store.home import Home
from gateway.store.touched import check_settled
from gateway.worker.withdrawals import withdraw_persons
from policies.calendar import day_of
from policies.errors import Refused

app = typer.Typer(add_completion=False, rich_markup_mode=None, no_args_is_help=True)

#: a project's name is part of how its pseudonyms are derived, and of file names
PROJECT = re.compile(r"[a-z][a-z0-9-]{2,39}")


@app.callback()
def dataset() -> None:
    """Pseudonymised data for one research project."""


@app.command("export")
def export_(
    ctx: typer.Context,
    project: Annotated[str, typer.Option(help="The research project: its pseudonyms can't be joined with another's.")],
    to: Annotated[Path, typer.Option(file_okay=False, help="A new folder for the Parquet and its codebook.")],
) -> None:
    """All linked results under the project's own pseudonyms, as Parquet with a codebook."""
    home = home_of(ctx)
    if not PROJECT.fullmatch(project) or project == "store":
        raise Refused("project-name", "That can't be a project's name.", "Use 3 to 40 lower-case letters, digits and '-', a letter first.")
    if to.exists() and any(to.iterdir()):
        raise Refused(
            "folder-not-empty", "The folder for the dataset is not empty.", "Give a new one: a dataset is never mixed with another."
        )
    withdraw_persons(home, "administrator")
    with results_that_count(home) as (results, parts):
        with home.ledger.view() as session:
            check_settled(session)
        if not parts:
            raise Refused("no-results", "Nothing has been linked yet.", "`sluis drop list` tells where the drops stand.")
        with home.ledger.change("administrator") as change:
            change.audit("dataset.export-begun", project, parts=len(parts))
        to.mkdir(parents=True, exist_ok=True)
        facts = export(results, _domains(home, "store"), _domains(home, f"project-{project}"), to, project, day_of(home.clock()))
    with home.ledger.change("administrator") as change:
        change.audit("dataset.exported", project, rows=facts.rows, persons=facts.persons, sha256=facts.sha256)
    sequence(home)
    show(ctx, {"project": project, "folder": str(to), "rows": facts.rows, "persons": facts.persons, "sha256": facts.sha256})


def _domains(home: Home, domain: str) -> Domains:
    return Domains(home.pseudonyms("person", domain), home.pseudonyms("school", domain))
