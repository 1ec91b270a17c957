"""`sluis key`: what exists, since when, for what. No command shows a key."""

from datetime import date
from typing import Annotated, Any

import typer

from gateway.cli.context import home_of
from gateway.cli.output import show
from gateway.store.auditing import sequence
from gateway.store.drop_keys import DROP_KEYS
from gateway.store.home import Home
from gateway.store.host_keys import announce_next, host_key_names, learned_at, public_half, retire_first
from keys.keystore import Keystore
from policies.errors import NotFound, Refused

app = typer.Typer(add_completion=False, rich_markup_mode=None, no_args_is_help=True)

#: kind → what it is for, and what ends it
PURPOSE = {
    "authority": ("pseudonyms of persons and schools", "never, without a decision"),
    "signing": ("audit log and receipts", "rotation"),
    "ssh": ("host key of the SFTP endpoint", "rotation"),
    "tls": ("certificate of the portal", "rotation"),
    "recipients": ("vendors encrypt to its public half", "the campaign's last drop is erased"),
    "epochs": ("a day's drop keys are sealed to its public half", "its last drop is erased, or the window's end"),
    DROP_KEYS: ("one delivery (sealed to its epoch)", "erasure of that drop"),
    "registers": ("keyed MACs of one version of the person register", "that version is replaced"),
    "objections": ("keyed MACs of one campaign's objections", "the campaign's retention ends"),
    "bundles": ("one board's zip", "withdrawal, or the end of the download period"),
}
ROTATABLE = ("recipients", "ssh-host")


@app.command("list")
def list_(
    ctx: typer.Context, every: Annotated[bool, typer.Option("--every", help="Each key on a line; default: counts per kind.")] = False
) -> None:
    """Which keys exist, since when, for what, and what ends them."""
    home = home_of(ctx)
    rows: list[dict[str, object]] = []
    for store, lasting in ((home.keystore, True), (home.mortal, False)):
        for kind in store.kinds():
            names = store.names(kind)
            purpose, end = PURPOSE.get(kind, ("", ""))
            if every:
                rows += [
                    {"kind": kind, "name": name, "since": store.created_at(kind, name), "for": purpose, "ends": end, "in_backup": lasting}
                    for name in names
                ]
            elif names:
                oldest = min(store.created_at(kind, name) for name in names)
                rows.append({"kind": kind, "keys": len(names), "oldest": oldest, "for": purpose, "ends": end, "in_backup": lasting})
    show(ctx, rows)


@app.command()
def rotate(
    ctx: typer.Context,
    kind: Annotated[str, typer.Argument(help="recipients, or ssh-host")],
    now: Annotated[
        bool, typer.Option("--now", help="Retire the old SSH host key although clients had little time to learn the next one.")
    ] = False,
) -> None:
    """Make a new key of this kind.

    recipients: vendors find the new one in `sleutels/` at once, what was encrypted to the old one can still be read.

    ssh-host: the first time, makes the next host key of the SFTP endpoint, which clients learn while they come by; the second time,
    some weeks later, retires the old one. The endpoint takes either step up when it starts, or at a SIGHUP.
    """
    home = home_of(ctx)
    if kind not in ROTATABLE:
        raise Refused(
            "not-rotatable", f"Keys of the kind {kind!r} can't be rotated with this command yet.", f"It rotates: {', '.join(ROTATABLE)}."
        )
    show(ctx, _rotate_host_key(home, now) if kind == "ssh-host" else _rotate_recipients(home))


def _rotate_recipients(home: Home) -> dict[str, Any]:
    name = home.clock().strftime("%Y%m%dT%H%M%S")
    home.recipients.ensure(name)
    with home.ledger.change("administrator") as change:
        change.audit("key.rotated", f"recipients/{name}")
    sequence(home)
    return {"kind": "recipients", "name": name, "public_key": home.recipients.public()}


def _rotate_host_key(home: Home, now: bool) -> dict[str, Any]:
    begins = len(host_key_names(home)) == 1
    name = announce_next(home) if begins else retire_first(home, now)
    sequence(home)
    key = public_half(home, name)
    document = {
        "kind": "ssh-host",
        "name": name,
        "state": "next" if begins else "in use",
        "fingerprint": key.fingerprint,
        "public_key": key.text,
    }
    if begins:
        document["retire_old_from"] = learned_at(home, name).isoformat(timespec="seconds")
    return document | {"then": "systemctl restart sluis-intake (without systemd a SIGHUP is enough): the endpoint reads its keys anew."}


@app.command()
def destroy(
    ctx: typer.Context,
    kind: str,
    name: str,
    reason: Annotated[str, typer.Option(help="Why; it stands in the audit log.")],
    yes: Annotated[bool, typer.Option("--yes", help="Don't ask.")] = False,
) -> None:
    """Destroy a key that must die. What it opened is gone for good."""
    home = home_of(ctx)
    store: Keystore = home.mortal
    if kind in home.keystore.kinds():
        raise Refused(
            "key-lives", f"Keys of the kind {kind!r} live for years; this command does not end them.", "It is a decision of the authority."
        )
    if not store.exists(kind, name):
        raise NotFound("no-such-key", "There is no such key.", "`sluis key list --every` shows the ones there are.")
    if not yes:
        typer.confirm(f"Destroy {kind}/{name}? What it opened can never be read again", abort=True)
    with home.ledger.change("administrator") as change:
        change.audit("key.destruction-begun", f"{kind}/{name}", reason=reason)
    sequence(home)
    if kind == "recipients":
        home.recipients.destroy(name)  # and vendors are no longer given its public half
    elif kind == "epochs":
        home.epochs.destroy(date.fromisoformat(name))
    else:
        store.destroy(kind, name)
    with home.ledger.change("administrator") as change:
        change.audit("key.destroyed", f"{kind}/{name}", reason=reason)
    sequence(home)
    show(ctx, {"kind": kind, "name": name, "state": "destroyed"})
