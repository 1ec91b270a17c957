"""Fixtures of the fault tests: the process from which one is forked for each play."""

from collections.abc import Iterator

import pytest

from tests.support.crashing import Nursery
from tests.support.untraced import untraced

__all__ = ["nursery", "untraced"]


@pytest.fixture(scope="module")
def nursery() -> Iterator[Nursery]:
    nursery = Nursery()
    yield nursery
    nursery.close()
