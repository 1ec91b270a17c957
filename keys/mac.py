"""Keyed fingerprints of identifiers: AES-256-CMAC of one block (RFC 4493 with the AES-256 of NIST SP 800-38B).

Whoever holds the key can try all nine-digit numbers in seconds. A fingerprint therefore hides an identifier only as long as
its key is guarded, and erasing fingerprints means destroying that key.
"""

import numpy as np
from numpy.typing import NDArray

from keys.blocks import BLOCK_BYTES, double, encrypt_blocks
from keys.secret import Secret

KEY_BYTES = 32


def cmac_blocks(key: Secret, blocks: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The CMAC of each row of `blocks`, shape (n, 16), under a key of 32 bytes; the answer has the same shape.

    A message of exactly one block needs one encryption: AES(block xor K1), RFC 4493 section 2.4. ValueError when the key or
    the array has another size.
    """
    value = key.reveal()
    if len(value) != KEY_BYTES:
        raise ValueError(f"a MAC key has {KEY_BYTES} bytes")
    if blocks.ndim != 2 or blocks.shape[1] != BLOCK_BYTES or blocks.dtype != np.uint8:
        raise ValueError(f"blocks must be a uint8 array of shape (n, {BLOCK_BYTES})")
    return encrypt_blocks(value, blocks ^ _subkey(value))


def _subkey(key: bytes) -> NDArray[np.uint8]:
    """K1 of RFC 4493 section 2.3."""
    zero = np.zeros((1, BLOCK_BYTES), dtype=np.uint8)
    return np.frombuffer(double(encrypt_blocks(key, zero).tobytes()), dtype=np.uint8)
