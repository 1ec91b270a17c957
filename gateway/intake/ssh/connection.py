"""One SSH connection of a vendor: who it is, what it may ask for (an sftp session and nothing else), and when it ends."""

import asyncio
import secrets
from typing import TYPE_CHECKING

import asyncssh
import structlog
from asyncssh import SSHKey, SSHServerChannel, SSHServerConnection

from gateway.intake.files.folders import VendorFolders
from gateway.intake.files.refusals import CATALOGUE
from gateway.intake.sftp.operations import VendorSftp
from gateway.intake.sftp.subsystem import SftpSession
from gateway.intake.ssh.activity import Activity
from gateway.store.vendors import may_enter

if TYPE_CHECKING:
    from gateway.intake.server import Endpoint

log = structlog.get_logger("sluis.intake")


class VendorConnection(asyncssh.SSHServer):
    """Public keys only. Every way in that asyncssh knows and that is not overridden here refuses by default; a test walks them."""

    def __init__(self, endpoint: "Endpoint") -> None:
        self.endpoint = endpoint
        self.activity = Activity()
        self.vendor = ""
        self.fingerprint = ""
        self.address = ""
        self.connection: SSHServerConnection | None = None
        self._logged_in = False

    # ------------------------------------------------------------ the connection

    def connection_made(self, conn: SSHServerConnection) -> None:
        self.connection = conn
        peer = conn.get_extra_info("peername")
        self.address = str(peer[0]) if peer else ""
        self.endpoint.counted.unauthenticated += 1
        self.endpoint.connections.add(self)
        if self.endpoint.counted.unauthenticated > self.endpoint.counted.max_unauthenticated:
            log.warning("connection.refused", code="too-many-unauthenticated", origin=self.address)
            conn.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self.endpoint.connections.discard(self)
        if self._logged_in:
            self.endpoint.counted.sessions[self.vendor] -= 1
            log.info("connection.ended", vendor=self.vendor, origin=self.address)
        else:
            self.endpoint.counted.unauthenticated -= 1

    def end(self, code: int, reason: str) -> None:
        """Cut the connection with a text that the client's log will show."""
        if self.connection is not None and not self.connection.is_closed():
            self.connection.disconnect(code, reason)

    # ------------------------------------------------------------ logging in

    def begin_auth(self, username: str) -> bool:
        return True  # an unknown account is asked for a key like a known one, and takes as long

    def public_key_auth_supported(self) -> bool:
        return True

    def password_auth_supported(self) -> bool:
        return False

    def kbdint_auth_supported(self) -> bool:
        return False

    def host_based_auth_supported(self) -> bool:
        return False

    def validate_host_based_user(self, username: str, client_host: str, client_username: str) -> bool:
        return False  # the base class says yes, since it counts on host-based logins being off

    def validate_gss_principal(self, username: str, user_principal: str, host_principal: str) -> bool:
        return False  # the same for Kerberos

    async def validate_public_key(self, username: str, key: SSHKey) -> bool:
        """Asked of the ledger each time, so that a change of keys works without a restart."""
        fingerprint = key.get_fingerprint()
        if not await asyncio.to_thread(self._may_enter, username, fingerprint):
            log.warning("login.refused", origin=self.address, key=fingerprint)
            return False
        self.vendor, self.fingerprint = username, fingerprint
        return True

    def _may_enter(self, vendor: str, fingerprint: str) -> bool:
        with self.endpoint.home.ledger.view() as session:
            return may_enter(session, vendor, fingerprint, self.address)

    async def still_may_enter(self) -> bool:
        return await asyncio.to_thread(self._may_enter, self.vendor, self.fingerprint)

    def auth_completed(self) -> None:
        counted = self.endpoint.counted
        self._logged_in = True
        counted.unauthenticated -= 1
        allowed = counted.may_begin(self.vendor)
        counted.sessions[self.vendor] += 1
        if not allowed:
            text = CATALOGUE["too-many-sessions"]
            log.warning("connection.refused", vendor=self.vendor, code="too-many-sessions", origin=self.address)
            self.end(asyncssh.DISC_TOO_MANY_CONNECTIONS, f"{text.dutch} / {text.english}")
            return
        log.info("login", vendor=self.vendor, origin=self.address, key=self.fingerprint)

    @property
    def logged_in(self) -> bool:
        return self._logged_in

    # ------------------------------------------------------------ what it may ask for

    def session_requested(self) -> SftpSession:
        self.activity.mark()
        return SftpSession(self._sftp)

    def _sftp(self, channel: SSHServerChannel[bytes]) -> VendorSftp:
        return VendorSftp(
            channel,
            VendorFolders(self.endpoint.home, self.endpoint.desk, secrets.token_hex(8), self.vendor, self.address),
            self.activity.mark,
        )
