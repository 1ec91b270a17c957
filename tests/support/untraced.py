"""Coverage looks away from what it is not about: the rooms whose conftest.py knows this fixture are run at full speed.

The floor is about what `unit` and `property` run. Up to Python 3.11 tracing sends every instruction of the process the long way, also
those of libraries and tests: a third to twice the time.
"""

from collections.abc import Iterator

import pytest
from coverage import Coverage


@pytest.fixture(scope="package", autouse=True)
def untraced() -> Iterator[None]:
    """`coverage run` rests from the first test of the package to its last."""
    coverage = Coverage.current()
    if coverage is not None:
        coverage.stop()
    yield
    if coverage is not None:
        coverage.start()
