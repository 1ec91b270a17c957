"""The short way through asyncssh: that its private parts are where they were, and that both ways do the same with real clients."""

import ast
import asyncio
import os
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import asyncssh
import pytest
from asyncssh.channel import SSHChannel
from asyncssh.connection import SSHConnection
from asyncssh.constants import MSG_CHANNEL_DATA, MSG_IGNORE, MSG_UNIMPLEMENTED
from asyncssh.encryption import GCMEncryption, get_encryption
from asyncssh.packet import SSHPacket, String

from gateway.intake.files.names import Place
from gateway.intake.ssh import lean
from tests.support import sftp_packets as sftp
from tests.support.intake import make_key
from tests.support.memory_folders import KEY
from tests.support.sftp_server import Everybody, MemoryServer, client_options, memory_server

X = Place("leveringen", "x.age")


@pytest.fixture(params=[True, False], ids=["lean", "plain"])
def server(request: pytest.FixtureRequest) -> Iterator[MemoryServer]:
    with memory_server(request.param) as running:
        yield running


@pytest.fixture
def short() -> Iterator[MemoryServer]:
    with memory_server() as running:
        yield running


def until(what: Callable[[], object]) -> None:
    end = time.monotonic() + 30
    while not what():
        assert time.monotonic() < end
        time.sleep(0.005)


# ---------------------------------------------------------------- private parts


def test_private_parts_are_where_they_were() -> None:
    assert lean.MOVED == [], (
        f"asyncssh {asyncssh.__version__} has moved {lean.MOVED}: see gateway/intake/ssh/lean.py; the slower way is taken"
    )


def test_a_moved_part_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(SSHConnection, "_recv_pkthdr")
    monkeypatch.setattr(lean, "CHANNEL_ATTRIBUTES", (*lean.CHANNEL_ATTRIBUTES, "_gone"))
    assert lean.moved_parts() == ["SSHConnection._recv_pkthdr", "SSHChannel()._gone"]


def test_what_is_leaned_on_is_listed(project: Path) -> None:
    """Every private name of the library in lean.py stands in its lists, or is the file's own."""
    tree = ast.parse((project / "gateway/intake/ssh/lean.py").read_text())
    used = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute) and node.attr.startswith("_") and "__" not in node.attr}
    own = {name for kind in (lean.LeanConnection, lean._Gcm, lean._Reader, lean._Buffers) for name in vars(kind)}
    own |= {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store)}
    listed = {name for _, names in lean.PARTS for name in names} | {*lean.CONNECTION_ATTRIBUTES, *lean.CHANNEL_ATTRIBUTES}
    of_gcm = {"_cipher", "_key", "_iv"}
    assert used - own - listed - of_gcm == set()


def test_the_channel_still_does_what_the_short_way_leaves_out() -> None:
    """What _deliver assumes of the code it goes around; when this fails, read the new code, then correct both."""
    names = SSHChannel._process_data.__code__.co_names
    assert {"_recv_state", "get_string", "check_end", "_recv_window", "_accept_data"} <= set(names)
    assert set(names) <= {
        "_recv_state", "ProtocolError", "get_string", "check_end", "len", "_recv_window", "logger", "debug2", "_accept_data",
    }  # fmt: skip
    assert set(SSHChannel._accept_data.__code__.co_names) == {
        "_send_state", "_recv_window", "len", "_recv_paused", "_recv_buf", "append", "_deliver_data",
    }  # fmt: skip


