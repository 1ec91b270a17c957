"""A home: the folder in which one gateway lives. Where everything lies, and whether it is safe to start.

`keys/` holds what lives for years; `mortal/` holds every key whose end is the promise (drops, epochs, registers, objections, bundles,
recipients): it is one folder, never part of a backup, and may stand on a medium of its own.
"""

import os
import stat
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy.exc import SQLAlchemyError

from audit.log import AuditLog
from audit.note import Signer, Verifier
from gateway.drop.ids import DropId
from gateway.store.clock import GatewayClock
from gateway.store.config import Configuration, read_configuration, write_configuration
from gateway.store.database import is_current, open_database, upgrade
from gateway.store.durable import fsync_folder, make_folder, write_durably
from gateway.store.handed import HandedKeystore
from gateway.store.ledger import Ledger
from gateway.store.recipient_keys import prepare_recipients
from keys.derivation import derive
from keys.epochs import Epochs
from keys.keystore import Keystore
from keys.recipients import Recipients
from keys.secret import Secret
from keys.signing import new_signing_key, new_ssh_host_key, new_tls
from policies.errors import Refused, Unsound

if TYPE_CHECKING:
    from keys.pseudonyms import PseudonymDomain

FOLDERS = (
    "keys", "public", "public/epochs",
    # made now, so that a service manager can hide from a role what is not its own
    "mortal", "mortal/drops", "mortal/epochs", "mortal/recipients", "mortal/registers", "mortal/objections", "mortal/bundles",
    "run", "incoming", "drops", "receipts", "registers", "results", "reports", "bundles", "audit",
)  # fmt: skip
#: which of the log's checkpoints left this machine, and when
HANDED_OUT = "handed-out"
#: what an administrator adds to the rules that come with Sluis
POLICIES = "policies"
#: what homes of earlier versions lack until `sluis init --upgrade`, or until a single user's commands need it
LATER_FOLDERS = (HANDED_OUT, POLICIES)

#: epoch keys stand ready for so many days, so that the intake never waits for the worker [days]
EPOCHS_AHEAD = 14
#: validity of the certificate that init makes; a real home gets one from its authority's CA [days]
TLS_DAYS = 825


class Home:
    """An opened home. Opening checks permissions and the tables; nothing secret is read before it is needed. `clock`: gateway time, unless
    whoever opens the home brings another one."""

    def __init__(self, path: Path, config: Configuration, clock: Callable[[], datetime] | None = None) -> None:
        self.path = path
        self.config = config
        # in a folder that the roles at the edge may only read
        self.clock: Callable[[], datetime] = clock or GatewayClock(path / "public" / "clock.json")
        self.keystore = HandedKeystore(path / "keys")
        self.mortal = Keystore(path / "mortal")
        self.epochs = Epochs(self.mortal, path / "public" / "epochs")
        self.recipients = Recipients(self.mortal, path / "public" / "sluis.age.txt", config.recipients.openpgp)
        self.public = path / "public"
        self.registers = path / "registers"
        self.results = path / "results"
        self.reports = path / "reports"
        self.bundles = path / "bundles"
        self.drops = path / "drops"

    @cached_property
    def ledger(self) -> Ledger:
        return Ledger(open_database(self.database_url), self.clock)

    @property
    def database_url(self) -> str:
        return self.config.database.url or f"sqlite:///{self.path / 'sluis.sqlite'}"

    @property
    def engine_url(self) -> str:
        """Where the engine of the worker keeps which effect is under way; it holds drop ids only."""
        return self.config.database.url or f"sqlite:///{self.path / 'engine.sqlite'}"

    @property
    def run(self) -> Path:
        """Keys of uploads that are still arriving: tmpfs under systemd (RuntimeDirectory=), else a folder of the home."""
        runtime = os.environ.get("RUNTIME_DIRECTORY")
        return Path(runtime.split(":")[0]) if runtime else self.path / "run"

    def incoming(self, vendor: str, folder: str) -> Path:
        """Unfinished uploads of a vendor: ciphertext under a key of each one's own."""
        return self.path / "incoming" / vendor / folder

    def blob(self, drop_id: str) -> Path:
        return self.drops / f"{DropId(drop_id)}.blob"

    def receipts(self, vendor: str) -> Path:
        return self.path / "receipts" / vendor

    def audit_log(self) -> AuditLog:
        """The log with its signer: the worker's and the administrator's, never an edge role's."""
        return AuditLog(self.path / "audit", self.audit_origin, self.audit_signer())

    def audit_signer(self) -> Signer:
        """Signs checkpoints, and receipts too: one public key checks everything the gateway says."""
        seed = self.keystore.read("signing", "audit").reveal()
        return Signer(self.audit_origin, Ed25519PrivateKey.from_private_bytes(seed))

    def audit_verifier(self) -> Verifier:
        return Verifier.parse((self.public / "sluis.vkey.txt").read_text(encoding="utf-8").strip())

    @property
    def audit_origin(self) -> str:
        """The log's name in checkpoints (C2SP tlog-checkpoint: schema-less, unique to the log)."""
        return (self.public / "audit-origin.txt").read_text(encoding="utf-8").strip()

    def pseudonyms(self, kind: str, domain: str = "store") -> "PseudonymDomain":
        """The pseudonyms of a `person` or `school` in a domain: `store`, or a research project's own."""
        from keys.pseudonyms import PseudonymDomain  # brings numpy, which most commands can do without

        return PseudonymDomain(self.keystore.read("authority", "pseudonyms"), domain, kind)

    def objection_key(self, campaign: str) -> Secret:
        """The MAC key of a campaign's objection registers; made when the campaign is."""
        return self.mortal.read("objections", campaign)

    @property
    def portal_address(self) -> str:
        portal = self.config.portal
        return portal.public_url or f"https://{portal.hostname}:{portal.port}"

    @classmethod
    def open(cls, path: Path, clock: Callable[[], datetime] | None = None) -> "Home":
        """The home at `path`. Unsound when it is not one, when others may enter it, when its database can't be reached, or
        when its tables are of another version."""
        home = cls.open_without_ledger(path, clock)
        home.check_ledger()
        return home

    @classmethod
    def open_without_ledger(cls, path: Path, clock: Callable[[], datetime] | None = None) -> "Home":
        """The same without a look at the database, for what must not wait for it: the end of keys. `check_ledger` before anything is
        asked of the ledger."""
        config = read_configuration(path / "sluis.toml")
        os.umask(0o007 if config.sharing.group_access else 0o077)
        check_permissions(path, config.sharing.group_access)
        return cls(path, config, clock)

    def check_ledger(self) -> None:
        """Unsound when the database is missing, can't be reached, is damaged, or has tables of another version (SQLite's are brought to
        this one)."""
        try:
            database = self.ledger.engine.url.database
            if self.ledger.engine.dialect.name == "sqlite" and database and not Path(database).exists():
                raise Unsound(  # an empty one would know of no drop, and so never erase it
                    "home-incomplete", f"{Path(database).name} is missing in the home.", "Restore it from a backup, or make a new home."
                )
            current = is_current(self.ledger.engine)
        except SQLAlchemyError:  # its text would repeat the address, and the password in it
            raise Unsound(
                "database-unreachable",
                "The database can't be opened.",
                "Is it running, is [database] url right, is the file of SQLite whole, its disk full or read-only?",
            ) from None
        if not current:
            if self.ledger.engine.dialect.name != "sqlite":
                raise Unsound("database-old", "The database has tables of another version.", "Run `sluis init --upgrade` as its owner.")
            upgrade(self.ledger.engine)


