"""One file that is still arriving: ciphertext on disk from the first byte, at the client's own offsets.

The key of an upload is used once per offset: a byte that has arrived may be sent again only if it is the same byte, since another one
would be enciphered with the same key stream (AES-CTR). What arrived survives a lost connection and a restart of the service: the note
(gateway.intake.files.note) says which bytes there are. Whoever writes is one handle on one event loop; only `finish` runs in a thread,
while nobody writes.
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
from keys.secret import Secret

#: more separate parts than any client sends in flight, fewer than would cost memory
MAX_PARTS = 1024

#: how much is read at once when a file has to be hashed after all [bytes]
HASH_CHUNK = 1 << 20


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

    @classmethod
    def begin(cls, folder: Path, uid: str) -> "Upload":
        """A new upload under a new key, its empty ciphertext on disk."""
        upload = cls(folder, uid, DropCipher.generate())
        upload._file = os.open(upload.blob, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o660)
        return upload

    def open(self) -> None:
        """Get ready to write, or to be read."""
        if self._file < 0:
            self._file = os.open(self.blob, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)

    def close(self) -> None:
        """Let go of the file; what arrived stays."""
        if self._file >= 0:
            with contextlib.suppress(OSError):
                os.close(self._file)
            self._file = -1
        self._stream, self._stream_at = None, -1

    @property
    def descriptor(self) -> int:
        """Of the ciphertext, open."""
        self.open()
        return self._file

    @property
    def size(self) -> int:
        """From where the upload can be resumed [bytes]."""
        return self.ranges.prefix

    # ------------------------------------------------------------ writing

    def write(self, offset: int, data: bytes | bytearray | memoryview) -> None:
        """Take `data` at `offset` [bytes], into the page cache. IntakeRefused (`rewritten`) when it differs from what arrived before,
        (`scattered`) when it comes in too many parts. Before a write that `would_scatter` the note must be saved."""
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
        stored = os.pread(self._file, end - start, start)
        if len(stored) != end - start:
            raise OSError("the ciphertext is shorter than what arrived")
        return stored

    def _put(self, offset: int, stored: memoryview) -> None:
        while stored:
            written = os.pwrite(self._file, stored, offset)
            self.ranges.add(offset, offset + written)  # at once: what is on disk has used its key stream
            offset += written
            stored = stored[written:]

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

    def stored_digest(self) -> str:
        """The SHA-256 (hex) of the ciphertext. Blocking: reads all of it."""
        digest = hashlib.sha256()
        for start in range(0, self.size, HASH_CHUNK):
            digest.update(self._stored(start, min(start + HASH_CHUNK, self.size)))
        return digest.hexdigest()
