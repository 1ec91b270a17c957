"""Judging a log from its files and a public key alone: is it whole, and if not, which entry was touched first?

1. The checkpoint is signed by the key, and of this log.
2. Every bundle is read and everything above it computed anew: leaf hashes, tiles, root.
3. If the computed root is the signed one, every entry is what was logged, whatever the tiles say.
4. Every tile on disk holds what was computed. Where they differ lies the first touched entry: level 0 names it, a higher
   level bounds it when somebody rewrote the tiles below to match.
5. Nothing lies beyond the checkpoint but what an interrupted append explains, and nothing else lies between the tiles.
"""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from audit import merkle, note
from audit.checkpoint import Checkpoint, read_checkpoint
from audit.record import Span, locked_for_reading
from audit.tiles import ENTRIES, WIDTH, Tile, edge, leaves, read_bundle, tile_at
from policies.errors import Unsound


@dataclass(frozen=True, slots=True)
class Verdict:
    """`size`: of the signed checkpoint, 0 when there is none to trust. `first_bad`: the first entry that was touched, or
    whose hashes or place were; None when sound or when no single entry can be named. `what`: one sentence for people."""

    sound: bool
    size: int
    first_bad: int | None
    what: str


@dataclass(frozen=True, slots=True)
class Finding:
    """Something is wrong with entries from `start` on, and not known to be wrong from `stop` on."""

    start: int
    stop: int
    what: str


def verify(folder: Path, origin: str, verifiers: Sequence[note.Verifier]) -> Verdict:
    """Judges the log in `folder`; may run while others append. OSError escapes for what can't be read at all.

    Memory is bounded by the tiles at the edge, whatever the size of the log.
    """
    try:
        with locked_for_reading(folder) as span:
            signed = read_checkpoint((folder / "checkpoint").read_bytes(), origin, verifiers)
            strays, pinned = _survey(folder, signed, span)
    except FileNotFoundError:
        return Verdict(False, 0, None, "There is no checkpoint: the log was never started, or it was taken away.")
    except Unsound as error:
        return Verdict(False, 0, None, f"The checkpoint can't be trusted: {error.message}")
    scan = _Scan(folder, signed.size, pinned)
    root = scan.run()
    finding = _first(scan.findings) or min(strays, key=lambda stray: stray.start, default=None)
    if finding is not None:
        intact = " The entries that were signed are all as they were logged." if root == signed.root else ""
        return Verdict(False, signed.size, finding.start, finding.what + intact)
    if root != signed.root:
        return Verdict(
            False,
            signed.size,
            None,
            "Entries and tiles agree with each other but not with the signed checkpoint: the whole log was rewritten.",
        )
    waiting = span is not None and span.older == signed.size < span.newer
    suffix = " An append was interrupted; the next one removes what it left." if waiting else ""
    return Verdict(True, signed.size, None, f"All {signed.size} entries are as they were logged.{suffix}")


def _first(findings: dict[int, Finding]) -> Finding | None:
    """The finding to report, out of the first one of each level.

    An entry that was touched shows on every level: go down from the top for as long as the levels tell of the same place.
    """
    found: Finding | None = None
    for level in sorted(findings, reverse=True):
        if found is None or findings[level].start < found.stop:
            found = findings[level]
    return found


# ---------------------------------------------------------------- the tree


