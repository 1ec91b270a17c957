"""RFC 6962 trees: the reference roots and proofs, and every size against the definition."""

from hashlib import sha256

import pytest

from audit import merkle
from tests.support.audit_logs import root_of
from tests.support.vectors import load_vectors

VECTORS = load_vectors("audit/rfc6962")
LEAVES = [bytes.fromhex(text) for text in VECTORS["leaves"]]


def mth(entries: list[bytes]) -> bytes:
    """MTH exactly as RFC 6962 section 2.1 words it."""
    if not entries:
        return sha256(b"").digest()
    if len(entries) == 1:
        return sha256(b"\x00" + entries[0]).digest()
    k = 1
    while k * 2 < len(entries):
        k *= 2
    return sha256(b"\x01" + mth(entries[:k]) + mth(entries[k:])).digest()


def subtree_of(entries: list[bytes]) -> merkle.Subtree:
    return lambda height, index: mth(entries[index << height : (index + 1) << height])


def leaves(entries: list[bytes]) -> bytes:
    return b"".join(map(merkle.leaf_hash, entries))


@pytest.mark.parametrize("size", range(9))
def test_root_is_that_of_the_reference(size: int) -> None:
    assert root_of(leaves(LEAVES[:size])).hex() == VECTORS["roots"][size]


@pytest.mark.parametrize("vector", VECTORS["consistency"], ids=lambda vector: f"{vector['older']}-{vector['newer']}")
def test_consistency_proof_is_that_of_the_reference(vector: dict[str, object]) -> None:
    older, newer = int(str(vector["older"])), int(str(vector["newer"]))
    assert [node.hex() for node in merkle.consistency_path(older, newer, subtree_of(LEAVES))] == vector["path"]


@pytest.mark.parametrize("vector", VECTORS["inclusion"], ids=lambda vector: f"{vector['index']}-{vector['size']}")
def test_inclusion_proof_is_that_of_the_reference(vector: dict[str, object]) -> None:
    index, size = int(str(vector["index"])), int(str(vector["size"]))
    assert [node.hex() for node in merkle.inclusion_path(index, size, subtree_of(LEAVES))] == vector["path"]


ENTRIES = [b"%d" % n for n in range(34)]


@pytest.mark.parametrize("size", range(1, 35))
def test_every_entry_of_every_size_is_proved_and_no_other(size: int) -> None:
    root = mth(ENTRIES[:size])
    assert root_of(leaves(ENTRIES[:size])) == root
    for index in range(size):
        path = merkle.inclusion_path(index, size, subtree_of(ENTRIES))
        leaf = merkle.leaf_hash(ENTRIES[index])
        assert merkle.includes(index, size, leaf, path, root)
        assert not merkle.includes(index, size, merkle.leaf_hash(b"other"), path, root)
        assert not merkle.includes(index, size, leaf, [*path, root], root)
        assert not merkle.includes(index, size, leaf, path[:-1], root) or not path
        assert not any(merkle.includes(other, size, leaf, path, root) for other in range(-1, size + 2) if other != index)


@pytest.mark.parametrize("newer", range(1, 35))
def test_every_growth_is_proved_and_no_rewriting(newer: int) -> None:
    after = mth(ENTRIES[:newer])
    for older in range(newer + 1):
        before = mth(ENTRIES[:older])
        path = merkle.consistency_path(older, newer, subtree_of(ENTRIES))
        assert merkle.extends(older, newer, before, after, path)
        assert not merkle.extends(older, newer, mth([b"other", *ENTRIES[1:older]]), after, path)
        assert not merkle.extends(older, newer, before, after, [*path, before])
        if 0 < older < newer:
            assert not merkle.extends(older, newer, before, mth([*ENTRIES[: newer - 1], b"other"]), path)
            assert not merkle.extends(older, newer, before, after, path[:-1])


def test_nonsense_is_no_proof() -> None:
    root = mth(ENTRIES[:4])
    assert not merkle.includes(0, 4, b"short", [], root)
    assert not merkle.includes(0, 4, merkle.leaf_hash(ENTRIES[0]), [b"short", b"short"], root)
    assert not merkle.extends(5, 4, root, root, [])
    assert not merkle.extends(2, 4, root, root, [b"short"])
    assert not merkle.extends(3, 4, root, root, [])
    assert not merkle.extends(-1, 4, root, root, [])
