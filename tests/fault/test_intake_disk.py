"""What a failing disk leaves of a delivery: an upload that can be sent again, or nothing, and never a success that is none."""

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from gateway.intake.files.folders import VendorFolders
from gateway.intake.files.refusals import IntakeRefused
from gateway.intake.front.desk import FrontDesk
from gateway.store.home import Home
from tests.support.desk_plays import DATA, LARGE, arrived, assert_clean, assert_received, play, restart
from tests.support.desks import write
from tests.support.intake import drops, files_below, make_home, make_key, register


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = make_home(tmp_path)
    register(home, "cito", make_key(tmp_path))
    return home


class FailingDisk:
    """`os.<name>` raises once, on the nth call on a path with `part` in it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, name: str, part: str, code: int) -> None:
        self.left = 1
        real = getattr(os, name)

        def failing(path: Any, *rest: Any, **named: Any) -> Any:
            place = os.readlink(f"/proc/self/fd/{path}") if isinstance(path, int) else str(path)
            if self.left and part in place:
                self.left -= 1
                raise OSError(code, os.strerror(code))
            return real(path, *rest, **named)

        monkeypatch.setattr(os, name, failing)


@pytest.mark.parametrize(
    ("call", "part", "data"),
    [("write", "mortal/drops", DATA), ("write", "mortal/drops", LARGE), ("write", "/drops/d", DATA), ("rename", "incoming", LARGE)],
    ids=["key, small", "key, large", "ciphertext, small", "ciphertext, large"],
)
def test_a_full_disk_at_close_leaves_the_upload(home: Home, monkeypatch: pytest.MonkeyPatch, call: str, part: str, data: bytes) -> None:
    """The key can't be written, or the ciphertext not given its place: what was done is taken back, and the client may try again."""

    async def what(desk: FrontDesk, folders: VendorFolders) -> None:
        handle = await arrived(folders, data=data)
        disk = FailingDisk(monkeypatch, call, part, errno.ENOSPC)
        with pytest.raises(IntakeRefused, match="vol"):
            await folders.close(handle)
        assert disk.left == 0
        (left,) = await desk.look("cito", "leveringen")
        assert (left.size, left.held) == (len(data), False)
        assert_clean(home, unfinished=1)
        await folders.close(await arrived(folders, data=data))

    play(home, what)
    assert_received(home, data)


@pytest.mark.parametrize("data", [DATA, LARGE], ids=["small", "large"])
@pytest.mark.parametrize("part", ["mortal/drops", "drops/d", ".blob", "/drops"])
def test_a_failed_fsync_is_not_believed_the_second_time(home: Home, monkeypatch: pytest.MonkeyPatch, part: str, data: bytes) -> None:
    """The system tells an error once, and then may say that all is well: the upload is given up and sent again from its first byte."""

    async def what(desk: FrontDesk, folders: VendorFolders) -> None:
        handle = await arrived(folders, data=data)
        disk = FailingDisk(monkeypatch, "fsync", part, errno.EIO)
        with pytest.raises(IntakeRefused) as refused:
            await folders.close(handle)
        assert disk.left == 0 and refused.value.code == "not-received"
        assert await desk.look("cito", "leveringen") == []
        assert_clean(home)
        await folders.close(await arrived(folders, data=data))

    play(home, what)
    assert_received(home, data)


def test_a_failed_fsync_that_was_asked_for_ends_the_upload(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    async def what(desk: FrontDesk, folders: VendorFolders) -> None:
        handle = await arrived(folders)
        FailingDisk(monkeypatch, "fsync", ".blob", errno.EIO)
        with pytest.raises(IntakeRefused):
            await folders.sync(handle)
        with pytest.raises(IntakeRefused, match="niets geleverd"):
            await folders.close(handle)
        assert await desk.look("cito", "leveringen") == []

    play(home, what)
    assert drops(home) == []
    assert_clean(home)


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO])
def test_a_write_that_fails_delivers_nothing(home: Home, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    async def what(desk: FrontDesk, folders: VendorFolders) -> None:
        handle = await arrived(folders, data=LARGE[:600_000])
        FailingDisk(monkeypatch, "pwrite", ".blob", code)
        with pytest.raises(IntakeRefused) as refused:
            await write(folders, handle, LARGE[600_000:], at=600_000)
        assert refused.value.code == ("disk-full" if code == errno.ENOSPC else "not-received")
        with pytest.raises(IntakeRefused, match="niets geleverd"):
            await folders.close(handle)
        (left,) = await desk.look("cito", "leveringen")
        assert left.size == 600_000
        await folders.close(await arrived(folders, data=LARGE))

    play(home, what)
    assert_received(home, LARGE)


def test_a_small_upload_that_the_disk_does_not_take_when_it_grows(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was in memory still is: it can be kept once there is room."""

    async def what(desk: FrontDesk, folders: VendorFolders) -> None:
        handle = await arrived(folders, data=LARGE[:100_000])
        FailingDisk(monkeypatch, "write", ".blob", errno.ENOSPC)
        with pytest.raises(IntakeRefused, match="vol"):
            await write(folders, handle, LARGE[100_000:], at=100_000)
        await folders.lose(handle)
        (left,) = await desk.look("cito", "leveringen")
        assert left.size == 100_000
        await folders.close(await arrived(folders, data=LARGE))

    play(home, what)
    assert_received(home, LARGE)


def test_what_can_not_even_be_noted_is_given_up(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    async def what(desk: FrontDesk, folders: VendorFolders) -> None:
        handle = await arrived(folders)
        FailingDisk(monkeypatch, "replace", "incoming", errno.ENOSPC)
        await folders.lose(handle)
        assert await desk.look("cito", "leveringen") == []

    play(home, what)
    restart(home)
    assert_clean(home)


def test_without_the_days_key_nothing_is_delivered(home: Home) -> None:
    async def what(desk: FrontDesk, folders: VendorFolders) -> None:
        home.epochs.destroy(home.clock().date())
        with pytest.raises(IntakeRefused) as refused:
            await folders.close(await arrived(folders))
        assert refused.value.code == "not-received"

    play(home, what)
    assert_clean(home, unfinished=1)


@pytest.mark.parametrize("call", ["rename", "unlink"])
def test_the_key_of_a_delivered_upload_that_could_not_go_then_goes_soon(home: Home, monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    """It opens the drop as the drop's own key does, so it may not wait for the next start of a service that runs for months."""

    async def what(desk: FrontDesk, folders: VendorFolders) -> None:
        handle = await arrived(folders, data=LARGE)
        disk = FailingDisk(monkeypatch, call, "run/uploads", errno.EIO)
        await folders.close(handle)
        assert disk.left == 0 and files_below(home.run)
        await arrived(folders, "y.age", data=LARGE)  # another one goes on meanwhile
        await desk.expire()
        await desk.expire()
        assert [path.parent.name for path in files_below(home.run)] == ["uploads"], "only that of the other one"
        await desk.expire()
        await folders.close(await arrived(folders, "y.age", data=LARGE))
        assert files_below(home.run) == []

    play(home, what)
