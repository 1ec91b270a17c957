"""Group fsync: everybody gets an answer of their own, and a round serves all who came while the one before went on."""

import errno
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from gateway.intake.files import flush
from gateway.intake.files.flush import Flusher


class Disk:
    """Counts fsyncs; the first waits until it is let go."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, hold: bool = False, broken: int = -1) -> None:
        self.files: list[int] = []
        self.folders: list[Path] = []
        self.began, self.go = threading.Event(), threading.Event()
        if not hold:
            self.go.set()
        self.broken = broken
        monkeypatch.setattr(os, "fsync", self._file)
        monkeypatch.setattr(flush, "fsync_folder", self._folder)

    def _file(self, descriptor: int) -> None:
        self.files.append(descriptor)
        self.began.set()
        assert self.go.wait(30)
        if descriptor == self.broken:
            raise OSError(errno.EIO, "broken")

    def _folder(self, folder: Path) -> None:
        self.folders.append(folder)


def test_who_comes_meanwhile_goes_along_with_the_next_round(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    disk, flusher = Disk(monkeypatch, hold=True), Flusher()
    with ThreadPoolExecutor(11) as threads:
        first = threads.submit(flusher.flush, [1], [tmp_path])
        assert disk.began.wait(30)
        others = [threads.submit(flusher.flush, [number], [tmp_path]) for number in range(2, 12)]
        while len(flusher._waiting) < 10:
            threading.Event().wait(0.001)
        disk.go.set()
        for one in (first, *others):
            one.result(30)
    assert sorted(disk.files) == list(range(1, 12)), "each file once"
    assert disk.folders == [tmp_path, tmp_path], "the folder once for each round"
    flusher.flush([12], [])
    assert disk.files[-1] == 12, "nobody is still leading"


@pytest.mark.parametrize("broken", [1, 2, 3])
def test_an_error_reaches_whose_file_it_is_and_nobody_else(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, broken: int) -> None:
    disk, flusher = Disk(monkeypatch, hold=True), Flusher()
    with ThreadPoolExecutor(4) as threads:
        held = threads.submit(flusher.flush, [0], [])
        assert disk.began.wait(30)
        others = [threads.submit(flusher.flush, [number], [tmp_path]) for number in (1, 2, 3)]
        while len(flusher._waiting) < 3:
            threading.Event().wait(0.001)
        disk.broken = broken
        disk.go.set()
        held.result(30)
        failed = [number for number, one in enumerate(others, 1) if one.exception(30) is not None]
    assert failed == [broken]
    flusher.flush([4], [tmp_path])


def test_a_folder_that_can_not_be_synced_fails_all_who_need_it(tmp_path: Path) -> None:
    flusher = Flusher()
    with (tmp_path / "file").open("w") as file:
        with pytest.raises(FileNotFoundError):
            flusher.flush([file.fileno()], [tmp_path, tmp_path / "nowhere"])
        flusher.flush([file.fileno()], [tmp_path])
