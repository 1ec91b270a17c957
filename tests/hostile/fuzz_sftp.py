"""Fuzzes the SFTP session: bytes, cut anywhere, to a session with a channel and folders in memory. Needs atheris.

    python -m tests.hostile.fuzz_sftp CORPUS -max_total_time=60      a folder of its own, which it fills
    python -m tests.hostile.fuzz_sftp FIND                           plays one input again

What must hold, whatever comes: every answer is a whole packet, there are no more answers than requests, nothing that nobody foresaw is
raised, a session that ends says so, what waits in memory is bounded, and in the end every handle was given back. Only a CLOSE delivers.
"""

import asyncio
import sys
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import atheris  # type: ignore[import-not-found,unused-ignore]

with atheris.instrument_imports(include=["gateway.intake.sftp", "gateway.intake.files.names"]):
    from gateway.intake.activity import Activity
    from gateway.intake.metrics import Metrics
    from gateway.intake.sftp.session import SftpSession
    from gateway.intake.sftp.wire import MAX_PACKET

from tests.support import memory_folders
from tests.support import sftp_packets as sftp
from tests.support.memory_folders import MemoryFolders
from tests.support.sftp_packets import MemoryChannel

memory_folders.MAX_BYTES = 1 << 16


class AtOnce(ThreadPoolExecutor):
    """Threads would cost most of the time here, and nothing blocks."""

    def submit(self, work: Any, /, *given: Any, **named: Any) -> Any:
        done: Future[Any] = Future()
        done.set_result(work(*given, **named))
        return done


LOOP = asyncio.new_event_loop()
LOOP.set_default_executor(AtOnce())
METRICS = Metrics()
NAMES = (b"leveringen/a.age", b"leveringen/b.age.part", b"bezwaren/c.age", b"leveringen", b"/", b"sleutels/sluis.age.txt", b"..", b"x\0")
EXTENSIONS = (b"posix-rename@openssh.com", b"statvfs@openssh.com", b"fstatvfs@openssh.com", b"fsync@openssh.com", b"limits@openssh.com")


class StrictLog:
    """A log that takes what is foreseen, and lets nothing else pass."""

    def bind(self, **_: object) -> "StrictLog":
        return self

    def warning(self, event: str, **_: object) -> None:
        assert event in ("sftp.refused", "sftp.malformed"), event

    def error(self, event: str, **_: object) -> None:
        UNFORESEEN.append(event)

    def exception(self, event: str, **_: object) -> None:
        import traceback

        UNFORESEEN.append(f"{event}\n{traceback.format_exc()}")


UNFORESEEN: list[str] = []


def field(given: Any) -> bytes:
    """Something that a request may hold, right or wrong."""
    choice = given.ConsumeIntInRange(0, 9)
    if choice == 0:
        return sftp.text(NAMES[given.ConsumeIntInRange(0, len(NAMES) - 1)])
    if choice == 1:
        return sftp.text(given.ConsumeIntInRange(0, 5).to_bytes(4, "big"))
    if choice == 2:
        return bytes(given.ConsumeIntInRange(0, 63).to_bytes(4, "big"))
    if choice == 3:
        return bytes(given.ConsumeIntInRange(0, (1 << 64) - 1).to_bytes(8, "big"))
    if choice == 4:
        return sftp.text(given.ConsumeBytes(given.ConsumeIntInRange(0, 300)))
    if choice == 5:
        return sftp.text(bytes(given.ConsumeIntInRange(0, 70_000)))
    if choice == 6:
        return sftp.text(EXTENSIONS[given.ConsumeIntInRange(0, len(EXTENSIONS) - 1)])
    if choice == 7:
        return sftp.attributes(size=given.ConsumeIntInRange(0, 1 << 40), times=7)
    if choice == 8:
        return bytes(12)
    return bytes(given.ConsumeBytes(given.ConsumeIntInRange(0, 8)))


