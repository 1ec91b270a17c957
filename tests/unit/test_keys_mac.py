"""Keyed fingerprints: shape, size, speed; that they are CMACs stands with the vectors and the properties."""

import time

import numpy as np
import pytest

from keys.mac import cmac_blocks
from keys.secret import Secret

KEY = Secret(bytes(range(32)))


@pytest.mark.parametrize("size", [0, 16, 31, 33])
def test_a_key_of_another_size_is_refused(size: int) -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        cmac_blocks(Secret(bytes(size)), np.zeros((1, 16), dtype=np.uint8))


@pytest.mark.parametrize("blocks", [np.zeros(16, np.uint8), np.zeros((1, 15), np.uint8), np.zeros((1, 16), np.uint16)])
def test_blocks_of_another_shape_or_type_are_refused(blocks: np.ndarray) -> None:
    with pytest.raises(ValueError, match="shape"):
        cmac_blocks(KEY, blocks)


def test_none_gives_none() -> None:
    assert cmac_blocks(KEY, np.zeros((0, 16), dtype=np.uint8)).shape == (0, 16)


def test_the_input_stays_as_it_was_and_the_answer_can_be_written() -> None:
    blocks = np.zeros((3, 16), dtype=np.uint8)
    macs = cmac_blocks(KEY, blocks)
    macs[0] = 1
    assert not blocks.any()


def test_an_array_that_is_not_contiguous_gives_the_same() -> None:
    wide = np.arange(20 * 32, dtype=np.uint8).reshape(20, 32)
    assert np.array_equal(cmac_blocks(KEY, wide[::2, 8:24]), cmac_blocks(KEY, wide[::2, 8:24].copy()))


def test_a_million_take_no_loop() -> None:
    blocks = np.zeros((1_000_000, 16), dtype=np.uint8)
    begun = time.process_time()
    cmac_blocks(KEY, blocks)
    assert time.process_time() - begun < 1.0  # about 0.01 s; one call for each block takes several
