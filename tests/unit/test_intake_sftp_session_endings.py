"""The sftp session by itself: what ends it, what is done and what is lost then, and what waits. Folders are in memory."""

import asyncio
from typing import Any

import pytest

from gateway.intake.files.names import Place
from gateway.intake.sftp.requests import MAX_MALFORMED
from gateway.intake.sftp.session import BATCH, all_settled
from gateway.intake.sftp.wire import MAX_PACKET
from tests.support import sftp_packets as sftp
from tests.support.memory_folders import Memory, MemoryFolders
from tests.support.sftp_talk import Talk, X, talk

# ---------------------------------------------------------------- ending


@talk
async def test_a_lost_connection_closes_nothing() -> None:
    line = Talk()
    handle = await line.handle()
    await line.ask(sftp.write(2, handle, 0, b"half"), sftp.request(11, 3, sftp.text(b"/")))
    line.session.connection_lost(ConnectionResetError())
    await line.session.settled()
    assert line.memory.delivered == {}
    assert line.memory.unfinished == {Place("leveringen", "x.age"): b"half"}
    assert (line.memory.handles, line.activity.busy) == (0, 0)
    line.session.data_received(sftp.close(4, handle))  # what still comes is not listened to
    await line.session.settled()
    assert line.memory.delivered == {}


@talk
async def test_what_was_asked_before_the_end_of_input_is_done_and_the_rest_is_lost() -> None:
    line = Talk()
    one, two = await line.handle(), await line.handle(b"leveringen/y.age")
    line.send(sftp.write(2, one, 0, b"1") + sftp.write(3, two, 0, b"2") + sftp.close(4, one))
    line.session.eof_received()
    await line.settle()
    assert line.memory.delivered == {Place("leveringen", "x.age"): b"1"}
    assert line.memory.unfinished == {Place("leveringen", "y.age"): b"2"}
    assert [answer.number for answer in sftp.answers(line.channel.sent)][-3:] == [2, 3, 4]
    assert line.channel.status == 0


@talk
async def test_a_close_under_way_ends_though_the_line_is_lost() -> None:
    line = Talk()
    handle = await line.handle()
    line.send(sftp.write(2, handle, 0, b"whole") + sftp.close(3, handle) + sftp.open_(4, b"leveringen/z.age"))
    line.session.connection_lost(ConnectionResetError())
    await line.session.settled()
    assert line.memory.delivered == {Place("leveringen", "x.age"): b"whole"}
    assert line.memory.unfinished == {}, "what was not begun is not done"


@talk
async def test_an_open_under_way_when_the_line_is_lost_is_let_go_of() -> None:
    lost = []

    class Noting(MemoryFolders):
        async def lose(self, handle: Any) -> None:
            lost.append(handle)

    line = Talk(Noting())
    line.send(sftp.open_(1, X))
    line.session.connection_lost(None)
    await line.session.settled()
    assert len(lost) == 1


@talk
async def test_a_stop_waits_until_what_was_open_is_let_go_of() -> None:
    lost = []

    class Slow(MemoryFolders):
        async def lose(self, handle: Any) -> None:
            for _ in range(50):
                await asyncio.sleep(0)
            lost.append(handle)

    lines = [Talk(Slow()) for _ in range(3)]
    for line in lines:
        await line.handle()
        line.session.connection_lost(None)
    await all_settled()
    assert len(lost) == 3


@pytest.mark.parametrize(
    "data",
    [
        sftp.stat(1, X),  # before INIT
        b"\0\0\0\0",
        b"\xff\xff\xff\xff\x06",
        (MAX_PACKET + 1).to_bytes(4, "big"),
        sftp.init(2),
        sftp.packet(1, b""),
        sftp.init() + sftp.init(),
        sftp.init() + sftp.packet(17, b"\0\0\0"),
        sftp.init() + b"".join(sftp.request(17, n) for n in range(MAX_MALFORMED + 1)),
        sftp.init() + b"\0\0\0\0" + sftp.open_(1, X),
    ],
    ids=["before-init", "empty", "4GiB", "too-long", "version-2", "init-short", "init-twice", "no-number", "often", "empty-later"],
)
def test_what_can_not_be_followed_ends_the_session(data: bytes) -> None:
    async def scene() -> None:
        line = Talk(greet=False)
        line.send(data)
        await line.settle()
        assert line.channel.status == 1
        assert "[bad-message]" in line.channel.told.decode()
        assert line.memory.failed == ["protocol"], "the defender is told"
        assert line.memory.unfinished == {}

    asyncio.run(scene())


# ---------------------------------------------------------------- a client that does not read


@talk
async def test_answers_wait_for_a_client_that_does_not_read() -> None:
    line = Talk()
    handle = await line.handle(b"sleutels/sluis.age.txt", sftp.READ)
    line.session.pause_writing()
    line.send(b"".join(sftp.read(n, handle, 0, 100) for n in range(20_000)))
    while len(line.channel.sent) < BATCH:
        await asyncio.sleep(0)
        line.send(b"")
    before = len(line.channel.sent)
    await asyncio.sleep(0.05)  # nothing happens, so there is nothing to wait for
    assert len(line.channel.sent) == before < 2 * BATCH
    assert not line.channel.reading
    line.session.resume_writing()
    assert [answer.number for answer in await line.ask()][-1] == 19_999


@talk
async def test_memory_is_let_go_of_when_nothing_is_going_on() -> None:
    line = Talk(MemoryFolders(Memory()))
    handle = await line.handle()
    await line.ask(sftp.write(1, handle, 0, bytes(200_000)), sftp.close(2, handle))
    assert len(line.session._inbox._buffer) < 10_000
    await line.ask(sftp.open_(3, b"leveringen/y.age"), sftp.write(4, b"\0\0\0\2", 0, bytes(200_000))[:-1])
    assert len(line.session._inbox._buffer) > 200_000
    line.session.connection_lost(None)
    await line.session.settled()
    assert len(line.session._inbox._buffer) < 10_000