def test_the_cipher_is_the_librarys() -> None:
    """Packet by packet, both directions, with a nonce about to overflow its 64 bits, and a forged packet."""
    key, iv = os.urandom(16), os.urandom(4) + b"\xff" * 7 + b"\xfd"
    theirs, ours = get_encryption(b"aes128-gcm@openssh.com", key, iv), lean._quicker(get_encryption(b"aes128-gcm@openssh.com", key, iv))
    back, mine = get_encryption(b"aes128-gcm@openssh.com", key, iv), lean._quicker(get_encryption(b"aes128-gcm@openssh.com", key, iv))
    assert isinstance(theirs, GCMEncryption) and isinstance(ours, lean._Gcm) and isinstance(mine, lean._Gcm) and back is not None
    scratch = memoryview(bytearray(64))
    for number in range(6):
        header, packet = b"\0\0\0\x20", os.urandom(32)
        sent, mac = theirs.encrypt_packet(number, header, packet)
        assert b"".join(ours.encrypt_packet(number, header, packet)) == sent + mac
        forged = bytearray(sent + mac)
        forged[9] ^= 1
        assert not mine.decrypt_into(memoryview(header), memoryview(forged)[4:], scratch[:32])
        if number % 2:
            assert mine.decrypt_into(memoryview(header), memoryview(sent + mac)[4:], scratch[:32])
            assert scratch[:32] == packet
        else:
            assert mine.decrypt_packet(number, sent[:16], sent[16:], 4, mac) == packet
        assert back.decrypt_packet(number, sent[:16], sent[16:], 4, mac) == packet
    assert mine.decrypt_packet(9, b"\0\0\0\x20" + bytes(12), bytes(20), 4, bytes(16)) is None


# ---------------------------------------------------------------- the same with either


def put(server: MemoryServer, folder: Path, data: bytes, *options: str) -> None:
    """OpenSSH's sftp."""
    (folder / "x").write_bytes(data)
    key = folder / "id"
    if not key.exists():
        make_key(folder)
    done = subprocess.run(
        ["sftp", "-F", "/dev/null", "-b", "-", "-i", str(key), "-P", str(server.port), "-oStrictHostKeyChecking=no",
         "-oUserKnownHostsFile=/dev/null", "-oLogLevel=ERROR", *options, "cito@127.0.0.1"],
        input=f"put {folder / 'x'} leveringen/x.age\nget sleutels/sluis.age.txt {folder / 'key'}\n",
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert (folder / "key").read_bytes() == KEY


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [
        ["-c", "aes128-gcm@openssh.com"],
        ["-c", "aes256-gcm@openssh.com"],
        ["-c", "aes256-ctr"],
        ["-c", "aes128-ctr", "-oMACs=hmac-sha2-256"],
        ["-c", "chacha20-poly1305@openssh.com"],
        ["-c", "aes128-gcm@openssh.com", "-oRekeyLimit=1M"],
        ["-c", "aes256-ctr", "-oRekeyLimit=1M"],
        ["-c", "aes128-gcm@openssh.com", "-B", "3000", "-R", "200"],
    ],
    ids=["gcm128", "gcm256", "ctr-etm", "ctr-mac", "chacha", "gcm-rekey", "ctr-rekey", "small-pieces"],
)
def test_openssh_puts_and_gets(server: MemoryServer, tmp_path: Path, options: list[str]) -> None:
    data = os.urandom(9_000_000)
    put(server, tmp_path, data, *options)
    assert server.memory.delivered == {X: data}


@pytest.mark.slow
def test_the_server_asks_for_new_keys_too(tmp_path: Path) -> None:
    for way in (True, False):
        with memory_server(way, rekey_bytes=2000) as server:
            put(server, tmp_path, bytes(5_000_000), "-B", "4000")
            assert server.memory.delivered == {X: bytes(5_000_000)}


def test_an_asyncssh_client_with_large_pieces_and_two_channels(server: MemoryServer) -> None:
    one, two = os.urandom(3_000_000), os.urandom(2_000_000)

    async def deliver(connection: asyncssh.SSHClientConnection, name: str, data: bytes) -> None:
        async with connection.start_sftp_client() as client, client.open(name, "wb") as file:
            await file.write(data)

    async def scene() -> None:
        async with asyncssh.connect(**client_options(server)) as connection:
            await asyncio.gather(deliver(connection, "leveringen/x.age", one), deliver(connection, "leveringen/y.age", two))

    asyncio.run(scene())
    assert server.memory.delivered == {X: one, Place("leveringen", "y.age"): two}


