"""`sluis vendor key`: one vendor's SSH keys, each with its networks and its time."""

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from gateway.cli.context import home_of
from gateway.cli.dates import moment
from gateway.cli.output import show
from gateway.store.auditing import sequence
from gateway.store.ssh_keys import PublicKey, read_public_keys
from gateway.store.vendors import Terms, add_keys, extend_key, revoke_key
from policies.errors import NotFound, WrongUsage

app = typer.Typer(add_completion=False, rich_markup_mode=None, no_args_is_help=True)

from_ = typer.Option("--from", help="A network (CIDR) it may come from; may be given more than once; none: any.")
valid_from = moment("--valid-from", "It counts from then on; default: at once.")
valid_until = moment("--valid-until", "It counts until then; default: for ever.")


def public_keys_in(files: Sequence[Path]) -> list[PublicKey]:
    """The keys in .pub files; NotFound (`no-key-file`), Refused as in `read_public_keys`."""
    keys: list[PublicKey] = []
    for path in files:
        try:
            keys += read_public_keys(path.read_text(encoding="utf-8", errors="replace"))
        except OSError:
            raise NotFound("no-key-file", f"{path} can't be read.", "Name the vendor's public key file, which ends in .pub.") from None
    return keys


@app.command()
def add(
    ctx: typer.Context,
    name: str,
    ssh_key: Annotated[list[Path], typer.Option("--ssh-key", help="A public key (a .pub file); may be given more than once.")],
    source: Annotated[list[str] | None, from_] = None,
    begins: Annotated[datetime | None, valid_from] = None,
    ends: Annotated[datetime | None, valid_until] = None,
    verify_required: Annotated[
        bool,
        typer.Option("--verify-required", help="Of a security key (sk-): its PIN or finger is asked for, a touch alone is not enough."),
    ] = False,
) -> None:
    """Further keys for a vendor. They count at once, or from --valid-from."""
    keys = public_keys_in(ssh_key)
    home = home_of(ctx)
    with home.ledger.change("administrator") as change:
        add_keys(change, name, keys, Terms(source or [], begins, ends, verify_required))
    sequence(home)
    show(ctx, {"vendor": name, "keys": [key.fingerprint for key in keys], "from": source or ["anywhere"], "valid_until": ends})


@app.command()
def extend(
    ctx: typer.Context,
    name: str,
    fingerprint: str,
    ends: Annotated[datetime | None, valid_until] = None,
    for_ever: Annotated[bool, typer.Option("--for-ever", help="It has no end any more.")] = False,
) -> None:
    """Another end for a key: later or sooner. Sessions that came in with it go on until then."""
    if (ends is None) != for_ever:
        raise WrongUsage("which-end", "Name the new end.", "Give either --valid-until MOMENT or --for-ever.")
    home = home_of(ctx)
    with home.ledger.change("administrator") as change:
        extend_key(change, name, fingerprint, ends)
    sequence(home)
    show(ctx, {"vendor": name, "key": fingerprint, "valid_until": ends})


@app.command()
def remove(ctx: typer.Context, name: str, fingerprint: str) -> None:
    """Revoke a key. Works at once and cuts the sessions that came in with it; the vendor's other sessions go on."""
    home = home_of(ctx)
    with home.ledger.change("administrator") as change:
        revoke_key(change, name, fingerprint)
    sequence(home)
    show(ctx, {"vendor": name, "removed": fingerprint})
