"""`sluis vendor ca`: the keys that sign user certificates for a vendor's people and machines, and what of it was withdrawn."""

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from gateway.cli.context import home_of
from gateway.cli.output import show
from gateway.cli.vendor_key import from_, public_keys_in, valid_from, valid_until
from gateway.store.auditing import sequence
from gateway.store.revocations import Entry, of_key, of_key_id, of_serials, read_krl
from gateway.store.vendors import Terms, add_ca, ca_of, remove_ca, revoke_entries
from policies.errors import NotFound, Refused, WrongUsage

app = typer.Typer(add_completion=False, rich_markup_mode=None, no_args_is_help=True)

#: a revocation list may be so long [bytes]
MAX_KRL_BYTES = 8 << 20


@app.command()
def add(
    ctx: typer.Context,
    name: str,
    key: Annotated[Path, typer.Option(help="The CA's public key (a .pub file).")],
    principal: Annotated[
        list[str] | None, typer.Option(help="A certificate must name one of these; may be given more than once; none: the vendor's name.")
    ] = None,
    source: Annotated[list[str] | None, from_] = None,
    begins: Annotated[datetime | None, valid_from] = None,
    ends: Annotated[datetime | None, valid_until] = None,
) -> None:
    """User certificates that this CA signs open the vendor's account, when they name one of the principals."""
    keys = public_keys_in([key])
    if len(keys) != 1:
        raise Refused("one-ca", "The file holds several keys.", "Add each CA on its own, with its own principals.")
    home = home_of(ctx)
    with home.ledger.change("administrator") as change:
        ca = add_ca(change, name, keys[0], principal or [], Terms(source or [], begins, ends))
    sequence(home)
    show(ctx, {"vendor": name, "ca": ca.fingerprint, "principals": ca.principals, "from": ca.sources or ["anywhere"], "valid_until": ends})


@app.command()
def remove(ctx: typer.Context, name: str, fingerprint: str) -> None:
    """None of the CA's certificates counts any more. Works at once and cuts the sessions that came in with them."""
    home = home_of(ctx)
    with home.ledger.change("administrator") as change:
        remove_ca(change, name, fingerprint)
    sequence(home)
    show(ctx, {"vendor": name, "removed": fingerprint})


@app.command()
def revoke(
    ctx: typer.Context,
    name: str,
    serial: Annotated[
        list[str] | None, typer.Option(help="Certificates with this serial, or FIRST-LAST; may be given more than once.")
    ] = None,
    key_id: Annotated[list[str] | None, typer.Option(help="Certificates with this key id; may be given more than once.")] = None,
    key: Annotated[
        list[Path] | None,
        typer.Option(help="A public key (.pub): worthless alone, in a certificate and as a CA; may be given more than once."),
    ] = None,
    krl: Annotated[Path | None, typer.Option(help="Everything in an OpenSSH revocation list (ssh-keygen -k).")] = None,
    ca: Annotated[str, typer.Option(help="The CA (its fingerprint) whose serials and key ids are meant; none: all of the vendor's.")] = "",
) -> None:
    """Withdraw certificates and keys of a vendor, for good. Works at once and cuts the sessions that came in with them."""
    home = home_of(ctx)
    entries = [*(_serials(text, ca) for text in serial or []), *(of_key_id(one, ca) for one in key_id or [])]
    entries += [of_key(one.blob) for one in public_keys_in(key or [])]
    if krl is not None:
        entries += _list_in(krl)
    if not entries and krl is None:
        raise WrongUsage("revoke-what", "Say what to revoke.", "--serial, --key-id, --key or --krl.")
    with home.ledger.change("administrator") as change:
        if ca:
            ca_of(change.session, name, ca)
        new = revoke_entries(change, name, entries)
    sequence(home)
    show(ctx, {"vendor": name, "entries": len(entries), "new": new})


def _serials(text: str, ca: str) -> Entry:
    first, sign, last = text.partition("-")
    try:
        return of_serials(int(first), int(last if sign else first), ca)
    except ValueError:
        raise WrongUsage("bad-serial", "A serial is a number, or FIRST-LAST.", "`ssh-keygen -L -f CERTIFICATE` shows it.") from None


def _list_in(path: Path) -> Sequence[Entry]:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_KRL_BYTES + 1)
    except OSError:
        raise NotFound("no-krl-file", f"{path} can't be read.", "Name the vendor's revocation list.") from None
    if len(data) > MAX_KRL_BYTES:
        raise Refused("krl-too-long", "The list is too long.", "Ask the vendor for a new CA.")
    return read_krl(data)