def create_home(path: Path, config: Configuration, clock: Callable[[], datetime] | None = None) -> Home:
    """A new home: folders, configuration, keys, tables, an audit log. Refused when something is there already."""
    if path.exists() and any(path.iterdir()):
        raise Refused("home-exists", "This folder is not empty.", "Choose a new folder with --home: a home is never made over another.")
    os.umask(0o007 if config.sharing.group_access else 0o077)
    make_folder(path)
    path.chmod(0o2770 if config.sharing.group_access else 0o700)
    for folder in (*FOLDERS, *LATER_FOLDERS):
        make_folder(path / folder)
    write_durably(path / "sluis.toml", write_configuration(config).encode())
    home = Home(path, config, clock)
    if isinstance(home.clock, GatewayClock):
        home.clock.keep()
    now = home.clock()
    home.keystore.create("authority", "pseudonyms", Secret(os.urandom(32)))
    seed = new_signing_key()
    home.keystore.create("signing", "audit", seed)
    home.keystore.create("ssh", "host", new_ssh_host_key())
    home.keystore.create("checkpoint", "identity", new_ssh_host_key())
    key, certificate = new_tls([config.portal.hostname], now + timedelta(days=TLS_DAYS))
    home.keystore.create("tls", "portal", key)
    write_durably(home.public / "portal.pem", certificate)
    origin = f"sluis/audit/{derive(seed, 'log name', 8).reveal().hex()}"
    write_durably(home.public / "audit-origin.txt", origin.encode() + b"\n")
    # in the form of C2SP signed-note, for vendors: it checks receipts, and the log
    write_durably(home.public / "sluis.vkey.txt", home.audit_signer().verifier.vkey.encode() + b"\n")
    prepare_epochs(home)
    upgrade(home.ledger.engine)
    with home.ledger.change("administrator") as change:
        change.audit("home.created", "home")
    prepare_recipients(home, "administrator")
    fsync_folder(path)
    return home


def upgrade_home(path: Path) -> Home:
    """Bring the folders and tables of an existing home to this version; Unsound as `check_ledger` says. Its owner does it: what a role
    made, that role could change."""
    home = Home.open_without_ledger(path)
    for folder in LATER_FOLDERS:
        make_folder(path / folder)
    try:
        home.check_ledger()
    except Unsound as error:
        if error.code != "database-old":
            raise
        upgrade(home.ledger.engine)
    return home


def prepare_epochs(home: Home) -> None:
    """Epoch keys for today and the days ahead."""
    today = home.clock().astimezone(UTC).date()
    for ahead in range(EPOCHS_AHEAD):
        home.epochs.ensure(today + timedelta(days=ahead))


def check_permissions(path: Path, group_access: bool) -> None:
    """Unsound when anybody else (or, without `group_access`, the group) may enter the home or read one of its keys."""
    forbidden = 0o007 if group_access else 0o077
    for place in (path, path / "sluis.toml", *(path / name for name in FOLDERS), *_key_files(path)):
        try:
            mode = stat.S_IMODE(place.lstat().st_mode)
        except PermissionError:
            continue  # in a folder that is closed to this role altogether
        except FileNotFoundError:
            if place.parent.name in ("keys", "mortal") or place.parent.parent.name == "mortal":
                continue  # a key that died between listing and looking
            raise Unsound(
                "home-incomplete", f"{place.relative_to(path)} is missing in the home.", "Restore it, or make a new home."
            ) from None
        if mode & forbidden:
            raise Unsound(
                "permissions-too-wide",
                f"Others may reach {place.relative_to(path.parent)} (mode {mode:o}).",
                f"Run `chmod {mode & ~forbidden:o}` on it, and find out who changed it.",
            )


def _key_files(path: Path) -> list[Path]:
    return [file for store in ("keys", "mortal") for file in (path / store).rglob("*")]
