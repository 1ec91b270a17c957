"""`sluis audit`: the log, its proof, and one drop's certificate."""

import json
from datetime import date
from pathlib import Path
from typing import Annotated

import typer

from audit import document
from audit.checkpoint import Checkpoint, read_checkpoint
from audit.entry import Entry
from audit.log import AuditLog
from gateway.cli.context import home_of, settings_of
from gateway.cli.dates import day
from gateway.cli.output import show
from gateway.store.auditing import sequence
from gateway.store.concerning import names_in, names_of_board, names_of_drop, names_of_school, names_of_vendor
from gateway.store.durable import replace_durably
from gateway.store.ledger import drop_of
from gateway.worker.receipts import erasure_certificate
from policies.calendar import day_of
from policies.errors import NotFound, Unsound

#: how the files of checkpoints end that a folder collects
SUFFIX = ".checkpoint"

app = typer.Typer(add_completion=False, rich_markup_mode=None, no_args_is_help=True)


@app.command("show")
def show_(
    ctx: typer.Context,
    object: Annotated[str | None, typer.Option("--object", help="Only what happened to this drop, school, board, campaign or key.")] = None,
    drop: Annotated[str | None, typer.Option("--drop", help="Only what concerns this drop, the end of its day's key too.")] = None,
    vendor: Annotated[str | None, typer.Option("--vendor", help="Only what concerns this vendor and what it delivered.")] = None,
    school: Annotated[str | None, typer.Option("--school", help="Only what concerns this school and the drops that held it.")] = None,
    board: Annotated[str | None, typer.Option("--board", help="Only what concerns this board and the drops that held its schools.")] = None,
    actor: Annotated[str | None, typer.Option(help="Only what this actor did.")] = None,
    action: Annotated[str | None, typer.Option(help="Only actions that begin so, as drop. or portal.")] = None,
    since: Annotated[date | None, day("--since", "From this day on.")] = None,
    until: Annotated[date | None, day("--until", "Up to and including this day.")] = None,
) -> None:
    """The entries of the log, oldest first: what happened, to what, when, by whom and from where. Several options must all hold."""
    home = home_of(ctx)
    sequence(home)
    log = home.audit_log()
    asked = ((names_of_drop, drop), (names_of_vendor, vendor), (names_of_school, school), (names_of_board, board))
    with home.ledger.view() as session:
        wanted = [names(session, name) for names, name in asked if name is not None]
    wanted += [{object}] if object is not None else []
    rows = []
    for index, data in enumerate(log.entries()):
        entry = Entry.from_bytes(data)
        on = day_of(entry.time)
        told = names_in(entry)
        if (
            all(told & names for names in wanted)
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
def verify(
    ctx: typer.Context,
    against: Annotated[
        list[Path] | None,
        typer.Option("--against", exists=True, help="A checkpoint that was kept elsewhere, or a folder of them: the log must extend each."),
    ] = None,
) -> None:
    """Recompute the whole log and compare it with its signed checkpoint; names the first entry that was touched. Exit status 3 then.

    An operator who has the signing key can write another past and sign it. What --against proves is that today's log only adds to
    what a checkpoint told that was out of that operator's hands.
    """
    home = home_of(ctx)
    older = [(path, read_checkpoint(path.read_bytes(), home.audit_origin, [home.audit_verifier()])) for path in _files(against or [])]
    if home.keystore.exists("signing", "audit"):
        sequence(home)
    log = AuditLog(home.path / "audit", home.audit_origin)
    verdict = log.verify(home.audit_verifier())
    extended = [path for path, checkpoint in older if verdict.sound and _extends(log, checkpoint)]
    compared = {
        "older_checkpoints": len(older),
        "extended": len(extended),
        "not_extended": [str(path) for path, _ in older if path not in extended],
    }
    show(
        ctx,
        {
            "log": home.audit_origin,
            "sound": verdict.sound,
            "entries": verdict.size,
            "first_bad": verdict.first_bad,
            "what": verdict.what,
            **(compared if against else {}),
        },
    )
    if not verdict.sound:
        raise Unsound(
            "audit-log-touched",
            f"The audit log is not what was signed. {verdict.what}",
            "Keep this folder as it is and find out who could write in it.",
        )
    if len(extended) < len(older):
        raise Unsound(
            "audit-forked",
            "The audit log does not extend a checkpoint that was kept elsewhere: its past was rewritten or taken away.",
            "Keep both, change nothing, and compare with the log's backups.",
        )


def _files(paths: list[Path]) -> list[Path]:
    """The checkpoints meant: of a folder all files that end as `checkpoint --to` names them."""
    found = [file for path in paths for file in (sorted(path.glob(f"*{SUFFIX}")) if path.is_dir() else [path])]
    if paths and not found:
        raise NotFound("no-checkpoint", "There is no checkpoint to compare with.", f"Their names end in {SUFFIX}.")
    return found


def _extends(log: AuditLog, older: Checkpoint) -> bool:
    try:
        log.prove_consistency(older)
    except Unsound:
        return False
    return True


@app.command()
def checkpoint(
    ctx: typer.Context,
    to: Annotated[Path | None, typer.Option("--to", help="Write it to this file, or into this folder; default: standard output.")] = None,
) -> None:
    """The log's signed checkpoint, to keep where this machine's operators can't reach it: see `audit verify --against`.

    In a folder each has a name of its own, so a folder collects them; the same state of the log is written once.
    """
    home = home_of(ctx)
    sequence(home)
    signed = home.audit_log().checkpoint()
    size = read_checkpoint(signed, home.audit_origin, [home.audit_verifier()]).size
    if to is None:
        typer.echo(signed.decode(), nl=False)
        return
    file = to / f"{size:012d}{SUFFIX}" if to.is_dir() else to
    if not to.is_dir() or not file.exists():
        replace_durably(file, signed)
    show(ctx, {"log": home.audit_origin, "entries": size, "checkpoint": str(file)})


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
