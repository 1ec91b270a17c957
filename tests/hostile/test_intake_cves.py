"""Weaknesses that other SSH and SFTP servers had, tried on this one. docs/decisions/0003 lists them, and which test looks at each."""

import os
import re
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import asyncssh
import paramiko  # type: ignore[import-untyped,unused-ignore]
import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from gateway.store.home import Home
from tests.support.intake import Running, content, drops, make_home, make_key, register, running, sftp_session
from tests.support.raw_ssh import (
    CHANNEL_OPEN,
    DEBUG,
    EXT_INFO,
    IGNORE,
    KEX_ECDH_INIT,
    KEX_ECDH_REPLY,
    PING,
    SERVICE_REQUEST,
    UNIMPLEMENTED,
    USERAUTH_REQUEST,
    USERAUTH_SUCCESS,
    Raw,
    name_lists,
    string,
)  # fmt: skip

ROOT = Path(__file__).resolve().parents[2]
RECORD = ROOT / "docs" / "decisions" / "0003-known-weaknesses-of-other-servers.md"


class Target:
    """An endpoint with two vendors, cito and boom."""

    def __init__(self, folder: Path, home: Home, intake: Running) -> None:
        self.folder, self.home, self.intake, self.port = folder, home, intake, intake.port
        self.key, self.other = make_key(folder), make_key(folder, "other")
        register(home, "cito", self.key, "127.0.0.0/8")
        register(home, "boom", self.other, "127.0.0.0/8")

    def still_serves(self) -> None:
        with sftp_session(self.port, "cito", self.key) as session:
            assert set(session.listdir("/")) == {"leveringen", "bezwaren", "ontvangst", "sleutels"}

    def client(self, name: str = "cito", keys: Any = None) -> Any:
        keys = keys or [str(self.key)]
        return asyncssh.connect("127.0.0.1", self.port, username=name, client_keys=keys, known_hosts=None, config=None)


@pytest.fixture
def target(tmp_path: Path) -> Iterator[Target]:
    home = make_home(tmp_path, login_timeout_seconds=5)
    with running(home) as intake:
        target = Target(tmp_path, home, intake)
        yield target
        target.still_serves()


# ---------------------------------------------------------------- before there are keys


def test_the_algorithms_that_terrapin_needs_are_not_there(target: Target) -> None:
    offered = name_lists(Raw(target.port).their_kexinit)
    assert "kex-strict-s-v00@openssh.com" in offered["kex"]
    for name in (*offered["encryption"], *offered["mac"], *offered["host_key"], *offered["kex"]):
        assert not re.search(r"chacha20|cbc|sha1\b|md5|none|ssh-rsa$|ssh-dss|arcfour|3des|group1-", name), name


BETWEEN = {
    "ignore": bytes([IGNORE]) + string(b"x"),
    "debug": bytes([DEBUG, 0]) + string(b"x") + string(b""),
    "unimplemented": bytes([UNIMPLEMENTED]) + bytes(4),
    "extension info": bytes([EXT_INFO]) + struct.pack(">I", 1) + string(b"server-sig-algs") + string(b"ssh-ed25519"),
    "service request": bytes([SERVICE_REQUEST]) + string(b"ssh-userauth"),
    "login": bytes([USERAUTH_REQUEST]) + string(b"cito") + string(b"ssh-connection") + string(b"none"),
    "login succeeded": bytes([USERAUTH_SUCCESS]),
    "channel": bytes([CHANNEL_OPEN]) + string(b"session") + bytes(12),
    "ping": bytes([PING]) + string(b"x"),
}


@pytest.mark.parametrize("what", BETWEEN)
def test_nothing_gets_into_the_key_exchange(target: Target, what: str) -> None:
    raw = Raw(target.port)
    raw.send_kexinit(strict=True)
    raw.send(BETWEEN[what])
    assert raw.ended(), "in strict key exchange every other message ends the connection"


@pytest.mark.parametrize("what", ["service request", "login", "login succeeded", "channel"])
def test_nobody_is_logged_in_without_keys(target: Target, what: str) -> None:
    raw = Raw(target.port)
    raw.send_kexinit(strict=False)
    raw.send(BETWEEN[what])
    assert raw.ended()


@pytest.mark.parametrize("payload", [b"", b"\0", b"\xff" * 40], ids=["none", "zero", "unknown"])
def test_a_packet_with_nothing_in_it(target: Target, payload: bytes) -> None:
    raw = Raw(target.port)
    raw.send(payload)
    raw.send_kexinit(strict=True)
    raw.send(bytes([KEX_ECDH_INIT]))
    assert raw.ended()


