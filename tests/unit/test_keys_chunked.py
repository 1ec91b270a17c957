"""Encrypted files in chunks: whole, in ranges, and nothing that was tampered with."""

import io
import os
import random
from collections.abc import Callable

import pytest

from keys.chunked import CHUNK_BYTES, HEADER_BYTES, MAGIC, TAG_BYTES, Reader, encrypt
from keys.secret import Secret
from policies.errors import Unsound

KEY = Secret(bytes(range(32)))
SEALED_CHUNK = CHUNK_BYTES + TAG_BYTES


def sealed(plain: bytes, file_id: str = "bundle-1", key: Secret = KEY) -> bytes:
    target = io.BytesIO()
    assert encrypt(key, file_id, io.BytesIO(plain), target) == len(plain)
    return target.getvalue()


def opened(file: bytes, file_id: str = "bundle-1", key: Secret = KEY) -> bytes:
    reader = Reader(key, file_id, io.BytesIO(file))
    return b"".join(reader.read_range(0, reader.size))


def refuses(file: bytes, file_id: str = "bundle-1", key: Secret = KEY) -> bool:
    try:
        opened(file, file_id, key)
    except Unsound as refusal:
        assert refusal.code == "bundle-damaged"
        return True
    return False


def some(size: int, seed: int = 1) -> bytes:
    return random.Random(seed).randbytes(size)


