"""What two processes must not do at once: the second is refused while the first is at it, and nobody after it."""

from pathlib import Path

import pytest

from gateway.store.alone import alone_in
from policies.errors import Refused

BUSY = Refused("busy", "Another one is at it.", "Wait until it is done.")


def test_one_at_a_time_in_a_folder(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    with alone_in(tmp_path, BUSY):
        with pytest.raises(Refused) as refused, alone_in(tmp_path, BUSY):
            pass
        assert refused.value is BUSY
        with alone_in(tmp_path / "other", BUSY):
            pass
    with alone_in(tmp_path, BUSY):
        pass


def test_what_fails_lets_the_next_one_in(tmp_path: Path) -> None:
    with pytest.raises(ValueError), alone_in(tmp_path, BUSY):
        raise ValueError
    with alone_in(tmp_path, BUSY):
        pass
