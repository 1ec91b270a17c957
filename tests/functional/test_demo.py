"""The whole campaign, as `make demo` plays it: real roles, SFTP, HTTPS; and the same on a real PostgreSQL."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest


def sluis(*arguments: str | Path, status: int = 0) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "gateway.cli", *map(str, arguments)],
        capture_output=True,
        text=True,
        env={**os.environ},
        timeout=280,
        check=False,
    )
    assert done.returncode == status, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


def check_campaign(home: Path) -> None:
    """What must hold of a home in which the campaign was played to its end."""
    drops = json.loads(sluis("--home", home, "--json", "drop", "list"))
    deliveries = {drop["file"]: drop["state"] for drop in drops if drop["folder"] == "leveringen"}
    assert sorted(set(deliveries.values())) == ["incomplete", "linked", "rejected"]
    assert all(drop["data"] == "erased" for drop in drops if drop["state"] != "incomplete")
    campaign = json.loads(sluis("--home", home, "--json", "campaign", "show", "demo"))
    assert campaign["linking"]["linked_bsn"] > 0 and campaign["linking"]["no_register"] == 0
    assert list((home / "results").rglob("*.parquet")) and not [
        blob for blob in (home / "drops").iterdir() if "incomplete" not in deliveries.values()
    ]
    verdict = json.loads(sluis("--home", home, "--json", "audit", "verify"))
    assert verdict["sound"] and verdict["entries"] > 0


@pytest.mark.slow
def test_every_step_of_the_demo_holds(tmp_path: Path) -> None:
    told = sluis("demo", "--boards", "2", "--pupils", "60", "--exit", "--home", tmp_path / "demo")
    assert told.count("✓") == 16 and "✗" not in told
    check_campaign(tmp_path / "demo" / "gateway")


@pytest.mark.slow
@pytest.mark.postgres
def test_the_demo_on_postgresql(tmp_path: Path, postgres_url: str) -> None:
    told = sluis("demo", "--boards", "2", "--pupils", "30", "--exit", "--home", tmp_path / "demo", "--database", postgres_url)
    assert told.count("✓") == 16
    assert not list((tmp_path / "demo" / "gateway").glob("*.sqlite")), "nothing of this home is in SQLite"
    check_campaign(tmp_path / "demo" / "gateway")
