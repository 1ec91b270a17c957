"""Messages between two processes of the endpoint, over a pair of SOCK_SEQPACKET sockets: questions, answers, and sockets handed over.

A message is one JSON text (never pickle: a door speaks with strangers, and what comes out of it is not to be run), in packets of at most
PIECE bytes; the first byte of a packet says whether another one follows. `[n, method, arguments]` asks and is answered by
`[-n, outcome, value]`; with n = 0 it tells, and nobody answers. Messages of one side arrive in the order in which they were sent.

When the other process ends, however it ends, the kernel closes its socket: `lost` is called once, and every question still open, and every
later one, ends in ChannelLost. What the other side asked and was not answered yet is cancelled.
"""

import array
import asyncio
import json
import socket
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any

import structlog

from gateway.intake.files.refusals import IntakeRefused

#: more than almost any message, less than a socket's buffer [bytes]
PIECE = 32 * 1024
#: a message that is longer is not one of ours [bytes]
LONGEST = 64 << 20

_LAST, _MORE = b"\x00", b"\x01"
_SPACE = socket.CMSG_SPACE(array.array("i").itemsize)

log = structlog.get_logger("sluis.intake")

#: what a side does with a question: method, arguments, and the socket that came along
Answerer = Callable[[str, list[Any], socket.socket | None], Awaitable[Any]]


class ChannelLost(IntakeRefused):
    """The other process is gone. To a vendor: not received, try again."""

    def __init__(self) -> None:
        super().__init__("not-received")


class Channel:
    """One end. Only ever touched from the event loop on which it was made."""

    def __init__(self, end: socket.socket, answerer: Answerer, lost: Callable[[], None]) -> None:
        end.setblocking(False)
        self._end = end
        self._answerer = answerer
        self._lost = lost
        self._loop = asyncio.get_running_loop()
        self._buffer = bytearray(PIECE + 1)
        self._parts: list[bytes] = []
        self._length = 0
        self._came_along: socket.socket | None = None
        self._sending: deque[tuple[bytes, socket.socket | None]] = deque()
        self._asked: dict[int, asyncio.Future[Any]] = {}
        self._number = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self.closed = False
        self._loop.add_reader(end.fileno(), self._readable)

    # ------------------------------------------------------------ asking and telling

    async def ask(self, method: str, *arguments: Any) -> Any:
        """The other side's answer. IntakeRefused as it raised there; ChannelLost when it is gone."""
        if self.closed:
            raise ChannelLost
        self._number += 1
        number, answer = self._number, self._loop.create_future()
        self._asked[number] = answer
        self._send([number, method, arguments], None)
        try:
            return await answer
        finally:
            self._asked.pop(number, None)

    def tell(self, method: str, *arguments: Any, along: socket.socket | None = None) -> None:
        """The same without an answer; `along` is handed over, and closed here. Nothing happens when the other side is gone."""
        if self.closed:
            if along is not None:
                along.close()
            return
        self._send([0, method, arguments], along)

    def close(self) -> None:
        """Say no more and hear no more."""
        if self.closed:
            return
        self.closed = True
        self._loop.remove_reader(self._end.fileno())
        self._loop.remove_writer(self._end.fileno())
        self._end.close()
        for _packet, along in self._sending:
            if along is not None:
                along.close()
        self._sending.clear()
        for answer in list(self._asked.values()):
            if not answer.done():
                answer.set_exception(ChannelLost())
        self._loop.call_soon(self._end_tasks)  # what was said is heard first
        self._lost()

    def _end_tasks(self) -> None:
        """Nobody waits for these answers, and nobody may get a right that nobody can give back."""
        for task in self._tasks:
            task.cancel()

    # ------------------------------------------------------------ sending

    def _send(self, message: list[Any], along: socket.socket | None) -> None:
        text = json.dumps(message, separators=(",", ":")).encode()
        waiting = bool(self._sending)
        if len(text) <= PIECE:
            self._sending.append((_LAST + text, along))
        else:
            for start in range(0, len(text), PIECE):
                mark = _MORE if start + PIECE < len(text) else _LAST
                self._sending.append((mark + text[start : start + PIECE], along if start == 0 else None))
        if not waiting:
            self._flush()

    def _flush(self) -> None:
        while self._sending:
            packet, along = self._sending[0]
            try:
                if along is None:
                    self._end.send(packet)
                else:
                    socket.send_fds(self._end, [packet], [along.fileno()])
            except BlockingIOError:
                self._loop.add_writer(self._end.fileno(), self._writable)
                return
            except OSError:
                # what the other side said before it ended is still to be read: the reader finds the end
                self._loop.remove_writer(self._end.fileno())
                for _packet, left in self._sending:
                    if left is not None:
                        left.close()
                self._sending.clear()
                return
            self._sending.popleft()
            if along is not None:
                along.close()

    def _writable(self) -> None:
        self._loop.remove_writer(self._end.fileno())
        self._flush()

    # ------------------------------------------------------------ receiving

    def _readable(self) -> None:
        for _ in range(64):  # then the loop gets round to something else
            if self.closed:
                return
            try:
                size, ancillary, _flags, _address = self._end.recvmsg_into([self._buffer], _SPACE, socket.MSG_CMSG_CLOEXEC)
            except (BlockingIOError, InterruptedError):
                return
            except OSError:
                size, ancillary = 0, []
            for level, kind, data in ancillary:
                if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                    self._keep(data)
            if size == 0:
                self.close()
                return
            self._packet(size)

    def _keep(self, data: bytes) -> None:
        given = array.array("i")
        given.frombytes(data[: len(data) - len(data) % given.itemsize])
        for descriptor in given:
            if self._came_along is not None:
                self._came_along.close()
            self._came_along = socket.socket(fileno=descriptor)

    def _packet(self, size: int) -> None:
        self._parts.append(bytes(self._buffer[1:size]))
        self._length += size
        if self._length > LONGEST:
            log.error("channel.too-long")
            self.close()
            return
        if self._buffer[:1] == _MORE:
            return
        text = b"".join(self._parts) if len(self._parts) > 1 else self._parts[0]
        along, self._came_along = self._came_along, None
        self._parts, self._length = [], 0
        try:
            self._message(json.loads(text), along)
        except (ValueError, TypeError, KeyError):  # not one of ours: whoever sends this is not to be listened to
            log.error("channel.unreadable")
            self.close()

    def _message(self, message: list[Any], along: socket.socket | None) -> None:
        number, what, value = message
        if number >= 0:
            task = self._loop.create_task(self._answer(number, what, value, along))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        elif (asked := self._asked.get(-number)) is not None and not asked.done():
            if what == "ok":
                asked.set_result(value)
            else:
                asked.set_exception(IntakeRefused(value))

    async def _answer(self, number: int, method: str, arguments: list[Any], along: socket.socket | None) -> None:
        outcome, value = "ok", None
        try:
            value = await self._answerer(method, arguments, along)
        except ChannelLost:
            outcome, value = "refused", "not-received"
        except IntakeRefused as refused:
            outcome, value = "refused", refused.code
        except Exception:
            log.exception("channel.failed", method=method)
            outcome, value = "refused", "not-received"
        if number and not self.closed:
            self._send([-number, outcome, value], None)


def pair() -> tuple[socket.socket, socket.socket]:
    """The two ends of a channel."""
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