class _Scan:
    """One pass over the bundles, in order; remembers the first finding of each level."""

    def __init__(self, folder: Path, size: int, pinned: dict[Tile, bytes]) -> None:
        self._folder = folder
        self._size = size
        self._pinned = pinned
        self._rows: list[bytearray] = []  # per level the hashes of the tile that is being computed
        self._at: dict[int, tuple[Tile, bytes | None]] = {}  # per level the tile on disk beside it
        self.findings: dict[int, Finding] = {}

    def run(self) -> bytes | None:
        """The computed root; None when a bundle was missing or cut short, so that there is none."""
        for number in range(-(-self._size // WIDTH)):
            bundle = tile_at(ENTRIES, number, self._size)
            if not self._bundle(bundle):
                return None
        return merkle.fold([peak for row in reversed(self._rows) for peak in merkle.peaks(bytes(row))])

    def _bundle(self, bundle: Tile) -> bool:
        data = self._content(bundle)
        found, whole = read_bundle(data or b"")
        computed = leaves(found[: bundle.width])
        self._compare(0, bundle.number, 0, computed)
        bad = bundle.start + min(len(found), bundle.width)
        if data is None:
            self._note(ENTRIES, bad, 1, f"The bundle '{bundle.path}' is missing.")
        elif len(found) < bundle.width:
            self._note(ENTRIES, bad, 1, f"The bundle '{bundle.path}' ends before entry {bad} is whole.")
        elif len(found) > bundle.width or not whole:
            self._note(ENTRIES, bad - 1, 1, f"Something was added behind entry {bad - 1} in '{bundle.path}'.")
        else:
            self._push(0, bundle.number, computed)
            return True
        return False

    def _push(self, level: int, number: int, hashes: bytes) -> None:
        """Takes hashes of tile `number` of a level; what becomes full goes up, and is compared there."""
        if level == len(self._rows):
            self._rows.append(bytearray())
        row = self._rows[level]
        row += hashes
        if len(row) == WIDTH * merkle.HASH:
            root = merkle.complete_root(bytes(row))
            row.clear()
            self._compare(level + 1, number // WIDTH, number % WIDTH, root)
            self._push(level + 1, number // WIDTH, root)

    def _compare(self, level: int, number: int, offset: int, computed: bytes) -> None:
        """Whether the tile on disk has `computed` from place `offset` on; notes the first place where it hasn't."""
        tile = tile_at(level, number, self._size)
        if self._at.get(level, (None, None))[0] != tile:
            self._at[level] = (tile, self._content(tile))
        stored = self._at[level][1]
        first = tile.start + offset * tile.span
        if stored is None:
            self._note(level, first, tile.span, f"The tile '{tile.path}' is missing.")
            return
        at = offset * merkle.HASH
        if stored[at : at + len(computed)] != computed:
            place = next(_differences(stored[at:], computed))
            start = first + place * tile.span
            what = f"Entry {start}" if level == 0 else f"Something in the entries {start} to {start + tile.span - 1}"
            self._note(level, start, tile.span, f"{what} is not what was logged, or its hash in '{tile.path}' was changed.")
        if len(stored) != tile.width * merkle.HASH:
            last = tile.start + min(len(stored) // merkle.HASH, tile.width - 1) * tile.span
            self._note(level, last, tile.span, f"The tile '{tile.path}' is not of its right length.")

    def _note(self, level: int, start: int, width: int, what: str) -> None:
        if level not in self.findings or start < self.findings[level].start:
            self.findings[level] = Finding(start, start + width, what)

    def _content(self, tile: Tile) -> bytes | None:
        if tile in self._pinned:
            return self._pinned[tile]
        try:
            return (self._folder / tile.path).read_bytes()
        except FileNotFoundError:
            return None


def _differences(stored: bytes, computed: bytes) -> Iterator[int]:
    for at in range(0, len(computed), merkle.HASH):
        if stored[at : at + merkle.HASH] != computed[at : at + merkle.HASH]:
            yield at // merkle.HASH


# ---------------------------------------------------------------- what else lies there


def _survey(folder: Path, signed: Checkpoint, span: Span | None) -> tuple[list[Finding], dict[Tile, bytes]]:
    """What lies between and beyond the tiles that does not belong, and the content of the edge.

    Called while nobody appends: files beyond the checkpoint would otherwise be an append at work, and the partial tiles of
    the edge go when they fill up.
    """
    pinned = {tile: path.read_bytes() for tile in edge(signed.size) if (path := folder / tile.path).is_file()}
    found = [_against(span, signed.size)] if span and not span.explains(signed.size) else []
    for path, tile in _tiles(folder):
        if tile is None:
            name = path.relative_to(folder).as_posix()
            found.append(Finding(signed.size, signed.size, f"'{name}' does not belong in the log."))
        elif tile.stop > signed.size:
            if span is None or span.older != signed.size or tile.stop > span.newer:
                found.append(_against(None, signed.size))
        elif tile.width < WIDTH and tile not in pinned:
            found += _older_partial(folder, tile, path.read_bytes(), signed.size, pinned)
    return found, pinned


def _against(span: Span | None, size: int) -> Finding:
    what = "was once of another size" if span else "has files beyond its checkpoint"
    return Finding(size, size, f"The log {what}: entries from {size} on were taken away, or an older checkpoint was put back.")


def goes_beyond(folder: Path, size: int) -> Iterator[Tile]:
    """The tiles on disk that a log of this size does not have."""
    return (tile for _, tile in _tiles(folder) if tile and tile.stop > size)


def _tiles(folder: Path) -> Iterator[tuple[Path, Tile | None]]:
    """Every file between the tiles, and which tile it is by its name."""
    for top, _, names in os.walk(folder / "tile"):
        for path in (Path(top, name) for name in sorted(names)):
            yield path, Tile.parse(path.relative_to(folder).as_posix())


def _older_partial(folder: Path, tile: Tile, data: bytes, size: int, pinned: dict[Tile, bytes]) -> list[Finding]:
    """A partial tile of an older checkpoint: it has to be the front of what stands in its place today."""
    today = tile_at(tile.level, tile.number, size)
    path = folder / today.path
    newer = pinned.get(today) or (path.read_bytes() if path.is_file() else None)
    if newer is None:
        return []  # found by the scan
    if tile.level == ENTRIES:
        here, whole = read_bundle(data)
        there, _ = read_bundle(newer)
    else:
        here, whole = _hashes(data), len(data) % merkle.HASH == 0
        there = _hashes(newer)
    if whole and len(here) == tile.width and here == there[: tile.width]:
        return []
    pairs = zip(here, there, strict=False)
    place = next((i for i, (one, other) in enumerate(pairs) if one != other), min(len(here), tile.width - 1))
    start = tile.start + place * tile.span
    return [Finding(start, start + tile.span, f"The older tile '{tile.path}' is not the front of '{today.path}'.")]


def _hashes(data: bytes) -> list[bytes]:
    return [data[at : at + merkle.HASH] for at in range(0, len(data), merkle.HASH)]
