"""`sluis vendor signing-key`: the OpenPGP keys with which a vendor signs its deliveries; with one, what is not signed is refused."""

from datetime import datetime
from pathlib import Path
from typing import Any

import typer

from gateway.cli.context import home_of
from gateway.cli.output import show
from gateway.store.auditing import sequence
from gateway.store.models import VendorSigningKey
from gateway.store.signing_keys import add_signing_key, remove_signing_key, signing_keys
from gateway.store.vendors import vendor_of
from keys.signing_keys import MAX_KEY_BYTES, read_signing_key
from policies.errors import NotFound, Refused

app = typer.Typer(add_completion=False, rich_markup_mode=None, no_args_is_help=True)


@app.command()
def add(ctx: typer.Context, name: str, file: Path) -> None:
    """From now on each of the vendor's files has to be signed by this key, or another of its signing keys.

    FILE is its public key (gpg --armor --export). A key that it has already takes its new form: a later end, another subkey.
    Compare the fingerprint with the vendor, by another way than the file came.
    """
    home = home_of(ctx)
    if not home.config.recipients.openpgp:
        raise Refused("openpgp-off", "OpenPGP is off, and age knows no signatures.", "First set `openpgp = true` under [recipients].")
    key = read_signing_key(_content(file), home.clock())
    with home.ledger.change("administrator") as change:
        add_signing_key(change, name, key)
    sequence(home)
    show(ctx, {"vendor": name, "fingerprint": key.fingerprint, "valid_until": key.valid_until})


@app.command("list")
def list_(ctx: typer.Context, name: str) -> None:
    """The vendor's signing keys; none: what it delivers needs no signature."""
    home = home_of(ctx)
    with home.ledger.view() as session:
        vendor_of(session, name)
        rows = [row_of(key, home.clock()) for key in signing_keys(session, name)]
    show(ctx, rows)


@app.command()
def remove(ctx: typer.Context, name: str, fingerprint: str) -> None:
    """What comes in from now on is not signed by this key. What was received before still is: `sluis drop withdraw` takes it back."""
    home = home_of(ctx)
    with home.ledger.change("administrator") as change:
        left = remove_signing_key(change, name, fingerprint)
    sequence(home)
    show(ctx, {"vendor": name, "removed": fingerprint, "signature_needed": left > 0})


def row_of(key: VendorSigningKey, now: datetime) -> dict[str, Any]:
    """A signing key as it is listed."""
    state = "valid"
    if not key.public_key:
        state = "lost: add it again"
    elif key.valid_until is not None and now >= key.valid_until:
        state = "expired"
    return {"fingerprint": key.fingerprint, "state": state, "added_at": key.added_at, "valid_until": key.valid_until}


def _content(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(MAX_KEY_BYTES + 1)
    except OSError:
        raise NotFound("no-key-file", f"{path} can't be read.", "Name the vendor's public key: gpg --armor --export FINGERPRINT.") from None
