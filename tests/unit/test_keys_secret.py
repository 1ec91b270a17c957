"""A Secret shows itself to nobody who does not ask."""

import copy
import pickle

import pytest

from keys.secret import Secret

KEY = Secret(b"rontgenfoto")


def test_only_reveal_shows_it() -> None:
    assert KEY.reveal() == b"rontgenfoto"


@pytest.mark.parametrize("shown", [repr(KEY), str(KEY), f"{KEY}", f"{KEY!r:>30}", "%s" % KEY, f"{[KEY]}", repr({"key": KEY})])  # noqa: UP031
def test_no_way_of_printing_shows_it(shown: str) -> None:
    assert "rontgen" not in shown
    assert "Secret" in shown


def test_bytes_does_not_show_it() -> None:
    with pytest.raises(TypeError):
        bytes(KEY)  # type: ignore[call-overload]


def test_it_has_no_dict_to_dump() -> None:
    assert not hasattr(KEY, "__dict__")


@pytest.mark.parametrize("take", [pickle.dumps, copy.copy, copy.deepcopy])
def test_no_pickle_and_no_copy(take: object) -> None:
    with pytest.raises(TypeError, match="can't be pickled"):
        take(KEY)  # type: ignore[operator]


def test_no_hash() -> None:
    with pytest.raises(TypeError):
        hash(KEY)


def test_equality_is_of_the_bytes_and_only_with_another_secret() -> None:
    assert Secret(b"a") == Secret(b"a")
    assert Secret(b"a") != Secret(b"b")
    assert Secret(b"a") != Secret(b"ab")
    assert Secret(b"a") != b"a"
    assert Secret(b"a") != b"a"


def test_it_keeps_its_own_copy() -> None:
    buffer = bytearray(b"abc")
    secret = Secret(buffer)
    buffer[0] = 0
    assert secret.reveal() == b"abc"
