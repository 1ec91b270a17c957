"""The sftp subsystem as one channel: bytes in, requests one after another, answers out in the same order.

Nothing here is a task per request. What can be answered at once (a write into the page cache) is answered while the bytes come in; what
must wait (open, close, stat) suspends this session's requests until it is done, and the channel stops reading meanwhile. So what a client
can make the endpoint remember is bounded by the channel's window, whatever it sends.

Only a CLOSE closes a file. When the channel or the connection ends, however politely, what is still open is lost and can be resumed.
"""

import asyncio
import select

from asyncssh import SSHServerChannel, SSHServerSession
from asyncssh.constants import EXTENDED_DATA_STDERR
from structlog.typing import FilteringBoundLogger

from gateway.intake.activity import Activity
from gateway.intake.files.folders import VendorFolders
from gateway.intake.files.refusals import CATALOGUE
from gateway.intake.metrics import Metrics
from gateway.intake.sftp.inbox import Inbox
from gateway.intake.sftp.requests import Later, Requests
from gateway.intake.sftp.wire import Malformed

#: after so many bytes of answers it is looked whether the client reads them [bytes]
BATCH = 128 << 10

#: answers that may wait in the channel for a slow client before its requests wait too [bytes]
MOST_UNSENT = 1 << 20

#: how often it is looked whether a slow client has read: at first, and at last [s]
SHORTEST_PAUSE, LONGEST_PAUSE = 0.001, 0.25

#: what sessions of this process are doing; asyncio itself keeps no task alive
_under_way: set[asyncio.Task[None]] = set()


async def all_settled() -> None:
    """Returns when no session of this event loop does anything any more: for a stop, after the connections have ended."""
    loop = asyncio.get_running_loop()
    while mine := [task for task in list(_under_way) if task.get_loop() is loop]:
        await asyncio.wait(mine)


