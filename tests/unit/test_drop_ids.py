"""Names of drops: the day, chance, and nothing else."""

import base64
import re
from datetime import UTC, date, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit.entry import identifies
from gateway.drop.ids import RANDOM_BYTES, day_received, drop_id

NOON = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


def test_an_id_has_the_day_and_80_random_bits() -> None:
    assert drop_id(NOON, bytes(10)) == "d20261121-aaaaaaaaaaaaaaaa"
    assert drop_id(NOON, b"\xff" * 10) == "d20261121-7777777777777777"
    assert RANDOM_BYTES * 8 == 80


def test_the_day_is_that_of_utc() -> None:
    amsterdam = timezone(timedelta(hours=1))
    assert drop_id(datetime(2026, 11, 22, 0, 30, tzinfo=amsterdam), bytes(10)).startswith("d20261121-")


@given(st.binary(min_size=10, max_size=10), st.datetimes(datetime(2020, 1, 1), datetime(2099, 1, 1), timezones=st.just(UTC)))
def test_every_id_is_a_plain_name_that_keeps_its_random_bits(random: bytes, moment: datetime) -> None:
    made = drop_id(moment, random)
    assert re.fullmatch(r"d[0-9]{8}-[a-z2-7]{16}", made)
    assert base64.b32decode(made.partition("-")[2].upper()) == random
    assert not identifies(made), "the audit log would refuse this drop"


@pytest.mark.parametrize("size", [0, 9, 11, 16])
def test_less_or_more_chance_is_refused(size: int) -> None:
    with pytest.raises(ValueError, match="10 random bytes"):
        drop_id(NOON, bytes(size))


def test_an_id_tells_its_day_and_other_names_tell_none() -> None:
    late = datetime(2026, 3, 1, 23, 59, tzinfo=UTC)
    assert day_received(drop_id(late, bytes(RANDOM_BYTES))) == date(2026, 3, 1)
    for name in ("", "d1", "d20261399-aaaaaaaaaaaaaaaa", "20260301", "notes", "d20260301"):
        assert day_received(name) is None
