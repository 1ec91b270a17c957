"""A backup: one sealed file with all of a home but the keys that must die, and what is nothing without them.

The order is what makes it whole while the services run: first the ledger, as it stands at one moment; then the files that this ledger
names; the audit log last, so that it tells of everything that the ledger knows. docs/operator/backup.md lists what is in it and what not.
"""

import hashlib
import io
import os
import secrets
import tarfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import BinaryIO

from sqlalchemy import Connection
from sqlmodel import col, select

from audit import document
from audit.canonical import Json, canonical
from audit.checkpoint import peek
from audit.log import CHECKPOINT, AuditLog
from audit.record import locked_for_reading
from audit.tiles import WIDTH, added
from gateway.store.auditing import sequence
from gateway.store.dump import dump, revision_of, snapshot
from gateway.store.durable import fsync_folder
from gateway.store.home import POLICIES, Home
from gateway.store.models import Part, RegisterVersion, Report
from keys.sealed_stream import check_recipients, sealing
from policies.errors import NotFound, Refused

SCHEMA = "sluis-backup-1"
MANIFEST, END = "manifest.json", "end.json"
#: folders of a home that go in as they are; what is not named in this module stays out
WHOLE = ("keys", "receipts", POLICIES)
#: of public/, the halves of keys that die are made anew with their other halves
PUBLIC = ("audit-origin.txt", "portal.pem", "sluis.vkey.txt")


@dataclass(frozen=True)
class Made:
    """A backup that is there: its size and hash as it lies on the disk, how many members it holds, and up to where its log goes."""

    bytes: int
    sha256: str
    members: int
    log_size: int


def member_line(name: str, size: int, sha256: str) -> bytes:
    """What a member adds to the hash over all of them, in their order."""
    return f"{sha256} {size} {name}\n".encode()


def make_backup(home: Home, target: Path, recipients: Sequence[str]) -> Made:
    """Write `target`, sealed to the age keys `recipients`; it is durable, whole and in the audit log when this returns.

    Refused: `bad-public-key`, `recipient-mortal`, `backup-exists`, `backup-in-home`, `changed-meanwhile`, `backup-not-written`.
    """
    check_recipients(recipients)
    _check_lasting(home, recipients)
    if target.exists():
        raise Refused(
            "backup-exists", f"There is a file {target.name} already.", "A backup is never written over another: choose a new name."
        )
    if target.resolve().is_relative_to(home.path.resolve()):
        raise Refused("backup-in-home", "A backup does not belong in the home it is of.", "Write it to another disk.")
    with home.ledger.change("administrator") as change:
        change.audit("home.backup-begun", "home", recipients=[hashlib.sha256(key.strip().encode()).hexdigest() for key in recipients])
    sequence(home)
    beside = target.with_name(f".{target.name}.{secrets.token_hex(4)}.tmp")
    try:
        with open(beside, "xb", opener=_private) as file:
            written = _Hashed(file)
            with sealing(written, recipients) as plain:  # type: ignore[arg-type]  # age writes to it, and nobody else asks anything of it
                members, log_size = _write(home, plain)
            file.flush()
            os.fsync(file.fileno())
        os.link(beside, target)
        fsync_folder(target.parent)
    except FileExistsError:
        raise Refused("backup-exists", f"There is a file {target.name} already.", "Somebody else was faster.") from None
    except OSError as error:
        why = f": {os.strerror(error.errno)}" if error.errno else ""
        raise Refused(
            "backup-not-written", f"The backup could not be written{why}.", "Is there room, and may this user write there?"
        ) from None
    finally:
        with suppress(OSError):
            beside.unlink(missing_ok=True)
    made = Made(written.size, written.sha256.hexdigest(), members, log_size)
    with home.ledger.change("administrator") as change:
        change.audit("home.backed-up", "home", bytes=made.bytes, sha256=made.sha256, members=members, log_size=log_size)
    sequence(home)
    return made


def _check_lasting(home: Home, recipients: Sequence[str]) -> None:
    """A backup that is sealed to a key of the home's own could not be opened once the home is lost."""
    own = {home.epochs.public(day) for day in home.epochs.days()}
    with suppress(NotFound):
        own.add(home.recipients.public())
    if not own.isdisjoint(key.strip() for key in recipients):
        raise Refused(
            "recipient-mortal", "That is a key of this gateway, which dies.", "Make a pair with `age-keygen`, and keep it offline."
        )


def _private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_CLOEXEC, 0o600)


class _Hashed:
    """Says of a file what was written to it."""

    def __init__(self, file: BinaryIO) -> None:
        self._file, self.sha256, self.size = file, hashlib.sha256(), 0

    def write(self, data: bytes) -> int:
        self.sha256.update(data)
        self.size += len(data)
        return self._file.write(data)

    def flush(self) -> None:
        self._file.flush()


