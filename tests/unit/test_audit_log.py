"""The log on disk: its layout, what it refuses, reading, proofs, and several writers at once."""

import multiprocessing
import os
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from audit import merkle, tiles
from audit.checkpoint import Checkpoint, read_checkpoint
from audit.log import AuditLog
from audit.tiles import ENTRIES, Tile
from policies.errors import NotFound, Refused, Unsound, WrongUsage
from tests.support.audit_logs import MEMORY, ORIGIN, entries, log_of, root_of, signer


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(dir=MEMORY) as name:
        yield Path(name)


def files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def refusal_of(log: AuditLog) -> str:
    with pytest.raises((Unsound, Refused)) as refusal:
        log.append([b"more"])
    return refusal.value.code


# ---------------------------------------------------------------- layout


def test_tiles_have_the_names_that_the_format_gives() -> None:
    assert Tile(0, 1234067).path == "tile/0/x001/x234/067"
    assert Tile(ENTRIES, 0).path == "tile/entries/000"
    assert Tile(ENTRIES, 999, 5).path == "tile/entries/999.p/5"
    assert Tile(2, 1000, 255).path == "tile/2/x001/000.p/255"
    for tile in (Tile(0, 1234067), Tile(ENTRIES, 999, 5), Tile(63, 1000, 255), Tile(9, 10**9)):
        assert Tile.parse(tile.path) == tile


@pytest.mark.parametrize(
    "path",
    [
        "tile/0/1",
        "tile/00/001",
        "tile/64/001",
        "tile/0/x000/001",
        "tile/0/001.p/256",
        "tile/0/001.p/257",
        "tile/0/001.p/999",
        "tile/0/001.p/0",
        "tile/0/001.p/01",
        "tile/0/001.p",
        "0/001",
        "",
    ],
)
def test_other_names_are_no_tiles(path: str) -> None:
    assert Tile.parse(path) is None


def test_the_formats_example_of_70000_leaves() -> None:
    # C2SP tlog-tiles: 273 full level 0 tiles, one partial of width 112; one full level 1 tile, one partial of width 17; one of width 1
    made = [tile for tile in tiles.added(0, 70_000) if tile.level >= 0]
    assert [len([tile for tile in made if tile.level == level and tile.width == 256]) for level in range(3)] == [273, 1, 0]
    assert tiles.edge(70_000) == [Tile(ENTRIES, 273, 112), Tile(0, 273, 112), Tile(1, 1, 17), Tile(2, 0, 1)]


def test_a_tree_of_256_leaves_has_a_partial_tile_above() -> None:
    assert tiles.added(0, 256) == [Tile(ENTRIES, 0), Tile(0, 0), Tile(1, 0, 1)]
    assert tiles.edge(0) == []


def test_what_lies_in_the_folder(tmp_path: Path) -> None:
    log_of(tmp_path / "audit", [3, 2])
    names = {f"tile/{kind}/000.p/{width}" for kind in ("0", "entries") for width in (3, 5)}
    assert files(tmp_path / "audit") == names | {"checkpoint", "lock"}
    assert (tmp_path / "audit/tile/entries/000.p/3").read_bytes() == b"".join(
        len(entry).to_bytes(2, "big") + entry for entry in entries(0, 3)
    )
    assert (tmp_path / "audit/tile/0/000.p/3").read_bytes() == b"".join(map(merkle.leaf_hash, entries(0, 3)))


@pytest.mark.parametrize(("umask", "file", "folder"), [(0o077, 0o600, 0o700), (0o007, 0o660, 0o770)], ids=["alone", "shared"])
def test_the_umask_says_who_shares_the_log(tmp_path: Path, umask: int, file: int, folder: int) -> None:
    before = os.umask(umask)
    try:
        log_of(tmp_path / "audit", [3, 300])
    finally:
        os.umask(before)
    found = [(path.is_dir(), path.stat().st_mode & 0o777) for path in [tmp_path / "audit", *(tmp_path / "audit").rglob("*")]]
    assert set(found) == {(False, file), (True, folder)}