@pytest.mark.parametrize("length", [0, 1, 4, 11, 12, 35_001, 1 << 20, 1 << 31, (1 << 32) - 1])
def test_a_length_that_is_none(target: Target, length: int) -> None:
    raw = Raw(target.port)
    raw.socket.sendall(struct.pack(">I", length) + b"\x04" + os.urandom(40_000))
    assert raw.ended()


def test_a_wrong_guess_is_passed_over(target: Target) -> None:
    raw = Raw(target.port)
    raw.send_kexinit(strict=False, kex=("sntrup761x25519-sha512@openssh.com", "curve25519-sha256"), guess=True)
    raw.send(bytes([KEX_ECDH_INIT]) + string(os.urandom(1190)))
    raw.send(bytes([KEX_ECDH_INIT]) + string(X25519PrivateKey.generate().public_key().public_bytes_raw()))
    assert raw.receive()[0] == KEX_ECDH_REPLY


@pytest.mark.parametrize("point", [bytes(32), b"\x01" + bytes(31), b"", os.urandom(31), os.urandom(5000)], ids=len)
def test_points_that_give_a_known_secret(target: Target, point: bytes) -> None:
    raw = Raw(target.port)
    raw.send_kexinit(strict=True)
    raw.send(bytes([KEX_ECDH_INIT]) + string(point))
    assert raw.ended()


def test_who_does_not_log_in_is_cut_in_time(target: Target) -> None:
    """However far it came: after TCP, after the greeting, in the key exchange."""
    waiting = [Raw(target.port, greet=step > 0) for step in range(2) for _ in range(8)]
    for raw in waiting[8:12]:
        raw.send_kexinit(strict=True)
    start = time.monotonic()
    assert all(raw.ended(30) for raw in waiting)
    assert time.monotonic() - start < 20, "login_timeout_seconds is 5"


# ---------------------------------------------------------------- logging in


class Borrowed(asyncssh.SSHKeyPair):
    """One's public key, signed for by another."""

    def __init__(self, shown: asyncssh.SSHKey, signs: asyncssh.SSHKey) -> None:
        super().__init__(shown.algorithm, shown.algorithm, [shown.algorithm], [shown.algorithm], shown.public_data, b"")
        self._signs = signs

    def sign(self, data: bytes) -> bytes:
        return self._signs.sign(data, self.sig_algorithm)


def test_a_key_that_was_only_offered_counts_for_nothing(target: Target) -> None:
    mine, theirs = asyncssh.read_private_key(target.key), asyncssh.read_private_key(target.other)
    borrowed = Borrowed(mine, theirs)

    async def comes_in(name: str, *keys: Any) -> bool:
        try:
            async with (
                target.client(name, list(keys)) as connection,
                connection.start_sftp_client() as sftp,
                sftp.open("leveringen/x.age", "wb") as file,
            ):
                await file.write(b"x")
            return True
        except asyncssh.PermissionDenied:
            return False

    assert not target.intake.run(comes_in("cito", borrowed, theirs))
    assert target.intake.run(comes_in("boom", borrowed, theirs))
    assert [drop.vendor for drop in drops(target.home)] == ["boom"]


def test_a_client_that_says_it_is_logged_in(target: Target) -> None:
    with paramiko.Transport(("127.0.0.1", target.port)) as transport:
        transport.start_client(timeout=20)
        tell(transport, bytes([USERAUTH_SUCCESS]))
        with suppress(EOFError, OSError):
            tell(transport, bytes([CHANNEL_OPEN]) + string(b"session") + struct.pack(">III", 0, 1 << 20, 32768))
        transport.join(20)
        assert not transport.is_active()


@pytest.mark.parametrize("exponent, modulus", [(3, 30_000), (30_000, 3), (15_000, 15_000), (3, 600), (1, 256), (0, 256)])
def test_keys_with_absurd_numbers_cost_no_time(target: Target, exponent: int, modulus: int) -> None:
    blob = string(b"ssh-rsa") + string(b"\x7f" * exponent) + string(b"\x7f" + b"\xff" * (modulus - 1))
    signature = string(string(b"rsa-sha2-512") + string(b"\x7f" * modulus))
    asked = string(b"cito") + string(b"ssh-connection") + string(b"publickey")
    with paramiko.Transport(("127.0.0.1", target.port)) as transport:
        transport.start_client(timeout=20)
        tell(transport, bytes([SERVICE_REQUEST]) + string(b"ssh-userauth"))
        tell(transport, bytes([USERAUTH_REQUEST]) + asked + b"\x01" + string(b"rsa-sha2-512") + string(blob) + signature)
        start = time.monotonic()
        target.still_serves()
        assert time.monotonic() - start < 3
        assert not transport.is_authenticated()


