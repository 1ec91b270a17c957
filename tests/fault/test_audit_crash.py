"""An append that dies anywhere: nothing acknowledged is lost, nothing half is seen, and the next append goes on."""

import os
import random
import shutil
import signal
import struct
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from audit.disk import Disk
from tests.support.audit_logs import MEMORY, Dead, FailingDisk, PowerCut, entries, log_of, signer

#: how large the log is, how much the append that dies adds, how much the next one
CASES = [(0, 1, 1), (0, 300, 2), (5, 1, 3), (5, 3, 1), (250, 10, 1), (255, 1, 300), (256, 1, 1), (250, 600, 4)]


@pytest.fixture
def room() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(dir=MEMORY) as name:
        yield Path(name)


@pytest.fixture(scope="module")
def bases() -> Iterator[dict[int, Path]]:
    with tempfile.TemporaryDirectory(dir=MEMORY) as name:
        made = {size: Path(name) / str(size) for size in (0, 5, 250, 255, 256, 65_530)}
        for size, folder in made.items():
            log_of(folder, [size - 2, 1, 1] if size else [])
        yield made


def copied(base: Path, folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    if base.exists():
        shutil.copytree(base, folder, copy_function=_linked)
    return folder


def _linked(source: str, target: str) -> None:
    """Tiles never change, so they may be shared; the lock is written in place."""
    (shutil.copyfile if source.endswith("lock") else os.link)(source, target)


def recovered(folder: Path, size: int, dying: int, after: int) -> int:
    """Checks what a crash left, appends, checks again; how many entries of the append that died are in the log."""
    dead = [b"dead %d" % n for n in range(dying)]
    log = log_of(folder)
    before = log.size
    assert before in (size, size + dying), "an append is in the log whole or not at all"
    if before:
        verdict = log.verify(signer().verifier)
        assert verdict.sound and verdict.size == before, verdict.what
    more = [b"after %d" % n for n in range(after)]
    places = log.append(more)
    assert places.start in (size, size + dying) and places.start >= before
    assert list(log.entries()) == [*entries(0, size), *dead[: places.start - size], *more]
    verdict = log.verify(signer().verifier)
    assert verdict.sound, verdict.what
    assert log.append([b"again"]).start == places.stop
    left = [path for path in folder.rglob("*.p") if path.with_suffix("").exists()]
    assert not left, "partial tiles of a tile that is full were forgotten"
    return places.start - size


def steps_of(base: Path, folder: Path, size: int, dying: int) -> int:
    disk = FailingDisk(None, False, Dead)
    log_of(copied(base, folder), disk=disk).append([b"dead %d" % n for n in range(dying)])
    return disk.steps


@pytest.mark.parametrize("fail", [Dead, OSError])
@pytest.mark.parametrize("done", [False, True])
@pytest.mark.parametrize(("size", "dying", "after"), CASES, ids=str)
def test_every_step_of_an_append_may_be_the_last(
    bases: dict[int, Path], room: Path, size: int, dying: int, after: int, done: bool, fail: type[BaseException]
) -> None:
    steps = steps_of(bases[size], room / "audit", size, dying)
    assert steps >= 8
    survived, reported = set(), 0
    for at in range(steps):
        folder = copied(bases[size], room / "audit")
        disk = FailingDisk(at, done, fail)
        try:
            log_of(folder, disk=disk).append([b"dead %d" % n for n in range(dying)])
        except fail:
            survived.add(recovered(folder, size, dying, after))
        else:  # only tidying failed: it was committed, and said so
            reported += 1
            assert recovered(folder, size, dying, after) == dying
    assert 0 in survived and (dying in survived or reported)


@pytest.mark.slow
@pytest.mark.parametrize(("done", "fail"), [(False, OSError), (True, Dead)], ids=str)
def test_so_it_is_where_two_levels_of_tiles_fill_up(bases: dict[int, Path], room: Path, done: bool, fail: type[BaseException]) -> None:
    test_every_step_of_an_append_may_be_the_last(bases, room, 65_530, 10, 1, done, fail)


@pytest.mark.parametrize("done", [False, True])
@pytest.mark.parametrize(("size", "dying", "after"), CASES, ids=str)
def test_every_step_of_the_recovery_may_be_the_last_too(
    bases: dict[int, Path], room: Path, size: int, dying: int, after: int, done: bool
) -> None:
    steps = steps_of(bases[size], room / "audit", size, dying)
    for first in range(0, steps, 3):
        for second in range(0, steps, 2):
            folder = copied(bases[size], room / "audit")
            for at in (first, second):
                try:
                    log_of(folder, disk=FailingDisk(at, done, Dead)).append([b"dead %d" % n for n in range(dying)])
                except Dead:
                    continue
            stored = list(log_of(folder).entries())
            assert stored[:size] == entries(0, size)
            log_of(folder).append([b"after"] * after)
            verdict = log_of(folder).verify(signer().verifier)
            assert verdict.sound, (first, second, verdict.what)


def none(_: Path) -> bool:
    return False


def by_chance(seed: str) -> Callable[[Path], bool]:
    chance = random.Random(seed)
    return lambda _: chance.random() < 0.5


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("sizes", [(1, 1, 1), (200, 100, 1), (3, 253, 257)], ids=str)
def test_a_power_cut_takes_what_was_not_synced(room: Path, sizes: tuple[int, ...], seed: int) -> None:
    """`seed` 0: all of it; else each file by chance, as a disk that wrote some of it already."""
    at = 0
    while True:
        folder = room / f"log{at}"
        folder.mkdir()
        disk = PowerCut(folder, at)
        log = log_of(folder, disk=disk)
        acknowledged = 0
        try:
            for size in sizes:
                log.append(entries(acknowledged, acknowledged + size))
                acknowledged += size
        except Dead:
            pass
        disk.cut(by_chance(f"{seed} {at}") if seed else none)
        again = log_of(folder)
        assert again.size >= acknowledged
        stored = list(again.entries())
        assert stored == entries(0, len(stored))
        again.append(entries(len(stored), len(stored) + 2))
        stored = list(again.entries())
        assert [entry for entry in stored if entry not in entries(0, sum(sizes) + 9)] == []
        verdict = again.verify(signer().verifier)
        assert verdict.sound, (at, verdict.what)
        if acknowledged == sum(sizes):
            break
        at += 1
    assert at > 20


@pytest.mark.parametrize(("size", "dying", "after"), [(5, 3, 1), (0, 2, 1)], ids=str)
def test_what_a_recovery_removed_does_not_come_back_with_a_power_cut(
    bases: dict[int, Path], room: Path, size: int, dying: int, after: int
) -> None:
    """The process dies in one append; the next one removes what it left, and then the power goes."""
    steps = steps_of(bases[size], room / "audit", size, dying)
    for first in range(steps):
        for second in range(steps + 6):
            folder = room / "audit"
            shutil.rmtree(folder)
            if bases[size].exists():
                shutil.copytree(bases[size], folder)
            else:
                folder.mkdir()
            with suppress(Dead):
                log_of(folder, disk=FailingDisk(first, True, Dead)).append([b"dead %d" % n for n in range(dying)])
            disk = PowerCut(folder, second)
            with suppress(Dead):
                log_of(folder, disk=disk).append([b"other %d" % n for n in range(after)])
            disk.cut()
            log = log_of(folder)
            log.append([b"then"])
            verdict = log.verify(signer().verifier)
            assert verdict.sound, (first, second, verdict.what)


def test_a_copy_without_its_lock_gets_one_that_lasts(bases: dict[int, Path], room: Path) -> None:
    for at in range(20):
        folder = room / f"audit{at}"
        shutil.copytree(bases[5], folder)
        (folder / "lock").unlink()
        disk = PowerCut(folder, at)
        with suppress(Dead):
            log_of(folder, disk=disk).append([b"one", b"more"])
        disk.cut(lambda path: path.name != "lock")  # the tiles had reached the disk
        log_of(folder).append([b"then"])
        assert log_of(folder).verify(signer().verifier).sound


@pytest.mark.crash
def test_killed_processes_lose_nothing_that_was_acknowledged(room: Path) -> None:
    folder, chance = room / "audit", random.Random(4)
    acknowledged: list[tuple[int, int]] = []
    for life in range(15):
        acknowledged += list(_one_life(folder, life, acknowledgements=chance.randrange(1, 12)))
    log = log_of(folder)
    log.append([b"the end"])
    stored = list(log.entries())
    assert log.verify(signer().verifier).sound
    for index, number in acknowledged:
        assert stored[index] == b"%d" % number
    assert len(acknowledged) >= 15


def _one_life(folder: Path, life: int, acknowledgements: int) -> Iterator[tuple[int, int]]:
    """A process that appends for ever and tells each (index, number) through a pipe, killed after so many."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(read)
        log = log_of(folder, disk=Disk())
        number = life * 1_000_000
        while True:
            places = log.append([b"%d" % (number + n) for n in range(3)])
            for n, place in enumerate(places):
                os.write(write, struct.pack(">QQ", place, number + n))
            number += 3
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        told = [pipe.read(16) for _ in range(acknowledgements)]
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        told += iter(lambda: pipe.read(16), b"")
    for data in told:
        if len(data) == 16:
            yield struct.unpack(">QQ", data)