def test_partial_tiles_go_when_they_are_full(tmp_path: Path) -> None:
    log_of(tmp_path, [200, 55, 2])
    partials = {f"tile/{kind}/001.p/1" for kind in ("0", "entries")} | {"tile/1/000.p/1"}
    assert files(tmp_path) == partials | {"tile/0/000", "tile/entries/000", "checkpoint", "lock"}
    assert log_of(tmp_path).verify(signer().verifier).sound


@pytest.mark.parametrize("sizes", [[1], [255], [256], [257], [1] * 5, [300, 212], [511, 1, 1], [65_535, 1, 1], [70_000]], ids=str)
def test_any_batching_makes_the_same_tree(tmp_path: Path, sizes: list[int]) -> None:
    log = log_of(tmp_path, sizes)
    size = sum(sizes)
    signed = read_checkpoint(log.checkpoint(), ORIGIN, [signer().verifier])
    assert signed == Checkpoint(ORIGIN, size, root_of(tiles.leaves(entries(0, size))))
    verdict = log.verify(signer().verifier)
    assert verdict.sound and verdict.size == size and verdict.first_bad is None
    assert list(log.entries()) == entries(0, size)


# ---------------------------------------------------------------- append


def test_nothing_appended_is_nothing_done(tmp_path: Path) -> None:
    log = log_of(tmp_path / "audit")
    assert log.append([]) == range(0)
    assert log.size == 0 and files(tmp_path) == {"audit/lock"}
    log.append([b"one"])
    assert log.append([]) == range(1, 1) and log.size == 1


def test_the_longest_entry_fits_and_a_longer_one_changes_nothing(tmp_path: Path) -> None:
    log = log_of(tmp_path, [2])
    log.append([b"x" * 65_535, b""])
    with pytest.raises(Refused) as refusal:
        log.append([b"fine", b"x" * 65_536])
    assert refusal.value.code == "entry-too-long"
    assert log.size == 4 and log.entry(2) == b"x" * 65_535 and log.entry(3) == b""
    assert log.verify(signer().verifier).sound


def test_without_the_key_a_log_is_only_read(tmp_path: Path) -> None:
    log_of(tmp_path, [2])
    assert refusal_of(AuditLog(tmp_path, ORIGIN)) == "audit-read-only"
    assert list(AuditLog(tmp_path, ORIGIN).entries()) == entries(0, 2)


def test_a_signer_of_another_name_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WrongUsage):
        AuditLog(tmp_path, "other", signer())


def test_another_key_does_not_go_on_with_the_log(tmp_path: Path) -> None:
    log_of(tmp_path, [2])
    assert refusal_of(AuditLog(tmp_path, ORIGIN, signer(seed=8))) == "note-unsigned"


def test_a_changed_checkpoint_is_not_built_upon(tmp_path: Path) -> None:
    log = log_of(tmp_path, [2])
    (tmp_path / "checkpoint").write_bytes(log.checkpoint().replace(b"\n2\n", b"\n3\n"))
    assert refusal_of(log) == "note-forged"


def test_a_changed_tile_at_the_edge_is_not_built_upon(tmp_path: Path) -> None:
    log = log_of(tmp_path, [2])
    (tmp_path / "tile/0/000.p/2").write_bytes(bytes(64))
    assert refusal_of(log) == "audit-tiles-changed"


def test_a_missing_tile_at_the_edge_is_not_built_upon(tmp_path: Path) -> None:
    log = log_of(tmp_path, [2])
    (tmp_path / "tile/0/000.p/2").unlink()
    assert refusal_of(log) == "audit-tile-gone"


@pytest.mark.parametrize("lock", [True, False])
def test_a_log_whose_checkpoint_was_taken_away_does_not_begin_anew(tmp_path: Path, lock: bool) -> None:
    log = log_of(tmp_path, [2])
    (tmp_path / "checkpoint").unlink()
    if not lock:
        (tmp_path / "lock").unlink()
    assert refusal_of(log) == "audit-checkpoint-gone"


