"""`sluis vendor`: who may deliver, and with which SSH keys."""

from pathlib import Path
from typing import Annotated

import typer

from gateway.cli.context import home_of
from gateway.cli.output import show
from gateway.store.auditing import sequence
from gateway.store.ssh_keys import read_public_keys
from gateway.store.vendors import add_vendor, all_vendors, remove_vendor, revoke_key, vendor_keys, vendor_of
from policies.errors import NotFound

app = typer.Typer(add_completion=False, rich_markup_mode=None, no_args_is_help=True)


@app.command()
def add(
    ctx: typer.Context,
    name: str,
    ssh_key: Annotated[list[Path], typer.Option("--ssh-key", help="The vendor's public key (a .pub file); may be given more than once.")],
    source: Annotated[list[str] | None, typer.Option("--from", help="A network (CIDR) these keys may come from; none: any.")] = None,
) -> None:
    """A vendor's account, or further keys for one that exists. Works at once, without a restart."""
    keys = []
    for path in ssh_key:
        try:
            keys += read_public_keys(path.read_text(encoding="utf-8", errors="replace"))
        except OSError:
            raise NotFound("no-key-file", f"{path} can't be read.", "Name the vendor's public key file, which ends in .pub.") from None
    home = home_of(ctx)
    with home.ledger.change("administrator") as change:
        add_vendor(change, name, keys, source or [])
    sequence(home)
    show(ctx, {"vendor": name, "keys": [key.fingerprint for key in keys], "from": source or ["anywhere"]})


@app.command("list")
def list_(ctx: typer.Context) -> None:
    """The vendors and how many keys each has."""
    with home_of(ctx).ledger.view() as session:
        rows = [
            {"vendor": vendor.name, "keys": len(vendor_keys(session, vendor.name)), "since": vendor.created_at}
            for vendor in all_vendors(session)
        ]
    show(ctx, rows)


@app.command("show")
def show_(ctx: typer.Context, name: str) -> None:
    """One vendor with its keys."""
    with home_of(ctx).ledger.view() as session:
        vendor = vendor_of(session, name)
        keys = [
            {
                "fingerprint": key.fingerprint,
                "kind": key.public_key.partition(" ")[0],
                "from": key.sources or ["anywhere"],
                "added_at": key.added_at.isoformat(timespec="seconds"),
            }
            for key in vendor_keys(session, name)
        ]
    show(ctx, {"vendor": vendor.name, "since": vendor.created_at, "keys": keys})


@app.command()
def remove(
    ctx: typer.Context,
    name: str,
    key: Annotated[str | None, typer.Option(help="Only this key (its SHA256:… fingerprint); none: the whole account.")] = None,
) -> None:
    """Close a vendor's account, or revoke one of its keys. Works at once; what was delivered stays."""
    home = home_of(ctx)
    with home.ledger.change("administrator") as change:
        if key is None:
            remove_vendor(change, name)
        else:
            revoke_key(change, name, key)
    sequence(home)
    show(ctx, {"vendor": name, "removed": key or "account"})
