"""The home in which gpg works: in memory or not at all, for one use, and gone after it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from keys import openpgp
from keys.openpgp import gpg_home, new_openpgp_key, what_is_missing
from keys.secret import Secret
from policies.errors import Unsound


def own() -> list[Path]:
    return list(Path("/dev/shm").glob(f"sluis-gpg.{os.getpid()}.*"))


def test_a_home_is_closed_to_others_and_goes_with_its_use() -> None:
    with gpg_home() as home:
        assert own() == [home.folder]
        assert home.folder.stat().st_mode & 0o077 == 0
    assert own() == []
    with pytest.raises(ZeroDivisionError), gpg_home():
        raise ZeroDivisionError
    assert own() == []


def test_a_runtime_directory_in_memory_goes_first(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    folder = Path("/dev/shm") / f"sluis-run-{os.getpid()}"
    folder.mkdir()
    try:
        monkeypatch.setenv("RUNTIME_DIRECTORY", f"{folder}:/elsewhere")
        with gpg_home() as home:
            assert home.folder.parent == folder
        monkeypatch.setenv("RUNTIME_DIRECTORY", str(folder / ("x" * 60)))  # its sockets would have no room
        with gpg_home() as home:
            assert home.folder.parent == Path("/dev/shm")
    finally:
        folder.rmdir()


def test_without_memory_or_program_nothing_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    assert what_is_missing() == ""
    with monkeypatch.context() as changed:
        changed.setattr(openpgp, "_SHARED_MEMORY", Path("/proc"))  # no tmpfs
        changed.delenv("RUNTIME_DIRECTORY", raising=False)
        with pytest.raises(Unsound, match="no folder in memory"), gpg_home():
            pass
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(Unsound, match="gpg is not installed"):
        new_openpgp_key("Sluis")


def test_what_a_killed_process_left_is_ended() -> None:
    code = "import os; from keys.openpgp import *\nwith gpg_home() as home: print(home.folder, flush=True); os.kill(os.getpid(), 9)"
    killed = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, check=False)
    left = Path(killed.stdout.strip())
    assert killed.returncode == -9 and left.is_dir()
    with gpg_home() as another, gpg_home():
        assert not left.exists()
        assert another.folder.exists(), "of a process that lives"


def test_what_is_no_key_is_told_without_its_text() -> None:
    with gpg_home() as home, pytest.raises(Unsound, match="could not do its work") as failed:
        home.take_in([Secret(b"not a key of the canary's")])
    assert "canary" not in str(failed.value)
