"""The desk: limits that hold across sessions, and refusals only where there is no room."""

import asyncio
from pathlib import Path

import pytest

from gateway.drop.lifecycle import Raw
from gateway.intake.files.arriving import MAX_AHEAD, Arriving
from gateway.intake.files.folders import VendorFolders
from gateway.intake.files.refusals import IntakeRefused
from gateway.store.home import Home
from gateway.store.ledger import drop_of
from tests.support.desks import Stage, code_of, deliver, opened, played, write
from tests.support.intake import drops, make_home

MIB = 1 << 20


# ---------------------------------------------------------------- limits


def test_sessions_and_handles_are_counted(tmp_path: Path) -> None:
    async def what(stage: Stage) -> None:
        one = await stage.session("one")
        await stage.session("two")
        assert await code_of(stage.session("three")) == "too-many-sessions"
        await stage.session("b1", "boom")
        assert await code_of(stage.session("b2", "boom")) == "too-many-sessions-in-all"
        await stage.desk.leave("two")
        await stage.session("three")
        handle = await opened(one, "x.part")
        await stage.desk.handle("three", +1)
        assert await code_of(stage.desk.handle("three", +1)) == "too-many-handles"
        assert await code_of(opened(one, "y.part")) == "too-many-handles"
        await stage.desk.handle("b1", +1)
        await one.close(handle)
        await stage.desk.handle("three", -1)
        await stage.desk.handle("three", -1)
        for _ in range(2):
            await stage.desk.handle("three", +1)
        await stage.desk.leave("three")
        await opened(one, "y.part")
        await opened(one, "z.part")

    played(tmp_path, what, own={"max_handles_per_vendor": 2}, max_sessions_per_vendor=2, max_sessions=3)


def test_handles_of_all_are_counted_too(tmp_path: Path) -> None:
    async def what(stage: Stage) -> None:
        one, two = await stage.session("one"), await stage.session("two", "boom")
        await opened(one, "x.part")
        await opened(two, "x.part")
        assert await code_of(opened(two, "y.part")) == "too-many-handles"

    played(tmp_path, what, max_handles=2)


def test_a_days_bytes_are_exact_over_sessions_and_restarts(tmp_path: Path) -> None:
    """Two sessions share what is left to the last byte; what is unfinished counts after a restart as it did before."""

    async def first(stage: Stage) -> None:
        one, two = await stage.session("one"), await stage.session("two")
        await deliver(one, "a.age", bytes(1_000_000))
        b, c = await opened(one, "b.age"), await opened(two, "c.age")
        await write(one, b, bytes(1_500_000))
        await write(two, c, bytes(499_999))
        assert await code_of(write(two, c, bytes(2))) == "day-bytes"
        assert await code_of(two.close(c)) == "write-failed"
        await one.lose(b)

    home = played(tmp_path, first, day_bytes_per_vendor=3_000_000)

    async def again() -> None:
        stage = Stage(home)
        await stage.desk.start()
        room = await stage.desk.room("cito")
        assert room.free == 1
        one = await stage.session("one")
        c = await opened(one, "c.age")
        assert c.upload.size == 499_999
        await write(one, c, b"x")
        assert await code_of(write(one, c, b"x")) == "day-bytes"
        await one.lose(c)
        await one.close(await opened(one, "b.age"))
        assert (await stage.desk.room("cito")).free == 0
        await deliver(await stage.session("two", "boom"), "a.age", bytes(1000))
        await stage.desk.stop()

    asyncio.run(again())
    assert sum(drop.bytes for drop in drops(home) if drop.vendor == "cito") == 2_500_000


def test_room_that_others_hold_and_do_not_need_is_called_back(tmp_path: Path) -> None:
    async def what(stage: Stage) -> None:
        one, two = await stage.session("one"), await stage.session("two")
        idle = await opened(one, "idle.age")
        await write(one, idle, b"x")
        assert idle.allowed > 1, "more than it has written"
        busy = await opened(two, "busy.age")
        await write(two, busy, bytes(2 * MIB - 1))
        assert idle.allowed == 1
        assert await code_of(write(two, busy, b"y")) == "store-bytes"
        await one.close(idle)

    played(tmp_path, what, store_bytes_per_vendor=2 * MIB)


def test_erased_deliveries_make_room(tmp_path: Path) -> None:
    async def what(stage: Stage) -> None:
        one = await stage.session("one")
        await deliver(one, "a.age", bytes(900))
        await stage.desk.settled()
        handle = await opened(one, "b.age")
        assert await code_of(write(one, handle, bytes(101))) == "store-bytes"
        with stage.home.ledger.change("worker") as change:
            drop_of(change.session, drops(stage.home)[0].id).raw = Raw.ERASED
        other = await opened(one, "c.age")
        await write(one, other, bytes(1000))
        await one.close(other)

    played(tmp_path, what, store_bytes_per_vendor=1000)


def test_files_of_a_day_are_exact(tmp_path: Path) -> None:
    async def what(stage: Stage) -> None:
        one = await stage.session("one")
        await deliver(one, "a.age")
        kept = await opened(one, "b.age")
        assert await code_of(opened(one, "c.age")) == "day-files"
        await one.close(kept)
        assert await code_of(opened(one, "c.age")) == "day-files"

    home = played(tmp_path, what, own={"day_files_per_vendor": 2})
    assert len(drops(home)) == 2


@pytest.mark.parametrize("append", [False, True])
def test_a_file_is_as_large_as_is_allowed(tmp_path: Path, append: bool) -> None:
    async def what(stage: Stage) -> None:
        one = await stage.session("one")
        handle = await opened(one, "a.age", append=append)
        await write(one, handle, bytes(100))
        assert await code_of(write(one, handle, b"x")) == "too-large"
        assert await code_of(one.close(handle)) == "write-failed"
        await one.close(await opened(one, "a.age"))

    home = played(tmp_path, what, own={"max_file_bytes": 100})
    assert [drop.bytes for drop in drops(home)] == [100]


