"""The store of keys: made once, read whole, destroyed for good."""

import os
import stat
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from keys.durable import fsync_folder, write_new
from keys.keystore import Keystore
from keys.secret import Secret
from policies.errors import NotFound, Refused, Unsound, WrongUsage

VALUE = Secret(b"\xa5\x5a" * 16)


@pytest.fixture
def store(tmp_path: Path) -> Keystore:
    return Keystore(tmp_path / "mortal")


def test_a_key_that_was_made_is_read_again(store: Keystore) -> None:
    store.create("drops", "d20261121-abc", VALUE)
    assert store.read("drops", "d20261121-abc") == VALUE
    assert Keystore(store.folder).read("drops", "d20261121-abc") == VALUE
    assert store.exists("drops", "d20261121-abc")
    assert not store.exists("drops", "d20261121-abd")
    assert not store.exists("bundles", "d20261121-abc")


def test_nobody_else_may_look(store: Keystore) -> None:
    store.create("drops", "a", VALUE)
    modes = [stat.S_IMODE(path.stat().st_mode) for path in (store.folder, store.folder / "drops", store.folder / "drops" / "a")]
    assert modes == [0o700, 0o700, 0o600]


@pytest.mark.parametrize(
    ("store_mode", "umask", "folder_mode", "file_mode"),
    [
        (0o700, 0o000, 0o700, 0o600),
        (0o750, 0o000, 0o700, 0o600),
        (0o770, 0o007, 0o770, 0o660),
        (0o770, 0o000, 0o770, 0o660),
        (0o770, 0o077, 0o700, 0o600),
    ],
)
def test_the_group_may_only_where_the_store_was_opened_to_it(
    store: Keystore, store_mode: int, umask: int, folder_mode: int, file_mode: int
) -> None:
    store.folder.mkdir()
    store.folder.chmod(store_mode)
    before = os.umask(umask)
    try:
        store.create("drops", "a", VALUE)
    finally:
        os.umask(before)
    assert stat.S_IMODE((store.folder / "drops").stat().st_mode) == folder_mode
    assert stat.S_IMODE((store.folder / "drops" / "a").stat().st_mode) == file_mode


def test_only_the_key_is_left_in_the_folder(store: Keystore) -> None:
    store.create("drops", "a", VALUE)
    assert os.listdir(store.folder / "drops") == ["a"]
    assert (store.folder / "drops" / "a").stat().st_nlink == 1


def test_a_key_is_never_replaced(store: Keystore) -> None:
    store.create("drops", "a", VALUE)
    with pytest.raises(Refused) as refusal:
        store.create("drops", "a", Secret(b"other"))
    assert refusal.value.code == "key-exists"
    assert store.read("drops", "a") == VALUE
    assert os.listdir(store.folder / "drops") == ["a"]


def test_what_is_not_there_is_not_found(store: Keystore) -> None:
    for ask in (store.read, store.created_at):
        with pytest.raises(NotFound) as refusal:
            ask("drops", "a")
        assert refusal.value.code == "key-gone"
    assert store.names("drops") == []
    assert store.kinds() == []
    assert store.unfinished("drops") == []


def test_names_and_kinds_are_sorted_and_only_keys(store: Keystore) -> None:
    for kind, name in (("epochs", "2026-11-22"), ("epochs", "2026-11-21"), ("drops", "a")):
        store.create(kind, name, VALUE)
    (store.folder / "epochs" / ".new.2026-11-23.00").write_bytes(b"x")
    (store.folder / "epochs" / ".gone.00").write_bytes(b"x")
    assert store.names("epochs") == ["2026-11-21", "2026-11-22"]
    assert store.kinds() == ["drops", "epochs"]


def test_when_it_was_made(store: Keystore) -> None:
    before = datetime.now(UTC) - timedelta(seconds=2)
    store.create("drops", "a", VALUE)
    made = store.created_at("drops", "a")
    assert before <= made <= datetime.now(UTC) + timedelta(seconds=2)
    assert made.utcoffset() == timedelta(0)
    os.utime(store.folder / "drops" / "a", (0, 86_400))
    assert store.created_at("drops", "a") == datetime(1970, 1, 2, tzinfo=UTC)


