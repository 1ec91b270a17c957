"""`sluis vendor`: who may deliver, with which SSH keys and certificates, and how much."""

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from sqlmodel import Session

from gateway.cli.context import home_of
from gateway.cli.output import show
from gateway.cli.settings import settings_of
from gateway.cli.vendor_ca import app as ca
from gateway.cli.vendor_key import app as key
from gateway.cli.vendor_key import from_, public_keys_in
from gateway.cli.vendor_limit import app as limit
from gateway.cli.vendor_signing_key import app as signing_key
from gateway.cli.vendor_signing_key import row_of
from gateway.store.auditing import sequence
from gateway.store.entrance import last_logins
from gateway.store.models import Vendor, VendorCa, VendorKey, VendorLogin
from gateway.store.revocations import revocations
from gateway.store.signing_keys import signing_keys
from gateway.store.vendor_limits import limits_of
from gateway.store.vendors import add_vendor, all_vendors, remove_vendor, revoke_key, vendor_cas, vendor_keys, vendor_of

app = typer.Typer(add_completion=False, rich_markup_mode=None, no_args_is_help=True)
app.add_typer(key, name="key", help="The SSH keys of a vendor, one by one.")
app.add_typer(ca, name="ca", help="Certificate authorities whose user certificates open a vendor's account, and what was revoked.")
app.add_typer(signing_key, name="signing-key", help="OpenPGP keys with which a vendor signs; with one, what is not signed is refused.")
app.add_typer(limit, name="limit", help="Limits of one vendor that differ from sluis.toml.")


@app.command()
def add(
    ctx: typer.Context,
    name: str,
    ssh_key: Annotated[
        list[Path] | None, typer.Option("--ssh-key", help="The vendor's public key (a .pub file); may be given more than once.")
    ] = None,
    source: Annotated[list[str] | None, from_] = None,
) -> None:
    """A vendor's account, or further keys for one that exists. Works at once, without a restart.

    Without a key nobody comes in until `sluis vendor key add` or `sluis vendor ca add` names one.
    """
    keys = public_keys_in(ssh_key or [])
    home = home_of(ctx)
    with home.ledger.change("administrator") as change:
        add_vendor(change, name, keys, source or [])
    sequence(home)
    show(ctx, {"vendor": name, "keys": [key.fingerprint for key in keys], "from": source or ["anywhere"]})


@app.command("list")
def list_(ctx: typer.Context) -> None:
    """The vendors, how many keys and CAs each has, and when it last came in."""
    with home_of(ctx).ledger.view() as session:
        rows = [
            {
                "vendor": vendor.name,
                "keys": len(vendor_keys(session, vendor.name)),
                "cas": len(vendor_cas(session, vendor.name)),
                "own_limits": len(vendor.limits),
                "since": vendor.created_at,
                "last_login": max((login.last_at for login in last_logins(session, vendor.name).values()), default=None),
            }
            for vendor in all_vendors(session)
        ]
    show(ctx, rows)


@app.command("show")
def show_(ctx: typer.Context, name: str) -> None:
    """One vendor with its keys, CAs, signing keys, limits and last logins."""
    home = home_of(ctx)
    with home.ledger.view() as session:
        document = _document(session, vendor_of(session, name), home.clock())
        document["limits"] = limits_of(document["own_limits"], home.config.intake)
    if settings_of(ctx).json:
        show(ctx, document)
        return
    parts = {"keys": "Keys", "cas": "Certificate authorities", "signing_keys": "Signing keys (OpenPGP)"}
    show(ctx, {name: value for name, value in document.items() if name not in (*parts, "own_limits", "limits")})
    for name, title in parts.items():
        if document[name]:
            show(ctx, document[name], title=f"\n{title}")
    limits = [
        {"limit": key, "value": value, "set_for_this_vendor": key in document["own_limits"]} for key, value in document["limits"].items()
    ]
    show(ctx, limits, title="\nLimits")


def _document(session: Session, vendor: Vendor, now: datetime) -> dict[str, Any]:
    logins = last_logins(session, vendor.name)
    return {
        "vendor": vendor.name,
        "since": vendor.created_at,
        "last_login": max((login.last_at for login in logins.values()), default=None),
        "keys": [
            {
                "fingerprint": key.fingerprint,
                "kind": key.public_key.partition(" ")[0],
                "verify_required": key.verify_required,
                **_terms(key, logins, now),
            }
            for key in vendor_keys(session, vendor.name)
        ],
        "cas": [
            {"fingerprint": ca.fingerprint, "principals": ca.principals, **_terms(ca, logins, now)}
            for ca in vendor_cas(session, vendor.name)
        ],
        "signing_keys": [row_of(key, now) for key in signing_keys(session, vendor.name)],
        "revocations": revocations(session, vendor.name),
        "own_limits": dict(vendor.limits),
    }


def _terms(holder: VendorKey | VendorCa, logins: Mapping[str, VendorLogin], now: datetime) -> dict[str, Any]:
    state = "valid"
    if holder.valid_from is not None and now < holder.valid_from:
        state = "not yet valid"
    elif holder.valid_until is not None and now >= holder.valid_until:
        state = "expired"
    login = logins.get(holder.fingerprint)
    return {
        "state": state,
        "from": holder.sources or ["anywhere"],
        "added_at": _text(holder.added_at),
        "valid_from": _text(holder.valid_from),
        "valid_until": _text(holder.valid_until),
        "last_login": None if login is None else {"at": _text(login.last_at), "origin": login.origin, "logins": login.logins},
    }


def _text(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat(timespec="seconds")


@app.command()
def remove(
    ctx: typer.Context,
    name: str,
    key: Annotated[str | None, typer.Option(help="Only this key (its SHA256:… fingerprint); none: the whole account.")] = None,
) -> None:
    """Close a vendor's account, or revoke one of its keys. Works at once and cuts its sessions; what was delivered stays."""
    home = home_of(ctx)
    with home.ledger.change("administrator") as change:
        if key is None:
            remove_vendor(change, name)
        else:
            revoke_key(change, name, key)
    sequence(home)
    show(ctx, {"vendor": name, "removed": key or "account"})
