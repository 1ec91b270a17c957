"""Laws of encrypted files: a range is the plaintext's range, and whatever was touched is refused before it is given."""

import io
import random

from hypothesis import assume, given
from hypothesis import strategies as st

from keys.chunked import CHUNK_BYTES, HEADER_BYTES, TAG_BYTES, Reader, encrypt
from keys.secret import Secret
from policies.errors import Unsound

KEY = Secret(bytes(range(32)))
PLAIN = random.Random(5).randbytes(4 * CHUNK_BYTES)
#: Round the borders of chunks, and anywhere.
SIZES = st.one_of(
    st.builds(lambda chunks, rest: max(0, chunks * CHUNK_BYTES + rest), st.integers(0, 3), st.integers(-2, 2)),
    st.integers(0, len(PLAIN)),
)
SEALED_CHUNK = CHUNK_BYTES + TAG_BYTES


def sealed(plain: bytes, file_id: str = "bundle-1") -> bytes:
    target = io.BytesIO()
    assert encrypt(KEY, file_id, io.BytesIO(plain), target) == len(plain)
    return target.getvalue()


LARGE = sealed(PLAIN[: 3 * CHUNK_BYTES + 1000])
READER = Reader(KEY, "bundle-1", io.BytesIO(LARGE))


def sound_bytes_of(file: bytes, file_id: str = "bundle-1") -> tuple[bytes, bool]:
    """What a reader gives of the file, and whether it came to the end without a refusal."""
    given_out = bytearray()
    try:
        reader = Reader(KEY, file_id, io.BytesIO(file))
        for piece in reader.read_range(0, reader.size):
            given_out += piece
    except Unsound:
        return bytes(given_out), False
    return bytes(given_out), True


@given(SIZES, st.text(max_size=10))
def test_what_goes_in_comes_out(size: int, file_id: str) -> None:
    assert sound_bytes_of(sealed(PLAIN[:size], file_id), file_id) == (PLAIN[:size], True)


@given(st.tuples(SIZES, SIZES))
def test_a_range_is_that_of_the_plaintext(ends: tuple[int, int]) -> None:
    start, stop = sorted(min(end, READER.size) for end in ends)
    pieces = list(READER.read_range(start, stop))
    assert b"".join(pieces) == PLAIN[start:stop]
    assert all(0 < len(piece) <= CHUNK_BYTES for piece in pieces)


@given(st.integers(0, len(LARGE) - 1), st.integers(1, 255))
def test_a_changed_byte_is_refused_and_only_sound_bytes_come_before(at: int, change: int) -> None:
    changed = bytearray(LARGE)
    changed[at] ^= change
    given_out, whole = sound_bytes_of(bytes(changed))
    assert not whole
    assert PLAIN.startswith(given_out)


@given(st.integers(0, len(LARGE) - 1) | st.integers(0, 4).map(lambda chunks: min(HEADER_BYTES + chunks * SEALED_CHUNK, len(LARGE) - 1)))
def test_a_file_cut_short_anywhere_is_refused_before_the_first_byte(length: int) -> None:
    assert sound_bytes_of(LARGE[:length]) == (b"", False)


@given(st.binary(min_size=1, max_size=100))
def test_a_file_with_something_after_it_is_refused(more: bytes) -> None:
    assert not sound_bytes_of(LARGE + more)[1]


@given(st.lists(st.integers(0, 3), max_size=6))
def test_no_other_order_or_choice_of_chunks_is_accepted(order: list[int]) -> None:
    assume(order != [0, 1, 2, 3])
    chunks = [LARGE[HEADER_BYTES + number * SEALED_CHUNK :][:SEALED_CHUNK] for number in range(4)]
    given_out, whole = sound_bytes_of(LARGE[:HEADER_BYTES] + b"".join(chunks[number] for number in order))
    assert not whole
    assert PLAIN.startswith(given_out)


@given(st.text(max_size=10))
def test_no_other_id_is_accepted(file_id: str) -> None:
    assume(file_id != "bundle-1")
    assert sound_bytes_of(LARGE, file_id) == (b"", False)


@given(st.binary(max_size=300))
def test_what_was_never_such_a_file_is_refused(noise: bytes) -> None:
    assert sound_bytes_of(noise) == (b"", False)
    assert sound_bytes_of(LARGE[:HEADER_BYTES] + noise) == (b"", False)