def test_destroyed_is_gone_and_may_be_repeated(store: Keystore) -> None:
    store.destroy("drops", "a")  # no folder yet
    store.create("drops", "a", VALUE)
    store.create("drops", "b", VALUE)
    store.destroy("drops", "a")
    store.destroy("drops", "a")
    assert os.listdir(store.folder / "drops") == ["b"]
    assert not store.exists("drops", "a")
    with pytest.raises(NotFound):
        store.read("drops", "a")
    store.create("drops", "a", Secret(b"a new one"))
    assert store.read("drops", "a").reveal() == b"a new one"


def test_the_content_is_overwritten_before_the_name_goes(store: Keystore) -> None:
    store.create("drops", "a", VALUE)
    with open(store.folder / "drops" / "a", "rb") as still_open:
        store.destroy("drops", "a")
        assert still_open.read() == bytes(len(VALUE.reveal()))


def test_leftovers_of_that_name_go_and_those_of_others_stay(store: Keystore) -> None:
    store.create("drops", "a", VALUE)
    folder = store.folder / "drops"
    mine, begun = folder / ".new.a.0123", folder / ".gone.4567"
    others = [folder / ".new.a.b.0123", folder / ".new.ab.0123", folder / ".new.b.0123"]
    for path in (mine, begun, *others):
        path.write_bytes(VALUE.reveal())
    store.destroy("drops", "a")
    assert sorted(folder.iterdir()) == sorted(others)


def test_finish_completes_what_was_begun(store: Keystore) -> None:
    store.finish("drops")
    store.create("drops", "a", VALUE)
    os.rename(store.folder / "drops" / "a", store.folder / "drops" / ".gone.1")
    assert store.unfinished("drops") == [".gone.1"]
    store.finish("drops")
    assert store.unfinished("drops") == []
    assert os.listdir(store.folder / "drops") == []


@pytest.mark.parametrize("bad", ["", ".", "..", "../a", "a/b", "/a", ".gone.a", ".new.a.0", "a\n", "a b", "é", "-a", "a" * 121, "a\0"])
def test_names_that_are_none_are_refused(store: Keystore, bad: str) -> None:
    for call in (store.read, store.exists, store.destroy, store.created_at):
        with pytest.raises(WrongUsage):
            call("drops", bad)
        with pytest.raises(WrongUsage):
            call(bad, "a")
    with pytest.raises(WrongUsage):
        store.create("drops", bad, VALUE)
    with pytest.raises(WrongUsage):
        store.names(bad)
    with pytest.raises(WrongUsage):
        store.finish(bad)
    assert not store.folder.exists()


def test_a_symbolic_link_is_not_followed(store: Keystore, tmp_path: Path) -> None:
    store.create("drops", "a", VALUE)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_bytes(b"precious")
    (store.folder / "drops" / "b").symlink_to(elsewhere)
    for call in (store.read, store.destroy):
        with pytest.raises(OSError, match="symbolic"):
            call("drops", "b")
    assert elsewhere.read_bytes() == b"precious"


def test_a_file_system_that_lies_about_unlinking_is_found_out(store: Keystore, monkeypatch: pytest.MonkeyPatch) -> None:
    store.create("drops", "a", VALUE)
    with monkeypatch.context() as patch:
        patch.setattr(os, "unlink", lambda *_, **__: None)
        with pytest.raises(Unsound) as refusal:
            store.destroy("drops", "a")
    assert refusal.value.code == "key-not-gone"
    store.destroy("drops", "a")
    assert os.listdir(store.folder / "drops") == []


def test_a_file_system_that_lies_about_renaming_is_found_out(store: Keystore, monkeypatch: pytest.MonkeyPatch) -> None:
    store.create("drops", "a", VALUE)
    monkeypatch.setattr(os, "rename", lambda *_: None)
    with pytest.raises(Unsound) as refusal:
        store.destroy("drops", "a")
    assert refusal.value.code == "key-not-gone"


def test_a_write_that_takes_less_is_gone_on_with(store: Keystore, monkeypatch: pytest.MonkeyPatch) -> None:
    write = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: write(descriptor, data[:5]))
    store.create("drops", "a", VALUE)
    assert store.read("drops", "a") == VALUE
    with open(store.folder / "drops" / "a", "rb") as still_open:
        store.destroy("drops", "a")
        assert still_open.read() == bytes(len(VALUE.reveal()))


