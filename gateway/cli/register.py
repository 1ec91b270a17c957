"""`sluis register`."""

import typer

from gateway.cli import register_schools
from gateway.cli.context import home_of
from gateway.cli.output import show
from gateway.cli.register_schools import File
from gateway.registers.background import import_background
from gateway.store.auditing import sequence
from gateway.store.drops import live_register
from gateway.store.durable import unlink_durably
from gateway.store.home import Home
from gateway.store.models import RegisterVersion
from gateway.store.registry import new_version
from gateway.worker.persons import import_population
from gateway.worker.withdrawals import withdraw_persons

app = typer.Typer(add_completion=False, rich_markup_mode=None, no_args_is_help=True)

for command in (register_schools.schools, register_schools.school, register_schools.board):
    app.command()(command)


@app.command()
def persons(ctx: typer.Context, file: File) -> None:
    """The population register (`personen-1`); kept as keyed MACs, never as readable identifiers. Replaces the version before."""
    home = home_of(ctx)
    facts, replaced = import_population(home, file, "administrator")
    withdraw_persons(home, "administrator")  # of whom it knows that an objection is about them
    sequence(home)
    show(
        ctx,
        {
            "persons": facts.rows,
            "refused_rows": facts.refused_rows,
            "refused": facts.refused,
            "reference_date": facts.reference_date,
            "replaced": replaced,
        },
    )


@app.command()
def background(ctx: typer.Context, file: File) -> None:
    """Background characteristics per person, kept under pseudonyms. Replaces the version before."""
    home = home_of(ctx)
    target = home.registers / f"background-{_version_name(home)}.parquet"
    with file.open("rb") as source:
        facts = import_background(source, home.pseudonyms("person"), target)
    with home.ledger.change("administrator") as change:
        older = new_version(
            change, RegisterVersion(kind="background", rows=facts.rows, sha256=facts.sha256, file=target.name, imported_at=change.now)
        )
    for old in older:
        unlink_durably(home.registers / old.file)
    sequence(home)
    show(ctx, {"persons": facts.rows, "refused_rows": facts.refused_rows})


@app.command("list")
def list_(ctx: typer.Context) -> None:
    """Which registers are in use."""
    with home_of(ctx).ledger.view() as session:
        found = [live_register(session, kind) for kind in ("schools", "persons", "background")]
    show(
        ctx,
        [
            {
                "register": row.kind,
                "rows": row.rows,
                "reference_date": row.reference_date,
                "imported_at": row.imported_at,
                "sha256": row.sha256,
            }
            for row in found
            if row is not None
        ],
    )


def _version_name(home: Home) -> str:
    return home.clock().strftime("%Y%m%dT%H%M%S%f")
