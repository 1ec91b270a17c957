"""What the tests of `sluis retention` share: drops and days whose time is over, and what the log tells of their end."""

import json
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from audit.entry import Entry
from gateway.store.home import Home
from policies.errors import NotFound
from tests.support.cli import Cli, begin
from tests.support.ledgers import audit_rows

NOTHING = {
    "drops_erased": 0, "drop_keys_destroyed": 0, "epoch_keys_destroyed": [], "recipient_keys_destroyed": [],
    "objection_registers_ended": [], "warnings": 0, "failed": {}, "not_told_yet": {},
}  # fmt: skip


@pytest.fixture
def way(sluis: Cli, tmp_path: Path) -> Cli:
    begin(sluis, tmp_path)
    sluis("retention", "run")
    return sluis


def run(sluis: Cli, status: int = 3) -> tuple[dict[str, Any], str]:
    """What `retention run` did, and what it said."""
    got, out, err = sluis.run("--json", "retention", "run")
    assert got == status, err
    return json.loads(out), err


def old_epoch(home: Home, days: int = 23) -> date:
    """A day whose window is over, with its pair of keys."""
    day = (home.clock() - timedelta(days=days)).date()
    home.epochs.ensure(day)
    return day


def is_alive(home: Home, day: date) -> bool:
    try:
        home.epochs.identity(day)
    except NotFound:
        return False
    return True


def logged(home: Home, object: str) -> list[str]:
    entries = [Entry.from_bytes(data) for data in home.audit_log().entries()]
    return [entry.action for entry in entries if entry.object == object]


def rows_about(home: Home, object: str) -> list[str]:
    return [row.action for row in audit_rows(home.ledger) if row.object == object]


def key_of(home: Home, drop: str) -> Path:
    return home.path / "mortal" / "drops" / drop