def at_once(count: int, work: object) -> list[BaseException | None]:
    """The outcome of `work(number)` in `count` threads that start together."""
    barrier = threading.Barrier(count)
    outcomes: list[BaseException | None] = [None] * count

    def run(number: int) -> None:
        barrier.wait()
        try:
            work(number)  # type: ignore[operator]
        except BaseException as error:
            outcomes[number] = error

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return outcomes


def test_of_many_makers_one_wins(store: Keystore) -> None:
    outcomes = at_once(8, lambda number: store.create("drops", "a", Secret(bytes([number]) * 32)))
    (winner,) = [number for number, outcome in enumerate(outcomes) if outcome is None]
    assert all(isinstance(outcome, Refused) for number, outcome in enumerate(outcomes) if number != winner)
    assert store.read("drops", "a").reveal() == bytes([winner]) * 32
    assert os.listdir(store.folder / "drops") == ["a"]


def test_many_destroyers_do_not_hinder_each_other(store: Keystore) -> None:
    for round_number in range(10):
        names = [f"r{round_number}-{number}" for number in range(4)]
        for name in names:
            store.create("drops", name, VALUE)
        outcomes = at_once(8, lambda number, names=names: store.destroy("drops", names[number % 4]))
        assert outcomes == [None] * 8
        assert os.listdir(store.folder / "drops") == []


def test_a_reader_sees_the_whole_key_or_none(store: Keystore) -> None:
    store.create("drops", "a", VALUE)
    seen: list[bytes] = []
    done = threading.Event()

    def read() -> None:
        while not done.is_set():
            try:
                seen.append(store.read("drops", "a").reveal())
            except NotFound:
                seen.append(b"")

    reader = threading.Thread(target=read)
    reader.start()
    until = time.monotonic() + 0.3
    while time.monotonic() < until:
        store.destroy("drops", "a")
        store.create("drops", "a", VALUE)
    done.set()
    reader.join()
    assert set(seen) <= {b"", VALUE.reveal()}


def test_a_new_file_is_never_an_old_one(tmp_path: Path) -> None:
    (tmp_path / "old").write_bytes(b"old")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    for name in ("old", "link"):
        with pytest.raises(FileExistsError):
            write_new(tmp_path / name, b"new")
    assert (tmp_path / "old").read_bytes() == b"old"
    assert not (tmp_path / "nowhere").exists()


def test_fsync_of_a_folder_that_is_none_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError):
        fsync_folder(tmp_path / "file")


def test_clean_ends_what_a_crash_left_of_making_keys(tmp_path: Path) -> None:
    """A key that never got its name goes; of one that has it, only the second name: the key itself stays what it was."""
    store = Keystore(tmp_path / "keys")
    store.create("drops", "living", Secret(b"living"))
    folder = tmp_path / "keys" / "drops"
    os.link(folder / "living", folder / ".new.living.0123456789abcdef")
    (folder / ".new.unborn.0123456789abcdef").write_bytes(b"unborn")
    (folder / ".gone.0123456789abcdef").write_bytes(b"doomed")
    store.clean("drops")
    assert os.listdir(folder) == ["living"]
    assert store.read("drops", "living") == Secret(b"living")
    store.clean("unused")


def test_a_key_that_can_not_be_overwritten_holds_up_no_other_and_is_never_said_to_be_gone(store: Keystore) -> None:
    for name in "abc":
        store.create("drops", name, Secret(b"k" * 32))
    folder = store.folder / "drops"
    (folder / "b").unlink()
    (folder / "b").mkdir()  # what no system call overwrites
    with pytest.raises(IsADirectoryError):
        store.destroy("drops", "b")
    for name in "ac":
        store.destroy("drops", name)
    with pytest.raises(IsADirectoryError):
        store.destroy("drops", "b")
    with pytest.raises(IsADirectoryError):
        store.finish("drops")
    (left,) = store.unfinished("drops")
    assert os.listdir(folder) == [left]
    (folder / left).rmdir()
    (folder / left).write_bytes(b"k")
    store.destroy("drops", "b")
    assert os.listdir(folder) == []
