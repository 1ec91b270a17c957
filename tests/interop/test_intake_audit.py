"""What ssh-audit says of the endpoint: nothing fails, the hardened policy holds exactly, and each warning is explained."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import asyncssh
import pytest

from gateway.intake.ssh.algorithms import CHACHA20, KEX, hardened, has_kex
from tests.support.intake import Running, make_home, running

pytestmark = pytest.mark.slow

POLICY = Path(__file__).parent.parent / "vectors" / "ssh-audit-policy.txt"
AUDIT = Path(sys.executable).with_name("ssh-audit")


@pytest.fixture
def intake(tmp_path: Path) -> Iterator[Running]:
    with running(make_home(tmp_path)) as server:
        yield server


def audit(port: int, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [str(AUDIT), "-n", "--skip-rate-test", "-p", str(port), *arguments, "127.0.0.1"]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


def notes(found: dict[str, Any], level: str) -> set[tuple[str, str]]:
    """What the audit says at that level: algorithm and remark."""
    return {
        (one["algorithm"], remark)
        for kind in ("kex", "key", "enc", "mac")
        for one in found[kind]
        for remark in one.get("notes", {}).get(level, [])
    }


def test_nothing_fails_and_each_warning_is_explained(intake: Running, project: Path) -> None:
    found = json.loads(audit(intake.port, "-j").stdout)
    assert found["kex"][0]["algorithm"] == "mlkem768x25519-sha256", "the audit sees the endpoint"
    assert notes(found, "fail") == set() and found.get("cves", []) == []
    explained = (project / "docs" / "decisions" / "0005-who-may-come-in.md").read_text()
    table = [line for line in explained.splitlines() if line.startswith("| `")]
    warned = notes(found, "warn")
    for algorithm, remark in warned:
        assert any(f"`{algorithm}`" in row and remark in row for row in table), (algorithm, remark)
    assert len(warned) == 4, "what is explained and no longer warned of is to be struck out"


def test_the_policy_holds(intake: Running) -> None:
    done = audit(intake.port, "-P", str(POLICY))
    assert done.returncode == 0 and "Passed" in done.stdout, done.stdout


def test_the_policy_can_fail(tmp_path: Path) -> None:
    with running(make_home(tmp_path, allow_chacha20=True)) as intake:
        done = audit(intake.port, "-P", str(POLICY))
        assert done.returncode != 0 and CHACHA20 in done.stdout
        found = json.loads(audit(intake.port, "-j").stdout)
        assert found["enc"][-1]["algorithm"] == CHACHA20, "the last resort"


def test_every_key_exchange_that_is_wanted_can_be_had_here() -> None:
    assert all(has_kex(name) for name in KEX) and not has_kex("made-up")
    assert hardened()["kex_algs"] == list(KEX)


@pytest.mark.parametrize("kex", KEX)
@pytest.mark.parametrize("cipher", hardened(chacha20=True)["encryption_algs"])
def test_each_of_them_works(kex: str, cipher: str, tmp_path: Path) -> None:
    """A client that insists on it gets as far as being asked for a key."""

    async def knock(port: int) -> None:
        await asyncssh.connect(
            "127.0.0.1", port, known_hosts=None, kex_algs=[kex], encryption_algs=[cipher], username="nobody", client_keys=None, config=None
        )

    with running(make_home(tmp_path, allow_chacha20=True)) as intake, pytest.raises(asyncssh.PermissionDenied):
        intake.run(knock(intake.port))
