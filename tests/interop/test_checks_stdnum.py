"""Our identifier rules against python-stdnum's, number by number."""

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies import identifiers

stdnum_bsn = pytest.importorskip("stdnum.nl.bsn")
stdnum_ond = pytest.importorskip("stdnum.nl.onderwijsnummer")
stdnum_postcode = pytest.importorskip("stdnum.nl.postcode")


@given(st.lists(st.integers(0, 999_999_999), min_size=1, max_size=200))
def test_bsn(numbers: list[int]) -> None:
    ours = identifiers.are_bsns(np.array(numbers, dtype=np.uint32))
    assert list(ours) == [stdnum_bsn.is_valid(f"{number:09}") for number in numbers]


@given(st.lists(st.integers(99_999_900, 110_000_100), min_size=1, max_size=200))
def test_onderwijsnummer(numbers: list[int]) -> None:
    ours = identifiers.are_onderwijsnummers(np.array(numbers, dtype=np.uint32))
    assert list(ours) == [stdnum_ond.is_valid(f"{number:09}") for number in numbers]


@given(st.from_regex(r"\A[0-9]{4}[A-Z]{2}\Z") | st.sampled_from(["1234SA", "1234SD", "1234SS", "1234SB", "0123AB"]))
def test_postcode(postcode: str) -> None:
    assert bool(re.fullmatch(identifiers.POSTCODE, postcode)) == stdnum_postcode.is_valid(postcode)
