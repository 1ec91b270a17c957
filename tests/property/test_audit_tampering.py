"""Whatever is done to one place of a log, verification finds it and names that place."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from audit import merkle, tiles
from audit.log import AuditLog
from audit.verification import Verdict
from tests.support.audit_logs import MEMORY, entries, log_of, root_of, signer

SIZES = ([1], [7], [100, 100], [256], [250, 10], [600], [512, 1], [700, 68])


@pytest.fixture(scope="module")
def logs() -> Iterator[list[Path]]:
    with tempfile.TemporaryDirectory(dir=MEMORY) as top:
        folders = [Path(top) / str(number) for number in range(len(SIZES))]
        for folder, sizes in zip(folders, SIZES, strict=True):
            log_of(folder, sizes)
        yield folders


class Copy:
    """A log of its own to damage."""

    def __init__(self, source: Path) -> None:
        self._top = tempfile.TemporaryDirectory(dir=MEMORY)
        self.folder = Path(self._top.name) / "audit"
        shutil.copytree(source, self.folder)
        self.log = log_of(self.folder)
        self.size = self.log.size

    def __enter__(self) -> "Copy":
        return self

    def __exit__(self, *_: object) -> None:
        self._top.cleanup()

    def verify(self) -> Verdict:
        return self.log.verify(signer().verifier)

    def bundle(self, index: int) -> Path:
        return self.folder / tiles.tile_at(tiles.ENTRIES, index // 256, self.size).path

    def hashes(self, index: int) -> Path:
        return self.folder / tiles.tile_at(0, index // 256, self.size).path

    def entries(self, index: int) -> list[bytes]:
        return tiles.read_bundle(self.bundle(index).read_bytes())[0]

    def rewrite(self, index: int, changed: list[bytes]) -> None:
        self.bundle(index).write_bytes(tiles.write_bundle(changed))


def each_log(test: object) -> object:
    quick = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    return quick(given(which=st.integers(0, len(SIZES) - 1), data=st.data())(test))  # type: ignore[operator]


def index_of(data: st.DataObject, copy: Copy) -> int:
    return data.draw(st.integers(0, copy.size - 1), "index")


@each_log
def test_a_flipped_byte_of_an_entry(logs: list[Path], which: int, data: st.DataObject) -> None:
    with Copy(logs[which]) as copy:
        index = index_of(data, copy)
        changed = copy.entries(index)
        entry = bytearray(changed[index % 256])
        entry[data.draw(st.integers(0, len(entry) - 1), "byte")] ^= data.draw(st.integers(1, 255), "by")
        changed[index % 256] = bytes(entry)
        copy.rewrite(index, changed)
        verdict = copy.verify()
        assert (verdict.sound, verdict.first_bad) == (False, index)
        assert "all as they were logged" not in verdict.what


@each_log
def test_a_flipped_byte_anywhere_in_a_bundle(logs: list[Path], which: int, data: st.DataObject) -> None:
    """Lengths too: then what follows is read from the wrong place, and the entry whose length it was is named."""
    with Copy(logs[which]) as copy:
        path = copy.bundle(index_of(data, copy))
        content = bytearray(path.read_bytes())
        place = data.draw(st.integers(0, len(content) - 1), "byte")
        index, at = int(path.name) * 256 if path.parent.name == "entries" else int(path.parent.name[:3]) * 256, 0
        while (stop := at + 2 + int.from_bytes(content[at : at + 2], "big")) <= place:
            index, at = index + 1, stop
        content[place] ^= data.draw(st.integers(1, 255), "by")
        path.write_bytes(content)
        verdict = copy.verify()
        assert (verdict.sound, verdict.first_bad) == (False, index)


@each_log
def test_a_deleted_entry(logs: list[Path], which: int, data: st.DataObject) -> None:
    with Copy(logs[which]) as copy:
        index = index_of(data, copy)
        changed = copy.entries(index)
        del changed[index % 256]
        copy.rewrite(index, changed)
        verdict = copy.verify()
        assert (verdict.sound, verdict.first_bad) == (False, index)


@each_log
def test_an_inserted_entry(logs: list[Path], which: int, data: st.DataObject) -> None:
    with Copy(logs[which]) as copy:
        index = index_of(data, copy)
        changed = copy.entries(index)
        changed.insert(index % 256, b"slipped in")
        copy.rewrite(index, changed)
        verdict = copy.verify()
        assert (verdict.sound, verdict.first_bad) == (False, index)


@each_log
def test_two_entries_that_changed_places(logs: list[Path], which: int, data: st.DataObject) -> None:
    with Copy(logs[which]) as copy:
        if copy.size < 2:
            return
        one, other = sorted(data.draw(st.lists(st.integers(0, copy.size - 1), min_size=2, max_size=2, unique=True), "indexes"))
        kept = {index: copy.log.entry(index) for index in (one, other)}
        for index, entry in ((one, kept[other]), (other, kept[one])):
            changed = copy.entries(index)
            changed[index % 256] = entry
            copy.rewrite(index, changed)
        verdict = copy.verify()
        assert (verdict.sound, verdict.first_bad) == (False, one)


@each_log
def test_a_bundle_cut_short(logs: list[Path], which: int, data: st.DataObject) -> None:
    with Copy(logs[which]) as copy:
        path = copy.bundle(index_of(data, copy))
        content = path.read_bytes()
        cut = content[: data.draw(st.integers(0, len(content) - 1), "length")]
        path.write_bytes(cut)
        number = int(path.name) if path.parent.name == "entries" else int(path.parent.name[:3])
        verdict = copy.verify()
        assert (verdict.sound, verdict.first_bad) == (False, number * 256 + len(tiles.read_bundle(cut)[0]))


@each_log
def test_something_added_behind_a_bundle(logs: list[Path], which: int, data: st.DataObject) -> None:
    with Copy(logs[which]) as copy:
        index = index_of(data, copy)
        path = copy.bundle(index)
        with path.open("ab") as file:
            file.write(data.draw(st.binary(min_size=1, max_size=50), "added"))
        verdict = copy.verify()
        assert not verdict.sound and verdict.first_bad is not None and verdict.first_bad // 256 == index // 256


@each_log
def test_a_flipped_byte_of_a_hash(logs: list[Path], which: int, data: st.DataObject) -> None:
    with Copy(logs[which]) as copy:
        index = index_of(data, copy)
        content = bytearray(copy.hashes(index).read_bytes())
        content[index % 256 * 32 + data.draw(st.integers(0, 31), "byte")] ^= data.draw(st.integers(1, 255), "by")
        copy.hashes(index).write_bytes(content)
        verdict = copy.verify()
        assert (verdict.sound, verdict.first_bad) == (False, index)
        assert "all as they were logged" in verdict.what


@each_log
def test_a_tile_of_hashes_cut_short_or_made_longer(logs: list[Path], which: int, data: st.DataObject) -> None:
    with Copy(logs[which]) as copy:
        path = copy.hashes(index_of(data, copy))
        content = path.read_bytes()
        length = data.draw(st.integers(0, len(content) + 40).filter(lambda length: length != len(content)), "length")
        path.write_bytes((content + bytes(40))[:length])
        number = int(path.name) if path.parent.name == "0" else int(path.parent.name[:3])
        verdict = copy.verify()
        assert (verdict.sound, verdict.first_bad) == (False, number * 256 + min(length, len(content) - 1) // 32)


@each_log
def test_an_entry_rewritten_together_with_its_hash(logs: list[Path], which: int, data: st.DataObject) -> None:
    """Level 0 agrees then: what is above, or an older partial tile, still bounds or names the place; else the signature tells."""
    with Copy(logs[which]) as copy:
        index = index_of(data, copy)
        changed = copy.entries(index)
        changed[index % 256] = b"rewritten"
        copy.rewrite(index, changed)
        copy.hashes(index).write_bytes(tiles.leaves(changed))
        verdict = copy.verify()
        assert not verdict.sound
        if (index // 256 + 1) * 256 <= copy.size:
            assert verdict.first_bad == index // 256 * 256
        else:
            assert verdict.first_bad in (None, index)


@each_log
def test_any_file_between_the_tiles_removed_or_changed(logs: list[Path], which: int, data: st.DataObject) -> None:
    with Copy(logs[which]) as copy:
        paths = sorted(path for path in copy.folder.rglob("*") if path.is_file() and path.name != "lock")
        path = data.draw(st.sampled_from(paths), "file")
        today = {copy.folder / tile.path for tile in tiles.edge(copy.size)}
        content = path.read_bytes()
        if data.draw(st.booleans(), "removed"):
            path.unlink()
            if ".p/" in path.as_posix() and path not in today:
                return  # nobody needs the partial tiles of older checkpoints
        else:
            at = data.draw(st.integers(0, len(content) - 1), "byte")
            path.write_bytes(content[:at] + bytes([content[at] ^ data.draw(st.integers(1, 255), "by")]) + content[at + 1 :])
        verdict = copy.verify()
        assert not verdict.sound
        if path.name == "checkpoint":
            assert verdict.size == 0 and verdict.first_bad is None
        else:
            tile = tiles.Tile.parse(path.relative_to(copy.folder).as_posix())
            assert tile is not None and verdict.first_bad is not None and tile.start <= verdict.first_bad < tile.stop


@each_log
def test_a_strange_file_between_the_tiles(logs: list[Path], which: int, data: st.DataObject) -> None:
    with Copy(logs[which]) as copy:
        name = data.draw(
            st.sampled_from(
                ["tile/x", "tile/0/000.bak", "tile/0/000.p/257", "tile/0/000.p/999", "tile/0/900", "tile/entries/900.p/7", "tile/7/000"]
            ),
            "name",
        )
        (copy.folder / name).parent.mkdir(parents=True, exist_ok=True)
        (copy.folder / name).write_bytes(b"strange")
        verdict = copy.verify()
        assert (verdict.sound, verdict.first_bad) == (False, copy.size)


def test_a_bundle_that_is_gone_is_named_although_older_ones_are_there(logs: list[Path]) -> None:
    with Copy(logs[2]) as copy:  # 100 and 100 entries: the bundle of the first 100 is still there
        copy.bundle(0).unlink()
        verdict = copy.verify()
        assert (verdict.sound, verdict.first_bad) == (False, 0)


@settings(max_examples=25, deadline=None)
@given(sizes=st.lists(st.integers(0, 300), max_size=6), data=st.data())
def test_random_logs_are_sound_and_prove_themselves(sizes: list[int], data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory(dir=MEMORY) as top:
        log = log_of(Path(top))
        older = []
        for size in [*sizes, 1]:
            log.append(entries(log.size, log.size + size))
            if log.size:
                older.append(log.checkpoint())
        assert log.verify(signer().verifier).sound
        index = data.draw(st.integers(0, log.size - 1))
        proof = log.inclusion_proof(index)
        assert proof.verify(log.entry(index), log.origin, [signer().verifier]).size == log.size
        path = list(proof.path)
        if path:
            place = data.draw(st.integers(0, len(path) - 1))
            path[place] = merkle.leaf_hash(path[place])
            root = root_of(tiles.leaves(list(log.entries())))
            assert not merkle.includes(index, log.size, merkle.leaf_hash(log.entry(index)), path, root)


def rewritten(copy: Copy, upto: int) -> AuditLog:
    """A forger's log in the same folder, without the key: everything is made anew up to tiles of level `upto`."""
    changed = [b"forged", *entries(1, copy.size)]
    rows = [tiles.leaves(changed)]
    while len(rows[-1]) >= 256 * 32:
        rows.append(b"".join(merkle.complete_root(rows[-1][at : at + 8192]) for at in range(0, len(rows[-1]) // 8192 * 8192, 8192)))
    for tile in tiles.added(0, copy.size):
        path = copy.folder / tile.path
        if tile.level == tiles.ENTRIES:
            path.write_bytes(tiles.write_bundle(changed[tile.start : tile.stop]))
        elif tile.level <= upto:
            path.write_bytes(rows[tile.level][tile.number * 8192 : tile.number * 8192 + tile.width * 32])
    return copy.log


@pytest.mark.parametrize(("upto", "first_bad"), [(-1, 0), (0, 0), (1, None)])
def test_a_history_rewritten_up_to_some_level(logs: list[Path], upto: int, first_bad: int | None) -> None:
    with Copy(logs[5]) as copy:
        verdict = rewritten(copy, upto).verify(signer().verifier)
        assert (verdict.sound, verdict.size, verdict.first_bad) == (False, 600, first_bad)
