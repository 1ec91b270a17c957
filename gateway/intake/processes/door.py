"""A door: the part of the endpoint that speaks SSH with vendors. There is one per process; each connection gets it."""

from typing import TYPE_CHECKING

from gateway.intake.desk import Desk
from gateway.intake.metrics import Metrics
from gateway.store.config import Intake
from gateway.store.home import Home

if TYPE_CHECKING:
    from gateway.intake.ssh.connection import VendorConnection


class Door:
    """What the connections of one process share."""

    def __init__(self, home: Home, desk: Desk, metrics: Metrics) -> None:
        self.home = home
        self.desk = desk
        self.metrics = metrics
        self.connections: set[VendorConnection] = set()

    @property
    def config(self) -> Intake:
        """[intake] of sluis.toml as it was last read: a reload changes it."""
        return self.home.config.intake
