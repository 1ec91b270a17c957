"""The append-only log as a folder: C2SP tlog-tiles, a signed checkpoint, and a lock.

An append writes, in this order and each synced before the next: the record of what it is about to do, the bundles, the
tiles, the new checkpoint under its waiting name. The rename of the checkpoint is the commit. Whatever dies before it leaves
only files that no checkpoint covers, and the next append removes exactly those (audit/record.py says how it knows).
"""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from audit import merkle, note
from audit.checkpoint import Checkpoint, peek, read_checkpoint
from audit.disk import Disk
from audit.proof import Consistency, Inclusion
from audit.record import Record, locked_for_change
from audit.tiles import ENTRIES, LONGEST, WIDTH, Tile, added, edge, leaves, read_bundle, tile_at, write_bundle
from audit.verification import Verdict, goes_beyond, verify
from policies.errors import NotFound, Refused, Unsound, WrongUsage

CHECKPOINT: Final = "checkpoint"
WAITING: Final = "checkpoint.next"


class AuditLog:
    """The log in `folder`; `origin` is its name in every checkpoint. Reading needs no signer and no right to write.

    Any number of processes and threads may append to and read one folder at once.
    """

    def __init__(self, folder: Path, origin: str, signer: note.Signer | None = None, disk: Disk | None = None) -> None:
        if signer is not None and signer.name != origin:
            raise WrongUsage("audit-foreign-signer", "A log's checkpoints are signed under the log's own name.")
        self.folder = folder
        self.origin = origin
        self._signer = signer
        self._disk = disk or Disk()

    # ------------------------------------------------------------ append

    def append(self, entries: Sequence[bytes]) -> range:
        """Appends all entries or none, and returns their indexes; they are durable and signed then.

        When it raises OSError the entries may be in the log or not, as with any commit whose answer is lost: look for their
        ids from the last known size on before appending them again. Raises Refused (`audit-read-only`, `entry-too-long`) and
        Unsound (`audit-…`, `note-…`, `checkpoint-…`) when the log is not what its signer left.
        """
        signer = self._signer
        if signer is None:
            raise Refused("audit-read-only", "This log was opened without its signing key.", "Only a role that has the key appends.")
        if any(len(entry) > LONGEST for entry in entries):
            raise Refused("entry-too-long", f"An audit entry is longer than {LONGEST} bytes.", "Log counts, not lists.")
        self._disk.make_folder(self.folder)
        with locked_for_change(self.folder, self._disk) as record:
            committed = self._recover(record, signer)
            older, newer = committed.size, committed.size + len(entries)
            if older < newer:
                self._grow(record, committed, entries, signer)
            return range(older, newer)

    def _grow(self, record: Record, committed: Checkpoint, entries: Sequence[bytes], signer: note.Signer) -> None:
        older, newer = committed.size, committed.size + len(entries)
        before = {tile.level: self._read(tile) for tile in edge(older)}
        summits = [peak for level in sorted(before, reverse=True) if level >= 0 for peak in merkle.peaks(before[level])]
        if merkle.fold(summits) != committed.root:
            raise Unsound("audit-tiles-changed", "The audit log's tiles are not those of its checkpoint.", "Run 'sluis audit verify'.")
        contents, after = _contents(older, newer, before, entries)
        # Asked before the record is written: it would declare them leftovers of this append, to be removed.
        if any((self.folder / tile.path).exists() for tile in contents):
            raise _beyond()
        record.write(older, newer, sync=True)
        folders = {(self.folder / tile.path).parent for tile in contents}
        for folder in sorted(folders):
            self._disk.make_folder(folder)
        for tile, data in contents.items():
            self._disk.create(self.folder / tile.path, data)
        for folder in sorted(folders):
            self._disk.sync_folder(folder)
        self._disk.create(self.folder / WAITING, signer.sign(Checkpoint(self.origin, newer, after).text))
        self._commit()
        # Done; what follows is tidying, and the next append makes up for it when it fails.
        with suppress(OSError):
            self._drop_partials(older, newer)
            record.write(newer, newer, sync=False)

    def _commit(self) -> None:
        self._disk.replace(self.folder / WAITING, self.folder / CHECKPOINT)
        self._disk.sync_folder(self.folder)

    # ------------------------------------------------------------ recover

    def _recover(self, record: Record, signer: note.Signer) -> Checkpoint:
        """The checkpoint to go on from, after what an interrupted append left has been finished or removed."""
        span = record.read()
        signed = self._own(CHECKPOINT, signer)
        if signed is None:
            if span.older if span else (self.folder / "tile").exists():
                raise Unsound("audit-checkpoint-gone", "The audit log has no checkpoint.", "Put back the file 'checkpoint'.")
            signed = Checkpoint(self.origin, 0, merkle.EMPTY)
        if span is None:  # a new log, or a copy: nothing is known of what came before
            if any(goes_beyond(self.folder, signed.size)):
                raise _beyond()
            self._disk.sync_folder(self.folder)  # the record's name: without it a power cut's leftovers would look like tampering
            return signed
        if not span.explains(signed.size):
            raise _beyond()
        if span.older == span.newer:
            return signed
        if signed.size == span.older and (waiting := self._waiting(signer)) and waiting.size == span.newer:
            self._commit()  # it was signed, so all its tiles are durable
            signed = waiting
        if signed.size == span.older:
            self._remove(span.older, span.newer)
        self._drop_partials(span.older, signed.size)
        return signed

    def _own(self, name: str, signer: note.Signer) -> Checkpoint | None:
        try:
            data = (self.folder / name).read_bytes()
        except FileNotFoundError:
            return None
        return read_checkpoint(data, self.origin, [signer.verifier])

    def _waiting(self, signer: note.Signer) -> Checkpoint | None:
        try:
            return self._own(WAITING, signer)
        except Unsound:
            return None  # it was being written

    def _remove(self, older: int, newer: int) -> None:
        """The files of an append that was not committed: nobody was told of them."""
        folders = {self.folder}
        for tile in added(older, newer):
            path = self.folder / tile.path
            if path.exists():
                self._disk.remove(path)
                folders.add(path.parent)
        self._disk.remove(self.folder / WAITING)
        # Durable, or a power cut could bring a file back when the record no longer explains it.
        for folder in sorted(folders):
            self._disk.sync_folder(folder)

    def _drop_partials(self, older: int, newer: int) -> None:
        """The partial tiles at the edge of `older` that are full at `newer`: the format lets them go then."""
        for tile in edge(older):
            folder = (self.folder / tile.path).parent
            if tile.full.stop <= newer and folder.exists():
                for path in folder.iterdir():
                    self._disk.remove(path)
                self._disk.remove_folder(folder)

    # ------------------------------------------------------------ read

    def checkpoint(self) -> bytes:
        """The signed note as it lies there; NotFound (`audit-empty`) when nothing was appended yet."""
        try:
            return (self.folder / CHECKPOINT).read_bytes()
        except FileNotFoundError:
            raise NotFound("audit-empty", "There is no audit log here.", "It starts with the first entry.") from None

    @property
    def size(self) -> int:
        """How many entries the log has; 0 when there is no log."""
        try:
            return peek(self.checkpoint(), self.origin).size
        except NotFound:
            return 0

    def entry(self, index: int) -> bytes:
        """NotFound (`no-such-entry`) when the log has none of this index."""
        if not 0 <= index < self.size:
            raise NotFound("no-such-entry", "The audit log has no entry of this number.")
        return next(self.entries(index, index + 1))

    def entries(self, start: int = 0, stop: int | None = None) -> Iterator[bytes]:
        """The entries from `start` up to but not including `stop`, or the end; what is not there is left out."""
        size = self.size
        stop = size if stop is None else min(stop, size)
        start = max(start, 0)
        while start < stop:
            tile = tile_at(ENTRIES, start // WIDTH, size)
            found, _ = read_bundle(self._read(tile))
            if len(found) < tile.width:
                raise Unsound("audit-bundle-damaged", "A bundle of audit entries is not whole.", "Run 'sluis audit verify'.")
            yield from found[start - tile.start : min(stop, tile.stop) - tile.start]
            start = tile.stop

    def inclusion_proof(self, index: int) -> Inclusion:
        """That entry `index` is in the tree of the current checkpoint; NotFound (`no-such-entry`)."""
        signed = self.checkpoint()
        size = peek(signed, self.origin).size
        if not 0 <= index < size:
            raise NotFound("no-such-entry", "The audit log has no entry of this number.")
        return Inclusion(index, tuple(merkle.inclusion_path(index, size, self._subtree(size))), signed)

    def prove_consistency(self, older: Checkpoint) -> Consistency:
        """That the current log only extends the one of `older`; Unsound (`audit-forked`) when it doesn't."""
        newer = peek(self.checkpoint(), self.origin)
        if older.size <= newer.size:
            path = merkle.consistency_path(older.size, newer.size, self._subtree(newer.size))
            proof = Consistency(older, newer, tuple(path))
            if proof.holds:
                return proof
        raise Unsound(
            "audit-forked",
            "The audit log does not extend the older checkpoint: its past was rewritten or taken away.",
            "Keep both, change nothing, and compare with the log's backups.",
        )

    def verify(self, public_key: note.Verifier) -> Verdict:
        """Recomputes everything from the entries on; see audit/verification.py."""
        return verify(self.folder, self.origin, [public_key])

    def _subtree(self, size: int) -> merkle.Subtree:
        """Reads roots of complete subtrees out of the tiles of a tree of `size` leaves."""

        def root(height: int, index: int) -> bytes:
            level, above = divmod(height, 8)  # a tile is 8 rows high
            first = index << above
            tile = tile_at(level, first // WIDTH, size)
            at = first % WIDTH * merkle.HASH
            return merkle.complete_root(self._read(tile)[at : at + (merkle.HASH << above)])

        return root

    def _read(self, tile: Tile) -> bytes:
        """A tile's content; of a partial one that went because it filled up, the front of the full one."""
        for candidate in (tile, tile.full):
            with suppress(FileNotFoundError):
                data = (self.folder / candidate.path).read_bytes()
                if candidate == tile:
                    return data
                return write_bundle(read_bundle(data)[0][: tile.width]) if tile.level == ENTRIES else data[: tile.width * merkle.HASH]
        raise Unsound("audit-tile-gone", f"The audit log's file '{tile.path}' is missing.", "Run 'sluis audit verify'.")


def _beyond() -> Unsound:
    return Unsound(
        "audit-rolled-back",
        "The audit log holds more than its checkpoint says: an older checkpoint was put back.",
        "Change nothing, run 'sluis audit verify', and compare with a checkpoint kept elsewhere.",
    )


def _contents(older: int, newer: int, before: dict[int, bytes], entries: Sequence[bytes]) -> tuple[dict[Tile, bytes], bytes]:
    """What each added tile holds, and the root of the grown tree; `before` is the old edge by level."""
    contents: dict[Tile, bytes] = {}
    bundle = [*read_bundle(before.get(ENTRIES, b""))[0], *entries]
    first = older // WIDTH * WIDTH
    rows = {0: before.get(0, b"") + leaves(entries)}
    for tile in added(older, newer):
        if tile.level == ENTRIES:
            contents[tile] = write_bundle(bundle[tile.start - first : tile.stop - first])
            continue
        row = rows.setdefault(tile.level, before.get(tile.level, b""))
        at = (tile.number - older // tile.span // WIDTH) * WIDTH * merkle.HASH
        contents[tile] = row[at : at + tile.width * merkle.HASH]
        if tile.width == WIDTH:
            above = rows.setdefault(tile.level + 1, before.get(tile.level + 1, b""))
            rows[tile.level + 1] = above + merkle.complete_root(contents[tile])
    after = {tile.level: contents.get(tile) or before[tile.level] for tile in edge(newer) if tile.level >= 0}
    return contents, merkle.fold([peak for level in sorted(after, reverse=True) for peak in merkle.peaks(after[level])])
