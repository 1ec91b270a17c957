"""What a crash leaves of a delivery: an upload that can be resumed or a drop that is adopted, once, byte-exact."""

import hashlib
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from gateway.intake.files import delivery
from gateway.intake.files.folders import VendorFolders
from gateway.intake.files.names import Place
from gateway.intake.files.refusals import IntakeRefused
from gateway.intake.front.desk import FrontDesk
from gateway.store.home import Home
from tests.support.desk_plays import DATA, LARGE, arrived, assert_clean, assert_received, deliver, play, restart
from tests.support.desks import write
from tests.support.intake import Service, audit_rows, content, drops, files_below, free_port, make_home, make_key, register, sftp_session


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = make_home(tmp_path)
    register(home, "cito", make_key(tmp_path))
    return home


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
    await write(folders, handle, LARGE[:400_000], at=0)
    await write(folders, handle, LARGE[600_000:700_000], at=600_000)


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
        await write(folders, other, DATA[5000:], at=5000)
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
