"""What is called durable was really synced: seen where the program asks the system for it."""

import os
from pathlib import Path

import pytest

from audit.disk import Disk
from tests.support.audit_logs import entries, log_of


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, bytes | None]]:
    """Each sync in order: the path, and the content of a file at that moment."""
    seen: list[tuple[str, bytes | None]] = []
    real = os.fsync

    def fsync(descriptor: int) -> None:
        path = Path(os.readlink(f"/proc/self/fd/{descriptor}"))
        seen.append((str(path), path.read_bytes() if path.is_file() else None))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    return seen


def test_a_file_is_synced_with_all_its_content(tmp_path: Path, synced: list[tuple[str, bytes | None]]) -> None:
    Disk().create(tmp_path / "file", b"x" * 100_000)
    assert synced == [(str(tmp_path / "file"), b"x" * 100_000)]
    with pytest.raises(FileExistsError):
        Disk().create(tmp_path / "file", b"y")
    assert (tmp_path / "file").read_bytes() == b"x" * 100_000


def test_a_folder_is_synced_into_the_one_above(tmp_path: Path, synced: list[tuple[str, bytes | None]]) -> None:
    Disk().make_folder(tmp_path / "a" / "b")
    assert synced == [(str(tmp_path), None), (str(tmp_path / "a"), None)]
    Disk().make_folder(tmp_path / "a" / "b")
    assert len(synced) == 2


def test_an_append_of_one_entry_syncs_this_and_no_more(tmp_path: Path, synced: list[tuple[str, bytes | None]]) -> None:
    log = log_of(tmp_path, [5])
    synced.clear()
    log.append(entries(5, 6))
    assert [Path(path).relative_to(tmp_path).as_posix() for path, _ in synced] == [
        "lock",
        "tile/entries/000.p/6",
        "tile/0/000.p/6",
        "tile/0/000.p",
        "tile/entries/000.p",
        "checkpoint.next",
        ".",
    ]
    assert synced[0][1] == b"00000000000000000005 00000000000000000006\n"
    assert synced[5][1] == log.checkpoint()


def test_a_record_is_synced_only_when_asked(tmp_path: Path, synced: list[tuple[str, bytes | None]]) -> None:
    descriptor = os.open(tmp_path / "lock", os.O_RDWR | os.O_CREAT)
    try:
        Disk().overwrite(descriptor, b"one", sync=False)
        assert synced == []
        Disk().overwrite(descriptor, b"two", sync=True)
        assert synced == [(str(tmp_path / "lock"), b"two")]
    finally:
        os.close(descriptor)
