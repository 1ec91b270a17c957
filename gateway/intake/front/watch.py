"""Notices within a second that something about vendors changed: a key withdrawn, a network listed, a limit set.

Whoever changes it (`sluis vendor …`, in another process) writes an audit entry in the same transaction; how many there are says
whether to look again. So nobody has to be told, and nothing is missed by a notice that got lost.
"""

import asyncio
import ipaddress
from collections.abc import Awaitable, Callable

import structlog
from sqlmodel import Session, col, func, select

from gateway.store.home import Home
from gateway.store.models import AuditRow, Vendor, VendorCa, VendorKey

#: how often it looks [s]
EVERY = 0.5
#: how often everything is looked at anew although nothing changed: keys also expire [s]
AT_LEAST_EVERY = 30.0

log = structlog.get_logger("sluis.intake")

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def changes(session: Session) -> int:
    """How many entries tell of a change of vendors; a login is none."""
    told = select(func.count()).select_from(AuditRow)
    action = col(AuditRow.action)
    return session.exec(told.where(action >= "vendor.", action < "vendor/", action != "vendor.login")).one()


def listed_networks(session: Session) -> list[Network]:
    """The networks that vendors named as theirs, of keys and CAs that still count."""
    listed: set[str] = set()
    for table in (VendorKey, VendorCa):
        statement = select(table.sources).join(Vendor, col(Vendor.name) == table.vendor)
        for sources in session.exec(statement.where(col(table.revoked_at).is_(None), col(Vendor.removed_at).is_(None))):
            listed.update(sources)
    return [ipaddress.ip_network(network) for network in listed]


class Watch:
    """Looks at the ledger, and calls `changed` when something about vendors is not as it was."""

    def __init__(self, home: Home, changed: Callable[[], Awaitable[None]]) -> None:
        self._home = home
        self._changed = changed
        self._networks: list[Network] = []
        self._seen = -1
        self._looked_at = 0.0

    def own(self, address: str) -> bool:
        """Whether a vendor listed the address as its own. A network that takes in whole countries is nobody's own."""
        given = ipaddress.ip_address(address.partition("%")[0])
        if isinstance(given, ipaddress.IPv6Address) and given.ipv4_mapped is not None:
            given = given.ipv4_mapped
        return any(given in network for network in self._networks)

    async def look(self) -> None:
        """Look once."""
        now = asyncio.get_running_loop().time()
        seen, networks = await asyncio.to_thread(self._read)
        if seen == self._seen and now - self._looked_at < AT_LEAST_EVERY:
            return
        self._seen, self._looked_at = seen, now
        self._networks = [network for network in networks if network.prefixlen >= (8 if network.version == 4 else 24)]
        await self._changed()

    def _read(self) -> tuple[int, list[Network]]:
        with self._home.ledger.view() as session:
            seen = changes(session)
            return seen, self._networks if seen == self._seen else listed_networks(session)

    async def run(self) -> None:
        """Look for ever; the ledger may be away for a while."""
        away = False
        while True:
            try:
                await self.look()
                away = False
            except Exception:
                if not away:
                    log.exception("intake.watch-failed")
                away = True
            await asyncio.sleep(EVERY)
