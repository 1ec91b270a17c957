"""Clients that break the protocol on purpose, below SFTP: each is answered, held back or cut, and nobody else notices.

The clients are asyncssh's own, made to send what it never would, and raw bytes. What stands behind the transport is in memory.
"""

import asyncio
import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import asyncssh
import pytest
from asyncssh.constants import (
    MSG_CHANNEL_CLOSE,
    MSG_CHANNEL_DATA,
    MSG_CHANNEL_EOF,
    MSG_CHANNEL_EXTENDED_DATA,
    MSG_CHANNEL_REQUEST,
    MSG_CHANNEL_WINDOW_ADJUST,
    MSG_DEBUG,
    MSG_GLOBAL_REQUEST,
    MSG_IGNORE,
)
from asyncssh.packet import Boolean, String, UInt32

from gateway.intake.files.folders import Facts
from gateway.intake.files.names import Place
from gateway.intake.ssh.algorithms import WINDOW
from tests.support import sftp_packets as sftp
from tests.support.memory_folders import MemoryFolders
from tests.support.raw_sftp import HANDLE, Line, X, line_to, play
from tests.support.sftp_server import MemoryServer, client_options, memory_server


@pytest.fixture(params=[True, False], ids=["lean", "plain"])
def server(request: pytest.FixtureRequest) -> Iterator[MemoryServer]:
    with memory_server(request.param) as started:
        yield started


async def others_are_served(server: MemoryServer) -> None:
    async with line_to(server) as line:
        assert (await line.ask(sftp.stat(1, b"/"))).kind == 105


# ---------------------------------------------------------------- packets, windows, channels

BREAKING: dict[str, Callable[[Line], Any]] = {
    "data that is longer than its message": lambda line: line.message(MSG_CHANNEL_DATA, UInt32(1000), b"short"),
    "data that is 4 GiB long": lambda line: line.message(MSG_CHANNEL_DATA, UInt32(0xFFFFFFFF), b"short"),
    "data that is shorter than its message": lambda line: line.message(MSG_CHANNEL_DATA, UInt32(3), b"longer"),
    "data without a length": lambda line: line.message(MSG_CHANNEL_DATA, b"\0\0"),
    "data without a channel": lambda line: line.connection.send_packet(MSG_CHANNEL_DATA, b"\0"),
    "data for a channel that is not there": lambda line: line.connection.send_packet(MSG_CHANNEL_DATA, UInt32(77), String(b"x")),
    "data after the end of data": lambda line: [line.message(MSG_CHANNEL_EOF), line.message(MSG_CHANNEL_DATA, String(b"x"))],
    "data on stderr": lambda line: line.message(MSG_CHANNEL_EXTENDED_DATA, UInt32(1), String(b"x")),
    "a window without a number": lambda line: line.message(MSG_CHANNEL_WINDOW_ADJUST, b"\0\0"),
    "a request without a name": lambda line: line.message(MSG_CHANNEL_REQUEST, UInt32(900)),
    "a request that is no ASCII": lambda line: line.message(MSG_CHANNEL_REQUEST, String(b"\xff"), Boolean(True)),
    "a packet of 4 GiB": lambda line: line.connection._transport.write(b"\xff\xff\xff\xff" + os.urandom(64)),
    "a packet of 1 MiB": lambda line: line.connection._transport.write((1 << 20).to_bytes(4, "big") + os.urandom(64)),
    "a packet of nothing": lambda line: line.connection._transport.write(bytes(4) + os.urandom(64)),
    "a forged packet": lambda line: line.connection._transport.write((64).to_bytes(4, "big") + os.urandom(80)),
    "key exchange out of turn": lambda line: line.connection.send_packet(30, String(b"x")),
    "new keys out of turn": lambda line: line.connection.send_packet(21),
    "a login after the login": lambda line: line.connection.send_packet(52),
    "another service": lambda line: line.connection.send_packet(5, String(b"ssh-userauth")),
    "an answer that nobody waits for": lambda line: line.message(99),
}


