"""Floods and storms against the real service: others are still served, memory stays bounded, and afterwards all is as it was."""

import asyncio
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import asyncssh
import paramiko  # type: ignore[import-untyped,unused-ignore]
import pytest
from paramiko.sftp import CMD_CLOSE  # type: ignore[import-untyped,unused-ignore]

from tests.support.intake import Deployed, content, deployed, drops, make_key, register, sftp_session, until
from tests.support.peers import family, pss_mib
from tests.support.raw_ssh import CHANNEL_OPEN, IGNORE, PING, Raw, string

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

#: how long a vendor may wait for its login while somebody floods the endpoint [s]
PATIENCE = 15.0

#: how much memory a flood may cost, all processes together [MiB]
SPARE_MIB = 24.0


@pytest.fixture
def case(tmp_path: Path) -> Iterator[Deployed]:
    with deployed(tmp_path, login_timeout_seconds=10, max_unauthenticated=40, max_unauthenticated_per_address=30) as case:
        # cito's own network is another one than that of the attacker, as in life
        other = make_key(tmp_path, "boom")
        register(case.home, "boom", other, "127.0.0.2/32")
        yield case


def login_from(case: Deployed, address: str = "127.0.0.2") -> float:
    """How long boom's login takes from its own network [s]."""
    start = time.monotonic()
    with paramiko.Transport(socket.create_connection(("127.0.0.1", case.port), PATIENCE, source_address=(address, 0))) as transport:
        transport.connect(username="boom", pkey=paramiko.PKey.from_path(case.folder / "boom"))
        session = paramiko.SFTPClient.from_transport(transport)
        assert session is not None and session.listdir("leveringen") == []
    return time.monotonic() - start


def memory(case: Deployed) -> float:
    return pss_mib(family(case.service.process.pid))


# ---------------------------------------------------------------- before the login


def test_a_flood_of_connections_leaves_room_for_a_vendor(case: Deployed) -> None:
    """Somebody opens connections as fast as it can, from one address, and says nothing, or only the greeting."""
    over = threading.Event()
    refused = 0

    def flood() -> None:
        nonlocal refused
        kept: list[socket.socket] = []
        while not over.is_set():
            with suppress(OSError):
                kept.append(socket.create_connection(("127.0.0.1", case.port), 5, source_address=("127.0.0.9", 0)))
                if len(kept) % 2:
                    kept[-1].sendall(b"SSH-2.0-flood\r\n")
            if len(kept) > 200:
                refused += sum(gone(each) for each in kept)
                for each in kept:
                    each.close()
                kept.clear()

    login_from(case)
    before = memory(case)
    attackers = [threading.Thread(target=flood) for _ in range(2)]
    for attacker in attackers:
        attacker.start()
    try:
        for _ in range(5):
            assert login_from(case) < PATIENCE
        assert memory(case) < before + SPARE_MIB
    finally:
        over.set()
        for attacker in attackers:
            attacker.join()
    assert refused > 0, "most of the flood was turned away"
    assert login_from(case) < PATIENCE


def gone(connection: socket.socket) -> bool:
    connection.settimeout(0.001)
    try:
        while connection.recv(4096):
            pass
    except TimeoutError:
        return False
    except OSError:
        return True
    return True


def test_a_storm_of_wrong_keys_leaves_room_for_a_vendor(case: Deployed) -> None:
    over = threading.Event()
    tried = []
    stranger = paramiko.PKey.from_path(make_key(case.folder, "stranger"))

    def storm() -> None:
        while not over.is_set():
            with (
                suppress(OSError, EOFError, paramiko.SSHException),
                paramiko.Transport(socket.create_connection(("127.0.0.1", case.port), 5, source_address=("127.0.0.9", 0))) as transport,
            ):
                transport.banner_timeout = transport.auth_timeout = 5
                tried.append(time.monotonic())
                transport.connect(username="cito", pkey=stranger)

    attackers = [threading.Thread(target=storm) for _ in range(4)]
    for attacker in attackers:
        attacker.start()
    try:
        for _ in range(5):
            assert login_from(case) < PATIENCE
        # and cito, whose account is being tried, comes in from elsewhere
        with paramiko.Transport(socket.create_connection(("127.0.0.1", case.port), PATIENCE, source_address=("127.0.0.3", 0))) as transport:
            transport.connect(username="cito", pkey=paramiko.PKey.from_path(case.key))
            assert transport.is_authenticated()
    finally:
        over.set()
        for attacker in attackers:
            attacker.join()
    assert tried


@pytest.mark.parametrize("message", [
    bytes([PING]) + string(b"x" * 1000),
    bytes([IGNORE]) + string(b"x" * 1000),
    bytes([80]) + string(b"keepalive@openssh.com") + b"\x01" + b"x" * 900,  # a global request that wants an answer
    bytes([82]) + b"x" * 900,  # an answer that nobody asked for
    bytes([CHANNEL_OPEN]) + string(b"session") + b"x" * 900,
], ids=["ping", "ignore", "request", "answer", "channel"])  # fmt: skip
def test_a_flood_before_the_login_is_not_kept(case: Deployed, message: bytes) -> None:
    """With keys, without a login, never reading an answer: until the login's time is over."""
    before = memory(case)
    with paramiko.Transport(("127.0.0.1", case.port)) as transport:
        transport.start_client(timeout=20)
        transport.sock.settimeout(5)
        with suppress(OSError, EOFError):
            for _ in range(20_000):
                if not transport.is_active():
                    break
                transport._send_message(paramiko.Message(message))
        assert memory(case) < before + SPARE_MIB
        until(lambda: not transport.is_active(), 30)
    assert login_from(case) < PATIENCE