@pytest.mark.parametrize("lock", [True, False])
def test_an_older_checkpoint_put_back_is_not_built_upon(tmp_path: Path, lock: bool) -> None:
    log = log_of(tmp_path, [2])
    old = log.checkpoint()
    log.append([b"a", b"b"])
    (tmp_path / "checkpoint").write_bytes(old)
    if not lock:
        (tmp_path / "lock").unlink()
    for batch in ([b"c"], [b"c", b"d"]):  # the second would have written the very tile that is there
        with pytest.raises(Unsound) as refusal:
            log.append(batch)
        assert refusal.value.code == "audit-rolled-back"
    verdict = log.verify(signer().verifier)
    assert (verdict.sound, verdict.size, verdict.first_bad) == (False, 2, 2)
    assert list(log.entries()) == entries(0, 2)


def test_an_older_state_put_back_whole_is_not_built_upon_while_the_lock_remembers(tmp_path: Path) -> None:
    log = log_of(tmp_path, [2])
    old = log.checkpoint()
    log.append([b"a"])
    (tmp_path / "checkpoint").write_bytes(old)
    (tmp_path / "tile/0/000.p/3").unlink()
    (tmp_path / "tile/entries/000.p/3").unlink()
    assert refusal_of(log) == "audit-rolled-back"
    verdict = log.verify(signer().verifier)
    assert (verdict.sound, verdict.first_bad) == (False, 2)


def test_a_tile_that_somebody_laid_ahead_is_neither_taken_nor_removed(tmp_path: Path) -> None:
    log = log_of(tmp_path, [2])
    planted = tmp_path / "tile/entries/000.p/3"
    planted.write_bytes(b"forged")
    for _ in range(2):
        assert refusal_of(log) == "audit-rolled-back"
    assert planted.read_bytes() == b"forged" and log.size == 2
    assert not log.verify(signer().verifier).sound


def test_a_changed_lock_is_noticed(tmp_path: Path) -> None:
    log = log_of(tmp_path, [2])
    (tmp_path / "lock").write_bytes(b"nonsense")
    assert refusal_of(log) == "audit-lock-damaged"
    assert not log.verify(signer().verifier).sound


# ---------------------------------------------------------------- read


def test_entries_by_number(tmp_path: Path) -> None:
    log = log_of(tmp_path, [600])
    assert log.entry(0) == entries(0, 1)[0] and log.entry(599) == entries(599, 600)[0]
    assert list(log.entries(250, 520)) == entries(250, 520)
    assert list(log.entries(-5, 3)) == entries(0, 3)
    assert list(log.entries(590, 10_000)) == entries(590, 600)
    assert list(log.entries(600)) == [] and list(log.entries(5, 5)) == []
    for index in (-1, 600):
        with pytest.raises(NotFound):
            log.entry(index)
        with pytest.raises(NotFound):
            log.inclusion_proof(index)


def test_no_log_is_an_empty_one(tmp_path: Path) -> None:
    log = AuditLog(tmp_path / "nothing", ORIGIN)
    assert log.size == 0 and list(log.entries()) == []
    with pytest.raises(NotFound):
        log.checkpoint()
    assert not log.verify(signer().verifier).sound


def test_a_reader_who_comes_late_finds_the_full_tile(tmp_path: Path) -> None:
    log = log_of(tmp_path, [200])
    old = log.checkpoint()
    log.append(entries(200, 300))
    assert not (tmp_path / "tile/entries/000.p").exists()
    (tmp_path / "checkpoint").write_bytes(old)  # what the reader read just before
    assert list(log.entries()) == entries(0, 200)
    proof = log.inclusion_proof(150)
    assert proof.verify(entries(150, 151)[0], ORIGIN, [signer().verifier]).size == 200


