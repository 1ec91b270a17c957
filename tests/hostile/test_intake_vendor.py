"""A vendor that tries what it may not: tricks in names, reading back, links, modes, other vendors' files. Each is refused with a text."""

import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import asyncssh
import paramiko
import pytest

from gateway.store.home import Home
from tests.support.intake import (
    Running,
    audit_rows,
    drops,
    files_below,
    make_home,
    make_key,
    register,
    running,
    sftp_session,
    wait_for_ledger,
)

NAMES: list[bytes] = [
    b"../x.age", b"../../etc/cron.d/x", b"sub/x.age", b"..\\x.age", b"x\x00.age", b"x\n.age", b"x\x1b[2J.age", b".ssh", b".x.age", b"-rf",
    b" x.age", b"x.age ", b"x.age.", b"..", b"x" * 256, b"\xff\xfe.age", "x\u202eega.age".encode(), "x\u200d.age".encode(), b"~/x.age\x7f",
    "\ufeffx.age".encode(), "x\u2028.age".encode(), b"111222333.csv.age",
]  # fmt: skip


class Attack:
    def __init__(self, home: Home, intake: Running, key: Path, sftp: Any) -> None:
        self.home, self.intake, self.key, self.sftp = home, intake, key, sftp
        with sftp.open("leveringen/mine.age", "wb") as file:
            file.write(b"delivered")

    def files(self) -> dict[str, tuple[int, bytes]]:
        """Everything in the home but the database and the log, with mode and content."""
        wait_for_ledger(self.home)
        found = {}
        for path in files_below(self.home.path):
            if "sqlite" not in path.name and path.parent.name != "audit":
                found[str(path)] = (stat.S_IMODE(path.stat().st_mode), path.read_bytes())
        return found


@pytest.fixture
def attack(tmp_path: Path) -> Iterator[Attack]:
    home = make_home(tmp_path)
    key, other = make_key(tmp_path), make_key(tmp_path, "other")
    register(home, "cito", key)
    register(home, "boom", other)
    with running(home) as intake:
        with sftp_session(intake.port, "boom", other) as theirs:
            with theirs.open("leveringen/theirs.age", "wb") as file:
                file.write(b"of another vendor")
            theirs.open("leveringen/theirs.age.part", "wb").close()
        with sftp_session(intake.port, "cito", key) as sftp:
            yield Attack(home, intake, key, sftp)


@pytest.mark.parametrize("name", NAMES, ids=repr)
def test_bad_names_leave_nothing(attack: Attack, name: bytes) -> None:
    before = attack.files()
    for folder in (b"leveringen/", b"/bezwaren/"):
        with pytest.raises(OSError) as refused:
            attack.sftp.open(folder + name, "wb")
        assert "[" in str(refused.value), "a text that says why"
    assert attack.files() == before
    assert len(drops(attack.home)) == 2


@pytest.mark.parametrize("twin", ["MINE.age", "mine.AGE", "Mine.Age", "m\u0131ne.age".upper(), "\uff4dine.age"])
def test_a_name_that_is_nearly_a_delivered_one(attack: Attack, twin: str) -> None:
    """It would be another file here and the same one on the vendor's own machine; said in both languages, and audited."""
    with pytest.raises(OSError, match=r"vrijwel dezelfde naam.* / .*almost the same name.*\[name-twin\]"):
        attack.sftp.open(f"leveringen/{twin}", "wb")
    wait_for_ledger(attack.home)
    assert [row.result for row in audit_rows(attack.home, "sftp.open")] == ["name-twin"]
    assert attack.sftp.listdir("leveringen") == ["mine.age"]


@pytest.mark.parametrize("name", ["CON.age", "nul", "com1.csv.age", "a:b.age", "a*b.age", "a?b.age", "a|b.age", "a<b>.age"])
def test_a_name_that_not_every_system_can_have(attack: Attack, name: str) -> None:
    with pytest.raises(OSError, match=r"\[name-reserved\]"):
        attack.sftp.open(f"leveringen/{name}", "wb")