def _write(home: Home, stream: BinaryIO) -> tuple[int, int]:
    """Everything into the stream; answers how many members, and the size of the log in it."""
    with tarfile.open(fileobj=stream, mode="w|", format=tarfile.PAX_FORMAT) as tar:
        archive = _Archive(tar, home)
        with snapshot(home.ledger.engine) as ledger:
            facts = {"schema": SCHEMA, "made_at": archive.at.isoformat(), "software": version("sluis"), "log": home.audit_origin}
            archive.add(MANIFEST, canonical({**facts, "migration": revision_of(ledger)}))
            for number, (table, piece) in enumerate(dump(ledger)):
                archive.add(f"ledger/{number:06}.{table}.jsonl", piece)
            named = _named(ledger)
        archive.add_file("sluis.toml")
        for name in PUBLIC:
            archive.add_file(f"public/{name}")
        for folder in WHOLE:
            for path in sorted((home.path / folder).rglob("*")):
                if path.is_file() and not path.name.startswith("."):  # a file that is being written is none yet
                    archive.add_file(path.relative_to(home.path).as_posix())
        for name, sha256 in named:
            archive.add_file(name, sha256)
        checkpoint = _add_log(archive, home)
        log_size = peek(checkpoint, home.audit_origin).size
        end: dict[str, Json] = {
            "schema": SCHEMA,
            "members": archive.members,
            "sha256": archive.sha256.hexdigest(),
            "checkpoint": checkpoint.decode(),
        }
        archive.add(END, document.write(document.sign(end, home.audit_signer())))
    return archive.members, log_size


class _Archive:
    """Members in their order, with metadata that depend on the home alone."""

    def __init__(self, tar: tarfile.TarFile, home: Home) -> None:
        self._tar, self._home = tar, home
        self.at: datetime = home.clock()
        self.members, self.sha256 = 0, hashlib.sha256()

    def add(self, name: str, data: bytes) -> None:
        self._add(self._member(name, len(data), self.at.timestamp(), 0o600), io.BytesIO(data))

    def add_file(self, name: str, sha256: str | None = None) -> None:
        """A file of the home; Refused (`changed-meanwhile`) when it is gone, or not of the hash that the ledger knows it by."""
        try:
            with (self._home.path / name).open("rb") as file:
                facts = os.fstat(file.fileno())
                found = self._add(self._member(name, facts.st_size, facts.st_mtime, facts.st_mode), file)
        except FileNotFoundError:
            found = ""
        if found != (sha256 or found) or not found:
            raise Refused(
                "changed-meanwhile", f"{name} changed while the backup was made, or is not as the ledger knows it.", "Run it again."
            )

    def _member(self, name: str, size: int, mtime: float, mode: int) -> tarfile.TarInfo:
        info = tarfile.TarInfo(name)
        info.size, info.mtime, info.mode = size, int(mtime), mode & 0o770
        return info

    def _add(self, info: tarfile.TarInfo, content: BinaryIO) -> str:
        hashed = _HashedReading(content)
        self._tar.addfile(info, hashed)
        found = hashed.sha256.hexdigest()
        self.sha256.update(member_line(info.name, info.size, found))
        self.members += 1
        return found


class _HashedReading:
    """Says of a file what was read from it."""

    def __init__(self, file: BinaryIO) -> None:
        self._file, self.sha256 = file, hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(size)
        self.sha256.update(data)
        return data


def _named(ledger: Connection) -> list[tuple[str, str | None]]:
    """The files that the ledger knows by name, with their hashes where it knows them; not the registers of persons and the bundles, whose
    keys are not in a backup."""
    results = ledger.execute(select(col(Part.file), col(Part.sha256)).order_by(col(Part.file)))
    reports = ledger.execute(select(col(Report.file), col(Report.sha256)).order_by(col(Report.file)))
    lasting = col(RegisterVersion.live).is_(True) & (col(RegisterVersion.file) != "") & (col(RegisterVersion.key_name) == "")
    registers = ledger.execute(select(col(RegisterVersion.file)).where(lasting).order_by(col(RegisterVersion.file)))
    return [
        *((f"results/{file}", sha256) for file, sha256 in results),
        *((f"reports/{file}", sha256) for file, sha256 in reports),
        *((f"registers/{file}", None) for (file,) in registers),
    ]


def _add_log(archive: _Archive, home: Home) -> bytes:
    """The audit log as of one checkpoint, which is answered. What can't change any more goes first: others wait for the rest only."""
    log = AuditLog(home.path / "audit", home.audit_origin)
    settled = log.size
    for tile in added(0, settled):
        if tile.width == WIDTH:
            archive.add_file(f"audit/{tile.path}")
    with locked_for_reading(log.folder):
        checkpoint = log.checkpoint()
        for tile in added(0, peek(checkpoint, home.audit_origin).size):
            if tile.width < WIDTH or tile.stop > settled:
                archive.add_file(f"audit/{tile.path}")
    archive.add(f"audit/{CHECKPOINT}", checkpoint)
    return checkpoint
