"""The only file that leans on private parts of asyncssh: tests/unit/test_intake_subsystem.py fails clearly when they move.

Two things its public interface does not tell: whether a handle is closed because the client asked or because the connection ended,
and which requests and extensions the server answers at all.
"""

from typing import Any

from asyncssh import SFTPServer, SSHReader, SSHServerChannel, SSHWriter
from asyncssh.constants import (
    FXP_CLOSE,
    FXP_FSETSTAT,
    FXP_FSTAT,
    FXP_LSTAT,
    FXP_MKDIR,
    FXP_OPEN,
    FXP_OPENDIR,
    FXP_READ,
    FXP_READDIR,
    FXP_READLINK,
    FXP_REALPATH,
    FXP_REMOVE,
    FXP_RENAME,
    FXP_RMDIR,
    FXP_SETSTAT,
    FXP_STAT,
    FXP_SYMLINK,
    FXP_WRITE,
)
from asyncssh.packet import SSHPacket
from asyncssh.sftp import SFTPLimits, SFTPServerHandler
from asyncssh.stream import SSHServerStreamSession

from gateway.intake.sftp.operations import MAX_HANDLES, VendorSftp

#: the requests of version 3; what a vendor may not do with them, VendorSftp refuses with a reason
REQUESTS: tuple[int | bytes, ...] = (
    FXP_OPEN, FXP_CLOSE, FXP_READ, FXP_WRITE, FXP_LSTAT, FXP_FSTAT, FXP_SETSTAT, FXP_FSETSTAT, FXP_OPENDIR, FXP_READDIR, FXP_REMOVE,
    FXP_MKDIR, FXP_RMDIR, FXP_REALPATH, FXP_STAT, FXP_RENAME, FXP_READLINK, FXP_SYMLINK,
    b"posix-rename@openssh.com", b"fsync@openssh.com", b"limits@openssh.com",
)  # fmt: skip

#: announced to clients; OpenSSH's writes pieces of at most 255 KiB whatever is allowed [bytes]
MAX_PACKET, MAX_READ, MAX_WRITE = 1 << 20, 256 << 10, 512 << 10


class RequestHandler(SFTPServerHandler):
    """Answers only REQUESTS, and tells the server when the session ends before its handles are closed."""

    _packet_handlers = {kind: SFTPServerHandler._packet_handlers[kind] for kind in REQUESTS}
    _extensions = [(b"posix-rename@openssh.com", b"1"), (b"fsync@openssh.com", b"1"), (b"limits@openssh.com", b"1")]

    async def _cleanup(self, exc: Exception | None) -> None:
        if isinstance(self._server, VendorSftp):
            self._server.connection_ended()
        await super()._cleanup(exc)

    async def _process_limits(self, packet: SSHPacket) -> SFTPLimits:
        packet.check_end()
        return SFTPLimits(MAX_PACKET, MAX_READ, MAX_WRITE, MAX_HANDLES)


RequestHandler._packet_handlers[b"limits@openssh.com"] = RequestHandler._process_limits  # type: ignore[assignment]


class SftpSession(SSHServerStreamSession[bytes]):
    """A session channel that serves the sftp subsystem and refuses shell, exec and everything else."""

    def __init__(self, server_of: Any) -> None:
        super().__init__(None, None, 3, False)
        self._server_of = server_of
        self._channel: SSHServerChannel[bytes] | None = None

    def connection_made(self, chan: SSHServerChannel[bytes]) -> None:  # type: ignore[override]
        self._channel = chan
        super().connection_made(chan)

    def subsystem_requested(self, subsystem: str) -> bool:
        return subsystem == "sftp"

    def session_started(self) -> None:
        if self._channel is None:
            return
        reader, writer = SSHReader(self, self._channel), SSHWriter(self, self._channel)
        server: SFTPServer = self._server_of(self._channel)
        handler = RequestHandler(server, reader, writer, 3)
        self._channel.get_connection().create_task(handler.run(), reader.logger)
