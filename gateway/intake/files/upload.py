"""One file that is still arriving: ciphertext from the first byte, at the client's own offsets.

The key of an upload is used once per offset: a byte that has arrived may be sent again only if it is the same byte, since another one
would be enciphered with the same key stream (AES-CTR). What arrived survives a lost connection and a restart of the service: the note
(gateway.intake.files.note) says which bytes there are. Whoever writes is one handle on one event loop; what ends an upload runs in a
thread, while nobody writes.

The ciphertext of a small upload stays in memory until it is whole: then it is written once, at its final place. A kill loses it, as it
loses every upload that has no note yet.
"""

import contextlib
import hashlib
import os
import secrets
import threading
from pathlib import Path

from gateway.intake.files.ranges import Ranges
from gateway.intake.files.refusals import IntakeRefused
from keys.drop_cipher import BLOCK_BYTES, DropCipher, Stream
from keys.durable import write_whole
from keys.secret import Secret

#: more separate parts than any client sends in flight, fewer than would cost memory
MAX_PARTS = 1024

#: what an upload may have in memory, and all uploads of a process together; beyond that it goes to disk [bytes]
EARLY = 256 << 10
EARLY_IN_ALL = 16 << 20

#: how much is read at once when a file has to be hashed after all [bytes]
HASH_CHUNK = 1 << 20


class _EarlyRoom:
    """What uploads of this process have in memory [bytes]."""

    def __init__(self) -> None:
        self._taken = 0
        self._lock = threading.Lock()  # an upload ends in a thread

    def take(self, size: int) -> bool:
        with self._lock:
            if self._taken + size > EARLY_IN_ALL:
                return False
            self._taken += size
            return True

    def give_back(self, size: int) -> None:
        with self._lock:
            self._taken -= size


_early_room = _EarlyRoom()


class _Scratch(threading.local):
    """Ciphertext of the write under way: one for a thread, since writes never wait in the middle."""

    def __init__(self) -> None:
        self.buffer = bytearray((256 << 10) + BLOCK_BYTES)


_scratch = _Scratch()


def new_uid() -> str:
    """The name of an upload on disk: says nothing."""
    return secrets.token_hex(12)


def blob_path(folder: Path, uid: str) -> Path:
    """Where an upload's ciphertext lies in its folder."""
    return folder / f"{uid}.blob"


