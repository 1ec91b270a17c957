"""Laws of the SFTP decoder: however a stream is cut it holds the same packets, and nothing a client sends is anything but an answer."""

import asyncio
import struct
from collections.abc import Iterator

import structlog
from hypothesis import given
from hypothesis import strategies as st

from gateway.intake.metrics import Metrics
from gateway.intake.sftp import wire
from gateway.intake.sftp.inbox import SMALL, Inbox
from gateway.intake.sftp.requests import Requests
from gateway.intake.sftp.wire import Attributes, Fields, Malformed
from tests.support import sftp_packets as sftp
from tests.support.memory_folders import MemoryFolders

U32 = st.integers(0, (1 << 32) - 1)
U64 = st.integers(0, (1 << 64) - 1)
BODIES = st.one_of(st.binary(min_size=1, max_size=60), st.integers(1, 3 * SMALL).map(lambda size: bytes([size % 256]) * size))


def pieces(data: bytes, cuts: list[int]) -> Iterator[bytes]:
    at = 0
    for cut in sorted({cut % (len(data) + 1) for cut in cuts}):
        yield data[at:cut]
        at = cut
    yield data[at:]


@given(st.lists(BODIES, max_size=12), st.lists(U32, max_size=20), st.booleans())
def test_however_a_stream_is_cut_it_holds_the_same_packets(bodies: list[bytes], cuts: list[int], resting: bool) -> None:
    stream = b"".join(len(body).to_bytes(4, "big") + body for body in bodies)
    inbox, found = Inbox(), []
    for piece in pieces(stream, cuts):
        inbox.feed(piece)
        while (packet := inbox.take()) is not None:
            found.append(bytes(packet))
        if resting:
            inbox.rest()
    assert found == bodies
    assert len(inbox) == 0


@given(st.binary(max_size=300), st.lists(U32, max_size=5))
def test_the_inbox_says_no_or_keeps_no_more_than_came(data: bytes, cuts: list[int]) -> None:
    inbox, taken = Inbox(), 0
    try:
        for piece in pieces(data, cuts):
            inbox.feed(piece)
            while (packet := inbox.take()) is not None:
                taken += 4 + len(packet)
    except Malformed:
        return
    assert taken + len(inbox) == len(data)


@given(U32, U32, U64, st.binary(max_size=100), st.integers(-8, 8))
def test_the_quick_write_is_the_slow_one(request: int, handle: int, offset: int, data: bytes, wrong: int) -> None:
    """Field by field; bytes behind the data are left alone."""
    length = max(0, len(data) + wrong)
    packet = memoryview(struct.pack(">BIIIQI", 6, request, 4, handle, offset, length) + data)
    quick = wire.quick_write(packet)
    fields = Fields(packet, 1)
    try:
        slow = (fields.u32(), int.from_bytes(fields.view(), "big"), fields.u64(), bytes(fields.view()))
    except Malformed:
        assert quick is None
        assert length > len(data)
    else:
        assert quick is not None
        assert (*quick[:3], bytes(quick[3])) == slow == (request, handle, offset, data[:length])


@given(st.binary(max_size=40), st.binary(max_size=12))
def test_a_write_with_any_handle_is_read_the_same(handle: bytes, data: bytes) -> None:
    packet = memoryview(sftp.write(7, handle, 9, data))[4:]
    assert (wire.quick_write(packet) is not None) == (len(handle) == 4)


PAIRS = st.none() | st.tuples(U32, U32)


@given(st.builds(Attributes, st.none() | U64, PAIRS, st.none() | U32, PAIRS))
def test_attributes_come_back(told: Attributes) -> None:
    fields = Fields(memoryview(told.encode()))
    assert fields.attributes() == told
    fields.end()


@given(U32, st.sampled_from([0, 1, 2, 3, 4, 5, 8]), st.text(max_size=40))
def test_a_status_comes_back(request: int, code: int, text: str) -> None:
    said = text.encode("utf-8", "ignore").decode()
    (answer,) = sftp.answers(wire.status(request, code, said))
    assert (answer.number, answer.code, answer.said) == (request, code, said)


@given(U32, st.lists(st.tuples(st.binary(max_size=30), st.builds(Attributes, U64, PAIRS, U32, PAIRS)), max_size=5))
def test_names_come_back(request: int, entries: list[tuple[bytes, Attributes]]) -> None:
    (answer,) = sftp.answers(wire.names(request, entries))
    assert (answer.number, answer.names) == (request, [name for name, _ in entries])


def test_a_write_is_answered_as_any_other_request() -> None:
    assert wire.done(77) == wire.status(77, wire.OK, "", b"")


FIELD = st.one_of(
    st.sampled_from([b"leveringen/a.age", b"leveringen/a.part", b"/", b"..", b"sleutels/sluis.age.txt", b"\0\0\0\1", b"\0\0\0\2"]).map(
        sftp.text
    ),
    st.sampled_from([b"posix-rename@openssh.com", b"fsync@openssh.com", b"statvfs@openssh.com", b"limits@openssh.com"]).map(sftp.text),
    st.binary(max_size=12).map(sftp.text),
    U32.map(lambda number: number.to_bytes(4, "big")),
    U64.map(lambda number: number.to_bytes(8, "big")),
    st.integers(0, 63).map(lambda number: number.to_bytes(4, "big")),
    st.binary(max_size=9),
)
REQUEST = st.builds(
    lambda kind, number, fields: sftp.request(kind, number, *fields),
    st.sampled_from([3, 3, 3, 4, 5, 6, 6, 7, 8, 9, 10, 11, 12, 13, 16, 17, 18, 20, 200, 1, 2, 101, 255]),
    U32,
    st.lists(FIELD, max_size=5),
)


@given(st.lists(REQUEST, max_size=25))
def test_every_request_has_one_answer_with_its_number(requests: list[bytes]) -> None:
    """Or the session ends; whatever it was, no other error comes out, and every handle is given back."""

    async def scene() -> None:
        folders = MemoryFolders(patience=2)
        asked = Requests(folders, Metrics(), structlog.get_logger(), lambda _: None)  # type: ignore[arg-type]
        asked.answer(memoryview(sftp.init())[4:])
        try:
            for packet in requests:
                answer = asked.answer(memoryview(packet)[4:])
                (said,) = sftp.answers(answer if isinstance(answer, bytes) else await answer)
                assert said.number == int.from_bytes(packet[5:9], "big")
                assert said.kind in {101, 102, 103, 104, 105, 201}
        except Malformed:
            pass
        await asked.abandon()
        assert folders.memory.handles == 0

    asyncio.run(scene())
