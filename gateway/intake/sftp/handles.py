"""What one session has open, by number. A number is never used twice, so that a handle that was closed stays closed."""

import time
from dataclasses import dataclass, field

from gateway.intake.files.folders import Arriving, Facts, Handle
from gateway.intake.files.refusals import IntakeRefused

#: handles one session may have open
MAX_HANDLES = 64


@dataclass(eq=False)
class Listing:
    """An open folder: what of it was not told yet."""

    entries: list[Facts]
    at: int = 0

    def take(self, count: int) -> list[Facts]:
        """The next entries, none when all are told."""
        taken = self.entries[self.at : self.at + count]
        self.at += len(taken)
        return taken


@dataclass(eq=False)
class Opened:
    """One handle: what it is on, and since when."""

    on: Handle | Listing
    since: float = field(default_factory=time.monotonic)

    @property
    def file(self) -> Handle:
        """The file; IntakeRefused when it is a folder."""
        if isinstance(self.on, Listing):
            raise IntakeRefused("is-a-folder")
        return self.on

    @property
    def counted_by_claim(self) -> bool:
        """Whether the desk knows of it as an upload that is claimed; the others it is told of."""
        return isinstance(self.on, Arriving)


class Handles:
    """The open handles of a session; at most MAX_HANDLES."""

    def __init__(self) -> None:
        self._open: dict[int, Opened] = {}
        self._last = 0

    def __len__(self) -> int:
        return len(self._open)

    def check_room(self) -> None:
        """IntakeRefused (`too-many-handles`) when no other one may be opened."""
        if len(self._open) >= MAX_HANDLES:
            raise IntakeRefused("too-many-handles")

    def add(self, on: Handle | Listing) -> int:
        """The number of a new handle, which fits in 4 bytes."""
        self._last += 1
        self._open[self._last] = Opened(on)
        return self._last

    def get(self, number: int) -> Opened:
        """IntakeRefused (`bad-handle`) for what is not open (any more)."""
        try:
            return self._open[number]
        except KeyError:
            raise IntakeRefused("bad-handle") from None

    def take(self, number: int) -> Opened:
        """The same, and it is no longer open."""
        opened = self.get(number)
        del self._open[number]
        return opened

    def take_all(self) -> list[Opened]:
        """Everything that is open, which then no longer is."""
        opened = list(self._open.values())
        self._open.clear()
        return opened
