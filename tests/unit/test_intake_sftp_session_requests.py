"""The sftp session by itself: requests in, answers and refusals out in order, and what is open. Folders are in memory."""

import asyncio
from typing import Any

from gateway.intake.files.names import Place
from gateway.intake.sftp.handles import MAX_HANDLES
from gateway.intake.sftp.refusing import AUDITED_REFUSALS
from tests.support import sftp_packets as sftp
from tests.support.memory_folders import KEY, MemoryFolders
from tests.support.sftp_talk import Talk, X, talk

# ---------------------------------------------------------------- requests and answers


@talk
async def test_hello() -> None:
    line = Talk()
    await line.settle()
    (version,) = sftp.answers(line.channel.sent)
    assert (version.kind, version.number) == (2, 3)
    for name in (b"posix-rename@openssh.com", b"statvfs@openssh.com", b"fsync@openssh.com", b"limits@openssh.com"):
        assert sftp.text(name) in version.body
    (limits,) = await line.ask(sftp.extended(7, b"limits@openssh.com"))
    assert [int.from_bytes(limits.body[at : at + 8], "big") for at in range(0, 32, 8)] == [262_144, 261_120, 261_120, MAX_HANDLES]


@talk
async def test_a_file_in_one_burst_is_answered_in_order() -> None:
    """Everything at once, with the handle guessed: what waits does not let others overtake it."""
    line = Talk()
    handle = b"\0\0\0\1"
    said = await line.ask(
        sftp.open_(1, X),
        *(sftp.write(10 + n, handle, 5 * n, b"12345") for n in range(20)),
        sftp.stat(2, X),
        sftp.close(3, handle),
        sftp.stat(4, X),
    )
    assert [answer.number for answer in said] == [1, *range(10, 30), 2, 3, 4]
    assert [answer.code for answer in said if answer.kind == 101] == [0] * 21
    assert said[-1].size == 100
    assert line.memory.delivered == {Place("leveringen", "x.age"): b"12345" * 20}
    assert line.activity.busy == 0


@talk
async def test_byte_by_byte() -> None:
    line = Talk(greet=False)
    for byte in sftp.init() + sftp.open_(1, X) + sftp.write(2, b"\0\0\0\1", 0, b"abc") + sftp.close(3, b"\0\0\0\1"):
        line.send(bytes((byte,)))
        await asyncio.sleep(0)
    await line.ask()
    assert line.memory.delivered == {Place("leveringen", "x.age"): b"abc"}


@talk
async def test_writes_that_wait_keep_their_data() -> None:
    """Every second write asks somebody else first, and its data must still be there afterwards."""
    line = Talk(MemoryFolders(patience=2))
    handle = await line.handle()
    pieces = [bytes((n,)) * 30_000 for n in range(30)]
    said = await line.ask(*(sftp.write(n, handle, 30_000 * n, piece) for n, piece in enumerate(pieces)), sftp.close(99, handle))
    assert [(answer.number, answer.code) for answer in said] == [(n, 0) for n in [*range(30), 99]]
    assert line.memory.delivered[Place("leveringen", "x.age")] == b"".join(pieces)
    assert line.channel.pauses >= 15


@talk
async def test_reading_and_listing() -> None:
    line = Talk()
    handle = await line.handle(b"sleutels/sluis.age.txt", sftp.READ)
    whole, far, beyond = await line.ask(
        sftp.read(1, handle, 0, 1 << 31), sftp.read(2, handle, 4, 3), sftp.read(3, handle, (1 << 64) - 1, 0xFFFFFFFF)
    )
    assert (whole.data, far.data, beyond.code) == (KEY, KEY[4:7], 1)
    (folder,) = await line.ask(sftp.request(11, 5, sftp.text(b"/")))
    names, end = await line.ask(sftp.request(12, 6, sftp.text(folder.handle)), sftp.request(12, 7, sftp.text(folder.handle)))
    assert names.names == [b"leveringen", b"bezwaren", b"ontvangst", b"sleutels"]
    assert end.code == 1
    assert line.memory.handles == 2
    await line.ask(sftp.close(8, folder.handle), sftp.close(9, handle))
    assert line.memory.handles == 0
    (canonical,) = await line.ask(sftp.request(16, 1, sftp.text(b"leveringen/../bezwaren/./x")))
    assert canonical.names == [b"/bezwaren/x"]
    (space,) = await line.ask(sftp.extended(1, b"statvfs@openssh.com", sftp.text(b"/")))
    numbers = [int.from_bytes(space.body[at : at + 8], "big") for at in range(0, 88, 8)]
    assert numbers == [4096, 4096, 262_144, 131_072, 131_072, 1000, 500, 500, 0, 0, 255]


@talk
async def test_a_long_listing_comes_in_parts() -> None:
    line = Talk()
    for number in range(250):
        line.memory.delivered[Place("leveringen", f"{number:03}.age")] = b""
    (folder,) = await line.ask(sftp.request(11, 5, sftp.text(b"leveringen")))
    said = await line.ask(*(sftp.request(12, n, sftp.text(folder.handle)) for n in range(4)))
    assert [len(answer.names) for answer in said[:3]] == [100, 100, 50]
    assert said[3].code == 1


@talk
async def test_attributes_change_nothing() -> None:
    line = Talk()
    handle = await line.handle()
    fsetstat = [
        (sftp.attributes(times=7, permissions=0o644), 0),
        (sftp.attributes(size=0), 0),
        (sftp.attributes(size=9), 3),
        (sftp.attributes(owners=0), 3),
    ]
    for given, code in fsetstat:
        (answer,) = await line.ask(sftp.request(10, 1, sftp.text(handle), given))
        assert answer.code == code
    setstat = [(sftp.attributes(times=7), 0), (sftp.attributes(permissions=0o777), 3), (sftp.attributes(size=0), 3)]
    for given, code in setstat:
        (answer,) = await line.ask(sftp.request(9, 1, sftp.text(X), given))
        assert answer.code == code


