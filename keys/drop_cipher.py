"""What lies on disk of an upload: AES-256-CTR (NIST SP 800-38A section 6.5) at the file's own offsets.

The key stream of a byte depends on its offset alone, so an interrupted upload goes on wherever the vendor goes on, and no byte
is in the clear on the way. The same holds for a byte written twice: a key serves one upload and never another. The mode says
nothing about integrity; that is what the vendor's own age file inside is for.
"""

import secrets
from typing import Protocol

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from keys.secret import Secret

KEY_BYTES = 32
BLOCK_BYTES = 16


class Stream(Protocol):
    """Consecutive bytes of one file: each call goes on where the last one ended."""

    def update(self, data: bytes | memoryview, /) -> bytes: ...

    def update_into(self, data: bytes | bytearray | memoryview, buffer: bytearray, /) -> int: ...


class DropCipher:
    """Turns plain into stored bytes and back (the two are the same operation)."""

    @staticmethod
    def generate() -> Secret:
        """A fresh key for one upload [32 bytes]."""
        return Secret(secrets.token_bytes(KEY_BYTES))

    def __init__(self, key: Secret) -> None:
        if len(key.reveal()) != KEY_BYTES:
            raise ValueError(f"a drop key has {KEY_BYTES} bytes")
        self._key = key

    def transform(self, offset: int, data: bytes | memoryview) -> bytes:
        """`data`, which lies at `offset` [bytes] in the file, enciphered or deciphered."""
        return self.stream(offset).update(data)

    def stream(self, offset: int = 0) -> Stream:
        """The same for a whole run of bytes from `offset` [bytes] on: faster than a `transform` for each piece."""
        if offset < 0:
            raise ValueError("an offset is not negative")
        block, skip = divmod(offset, BLOCK_BYTES)
        counter = block.to_bytes(BLOCK_BYTES, "big")
        encryptor = Cipher(algorithms.AES(self._key.reveal()), modes.CTR(counter)).encryptor()
        encryptor.update(bytes(skip))  # an offset inside a block: its first bytes of key stream are not ours
        return encryptor
