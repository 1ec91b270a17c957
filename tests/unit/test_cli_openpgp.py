"""OpenPGP at the command line: `sluis doctor` looks for gpg when it is on, and says nothing of it when it is off."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.cli import Cli
from tests.support.openpgp import turn


def told(sluis: Cli) -> dict[str, object] | None:
    _, out, _ = sluis.run("--json", "doctor")
    return next((row for row in json.loads(out) if row["check"] == "openpgp"), None)


def test_doctor_says_whether_openpgp_can_be_used(sluis: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    assert told(sluis) is None
    turn(sluis.home, True)
    found = told(sluis)
    assert found is not None and found["ok"] is True
    monkeypatch.setenv("PATH", "/nowhere")
    missing = told(sluis)
    assert missing is not None and missing["ok"] is False
    assert "gpg is not installed" in str(missing["says"]) and "gnupg" in str(missing["do"])


def test_a_rotation_hands_out_both_halves(sluis: Cli) -> None:
    turn(sluis.home, True)
    sluis("key", "rotate", "recipients")
    first = (sluis.home / "public" / "sluis.pgp.asc").read_text()
    sluis("key", "rotate", "recipients")
    assert (sluis.home / "public" / "sluis.pgp.asc").read_text() != first
    (made, *_) = sorted(sluis.opened().recipients.openpgp_keys())
    sluis("key", "destroy", "recipients", made, "--reason", "test", "--yes")
    assert made not in sluis.opened().recipients.openpgp_keys()


def test_without_gpg_no_key_is_handed_out_that_has_one_half(sluis: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    turn(sluis.home, True)
    before = (sluis.home / "public" / "sluis.age.txt").read_text()
    monkeypatch.setenv("PATH", "/nowhere")
    assert "gpg is not installed" in sluis.refused("key", "rotate", "recipients", status=3)
    assert (sluis.home / "public" / "sluis.age.txt").read_text() == before
    assert not (sluis.home / "public" / "sluis.pgp.asc").exists()


@pytest.mark.parametrize("command", [("doctor",), ("retention", "run")], ids=" ".join)
def test_a_private_key_that_a_killed_command_left_in_memory_is_ended(sluis: Cli, command: tuple[str, ...]) -> None:
    code = "import os; from keys.openpgp import *\nwith gpg_home() as home: print(home.folder, flush=True); os.kill(os.getpid(), 9)"
    killed = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, check=False)
    left = Path(killed.stdout.strip())
    assert left.is_dir()
    _, out, _ = sluis.run("--json", *command)
    assert not left.exists()
    assert command[0] != "doctor" or any(row["check"] == "homes of gpg" for row in json.loads(out))


def test_a_rotation_whose_terminal_is_closed_leaves_no_private_key_in_memory(sluis: Cli) -> None:
    turn(sluis.home, True)
    command = [sys.executable, "-m", "gateway.cli", "--home", str(sluis.home), "key", "rotate", "recipients"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        places = f"sluis-gpg.{process.pid}.*/private-keys-v1.d/*"
        while not list(Path("/dev/shm").glob(places)):
            assert process.poll() is None, "it ended before its key was seen"
        process.send_signal(signal.SIGHUP)
    assert process.returncode == 128 + signal.SIGHUP
    assert not list(Path("/dev/shm").glob(f"sluis-gpg.{process.pid}.*"))
