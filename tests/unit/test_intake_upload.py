"""The bytes of one upload on their way to the disk: in order without memory of their own, out of order correctly, twice not at all."""

import hashlib
import os
import tracemalloc
from pathlib import Path

import pytest

from gateway.intake.files import upload as module
from gateway.intake.files.refusals import IntakeRefused
from gateway.intake.files.upload import MAX_PARTS, Upload, new_uid
from keys.drop_cipher import DropCipher

PIECE = 256 << 10


@pytest.fixture(params=["memory", "disk"])
def upload(tmp_path: Path, request: pytest.FixtureRequest) -> Upload:
    """A new one that stays in memory for as long as it may, or is on disk at once."""
    upload = Upload.begin(tmp_path, new_uid())
    if request.param == "disk":
        upload.to_disk()
    return upload


def plain(upload: Upload) -> bytes:
    upload.to_disk()
    return DropCipher(upload.key).transform(0, upload.blob.read_bytes())


def test_writes_in_order_take_no_memory_of_their_own(upload: Upload) -> None:
    data = memoryview(bytearray(os.urandom(PIECE)))
    upload.write(0, data)
    tracemalloc.start()
    try:
        for number in range(1, 40):
            upload.write(number * PIECE, data)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < PIECE // 8, "neither a copy of what came, nor one of what is stored"
    assert plain(upload) == bytes(data) * 40
    assert upload.finish() == hashlib.sha256(bytes(data) * 40).hexdigest()


@pytest.mark.parametrize("make", [bytes, bytearray, lambda data: memoryview(bytearray(data))], ids=["bytes", "bytearray", "view"])
def test_what_is_written_is_used_at_once(upload: Upload, make: object) -> None:
    """A receive buffer may be used again as soon as `write` has returned: in order, and beyond a gap."""
    buffer = make(b"0123456789")  # type: ignore[operator]
    upload.write(0, buffer)
    upload.write(20, buffer)
    if not isinstance(buffer, bytes):
        buffer[:] = b"----------"
    upload.write(10, b"abcdefghij")
    assert plain(upload) == b"0123456789abcdefghij0123456789"
    assert upload.finish() == hashlib.sha256(plain(upload)).hexdigest()


def test_a_write_that_the_system_cuts_short_goes_on(upload: Upload, monkeypatch: pytest.MonkeyPatch) -> None:
    pwrite, write = os.pwrite, os.write
    monkeypatch.setattr(os, "pwrite", lambda file, data, offset: pwrite(file, data[:7], offset))
    monkeypatch.setattr(os, "write", lambda file, data: write(file, data[:7]))
    upload.write(0, b"0123456789" * 3)
    upload.write(40, b"abcdefghij")
    assert list(upload.ranges) == [(0, 30), (40, 50)]
    assert plain(upload)[:30] == b"0123456789" * 3 and plain(upload)[40:] == b"abcdefghij"


