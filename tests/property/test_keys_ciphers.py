"""Laws of the drop cipher, the fingerprints and derived keys."""

import numpy as np
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.cmac import CMAC
from hypothesis import given
from hypothesis import strategies as st

from keys.blocks import double
from keys.derivation import derive
from keys.drop_cipher import DropCipher
from keys.mac import cmac_blocks
from keys.sealing import new_identity, seal, unseal
from keys.secret import Secret

KEYS = st.binary(min_size=32, max_size=32).map(Secret)
IDENTITY, PUBLIC = new_identity()


@given(KEYS, st.lists(st.binary(min_size=16, max_size=16), min_size=1, max_size=20))
def test_each_fingerprint_is_the_librarys_cmac(key: Secret, blocks: list[bytes]) -> None:
    macs = cmac_blocks(key, np.frombuffer(b"".join(blocks), dtype=np.uint8).reshape(-1, 16))
    for block, mac in zip(blocks, macs, strict=True):
        library = CMAC(AES(key.reveal()))
        library.update(block)
        assert mac.tobytes() == library.finalize()


def test_ten_thousand_random_fingerprints_are_the_librarys() -> None:
    random = np.random.default_rng(7)
    key = Secret(random.bytes(32))
    blocks = random.integers(0, 256, size=(10_000, 16), dtype=np.uint8)
    macs = cmac_blocks(key, blocks)
    for block, mac in zip(blocks, macs, strict=True):
        library = CMAC(AES(key.reveal()))
        library.update(block.tobytes())
        assert mac.tobytes() == library.finalize()


@given(st.binary(min_size=16, max_size=16), st.binary(min_size=16, max_size=16))
def test_doubling_is_linear(first: bytes, second: bytes) -> None:
    def xor(a: bytes, b: bytes) -> bytes:
        return bytes(x ^ y for x, y in zip(a, b, strict=True))

    assert double(xor(first, second)) == xor(double(first), double(second))


@given(KEYS, st.integers(0, 2**50), st.binary(max_size=200))
def test_enciphering_twice_gives_the_plain_bytes(key: Secret, offset: int, plain: bytes) -> None:
    cipher = DropCipher(key)
    assert cipher.transform(offset, cipher.transform(offset, plain)) == plain


@given(KEYS, st.integers(0, 100), st.binary(max_size=300), st.data())
def test_pieces_in_any_order_make_the_same_file(key: Secret, offset: int, plain: bytes, data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(plain)), max_size=6)))
    pieces = list(zip([0, *cuts], [*cuts, len(plain)], strict=True))
    stored = bytearray(len(plain))
    for start, stop in data.draw(st.permutations(pieces)):
        stored[start:stop] = DropCipher(key).transform(offset + start, plain[start:stop])
    assert bytes(stored) == DropCipher(key).transform(offset, plain)


@given(KEYS, st.integers(0, 100), st.lists(st.binary(max_size=50), max_size=8))
def test_a_stream_goes_on_where_it_was(key: Secret, offset: int, pieces: list[bytes]) -> None:
    stream = DropCipher(key).stream(offset)
    assert b"".join(stream.update(piece) for piece in pieces) == DropCipher(key).transform(offset, b"".join(pieces))


@given(KEYS, st.text(max_size=20), st.text(max_size=20), st.integers(16, 64))
def test_derived_keys_are_the_same_for_the_same_use_only(root: Secret, first: str, second: str, length: int) -> None:
    assert (derive(root, first, length) == derive(root, second, length)) == (first == second)


@given(st.binary(max_size=100).map(Secret))
def test_what_is_sealed_is_unsealed(plain: Secret) -> None:
    assert unseal(seal(plain, PUBLIC), IDENTITY) == plain


@given(st.binary(max_size=40), st.binary(max_size=40))
def test_secrets_are_equal_as_their_bytes_are_and_never_show(first: bytes, second: bytes) -> None:
    assert (Secret(first) == Secret(second)) == (first == second)
    assert {repr(Secret(first)), str(Secret(first)), f"{Secret(first)}"} == {"Secret(…)"}