def test_writes_that_wait(tmp_path: Path) -> None:
    """The session pauses in the middle of a burst: what comes behind waits in the channel, and nothing is overtaken."""
    data = os.urandom(5_000_000)

    async def scene(server: MemoryServer) -> None:
        async with (
            asyncssh.connect(**client_options(server)) as connection,
            connection.start_sftp_client() as client,
            client.open("leveringen/x.age", "wb", block_size=10_000, max_requests=500) as file,
        ):
            await file.write(data)

    for way in (True, False):
        with memory_server(way, patience=3) as server:
            asyncio.run(scene(server))
            assert server.memory.delivered == {X: data}


def test_strict_key_exchange_is_kept(server: MemoryServer, tmp_path: Path) -> None:
    """The sequence numbers start again with new keys on both sides (else a MAC would fail), and Terrapin's door stays shut."""
    make_key(tmp_path)
    done = subprocess.run(
        ["ssh", "-vvv", "-F", "/dev/null", "-i", str(tmp_path / "id"), "-p", str(server.port), "-oStrictHostKeyChecking=no", "-caes256-ctr",
         "-oUserKnownHostsFile=/dev/null", "-s", "cito@127.0.0.1", "sftp"],
        input=sftp.init(), capture_output=True, timeout=60,
    )  # fmt: skip
    assert b"will use strict KEX ordering" in done.stderr
    assert b"resetting send seqnr" in done.stderr
    assert done.stdout.startswith(b"\0\0\0") and done.stdout[4] == 2


def test_a_login_that_fails_is_told_to_whoever_accepted(server: MemoryServer) -> None:
    async def scene() -> None:
        with pytest.raises(asyncssh.PermissionDenied):
            await asyncssh.connect(**client_options(server, username="nobody"))

    asyncio.run(scene())
    until(lambda: server.connections and server.connections[0].gone.is_set())


def test_the_end_of_the_line_is_noticed(server: MemoryServer) -> None:
    async def scene() -> None:
        connection = await asyncssh.connect(**client_options(server))
        client = await connection.start_sftp_client()
        file = await client.open("leveringen/x.age", "wb")
        await file.write(b"half")
        connection.abort()

    asyncio.run(scene())
    until(lambda: server.connections[0].gone.is_set())
    until(lambda: server.sessions[0]._task is None and server.sessions[0]._over)
    assert server.memory.delivered == {}
    assert server.memory.unfinished == {X: b"half"}


# ---------------------------------------------------------------- the short way is taken, and bounded


def test_bulk_takes_the_short_way(short: MemoryServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise everything above would pass without it."""
    delivered, processed = [], []
    deliver, process = lean.LeanConnection._deliver, SSHChannel._process_data

    def count(self: Any, packet: memoryview) -> bool:
        delivered.append(taken := deliver(self, packet))
        return taken

    def other(self: Any, *given: Any) -> None:
        if not isinstance(self, asyncssh.SSHClientChannel):
            processed.append(given)
        process(self, *given)

    monkeypatch.setattr(lean.LeanConnection, "_deliver", count)
    monkeypatch.setitem(SSHChannel._packet_handlers, MSG_CHANNEL_DATA, other)

    async def scene() -> None:
        async with (
            asyncssh.connect(**client_options(short)) as connection,
            connection.start_sftp_client() as client,
            client.open("leveringen/x.age", "wb") as file,
        ):
            await file.write(bytes(4_000_000))

    asyncio.run(scene())
    assert delivered.count(True) > 60
    assert len(processed) < 5


def test_packets_are_counted_on_the_short_way_too(short: MemoryServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A message that nobody knows is answered with its number, which counts all that went before."""
    told: list[int] = []

    def unimplemented(self: Any, _kind: int, _number: int, packet: SSHPacket) -> None:
        told.append(packet.get_uint32())

    monkeypatch.setitem(SSHConnection._packet_handlers, MSG_UNIMPLEMENTED, unimplemented)

    async def scene() -> int:
        async with asyncssh.connect(**client_options(short)) as connection:
            writer, reader, _ = await connection.open_session(subsystem="sftp", encoding=None)
            writer.write(sftp.init())
            for number in range(100):
                writer.write(sftp.stat(number, b"/"))
            await reader.readexactly(100)
            sent = connection._send_seq + 1  # an MSG_IGNORE goes before it
            connection.send_packet(192)
            while not told:
                await asyncio.sleep(0.005)
            return sent

    sent = asyncio.run(scene())
    assert told == [sent]


def raw(server: MemoryServer) -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.port), 20)


