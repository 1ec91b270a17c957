"""`sluis key`: what exists, since when, for what. No command shows a key."""

from datetime import date, datetime
from typing import Annotated, Any

import typer

from gateway.cli.context import home_of
from gateway.cli.output import show
from gateway.store.auditing import sequence
from gateway.store.drop_keys import DROP_KEYS
from gateway.store.home import Home
from gateway.store.host_keys import announce_next, host_key_names, learned_at, public_half, retire_first
from gateway.store.models import RecipientKey
from gateway.store.recipient_keys import hand_out_another, life_of, recipient_keys, rotate_recipients, state_destroyed
from gateway.worker.epochs import end_epoch
from keys.keystore import Keystore
from policies.errors import NotFound, Refused, Unsound, WrongUsage
from policies.recipients import standing

app = typer.Typer(add_completion=False, rich_markup_mode=None, no_args_is_help=True)

#: kind → what it is for, and what ends it
PURPOSE = {
    "authority": ("pseudonyms of persons and schools", "never, without a decision"),
    "signing": ("audit log and receipts", "rotation"),
    "ssh": ("host key of the SFTP endpoint", "rotation"),
    "tls": ("certificate of the portal", "rotation"),
    "checkpoint": ("SSH key that brings the log's checkpoints to others", "those others let it in no more"),
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
    with home.ledger.view() as session:
        recipients = {key.name: key for key in recipient_keys(session)}
    rows: list[dict[str, object]] = []
    for store, lasting in ((home.keystore, True), (home.mortal, False)):
        for kind in store.kinds():
            names = store.names(kind)
            purpose, end = PURPOSE.get(kind, ("", ""))
            if every:
                rows += [
                    {"kind": kind, "name": name, "since": store.created_at(kind, name), "for": purpose, "ends": end, "in_backup": lasting}
                    | _of_recipient(recipients.get(name) if kind == "recipients" else None, home.clock())
                    for name in names
                ]
            elif names:
                oldest = min(store.created_at(kind, name) for name in names)
                rows.append({"kind": kind, "keys": len(names), "oldest": oldest, "for": purpose, "ends": end, "in_backup": lasting})
    show(ctx, rows)


def _of_recipient(key: RecipientKey | None, now: datetime) -> dict[str, object]:
    """Which campaign a key serves that vendors encrypt to, and whether it is current, overlapping or retired; nothing for other keys."""
    if key is None:
        return {"campaign": None, "state": None, "taken_until": None}
    return {"campaign": key.campaign, "state": standing(life_of(key), now).value, "taken_until": key.taken_until}


@app.command()
def rotate(
    ctx: typer.Context,
    kind: Annotated[str, typer.Argument(help="recipients, or ssh-host")],
    now: Annotated[
        bool, typer.Option("--now", help="Retire the old SSH host key although clients had little time to learn the next one.")
    ] = False,
    at_once: Annotated[
        bool, typer.Option("--at-once", help="Take no more deliveries that are encrypted to the old recipient key: it leaked.")
    ] = False,
    reason: Annotated[str, typer.Option(help="Why; it stands in the audit log. Required with --at-once.")] = "",
) -> None:
    """Make a new key of this kind.

    recipients: vendors find the new one in `sleutels/` at once. What is encrypted to the old one is taken for [recipients] overlap_days
    more, and the receipt says that there is another key; with --at-once it is refused from now on. What came in before is read in any case.

    ssh-host: the first time, makes the next host key of the SFTP endpoint, which clients learn while they come by; the second time,
    some weeks later, retires the old one. The endpoint takes either step up when it starts, or at a SIGHUP.
    """
    home = home_of(ctx)
    if kind not in ROTATABLE:
        raise Refused(
            "not-rotatable", f"Keys of the kind {kind!r} can't be rotated with this command yet.", f"It rotates: {', '.join(ROTATABLE)}."
        )
    if (now and kind != "ssh-host") or (at_once and kind != "recipients"):
        raise WrongUsage("not-of-this-kind", "--now is for ssh-host, --at-once for recipients.", "`sluis key rotate --help` tells more.")
    if at_once and not reason:
        raise WrongUsage(
            "no-reason", "A key that counts no more at once needs a reason.", "Give --reason TEXT: it stands in the audit log."
        )
    show(ctx, _rotate_host_key(home, now) if kind == "ssh-host" else _rotate_recipients(home, at_once, reason))


def _rotate_recipients(home: Home, at_once: bool, reason: str) -> dict[str, Any]:
    made, replaced = rotate_recipients(home, "administrator", reason or "asked for", at_once)
    sequence(home)
    return {
        "kind": "recipients",
        "name": made.name,
        "campaign": made.campaign,
        "public_key": home.recipients.public(),
        "replaced": replaced.name,
        "replaced_taken_until": replaced.taken_until,
    }


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
    # one whose end failed half-way has lost its name: ordered again, its end goes on
    begun = bool(store.unfinished(kind)) or (kind == "epochs" and name in {day.isoformat() for day in home.epochs.days()})
    if not store.exists(kind, name) and not begun:
        raise NotFound("no-such-key", "There is no such key.", "`sluis key list --every` shows the ones there are.")
    if not yes:
        typer.confirm(f"Destroy {kind}/{name}? What it opened can never be read again", abort=True)
    with home.ledger.change("administrator") as change:
        change.audit("key.destruction-begun", f"{kind}/{name}", reason=reason)
    sequence(home)
    if kind == "recipients":
        hand_out_another(home, "administrator", name, reason)
        home.recipients.destroy(name)
    elif kind == "epochs":
        ended = end_epoch(home, date.fromisoformat(name), "administrator", reason)  # so that certificates tell of it
        if complaint := " ".join(ended.complaints()):
            raise Unsound("key-not-destroyed", complaint, "Run the command again; `sluis doctor` tells what else is wrong.")
    else:
        store.destroy(kind, name)
    with home.ledger.change("administrator") as change:
        if kind == "recipients":
            state_destroyed(change.session, name, change.now)
        change.audit("key.destroyed", f"{kind}/{name}", reason=reason)
    sequence(home)
    show(ctx, {"kind": kind, "name": name, "state": "destroyed"})
