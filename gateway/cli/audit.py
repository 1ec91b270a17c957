"""`sluis audit`: the log, its proof, and one drop's certificate."""

import json
from datetime import date
from pathlib import Path
from typing import Annotated

import typer

from audit import document
from audit.entry import Entry
from audit.log import AuditLog
from gateway.cli.context import home_of, settings_of
from gateway.cli.dates import day
from gateway.cli.output import show
from gateway.store.auditing import sequence
from gateway.store.ledger import drop_of
from gateway.worker.receipts import erasure_certificate
from policies.calendar import day_of
from policies.errors import Unsound

app = typer.Typer(add_completion=False, rich_markup_mode=None, no_args_is_help=True)


@app.command("show")
def show_(
    ctx: typer.Context,
    object: Annotated[str | None, typer.Option("--object", help="Only what happened to this drop, school, board, campaign or key.")] = None,
    actor: Annotated[str | None, typer.Option(help="Only what this actor did.")] = None,
    action: Annotated[str | None, typer.Option(help="Only actions that begin so, as drop. or portal.")] = None,
    since: Annotated[date | None, day("--since", "From this day on.")] = None,
    until: Annotated[date | None, day("--until", "Up to and including this day.")] = None,
) -> None:
    """The entries of the log, oldest first."""
    home = home_of(ctx)
    sequence(home)
    log = home.audit_log()
    rows = []
    for index, data in enumerate(log.entries()):
        entry = Entry.from_bytes(data)
        on = day_of(entry.time)
        if (
            (object is None or entry.object == object or object in map(str, entry.detail.values()))
            and (actor is None or entry.actor == actor)
            and (action is None or entry.action.startswith(action))
            and (since is None or on >= since)
            and (until is None or on <= until)
        ):
            rows.append(
                {
                    "index": index,
                    "time": entry.time,
                    "actor": entry.actor,
                    "origin": entry.origin,
                    "action": entry.action,
                    "object": entry.object,
                    "result": entry.result,
                    "detail": dict(entry.detail),
                }
            )
    show(ctx, rows)


@app.command()
def verify(ctx: typer.Context) -> None:
    """Recompute the whole log and compare it with its signed checkpoint; names the first entry that was touched. Exit status 3 then."""
    home = home_of(ctx)
    if home.keystore.exists("signing", "audit"):
        sequence(home)
    verdict = AuditLog(home.path / "audit", home.audit_origin).verify(home.audit_verifier())
    show(
        ctx,
        {"log": home.audit_origin, "sound": verdict.sound, "entries": verdict.size, "first_bad": verdict.first_bad, "what": verdict.what},
    )
    if not verdict.sound:
        raise Unsound(
            "audit-log-touched",
            f"The audit log is not what was signed. {verdict.what}",
            "Keep this folder as it is and find out who could write in it.",
        )


@app.command()
def prove(
    ctx: typer.Context,
    drop_id: Annotated[str, typer.Argument(metavar="ID")],
    to: Annotated[Path | None, typer.Option("--to", help="Write it to this file; default: standard output.")] = None,
) -> None:
    """A drop's erasure certificate with the proof that its entry is in the log: signed, checkable with the public key alone."""
    home = home_of(ctx)
    sequence(home)
    with home.ledger.view() as session:
        found = erasure_certificate(home, session, drop_of(session, drop_id))
    if to is not None:
        to.write_bytes(document.write(found))
        show(ctx, {"certificate": str(to), "public_key": str(home.public / "sluis.vkey.txt")})
    elif settings_of(ctx).json:
        typer.echo(json.dumps(found, ensure_ascii=False, indent=2))
    else:
        typer.echo(document.write(found).decode(), nl=False)


@app.command()
def check(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="The document to check.")],
    key: Annotated[Path, typer.Option("--key", exists=True, dir_okay=False, help="The public key: sluis.vkey.txt from `sleutels/`.")],
) -> None:
    """Check a certificate or a receipt offline, with no home."""
    from audit import certificate
    from audit.note import Verifier

    verifier = Verifier.parse(key.read_text(encoding="utf-8", errors="replace").strip())
    found = document.read(file.read_bytes())
    if found.get("schema") == certificate.SCHEMA:
        certificate.check(file.read_bytes(), [verifier])
    else:
        document.check(found, [verifier])
    show(ctx, {"file": str(file), "schema": found.get("schema"), "drop": found.get("drop"), "signed_by": verifier.name, "sound": True})