@pytest.mark.parametrize("size", [0, 1, 100, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 3 * CHUNK_BYTES, 3 * CHUNK_BYTES + 77])
def test_comes_out_as_it_went_in(size: int) -> None:
    plain = some(size)
    file = sealed(plain)
    assert file.startswith(MAGIC)
    assert Reader(KEY, "bundle-1", io.BytesIO(file)).size == size
    assert opened(file) == plain
    assert len(file) == HEADER_BYTES + size + TAG_BYTES * max(1, -(-size // CHUNK_BYTES))


def test_twice_under_one_key_has_nothing_in_common() -> None:
    plain = some(100)
    first, second = sealed(plain)[len(MAGIC) :], sealed(plain)[len(MAGIC) :]
    assert not any(first[at : at + 8] in second for at in range(len(first) - 8))
    assert plain not in first


def test_a_source_that_gives_little_at_a_time_is_read_to_its_end() -> None:
    plain = some(CHUNK_BYTES + 5)
    end, start = os.pipe()
    with os.fdopen(end, "rb", buffering=0) as source, os.fdopen(start, "wb") as writer:
        writer.write(plain[:50_000])
        writer.flush()
        target = io.BytesIO()
        rest = iter([plain[50_000:]])

        class Slow(io.RawIOBase):
            """Gives what the pipe has, and fills the pipe once more when it is empty."""

            left = 50_000

            def read(self, size: int = -1) -> bytes:
                if self.left == 0:
                    part = next(rest, b"")
                    writer.write(part)
                    writer.flush()
                    self.left = len(part)
                    if not part:
                        return b""
                got = source.read(min(size, 999, self.left))
                self.left -= len(got)
                return got

        assert encrypt(KEY, "bundle-1", Slow(), target) == len(plain)  # type: ignore[arg-type]
    assert opened(target.getvalue()) == plain


def test_another_id_or_key_is_refused() -> None:
    file = sealed(b"Rapportages")
    assert not refuses(file)
    assert refuses(file, file_id="bundle-2")
    assert refuses(file, file_id="")
    assert refuses(file, key=Secret(bytes(32)))


def test_every_flipped_bit_of_a_small_file_is_refused() -> None:
    file = sealed(b"Rapportages")
    for at in range(len(file)):
        for bit in range(8):
            assert refuses(file[:at] + bytes([file[at] ^ 1 << bit]) + file[at + 1 :])


def test_every_truncation_of_a_small_file_is_refused() -> None:
    file = sealed(b"Rapportages")
    assert all(refuses(file[:length]) for length in range(len(file)))


LARGE = sealed(some(3 * CHUNK_BYTES + 500))


def chunk(number: int, file: bytes = LARGE) -> bytes:
    return file[HEADER_BYTES + number * SEALED_CHUNK :][:SEALED_CHUNK]


def of_chunks(*chunks: bytes) -> bytes:
    return LARGE[:HEADER_BYTES] + b"".join(chunks)


TAMPERED: dict[str, Callable[[], bytes]] = {
    "cut after whole chunks": lambda: of_chunks(chunk(0), chunk(1), chunk(2)),
    "only the last chunk": lambda: of_chunks(chunk(3)),
    "first chunk missing": lambda: of_chunks(chunk(1), chunk(2), chunk(3)),
    "middle chunk missing": lambda: of_chunks(chunk(0), chunk(2), chunk(3)),
    "two exchanged": lambda: of_chunks(chunk(1), chunk(0), chunk(2), chunk(3)),
    "one doubled": lambda: of_chunks(chunk(0), chunk(0), chunk(1), chunk(2), chunk(3)),
    "one instead of another": lambda: of_chunks(chunk(0), chunk(0), chunk(2), chunk(3)),
    "one of another file with the same key and id": lambda: of_chunks(
        chunk(0), chunk(1, sealed(some(3 * CHUNK_BYTES + 500))), chunk(2), chunk(3)
    ),
    "a byte more": lambda: LARGE + b"\0",
    "a chunk more": lambda: LARGE[: HEADER_BYTES + 3 * SEALED_CHUNK] + chunk(3).ljust(SEALED_CHUNK, b"\0") + chunk(3),
    "an empty last chunk more": lambda: of_chunks(chunk(0), chunk(1), chunk(2), bytes(TAG_BYTES)),
    "the header alone": lambda: of_chunks(),
    "half a header": lambda: LARGE[: HEADER_BYTES - 1],
    "nothing": lambda: b"",
    "the salt of another": lambda: LARGE[: len(MAGIC)] + bytes(32) + LARGE[HEADER_BYTES:],
    "another magic": lambda: b"sluis-chunked-2\n" + LARGE[len(MAGIC) :],
}


@pytest.mark.parametrize("how", TAMPERED)
def test_tampering_is_refused(how: str) -> None:
    assert not refuses(LARGE)
    assert refuses(TAMPERED[how]())


def test_a_sound_empty_last_chunk_is_refused_after_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever has the key could write it; the format has one form for each content, and this is not it."""
    from keys import chunked

    salt = bytes(32)
    cipher = chunked._cipher(KEY, salt)
    plain = some(CHUNK_BYTES)
    first = cipher.encrypt(chunked._nonce(0, last=False), plain, b"bundle-1")
    last = cipher.encrypt(chunked._nonce(1, last=True), b"", b"bundle-1")
    assert refuses(MAGIC + salt + first + last)


def test_pieces_before_the_damage_are_sound_and_none_after_it_comes() -> None:
    plain = some(3 * CHUNK_BYTES + 500)
    damaged = bytearray(LARGE)
    damaged[HEADER_BYTES + SEALED_CHUNK + 9] ^= 1
    reader = Reader(KEY, "bundle-1", io.BytesIO(bytes(damaged)))
    pieces = reader.read_range(0, reader.size)
    assert next(pieces) == plain[:CHUNK_BYTES]
    with pytest.raises(Unsound):
        next(pieces)
    assert list(pieces) == []


def test_a_file_that_shrinks_while_it_is_read_is_refused() -> None:
    file = io.BytesIO(LARGE)
    reader = Reader(KEY, "bundle-1", file)
    file.truncate(HEADER_BYTES + SEALED_CHUNK)
    with pytest.raises(Unsound):
        list(reader.read_range(0, reader.size))


@pytest.mark.parametrize(("start", "stop"), [(-1, 5), (5, 4), (0, 3 * CHUNK_BYTES + 501), (3 * CHUNK_BYTES + 501, 3 * CHUNK_BYTES + 501)])
def test_a_range_outside_the_file_is_refused_at_once(start: int, stop: int) -> None:
    with pytest.raises(ValueError, match="range"):
        Reader(KEY, "bundle-1", io.BytesIO(LARGE)).read_range(start, stop)
