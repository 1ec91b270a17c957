"""Bytes from the thread that decrypts to the one that checks: the first works ahead while the second is busy, but not far."""

import threading
from collections import deque
from contextlib import suppress

#: [bytes] how far decryption may be ahead: a batch and a half, so that neither waits for the other in the usual case.
AHEAD_BYTES = 24 << 20
_PIECE_BYTES = 1 << 20


class Handover:
    """A bounded buffer between two threads; what pyrage writes to is this object."""

    def __init__(self, ahead_bytes: int = AHEAD_BYTES) -> None:
        self._ahead = ahead_bytes
        self._changed = threading.Condition()
        self._pieces: deque[bytes] = deque()
        self._held = 0
        self._filling = bytearray()
        self._finished = False
        self._abandoned = False

    # ------------------------------------------------------------ the writing side

    def write(self, data: bytes) -> int:
        """Takes all of `data`; waits while too much is held. BrokenPipeError when nobody reads any more."""
        self._filling += data
        if len(self._filling) >= _PIECE_BYTES:
            self._pass_on()
        return len(data)

    def flush(self) -> None:
        """Nothing is passed on before a piece is full."""

    def finish(self) -> None:
        """The writer is done, for good or ill: what it wrote last is passed on and the reader comes to the end."""
        with suppress(BrokenPipeError):
            self._pass_on()
        with self._changed:
            self._finished = True
            self._changed.notify_all()

    def _pass_on(self) -> None:
        piece = bytes(self._filling)
        self._filling.clear()
        with self._changed:
            self._changed.wait_for(lambda: self._abandoned or self._held < self._ahead)
            if self._abandoned:
                raise BrokenPipeError
            if piece:
                self._pieces.append(piece)
                self._held += len(piece)
                self._changed.notify_all()

    # ------------------------------------------------------------ the reading side

    def read(self) -> bytes:
        """The next piece, as soon as there is one; b"" at the end."""
        with self._changed:
            self._changed.wait_for(lambda: bool(self._pieces) or self._finished)
            if not self._pieces:
                return b""
            piece = self._pieces.popleft()
            self._held -= len(piece)
            self._changed.notify_all()
            return piece

    def abandon(self) -> None:
        """Nobody reads on: a writer that waits, or writes again, is told so; what is held is let go."""
        with self._changed:
            self._abandoned = True
            self._pieces.clear()
            self._held = 0
            self._changed.notify_all()