def test_a_principal_with_a_comma_is_one_principal(target: Target) -> None:
    ca, key = asyncssh.generate_private_key("ssh-ed25519"), asyncssh.generate_private_key("ssh-ed25519")
    ca.write_public_key(target.folder / "ca.pub")
    base = [sys.executable, "-m", "gateway.cli", "--home", str(target.home.path), "vendor", "ca", "add", "cito"]
    subprocess.run(
        [*base, "--key", str(target.folder / "ca.pub"), "--principal", "levering", "--principal", "tweede"], check=True, cwd=ROOT
    )

    async def comes_in(*principals: str) -> bool:
        certificate = ca.generate_user_certificate(key, "nachtlevering", principals=list(principals))
        try:
            async with target.client("cito", [(key, certificate)]):
                return True
        except asyncssh.PermissionDenied:
            return False

    assert target.intake.run(comes_in("levering"))
    assert not target.intake.run(comes_in("levering,tweede"))
    assert not target.intake.run(comes_in("a,levering", "levering*", "*"))


# ---------------------------------------------------------------- logged in


@pytest.mark.parametrize("command", [
    "rsync --server -vlogDtpre.iLsfxC . /leveringen", "scp -t -- /leveringen", "scp -f /etc/passwd", "git-upload-pack '/'",
    "sftpgo-copy a b", "sftpgo-remove a", "md5sum /etc/passwd", "cd /", "pwd", "internal-sftp", "/usr/lib/openssh/sftp-server",
])  # fmt: skip
def test_there_is_no_command(target: Target, command: str) -> None:
    async def asked() -> str:
        async with target.client() as connection:
            try:
                done = await connection.run(command, timeout=20)
            except (asyncssh.ChannelOpenError, asyncssh.ProcessError, asyncssh.ConnectionLost) as error:
                return type(error).__name__
            return str(done.stdout)

    assert target.intake.run(asked()) in ("ChannelOpenError", "ProcessError", "ConnectionLost")


@pytest.mark.parametrize("kind", ["direct-tcpip", "forwarded-tcpip", "x11", "auth-agent@openssh.com"])
def test_channels_that_are_refused_leave_nothing(target: Target, kind: str) -> None:
    with paramiko.Transport(("127.0.0.1", target.port)) as transport:
        transport.connect(username="cito", pkey=paramiko.PKey.from_path(target.key))
        for _ in range(300):
            with pytest.raises(paramiko.ChannelException):
                transport.open_channel(kind, ("127.0.0.1", 22), ("127.0.0.1", 1), timeout=20)
        session = paramiko.SFTPClient.from_transport(transport)
        assert session is not None and session.listdir("leveringen") == []


OUTSIDE = [
    "/etc/{}", "//etc/{}", "../etc/{}", "/leveringen/../etc/{}", "leveringen/../../../../etc/{}", "/leveringen/./../../etc/{}",
    "/./../etc/{}", "leveringen//..//..//etc/{}", "..\\..\\etc\\{}", "leveringen/..\\..\\etc/{}", "%2e%2e/etc/{}",
    "/leveringen/%00/../../etc/{}",
    "~root/{}", "/proc/self/root/etc/{}", "sleutels/../../../etc/{}", "/leveringen/\u2025/etc/{}", "/leveringen/\uff0e\uff0e/etc/{}",
]  # fmt: skip

LOOKS: dict[str, Callable[[Any, str], object]] = {
    "stat": lambda session, path: session.stat(path),
    "lstat": lambda session, path: session.lstat(path),
    "list": lambda session, path: session.listdir(path),
    "read": lambda session, path: session.open(path, "rb"),
    "write": lambda session, path: session.open(path, "wb"),
    "readlink": lambda session, path: session.readlink(path),
    "rename": lambda session, path: session.rename(path, "leveringen/x.age"),
}


