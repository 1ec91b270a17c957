"""The encrypted copy of a file that is on its way, kept until it is delivered.

age encrypts to other bytes each time, so resuming needs the copy of the first time. Only ciphertext lies here, readable by the
gateway alone.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import pyrage

from gateway.drop import formats
from gateway.vendor.refusals import refusal
from gateway.vendor.target import Target

_READY = (".age", ".gpg", ".pgp", ".asc")
_MARK = "ready.json"
CHUNK = 1 << 20

Told = Callable[[int, int], None]


@dataclass(frozen=True)
class Parcel:
    """A file ready to be sent: what goes over the line, under which name, and its SHA-256."""

    source: Path
    content: Path
    name: str
    bytes: int
    sha256: str
    folder: Path  # in the outbox: holds the copy, or of a source that is sent as it is what it was when sending began
    resumable: bool  # an earlier run has prepared these very bytes


def chunks_of(file: BinaryIO) -> Iterator[bytes]:
    """What is in a file from here on."""
    while data := file.read(CHUNK):
        yield data


class _Read:
    def __init__(self, file: BinaryIO, total: int, told: Told) -> None:
        self._file, self._total, self._told, self._done = file, total, told, 0

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(size)
        self._done += len(data)
        self._told(self._done, self._total)
        return data


class _Hashed:
    def __init__(self, file: BinaryIO) -> None:
        self._file, self.sha256, self.bytes = file, hashlib.sha256(), 0

    def write(self, data: bytes) -> int:
        self.sha256.update(data)
        self.bytes += len(data)
        return self._file.write(data)

    def flush(self) -> None:
        self._file.flush()


def default_outbox() -> Path:
    """Where encrypted copies wait: below XDG_STATE_HOME (XDG Base Directory Specification)."""
    state = os.environ.get("XDG_STATE_HOME")
    return (Path(state) if state else Path.home() / ".local" / "state") / "sluis" / "outbox"


def is_encrypted(path: Path) -> bool:
    """Whether the file is sent as it is: its content is age's or OpenPGP's. OSError when it can't be read."""
    return formats.is_encrypted(_head(path))


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(formats.HEAD)


def pack(source: Path, target: Target, recipients: Sequence[str], outbox: Path, told: Told) -> Parcel:
    """Encrypt `source` to the gateway's keys, unless it is encrypted or an earlier run has done so for the same file. NotFound (`no-file`),
    Refused (`file-changed`, `outbox-unwritable`, `bad-gateway-key`)."""
    try:
        facts = source.stat()
        encrypted = is_encrypted(source)
    except OSError:
        raise refusal("no-file", path=source) from None
    folder = outbox / hashlib.sha256(json.dumps([str(target), str(source.resolve())]).encode()).hexdigest()[:32]
    made_of: list[int | str] = [facts.st_size, facts.st_mtime_ns, *sorted(recipients)]
    name, content = f"{source.name}.age", folder / "content.age"
    if encrypted:
        content = source
        name = source.name if source.suffix in _READY else source.name + (".gpg" if formats.is_openpgp(_head(source)) else ".age")
    if done := _ready(folder, content, made_of):
        return Parcel(source, content, name, *done, folder, resumable=True)
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        (folder / _MARK).unlink(missing_ok=True)
        done = (facts.st_size, _sha256(source)) if encrypted else _encrypt(source, content, recipients, facts.st_size, told)
        if (source.stat().st_size, source.stat().st_mtime_ns) != (facts.st_size, facts.st_mtime_ns):
            shutil.rmtree(folder)
            raise refusal("file-changed", name=source.name)
        (folder / _MARK).write_text(json.dumps([made_of, *done]))
    except OSError:
        raise refusal("outbox-unwritable", outbox=outbox) from None
    return Parcel(source, content, name, *done, folder, resumable=False)


def _ready(folder: Path, content: Path, made_of: list[int | str]) -> tuple[int, str] | None:
    """Length [bytes] and SHA-256 of what an earlier run has prepared of this very file; None when it did not come to its end, or part of
    it went."""
    try:
        before, size, sha256 = json.loads((folder / _MARK).read_bytes())
        return (size, sha256) if before == made_of and content.stat().st_size == size else None
    except (OSError, ValueError):
        return None


def _encrypt(source: Path, content: Path, recipients: Sequence[str], size: int, told: Told) -> tuple[int, str]:
    try:
        keys = [pyrage.x25519.Recipient.from_str(text) for text in recipients]
    except pyrage.RecipientError:
        raise refusal("bad-gateway-key") from None
    descriptor = os.open(content, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with source.open("rb") as plain, open(descriptor, "wb", buffering=CHUNK) as file:
        out = _Hashed(file)
        pyrage.encrypt_io(_Read(plain, size, told), out, keys)
        file.flush()
        os.fsync(file.fileno())  # what is marked as ready is on the disk
    return out.bytes, out.sha256.hexdigest()


def unpack_done(parcel: Parcel) -> None:
    """The parcel was delivered: its encrypted copy goes."""
    shutil.rmtree(parcel.folder, ignore_errors=True)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
