"""Derived keys: one for each use, the same one each time."""

import pytest

from keys.derivation import derive
from keys.secret import Secret

ROOT = Secret(bytes(range(32)))


def test_each_use_length_salt_and_root_has_its_own() -> None:
    keys = [
        derive(ROOT, "a"),
        derive(ROOT, "b"),
        derive(ROOT, ""),
        derive(ROOT, "a", salt=b"s"),
        derive(Secret(bytes(32)), "a"),
    ]
    assert len({key.reveal() for key in keys}) == len(keys)
    assert {len(key.reveal()) for key in keys} == {32}
    assert len(derive(ROOT, "a", 64).reveal()) == 64


def test_the_same_again() -> None:
    assert derive(ROOT, "a") == derive(Secret(bytes(range(32))), "a")
    assert derive(ROOT, "é") == derive(ROOT, "é".encode())


def test_a_short_root_is_refused() -> None:
    with pytest.raises(ValueError, match="16 bytes"):
        derive(Secret(b"x" * 15), "a")