def test_what_was_written_before_an_error_is_never_written_otherwise(upload: Upload, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that takes a part and then fails: that part has used its key stream."""
    upload.to_disk()
    real, calls = os.pwrite, []

    def failing(file: int, data: memoryview, offset: int) -> int:
        calls.append(offset)
        if len(calls) > 1:
            raise OSError("full")
        return real(file, data[:4], offset)

    monkeypatch.setattr(os, "pwrite", failing)
    with pytest.raises(OSError):
        upload.write(0, b"0123456789")
    monkeypatch.setattr(os, "pwrite", real)
    assert upload.size == 4
    with pytest.raises(IntakeRefused, match="andere bytes"):
        upload.write(0, b"xxxx456789")
    upload.write(0, b"0123456789")
    assert plain(upload) == b"0123456789"
    assert upload.finish() == hashlib.sha256(b"0123456789").hexdigest()


def test_a_write_that_overlaps_is_compared_and_completed(upload: Upload) -> None:
    upload.write(0, b"01234")
    upload.write(8, b"89")
    upload.write(3, b"3456789ab")
    assert plain(upload) == b"0123456789ab"
    with pytest.raises(IntakeRefused, match="andere bytes"):
        upload.write(11, b"x")
    assert plain(upload) == b"0123456789ab", "what was refused changed nothing"


def test_too_many_parts_are_refused(upload: Upload) -> None:
    for number in range(1, MAX_PARTS + 1):
        upload.write(2 * number, b"x")
    with pytest.raises(IntakeRefused, match="losse delen"):
        upload.write(2 * MAX_PARTS + 10, b"x")
    upload.write(0, b"ab")
    assert upload.size == 3, "what closes the first gap is always taken"


def test_only_the_first_beyond_a_gap_scatters(upload: Upload) -> None:
    assert not upload.would_scatter(0)
    upload.write(0, b"abc")
    assert not upload.would_scatter(3) and upload.would_scatter(4)
    upload.scattered = True
    assert not upload.would_scatter(4)


def test_what_is_missing_is_said(upload: Upload) -> None:
    upload.write(0, b"ab")
    upload.write(3, b"d")
    with pytest.raises(IntakeRefused, match="ontbreken"):
        upload.check_whole()
    upload.write(2, b"c")
    upload.check_whole()


def test_a_long_write_is_taken_whole(upload: Upload) -> None:
    data = os.urandom(len(module._scratch.buffer) + 12_345)
    upload.write(0, data)
    upload.write(len(data), b"end")
    assert plain(upload) == data + b"end"


def test_a_file_that_became_shorter_is_noticed(upload: Upload) -> None:
    upload.write(0, b"0123456789")
    upload.to_disk()
    upload.close()
    os.truncate(upload.blob, 5)
    again = Upload(upload.folder, upload.uid, upload.key)
    again.ranges = upload.ranges
    with pytest.raises(OSError, match="shorter"):
        again.finish()


# ---------------------------------------------------------------- in memory


@pytest.fixture
def room(monkeypatch: pytest.MonkeyPatch) -> module._EarlyRoom:
    room = module._EarlyRoom()
    monkeypatch.setattr(module, "_early_room", room)
    return room


def test_what_is_small_is_on_disk_only_when_it_has_its_place(tmp_path: Path) -> None:
    upload = Upload.begin(tmp_path, new_uid())
    upload.write(0, b"0123456789")
    assert list(tmp_path.iterdir()) == []
    upload.move_to(tmp_path / "final")
    assert [path.name for path in tmp_path.iterdir()] == ["final"]
    assert os.stat(upload.descriptor).st_ino == (tmp_path / "final").stat().st_ino, "it is this that is synced"
    upload.move_back(tmp_path / "final")
    assert list(tmp_path.iterdir()) == [] and plain(upload) == b"0123456789"


def test_nothing_in_memory_is_plain(tmp_path: Path) -> None:
    upload = Upload.begin(tmp_path, new_uid())
    upload.write(0, b"0123456789" * 20)
    assert b"0123456789" not in bytes(upload._early or b"") and len(upload._early or b"") == 200


def test_what_becomes_too_large_goes_to_disk(tmp_path: Path, room: module._EarlyRoom) -> None:
    upload = Upload.begin(tmp_path, new_uid())
    data = os.urandom(module.EARLY + 1)
    upload.write(0, data[:-1])
    assert not upload.blob.exists()
    upload.write(len(data) - 1, data[-1:])
    assert upload.blob.exists() and plain(upload) == data
    assert room._taken == 0


def test_what_all_have_in_memory_is_bounded_and_given_back(tmp_path: Path, room: module._EarlyRoom) -> None:
    many = [Upload.begin(tmp_path, new_uid()) for _ in range(module.EARLY_IN_ALL // module.EARLY + 3)]
    data = os.urandom(module.EARLY)
    for upload in many:
        upload.write(0, data)
    assert sum(upload.blob.exists() for upload in many) == 3
    assert room._taken == module.EARLY_IN_ALL
    for upload in many:
        upload.close()
    assert room._taken == 0
