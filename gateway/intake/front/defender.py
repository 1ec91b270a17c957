"""Who has to wait, and how long: scores of addresses and accounts that fade away. Pure: the caller says what time it is.

An address (IPv6: its /64, which is what one subscriber has) collects points for what an honest client seldom does: keys that are refused,
accounts that don't exist, bytes that are no SSH, connections that never log in. Points fade with a half-life. At THRESHOLD the address
is shut out for a while, and each further time for twice as long, up to LONGEST: never for good. A network that a vendor has listed as its
own is slowed down, and never shut out: an attacker who shares it, or a script of the vendor's gone wild, must not keep the vendor out.

An account that collects points makes every failed login to it slower, whoever tries and whether it exists or not, so that neither
answer nor time tells which accounts there are.
"""

import ipaddress
from collections import OrderedDict
from dataclasses import dataclass

#: points for each reason; a refused key weighs little, since a client with an agent offers all the keys it has
POINTS = {"key-refused": 1.0, "certificate-refused": 1.0, "no-login": 0.3, "flood": 1.0, "protocol": 4.0}
#: for a reason that is not in the table
OTHER_POINTS = 1.0
#: an address with this many points is shut out
THRESHOLD = 20.0
#: after this long points weigh half [s]
HALF_LIFE = 300.0
#: the first time an address is shut out it is for this long [s], then twice as long each time …
SHORTEST = 30.0
#: … up to this [s]
LONGEST = 3600.0
#: how many addresses, and how many accounts, are remembered; who was heard of longest ago is forgotten first
REMEMBERED = 20_000
#: a refused key is answered at most this much later [s]: a vendor whose account is under attack, and whose client tries a dozen keys
#: before the right one, still gets in within the time that a login may take
SLOWEST = 1.5


def network_of(address: str) -> str:
    """What counts as one address: an IPv4 address, or the /64 of an IPv6 one; whatever is no address stands for itself."""
    try:
        given = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(given, ipaddress.IPv4Address):
        return str(given)
    if given.ipv4_mapped is not None:
        return str(given.ipv4_mapped)
    return str(ipaddress.IPv6Network((int(given) >> 64 << 64, 64)))


@dataclass
class Record:
    """What is remembered of one address or account."""

    points: float = 0.0
    at: float = 0.0  # when `points` was right [s]
    times: int = 0  # how often it was shut out
    until: float = 0.0  # shut out until then [s]

    def now(self, now: float) -> float:
        """The points that are left at `now`."""
        return float(self.points * 0.5 ** (max(0.0, now - self.at) / HALF_LIFE))


class Scores:
    """Records by name, no more than so many."""

    def __init__(self, remembered: int) -> None:
        self._remembered = remembered
        self._records: OrderedDict[str, Record] = OrderedDict()

    def __len__(self) -> int:
        return len(self._records)

    def of(self, name: str) -> Record | None:
        return self._records.get(name)

    def add(self, name: str, points: float, now: float) -> Record:
        """The record of `name` with `points` more."""
        record = self._records.setdefault(name, Record(at=now))
        self._records.move_to_end(name)
        record.points, record.at = record.now(now) + points, now
        while len(self._records) > self._remembered:
            self._records.popitem(last=False)
        return record

    def forget(self, name: str) -> None:
        self._records.pop(name, None)


class Defender:
    """The scores of everybody. `now` is any clock that never goes back [s]."""

    def __init__(self, remembered: int = REMEMBERED) -> None:
        self.addresses = Scores(remembered)
        self.accounts = Scores(remembered)

    def failed(self, address: str, account: str, reason: str, now: float) -> bool:
        """Something that counts against `address` (and `account`, when one was named); True when this shuts the address out."""
        points = POINTS.get(reason, OTHER_POINTS)
        if account:
            self.accounts.add(account[:256], points, now)
        record = self.addresses.add(network_of(address), points, now)
        if record.points < THRESHOLD:
            return False
        record.points = THRESHOLD / 2  # what it is let in with afterwards: it soon is out again if it goes on
        record.times = 1 if now - record.until > 2 * LONGEST else record.times + 1
        record.until = now + min(LONGEST, SHORTEST * 2.0 ** (record.times - 1))
        return True

    def succeeded(self, address: str, account: str) -> None:
        """A login: what came before from there was its user's, and so was what was tried on the account."""
        self.addresses.forget(network_of(address))
        self.accounts.forget(account[:256])

    def shut_out(self, address: str, now: float) -> float:
        """How long the address still has to stay away [s]; 0 when it may come in."""
        record = self.addresses.of(network_of(address))
        return max(0.0, record.until - now) if record is not None else 0.0

    def delay(self, address: str, account: str, now: float) -> float:
        """How much later a failed login is answered [s]: the same whether the account exists or not."""
        records = (self.addresses.of(network_of(address)), self.accounts.of(account[:256]))
        points = max((record.now(now) for record in records if record is not None), default=0.0)
        return min(SLOWEST, max(0.0, points - 3.0) * 0.05)
