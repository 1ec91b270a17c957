"""The desk with the defender and the doorstep beside it: who has logged in leaves the doorstep, who fails is remembered."""

import asyncio
import time

import structlog

from gateway.intake.front.defender import Defender
from gateway.intake.front.desk import FrontDesk
from gateway.intake.front.listener import Listener
from gateway.store.home import Home

log = structlog.get_logger("sluis.intake")


class Reception(FrontDesk):
    """What the doors of an endpoint ask."""

    def __init__(self, home: Home, defender: Defender) -> None:
        super().__init__(home)
        self._defender = defender
        self.listener: Listener | None = None

    async def enter(self, session: str, vendor: str, address: str) -> None:
        if self.listener is not None:
            self.listener.leaves(session)
        self._defender.succeeded(address, vendor)
        await super().enter(session, vendor, address)

    async def failed(self, session: str, address: str, account: str, reason: str) -> None:
        """Answers later the more there was before: the same for every account, whether it exists or not."""
        now = time.monotonic()
        if self._defender.failed(address, account, reason, now):
            log.warning("defender.shut-out", origin=address, seconds=round(self._defender.shut_out(address, now)))
        if account:  # otherwise nobody waits for the answer
            await asyncio.sleep(self._defender.delay(address, account, now))

    async def vendors_changed(self) -> None:
        """The limits of those who are here may be others now."""
        for vendor in self.visits.vendors():
            await self.allowance.account(vendor, anew=True)
