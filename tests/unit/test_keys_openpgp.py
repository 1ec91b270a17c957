"""The home in which gpg works: in memory or not at all, for one use, and gone after it."""

import os
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path

import pytest

from keys import openpgp
from keys.openpgp import gpg_home, new_openpgp_key, sweep, what_is_missing
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


#: makes a home with a private key in it, names it, and does then what stands in its place
AT_WORK = """import os, signal
from keys.openpgp import *
from keys.secret import Secret
with gpg_home() as home:
    home.run("--pinentry-mode=loopback", "--passphrase-fd=0", "--quick-generate-key", "x", "ed25519", "sign", "never", given=b"\\n")
    print(home.folder, flush=True)
    {}
"""


def at_work(then: str) -> tuple[subprocess.Popen[str], Path]:
    """A process with a home of its own, which does `then` in it."""
    process = subprocess.Popen([sys.executable, "-c", AT_WORK.format(then)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    return process, Path(process.stdout.readline().strip())


def agents(home: Path) -> list[str]:
    """The processes that work in a home, whoever's children they are now."""
    return [
        path.parent.name for path in Path("/proc").glob("[0-9]*/cmdline") if bytes(home) in (path.read_bytes() if path.exists() else b"")
    ]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_command_that_is_told_to_end_ends_its_home(number: signal.Signals) -> None:
    process, home = at_work("signal.pause()")
    assert list((home / "private-keys-v1.d").iterdir()) and agents(home)
    process.send_signal(number)
    assert process.wait(20) == 128 + number
    assert not home.exists() and agents(home) == []


def test_a_signal_that_somebody_handles_or_ignores_is_theirs() -> None:
    for handler in ("signal.SIG_IGN", "lambda *_: None"):
        code = f"import signal; signal.signal(signal.SIGTERM, {handler})\n" + AT_WORK.format("os.kill(os.getpid(), 15); print('on')")
        done = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, check=False)
        assert done.returncode == 0 and done.stdout.split()[1:] == ["on"]
    with gpg_home():
        assert signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_what_a_killed_process_left_is_ended_by_the_next() -> None:
    process, left = at_work("os.kill(os.getpid(), 9)")
    assert process.wait(20) == -9 and left.is_dir()
    with gpg_home() as another, gpg_home():
        assert not left.exists() and agents(left) == []
        assert another.folder.exists(), "of a process that lives"


def test_what_a_killed_process_left_is_swept_though_another_has_its_number() -> None:
    process, left = at_work("os.kill(os.getpid(), 9)")
    process.wait(20)
    began, end = left.name.split(".")[2:]
    later = left.with_name(f"sluis-gpg.{os.getpid()}.{began}.{end}")
    left.rename(later)
    with gpg_home() as own_one:
        assert not later.exists() and own_one.folder.exists()
    process, left = at_work("os.kill(os.getpid(), 9)")
    process.wait(20)
    assert left.exists() and sweep() >= 1
    assert not left.exists()


def test_what_is_no_key_is_told_without_its_text() -> None:
    with gpg_home() as home, pytest.raises(Unsound, match="could not do its work") as failed:
        home.take_in([Secret(b"not a key of the canary's")])
    assert "canary" not in str(failed.value)


def test_a_home_is_gone_although_something_still_writes_in_it() -> None:
    """As the agent does that is told to end while it puts away a key."""
    with gpg_home() as home:
        begun = threading.Event()

        def write() -> None:
            with suppress(FileNotFoundError):
                for number in range(20_000):
                    (home.folder / str(number)).write_bytes(b"")
                    begun.set()

        writer = threading.Thread(target=write)
        writer.start()
        begun.wait(10)
    writer.join()
    assert not home.folder.exists()


def test_a_home_that_can_not_be_removed_is_no_silent_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openpgp, "_PATIENCE", 1)
    with pytest.raises(Unsound) as told, gpg_home() as home:
        monkeypatch.setattr(openpgp.shutil, "rmtree", lambda *_, **__: None)  # a file system that turned read-only
    monkeypatch.undo()
    assert told.value.code == "openpgp-left"
    openpgp._end(home.folder)
    assert not home.folder.exists()
