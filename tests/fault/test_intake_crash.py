"""What a crash or a failing disk leaves of a delivery: an upload that can be resumed or a drop that is adopted, once, byte-exact."""

import asyncio
import errno
import hashlib
import os
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from gateway.drop.lifecycle import Raw, State
from gateway.intake.files import delivery
from gateway.intake.files.arriving import Arriving
from gateway.intake.files.folders import VendorFolders
from gateway.intake.files.names import Place
from gateway.intake.files.refusals import IntakeRefused
from gateway.intake.front.desk import FrontDesk
from gateway.store.home import Home
from tests.support.intake import Service, audit_rows, content, drops, files_below, free_port, make_home, make_key, register, sftp_session

DATA = os.urandom(100_000)
#: larger than what a manifest tells the ciphertext's digest of
LARGE = os.urandom(delivery.SMALL + 300_000)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = make_home(tmp_path)
    register(home, "cito", make_key(tmp_path))
    return home


Play = Callable[[FrontDesk, VendorFolders], Awaitable[Any]]


def play(home: Home, what: Play, *, stop: bool = True) -> Any:
    """A run of the service with one session; without `stop`, as kill -9 ends it."""

    async def run() -> Any:
        desk = FrontDesk(home)
        await desk.start()
        await desk.enter("s", "cito", "192.0.2.1")
        answer = await what(desk, VendorFolders(home, desk, "s", "cito", "192.0.2.1"))
        if stop:
            await desk.stop()
        return answer

    return asyncio.run(run())


async def arrived(folders: VendorFolders, name: str = "x.age", data: bytes = DATA) -> Arriving:
    place = Place("leveringen", name)
    handle = await folders.open_to_write(place, create=True, anew=False, only_new=False, append=False)
    await write(folders, handle, handle.upload.size, data[handle.upload.size :])
    return handle


async def write(folders: VendorFolders, handle: Arriving, offset: int, data: bytes) -> None:
    if (waiting := folders.write(handle, offset, data)) is not None:
        await waiting


def deliver(home: Home, name: str = "x.age", data: bytes = DATA) -> None:
    async def what(desk: FrontDesk, folders: VendorFolders) -> None:
        await folders.close(await arrived(folders, name, data))

    play(home, what)


def restart(home: Home) -> dict[str, int]:
    """What the service does when it starts, and answers; the unfinished uploads and their sizes."""

    async def what(desk: FrontDesk, folders: VendorFolders) -> dict[str, int]:
        await desk.settled()
        return {one.name: one.size for one in await desk.look("cito", "leveringen")}

    found: dict[str, int] = play(home, what)
    return found


def assert_clean(home: Home, unfinished: int = 0) -> None:
    """No key, note, manifest or ciphertext but those of drops and of unfinished uploads."""
    known = [drop.id for drop in drops(home)]
    assert sorted(home.mortal.names("drops")) == sorted(known)
    assert sorted(path.name for path in files_below(home.drops)) == sorted(f"{name}.blob" for name in known)
    assert len(files_below(home.run)) == unfinished
    assert len(files_below(home.path / "incoming")) == 2 * unfinished


def assert_received(home: Home, data: bytes = DATA) -> None:
    (drop,) = drops(home)
    assert content(home, drop) == data
    assert (drop.state, drop.raw, drop.bytes, drop.sha256) == (State.RECEIVED, Raw.HELD, len(data), hashlib.sha256(data).hexdigest())
    assert len(audit_rows(home, "drop.received")) == 1
    assert_clean(home)


# ---------------------------------------------------------------- what a power cut may leave of one close


async def _durable_and_untold(desk: FrontDesk, folders: VendorFolders, data: bytes = DATA) -> Any:
    handle = await arrived(folders, data=data)
    wanted = delivery.Delivery("cito", "leveringen", "x.age", "r", "192.0.2.1")
    return delivery.deliverer().deliver(folders.home, handle.upload, wanted)


def test_what_is_durable_and_untold_is_adopted(home: Home) -> None:
    play(home, _durable_and_untold, stop=False)
    assert restart(home) == {}
    assert_received(home)
    assert [row.object for row in audit_rows(home, "drop.adopted")] == [drops(home)[0].id]
    assert restart(home) == {}
    assert_received(home)