def test_half_a_handshake_each(case: Deployed) -> None:
    """More connections than there is room for, each in the middle of its key exchange: all end in time, and their room is free again."""
    hanging = []
    for index in range(60):
        with suppress(OSError, EOFError, IndexError):
            raw = Raw(case.port, address=f"127.0.1.{1 + index % 4}")
            raw.send_kexinit(strict=True)
            hanging.append(raw)
    assert hanging
    assert all(raw.ended(30) for raw in hanging)
    assert login_from(case) < PATIENCE


# ---------------------------------------------------------------- logged in


def test_a_sparse_bomb_takes_no_disk_and_ends(case: Deployed) -> None:
    """A byte here and a byte far away: a file of enormous size with nothing in it is never stored, and never delivered."""

    def used() -> int:
        return sum(path.stat().st_blocks * 512 for path in (case.home.path / "incoming").rglob("*") if path.is_file())

    with case.sftp() as session:
        for number in range(20):
            with suppress(OSError), session.open(f"leveringen/bom{number}.age", "wb") as file:
                for power in range(20, 63, 3):
                    file.seek(1 << power)
                    file.write(b"x")
                    file.flush()
        assert used() < 64 << 20
        with session.open("leveringen/goed.age", "wb") as file:
            file.write(b"good")
    assert [drop.file_name for drop in drops(case.home)] == ["goed.age"]


def test_overlapping_writes_are_one_file_or_none(case: Deployed) -> None:
    """The same bytes may come again and in any order; other bytes over those that arrived never do."""
    data = os.urandom(300_000)

    async def play() -> None:
        async with asyncssh.connect(
            "127.0.0.1", case.port, username="cito", client_keys=[str(case.key)], known_hosts=None, config=None
        ) as connection, connection.start_sftp_client() as sftp:  # fmt: skip
            async with sftp.open("leveringen/same.age", "wb", block_size=0) as file:
                pieces = [(start, data[start : start + 50_000]) for start in range(0, len(data), 20_000)]
                await asyncio.gather(
                    *(file.write(piece, start) for start, piece in reversed(pieces)), *(file.write(p, s) for s, p in pieces)
                )
            with pytest.raises(asyncssh.SFTPError, match=r"rewritten|write-failed"):
                async with sftp.open("leveringen/other.age", "wb", block_size=0) as file:
                    await file.write(data[:100_000], 0)
                    await file.write(os.urandom(1000), 50_000)

    asyncio.run(play())
    (drop,) = drops(case.home)
    assert (drop.file_name, content(case.home, drop)) == ("same.age", data)


def test_two_sessions_that_write_one_file_in_turns(case: Deployed) -> None:
    """Whoever opened it last has it; what the other one sends meanwhile does not get into it."""
    mine, theirs = b"m" * 100_000, b"t" * 100_000
    with case.sftp() as first, case.sftp() as second:
        one = first.open("leveringen/x.age", "wb")
        one.write(theirs[:50_000])
        one.flush()
        two = second.open("leveringen/x.age", "wb")
        for at in range(0, 100_000, 20_000):
            with suppress(OSError):
                one.write(theirs[:20_000])
                one.flush()
            two.write(mine[at : at + 20_000])
            two.flush()
        with pytest.raises(OSError, match="taken-over"):
            first._request(CMD_CLOSE, one.handle)  # its own close() swallows what it is told
        second._request(CMD_CLOSE, two.handle)
    (drop,) = drops(case.home)
    assert content(case.home, drop) == mine


def test_a_vendor_at_all_its_limits_takes_nothing_from_another(case: Deployed) -> None:
    """Every session, every handle, a write in each; the other vendor delivers meanwhile."""
    kept: list[Any] = []
    writers: list[threading.Thread] = []
    over = threading.Event()

    def write_for_ever(transport: paramiko.Transport, files: list[Any]) -> None:
        block = bytes(200_000)
        while not over.is_set() and transport.is_active():
            for file in files:
                with suppress(OSError, EOFError, paramiko.SSHException):
                    file.write(block)

    try:
        for index in range(10):
            transport = paramiko.Transport(("127.0.0.1", case.port))
            transport.connect(username="cito", pkey=paramiko.PKey.from_path(case.key))
            session = paramiko.SFTPClient.from_transport(transport)
            assert session is not None
            kept.append((transport, [session.open(f"leveringen/{index}-{which}.part", "wb") for which in range(10)]))
        for each in kept[:4]:
            writers.append(threading.Thread(target=write_for_ever, args=each))
            writers[-1].start()
        for number in range(5):
            start = time.monotonic()
            with paramiko.Transport(socket.create_connection(("127.0.0.1", case.port), 20, source_address=("127.0.0.2", 0))) as transport:
                transport.connect(username="boom", pkey=paramiko.PKey.from_path(case.folder / "boom"))
                other = paramiko.SFTPClient.from_transport(transport)
                assert other is not None
                with other.open(f"leveringen/{number}.age", "wb") as file:
                    file.write(bytes(100_000))
            assert time.monotonic() - start < PATIENCE
    finally:
        over.set()
        for transport, _ in kept:
            transport.close()
        for writer in writers:
            writer.join()
    assert sorted((drop.vendor, drop.file_name) for drop in drops(case.home)) == [("boom", f"{number}.age") for number in range(5)]
    with sftp_session(case.port, "cito", case.key) as session:
        assert len(session.listdir("leveringen")) == 100
