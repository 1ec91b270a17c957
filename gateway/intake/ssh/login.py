"""How one connection proves who it is: a public key, or a user certificate of the vendor's CA; nothing else, and not too often.

asyncssh asks the ledger's question too late and knows too little for it: it hands over a certificate's CA, but not its serial, key id or
options, and a key, but not how it signed. So each offer passes here first, whole. What is let through is then checked by
asyncssh's own code, as a plain public key. Should a version of it no longer ask here, nobody comes in: `expects` says no to every key.
"""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any, Protocol

import asyncssh
import structlog
from asyncssh import SSHServerConnection
from sqlalchemy.exc import SQLAlchemyError

from gateway.intake.desk import Desk
from gateway.intake.files.refusals import CATALOGUE, IntakeRefused
from gateway.intake.metrics import Metrics
from gateway.intake.ssh.certificates import NotCertified, certified, signature_counts
from gateway.store.entrance import Admission, admit
from gateway.store.home import Home
from gateway.store.ssh_offers import Offer, read_offer
from gateway.store.ssh_wire import Malformed

#: keys that one connection may offer; OpenSSH's server ends after 6 attempts, and agents hold more
MAX_OFFERS = 12
#: requests to log in of any kind that one connection may make: passwords, `none` and the like are answered with no, and counted
MAX_REQUESTS = 40
#: of a name that is no account, so much is remembered by the defender [characters]
MAX_NAME = 256

log = structlog.get_logger("sluis.intake")

#: asyncssh's own check of an offer: account, key blob, what was signed (empty: nothing yet), signature
Check = Callable[[str, bytes, bytes, bytes], Awaitable[bool]]


class Shared(Protocol):
    """What a login needs of the door."""

    @property
    def home(self) -> Home: ...
    @property
    def desk(self) -> Desk: ...
    @property
    def metrics(self) -> Metrics: ...


class Login:
    """One connection's way in. `end` cuts the connection with a code and a text."""

    def __init__(self, door: Shared, session: str, address: str, end: Callable[[int, str], None]) -> None:
        self._door = door
        self._session = session
        self._address = address
        self._end = end
        self.vendor = ""  # set when it is proven
        self.admission = Admission("nobody")
        self._offer: Offer | None = None
        self._account: str | None = None
        self._expected = b""
        self._offers = self._requests = 0
        self._entering = False

    def watch(self, connection: SSHServerConnection) -> None:
        """From now on each offer of a key to `connection` passes through `_offered`."""
        check: Check = connection.validate_public_key

        async def offered(username: str, key_data: bytes, msg: bytes, signature: bytes) -> bool:
            return await self._offered(check, username, key_data, msg, signature)

        held: Any = connection
        held.validate_public_key = offered

    def expects(self, public_data: bytes) -> bool:
        """Whether a key is the one that was let through to asyncssh's check just now."""
        return bool(self._expected) and public_data == self._expected

    # ------------------------------------------------------------ bounds

    def begins(self, account: str) -> None:
        """A client names an account; a second name on one connection is a search for names."""
        if self._account is not None and account != self._account:
            self._cut("account-changed")
        self._account = account

    def asked(self) -> None:
        """One more request to log in was refused."""
        self._requests += 1
        if self._requests > MAX_REQUESTS:
            self._cut("too-many-requests")

    def _cut(self, why: str) -> None:
        log.warning("login.ended", session=self._session, origin=self._address, reason=why)
        text = CATALOGUE["too-many-attempts"]
        self._end(asyncssh.DISC_NO_MORE_AUTH_METHODS_AVAILABLE, f"{text.dutch} / {text.english}")

    def _sorry(self) -> None:
        """The ledger does not answer: that is no refusal of a key, and the client is to come back."""
        log.error("login.no-ledger", session=self._session, origin=self._address)
        self._door.metrics.login("no-ledger")
        text = CATALOGUE["ledger-behind"]
        self._end(asyncssh.DISC_SERVICE_NOT_AVAILABLE, f"{text.dutch} / {text.english}")

    # ------------------------------------------------------------ one offer

    async def _offered(self, check: Check, account: str, data: bytes, message: bytes, signature: bytes) -> bool:
        """A key or certificate; `message` and `signature` are empty while the client only asks whether it would do."""
        self._expected = b""
        self._offers += 1
        if self._offers > MAX_OFFERS:
            self._cut("too-many-offers")
            return False
        try:
            offer = read_offer(data)
        except Malformed:
            offer = None
        try:
            admission = await asyncio.to_thread(self._ask, account, offer)
        except SQLAlchemyError:
            self._sorry()
            return False
        if not admission.granted or offer is None:
            return await self._refuse(account, admission.reason, offer)
        try:
            self._expected = data if offer.certificate is None else certified(data, offer)
        except NotCertified:
            return await self._refuse(account, "certificate-signature", offer)
        if message and not signature_counts(offer.kind, signature, admission.verify_required):
            return await self._refuse(account, "signature-form", offer)
        if not await check(account, self._expected, message, signature):
            return await self._refuse(account, "signature", offer)
        return await self._enter(account, offer, admission) if message else True

    def _ask(self, account: str, offer: Offer | None) -> Admission:
        with self._door.home.ledger.view() as session:
            return admit(session, account, offer, self._address, self._now())

    def _now(self) -> datetime:
        return self._door.home.clock()

    async def _refuse(self, account: str, reason: str, offer: Offer | None) -> bool:
        """The same answer for every reason. What is no account is not logged: people type passwords there."""
        known = {} if reason in ("account-unknown", "offer-unreadable") else {"vendor": account}
        key = {} if offer is None else {"key": offer.certificate.ca if offer.certificate else offer.fingerprint}
        log.warning("login.refused", session=self._session, origin=self._address, reason=reason, **known, **key)
        self._door.metrics.login(reason)
        counted = "certificate-refused" if offer is not None and offer.certificate else "key-refused"
        await self._door.desk.failed(self._session, self._address, account[:MAX_NAME], counted)
        return False

    async def _enter(self, account: str, offer: Offer, admission: Admission) -> bool:
        """Proven; the desk says whether there is room, before the client hears that it is in."""
        if self._entering:  # an earlier proof on this connection, which the client did not wait for
            await self._door.desk.leave(self._session)
        self._entering = True
        try:
            await self._door.desk.enter(self._session, account, self._address)
        except IntakeRefused as refused:
            self._entering = False
            if refused.code == "ledger-behind":
                self._sorry()
                return False
            log.warning("login.refused", session=self._session, vendor=account, origin=self._address, reason=refused.code)
            self._door.metrics.login(refused.code)
            self._end(asyncssh.DISC_TOO_MANY_CONNECTIONS, refused.said)
            return False
        self.vendor, self._offer, self.admission = account, offer, admission
        return True

    async def still_good(self) -> Admission:
        """What the ledger says now of the proof that this connection came in with."""
        return await asyncio.to_thread(self._ask, self.vendor, self._offer)

    async def leave(self) -> None:
        """The connection is gone."""
        if self._entering:
            self._entering = False
            await self._door.desk.leave(self._session)