@pytest.mark.parametrize(
    "path",
    ["x.age", "/x.age", "ontvangst/x.age", "sleutels/x.age", "sleutels/sluis.age.txt", "leveringen", "/", "nieuw/x.age", "/etc/passwd"],
)
def test_nothing_is_written_elsewhere(attack: Attack, path: str) -> None:
    before = attack.files()
    for mode in ("wb", "ab", "r+b", "xb"):
        with pytest.raises(OSError):
            attack.sftp.open(path, mode)
    assert attack.files() == before


@pytest.mark.parametrize("mode", ["rb", "wb", "ab", "r+b", "xb"])
def test_a_delivered_file_is_neither_read_nor_touched(attack: Attack, mode: str) -> None:
    with pytest.raises(PermissionError):
        attack.sftp.open("leveringen/mine.age", mode)


def test_an_unfinished_file_is_not_read_back_either(attack: Attack) -> None:
    file = attack.sftp.open("leveringen/new.age.part", "w+b")
    file.write(b"secret")
    with pytest.raises(PermissionError, match="no-reading-back"):
        file.seek(0)
        file.read(6)
    file.close()
    with pytest.raises(PermissionError):
        attack.sftp.open("leveringen/new.age.part", "rb")


OPERATIONS: dict[str, Callable[[Any], object]] = {
    "remove": lambda s: s.remove("leveringen/mine.age"),
    "remove key": lambda s: s.remove("sleutels/sluis.age.txt"),
    "remove unfinished of another": lambda s: s.remove("leveringen/theirs.age.part"),
    "rename delivered": lambda s: s.rename("leveringen/mine.age", "leveringen/other.age"),
    "posix-rename delivered": lambda s: s.posix_rename("leveringen/mine.age", "leveringen/other.age"),
    "rename a key": lambda s: s.rename("sleutels/sluis.age.txt", "leveringen/key.age"),
    "rename a folder": lambda s: s.rename("leveringen", "bezwaren"),
    "rename of another": lambda s: s.rename("leveringen/theirs.age.part", "leveringen/stolen.age"),
    "mkdir": lambda s: s.mkdir("leveringen/sub"),
    "rmdir": lambda s: s.rmdir("leveringen"),
    "symlink": lambda s: s.symlink("/etc/passwd", "leveringen/link.age"),
    "readlink": lambda s: s.readlink("leveringen/mine.age"),
    "chmod": lambda s: s.chmod("leveringen/mine.age", 0o777),
    "chmod folder": lambda s: s.chmod("leveringen", 0o777),
    "chown": lambda s: s.chown("leveringen/mine.age", 0, 0),
    "truncate": lambda s: s.truncate("leveringen/mine.age", 0),
    "utime of a key": lambda s: s.utime("sleutels/sluis.age.txt", (0, 0)),
    "stat of another": lambda s: s.stat("leveringen/theirs.age"),
    "open of another": lambda s: s.open("leveringen/theirs.age.part", "r+b"),
    "list of a file": lambda s: s.listdir("leveringen/mine.age"),
    "list of the home": lambda s: s.listdir("/home"),
}


@pytest.mark.parametrize("name", OPERATIONS)
def test_refused_and_without_effect(attack: Attack, name: str) -> None:
    before = attack.files()
    with pytest.raises(OSError):
        OPERATIONS[name](attack.sftp)
    assert attack.files() == before


def test_another_vendors_names_are_free_for_me(attack: Attack) -> None:
    """Otherwise a refusal would tell that the other one delivered it."""
    with attack.sftp.open("leveringen/theirs.age", "wb") as file:
        file.write(b"mine")
    assert sorted((drop.vendor, drop.file_name) for drop in drops(attack.home)) == [
        ("boom", "theirs.age"), ("cito", "mine.age"), ("cito", "theirs.age"),
    ]  # fmt: skip
    assert sorted(attack.sftp.listdir("leveringen")) == ["mine.age", "theirs.age"]


