"""Durable files: at whichever system call the disk fails, the file is the old one or the new one, never half."""

import errno
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gateway.store import durable
from gateway.store.durable import fsync_folder, make_folder, move_durably, replace_durably, unlink_durably, write_durably

CALLS = ("open", "write", "fsync", "close", "link", "replace", "unlink")
OLD, NEW = b"old" * 1000, b"new!" * 1000


class FailingDisk:
    """Stands in for the system calls of `os`: the `at`-th of them all fails (before, or after it was done); counts them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, at: int, done: bool) -> None:
        self.at, self.done, self.calls, self.names = at, done, 0, list[str]()
        self._patch = monkeypatch
        for name in CALLS:
            monkeypatch.setattr(os, name, self._wrap(name, getattr(os, name)))

    def _wrap(self, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            self.calls += 1
            self.names.append(name)
            if self.calls != self.at:
                return real(*arguments, **named)
            if self.done or name == "close":  # a failing close(2) has closed all the same
                real(*arguments, **named)
            raise OSError(errno.EIO, name)

        return call


def state(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def each_failure(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, work: Callable[[Path], None]) -> list[tuple[str, dict[str, bytes]]]:
    """Run `work` with its first, second, … system call failing, until none fails; answers the call and what it left."""
    seen = []
    for done in (False, True):
        for at in range(1, 40):
            folder = tmp_path / f"{done}-{at}"
            folder.mkdir()
            (folder / "file").write_bytes(OLD)
            with monkeypatch.context() as patch:
                disk = FailingDisk(patch, at, done)
                try:
                    work(folder)
                except OSError as error:
                    name = str(error.strerror)
                else:
                    assert disk.calls < at, f"{disk.names[at - 1]} failed and nobody was told"
                    break
            seen.append((name, state(folder)))
        else:
            pytest.fail("it never came to an end")
    assert {"open", "write", "fsync", "close"} <= {name for name, _ in seen}
    return seen


def test_replacing_leaves_old_or_new(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name, left in each_failure(monkeypatch, tmp_path, lambda folder: replace_durably(folder / "file", NEW)):
        assert left["file"] in (OLD, NEW), f"half a file after {name}"


def test_nothing_is_left_beside_a_file_that_could_not_be_replaced(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name, left in each_failure(monkeypatch, tmp_path, lambda folder: replace_durably(folder / "file", NEW)):
        beside = set(left) - {"file"}
        assert not beside or name == "open", f"{beside} after {name}"  # an open that worked and says it failed has no handle to tidy


def test_a_new_file_is_whole_or_not_there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name, left in each_failure(monkeypatch, tmp_path, lambda folder: write_durably(folder / "new", NEW)):
        assert left["file"] == OLD
        assert left.get("new") in (None, NEW), f"half a file after {name}"


def test_short_writes_are_completed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    real = os.write
    monkeypatch.setattr(os, "write", lambda handle, data: real(handle, bytes(data[:7])))
    write_durably(tmp_path / "file", NEW)
    assert (tmp_path / "file").read_bytes() == NEW


def test_bytes_are_synced_before_the_name_and_the_folder_before_the_answer(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    disk = FailingDisk(monkeypatch, -1, False)
    write_durably(tmp_path / "file", NEW)
    order = [name for name in disk.names if name in ("write", "fsync", "link")]
    assert order == ["write", "fsync", "link", "fsync"]
    disk.names.clear()
    replace_durably(tmp_path / "file", OLD)
    order = [name for name in disk.names if name in ("write", "fsync", "replace")]
    assert order == ["write", "fsync", "replace", "fsync"]


def test_a_file_is_never_written_over_another(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(OLD)
    with pytest.raises(FileExistsError):
        write_durably(tmp_path / "file", NEW)
    assert state(tmp_path) == {"file": OLD}


def test_the_umask_decides_who_may_read(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        write_durably(tmp_path / "alone", b"")
        make_folder(tmp_path / "a" / "b")
        os.umask(0o007)
        replace_durably(tmp_path / "shared", b"")
        make_folder(tmp_path / "c")
    finally:
        os.umask(before)
    modes = [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("alone", "shared", "a", "a/b", "c")]
    assert modes == [0o600, 0o660, 0o700, 0o700, 0o770]


def test_moving_makes_both_folders_know(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("here", "there"):
        (tmp_path / name).mkdir()
    (tmp_path / "here" / "file").write_bytes(OLD)
    synced: list[Path] = []
    monkeypatch.setattr(durable, "fsync_folder", synced.append)
    move_durably(tmp_path / "here" / "file", tmp_path / "there" / "other")
    assert (tmp_path / "there" / "other").read_bytes() == OLD and not (tmp_path / "here" / "file").exists()
    assert synced == [tmp_path / "there", tmp_path / "here"]
    synced.clear()
    move_durably(tmp_path / "there" / "other", tmp_path / "there" / "third")
    assert synced == [tmp_path / "there"]


def test_unlinking_what_is_gone_still_syncs_the_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(OLD)
    disk = FailingDisk(monkeypatch, -1, False)
    for _ in range(2):
        disk.names.clear()
        unlink_durably(tmp_path / "file")
        assert disk.names[-3:] == ["open", "fsync", "close"]
    assert state(tmp_path) == {}


def test_a_failing_sync_of_a_folder_is_told_and_leaks_no_handle(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    with monkeypatch.context() as patch:
        FailingDisk(patch, 2, False)
        with pytest.raises(OSError, match="fsync"):
            fsync_folder(tmp_path)
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_folder_that_is_there_is_left_as_it_is(tmp_path: Path) -> None:
    make_folder(tmp_path / "a")
    (tmp_path / "a").chmod(0o500)
    make_folder(tmp_path / "a")
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o500
