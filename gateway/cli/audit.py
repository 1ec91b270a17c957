"""`sluis audit`: the log, its proof, and one drop's certificate."""

import json
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from audit import document
from audit.checkpoint import Checkpoint, read_checkpoint
from audit.entry import Entry
from audit.log import AuditLog
from audit.note import Verifier
from gateway.cli.checkpoint import checkpoint, checkpoint_key
from gateway.cli.context import home_of
from gateway.cli.dates import since as since_option
from gateway.cli.dates import until as until_option
from gateway.cli.output import show
from gateway.cli.settings import settings_of
from gateway.publish.certificate import certificate_pdf
from gateway.store.auditing import sequence
from gateway.store.checkpoints import SUFFIX
from gateway.store.concerning import names_in, names_of_board, names_of_drop, names_of_school, names_of_vendor
from gateway.store.ledger import drop_of
from gateway.worker.receipts import erasure_certificate
from policies.errors import NotFound, Unsound, WrongUsage

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
    since: Annotated[datetime | None, since_option("--since", "From this day or moment on.")] = None,
    until: Annotated[datetime | None, until_option("--until", "Up to and including this day or moment.")] = None,
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
        told = names_in(entry)
        if (
            all(told & names for names in wanted)
            and (actor is None or entry.actor == actor)
            and (action is None or entry.action.startswith(action))
            and (since is None or entry.time >= since)
            and (until is None or entry.time < until)
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
    folder: Annotated[
        Path | None, typer.Option("--log", exists=True, file_okay=False, help="A copy of a log, to be verified without a home; with --key.")
    ] = None,
    key: Annotated[
        Path | None, typer.Option("--key", exists=True, dir_okay=False, help="The public key of that log: sluis.vkey.txt from `sleutels/`.")
    ] = None,
) -> None:
    """Recompute the whole log and compare it with its signed checkpoint; names the first entry that was touched. Exit status 3 then.

    An operator who has the signing key can write another past and sign it. What --against proves is that today's log only adds to
    what a checkpoint told that was out of that operator's hands. With --log and --key anybody can do it who was given a copy of the log.
    """
    log, verifier = _log_of(ctx, folder, key)
    older = [(path, read_checkpoint(path.read_bytes(), log.origin, [verifier])) for path in _files(against or [])]
    verdict = log.verify(verifier)
    extended = [path for path, checkpoint in older if verdict.sound and _extends(log, checkpoint)]
    compared = {
        "older_checkpoints": len(older),
        "extended": len(extended),
        "not_extended": [str(path) for path, _ in older if path not in extended],
    }
    show(
        ctx,
        {
            "log": log.origin,
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


def _log_of(ctx: typer.Context, folder: Path | None, key: Path | None) -> tuple[AuditLog, Verifier]:
    """The home's log with everything in it that waited to be written there; or a copy of one."""
    if (folder is None) != (key is None):
        raise WrongUsage("log-and-key", "--log and --key belong together.", "The key says whose log it has to be.")
    if folder is not None and key is not None:
        verifier = _verifier(key)
        return AuditLog(folder, verifier.name), verifier
    home = home_of(ctx)
    if home.keystore.exists("signing", "audit"):
        sequence(home)
    return AuditLog(home.path / "audit", home.audit_origin), home.audit_verifier()


def _verifier(key: Path) -> Verifier:
    return Verifier.parse(key.read_text(encoding="utf-8", errors="replace"))


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


app.command()(checkpoint)
app.command("checkpoint-key")(checkpoint_key)


@app.command()
def prove(
    ctx: typer.Context,
    drop_id: Annotated[str, typer.Argument(metavar="ID")],
    to: Annotated[Path | None, typer.Option("--to", help="Write it to this file; default, without --pdf: standard output.")] = None,
    pdf: Annotated[
        Path | None, typer.Option("--pdf", help="Write the page for people (Dutch) to this file; the certificate is attached to it.")
    ] = None,
) -> None:
    """A drop's erasure certificate with the proof that its entry is in the log: signed, checkable with the public key alone.

    The vendor finds the same in `ontvangst/`.
    """
    home = home_of(ctx)
    sequence(home)
    with home.ledger.view() as session:
        found = erasure_certificate(home, session, drop_of(session, drop_id))
    files = {name: path for name, path in (("certificate", to), ("pdf", pdf)) if path is not None}
    if to is not None:
        to.write_bytes(document.write(found))
    if pdf is not None:
        pdf.write_bytes(certificate_pdf(found))
    if files:
        show(ctx, {**{name: str(path) for name, path in files.items()}, "public_key": str(home.public / "sluis.vkey.txt")})
    elif settings_of(ctx).json:
        typer.echo(json.dumps(found, ensure_ascii=False, indent=2))
    else:
        typer.echo(document.write(found).decode(), nl=False)


@app.command()
def check(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="The document to check.")],
    key: Annotated[Path, typer.Option("--key", exists=True, dir_okay=False, help="The public key: sluis.vkey.txt from `sleutels/`.")],
    note: Annotated[
        Path | None, typer.Option("--note", help="Also write it to this file as a signed note (C2SP), which other tools check.")
    ] = None,
) -> None:
    """Check a certificate or a receipt offline, with no home: who signed it and, of a certificate, that the log has the erasure.

    Exit status 3 when it is not what was signed, or when that key did not sign it.
    """
    from audit import certificate

    verifier = _verifier(key)
    data = file.read_bytes()
    if data.startswith(b"%PDF-"):
        raise WrongUsage("a-page", "This is the page for people.", "Check the .certificaat.json beside it; it is attached to the page too.")
    found = document.read(data)
    if found.get("schema") == certificate.SCHEMA:
        certificate.check(data, [verifier])
    else:
        document.check(found, [verifier])
    if note is not None:
        note.write_bytes(document.as_note(found))
    told = {name: found.get(name) for name in ("schema", "drop", "sha256", "bytes", "received_at", "erased_at")}
    show(ctx, {"file": str(file), **told, "signed_by": verifier.name, "sound": True})
