"""Which request of SFTP version 3 does what: what stands in the two tables here is answered, everything else is unsupported.

A request is answered at once (bytes) or by a coroutine that answers later; whoever calls answers in order, so one request of a session
is under way at a time.
"""

from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from structlog.typing import FilteringBoundLogger

from gateway.intake.files.folders import VendorFolders
from gateway.intake.files.refusals import IntakeRefused
from gateway.intake.metrics import Metrics
from gateway.intake.sftp import wire
from gateway.intake.sftp.files import Files
from gateway.intake.sftp.places import Places
from gateway.intake.sftp.refusing import Refusing
from gateway.intake.sftp.wire import Fields, Malformed
from policies.errors import SluisError

#: requests that make no sense, after which a session ends
MAX_MALFORMED = 50

EXTENSIONS = (
    (b"posix-rename@openssh.com", b"1"),
    (b"statvfs@openssh.com", b"2"),
    (b"fstatvfs@openssh.com", b"2"),
    (b"fsync@openssh.com", b"1"),
    (b"limits@openssh.com", b"1"),
)

Later = Coroutine[Any, Any, bytes]
Answer = bytes | Later
Handler = Callable[[int, Fields], bytes | Awaitable[bytes]]


class Requests:
    """The requests of one session; `tell` is what Refusing wants."""

    def __init__(self, folders: VendorFolders, metrics: Metrics, log: FilteringBoundLogger, tell: Callable[[str], None]) -> None:
        self.files = Files(folders, metrics)
        self._log = log
        self._refusing = Refusing(folders, metrics, log, tell)
        self._greeted = False
        self._malformed = 0
        places = Places(folders, self.files)
        #: every request that is answered, with its name in the audit log
        self._table: dict[int, tuple[Handler, str]] = {
            wire.OPEN: (self.files.open, "open"),
            wire.CLOSE: (self.files.close, "close"),
            wire.READ: (self.files.read, "read"),
            wire.WRITE: (self.files.odd_write, "write"),
            wire.LSTAT: (places.stat, "stat"),
            wire.FSTAT: (self.files.fstat, "fstat"),
            wire.SETSTAT: (places.setstat, "setstat"),
            wire.FSETSTAT: (self.files.fsetstat, "fsetstat"),
            wire.OPENDIR: (self.files.opendir, "list"),
            wire.READDIR: (self.files.readdir, "list"),
            wire.REALPATH: (places.realpath, "realpath"),
            wire.STAT: (places.stat, "stat"),
            wire.RENAME: (places.rename, "rename"),
            wire.EXTENDED: (self._extended, "extended"),
            # known, and never allowed
            wire.REMOVE: (_forbidden, "denied"),
            wire.MKDIR: (_forbidden, "denied"),
            wire.RMDIR: (_forbidden, "denied"),
            wire.READLINK: (_forbidden, "denied"),
            wire.SYMLINK: (_forbidden, "denied"),
        }
        self._extensions: dict[bytes, Handler] = {
            b"posix-rename@openssh.com": places.posix_rename,
            b"statvfs@openssh.com": places.statvfs,
            b"fstatvfs@openssh.com": places.fstatvfs,
            b"fsync@openssh.com": self.files.fsync,
            b"limits@openssh.com": places.limits,
        }

    def answer(self, packet: memoryview) -> Answer:
        """The answer to a packet (without its length); Malformed when the session can't go on after it.

        `packet` must stay as it is until the answer is there.
        """
        kind = packet[0]
        if kind == wire.INIT or not self._greeted:
            return self._greet(kind, packet)
        if kind == wire.WRITE and (quick := wire.quick_write(packet)) is not None:
            request = quick[0]
            try:
                answer = self.files.write(*quick)
            except (SluisError, OSError) as error:
                return self._refusing.answer(request, "write", error)
            return answer if isinstance(answer, bytes) else self._then(request, "write", answer)
        return self._look_up(kind, packet)

    def _look_up(self, kind: int, packet: memoryview) -> Answer:
        if len(packet) < 5:
            raise Malformed("a request without a number")
        fields = Fields(packet, 1)
        request = fields.u32()
        handler, action = self._table.get(kind, (_unsupported, "unsupported"))
        try:
            answer = handler(request, fields)
        except (SluisError, OSError) as error:
            return self._refusing.answer(request, action, error)
        except Malformed:
            return self._confused(request, action)
        return answer if isinstance(answer, bytes) else self._then(request, action, answer)

    async def _then(self, request: int, action: str, work: Awaitable[bytes]) -> bytes:
        """The answer of `work`, or its refusal."""
        try:
            return await work
        except (SluisError, OSError) as error:
            return await self._refusing.answer(request, action, error)
        except Malformed:
            return await self._confused(request, action)
        except Exception:
            return await self._refusing.crashed(request, action)

    def _greet(self, kind: int, packet: memoryview) -> bytes:
        """INIT comes first, and once (draft §4)."""
        if kind != wire.INIT or self._greeted or len(packet) < 5 or Fields(packet, 1).u32() < wire.VERSION:
            raise Malformed("a session begins with INIT of version 3 or later")
        self._greeted = True
        return wire.version(EXTENSIONS)

    def _confused(self, request: int, action: str) -> Later:
        self._malformed += 1
        if self._malformed > MAX_MALFORMED:
            raise Malformed("too many requests that make no sense")
        return self._refusing.answer(request, action, IntakeRefused("bad-message"))

    def _extended(self, request: int, fields: Fields) -> bytes | Awaitable[bytes]:
        return self._extensions.get(fields.text(), _unsupported)(request, fields)

    @property
    def over(self) -> bool:
        """Whether nothing more should be answered: a client may overlook that its close was refused (curl and paramiko do), and take the
        size that it sees next for the proof of a delivery. It can't overlook that the session ended."""
        return self.files.disappointed

    async def abandon(self) -> None:
        """The session ends: what is open is lost, not closed."""
        for error in await self.files.lose():
            self._log.error("sftp.lose-failed", exc_info=error)


def _forbidden(request: int, fields: Fields) -> bytes:
    raise IntakeRefused("not-allowed")


def _unsupported(request: int, fields: Fields) -> bytes:
    raise IntakeRefused("unsupported")