def test_a_link_in_the_receipts_is_not_followed(attack: Attack) -> None:
    folder = attack.home.receipts("cito")
    folder.mkdir(parents=True)
    (folder / "d20261121-aaaaaaaaaaaaaaaa.json").symlink_to(attack.home.path / "keys" / "ssh" / "host")
    (folder / "d20261121-bbbbbbbbbbbbbbbb.json").mkdir()
    assert attack.sftp.listdir("ontvangst") == []
    with pytest.raises(FileNotFoundError):
        attack.sftp.open("ontvangst/d20261121-aaaaaaaaaaaaaaaa.json")


def test_far_offsets_and_many_pieces(attack: Attack) -> None:
    file = attack.sftp.open("leveringen/x.age.part", "wb")
    for offset in (1 << 62, (1 << 63) - 1, 1 << 40):
        file.seek(offset)
        with pytest.raises(OSError, match="too-far-ahead"):
            file.write(b"x")
            file.flush()
    with pytest.raises(OSError, match="scattered"):
        for piece in range(1100):
            file.seek(10 + 2 * piece)
            file.write(b"x")
            file.flush()
    assert attack.intake.unfinished("cito")["x.age.part"].size == 0


def test_handles_of_a_session_are_bounded(attack: Attack) -> None:
    kept = []
    with pytest.raises(OSError, match="too-many-handles"):
        for number in range(100):
            kept.append(attack.sftp.open(f"leveringen/{number}.part", "wb"))
    assert len(kept) == 64
    kept.pop().close()
    kept.append(attack.sftp.open("leveringen/again.part", "wb"))


def test_unfinished_uploads_are_bounded(attack: Attack) -> None:
    with pytest.raises(OSError, match="too-many-unfinished"):
        for number in range(300):
            attack.sftp.open(f"leveringen/{number}.part", "wb").close()
    assert len(attack.intake.unfinished("cito")) == 200
    with attack.sftp.open("leveringen/0.part", "wb") as file:
        file.write(b"one that is there can still be finished")
    attack.sftp.rename("leveringen/0.part", "leveringen/0.age")


def test_a_flood_of_refusals_does_not_flood_the_log(attack: Attack) -> None:
    for _ in range(80):
        with pytest.raises(OSError):
            attack.sftp.open("leveringen/mine.age", "wb")
    assert len(audit_rows(attack.home, "sftp.open")) == 50


def test_garbage_ends_the_session_only(attack: Attack) -> None:
    """Packets that are no SFTP: too long, cut short, of an unknown type, an absurd handle."""
    key = str(attack.key)

    async def send(data: bytes) -> None:
        async with asyncssh.connect(
            "127.0.0.1", attack.intake.port, username="cito", client_keys=[key], known_hosts=None, config=None
        ) as conn:
            writer, reader, _ = await conn.open_session(subsystem="sftp", encoding=None)
            writer.write(data)
            writer.write_eof()
            await reader.read()

    version = b"\0\0\0\5\1\0\0\0\3"
    for data in (
        b"\xff" * 64,
        b"\0\0\0\1\1",
        version + b"\0\0\0\5\xc8\0\0\0\1",
        version + b"\0\0\0\x0d\4\0\0\0\1\0\0\0\4none",
        version + b"\0\0\0\0",
        os.urandom(4096),
    ):
        attack.intake.run(send(data))
    assert sorted(attack.sftp.listdir("leveringen")) == ["mine.age"]


def test_many_connections_that_never_log_in(attack: Attack) -> None:
    attack.intake.endpoint.listener.doorstep.in_all = 5
    plugs = []
    try:
        for _ in range(8):
            plugs.append(paramiko.Transport(("127.0.0.1", attack.intake.port)))
            try:
                plugs[-1].start_client(timeout=20)
            except (paramiko.SSHException, EOFError):
                break
        assert 4 <= len(plugs) <= 6
    finally:
        for plug in plugs:
            plug.close()