@pytest.mark.parametrize("how", BREAKING)
def test_who_breaks_the_connection_protocol_is_cut(server: MemoryServer, how: str) -> None:
    """At once, with what was sent before not delivered."""

    async def scene() -> None:
        async with line_to(server) as line:
            await line.ask(sftp.open_(1, X))
            await line.ask(sftp.write(2, HANDLE, 0, b"half"))
            BREAKING[how](line)
            await line.ended()
        await others_are_served(server)

    play(scene)
    assert server.memory.delivered == {}
    assert server.memory.unfinished == {Place("leveringen", "x.age"): b"half"}


def test_more_than_the_window(server: MemoryServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """While a session waits for an answer, what comes behind waits too: as much as the window allows, and whoever sends more is cut."""
    answered = asyncio.Event()
    facts = MemoryFolders.facts

    async def late(self: MemoryFolders, place: Place) -> Facts:
        await answered.wait()
        return await facts(self, place)

    monkeypatch.setattr(MemoryFolders, "facts", late)

    async def scene() -> None:
        async with line_to(server) as line:
            line.writer.write(sftp.stat(1, b"/"))
            for _ in range(WINDOW // 60_000 - 1):
                line.message(MSG_CHANNEL_DATA, String(bytes(60_000)))
            await asyncio.sleep(0.1)
            assert not line.connection.is_closed(), "that much is allowed"
            for _ in range(3):
                line.message(MSG_CHANNEL_DATA, String(bytes(60_000)))
            await line.ended()
            while not server.connections[0].gone.is_set():
                await asyncio.sleep(0.005)
            assert str(server.connections[0].lost) == "Window exceeded"

    try:
        play(scene)
    finally:
        server.loop.call_soon_threadsafe(answered.set)


@pytest.mark.parametrize("lean", [True, False])
def test_one_message_that_is_more_than_the_window(lean: bool) -> None:
    async def scene() -> None:
        async with line_to(server) as line:
            line.message(MSG_CHANNEL_DATA, String(bytes(3001)))
            await line.ended()

    with memory_server(lean, window=3000) as server:
        play(scene)
        assert str(server.connections[0].lost) == "Window exceeded"


HARMLESS: dict[str, Callable[[Line], Any]] = {
    "many small messages": lambda line: [line.message(MSG_CHANNEL_DATA, String(b"")) for _ in range(3000)],
    "ignore": lambda line: [line.connection.send_packet(MSG_IGNORE, String(os.urandom(20_000))) for _ in range(300)],
    "debug": lambda line: [
        line.connection.send_packet(MSG_DEBUG, Boolean(True), String(b"\x1b[2J" * 999), String(b"")) for _ in range(300)
    ],
    "unknown messages": lambda line: [line.connection.send_packet(kind, b"x" * 99) for kind in (9, 192, 255) for _ in range(100)],
    "unknown global requests": lambda line: [
        line.connection.send_packet(MSG_GLOBAL_REQUEST, String(b"no-such@example.org"), Boolean(False)) for _ in range(1000)
    ],
    "windows beyond all bounds": lambda line: [line.message(MSG_CHANNEL_WINDOW_ADJUST, UInt32(0xFFFFFFFF)) for _ in range(50)],
    "a second subsystem": lambda line: line.message(MSG_CHANNEL_REQUEST, String(b"subsystem"), Boolean(False), String(b"sftp")),
    "a shell beside it": lambda line: line.message(MSG_CHANNEL_REQUEST, String(b"shell"), Boolean(False)),
    "a signal": lambda line: line.message(MSG_CHANNEL_REQUEST, String(b"signal"), Boolean(False), String(b"KILL")),
    "an environment": lambda line: [
        line.message(MSG_CHANNEL_REQUEST, String(b"env"), Boolean(False), String(b"LD_PRELOAD%d" % n), String(b"x" * 999))
        for n in range(999)
    ],
}


@pytest.mark.parametrize("how", HARMLESS)
def test_what_is_odd_but_allowed_changes_nothing(server: MemoryServer, how: str) -> None:
    async def scene() -> None:
        async with line_to(server) as line:
            await line.ask(sftp.open_(1, X))
            HARMLESS[how](line)
            assert (await line.ask(sftp.write(2, HANDLE, 0, b"whole"))).code == 0
            assert (await line.ask(sftp.close(3, HANDLE))).code == 0

    play(scene)
    assert server.memory.delivered == {Place("leveringen", "x.age"): b"whole"}


def test_an_environment_is_not_kept() -> None:
    async def scene() -> None:
        async with line_to(server) as line:
            HARMLESS["an environment"](line)
            await line.ask(sftp.stat(1, b"/"))
            channel = server.sessions[0]._channel
            assert channel.get_environment_bytes() == {}

    with memory_server() as server:
        play(scene)


@pytest.mark.parametrize("asked", [{"command": "id"}, {}, {"subsystem": "netconf"}, {"command": "scp -t /", "term_type": "xterm"}], ids=str)
def test_there_is_nothing_but_sftp(server: MemoryServer, asked: dict[str, Any]) -> None:
    async def scene() -> None:
        async with asyncssh.connect(**client_options(server)) as connection:
            with pytest.raises(asyncssh.ChannelOpenError):
                await connection.open_session(**asked)
            for opening in (connection.open_connection("127.0.0.1", 22), connection.open_unix_connection("/run/x")):
                with pytest.raises(asyncssh.ChannelOpenError):
                    await opening
            for listening in (connection.forward_remote_port("", 0, "127.0.0.1", 22), connection.forward_remote_path("/run/x", "/run/y")):
                with pytest.raises(asyncssh.ChannelListenError):
                    await listening

    play(scene)


def test_answers_come_byte_by_byte_when_the_window_does(server: MemoryServer) -> None:
    async def scene() -> None:
        connection = await asyncssh.connect(**client_options(server, window=1))
        writer, reader, _ = await connection.open_session(subsystem="sftp", encoding=None)
        line = Line(connection, writer, reader)
        writer.write(sftp.init() + b"".join(sftp.stat(n, b"/") for n in range(20)))
        said = [await line.answer() for _ in range(21)]
        assert [answer.number for answer in said] == [3, *range(20)]
        connection.abort()
        await connection.wait_closed()

    play(scene)


@pytest.mark.parametrize("channel_end", [MSG_CHANNEL_EOF, MSG_CHANNEL_CLOSE, None], ids=["eof", "close", "abort"])
def test_however_it_ends_only_a_close_delivers(server: MemoryServer, channel_end: int | None) -> None:
    async def scene() -> None:
        async with line_to(server) as line:
            await line.ask(sftp.open_(1, X))
            await line.ask(sftp.write(2, HANDLE, 0, b"half"))
            if channel_end is not None:
                line.message(channel_end)
                await line.reader.read()
        while not server.connections[0].gone.is_set():
            await asyncio.sleep(0.005)
        await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(server.sessions[0].settled(), server.loop))

    play(scene)
    assert server.memory.delivered == {}


def test_a_slow_trickle_holds_nobody_up(server: MemoryServer) -> None:
    """A hundred clients, a byte at a time, each byte a message; another one works meanwhile."""

    async def trickle() -> None:
        async with line_to(server) as line:
            name = b"leveringen/%x.age" % id(line)
            said = sftp.open_(1, name) + sftp.write(2, HANDLE, 0, b"trickled") + sftp.close(3, HANDLE)
            for byte in said:
                line.message(MSG_CHANNEL_DATA, String(bytes((byte,))))
                await asyncio.sleep(0.001)
            assert [(await line.answer()).number for _ in range(3)] == [1, 2, 3]

    async def scene() -> None:
        slow = [asyncio.ensure_future(trickle()) for _ in range(25)]
        waits = []
        async with line_to(server) as line:
            while not all(one.done() for one in slow):
                began = time.monotonic()
                await line.ask(sftp.stat(1, b"/"))
                waits.append(time.monotonic() - began)
        await asyncio.gather(*slow)
        assert sorted(waits)[len(waits) // 2] < 0.25

    play(scene)
    assert list(server.memory.delivered.values()) == [b"trickled"] * 25


@pytest.mark.parametrize(
    "said", [b"\xff" * 100_000, b"GET / HTTP/1.1\r\n\r\n", b"SSH-1.5-x\r\n", b"SSH-2.0-" + b"x" * 9000, b"\0" * 9000, b""]
)
def test_what_is_no_ssh_is_cut(server: MemoryServer, said: bytes) -> None:
    with socket.create_connection(("127.0.0.1", server.port), 20) as plug, suppress(ConnectionError):
        plug.sendall(said)
        plug.shutdown(socket.SHUT_WR)
        while plug.recv(4096):
            pass
    play(lambda: others_are_served(server))
