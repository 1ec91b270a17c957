"""Fixtures of tests in which another program meets a home: the command line on a home of the test's own."""

from pathlib import Path

import pytest

from tests.support.cli import Cli
from tests.support.ledgers import home_folder, home_template
from tests.support.untraced import untraced

__all__ = ["home_folder", "home_template", "untraced"]


@pytest.fixture
def sluis(home_folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Cli:
    """`sluis --home …` on a home of the test's own."""
    monkeypatch.delenv("SLUIS_HOME", raising=False)
    return Cli(home_folder, capsys, monkeypatch)
