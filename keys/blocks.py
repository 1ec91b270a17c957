"""Many AES blocks at once: the part that CMAC and SIV of single blocks share."""

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from numpy.typing import NDArray

BLOCK_BYTES = 16


def encrypt_blocks(key: bytes, blocks: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """AES of each row on its own. Only for inputs a mode of operation has made: by itself this is ECB.

    `blocks` has shape (n, 16); the answer is a new, writable array of the same shape. One call over the whole buffer, since
    a call per block costs a hundred times the encryption.
    """
    encryptor = Cipher(algorithms.AES(key), modes.ECB()).encryptor()  # noqa: S305  the modes are built on top, see above
    out = np.empty(blocks.size + BLOCK_BYTES - 1, dtype=np.uint8)  # update_into asks for this much room
    encryptor.update_into(np.ascontiguousarray(blocks).data, out.data)
    return out[: blocks.size].reshape(blocks.shape)


def double(block: bytes) -> bytes:
    """`block` times x in GF(2^128), the `dbl` of RFC 5297 section 2.3; it also makes CMAC's subkeys (RFC 4493 section 2.3)."""
    number = int.from_bytes(block, "big") << 1
    if number >> 128:
        number ^= (1 << 128) | 0x87
    return number.to_bytes(BLOCK_BYTES, "big")