class Upload:
    """An unfinished file of one vendor, as the one who writes it has it."""

    def __init__(self, folder: Path, uid: str, key: Secret) -> None:
        self.uid = uid
        self.folder = folder
        self.blob = blob_path(folder, uid)
        self.key = key
        self.ranges = Ranges()
        self.scattered = False  # bytes beyond a gap have been written at least once, and a note says so
        self._cipher = DropCipher(key)
        self._stream: Stream | None = None
        self._stream_at = -1
        self._hash = hashlib.sha256()
        self._hashed = 0
        self._file = -1
        self._early: bytearray | None = None  # the ciphertext while it is in memory

    @classmethod
    def begin(cls, folder: Path, uid: str) -> "Upload":
        """A new upload under a new key; nothing of it is on disk yet."""
        upload = cls(folder, uid, DropCipher.generate())
        upload._early = bytearray()
        return upload

    def open(self) -> None:
        """Get ready to write, or to be read."""
        if self._file < 0 and self._early is None:
            self._file = os.open(self.blob, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)

    def close(self) -> None:
        """Let go of it; what is on disk stays, and what is not is gone."""
        if self._file >= 0:
            with contextlib.suppress(OSError):
                os.close(self._file)
            self._file = -1
        self._forget_early()
        self._stream, self._stream_at = None, -1

    def to_disk(self) -> None:
        """What is in memory goes to disk, where it can be resumed from; fine when it is there already. OSError: it still is in memory."""
        if self._early is not None:
            self._file = self._write_early(self.blob)
            self._forget_early()

    def move_to(self, path: Path) -> None:
        """The ciphertext under its final name, not synced yet, and `descriptor` open on it. OSError: it is where it was."""
        if self._early is None:
            self.open()
            os.rename(self.blob, path)
        else:
            self._file = self._write_early(path)

    def move_back(self, path: Path) -> None:
        """Undo `move_to`, however far it came."""
        with contextlib.suppress(FileNotFoundError):  # it had not been moved yet
            if self._early is None:
                os.rename(path, self.blob)
            else:
                os.unlink(path)
                os.close(self._file)
                self._file = -1

    def _write_early(self, path: Path) -> int:
        assert self._early is not None
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o660)
        try:
            write_whole(descriptor, self._early)
        except BaseException:
            os.close(descriptor)
            path.unlink(missing_ok=True)
            raise
        return descriptor

    def _forget_early(self) -> None:
        if self._early is not None:
            _early_room.give_back(len(self._early))
            self._early = None

    @property
    def descriptor(self) -> int:
        """Of the ciphertext, open; it is on disk."""
        self.open()
        return self._file

    @property
    def size(self) -> int:
        """From where the upload can be resumed [bytes]."""
        return self.ranges.prefix

    # ------------------------------------------------------------ writing

    def write(self, offset: int, data: bytes | bytearray | memoryview) -> None:
        """Take `data` at `offset` [bytes], into memory or the page cache. IntakeRefused (`rewritten`) when it differs from what arrived
        before, (`scattered`) when it comes in too many parts. Before a write that `would_scatter` the note must be saved."""
        if offset == self.ranges.end == self.ranges.prefix:
            self._append(offset, data)
        else:
            self._place(offset, data)

    def would_scatter(self, offset: int) -> bool:
        """Whether a write at `offset` is the first beyond a gap: after a crash the size of the file says nothing any more."""
        return offset > self.ranges.prefix and not self.scattered

    def _append(self, offset: int, data: bytes | bytearray | memoryview) -> None:
        size = len(data)
        if self._stream is None or self._stream_at != offset:
            self._stream = self._cipher.stream(offset)
        buffer = _scratch.buffer
        if len(buffer) < size + BLOCK_BYTES:
            buffer.extend(bytes(size + BLOCK_BYTES - len(buffer)))
        self._stream_at = -1
        self._stream.update_into(data, buffer)
        with memoryview(buffer) as stored:
            self._put(offset, stored[:size])
        self._stream_at = offset + size
        self._digest(offset, data)

    def _place(self, offset: int, data: bytes | bytearray | memoryview) -> None:
        view = memoryview(data)
        stop = offset + len(view)
        for start, end in self.ranges.within(offset, stop):
            if self._cipher.transform(start, self._stored(start, end)) != view[start - offset : end - offset]:
                raise IntakeRefused("rewritten")
        if offset > self.ranges.prefix and len(self.ranges) >= MAX_PARTS:
            raise IntakeRefused("scattered")
        for start, end in self.ranges.missing(offset, stop):
            piece = view[start - offset : end - offset]
            self._put(start, memoryview(self._cipher.transform(start, piece)))
            self._digest(start, piece)

    def _stored(self, start: int, end: int) -> bytes:
        if self._early is not None:
            return bytes(self._early[start:end])
        stored = os.pread(self._file, end - start, start)
        if len(stored) != end - start:
            raise OSError("the ciphertext is shorter than what arrived")
        return stored

    def _put(self, offset: int, stored: memoryview) -> None:
        if self._early is not None and self._put_early(self._early, offset, stored):
            return
        self.to_disk()
        while stored:
            written = os.pwrite(self._file, stored, offset)
            self.ranges.add(offset, offset + written)  # at once: what is on disk has used its key stream
            offset += written
            stored = stored[written:]

    def _put_early(self, early: bytearray, offset: int, stored: memoryview) -> bool:
        """False when it is too much to stay in memory."""
        stop = offset + len(stored)
        if not stored:
            return True
        if stop > EARLY or not _early_room.take(max(0, stop - len(early))):
            return False
        early.extend(bytes(max(0, offset - len(early))))
        early[offset:stop] = stored
        self.ranges.add(offset, stop)
        return True

    def _digest(self, offset: int, data: bytes | bytearray | memoryview) -> None:
        if offset == self._hashed:
            self._hash.update(data)
            self._hashed += len(data)

    # ------------------------------------------------------------ finishing

    def check_whole(self) -> None:
        """IntakeRefused (`has-gaps`) unless every byte up to the last one has arrived."""
        if self.ranges.prefix != self.ranges.end:
            raise IntakeRefused("has-gaps")

    def finish(self) -> str:
        """The SHA-256 (hex) of the bytes received; reads again from disk what came out of order or in an earlier run. Blocking."""
        while self._hashed < self.size:
            start = self._hashed
            end = min(start + HASH_CHUNK, self.size)
            self.open()
            self._digest(start, self._cipher.transform(start, self._stored(start, end)))
        return self._hash.hexdigest()

    def beginning(self, most: int) -> bytes:
        """The first bytes received, at most so many. Blocking."""
        self.open()
        return self._cipher.transform(0, self._stored(0, min(most, self.size)))

    def stored_digest(self) -> str:
        """The SHA-256 (hex) of the ciphertext. Blocking: reads all of it."""
        digest = hashlib.sha256()
        for start in range(0, self.size, HASH_CHUNK):
            digest.update(self._stored(start, min(start + HASH_CHUNK, self.size)))
        return digest.hexdigest()