# ---------------------------------------------------------------- refusing


@talk
async def test_a_refusal_says_why_in_two_languages() -> None:
    line = Talk(version="SSH-2.0-OpenSSH_9.2p1")
    (answer,) = await line.ask(sftp.open_(1, b"leveringen/.x"))
    assert answer.code == 4
    assert "begint met een punt" in answer.said and "starts with a dot" in answer.said and "[name-leading]" in answer.said
    assert line.channel.told.decode() == answer.said + "\r\n", "OpenSSH's sftp does not show the text of a status"
    assert line.memory.audited == [("sftp.open", "name-leading")]
    quiet = Talk()
    await quiet.ask(sftp.open_(1, b"leveringen/.x"))
    assert quiet.channel.told == b""


@talk
async def test_what_is_not_there_is_told_by_its_status_alone() -> None:
    line = Talk(version="SSH-2.0-OpenSSH_9.2p1")
    (answer,) = await line.ask(sftp.stat(1, X))
    assert (answer.code, line.channel.told, line.memory.audited) == (2, b"", [])


@talk
async def test_a_flood_of_refusals_fills_neither_log_nor_memory() -> None:
    line = Talk()
    said = await line.ask(*(sftp.request(14, n, sftp.text(b"x"), sftp.attributes()) for n in range(200)))
    assert [answer.code for answer in said] == [3] * 200
    assert len(line.memory.audited) == AUDITED_REFUSALS


@talk
async def test_an_error_that_nobody_foresaw_is_a_failure_of_one_request() -> None:
    class Broken(MemoryFolders):
        async def facts(self, place: Place) -> Any:
            raise ZeroDivisionError

        async def sync(self, handle: Any) -> None:
            raise OSError(28, "No space left on device")

    line = Talk(Broken())
    (answer,) = await line.ask(sftp.stat(1, X))
    assert (answer.code, "[not-received]" in answer.said) == (4, True)
    handle = await line.handle()
    (answer,) = await line.ask(sftp.extended(2, b"fsync@openssh.com", sftp.text(handle)))
    assert "[disk-full]" in answer.said
    (answer,) = await line.ask(sftp.close(3, handle))
    assert answer.code == 0


@talk
async def test_requests_that_are_cut_short_or_too_long_are_refused_one_by_one() -> None:
    line = Talk()
    handle = await line.handle()
    wrong = [
        sftp.request(3, 1, sftp.text(X)),
        sftp.request(3, 2, b"\0\1\0\0leveringen"),
        sftp.request(4, 3),
        sftp.request(6, 4, sftp.text(handle), b"\0" * 8, b"\0\0\0\5abc"),
        sftp.request(4, 5, sftp.text(handle), b"more"),
        sftp.request(17, 6, sftp.text(X), b"more"),
        sftp.request(9, 7, sftp.text(X), b"\x00\x00\x01\x00"),
        sftp.request(9, 8, sftp.text(X), b"\x80\x00\x00\x00\xff\xff\xff\xff"),
        sftp.request(18, 9, sftp.text(X)),
        sftp.request(200, 10),
        sftp.extended(11, b"limits@openssh.com", b"x"),
    ]
    said = await line.ask(*wrong)
    assert [(answer.number, answer.code) for answer in said] == [(n, 5) for n in range(1, 12)]
    assert line.memory.unfinished == {Place("leveringen", "x.age"): b""}


# ---------------------------------------------------------------- handles


@talk
async def test_a_handle_is_open_once() -> None:
    line = Talk()
    handle = await line.handle()
    await line.ask(sftp.close(2, handle))
    requests = [
        sftp.write(3, handle, 0, b"x"),
        sftp.read(4, handle, 0, 1),
        sftp.close(5, handle),
        sftp.request(8, 6, sftp.text(handle)),
        sftp.extended(7, b"fsync@openssh.com", sftp.text(handle)),
        sftp.request(12, 8, sftp.text(handle)),
        sftp.write(9, b"no such handle", 0, b"x"),
        sftp.close(10, b""),
    ]
    assert ["[bad-handle]" in answer.said for answer in await line.ask(*requests)] == [True] * 8
    assert await line.handle(b"leveringen/y.age") != handle


@talk
async def test_handles_are_bounded() -> None:
    line = Talk()
    said = await line.ask(*(sftp.open_(n, b"leveringen/%d.part" % n) for n in range(10_000)))
    assert sum(answer.kind == 102 for answer in said) == MAX_HANDLES
    assert {answer.said.rpartition("[")[2] for answer in said if answer.kind == 101} == {"too-many-handles]"}
    said = await line.ask(sftp.request(11, 1, sftp.text(b"/")))
    assert "[too-many-handles]" in said[0].said
    assert line.memory.handles == 0
    await line.ask(sftp.close(1, b"\0\0\0\1"))
    await line.handle()


@talk
async def test_a_handle_that_was_not_opened_is_not_counted() -> None:
    line = Talk()
    said = await line.ask(
        sftp.open_(1, b"sleutels/none", sftp.READ), sftp.request(11, 2, sftp.text(b"ontvangst/none")), sftp.open_(3, X, 0)
    )
    assert [answer.code for answer in said] == [2, 2, 3]
    assert line.memory.handles == 0
