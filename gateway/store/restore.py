"""A home out of a backup and the audit log, in which everything has ended that the log says has.

It is built beside its place, in a folder that no command takes notice of, without the file that makes a folder a home. One rename makes
it one, when nothing is left to be replayed. What goes wrong before that leaves nothing behind; after a restore that was killed, the next
one removes what it left.
"""

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from sqlalchemy.exc import IntegrityError

from audit.checkpoint import read_checkpoint
from audit.entry import Entry
from audit.log import CHECKPOINT, WAITING, AuditLog
from audit.record import NAME as LOCK
from gateway.store import takeover
from gateway.store.alone import alone_in
from gateway.store.auditing import sequence
from gateway.store.backup import MANIFEST
from gateway.store.clock import GatewayClock
from gateway.store.config import Configuration, Database, read_configuration, write_configuration
from gateway.store.durable import fsync_folder, make_folder
from gateway.store.home import FOLDERS, LATER_FOLDERS, Home, prepare_epochs
from gateway.store.invariants import check_home
from gateway.store.losses import Losses, begin, complete
from gateway.store.recipient_keys import prepare_recipients
from gateway.store.replay import Replay
from gateway.store.replay_objections import RemoveRows
from gateway.store.restored_ledger import Known, build, check_target, hand_over
from gateway.store.unpack import Contents, unpack
from keys.keystore import Keystore
from keys.secret import Secret
from policies.errors import Refused, SluisError, Unsound

ACTOR = "restore"
CONFIGURATION = "sluis.toml"
#: what the configuration is called until the home may be opened
HIDDEN = ".sluis.toml.restoring"
#: invariants without which a home must not start
PROMISES = (
    "erased-still-there", "held-without-key", "held-without-bytes", "erased-unannounced", "recipient-still-there",
    "objections-still-there", "log",
)  # fmt: skip


@dataclass(frozen=True)
class Order:
    """What to restore from."""

    backup: Path
    identities: Sequence[Secret]
    #: a newer copy of the log's folder; without one, why there is none
    log: Path | None = None
    log_lost: str = ""
    #: checkpoints that were kept elsewhere: the log must extend each
    against: Sequence[Path] = ()
    #: the folder of keys that outlived its home
    mortal: Path | None = None
    #: instead of the address in the backup's configuration
    database: str | None = None


@dataclass
class Restored:
    """What became of it."""

    contents: Contents
    log_lost: bool
    log_size: int = 0
    replayed: int = 0
    #: (action, what to do again, of which objects)
    again: list[tuple[str, str, list[str]]] = field(default_factory=list)
    losses: Losses = field(default_factory=Losses)
    days_ended: list[str] = field(default_factory=list)
    #: keys that the surviving store lost, and that it gave
    keys_ended: int = 0
    keys_kept: int = 0
    #: what contradicts itself in the home, as it did before
    contradictions: list[str] = field(default_factory=list)


def restore(path: Path, order: Order, remove_rows: RemoveRows, clock: Callable[[], datetime] | None = None) -> Restored:
    """A home at `path`, which is empty or not there. Nothing is there unless this returns, or raises `mortal-left`. `remove_rows` rewrites
    a part of the results store (gateway/linker/rows.py).

    Refused: `home-exists`, `restore-under-way`, `mortal-in-use`, `database-not-empty` and what `unpack` says. Unsound: `log-missing`,
    `log-touched`, `audit-forked`, `replay-…`, `backup-…`, `restore-unsound`.
    """
    if (order.log is None) == (not order.log_lost):
        raise Unsound(
            "log-missing",
            "Without the audit log of the last moment nobody knows what was erased since the backup.",
            "Give a copy of its folder with --log DIR, or say with --log-lost why there is none.",
        )
    store = takeover.survivor(order.mortal) if order.mortal else None
    mask = os.umask(0o007)  # nobody enters the folder before its modes are set
    try:
        with _beside(path) as folder:
            restored = _build(folder, path, order, store, remove_rows, clock)
    finally:
        os.umask(mask)
    if store is not None:
        try:
            restored.keys_ended += takeover.end_rest(store) - restored.keys_kept
        except (OSError, SluisError):
            raise Unsound(
                "mortal-left", "The home is restored, but keys are left in the folder of --mortal.", "Destroy them, or that medium."
            ) from None
    return restored


@contextmanager
def _beside(path: Path) -> Iterator[Path]:
    """A folder for the home to be built in: it takes the place of `path` when the block ends, and is gone when it raises."""
    path = path.resolve()
    if path.is_mount():
        raise Refused("home-is-mounted", "A home can't be renamed into a mount point.", "Restore beside it, and mount that there.")
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise Refused("home-exists", "That is no empty folder.", "Choose a new one with --home: a home is never restored over anything.")
    make_folder(path.parent)
    busy = Refused("restore-under-way", "Another restore to this place is going on.", "Wait until it is done.")
    prefix = f".{path.name}.restoring-"
    for left in path.parent.glob(f"{prefix}*"):
        with alone_in(left, busy):
            _remove(left)
    folder = Path(tempfile.mkdtemp(prefix=prefix, dir=path.parent))
    with alone_in(folder, busy):
        try:
            yield folder
            if path.exists():
                path.rmdir()
            folder.rename(path)
        except BaseException:
            _remove(folder)
            raise
        fsync_folder(path.parent)


def _remove(folder: Path) -> None:
    """What a restore left is gone, its keys as keys end: overwritten."""
    with suppress(OSError, SluisError):
        takeover.end_rest(Keystore(folder / "mortal"))
    shutil.rmtree(folder, ignore_errors=True)


