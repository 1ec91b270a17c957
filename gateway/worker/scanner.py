"""The malware scan (BIO2 8.07.04): what the checks read is told to clamd at the same time, over its Unix socket (clamd(8), INSTREAM).

It fails closed: without a verdict on every byte a drop is not accepted. What clamd is told it keeps in its TemporaryDirectory while it
looks, so that has to be a tmpfs (docs/operator/scanning.md); here nothing is written.
"""

import re
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic
from typing import BinaryIO, cast

from gateway.checks.findings import DropRefused, finding
from gateway.checks.stream import Delivery
from gateway.store.config import Scan
from policies.errors import Unsound

_CHUNK = 1 << 20
#: [bytes] no answer of clamd is longer
_LONGEST_ANSWER = 4096
_FOUND = re.compile(r"stream: ([^\0\n]+?)(?:\([0-9a-f]+:[0-9]+\))? FOUND")
#: a signature's name as signature databases write them; anything else, and what could be a pupil's number, is not repeated to anybody
_NAME = re.compile(r"(?!.*[0-9]{8})[A-Za-z][A-Za-z0-9]*(?:[._/-][A-Za-z0-9]+)*")
_LONGEST_NAME = 100
UNNAMED = "zonder naam"
#: what clamd calls it that it did not look at all of a stream (AlertExceedsMax, clamd.conf(5)): no malware, and no verdict
_NOT_LOOKED_AT = "Heuristics.Limits.Exceeded"

_AGAIN = "The scan is tried again later; see docs/operator/scanning.md."


@contextmanager
def scanned(settings: Scan, stream: BinaryIO) -> Iterator["Scanning | None"]:
    """Whatever is read of the delivery is told to the scanner; None when the configuration names none.

    Reading raises DropRefused (`too-large-to-scan`), and Unsound: `scanner-away`, `scanner-limit`, `scanner-odd`.
    """
    if not settings.clamd_socket:
        yield None
        return
    with connected(settings) as talk:
        yield Scanning(talk, stream, settings.max_bytes)


def alive(settings: Scan) -> None:
    """Unsound (`scanner-…`) unless clamd answers a PING."""
    with connected(settings) as talk:
        talk.send(b"zPING\0")
        if talk.answer() != "PONG":
            raise _odd()


@contextmanager
def connected(settings: Scan) -> Iterator["Conversation"]:
    """One command's connection to clamd; Unsound (`scanner-away`) when there is none."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as line:
        line.settimeout(settings.timeout_seconds)
        try:
            line.connect(settings.clamd_socket)
        except (OSError, ValueError):  # ValueError: no path
            raise _away("can't be reached") from None
        yield Conversation(line, settings.timeout_seconds)


class Conversation:
    """A connection to clamd: each call takes at most `timeout` [s]."""

    def __init__(self, line: socket.socket, timeout: float) -> None:
        self._line = line
        self._timeout = timeout

    def send(self, *data: bytes) -> None:
        """Unsound: `scanner-away`, or what clamd said before it hung up."""
        try:
            for piece in data:
                self._line.sendall(piece)
        except TimeoutError:
            raise _away("takes nothing in") from None
        except OSError:  # it hung up, and may have said why
            self.answer()
            raise _away("hung up") from None

    def answer(self) -> str:
        """clamd's next answer, without its final NUL. Unsound: `scanner-away`, `scanner-limit`, `scanner-odd`."""
        until = monotonic() + self._timeout
        said = b""
        while b"\0" not in said:
            if len(said) > _LONGEST_ANSWER:
                raise _odd()
            try:
                self._line.settimeout(max(until - monotonic(), 0.001))
                more = self._line.recv(_LONGEST_ANSWER)
            except TimeoutError:
                raise _away("does not answer") from None
            except OSError:
                raise _away("hung up") from None
            finally:
                self._line.settimeout(self._timeout)
            if not more:
                raise _away("hung up")
            said += more
        text = said.partition(b"\0")[0].decode("ascii", "replace")
        if "size limit exceeded" in text:
            raise _limit()
        return text


class Scanning:
    """A delivery on its way past the scanner: `stream` is what to read in its place."""

    def __init__(self, talk: Conversation, stream: BinaryIO, max_bytes: int) -> None:
        self._talk = talk
        self._max_bytes = max_bytes
        self._pieces = self._told(stream)
        self.stream = cast(BinaryIO, Delivery(self._pieces))
        self._whole = False

    def _told(self, stream: BinaryIO) -> Iterator[bytes]:
        total = 0
        self._talk.send(b"zINSTREAM\0")
        while data := stream.read(_CHUNK):
            total += len(data)
            if total > self._max_bytes:
                raise DropRefused(finding("too-large-to-scan", limit=self._max_bytes))
            self._talk.send(struct.pack("!I", len(data)), data)
            yield data
        self._talk.send(struct.pack("!I", 0))  # at once: what is made of a zip comes later, and clamd does not wait for it
        self._whole = True

    def verdict(self) -> str | None:
        """The name of the signature that was found, or None. First reads the delivery to its end, if nobody did.

        Raises what that raises, and Unsound without a verdict: `scanner-away`, `scanner-limit`, `scanner-odd`.
        """
        for _ in self._pieces:
            pass
        if not self._whole:  # reading it failed before
            raise _odd()
        said = self._talk.answer()
        if said == "stream: OK":
            return None
        found = _FOUND.fullmatch(said)
        if found is None:
            raise _odd()
        name = found[1]
        if name.startswith(_NOT_LOOKED_AT):
            raise _limit()
        return name if len(name) <= _LONGEST_NAME and _NAME.fullmatch(name) else UNNAMED


def _away(what: str) -> Unsound:
    return Unsound("scanner-away", f"The malware scanner {what}.", _AGAIN)


def _limit() -> Unsound:
    return Unsound("scanner-limit", "The malware scanner's own limits are lower than [scan] max_bytes.", _AGAIN)


def _odd() -> Unsound:
    return Unsound("scanner-odd", "The malware scanner's answer is none that clamd gives.", _AGAIN)
