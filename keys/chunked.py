"""Files that are read in parts and can't be tampered with: AES-256-GCM over 64 KiB chunks, in the STREAM construction.

Hoang, Reyhanitabar, Rogaway, Vizár: Online Authenticated-Encryption and its Nonce-Reuse Misuse-Resistance (CRYPTO 2015),
section 6; the layout follows age's payload. A file is

    MAGIC (16 bytes) · salt (32 random bytes) · chunk 0 · chunk 1 · … · last chunk

Each chunk is 65,536 bytes of plaintext (the last one 0 to 65,536, and 0 only in an empty file) and a 16-byte tag. The file's key
is HKDF-SHA256 of the given key with the salt, so that encrypting twice under one key never repeats a nonce. A chunk's nonce is
its number (11 bytes, big endian) and a byte that is 1 for the last chunk; its associated data is the file's id. So a chunk
can't be changed, moved, left out, taken from another file or passed off as the last one.
"""

import os
import secrets
from collections.abc import Iterator
from typing import BinaryIO

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from keys.derivation import derive
from keys.secret import Secret
from policies.errors import Unsound

MAGIC = b"sluis-chunked-1\n"
SALT_BYTES = 32
HEADER_BYTES = len(MAGIC) + SALT_BYTES
CHUNK_BYTES = 64 * 1024
TAG_BYTES = 16


def encrypt(key: Secret, file_id: str, source: BinaryIO, target: BinaryIO) -> int:
    """Write all of `source` to `target` under `key`; the number of plaintext bytes. The caller makes `target` durable."""
    salt = secrets.token_bytes(SALT_BYTES)
    cipher = _cipher(key, salt)
    target.write(MAGIC + salt)
    total = number = 0
    chunk = _read_full(source, CHUNK_BYTES)
    while True:
        following = _read_full(source, CHUNK_BYTES)
        target.write(cipher.encrypt(_nonce(number, last=not following), chunk, file_id.encode()))
        total += len(chunk)
        if not following:
            return total
        chunk, number = following, number + 1


class Reader:
    """Reads ranges of an encrypted file; every byte it gives was authenticated first.

    One reader uses one open file and moves its position: for two downloads at once open the file twice.
    """

    def __init__(self, key: Secret, file_id: str, file: BinaryIO) -> None:
        """Checks the header and the last chunk, so that `size` can be trusted; Unsound (`bundle-damaged`) otherwise."""
        self._file = file
        self._associated = file_id.encode()
        file.seek(0)
        header = _read_full(file, HEADER_BYTES)
        if len(header) < HEADER_BYTES or not header.startswith(MAGIC):
            raise _damaged()
        self._cipher = _cipher(key, header[len(MAGIC) :])
        body = file.seek(0, os.SEEK_END) - HEADER_BYTES
        self._last = max(0, -(-body // (CHUNK_BYTES + TAG_BYTES)) - 1)
        #: plaintext bytes in the whole file
        self.size = body - TAG_BYTES * (self._last + 1)
        if len(self._chunk(self._last)) == 0 and self._last > 0:
            raise _damaged()

    def read_range(self, start: int, stop: int) -> Iterator[bytes]:
        """The plaintext bytes from `start` up to `stop` (exclusive), in pieces of at most 64 KiB.

        ValueError at once for a range outside the file; Unsound (`bundle-damaged`) while reading, after the sound pieces.
        """
        if not 0 <= start <= stop <= self.size:
            raise ValueError(f"a range within 0 to {self.size} is needed")
        return self._pieces(start, stop)

    def _pieces(self, start: int, stop: int) -> Iterator[bytes]:
        for number in range(start // CHUNK_BYTES, -(-stop // CHUNK_BYTES)):
            before = number * CHUNK_BYTES
            piece = self._chunk(number)[max(0, start - before) : stop - before]
            if piece:
                yield piece

    def _chunk(self, number: int) -> bytes:
        self._file.seek(HEADER_BYTES + number * (CHUNK_BYTES + TAG_BYTES))
        sealed = _read_full(self._file, CHUNK_BYTES + TAG_BYTES)
        try:
            return self._cipher.decrypt(_nonce(number, last=number == self._last), sealed, self._associated)
        except InvalidTag:
            raise _damaged() from None


def _cipher(key: Secret, salt: bytes) -> AESGCM:
    return AESGCM(derive(key, "sluis chunked file", salt=salt).reveal())


def _nonce(number: int, last: bool) -> bytes:
    return number.to_bytes(11, "big") + bytes([last])


def _read_full(source: BinaryIO, size: int) -> bytes:
    """`size` bytes, or fewer only at the end: one read of a pipe or raw file may give less."""
    parts: list[bytes] = []
    while size and (part := source.read(size)):
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def _damaged() -> Unsound:
    return Unsound("bundle-damaged", "This encrypted file was changed, cut short or exchanged.", "Make it again from its source.")
