"""`sluis audit checkpoint`: the log's signed state, to where this machine's operators can't reach it."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_ssh_private_key

from audit.checkpoint import Checkpoint, read_checkpoint
from gateway.cli.context import home_of, home_path
from gateway.cli.output import show
from gateway.store.auditing import sequence
from gateway.store.checkpoints import HandedOut, handing_out, name_of, public_log
from gateway.store.home import Home
from keys.signing import new_ssh_host_key
from policies.errors import NotFound, Refused, SluisError, Unsound, WrongUsage

if TYPE_CHECKING:
    from gateway.cli.checkpoint_places import Place

#: the key of the home with which checkpoints are brought to servers
KIND, NAME = "checkpoint", "identity"


def checkpoint(
    ctx: typer.Context,
    to: Annotated[str | None, typer.Option("--to", metavar="FILE|DIR|sftp://[NAME@]HOST[:PORT]/PATH", help="Hand it out there.")] = None,
    identity: Annotated[Path | None, typer.Option("--identity", help="Private SSH key for sftp://; default: as configured.")] = None,
    known_hosts: Annotated[Path | None, typer.Option("--known-hosts", help="Where the server's host key is known from.")] = None,
    scheduled: Annotated[bool, typer.Option("--scheduled", help="Hand it out to every place in [audit] checkpoint_to.")] = False,
) -> None:
    """The log's signed checkpoint, to keep where this machine's operators can't reach it: see `audit verify --against`.

    In a folder each has a name of its own, so a folder collects them; the same state of the log is written once. Nothing is handed out,
    and the exit status is 3, when the log does not extend what was handed out before. Without an option it is printed.
    """
    if scheduled and to is not None:
        raise WrongUsage("one-or-all", "--to names one place, --scheduled means those of sluis.toml.", "Give one of the two.")
    # what runs on a schedule has the network: it needs neither the database nor a key that signs, and hands out what lies there
    home = Home.open_without_ledger(home_path(ctx)) if scheduled else home_of(ctx)
    if not scheduled:
        sequence(home)
    if to is None and not scheduled:
        with handing_out(home) as (_, signed, _):
            typer.echo(signed.decode(), nl=False)
    elif to is not None:
        (place,) = _places(home, [to], any_name=True, identity=identity, known_hosts=known_hosts)
        with handing_out(home) as (handed, signed, now):
            where = _hand_out(home, place, handed, signed, now)
        show(ctx, {"log": home.audit_origin, "entries": now.size, "checkpoint": where})
    else:
        rows, worst = _everywhere(home, configured_places(home, identity, known_hosts))
        show(ctx, rows)
        if worst is not None:
            raise worst


def configured_places(home: Home, identity: Path | None = None, known_hosts: Path | None = None) -> "list[Place]":
    """Where the schedule brings checkpoints to. WrongUsage (`bad-place`) when one of them is no place."""
    return _places(home, home.config.audit.checkpoint_to, any_name=False, identity=identity, known_hosts=known_hosts)


def _places(home: Home, named: list[str], any_name: bool, identity: Path | None, known_hosts: Path | None) -> "list[Place]":
    from gateway.cli.checkpoint_places import place_of  # brings paramiko, which other commands can do without
    from gateway.vendor.connection import Access

    given = home.config.audit
    known = known_hosts or Path(given.checkpoint_known_hosts)
    access = Access(
        key_file=identity or (Path(given.checkpoint_identity) if given.checkpoint_identity else None),
        key=lambda: home.keystore.read(KIND, NAME).reveal().decode(),
        known_hosts=known,
        other_side="server",
        introduce=f"add it to {known}",
    )
    return [place_of(text, access, any_name) for text in named]


def _everywhere(home: Home, places: "list[Place]") -> tuple[list[dict[str, Any]], SluisError | None]:
    """What became of each place, and the worst of it; one that fails keeps no other from its checkpoint."""
    if not places:
        raise NotFound("no-places", "No place is configured for checkpoints.", "Name them in sluis.toml: [audit] checkpoint_to.")
    rows: list[dict[str, Any]] = []
    failures: list[SluisError] = []
    with handing_out(home) as (handed, signed, now):
        for place in places:
            row: dict[str, Any] = {"place": str(place), "entries": now.size, "checkpoint": None, "problem": None}
            try:
                row["checkpoint"] = _hand_out(home, place, handed, signed, now)
            except SluisError as error:
                failures.append(error)
                row["problem"] = str(error)
            rows.append(row)
    unsound = [error for error in failures if isinstance(error, Unsound)]
    if failures and not unsound:
        said = f"{len(failures)} of {len(places)} places did not get the checkpoint."
        return rows, Refused("not-handed-out", said, "See what stands under `problem`; the next run tries again.")
    return rows, unsound[0] if unsound else None


def _hand_out(home: Home, place: "Place", handed: HandedOut, signed: bytes, now: Checkpoint) -> str:
    """Bring it there, and note that."""

    def may_replace(there: bytes) -> None:
        try:
            older = read_checkpoint(there, home.audit_origin, [home.audit_verifier()])
        except Unsound:
            said = f"{place} holds something else than a checkpoint of this log."
            raise Refused("place-taken", said, "It is left as it is: name another place.") from None
        if older.size >= now.size:
            raise Unsound(
                "audit-forked",
                f"{place} has another checkpoint of {older.size} entries: the log's past was rewritten or taken away.",
                "Keep both, change nothing, and run `sluis audit verify --against` with it.",
            )
        public_log(home).prove_consistency(older)

    where = place.put(name_of(now), signed, may_replace)
    handed.places[str(place)] = home.clock()
    handed.write(home)
    return where


def checkpoint_key(ctx: typer.Context) -> None:
    """The public SSH key with which checkpoints are brought to sftp:// places: their owners let it in. Made when there is none yet."""
    home = home_of(ctx)
    if not home.keystore.exists(KIND, NAME):
        home.keystore.create(KIND, NAME, new_ssh_host_key())
    public = load_ssh_private_key(home.keystore.read(KIND, NAME).reveal(), None).public_key()
    show(ctx, {"public_key": public.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()})
