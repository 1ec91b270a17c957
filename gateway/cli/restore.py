"""`sluis restore`."""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from gateway.cli.context import home_path
from gateway.cli.output import say, show
from gateway.cli.settings import settings_of
from gateway.linker.rows import remove_rows
from gateway.store.restore import Order, Restored, restore
from keys.secret import Secret
from policies.errors import Refused

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command("restore")
def restore_(
    ctx: typer.Context,
    backup: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="The file that `sluis backup` wrote.")],
    identity: Annotated[Path, typer.Option("--identity", help="A file with the private half of a key that it was sealed to; - reads it.")],
    log: Annotated[
        Path | None,
        typer.Option("--log", exists=True, file_okay=False, help="The audit log of the last moment: the folder audit/, or a copy."),
    ] = None,
    log_lost: Annotated[str, typer.Option("--log-lost", help="Instead of --log: why there is no newer log than the backup's.")] = "",
    against: Annotated[
        list[Path] | None,
        typer.Option("--against", exists=True, dir_okay=False, help="A checkpoint kept elsewhere, which the log must extend."),
    ] = None,
    mortal: Annotated[
        Path | None,
        typer.Option(
            "--mortal", exists=True, file_okay=False, help="The folder mortal/, where it outlived the home. Nothing is left in it."
        ),
    ] = None,
    database: Annotated[
        str | None, typer.Option("--database", help="An empty database instead of the one in the backup; empty text: SQLite in the home.")
    ] = None,
) -> None:
    """Make a home out of a backup. What the audit log says has ended ends before anything can start; without the log it refuses."""
    path = home_path(ctx)
    order = Order(backup, identities_in(identity), log, log_lost, against or (), mortal, database)
    restored = restore(path, order, remove_rows)
    document = _document(path, restored)
    if settings_of(ctx).json:
        show(ctx, document)
        return
    todo = document.pop("do_again")
    show(ctx, {key: value for key, value in document.items() if not isinstance(value, dict | list)})
    for what in restored.contradictions:
        say(ctx, f"This contradicted itself before the backup, too: {what}.")
    if todo:
        say(ctx, "To be done by hand, in this order:")
        show(ctx, [{"what": one["do"], "count": one["count"], "of": one["of"][:8]} for one in todo])


def identities_in(path: Path) -> list[Secret]:
    """The private keys in a file as `age-keygen` writes it, or on standard input. Refused (`bad-identity`) when there is none."""
    try:
        text = sys.stdin.read() if str(path) == "-" else path.read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError):
        text = ""
    found = [Secret(line.strip().encode()) for line in text.splitlines() if line.strip().startswith("AGE-SECRET-KEY-")]
    if not found:
        raise Refused(
            "bad-identity", "There is no age private key.", "It is a line that begins with AGE-SECRET-KEY-1, as `age-keygen` makes it."
        )
    return found


def _document(path: Path, restored: Restored) -> dict[str, Any]:
    lost = restored.losses
    return {
        "home": str(path),
        "backup_of": restored.contents.made_at,
        "log": restored.contents.origin,
        "log_entries": restored.log_size,
        "entries_replayed": restored.replayed,
        "drops_erased": lost.erased,
        "drops_lost": sum(map(len, lost.deliver_again.values())),
        "bundles_lost": lost.bundles,
        "rows_withdrawn": lost.rows_withdrawn,
        "registers_lost": sum(map(len, lost.registers.values())),
        "days_ended": restored.days_ended,
        "mortal_keys_ended": restored.keys_ended,
        "mortal_keys_kept": restored.keys_kept,
        "contradictions": restored.contradictions,
        "do_again": _todo(restored),
    }


def _todo(restored: Restored) -> list[dict[str, Any]]:
    """What only people can do, the most urgent first: who may come in, then what is lost."""
    lost = restored.losses
    rows: list[dict[str, Any]] = []
    if restored.log_lost:
        since = (
            f"revoke again what was revoked since {restored.contents.made_at:%Y-%m-%d %H:%M} UTC: keys of vendors, credentials of boards"
        )
        rows.append({"do": since, "because": "the log was lost", "count": 1, "of": []})
    rows += [
        {"do": what, "because": action, "count": len(objects), "of": objects}
        for action, what, objects in sorted(restored.again, key=lambda row: not row[0].startswith("vendor."))
    ]
    if lost.persons:
        rows.append({"do": "sluis register persons FILE", "because": "its key died", "count": lost.persons, "of": []})
    for campaign, schools in lost.registers.items():
        rows.append({"do": f"registers of objections of {campaign}, again", "because": "lost", "count": len(schools), "of": schools})
    for vendor, drops in sorted(lost.deliver_again.items()):
        rows.append({"do": f"vendor {vendor} delivers again; its receipts say so", "because": "lost", "count": len(drops), "of": drops})
    if lost.publish_again:
        names = sorted(lost.publish_again)
        rows.append(
            {"do": "sluis publish --campaign NAME --reason TEXT", "because": "keys of bundles died", "count": len(names), "of": names}
        )
    return rows