DAMAGE: dict[str, Callable[[Home, Any], object]] = {
    "the key is missing": lambda home, told: (home.mortal.kind_folder("drops") / told.id).unlink(),
    "the key is cut off": lambda home, told: os.truncate(path := home.mortal.kind_folder("drops") / told.id, path.stat().st_size - 1),
    "the ciphertext is missing": lambda home, told: home.blob(told.id).unlink(),
    "the ciphertext is cut off": lambda home, told: os.truncate(home.blob(told.id), 50_000),
    "the ciphertext is there and was never written": lambda home, told: home.blob(told.id).write_bytes(bytes(len(DATA))),
    "the manifest is cut off": lambda home, told: os.truncate(home.mortal.kind_folder("drops") / told.id, 100),
    "the key is there and was never written": lambda home, told: (home.mortal.kind_folder("drops") / told.id).write_bytes(bytes(500)),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_delivery_that_is_not_whole_is_not_adopted(home: Home, damage: str) -> None:
    """Nobody was told that it arrived: nothing of it is left, and it can be sent again under its name."""
    DAMAGE[damage](home, play(home, _durable_and_untold, stop=False))
    assert restart(home) == {}
    assert drops(home) == []
    assert_clean(home)
    deliver(home)
    assert_received(home)


def test_a_ledger_from_a_backup_is_told_again(home: Home) -> None:
    """What was delivered after the backup was made, and is not erased yet, was promised all the same."""
    deliver(home)
    (drop,) = drops(home)
    with home.ledger.engine.begin() as connection:
        for table in ("effect", "drop"):
            connection.execute(text(f'DELETE FROM "{table}"'))
    restart(home)
    (again,) = drops(home)
    assert (again.id, again.sha256, content(home, again)) == (drop.id, drop.sha256, DATA)
    restart(home)
    assert len(drops(home)) == 1


def test_without_the_store_of_keys_no_ciphertext_is_judged(home: Home) -> None:
    """It may lie on a medium of its own, and that may not be mounted."""
    told = play(home, _durable_and_untold, stop=False)
    folder = home.mortal.kind_folder("drops")
    folder.rename(folder.with_name("elsewhere"))
    assert restart(home) == {}
    folder.with_name("elsewhere").rename(folder)
    assert restart(home) == {}
    assert_received(home)
    assert drops(home)[0].id == told.id


# ---------------------------------------------------------------- what a kill leaves of an upload


async def _killed_with_gaps(desk: FrontDesk, folders: VendorFolders) -> None:
    handle = await folders.open_to_write(Place("leveringen", "x.age"), create=True, anew=False, only_new=False, append=False)
    await write(folders, handle, 0, LARGE[:400_000])
    await write(folders, handle, 600_000, LARGE[600_000:700_000])


def test_an_upload_with_gaps_keeps_what_is_certain(home: Home) -> None:
    """Its prefix, under a new key: which bytes beyond it used the old key stream is not known."""
    play(home, _killed_with_gaps, stop=False)
    (before,) = (path for path in files_below(home.path / "incoming") if path.suffix == ".blob")
    stored = before.read_bytes()
    assert restart(home) == {"x.age": 400_000}
    (after,) = (path for path in files_below(home.path / "incoming") if path.suffix == ".blob")
    assert after.name != before.name
    assert after.read_bytes()[:1000] != stored[:1000], "enciphered anew"
    assert_clean(home, unfinished=1)
    deliver(home, data=LARGE)
    assert_received(home, LARGE)


def test_a_small_upload_that_is_killed_leaves_nothing(home: Home) -> None:
    async def what(desk: FrontDesk, folders: VendorFolders) -> None:
        await arrived(folders)

    play(home, what, stop=False)
    assert restart(home) == {}
    assert_clean(home)


def test_a_large_upload_that_is_killed_loses_nothing(home: Home) -> None:
    async def what(desk: FrontDesk, folders: VendorFolders) -> None:
        await arrived(folders, data=LARGE[:-1])

    play(home, what, stop=False)
    assert restart(home) == {"x.age": len(LARGE) - 1}
    deliver(home, data=LARGE)
    assert_received(home, LARGE)


@pytest.mark.parametrize("size", [0, 1, 50_000])
def test_an_upload_whose_line_is_cut_is_kept_over_a_restart(home: Home, size: int) -> None:
    async def what(desk: FrontDesk, folders: VendorFolders) -> None:
        await folders.lose(await arrived(folders, data=DATA[:size]))

    play(home, what, stop=False)
    assert restart(home) == {"x.age": size}
    assert_clean(home, unfinished=1)
    deliver(home)
    assert_received(home)


# ---------------------------------------------------------------- a process that dies while others go on


def test_what_a_dead_process_held_is_free_at_once(home: Home) -> None:
    """Of a door that died: a large upload goes on, a small one is gone, and what it had made durable is a drop."""

    async def what(desk: FrontDesk, folders: VendorFolders) -> None:
        await desk.enter("dead", "cito", "192.0.2.2")
        dead = VendorFolders(home, desk, "dead", "cito", "192.0.2.2")
        await _durable_and_untold(desk, dead)
        await arrived(dead, "large.age", LARGE[:500_000])
        await arrived(dead, "small.age", DATA[:5000])
        other = await arrived(folders, "other.age", DATA[:5000])
        await desk.abandoned("dead")
        assert desk.sessions("cito") == 1
        found = {one.name: (one.size, one.held, one.delivered) for one in await desk.look("cito", "leveringen")}
        assert found == {"large.age": (500_000, False, False), "other.age": (0, True, False), "x.age": (len(DATA), False, True)}
        await folders.close(await arrived(folders, "large.age", LARGE))
        await write(folders, other, 5000, DATA[5000:])
        await folders.close(other)
        with pytest.raises(IntakeRefused, match="geleverd"):
            await arrived(folders)

    play(home, what)
    assert {drop.file_name: content(home, drop) for drop in drops(home)} == {"x.age": DATA, "large.age": LARGE, "other.age": DATA}
    assert_clean(home)


def test_a_delivery_that_is_taken_back_meanwhile_is_nobodys_orphan(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """A door destroys the key of its failed delivery while the desk looks what became of another upload."""

    async def what(desk: FrontDesk, folders: VendorFolders) -> None:
        told = await _durable_and_untold(desk, folders)
        names = home.mortal.names("drops")
        monkeypatch.setattr(home.mortal, "names", lambda kind: ["d20261121-aaaaaaaaaaaaaaaa", *names])
        await desk.abandoned("s")
        assert [manifest.id for manifest in desk.registrar.waiting.values()] == [told.id]

    play(home, what)
    monkeypatch.undo()
    assert_received(home)


# ---------------------------------------------------------------- a disk that fails


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
            await write(folders, handle, 600_000, LARGE[600_000:])
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
            await write(folders, handle, 100_000, LARGE[100_000:])
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


# ---------------------------------------------------------------- the real service


@pytest.mark.crash
def test_the_service_is_killed_and_the_upload_goes_on(tmp_path: Path) -> None:
    """kill -9 of the real service half-way, another one started: the client resumes where the first one was."""
    port = free_port()
    home = make_home(tmp_path, port=port)
    key = make_key(tmp_path)
    register(home, "cito", key)
    first = Service(home.path, port, tmp_path)
    with sftp_session(port, "cito", key) as sftp:
        file = sftp.open("leveringen/x.age", "wb")
        file.write(LARGE[:600_000])
        file.flush()
        sftp.stat("leveringen/x.age")  # answered after the writes
        first.kill()
    second = Service(home.path, port, tmp_path)
    with sftp_session(port, "cito", key) as sftp:
        assert sftp.stat("leveringen/x.age").st_size == 600_000
        with sftp.open("leveringen/x.age", "ab") as file:
            file.write(LARGE[600_000:])
        assert sftp.stat("leveringen/x.age").st_size == len(LARGE)
    assert second.terminate() == 0
    (drop,) = drops(home)
    assert content(home, drop) == LARGE
    assert drop.sha256 == hashlib.sha256(LARGE).hexdigest(), "half of it was hashed by reading it again"


@pytest.mark.crash
def test_sigterm_stops_and_says_so(tmp_path: Path) -> None:
    port = free_port()
    home = make_home(tmp_path, port=port)
    key = make_key(tmp_path)
    register(home, "cito", key)
    service = Service(home.path, port, tmp_path)
    with sftp_session(port, "cito", key) as sftp:
        sftp.open("leveringen/x.age.part", "wb")
        assert service.terminate() == 0
    with pytest.raises(OSError):
        socket.create_connection(("127.0.0.1", port), 5)
    assert_clean(home, unfinished=1)
