"""Where the tree and its entries lie: the names and the contents of C2SP tlog-tiles, as pure values.

A tile holds up to WIDTH hashes of one level, a bundle the entries of one tile of level 0. What is full never changes; what
is partial lies under its width, so that a longer one never overwrites a shorter one.
"""

import re
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from audit import merkle

WIDTH: Final = 256

#: An entry's length is written in 16 bits [bytes].
LONGEST: Final = 0xFFFF

#: The level of the entry bundles: beside level 0, and as wide.
ENTRIES: Final = -1

_PATH = re.compile(r"tile/(entries|0|[1-9]|[1-5][0-9]|6[0-3])/((?:x[0-9]{3}/)*)([0-9]{3})(?:\.p/([1-9][0-9]{0,2}))?")


def span_of(level: int) -> int:
    """How many entries one place of a tile of this level stands for."""
    return 1 << 8 * max(level, 0)


@dataclass(frozen=True, slots=True)
class Tile:
    level: int  # ENTRIES, or 0 for the leaves' hashes and up
    number: int
    width: int = WIDTH  # of hashes, or of entries

    @property
    def path(self) -> str:
        """Relative to the log's folder, with `/`."""
        digits = f"{self.number:03d}"
        digits = digits.zfill(-(-len(digits) // 3) * 3)
        groups = [digits[i : i + 3] for i in range(0, len(digits), 3)]
        where = "/".join([*(f"x{group}" for group in groups[:-1]), groups[-1]])
        level = "entries" if self.level == ENTRIES else str(self.level)
        return f"tile/{level}/{where}" + ("" if self.width == WIDTH else f".p/{self.width}")

    @classmethod
    def parse(cls, path: str) -> "Tile | None":
        """The tile that has this path; None when no tile has."""
        if not (match := _PATH.fullmatch(path)):
            return None
        level, groups, last, width = match.groups()
        number = int(groups.replace("x", "").replace("/", "") + last)
        tile = cls(ENTRIES if level == "entries" else int(level), number, int(width or WIDTH))
        return tile if tile.path == path and tile.width <= WIDTH else None

    @property
    def full(self) -> "Tile":
        return replace(self, width=WIDTH)

    @property
    def span(self) -> int:
        """How many entries one place of this tile stands for."""
        return span_of(self.level)

    @property
    def start(self) -> int:
        """The first entry that this tile stands for."""
        return self.number * WIDTH * self.span

    @property
    def stop(self) -> int:
        """One past the last entry that this tile stands for: a tree that is smaller does not have it."""
        return self.start + self.width * self.span


def _rows(size: int) -> Iterator[tuple[int, int]]:
    """Each level of a tree with `size` leaves, the bundles first, and how many places it has."""
    if size:
        yield ENTRIES, size
    level = 0
    while size:
        yield level, size
        level, size = level + 1, size // WIDTH


def edge(size: int) -> list[Tile]:
    """The partial tiles of a tree with `size` leaves: what stands at its right edge."""
    return [Tile(level, count // WIDTH, count % WIDTH) for level, count in _rows(size) if count % WIDTH]


def tile_at(level: int, number: int, size: int) -> Tile:
    """The tile of this number as a tree of `size` leaves has it, full or partial."""
    count = size // span_of(level)
    return Tile(level, number, min(WIDTH, count - number * WIDTH))


def added(older: int, newer: int) -> list[Tile]:
    """The tiles that a tree grown from `older` to `newer` leaves has to write: bundles first, then level by level."""
    tiles = []
    for level, count in _rows(newer):
        before = older // span_of(level)
        if count > before:
            tiles += [Tile(level, number) for number in range(before // WIDTH, count // WIDTH)]
            tiles += [Tile(level, count // WIDTH, count % WIDTH)] if count % WIDTH else []
    return tiles


def write_bundle(entries: Sequence[bytes]) -> bytes:
    """Each entry behind its length in 16 bits, big-endian; no entry may be longer than LONGEST."""
    return b"".join([struct.pack(">H", len(entry)) + entry for entry in entries])


def read_bundle(data: bytes) -> tuple[list[bytes], bool]:
    """The whole entries at the front of `data`, and whether nothing is left after them."""
    entries, at, end = [], 0, len(data)
    while at + 2 <= end:
        stop = at + 2 + (data[at] << 8 | data[at + 1])
        if stop > end:
            break
        entries.append(data[at + 2 : stop])
        at = stop
    return entries, at == end


def leaves(entries: Sequence[bytes]) -> bytes:
    """The leaf hashes of these entries, one after another: a tile of level 0."""
    return b"".join(map(merkle.leaf_hash, entries))