def test_the_speed_is_bound_for_all_sessions_together(tmp_path: Path) -> None:
    async def what(stage: Stage) -> None:
        now = [0.0]
        slept: list[float] = []
        stage.desk.allowance.monotonic = lambda: now[0]

        async def sleep(seconds: float) -> None:
            slept.append(seconds)

        one, two = await stage.session("one"), await stage.session("two")
        a, b = await opened(one, "a.age"), await opened(two, "b.age")
        assert a.allowed == b.allowed == 0
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("gateway.intake.front.allowance.asyncio.sleep", sleep)
            await write(one, a, bytes(1000))
            assert slept == [], "a second's worth at once"
            await write(two, b, bytes(1000))
        assert sum(slept) == pytest.approx(1.0, abs=0.3)
        assert a.allowed + b.allowed <= 1000 * (1 + sum(slept)) + 1
        await one.close(a)
        await two.close(b)

    played(tmp_path, what, bytes_per_second_per_vendor=1000)


def test_a_delivery_says_which_limits_come_near(tmp_path: Path) -> None:
    async def what(stage: Stage) -> None:
        one = await stage.session("one")
        for name in "abcd":
            await deliver(one, f"{name}.age")

    home = played(tmp_path, what, own={"day_files_per_vendor": 5})
    assert {drop.file_name: drop.notices for drop in drops(home)} == {
        "a.age": [], "b.age": [], "c.age": [], "d.age": ["limit-day-files"],
    }  # fmt: skip


def test_a_changed_configuration_counts_at_once(tmp_path: Path) -> None:
    async def what(stage: Stage) -> None:
        one = await stage.session("one")
        handle = await opened(one, "x.age")
        await write(one, handle, bytes(10))
        home = make_home(tmp_path / "other", max_file_bytes=2 * MIB)
        stage.desk.reconfigured(Home(stage.home.path, home.config, stage.home.clock))
        assert await code_of(write(one, handle, bytes(2 * MIB))) == "too-large"

    (tmp_path / "other").mkdir()
    played(tmp_path, what)


# ---------------------------------------------------------------- the disk


def test_a_disk_that_is_nearly_full_lets_old_uploads_go_on_and_new_ones_not(tmp_path: Path) -> None:
    async def what(stage: Stage) -> None:
        free = [10 * MIB]
        stage.desk.allowance.free_disk = lambda: free[0]
        one = await stage.session("one")
        old = await opened(one, "old.age")
        await write(one, old, bytes(MIB))
        free[0] = 4 * MIB
        assert await code_of(opened(one, "new.age")) == "disk-full"
        assert "new.age" not in await stage.unfinished()
        await write(one, old, bytes(MIB))
        free[0] = MIB + 100
        await write(one, old, bytes(50))
        assert await code_of(write(one, old, bytes(MIB))) == "disk-full"
        assert (await stage.desk.room("cito")).free == 0

    played(tmp_path, what, disk_reserve_bytes=5 * MIB, disk_floor_bytes=MIB)


def test_what_is_allowed_and_not_written_is_counted_as_used(tmp_path: Path) -> None:
    """Each new upload may be written a little way at once: together no further than the disk has room."""

    async def what(stage: Stage) -> None:
        stage.desk.allowance.free_disk = lambda: 8 * MIB + 1
        one = await stage.session("one")
        handles = [await opened(one, f"{number}.age") for number in range(3)]
        assert sum(handle.allowed for handle in handles) == 3 * MIB
        assert await code_of(opened(one, "3.age")) == "disk-full"

    played(tmp_path, what, disk_reserve_bytes=5 * MIB + 1, disk_floor_bytes=MIB)


def test_the_gaps_of_an_upload_are_counted_as_used(tmp_path: Path) -> None:
    """A byte far beyond the rest takes no room yet, and what lies before it may come without another question."""

    async def what(stage: Stage) -> None:
        stage.desk.allowance.free_disk = lambda: 20 * MIB
        one = await stage.session("one")
        handle = await opened(one, "x.part")
        if (waiting := one.write(handle, 10 * MIB, b"x")) is not None:
            await waiting
        block = 4096  # the one that the byte lies in is on the disk already
        assert (await stage.desk.room("cito")).free <= 20 * MIB - 10 * MIB + block
        await one.lose(handle)
        assert (await stage.desk.room("cito")).free <= 20 * MIB - 10 * MIB, "nobody writes it now: somebody may again"
        handle = await opened(one, "x.part")
        if (waiting := one.write(handle, 10 * MIB + 1, bytes(100))) is not None:
            await waiting
        with pytest.raises(IntakeRefused, match="vol"):
            await _written(one, handle, 21 * MIB)

    played(tmp_path, what, disk_reserve_bytes=0, disk_floor_bytes=0)


async def _written(folders: VendorFolders, handle: Arriving, offset: int) -> None:
    if (waiting := folders.write(handle, offset, b"x")) is not None:
        await waiting


def test_a_byte_far_ahead_takes_no_room_from_others(tmp_path: Path) -> None:
    """A gap may be filled without another question, so it is kept free: it must not be as large as a client likes."""

    async def what(stage: Stage) -> None:
        bomb = await opened(await stage.session("one"), "bom.age")
        for offset in (MAX_AHEAD + 1, 1 << 34, (1 << 63) - 2):
            with pytest.raises(IntakeRefused) as refused:
                bomb.write(offset, b"x")
            assert refused.value.code == "too-far-ahead"
        others = await stage.session("b1", "boom")
        await deliver(others, "goed.age", b"good")

    played(tmp_path, what)
