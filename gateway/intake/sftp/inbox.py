"""From a stream of bytes to whole packets: one buffer per session, which is used again and again."""

from gateway.intake.sftp.wire import MAX_PACKET, Malformed

#: what a session that does little needs [bytes]
SMALL = 4 << 10


class Inbox:
    """Bytes go in as they come, packets come out one by one, each as a view that holds until the next bytes go in.

    Bounded: whoever feeds it takes out the packets there are before the next feed, so that never more waits than one packet that is
    not whole yet and the bytes of one feed.
    """

    def __init__(self) -> None:
        self._buffer = bytearray(SMALL)
        self._view = memoryview(self._buffer)
        self._start = 0  # of what was not taken out yet
        self._stop = 0

    def __len__(self) -> int:
        """How much waits [bytes]."""
        return self._stop - self._start

    def feed(self, data: bytes | bytearray | memoryview) -> None:
        """Add bytes; views handed out before are worthless from now on."""
        size = len(data)
        if self._start == self._stop:
            self._start = self._stop = 0
        if self._stop + size > len(self._buffer):
            self._make_room(size)
        self._view[self._stop : self._stop + size] = data
        self._stop += size

    def _make_room(self, size: int) -> None:
        waiting = self._stop - self._start
        if waiting + size > len(self._buffer):
            old = self._view
            self._buffer = bytearray(max(waiting + size, min(2 * len(self._buffer), 2 * MAX_PACKET)))
            self._view = memoryview(self._buffer)
            self._view[:waiting] = old[self._start : self._stop]
        else:
            self._buffer[:waiting] = self._buffer[self._start : self._stop]
        self._start, self._stop = 0, waiting

    def take(self) -> memoryview | None:
        """The next whole packet without its length field; None when it is not there yet.

        Malformed when it is empty or longer than MAX_PACKET: then nobody knows where the next one begins.
        """
        start = self._start
        if self._stop - start < 4:
            return None
        size = int.from_bytes(self._view[start : start + 4], "big")
        if not 0 < size <= MAX_PACKET:
            raise Malformed("a packet of that length is not taken")
        stop = start + 4 + size
        if stop > self._stop:
            return None
        self._start = stop
        return self._view[start + 4 : stop]

    def rest(self) -> None:
        """Nothing is going on: let go of a large buffer (unless a part of a packet waits in it)."""
        if self._start == self._stop and len(self._buffer) > SMALL:
            self._buffer = bytearray(SMALL)
            self._view = memoryview(self._buffer)
            self._start = self._stop = 0
