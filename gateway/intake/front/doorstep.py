"""Connections that have not logged in yet: how many there may be, of one address and in all. Pure, but for the dice.

Like MaxStartups of OpenSSH: from EARLY of the bound on a growing share of new connections is cut at random, so that a flood does not
lock out whoever comes after it; at the bound every one is. Unlike it, the first connection of an address is not cut at random.
"""

import random
from collections import Counter
from collections.abc import Callable

from gateway.intake.front.defender import network_of

#: from this part of the bound on connections are cut at random …
EARLY = 0.7
#: … and this many of them there; at the bound all of them
FIRST_CHANCE = 0.3


class Doorstep:
    """Counts who stands on it. The bounds may change while it is in use."""

    def __init__(self, in_all: int, per_address: int, chance: Callable[[], float] = random.random) -> None:
        self.in_all = in_all
        self.per_address = per_address
        self._chance = chance
        self._by_address: Counter[str] = Counter()
        self.count = 0

    def why_not(self, address: str) -> str | None:
        """Why a new connection of `address` is cut; None when it may come."""
        if self.count >= self.in_all:
            return "too-many"
        here = self._by_address[network_of(address)]
        if here >= self.per_address:
            return "too-many-from-address"
        if here and self._chance() < self.early_chance():  # an address with nobody here yet is not the one that floods
            return "early-drop"
        return None

    def early_chance(self) -> float:
        """How likely the next connection is cut for being one of many."""
        first = EARLY * self.in_all
        if self.count < first or self.in_all - first <= 0:
            return 0.0
        return min(1.0, FIRST_CHANCE + (1 - FIRST_CHANCE) * (self.count - first) / (self.in_all - first))

    def come(self, address: str) -> None:
        self.count += 1
        self._by_address[network_of(address)] += 1

    def leave(self, address: str) -> None:
        """It has logged in, or is gone."""
        name = network_of(address)
        self.count -= 1
        self._by_address[name] -= 1
        if self._by_address[name] <= 0:
            del self._by_address[name]