def _build(
    folder: Path, path: Path, order: Order, store: Keystore | None, remove_rows: RemoveRows, clock: Callable[[], datetime] | None
) -> Restored:
    contents = unpack(order.backup, order.identities, folder)
    (folder / MANIFEST).unlink()
    (folder / CONFIGURATION).rename(folder / HIDDEN)
    config = read_configuration(folder / HIDDEN)
    if order.database is not None:
        config = config.model_copy(update={"database": Database(url=order.database)})
        (folder / HIDDEN).write_text(write_configuration(config), encoding="utf-8")
    check_target(config.database.url)
    _take_log(folder, contents, order)
    for name in (*FOLDERS, *LATER_FOLDERS):
        make_folder(folder / name)
    home = Home(folder, config.model_copy(update={"database": Database()}), clock)
    if home.audit_signer().verifier.raw != contents.verifier.raw:
        raise Unsound("backup-damaged", "The backup's signing key is not that of its log.", "Use another backup.")
    try:
        known = build(folder, home.ledger.engine, contents.migration)
        restored = _replay(home, contents, order, store, known, remove_rows)
        _settle_modes(folder, path, config)  # before a database of others is touched: it may fail
        if config.database.url:
            hand_over(home.ledger.engine, config.database.url)
    except IntegrityError:  # its text would repeat a row
        raise Unsound("replay-contradicted", "The log does not fit what the backup holds.", "Is it the log of this gateway?") from None
    finally:
        home.ledger.engine.dispose()
    for file in folder.glob("sluis.sqlite*"):
        if config.database.url or file.suffix != ".sqlite":
            file.unlink()
    os.sync()  # thousands of files at once, rather than one after another
    (folder / HIDDEN).rename(folder / CONFIGURATION)
    fsync_folder(folder)
    return restored


def _take_log(folder: Path, contents: Contents, order: Order) -> None:
    """The newest log becomes the home's; it is whole, of this gateway, and extends every checkpoint that is known. Unsound otherwise."""
    own = folder / "audit"
    if order.log is not None:
        shutil.rmtree(own)
        own.mkdir()
        try:
            shutil.copytree(order.log / "tile", own / "tile")
            for name in (CHECKPOINT, WAITING, LOCK):
                with suppress(FileNotFoundError):
                    shutil.copyfile(order.log / name, own / name)
        except (OSError, shutil.Error):
            raise Unsound(
                "log-unreadable", "The folder of --log can't be read as one of an audit log.", "It is the home's audit/."
            ) from None
    log = AuditLog(own, contents.origin)
    verdict = log.verify(contents.verifier)
    if not verdict.sound:
        raise Unsound("log-touched", f"The audit log is not what was signed. {verdict.what}", "Use another copy of it.")
    log.prove_consistency(contents.checkpoint)
    for file in order.against:
        log.prove_consistency(read_checkpoint(file.read_bytes(), contents.origin, [contents.verifier]))


def _replay(home: Home, contents: Contents, order: Order, store: Keystore | None, known: Known, remove_rows: RemoveRows) -> Restored:
    log = home.audit_log()
    log.append(())  # settles an append that was killed half-way
    if isinstance(home.clock, GatewayClock):
        home.clock.not_before(max(Entry.from_bytes(entry).time for entry in log.entries()))
    sequence(home)  # what waited in the backup's ledger has ended, too
    dead = takeover.dead_keys(map(Entry.from_bytes, log.entries()))
    restored = Restored(contents, log_lost=bool(order.log_lost))
    if store is not None:
        restored.keys_ended = takeover.end_dead(store, dead)
        restored.keys_kept = takeover.go_on(store, home.mortal)
    with home.ledger.change(ACTOR) as change:
        replay = Replay(home, change)
        replay.play(entry for entry in map(Entry.from_bytes, log.entries(known.size)) if entry.id not in known.waiting)
        restored.losses = begin(replay, order.log is not None, remove_rows)
    sequence(home)  # what is about to end stands in the log before it does
    if store is not None:
        restored.keys_ended += takeover.end_useless(store)
    prepare_epochs(home)
    prepare_recipients(home, ACTOR)
    with home.ledger.change(ACTOR) as change:
        restored.days_ended = complete(change)
        restored.replayed = replay.entries
        restored.again = [(action, what, sorted(objects)) for (action, what), objects in sorted(replay.again.items())]
        change.audit(
            "home.restored",
            "home",
            backup_of=contents.made_at.isoformat(),
            backup_log_size=contents.checkpoint.size,
            log_lost=order.log_lost or None,
            replayed=replay.entries,
            drops_erased=restored.losses.erased,
            drops_lost=sum(map(len, restored.losses.deliver_again.values())),
            registers_lost=sum(map(len, restored.losses.registers.values())),
            bundles_lost=restored.losses.bundles,
            rows_withdrawn=restored.losses.rows_withdrawn,
        )
    sequence(home)
    restored.log_size = log.size
    broken = check_home(home)
    if found := [one for one in broken if one.invariant in PROMISES]:
        raise Unsound("restore-unsound", f"The restored home contradicts its log: {found[0].what}.", "Use another backup, or another log.")
    restored.contradictions = [one.what for one in broken]
    return restored


def _settle_modes(folder: Path, path: Path, config: Configuration) -> None:
    """As `sluis init` makes them; and the owner and group are those of the empty folder that waited, if one did."""
    shared = config.sharing.group_access
    owner = path.stat() if path.exists() else None
    for place in (folder, *folder.rglob("*")):
        if owner is not None:
            os.chown(place, owner.st_uid, owner.st_gid)
        mode = place.stat().st_mode
        place.chmod((mode & 0o777 & ~(0o007 if shared else 0o077)) | (0o2000 if shared and place.is_dir() else 0))
    folder.chmod(0o2770 if shared else 0o700)