def test_a_packet_before_the_login_is_small(short: MemoryServer) -> None:
    with raw(short) as line:
        line.sendall(b"SSH-2.0-x\r\n" + (lean.LONGEST_BEFORE_LOGIN + 1).to_bytes(4, "big") + bytes(12))
        while line.recv(4096):
            pass
    until(lambda: short.connections[0].gone.is_set())
    assert isinstance(short.connections[0].lost, asyncssh.ProtocolError)


class Slow(Everybody):
    """Takes its time with a login, until it is let go on."""

    asked = threading.Event()
    go_on: asyncio.Event

    async def begin_auth(self, username: str) -> bool:  # type: ignore[override]
        Slow.go_on = asyncio.Event()
        Slow.asked.set()
        await Slow.go_on.wait()
        return False


def test_who_sends_on_while_a_message_is_worked_on_is_not_read(short: MemoryServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A login that takes its time, and a client that pours in the meantime: the endpoint does not keep what it pours."""
    monkeypatch.setattr("tests.support.sftp_server.Everybody", Slow)
    lines = []

    class Pouring(asyncssh.SSHClient):
        def connection_made(self, conn: asyncssh.SSHClientConnection) -> None:
            lines.append(conn)

    async def scene() -> int:
        connecting = asyncio.ensure_future(asyncssh.connect(**client_options(short, client_factory=Pouring)))
        await asyncio.to_thread(Slow.asked.wait, 30)
        for _ in range(2000):
            lines[0].send_packet(MSG_IGNORE, String(bytes(30_000)))
        connection = short.connections[0].connection
        while not connection._resting:
            await asyncio.sleep(0.005)
        await asyncio.sleep(0.1)  # it would pour on, if it were let
        most = len(connection._inpbuf)
        short.loop.call_soon_threadsafe(Slow.go_on.set)
        (await connecting).close()  # and all of it is read after all
        return most

    most = asyncio.run(asyncio.wait_for(scene(), 60))
    assert lean.MOST_WAITING < most <= lean.MOST_WAITING + lean.READ_BEFORE_LOGIN


def test_who_does_not_read_its_answers_is_not_answered(server: MemoryServer) -> None:
    """2 GB of answers asked for, none read: the endpoint makes and keeps a few MiB of them."""
    server.memory.readable[Place("ontvangst", "big.txt")] = os.urandom(200_000)
    made = []
    real = server.metrics.bytes_out
    server.metrics.bytes_out = lambda n: (made.append(n), real(n))[1]  # type: ignore[method-assign,func-returns-value]

    async def scene() -> None:
        connection = await asyncssh.connect(**client_options(server, window=1 << 30))
        writer, reader, _ = await connection.open_session(subsystem="sftp", encoding=None)
        writer.write(sftp.init() + sftp.open_(1, b"ontvangst/big.txt", sftp.READ))
        await reader.readexactly(9)
        connection._transport.pause_reading()
        writer.write(b"".join(sftp.read(n, b"\0\0\0\1", 0, 200_000) for n in range(10_000)))
        before = -1
        while len(made) != before or not made:
            before = len(made)
            await asyncio.sleep(0.5)
        connection.abort()

    asyncio.run(asyncio.wait_for(scene(), 60))
    assert sum(made) < 40_000_000, "what the kernel's buffers on both sides take, and a little more"
