"""Keyed ids: one-block AES-256-CMAC over a buffer, beside HMAC-SHA256 in a loop (what one would write first)."""

import hashlib
import hmac

import numpy as np

from keys.mac import cmac_blocks
from keys.secret import Secret
from tests.bench.runner import Result, compare

BLOCKS = 1_000_000
LOOPED = 50_000


def run() -> list[Result]:
    generator = np.random.default_rng(1)
    key = bytes(range(32))
    blocks = generator.integers(0, 256, size=(BLOCKS, 16), dtype=np.uint8)
    looped = [row.tobytes() for row in blocks[:LOOPED]]
    secret = Secret(key)
    return [
        compare(
            "keyed_ids",
            lambda: cmac_blocks(secret, blocks),
            "hmac in a loop",
            lambda: [hmac.digest(key, block, hashlib.sha256)[:16] for block in looped],
            unit="ns/id",
            amount=BLOCKS,
            peer_amount=LOOPED,
        )
    ]
