"""Send files: check, encrypt, upload under an unfinished name, rename, wait for the receipt. Goes on after a broken connection."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gateway.vendor.check import RULES_FILE, Against, Verdict, check_file, folder_of, rules_of
from gateway.vendor.connection import BROKEN, Access, Connection, connect
from gateway.vendor.known import Gateway
from gateway.vendor.outbox import Parcel, is_encrypted, pack, unpack_done
from gateway.vendor.receipts import SETTLED, Receipts
from gateway.vendor.refusals import refusal
from gateway.vendor.target import Target
from policies.errors import NotFound, Refused, SluisError, Unsound
from policies.rules import Rules, packaged_rules

FOLDERS = ("leveringen", "bezwaren")

#: how often a connection may break before giving up, and the longest pause before it is made again [s]
ATTEMPTS = 6
LONGEST_PAUSE_SECONDS = 30.0
#: how often is looked for a receipt [s]
POLL_SECONDS = 0.5

#: what is going on: file, "check" | "encrypt" | "upload" | "wait" | "reconnect", bytes done, bytes in all
Tell = Callable[[str, str, int, int], None]


@dataclass(frozen=True)
class Sent:
    """One file that was delivered; `receipt` is None when none came in time, or none was waited for."""

    source: Path
    name: str
    bytes: int
    sha256: str
    receipt: dict[str, Any] | None


@dataclass(frozen=True)
class Order:
    """What to send, where to, and how."""

    files: Sequence[Path]
    target: Target
    access: Access
    outbox: Path
    known_gateways: Path  # remembers the key that each gateway signs with
    folder: str | None = None  # None: the one that the content belongs in
    wait_seconds: float = 0.0  # for each receipt; 0: don't wait
    gateway_key: str | None = None  # the vkey that must sign, instead of the one that is remembered
    recipient: str | None = None  # the age key that must be the gateway's
    check: bool = True  # what is refused by the gateway's own checks is not sent
    against: Against | None = None  # what to check against; None: the rules that the gateway hands out
    attempts: int = ATTEMPTS


class NotFit(Refused):
    """Files that the gateway would refuse: nothing was sent. `verdicts` are those of all files that were checked."""

    def __init__(self, verdicts: Sequence[Verdict]) -> None:
        told = refusal("not-fit", count=sum(verdict.refused for verdict in verdicts))
        super().__init__(told.code, told.message, told.hint)
        self.dutch = told.dutch
        self.verdicts = verdicts


class Sender:
    """Carries out an Order over one connection, which is made again when it breaks."""

    def __init__(self, order: Order, tell: Tell) -> None:
        self.order = order
        self.tell = tell
        self.new_key: str | None = None  # the signing key of a gateway that was met for the first time
        self._broken = 0
        self._folders: dict[Path, str] = {}

    def run(self) -> list[Sent]:
        """Deliver every file, then wait for the receipts. NotFit, or Refused, NotFound or Unsound from any step."""
        parcels: list[Parcel] = []
        delivered: set[Path] = set()
        receipts: dict[Path, dict[str, Any]] = {}

        def session(connection: Connection) -> None:
            gateway = Gateway(connection, self.order.target, self.order.known_gateways, self.order.gateway_key)
            keys = self._keys(gateway)
            watch = Receipts(connection, gateway.verifier)
            if not self._folders:
                self._folders = self._checked(connection)
            for file in self.order.files[len(parcels) :]:
                parcels.append(self._pack(file, keys))
            for parcel in parcels:
                if parcel.source not in delivered:
                    self._deliver(connection, parcel, watch)
                    delivered.add(parcel.source)
            for parcel in parcels:
                if self.order.wait_seconds and parcel.source not in receipts and (found := self._wait(watch, parcel)):
                    receipts[parcel.source] = found

        self._keep_going(session)
        for parcel in parcels:
            unpack_done(parcel)
        return [Sent(p.source, p.name, p.bytes, p.sha256, receipts.get(p.source)) for p in parcels]

    def _keys(self, gateway: Gateway) -> list[str]:
        """The keys to encrypt to. A gateway that was not known is remembered once its signature over them is right."""
        keys = gateway.age_keys()
        wanted = self.order.recipient
        if wanted is not None and wanted not in keys:
            raise refusal("wrong-recipient-key")
        if gateway.is_new:
            gateway.remember()
            self.new_key = gateway.verifier.vkey
        return keys if wanted is None else [wanted]

    def _checked(self, connection: Connection) -> dict[Path, str]:
        """File → folder, once all that can be checked is fit to be sent."""
        against = self.order.against or Against(rules=_rules(connection)) if self.order.check else None
        verdicts = []
        folders = {}
        for file in self.order.files:
            if _is_ready(file):
                folders[file] = self.order.folder or FOLDERS[0]
                continue
            folders[file] = self.order.folder or folder_of(file)
            if against is None:
                continue
            self.tell(file.name, "check", 0, 0)
            verdicts.append(check_file(file, against))
            if folders[file] != verdicts[-1].folder:
                raise refusal("wrong-folder", name=file.name, folder=verdicts[-1].folder)
        if any(verdict.refused for verdict in verdicts):
            raise NotFit(verdicts)
        return folders

    def _keep_going(self, session: Callable[[Connection], None]) -> None:
        while True:
            try:
                with connect(self.order.target, self.order.access) as connection:
                    session(connection)
                return
            except BROKEN:
                self._again("broken")
            except Refused as refused:
                if refused.code != "unreachable" or self._broken == 0:
                    raise
                self._again("unreachable")

    def _again(self, why: str) -> None:
        self._broken += 1
        if self._broken >= self.order.attempts:
            raise refusal("connection-lost", count=self._broken)
        self.tell("", "reconnect", self._broken, self.order.attempts)
        time.sleep(min(2.0 ** (self._broken - 1) / 2, LONGEST_PAUSE_SECONDS))

    def _pack(self, file: Path, keys: Sequence[str]) -> Parcel:
        return pack(file, self.order.target, keys, self.order.outbox, lambda done, total: self.tell(file.name, "encrypt", done, total))

    def _deliver(self, connection: Connection, parcel: Parcel, watch: Receipts) -> None:
        final = f"/{self._folders[parcel.source]}/{parcel.name}"
        unfinished = f"{final}.part"
        if connection.is_delivered(final):
            if watch.find(parcel) is not None:
                return  # an earlier run delivered it, and the answer got lost
            raise refusal("name-taken", name=parcel.name)
        there = connection.size(unfinished) or 0
        resume = there if (parcel.resumable or self._broken) and there <= parcel.bytes else 0

        def told(done: int, total: int) -> None:
            self._broken = min(self._broken, 1)  # it moves: start counting anew
            self.tell(parcel.source.name, "upload", done, total)

        if resume < parcel.bytes or parcel.bytes == 0:
            try:
                connection.upload(parcel.content, unfinished, resume, told)
            except OSError as error:
                if isinstance(error, BROKEN):
                    raise
                if not resume:
                    raise _said(error) from None
                connection.upload(parcel.content, unfinished, 0, told)  # what is there is of another file: from the start
        connection.rename(unfinished, final)

    def _wait(self, watch: Receipts, parcel: Parcel) -> dict[str, Any] | None:
        until = time.monotonic() + self.order.wait_seconds
        found = None
        while time.monotonic() < until:
            self.tell(parcel.source.name, "wait", 0, 0)
            found = watch.find(parcel)
            if found is not None and found["state"] in SETTLED:
                return found
            time.sleep(POLL_SECONDS)
        return found


def _is_ready(file: Path) -> bool:
    try:
        return is_encrypted(file)
    except OSError:
        raise refusal("no-file", path=file) from None


def _rules(connection: Connection) -> Rules:
    """The format's rules with what this gateway adds to them."""
    try:
        text = connection.read(f"/sleutels/{RULES_FILE}").decode("utf-8", errors="replace")
    except NotFound:
        return packaged_rules("nco-lvs-1")
    try:
        return rules_of(text)
    except Unsound:
        raise refusal("rules-not-understood") from None


def _said(error: OSError) -> SluisError:
    return refusal("refused-by-gateway", reason=error.strerror or error)
