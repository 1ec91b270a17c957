"""What lies on disk of an upload can be written and read from any offset on."""

import pytest

from keys.drop_cipher import DropCipher
from keys.secret import Secret

PLAIN = bytes(range(256)) * 3


def test_a_generated_key_has_256_bits_and_is_new() -> None:
    first, second = DropCipher.generate(), DropCipher.generate()
    assert len(first.reveal()) == 32
    assert first != second


@pytest.mark.parametrize("size", [0, 16, 24, 33])
def test_a_key_of_another_size_is_refused(size: int) -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        DropCipher(Secret(bytes(size)))


def test_a_negative_offset_is_refused() -> None:
    with pytest.raises(ValueError, match="negative"):
        DropCipher(DropCipher.generate()).stream(-1)


def test_stored_bytes_are_not_the_plain_ones() -> None:
    stored = DropCipher(DropCipher.generate()).transform(0, PLAIN)
    assert PLAIN[:16] not in stored
    assert len({stored[at : at + 16] for at in range(0, len(stored), 16)}) == len(stored) // 16


def test_another_key_does_not_read_it() -> None:
    stored = DropCipher(DropCipher.generate()).transform(0, PLAIN)
    assert DropCipher(DropCipher.generate()).transform(0, stored) != PLAIN


def test_a_memoryview_will_do() -> None:
    cipher = DropCipher(DropCipher.generate())
    assert cipher.transform(7, cipher.transform(7, memoryview(PLAIN)[7:])) == PLAIN[7:]


def test_far_beyond_four_gigabytes() -> None:
    cipher = DropCipher(DropCipher.generate())
    offset = 2**40 + 5
    assert cipher.transform(offset + 3, cipher.transform(offset, PLAIN)[3:]) == PLAIN[3:]
