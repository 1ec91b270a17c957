"""Send files: encrypt, upload under an unfinished name, rename, wait for the receipt. Goes on after a broken connection."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from gateway.vendor.connection import BROKEN, Access, Connection, connect
from gateway.vendor.outbox import Parcel, pack, unpack_done
from gateway.vendor.receipts import SETTLED, Receipts, gateway_verifier
from gateway.vendor.target import Target
from policies.errors import Refused

T = TypeVar("T")

FOLDERS = ("leveringen", "bezwaren")
KEY_FILE = "/sleutels/sluis.age.txt"

#: how often a connection may break before giving up, and the longest pause before it is made again [s]
ATTEMPTS = 6
LONGEST_PAUSE_SECONDS = 30.0
#: how often is looked for a receipt [s]
POLL_SECONDS = 0.5

#: what is going on: file, "encrypt" | "upload" | "wait" | "reconnect", bytes done, bytes in all
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
    folder: str = "leveringen"
    wait_seconds: float = 0.0  # for each receipt; 0: don't wait
    gateway_key: str | None = None  # the vkey that must sign the receipts
    attempts: int = ATTEMPTS


def recipients_of(text: str) -> list[str]:
    """The age keys in `sluis.age.txt`: a line each, `#` starts a remark."""
    keys = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")]
    if not keys:
        raise Refused("no-gateway-key", "The gateway hands out no key to encrypt to.", "Tell the gateway's owner.")
    return keys


class Sender:
    """Carries out an Order over one connection, which is made again when it breaks."""

    def __init__(self, order: Order, tell: Tell) -> None:
        self.order = order
        self.tell = tell
        self._broken = 0

    def run(self) -> list[Sent]:
        """Deliver every file, then wait for the receipts. Refused, NotFound or Unsound from any step."""
        parcels: list[Parcel] = []
        delivered: set[Path] = set()
        receipts: dict[Path, dict[str, Any]] = {}

        def session(connection: Connection) -> None:
            keys = recipients_of(connection.read(KEY_FILE).decode())
            watch = Receipts(connection, gateway_verifier(connection, self.order.gateway_key))
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
            raise Refused(
                "connection-lost", f"The connection was lost {self._broken} time(s).", "Run the command again: it goes on where it stopped."
            )
        self.tell("", "reconnect", self._broken, self.order.attempts)
        time.sleep(min(2.0 ** (self._broken - 1) / 2, LONGEST_PAUSE_SECONDS))

    def _pack(self, file: Path, keys: Sequence[str]) -> Parcel:
        return pack(file, self.order.target, keys, self.order.outbox, lambda done, total: self.tell(file.name, "encrypt", done, total))

    def _deliver(self, connection: Connection, parcel: Parcel, watch: Receipts) -> None:
        final = f"/{self.order.folder}/{parcel.name}"
        unfinished = f"{final}.part"
        if connection.is_delivered(final):
            if watch.find(parcel) is not None:
                return  # an earlier run delivered it, and the answer got lost
            raise Refused("name-taken", f"The gateway has a file {parcel.name} already.", "Give the new file another name.")
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


def _said(error: OSError) -> Refused:
    return Refused("refused-by-gateway", f"The gateway refuses the file: {error.strerror or error}", "Nothing was delivered.")