class SftpSession(SSHServerSession[bytes]):
    """A session channel that serves the sftp subsystem of one vendor, and refuses shell, exec and everything else."""

    #: tells the lean transport that data_received copies what it is given
    takes_views = True

    def __init__(self, folders: VendorFolders, activity: Activity, metrics: Metrics, log: FilteringBoundLogger) -> None:
        self.folders = folders
        self.activity = activity
        self._log = log.bind(session=folders.session, vendor=folders.vendor, origin=folders.origin)
        self._requests = Requests(folders, metrics, self._log, self._tell)
        self._inbox = Inbox()
        self._out: list[bytes] = []
        self._out_size = 0  # since it was last looked whether the client reads [bytes]
        self._flush_due = False
        self._task: asyncio.Task[None] | None = None
        self._room = True  # the channel's window takes what is sent
        self._polite = False  # the client will send no more (EOF)
        self._over = False  # nothing more is answered
        self._tell_on_stderr = False

    # ------------------------------------------------------------ the channel

    def connection_made(self, chan: SSHServerChannel[bytes]) -> None:
        self._channel = chan
        self._loop = asyncio.get_running_loop()
        chan.set_write_buffer_limits(MOST_UNSENT)
        # OpenSSH's sftp shows "Failure" and not the text of the status
        self._tell_on_stderr = "OpenSSH" in str(chan.get_extra_info("client_version", ""))

    def pty_requested(self, *_: object) -> bool:
        return False  # the base class says yes

    def subsystem_requested(self, subsystem: str) -> bool:
        return subsystem == "sftp"

    def data_received(self, data: bytes | memoryview, datatype: int | None = None) -> None:
        """Some bytes of the client; they are copied before this returns."""
        if self._over:
            return
        self.activity.mark()
        self._inbox.feed(data)
        if self._task is None:
            self._go_on()

    def eof_received(self) -> bool:
        """The client sends no more; what it has sent is answered first."""
        self._polite = True
        if self._task is None and not self._over:
            self._begin(None)
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        """The channel is gone. What is under way ends by itself (a close becomes durable), what is open is lost."""
        self._over = True
        if self._task is None:
            self._begin(None)

    def pause_writing(self) -> None:
        self._room = False

    def resume_writing(self) -> None:
        self._room = True

    async def settled(self) -> None:
        """Returns when nothing of this session is under way; after the connection is lost, nothing of it is held then."""
        while self._task is not None:
            await asyncio.wait([self._task])

    # ------------------------------------------------------------ requests

    def _go_on(self) -> None:
        try:
            later = self._answer_what_can_be()
        except Malformed as error:
            later = self._violated(error)
        if later is not None:
            self._begin(later)

    def _answer_what_can_be(self) -> Later | None:
        """Up to the first request whose answer must wait; None when all are answered."""
        while self._out_size < BATCH:
            if (packet := self._inbox.take()) is None:
                self._inbox.rest()
                return None
            answer = self._requests.answer(packet)
            if not isinstance(answer, bytes):
                return answer
            self._put(answer)
        return self._sent()

    async def _sent(self) -> bytes:
        """Send what there is, and wait until the client has read enough of it: the library itself never waits for that."""
        self._flush()
        self._out_size = 0
        await asyncio.sleep(0)  # the event loop hands it to the kernel
        pause = SHORTEST_PAUSE
        while not self._over and not (self._room and _takes_more(self._channel)):
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)
        return b""

    def _begin(self, later: Later | None) -> None:
        self._channel.pause_reading()
        self._task = self._loop.create_task(self._wait(later))
        _under_way.add(self._task)
        self._task.add_done_callback(_under_way.discard)

    async def _wait(self, later: Later | None) -> None:
        """Answer `later` and all that was waiting behind it, then go on reading, or end."""
        self.activity.mark(+1)
        try:
            while later is not None:  # what was begun is done, even when the line is lost meanwhile
                try:
                    self._put(await later)
                    if self._requests.over:
                        await self._end(1)
                    later = None if self._over else self._answer_what_can_be()
                except Malformed as error:
                    later = self._violated(error)
            self._flush()
            if self._over or self._polite:
                await self._end(0)
        except Exception:
            self._log.exception("sftp.failed")
            await self._end(1)
        finally:
            self.activity.mark(-1)
            self._task = None
        if not self._over:
            self._channel.resume_reading()

    async def _violated(self, error: Malformed) -> bytes:
        """Nobody can tell where the next request begins: the session ends, with a text."""
        self._log.warning("sftp.malformed", reason=str(error))
        text = CATALOGUE["bad-message"]
        self._tell(f"{text.dutch} / {text.english} [bad-message]", always=True)
        await self.folders.desk.failed(self.folders.session, self.folders.origin, self.folders.vendor, "protocol")
        await self._end(1)
        return b""

    async def _end(self, code: int) -> None:
        """Lose what is open, and close the channel when that is not done yet."""
        self._over = True
        self._inbox = Inbox()  # the library keeps what has ended until the garbage collector comes round
        await self._requests.abandon()
        if not self._channel.is_closing():
            self._flush()
            self._channel.exit(code)

    # ------------------------------------------------------------ answers

    def _put(self, answer: bytes) -> None:
        self._out.append(answer)
        self._out_size += len(answer)
        if not self._flush_due:  # after the burst of requests that is being read
            self._flush_due = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._flush_due = False
        answers = b"".join(self._out)
        self._out.clear()
        if answers and not self._channel.is_closing():
            self._channel.write(answers)

    def say(self, text: str) -> None:
        """A last word on standard error: OpenSSH's client leaves when the channel closes, before it reads why the connection ends."""
        if getattr(self, "_channel", None) is not None:
            self._tell(text, always=True)

    def _tell(self, text: str, always: bool = False) -> None:
        if (self._tell_on_stderr or always) and not self._channel.is_closing():
            self._channel.write(f"{text}\r\n".encode(), EXTENDED_DATA_STDERR)


def _takes_more(channel: SSHServerChannel[bytes]) -> bool:
    """Whether the kernel would take more bytes to send now; when not, asyncio keeps them in memory, without a bound."""
    line = channel.get_extra_info("socket")
    if line is None or line.fileno() < 0:
        return True
    poll = select.poll()
    poll.register(line.fileno(), select.POLLOUT)
    return bool(poll.poll(0))
