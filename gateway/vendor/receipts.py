"""Receipts as a vendor gets them: found by the sum of the bytes sent, believed only with the gateway's signature."""

from typing import Any

from audit import document
from audit.note import Verifier
from gateway.drop.receipt import SCHEMA
from gateway.vendor.connection import Connection
from gateway.vendor.outbox import Parcel
from gateway.vendor.refusals import refusal
from policies.errors import NotFound, Unsound

FOLDER = "/ontvangst"

#: states in which nothing more is to be expected soon
SETTLED = ("incomplete", "rejected", "accepted", "linked", "expired")
#: states that mean: the vendor has to do something
FAILED = ("incomplete", "rejected", "expired")


def verify(receipt: dict[str, Any], parcel: Parcel, verifier: Verifier) -> None:
    """Unsound when the receipt was not signed by the gateway, or is about other bytes than those sent."""
    try:
        document.check(receipt, [verifier])
    except Unsound:
        raise refusal("receipt-forged") from None
    if (receipt.get("sha256"), receipt.get("bytes"), receipt.get("file")) != (parcel.sha256, parcel.bytes, parcel.name):
        raise refusal("receipt-differs")


class Receipts:
    """Watches `ontvangst/` for the receipts of what was sent on this connection."""

    def __init__(self, connection: Connection, verifier: Verifier) -> None:
        self._connection = connection
        self._verifier = verifier
        self._settled: dict[str, dict[str, Any]] = {}  # read once: they are about other files, or wait for their turn

    def find(self, parcel: Parcel) -> dict[str, Any] | None:
        """The receipt of `parcel`, verified; None while there is none."""
        for name in self._connection.names(FOLDER):
            if not name.endswith(".json") or name.endswith(".certificaat.json"):
                continue
            receipt = self._settled.get(name) or self._read(f"{FOLDER}/{name}")
            if receipt is None:
                continue
            if receipt.get("state") in SETTLED:
                self._settled[name] = receipt
            if (receipt.get("sha256"), receipt.get("file")) == (parcel.sha256, parcel.name):
                verify(receipt, parcel, self._verifier)
                return receipt
        return None

    def _read(self, path: str) -> dict[str, Any] | None:
        try:
            receipt = document.read(self._connection.read(path))
        except (NotFound, Unsound):
            return None
        return receipt if receipt.get("schema") == SCHEMA else None
