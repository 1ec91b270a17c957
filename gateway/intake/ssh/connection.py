"""One SSH connection of a vendor: who it is, what it may ask for (an sftp session and nothing else), and when it ends."""

import asyncio
from collections.abc import Coroutine
from datetime import datetime, timedelta
from typing import Any, Protocol

import asyncssh
import structlog
from asyncssh import SSHKey, SSHServerConnection
from sqlalchemy.exc import SQLAlchemyError
from structlog.typing import FilteringBoundLogger

from gateway.intake.activity import Activity, LoginBook
from gateway.intake.files.folders import VendorFolders
from gateway.intake.files.refusals import CATALOGUE
from gateway.intake.metrics import Metrics, Totals
from gateway.intake.sftp.session import SftpSession
from gateway.intake.ssh.lean import may_ask_again
from gateway.intake.ssh.login import Login, Shared
from gateway.store.entrance import Admission

#: session channels that one connection may have open at once; clients open a second one to try for a shell
MAX_CHANNELS = 8
#: how a connection ends that did not speak SSH as it should
NO_SSH = (asyncssh.ProtocolError, asyncssh.ProtocolNotSupported, asyncssh.MACError, asyncssh.CompressionError)
#: a timer does not look further ahead than this; it looks again then [s]
LONGEST_TIMER = 86_400.0

log = structlog.get_logger("sluis.intake")


class Shares(Shared, Protocol):
    """What a connection needs of the door that it came through."""

    @property
    def connections(self) -> "set[VendorConnection]": ...
    @property
    def logins(self) -> LoginBook: ...


class VendorConnection(asyncssh.SSHServer):
    """Public keys and user certificates only. Every way in that asyncssh knows and that is not overridden here refuses by default; a test
    walks them."""

    def __init__(self, door: Shares, session: str, address: str) -> None:
        self.door = door
        self.session = session
        self.address = address
        self.activity = Activity()
        self.totals = Totals(door.metrics)
        self.connection: SSHServerConnection | None = None
        self.logged_in = False
        self._login = Login(door, session, address, self.end)
        self._folders: VendorFolders | None = None
        self._channels: set[_Channel] = set()
        self._changed = False  # somebody's right to come in was changed while this connection had not logged in
        self._until: datetime | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def vendor(self) -> str:
        """Whose connection it is; empty until that is proven."""
        return self._login.vendor

    # ------------------------------------------------------------ the connection

    def connection_made(self, conn: SSHServerConnection) -> None:
        self.connection = conn
        self.door.connections.add(self)
        self._login.watch(conn)

    def connection_lost(self, exc: Exception | None) -> None:
        self.door.connections.discard(self)
        if self._timer is not None:
            self._timer.cancel()
        if self.logged_in:
            self.door.metrics.session(-1)
            log.info("session.ended", **self._who, **self.totals.told(), seconds=round(self.activity.seconds(), 1))
        elif isinstance(exc, NO_SSH):
            self._start(self.door.desk.failed(self.session, self.address, "", "protocol"))
        self._start(self._login.leave())

    def end(self, code: int, reason: str) -> None:
        """Cut the connection with a text that the client's log will show."""
        if self.connection is not None and not self.connection.is_closed():
            for channel in self._channels:
                channel.say(reason)
            self.connection.disconnect(code, reason)

    @property
    def _who(self) -> dict[str, str]:
        return {"session": self.session, "vendor": self.vendor, "origin": self.address, "key": self._login.admission.fingerprint}

    def _start(self, what: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(what)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # ------------------------------------------------------------ logging in

    def begin_auth(self, username: str) -> bool:
        self._login.begins(username)
        return True  # an unknown account is asked for a key like a known one, and takes as long

    def public_key_auth_supported(self) -> bool:
        self._login.asked()  # asyncssh wants to know it for each request that it refuses
        if self.connection is not None:
            may_ask_again(self.connection)
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

    def validate_public_key(self, username: str, key: SSHKey) -> bool:
        return self._login.expects(key.public_data)

    def auth_completed(self) -> None:
        if not self.vendor:  # nobody comes in unproven, whatever a version of asyncssh thinks
            self.end(asyncssh.DISC_NO_MORE_AUTH_METHODS_AVAILABLE, "")
            return
        self.logged_in = True
        self.activity.mark()
        self.door.metrics.login("ok")
        self.door.metrics.session(+1)
        self.door.logins.note(self.vendor, self._login.admission.fingerprint, self.address)
        log.info("session.began", **self._who)
        if self.connection is not None:
            # asyncssh 2.24 does it by itself when it listens, and forgets it on a socket that it is given; twice would end OpenSSH's client
            self.connection.send_server_host_keys()
        self._mind_the_end(self._login.admission)
        if self._changed:  # while it was coming in, after the ledger was asked for the last time
            self._look_again()

    # ------------------------------------------------------------ is it still good

    async def recheck(self) -> None:
        """See whether what this connection came in with still counts, and cut it when it does not."""
        if not self.logged_in:
            self._changed = True
            return
        if self.connection is None or self.connection.is_closed():
            return
        try:
            admission = await self._login.still_good()
        except SQLAlchemyError:  # what has come to its end does so without the ledger
            if self._until is None or self.door.home.clock() < self._until:
                raise
            admission = Admission("expired")
        if admission.granted:
            self._mind_the_end(admission)
            return
        log.warning("session.withdrawn", **self._who, reason=admission.reason)
        text = CATALOGUE["login-withdrawn"]
        self.end(asyncssh.DISC_NO_MORE_AUTH_METHODS_AVAILABLE, f"{text.dutch} / {text.english}")

    def _mind_the_end(self, admission: Admission) -> None:
        """Look again at the moment when the key, its CA or the certificate expires."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._until = admission.until
        if admission.until is not None:
            left = (admission.until - self.door.home.clock()) / timedelta(seconds=1)
            self._timer = asyncio.get_running_loop().call_later(min(max(left, 0.05), LONGEST_TIMER), self._look_again)

    def _look_again(self) -> None:
        self._start(self.recheck())

    # ------------------------------------------------------------ what it may ask for

    def session_requested(self) -> SftpSession | bool:
        self.activity.mark()
        if not self.logged_in or len(self._channels) >= MAX_CHANNELS:
            return False
        if self._folders is None:  # one for all channels: the desk knows the connection, not its channels
            self._folders = VendorFolders(self.door.home, self.door.desk, self.session, self.vendor, self.address)
        channel = _Channel(self._folders, self.activity, self.totals, log, self._channels)
        self._channels.add(channel)
        return channel


class _Channel(SftpSession):
    """A session channel that its connection counts while it is open."""

    def __init__(
        self, folders: VendorFolders, activity: Activity, metrics: Metrics, log: FilteringBoundLogger, open_now: "set[_Channel]"
    ) -> None:
        super().__init__(folders, activity, metrics, log)
        self._open_now = open_now

    def connection_lost(self, exc: Exception | None) -> None:
        self._open_now.discard(self)
        super().connection_lost(exc)