def test_a_cut_bundle_is_not_passed_on(tmp_path: Path) -> None:
    log = log_of(tmp_path, [3])
    (tmp_path / "tile/entries/000.p/3").write_bytes(tiles.write_bundle(entries(0, 2)))
    with pytest.raises(Unsound) as refusal:
        list(log.entries())
    assert refusal.value.code == "audit-bundle-damaged"


# ---------------------------------------------------------------- proofs


@pytest.mark.parametrize("size", [1, 2, 255, 256, 257, 1000])
def test_entries_are_proved_from_the_tiles(tmp_path: Path, size: int) -> None:
    log = log_of(tmp_path, [size])
    for index in {0, size // 2, size - 1, max(size - 2, 0), 255 % size, 256 % size}:
        proof = log.inclusion_proof(index)
        assert proof.verify(log.entry(index), ORIGIN, [signer().verifier]).size == size
        with pytest.raises(Unsound):
            proof.verify(b"another", ORIGIN, [signer().verifier])


def test_every_older_checkpoint_is_extended(tmp_path: Path) -> None:
    log = log_of(tmp_path)
    older = [Checkpoint(ORIGIN, 0, merkle.EMPTY)]
    for size in (1, 1, 3, 250, 1, 1, 300, 700):
        log.append(entries(log.size, log.size + size))
        older.append(read_checkpoint(log.checkpoint(), ORIGIN, [signer().verifier]))
    for checkpoint in older:
        proof = log.prove_consistency(checkpoint)
        assert proof.holds and proof.newer == older[-1]


def test_another_history_is_not_extended(tmp_path: Path) -> None:
    log, other = log_of(tmp_path / "one", [5]), log_of(tmp_path / "two", [4])
    other.append([b"fork"])
    forked = read_checkpoint(other.checkpoint(), ORIGIN, [signer().verifier])
    log.append(entries(5, 8))
    other.append(entries(5, 500))
    for checkpoint in (forked, read_checkpoint(other.checkpoint(), ORIGIN, [signer().verifier])):
        with pytest.raises(Unsound) as refusal:
            log.prove_consistency(checkpoint)
        assert refusal.value.code == "audit-forked"


# ---------------------------------------------------------------- several at once


def _append_alone(
    folder: Path, name: bytes, ready: "multiprocessing.synchronize.Barrier", answers: "multiprocessing.Queue[object]"
) -> None:
    log = log_of(folder)
    ready.wait()
    mine = []
    for turn in range(40):
        batch = [b"%s %d %d" % (name, turn, n) for n in range(turn % 4 + 1)]
        mine.append((log.append(batch), batch))
    answers.put(mine)


def test_two_processes_append_at_once_and_both_are_in_the_log(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    ready, answers = context.Barrier(2), context.Queue()
    processes = [context.Process(target=_append_alone, args=(tmp_path, name, ready, answers)) for name in (b"left", b"right")]
    for process in processes:
        process.start()
    told = [answers.get(timeout=60) for _ in processes]
    for process in processes:
        process.join(60)
    log = log_of(tmp_path)
    stored = list(log.entries())
    assert log.verify(signer().verifier).sound
    assert len(stored) == len(set(stored)) == 200
    for places, batch in (answer for mine in told for answer in mine):
        assert [stored[place] for place in places] == batch


def test_threads_of_one_process_take_turns(tmp_path: Path) -> None:
    log = log_of(tmp_path)
    threads = [threading.Thread(target=lambda n=n: [log.append([b"%d %d" % (n, turn)]) for turn in range(20)]) for n in range(3)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):  # who verifies meanwhile sees a sound log, whatever its size
        assert log.size == 0 or log.verify(signer().verifier).sound
    assert log.size == 60 and log.verify(signer().verifier).sound
    assert len(set(log.entries())) == 60


def test_a_copy_that_may_only_be_read_is_verified(tmp_path: Path) -> None:
    log = log_of(tmp_path / "audit", [300])
    os.unlink(tmp_path / "audit/lock")
    assert log.verify(signer().verifier).sound
