"""Which names vendors have delivered under: asked at each upload, so that it may not cost a look into the ledger.

Of each name eight bytes are kept, of its twin key, so a miss is certain; a hit is looked up. Names only ever come in through this endpoint,
so what was read once and what was delivered since is all there is.
"""

import asyncio
from array import array
from bisect import bisect_left
from hashlib import blake2b

from gateway.intake.files.names import twin_key
from gateway.intake.files.refusals import IntakeRefused
from gateway.intake.front.registrar import Registrar
from gateway.store.deliveries import Delivered, delivered_names, delivery_of
from gateway.store.home import Home


def _print(folder: str, name: str) -> int:
    return int.from_bytes(blake2b(f"{folder}/{twin_key(name)}".encode(), digest_size=8).digest(), "big")


class DeliveredNames:
    """Of every vendor that has asked. Only ever touched from the event loop."""

    def __init__(self, home: Home, registrar: Registrar) -> None:
        self._home = home
        self._registrar = registrar
        self._read: dict[str, array[int]] = {}  # sorted
        self._since: dict[str, set[int]] = {}
        self.counts: dict[str, int] = {}  # grows with each delivery of a vendor

    def add(self, vendor: str, folder: str, name: str) -> None:
        """It was delivered, whether the ledger knows yet or not."""
        self._since.setdefault(vendor, set()).add(_print(folder, name))
        self.counts[vendor] = self.counts.get(vendor, 0) + 1

    async def check_free(self, vendor: str, folder: str, name: str) -> None:
        """IntakeRefused (`name-taken`, `name-twin`) when the vendor may not deliver under that name any more."""
        if not await self.may_hold(vendor, folder, name):
            return
        for manifest in self._registrar.waiting.values():
            if (manifest.vendor, manifest.folder) == (vendor, folder) and twin_key(manifest.file_name) == twin_key(name):
                raise IntakeRefused("name-taken" if manifest.file_name == name else "name-twin")
        delivered = await asyncio.to_thread(self._delivery, vendor, folder, name)
        if delivered is None:
            raise IntakeRefused("name-twin")
        if delivered.final:
            raise IntakeRefused("name-taken")

    async def may_hold(self, vendor: str, folder: str, name: str) -> bool:
        """False: nothing was ever delivered under that name, nor under one like it. True: the ledger knows."""
        if vendor not in self._read:
            self._read[vendor] = await asyncio.to_thread(self._names, vendor)
        return self._seen(vendor, _print(folder, name))

    def _seen(self, vendor: str, number: int) -> bool:
        if number in self._since.get(vendor, ()):
            return True
        read = self._read[vendor]
        at = bisect_left(read, number)
        return at < len(read) and read[at] == number

    def _names(self, vendor: str) -> "array[int]":
        with self._home.ledger.view() as session:
            return array("Q", sorted({_print(folder, name) for folder, name in delivered_names(session, vendor)}))

    def _delivery(self, vendor: str, folder: str, name: str) -> Delivered | None:
        with self._home.ledger.view() as session:
            return delivery_of(session, vendor, folder, name)