def stream(given: Any) -> bytes:
    """A conversation, mostly of requests that look like some."""
    said = b"" if given.ConsumeIntInRange(0, 20) == 0 else sftp.init()
    for _ in range(given.ConsumeIntInRange(0, 30)):
        choice = given.ConsumeIntInRange(0, 12)
        if choice == 0:
            said += given.ConsumeBytes(given.ConsumeIntInRange(0, 40))
        elif choice == 1:
            said += sftp.open_(1, NAMES[given.ConsumeIntInRange(0, len(NAMES) - 1)], given.ConsumeIntInRange(0, 63))
        elif choice == 2:
            handle = given.ConsumeIntInRange(1, 4).to_bytes(4, "big")
            said += sftp.write(2, handle, given.ConsumeIntInRange(0, 70_000), bytes(given.ConsumeIntInRange(0, 40_000)))
        elif choice == 3:
            said += sftp.close(3, given.ConsumeIntInRange(1, 4).to_bytes(4, "big"))
        else:
            kind = given.ConsumeIntInRange(0, 21) if choice < 11 else given.ConsumeIntInRange(0, 255)
            said += sftp.request(kind, 9, *(field(given) for _ in range(given.ConsumeIntInRange(0, 4))))
    return said


def requests_in(said: bytes) -> int:
    """How many whole packets there are at most."""
    count, at = 0, 0
    while at + 4 <= len(said):
        at += 4 + int.from_bytes(said[at : at + 4], "big")
        count += 1
    return count


async def play(said: bytes, cut: int, patience: int, ending: int) -> None:
    folders: Any = MemoryFolders(patience=patience)
    channel = MemoryChannel("SSH-2.0-OpenSSH_9" if patience % 2 else "SSH-2.0-other")
    activity = Activity()
    session = SftpSession(folders, activity, METRICS, StrictLog())  # type: ignore[arg-type]
    session.connection_made(channel)  # type: ignore[arg-type]
    at = 0
    while at < len(said) and not channel.is_closing():
        if channel.reading:
            session.data_received(said[at : at + cut])
            at += cut
            assert len(session._inbox._buffer) <= 2 * MAX_PACKET + 2 * cut, "more is kept than one packet and one feed"
        else:
            await asyncio.sleep(0)
    delivered = len(folders.memory.delivered)
    if ending == 0:
        session.eof_received()
    elif ending == 1:
        await session.settled()
        delivered = len(folders.memory.delivered)
    session.connection_lost(None if ending == 2 else ConnectionResetError())
    await session.settled()
    if ending == 1:
        assert len(folders.memory.delivered) == delivered, "something was delivered after the line was lost"
    assert not UNFORESEEN, UNFORESEEN
    assert folders.memory.handles == 0 and activity.busy == 0 and not len(session._requests.files.handles)
    assert channel.status in (None, 0, 1)
    assert len(list(sftp.answers(channel.sent))) <= requests_in(said)
    if b"[bad-message]" in channel.told and channel.version == "SSH-2.0-other":
        assert channel.status == 1


def one(data: bytes) -> None:
    given = atheris.FuzzedDataProvider(data)
    cut = (1, 7, 64, 1000, 32_768)[given.ConsumeIntInRange(0, 4)]
    patience, ending = given.ConsumeIntInRange(0, 3), given.ConsumeIntInRange(0, 2)
    said = given.ConsumeBytes(len(data)) if given.ConsumeIntInRange(0, 3) == 0 else stream(given)
    LOOP.run_until_complete(play(said[: 500 * cut], cut, patience, ending))


def seeds(folder: Path) -> None:
    """Conversations to begin with."""
    folder.mkdir(parents=True, exist_ok=True)
    handle = b"\0\0\0\1"
    upload = sftp.init() + sftp.open_(1, NAMES[0]) + sftp.write(2, handle, 0, b"abc") + sftp.close(3, handle)
    renamed = sftp.init() + sftp.open_(1, NAMES[1]) + sftp.close(3, handle) + sftp.rename(4, NAMES[1], NAMES[0])
    looked = sftp.init() + sftp.request(11, 1, sftp.text(b"/")) + sftp.request(12, 2, sftp.text(handle)) + sftp.stat(3, NAMES[0])
    for number, said in enumerate((upload, renamed, looked)):
        # FuzzedDataProvider takes whole numbers from the end: raw, ending, patience, cut
        (folder / f"seed{number}").write_bytes(said + b"\0\0\0\4")


if __name__ == "__main__":
    corpora = [argument for argument in sys.argv[1:] if not argument.startswith("-")]
    if corpora and not Path(corpora[0]).is_file():
        seeds(Path(corpora[0]))
    atheris.Setup(sys.argv, one)
    atheris.Fuzz()