@pytest.mark.parametrize("look", LOOKS)
def test_what_is_outside_the_folders_is_not_told_of(target: Target, look: str) -> None:
    """A file that is there and one that is not are refused in the same words."""
    with sftp_session(target.port, "cito", target.key) as session:
        for path in OUTSIDE:
            said = []
            for name in ("passwd", "passwa"):
                with pytest.raises((OSError, UnicodeError)) as refused:
                    LOOKS[look](session, path.format(name))
                said.append(str(refused.value))
            assert said[0] == said[1], path
    assert drops(target.home) == []


@pytest.mark.parametrize(
    "path", ["leveringen/../sleutels/x.age", "/leveringen/./../ontvangst/x.age", "ontvangst//x.age", "leveringen/../x.age"]
)
def test_a_folders_rights_are_not_walked_around(target: Target, path: str) -> None:
    with sftp_session(target.port, "cito", target.key) as session:
        with pytest.raises(OSError):
            session.open(path, "wb")
        with pytest.raises(OSError):
            session.open("leveringen/../sleutels/sluis.age.txt", "rb")


@pytest.mark.parametrize("name", [b'"\\', b'x"y\\".age', b"'; rm -rf '.age\"", b"\\\\x.age\\", b"$(id)\\.age", b'`id`\\".age'], ids=repr)
def test_quotes_and_backslashes_are_only_letters(target: Target, name: bytes) -> None:
    with sftp_session(target.port, "cito", target.key) as session, pytest.raises(OSError, match=r"\[name-"):
        session.open(b"leveringen/" + name, "wb")


def test_paths_without_end(target: Target) -> None:
    with sftp_session(target.port, "cito", target.key) as session:
        for path in ("leveringen/" + "x" * 200_000, "/" * 200_000, "leveringen/" + "../leveringen/" * 10_000 + "x.age", "é" * 100_000):
            for look in LOOKS.values():
                with suppress(OSError):
                    look(session, path)
        assert session.listdir("leveringen") == []


def test_requests_in_pieces_of_every_size(target: Target) -> None:
    """The rest of a request may come in any pieces, also larger than what was announced for the first."""
    data = os.urandom(200_000)
    write = struct.pack(">IBII4sQI", 25 + len(data), 6, 2, 4, bytes(4), 0, len(data)) + data

    async def sent() -> None:
        async with target.client() as connection:
            writer, reader, _ = await connection.open_session(subsystem="sftp", encoding=None)
            path, flags = b"leveringen/pieces.age", struct.pack(">II", 2 | 8 | 16, 0)
            opened = struct.pack(">BI", 3, 1) + string(path) + flags
            writer.write(struct.pack(">IBI", 5, 1, 3) + struct.pack(">I", len(opened)) + opened)
            _version = await reader.readexactly(struct.unpack(">I", await reader.readexactly(4))[0])
            handle = (await reader.readexactly(struct.unpack(">I", await reader.readexactly(4))[0]))[9:13]
            whole = write[:13] + handle + write[17:]
            at = 0
            for size in (1, 3, 1, 7, 30, 1, 100_000, 2, len(whole)):
                writer.write(whole[at : at + size])
                await writer.drain()
                at += size
            writer.write(struct.pack(">IBII4s", 13, 4, 3, 4, handle))
            for _ in range(2):
                answer = await reader.readexactly(struct.unpack(">I", await reader.readexactly(4))[0])
                assert answer[5:9] == bytes(4), answer

    target.intake.run(sent())
    (drop,) = drops(target.home)
    assert content(target.home, drop) == data


def tell(transport: Any, message: bytes) -> None:
    transport._send_message(paramiko.Message(message))


# ---------------------------------------------------------------- the record


def test_the_record_names_tests_that_exist() -> None:
    header, _, *rows = [line for line in RECORD.read_text(encoding="utf-8").splitlines() if line.startswith("|")]
    assert header.startswith("| weakness") and len(rows) > 40
    defined = {name for path in (ROOT / "tests").rglob("test_*.py") for name in re.findall(r"def (test_\w+)", path.read_text())}
    for row in rows:
        _weakness, _server, _what, here = (cell.strip() for cell in row.strip("|").split("|"))
        named = re.findall(r"`(test_\w+)`", here)
        assert named or here.startswith("does not apply: "), row
        assert set(named) <= defined, f"{set(named) - defined} in {row}"
    own = set(re.findall(r"def (test_\w+)", Path(__file__).read_text())) - {"test_the_record_names_tests_that_exist"}
    unnamed = {name for name in own if f"`{name}`" not in RECORD.read_text()}
    assert not unnamed, f"tests that no row names: {unnamed}"
