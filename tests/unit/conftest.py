"""Fixtures of the unit tests: ledgers, homes, and the command line on one."""

from pathlib import Path

import pytest

from tests.support.cli import Cli
from tests.support.ledgers import clock, home, home_folder, home_template, ledger, ledger_url, lite, postgres_tables, sqlite_tables

__all__ = ["clock", "home", "home_folder", "home_template", "ledger", "ledger_url", "lite", "postgres_tables", "sqlite_tables"]


@pytest.fixture
def sluis(home_folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Cli:
    """`sluis --home …` on a home of the test's own."""
    monkeypatch.delenv("SLUIS_HOME", raising=False)
    return Cli(home_folder, capsys, monkeypatch)
