"""Which bytes of a file have arrived: disjoint, sorted, half-open ranges."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator

Range = tuple[int, int]


class Ranges:
    """A set of byte offsets as `[start, stop)` ranges. In-order writes cost O(1)."""

    def __init__(self, ranges: Iterable[Range] = ()) -> None:
        self._starts: list[int] = []
        self._stops: list[int] = []
        for start, stop in ranges:
            self.add(start, stop)

    def __len__(self) -> int:
        return len(self._starts)

    def __iter__(self) -> Iterator[Range]:
        return iter(list(zip(self._starts, self._stops, strict=True)))

    def add(self, start: int, stop: int) -> None:
        """Add `[start, stop)`; touching ranges become one."""
        if start >= stop:
            return
        first = bisect_left(self._stops, start)
        last = bisect_right(self._starts, stop)
        if first < last:
            start = min(start, self._starts[first])
            stop = max(stop, self._stops[last - 1])
        self._starts[first:last] = [start]
        self._stops[first:last] = [stop]

    def within(self, start: int, stop: int) -> list[Range]:
        """The parts of `[start, stop)` that are in the set."""
        first = bisect_right(self._stops, start)
        last = bisect_left(self._starts, stop)
        return [(max(start, self._starts[i]), min(stop, self._stops[i])) for i in range(first, last)]

    def missing(self, start: int, stop: int) -> list[Range]:
        """The parts of `[start, stop)` that are not in the set."""
        gaps: list[Range] = []
        for held_start, held_stop in self.within(start, stop):
            if start < held_start:
                gaps.append((start, held_start))
            start = held_stop
        return [*gaps, (start, stop)] if start < stop else gaps

    @property
    def prefix(self) -> int:
        """How many bytes from offset 0 on are there without a gap [bytes]: where an upload can be resumed."""
        return self._stops[0] if self._starts and self._starts[0] == 0 else 0

    @property
    def end(self) -> int:
        """The highest offset that is there [bytes]."""
        return self._stops[-1] if self._stops else 0
