"""The Merkle tree of RFC 6962 section 2.1 over SHA-256: hashes, and the proofs that an entry is in it and that it only grew.

Runs of hashes are kept as one `bytes`, HASH bytes each: that is also how a tile lies on disk.
"""

from collections.abc import Callable, Sequence
from hashlib import sha256

HASH = 32

#: RFC 6962: the hash of the empty tree.
EMPTY = sha256(b"").digest()

#: The root of the complete subtree of 2**height leaves whose number in its row is `index`.
Subtree = Callable[[int, int], bytes]


def leaf_hash(entry: bytes) -> bytes:
    return sha256(b"\x00" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    return sha256(b"\x01" + left + right).digest()


def complete_root(hashes: bytes) -> bytes:
    """The root over a run of hashes whose number is a power of two."""
    while len(hashes) > HASH:
        hashes = b"".join([sha256(b"\x01" + hashes[i : i + 64]).digest() for i in range(0, len(hashes), 64)])
    return hashes


def peaks(hashes: bytes) -> list[bytes]:
    """The roots of the largest complete subtrees that a run of hashes starting at a multiple of 2**k consists of, in order."""
    count, start, found = len(hashes) // HASH, 0, []
    while start < count:
        width = 1 << ((count - start).bit_length() - 1)
        found.append(complete_root(hashes[start * HASH : (start + width) * HASH]))
        start += width
    return found


def fold(summits: Sequence[bytes]) -> bytes:
    """The root of the tree whose complete subtrees, largest first, have these roots."""
    if not summits:
        return EMPTY
    *rest, root = summits
    for summit in reversed(rest):
        root = node_hash(summit, root)
    return root


def _range_root(start: int, stop: int, subtree: Subtree) -> bytes:
    """MTH(D[start:stop]); `start` is a multiple of the smallest power of two that is not below the width."""
    summits = []
    while start < stop:
        height = (stop - start).bit_length() - 1
        summits.append(subtree(height, start >> height))
        start += 1 << height
    return fold(summits)


def inclusion_path(index: int, size: int, subtree: Subtree) -> list[bytes]:
    """PATH(index, D[size]) of RFC 6962 section 2.1.1, from the leaf's sibling up; needs 0 <= index < size."""
    path, start, stop = [], 0, size
    while stop - start > 1:
        middle = start + _split(stop - start)
        if index < middle:
            path.append(_range_root(middle, stop, subtree))
            stop = middle
        else:
            path.append(_range_root(start, middle, subtree))
            start = middle
    return path[::-1]


def consistency_path(older: int, newer: int, subtree: Subtree) -> list[bytes]:
    """PROOF(older, D[newer]) of RFC 6962 section 2.1.2; needs 0 <= older <= newer. Empty when either tree proves itself."""
    if older in (0, newer):
        return []
    path, start, stop, whole = [], 0, newer, True
    while older != stop:
        middle = start + _split(stop - start)
        if older <= middle:
            path.append(_range_root(middle, stop, subtree))
            stop = middle
        else:
            path.append(_range_root(start, middle, subtree))
            start, whole = middle, False
    if not whole:
        path.append(_range_root(start, stop, subtree))
    return path[::-1]


def _split(width: int) -> int:
    """The largest power of two below `width` (> 1)."""
    return 1 << ((width - 1).bit_length() - 1)


def includes(index: int, size: int, leaf: bytes, path: Sequence[bytes], root: bytes) -> bool:
    """Whether `path` proves `leaf` at `index` of the tree of `size` leaves with this root (RFC 9162 section 2.1.3.2)."""
    if not 0 <= index < size or any(len(node) != HASH for node in (leaf, *path)):
        return False
    low, high, node = index, size - 1, leaf
    for sibling in path:
        if high == 0:
            return False
        if low & 1 or low == high:
            node = node_hash(sibling, node)
            while not low & 1 and low:
                low, high = low >> 1, high >> 1
        else:
            node = node_hash(node, sibling)
        low, high = low >> 1, high >> 1
    return high == 0 and node == root


def extends(older: int, newer: int, older_root: bytes, newer_root: bytes, path: Sequence[bytes]) -> bool:
    """Whether `path` proves that the newer tree only appended to the older one (RFC 9162 section 2.1.4.2)."""
    if not 0 <= older <= newer or any(len(node) != HASH for node in path):
        return False
    if older == newer:
        return not path and older_root == newer_root
    if older == 0:
        return not path and older_root == EMPTY
    nodes = list(path)
    if older & (older - 1) == 0:  # a complete tree is its own first node
        nodes.insert(0, older_root)
    if not nodes:
        return False
    low, high = older - 1, newer - 1
    while low & 1:
        low, high = low >> 1, high >> 1
    before = after = nodes[0]
    for node in nodes[1:]:
        if high == 0:
            return False
        if low & 1 or low == high:
            before, after = node_hash(node, before), node_hash(node, after)
            while not low & 1 and low:
                low, high = low >> 1, high >> 1
        else:
            after = node_hash(after, node)
        low, high = low >> 1, high >> 1
    return high == 0 and before == older_root and after == newer_root
