"""One file that is still arriving: ciphertext on disk from the first byte, at the client's own offsets.

The key of an upload is used once per offset: a byte that has arrived may be sent again only if it is the same byte, since another one
would be enciphered with the same key stream (AES-CTR). What arrived survives a lost connection and a restart of the service;
a small note beside the ciphertext says which bytes there are. The note and the ciphertext are not synced: after a power cut the key on
tmpfs is gone, and with it the upload.
"""

import contextlib
import hashlib
import json
import os
import secrets
import threading
from pathlib import Path
from typing import Any

from gateway.intake.files.ranges import Ranges
from gateway.intake.files.refusals import IntakeRefused
from keys.drop_cipher import DropCipher, Stream
from keys.secret import Secret

#: more separate parts than any client sends in flight, fewer than would cost memory
MAX_PARTS = 1024

#: how much is read at once when a file has to be hashed after all [bytes]
HASH_CHUNK = 1 << 20


class Upload:
    """An unfinished file of one vendor. Thread-safe; `owner` is the handle that may write now."""

    def __init__(self, folder: Path, uid: str, vendor: str, place: str, name: str, key: Secret) -> None:
        self.uid = uid
        self.vendor = vendor
        self.place = place  # leveringen or bezwaren
        self.name = name
        self.blob = folder / f"{uid}.blob"
        self.note = folder / f"{uid}.json"
        self.key = key
        self.lock = threading.RLock()
        self.owner: object | None = None
        self.closed = False  # closed by the client under an unfinished name: ready to be renamed
        self.delivering = False
        self.ranges = Ranges()
        self._scattered = False  # bytes beyond a gap have been written at least once
        self._cipher = DropCipher(key)
        self._stream: Stream | None = None
        self._stream_at = -1
        self._hash = hashlib.sha256()
        self._hashed = 0
        self._file = -1

    @classmethod
    def begin(cls, folder: Path, vendor: str, place: str, name: str, key: Secret) -> "Upload":
        """A new upload, its empty ciphertext and its note on disk."""
        upload = cls(folder, secrets.token_hex(12), vendor, place, name, key)
        os.close(os.open(upload.blob, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o660))
        upload.save()
        return upload

    @classmethod
    def restore(cls, note: Path, vendor: str, place: str, key: Secret) -> "Upload | None":
        """The upload that `note` tells of; None when what is known about its bytes is not enough to go on with it."""
        try:
            told: dict[str, Any] = json.loads(note.read_bytes())
            upload = cls(note.parent, note.stem, vendor, place, told["name"], key)
            size = upload.blob.stat().st_size
            if told["clean"]:
                upload.ranges = Ranges((start, stop) for start, stop in told["ranges"])
            elif told["scattered"]:
                return None  # which bytes beyond the gap were written is not known: their key stream can't be used again
            else:
                upload.ranges = Ranges([(0, size)])
            if upload.ranges.end > size:
                return None
            upload.closed, upload._scattered = told["closed"], told["scattered"]
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return upload

    @property
    def size(self) -> int:
        """From where the upload can be resumed [bytes]."""
        return self.ranges.prefix

    @property
    def changed_at(self) -> float:
        """When a byte last arrived [s since 1970]."""
        try:
            return self.blob.stat().st_mtime
        except FileNotFoundError:
            return 0.0

    def save(self, clean: bool = False) -> None:
        """Note what has arrived; `clean` when the note is exact because nobody writes any more."""
        told = {
            "name": self.name,
            "closed": self.closed,
            "clean": clean,
            "scattered": self._scattered,
            "ranges": list(self.ranges) if clean else [],
        }
        beside = self.note.with_suffix(".json.tmp")
        beside.write_text(json.dumps(told))
        os.replace(beside, self.note)

    # ------------------------------------------------------------ writing

    def attach(self, owner: object) -> None:
        """From now on `owner` writes, and whoever did before no longer does."""
        with self.lock:
            if self.delivering:
                raise IntakeRefused("being-delivered")
            self.owner = owner
            self.closed = False
            self._open()
            self.save()

    def release(self, owner: object) -> None:
        """`owner` is gone (its connection was lost, or it closed an unfinished name): keep what arrived for whoever resumes."""
        with self.lock:
            if self.owner is owner:
                self.owner = None
                self._close()
                self.save(clean=True)

    def suspend(self) -> None:
        """The service stops: note exactly what arrived."""
        with self.lock:
            if not self.delivering:
                self.owner = None
                self._close()
                self.save(clean=True)

    def write(self, owner: object, offset: int, data: bytes, max_bytes: int) -> None:
        """Take `data` at `offset` [bytes]; IntakeRefused when it would be too large, or differs from what arrived before."""
        if self.owner is not owner:
            raise IntakeRefused("taken-over")
        stop = offset + len(data)
        if stop > max_bytes:
            raise IntakeRefused("too-large")
        with self.lock:
            if self.owner is not owner:
                raise IntakeRefused("taken-over")
            if offset == self.ranges.end == self.ranges.prefix:
                self._append(offset, data)
            else:
                self._place(offset, stop, data)

    def append(self, owner: object, data: bytes, max_bytes: int) -> None:
        """The same at the end of what arrived (SSH_FXF_APPEND)."""
        self.write(owner, self.ranges.prefix, data, max_bytes)

    def sync(self, owner: object) -> None:
        """Bring to the disk what has arrived so far."""
        with self.lock:
            if self.owner is not owner:
                raise IntakeRefused("taken-over")
            os.fsync(self._file)

    def _append(self, offset: int, data: bytes) -> None:
        if self._stream is None or self._stream_at != offset:
            self._stream = self._cipher.stream(offset)
        self._stream_at = -1
        self._put(offset, self._stream.update(data))
        self._stream_at = offset + len(data)
        self._digest(offset, data)

    def _place(self, offset: int, stop: int, data: bytes) -> None:
        view = memoryview(data)
        for start, end in self.ranges.within(offset, stop):
            stored = os.pread(self._file, end - start, start)
            if self._cipher.transform(start, stored) != view[start - offset : end - offset]:
                raise IntakeRefused("rewritten")
        if offset > self.ranges.prefix and len(self.ranges) >= MAX_PARTS:
            raise IntakeRefused("scattered")
        if offset > self.ranges.prefix and not self._scattered:
            self._scattered = True
            self.save()  # before the write: after a crash the size of the file says nothing any more
        for start, end in self.ranges.missing(offset, stop):
            piece = view[start - offset : end - offset]
            self._put(start, self._cipher.transform(start, piece))
            self._digest(start, piece)

    def _put(self, offset: int, stored: bytes) -> None:
        view = memoryview(stored)
        while view:
            written = os.pwrite(self._file, view, offset)
            self.ranges.add(offset, offset + written)  # at once: what is on disk has used its key stream
            offset += written
            view = view[written:]

    def _digest(self, offset: int, data: bytes | memoryview) -> None:
        if offset == self._hashed:
            self._hash.update(data)
            self._hashed += len(data)

    # ------------------------------------------------------------ finishing

    def check_whole(self) -> None:
        """IntakeRefused (`has-gaps`) unless every byte up to the last one has arrived."""
        if self.ranges.prefix != self.ranges.end:
            raise IntakeRefused("has-gaps")

    def finish(self) -> str:
        """Make the ciphertext durable; answers the SHA-256 (hex) of the bytes received, from disk where they came out of order."""
        with self.lock:
            self._open()
            os.fsync(self._file)
            while self._hashed < self.size:
                stored = os.pread(self._file, min(HASH_CHUNK, self.size - self._hashed), self._hashed)
                if not stored:
                    raise OSError("the ciphertext is shorter than what arrived")
                self._digest(self._hashed, self._cipher.transform(self._hashed, stored))
            return self._hash.hexdigest()

    def discard(self) -> None:
        """Remove the ciphertext and the note; whoever calls destroys the key first."""
        with self.lock:
            self.owner = None
            self._close()
            for path in (self.blob, self.note):
                path.unlink(missing_ok=True)

    def _open(self) -> None:
        if self._file < 0:
            self._file = os.open(self.blob, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)

    def _close(self) -> None:
        if self._file >= 0:
            with contextlib.suppress(OSError):
                os.close(self._file)
            self._file = -1
        self._stream = None
        self._stream_at = -1
