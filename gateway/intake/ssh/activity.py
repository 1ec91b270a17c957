"""How much of the endpoint one vendor, and everybody together, may use. Exact: counted when it begins and when it ends."""

import time
from collections import Counter
from dataclasses import dataclass, field

#: connections that have not logged in yet, of everybody together; the next one is cut
MAX_UNAUTHENTICATED = 100


@dataclass
class Activity:
    """When a connection last did something, and whether it is doing something now."""

    started: float = field(default_factory=time.monotonic)
    last: float = field(default_factory=time.monotonic)
    busy: int = 0

    def mark(self, change: int = 0) -> None:
        """Something happened; `change` is +1 when it goes on for a while and -1 when that ends."""
        self.busy += change
        self.last = time.monotonic()

    def idle_seconds(self) -> float:
        """How long nothing has happened [s]; 0 while something is going on."""
        return 0.0 if self.busy else time.monotonic() - self.last


class Counted:
    """Sessions per vendor and logins under way. Only ever touched from the event loop."""

    def __init__(self, per_vendor: int, unauthenticated: int = MAX_UNAUTHENTICATED) -> None:
        self.per_vendor = per_vendor
        self.max_unauthenticated = unauthenticated
        self.unauthenticated = 0
        self.sessions: Counter[str] = Counter()

    def may_begin(self, vendor: str) -> bool:
        return self.sessions[vendor] < self.per_vendor
