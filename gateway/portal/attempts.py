"""Back-off against guessing: after some failures one waits, ever longer, but never long enough to lock a board out.

Counted per account (as typed, known or not: the answer is the same) and per address (an IPv6 address by its /64: one household
has a whole one). Kept in memory: a restart forgets, which costs nothing against passwords of 89 bits.
"""

import ipaddress
from collections import OrderedDict
from dataclasses import dataclass

#: Names that are remembered at once; the one untouched for longest is forgotten first.
REMEMBERED = 10_000


@dataclass(frozen=True)
class Patience:
    free: int  # failures without a wait
    longest_wait: float  # [s]
    forget_after: float  # [s] since the last failure


ACCOUNT = Patience(free=5, longest_wait=60, forget_after=900)
ADDRESS = Patience(free=20, longest_wait=300, forget_after=900)


@dataclass
class _Count:
    failures: int = 0
    last: float = 0.0


class Attempts:
    """Failures by name; times are a monotonic clock's [s]."""

    def __init__(self, patience: Patience) -> None:
        self._patience = patience
        self._counts: OrderedDict[str, _Count] = OrderedDict()

    def wait(self, name: str, now: float) -> float:
        """How long until the next attempt is heard [s]; 0 when it is now."""
        count = self._counts.get(name)
        if count is None or now - count.last >= self._patience.forget_after or count.failures <= self._patience.free:
            return 0.0
        wait = min(self._patience.longest_wait, 2.0 ** (count.failures - self._patience.free))
        return max(0.0, count.last + wait - now)

    def begin(self, name: str, now: float) -> None:
        """An attempt begins: counted as a failure until `succeeded` says otherwise, so that attempts at once count too."""
        count = self._counts.pop(name, _Count())
        if now - count.last >= self._patience.forget_after:
            count.failures = 0
        count.failures = min(count.failures + 1, 64)
        count.last = now
        self._counts[name] = count
        while len(self._counts) > REMEMBERED:
            self._counts.popitem(last=False)

    def succeeded(self, name: str) -> None:
        self._counts.pop(name, None)


def neighbourhood(origin: str) -> str:
    """The address whose attempts count together; the text itself when it is no IP address."""
    try:
        address = ipaddress.ip_address(origin)
    except ValueError:
        return origin
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return str(address.ipv4_mapped)
        return str(ipaddress.IPv6Network((int(address) >> 64 << 64, 64)))
    return str(address)
