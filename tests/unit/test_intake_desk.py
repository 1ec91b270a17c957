"""The desk: one writer per upload, limits that hold across sessions, and refusals only where there is no room."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from gateway.drop.lifecycle import Raw
from gateway.intake.desk import Ask
from gateway.intake.files.arriving import Arriving
from gateway.intake.files.folders import VendorFolders
from gateway.intake.files.names import Place
from gateway.intake.files.refusals import IntakeRefused
from gateway.intake.front import desk as module
from gateway.intake.front.desk import FrontDesk
from gateway.store.home import Home
from gateway.store.ledger import drop_of
from gateway.store.models import Vendor
from tests.support.intake import content, drops, files_below, make_home

MIB = 1 << 20


class Stage:
    """A desk with sessions of two vendors."""

    def __init__(self, home: Home) -> None:
        self.home = home
        self.desk = FrontDesk(home)

    async def session(self, name: str, vendor: str = "cito") -> VendorFolders:
        await self.desk.enter(name, vendor, "192.0.2.1")
        return VendorFolders(self.home, self.desk, name, vendor, "192.0.2.1")

    async def unfinished(self, vendor: str = "cito") -> dict[str, tuple[int, bool]]:
        return {one.name: (one.size, one.held) for one in await self.desk.look(vendor, "leveringen")}


def played(folder: Path, what: Callable[[Stage], Awaitable[Any]], own: dict[str, int] | None = None, **intake: int) -> Home:
    """`what` on a new home whose vendor cito has limits of its `own`; answers the home."""
    home = make_home(folder, **intake)
    with home.ledger.change("administrator") as change:
        change.session.add(Vendor(name="cito", created_at=change.now, limits=own or {}))
        change.session.add(Vendor(name="boom", created_at=change.now))

    async def run() -> None:
        stage = Stage(home)
        await stage.desk.start()
        try:
            await what(stage)
        finally:
            await stage.desk.stop()

    asyncio.run(run())
    return home


async def opened(folders: VendorFolders, name: str, anew: bool = False, append: bool = False) -> Arriving:
    return await folders.open_to_write(Place("leveringen", name), create=True, anew=anew, only_new=False, append=append)


async def write(folders: VendorFolders, handle: Arriving, data: bytes) -> None:
    if (waiting := folders.write(handle, handle.upload.size, data)) is not None:
        await waiting


async def deliver(folders: VendorFolders, name: str, data: bytes = b"x") -> None:
    handle = await opened(folders, name)
    await write(folders, handle, data)
    await folders.close(handle)


async def code_of(what: Awaitable[Any]) -> str:
    with pytest.raises(IntakeRefused) as refused:
        await what
    return refused.value.code


# ---------------------------------------------------------------- one writer


def test_a_newer_session_takes_over_where_the_older_one_was(tmp_path: Path) -> None:
    async def what(stage: Stage) -> None:
        one, two = await stage.session("one"), await stage.session("two")
        old = await opened(one, "x.age")
        await write(one, old, b"abc")
        new = await opened(two, "x.age")
        assert new.upload.size == 3
        assert await code_of(one.close(old)) == "taken-over"
        with pytest.raises(IntakeRefused):
            one.write(old, 3, b"z")
        await write(two, new, b"def")
        await two.close(new)

    home = played(tmp_path, what)
    assert [content(home, drop) for drop in drops(home)] == [b"abcdef"]


def test_who_opens_anew_begins_under_another_key(tmp_path: Path) -> None:
    async def what(stage: Stage) -> None:
        one = await stage.session("one")
        old = await opened(one, "x.age")
        await write(one, old, b"abc")
        new = await opened(one, "x.age", anew=True)
        assert new.upload.uid != old.upload.uid and not old.upload.blob.exists()
        await write(one, new, b"def")
        await one.close(new)

    home = played(tmp_path, what)
    assert [content(home, drop) for drop in drops(home)] == [b"def"]


def test_whoever_opens_while_it_is_delivered_finds_it_delivered(tmp_path: Path) -> None:
    async def what(stage: Stage) -> None:
        one, two = await stage.session("one"), await stage.session("two")
        handle = await opened(one, "x.age")
        await write(one, handle, b"abc")
        _, code = await asyncio.gather(one.close(handle), code_of(opened(two, "x.age", anew=True)))
        assert code == "name-taken"

    home = played(tmp_path, what)
    assert [content(home, drop) for drop in drops(home)] == [b"abc"]


def test_a_session_that_does_not_give_way_is_not_waited_for_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "YIELD_SECONDS", 0.05)
    monkeypatch.setattr(module, "ASK_AGAIN_SECONDS", 0.01)
    asks: list[Ask] = []

    async def what(stage: Stage) -> None:
        await stage.session("deaf")
        stage.desk.attend("deaf", lambda ask, uid: asks.append(ask))
        claim = await stage.desk.claim("deaf", "leveringen", "x.age", create=True, anew=False, only_new=False)
        two = await stage.session("two")
        assert await code_of(opened(two, "x.age")) == "being-delivered"
        await stage.desk.given_up("deaf", claim.uid)
        await deliver(two, "x.age")

    played(tmp_path, what)
    assert set(asks) == {Ask.YIELD} and len(asks) > 1, "asked again: it may not have been open yet"


def test_nobody_speaks_for_what_another_session_holds(tmp_path: Path) -> None:
    async def what(stage: Stage) -> None:
        await stage.session("one")
        await stage.session("two", "boom")
        claim = await stage.desk.claim("one", "leveringen", "x.age", create=True, anew=False, only_new=False)
        for strange in (
            stage.desk.extend("two", claim.uid, 5),
            stage.desk.spare("two", claim.uid, 0),
            stage.desk.keep("two", claim.uid, "y.age", 0, 0, True),
            stage.desk.given_up("two", claim.uid),
            stage.desk.extend("nobody", claim.uid, 5),
        ):
            assert await code_of(strange) == "taken-over"
        assert await code_of(stage.desk.claim("nobody", "leveringen", "y", create=True, anew=False, only_new=False)) == "not-allowed"
        await stage.desk.given_up("one", claim.uid)

    played(tmp_path, what)


def test_what_a_session_leaves_behind_counts_until_it_is_kept(tmp_path: Path) -> None:
    async def what(stage: Stage) -> None:
        one = await stage.session("one")
        handle = await opened(one, "x.age")
        await stage.desk.leave("one")
        await stage.desk.leave("one")
        assert stage.desk.sessions() == 0
        await one.lose(handle)
        assert await stage.unfinished() == {"x.age": (0, False)}
        await stage.session("two")
        await stage.desk.handle("two", +1)

    played(tmp_path, what, max_handles_per_vendor=1)


def test_an_open_that_nobody_waits_for_any_more_gives_back_what_it_got(tmp_path: Path) -> None:
    """The connection is lost while an older one is asked to give way."""

    async def what(stage: Stage) -> None:
        one, two = await stage.session("one"), await stage.session("two")
        await write(one, await opened(one, "x.age"), b"abc")
        opening = asyncio.ensure_future(opened(two, "x.age"))
        await asyncio.sleep(0)
        opening.cancel()
        with pytest.raises(asyncio.CancelledError):
            await opening
        while await stage.unfinished() != {"x.age": (3, False)}:
            await asyncio.sleep(0.001)

    played(tmp_path, what)


# ---------------------------------------------------------------- names


def test_twins_are_refused_unfinished_waiting_and_delivered(tmp_path: Path) -> None:
    async def what(stage: Stage) -> None:
        one = await stage.session("one")
        handle = await opened(one, "Levering.age")
        assert await code_of(opened(one, "levering.age")) == "name-twin"
        await one.close(handle)
        assert await code_of(opened(one, "LEVERING.age")) == "name-twin", "the ledger may not know yet"
        assert await code_of(opened(one, "Levering.age")) == "name-taken"
        await stage.desk.settled()
        assert await code_of(opened(one, "LEVERING.age")) == "name-twin"
        assert await code_of(opened(one, "Levering.age")) == "name-taken"
        part = await opened(one, "levering.age.part")
        await one.close(part)
        rename = one.rename(Place("leveringen", "levering.age.part"), Place("leveringen", "levering.age"), replace=True)
        assert await code_of(rename) == "name-twin"
        await deliver(await stage.session("other", "boom"), "levering.age")

    home = played(tmp_path, what)
    assert sorted(drop.vendor for drop in drops(home)) == ["boom", "cito"]


def test_a_restart_remembers_names(tmp_path: Path) -> None:
    async def first(stage: Stage) -> None:
        await deliver(await stage.session("one"), "x.age")

    home = played(tmp_path, first)

    async def again() -> None:
        stage = Stage(home)
        await stage.desk.start()
        one = await stage.session("one")
        assert await code_of(opened(one, "x.age")) == "name-taken"
        assert await code_of(opened(one, "X.age")) == "name-twin"
        await stage.desk.stop()

    asyncio.run(again())


def test_what_the_ledger_does_not_know_yet_is_listed(tmp_path: Path) -> None:
    async def what(stage: Stage) -> None:
        one = await stage.session("one")
        await deliver(one, "x.age", b"12345")
        assert stage.desk.registrar.waiting, "the ledger was not told yet"
        place = Place("leveringen", "x.age")
        before = await one.facts(place), await one.listing(Place("leveringen"))
        await stage.desk.settled()
        assert not stage.desk.registrar.waiting
        assert (await one.facts(place), await one.listing(Place("leveringen"))) == before
        assert (before[0].size, before[0].writable, len(before[1])) == (5, False, 1)

    played(tmp_path, what)


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


# ---------------------------------------------------------------- what is told, and what goes


def test_a_delivery_says_which_limits_come_near(tmp_path: Path) -> None:
    async def what(stage: Stage) -> None:
        one = await stage.session("one")
        for name in "abcd":
            await deliver(one, f"{name}.age")

    home = played(tmp_path, what, own={"day_files_per_vendor": 5})
    assert {drop.file_name: drop.notices for drop in drops(home)} == {
        "a.age": [], "b.age": [], "c.age": [], "d.age": ["limit-day-files"],
    }  # fmt: skip


def test_an_upload_keeps_its_request_over_a_lost_line_and_a_restart(tmp_path: Path) -> None:
    requests: list[str] = []

    async def first(stage: Stage) -> None:
        one = await stage.session("one")
        handle = await opened(one, "x.age")
        requests.append(handle.request)
        await one.lose(handle)

    home = played(tmp_path, first)

    async def again() -> None:
        stage = Stage(home)
        await stage.desk.start()
        await deliver(await stage.session("one"), "x.age")
        await stage.desk.stop()

    asyncio.run(again())
    (drop,) = drops(home)
    assert [drop.request] == requests
    assert len(drop.request) == 13 and drop.request.startswith("r")


def test_a_stop_keeps_what_is_being_written(tmp_path: Path) -> None:
    async def what(stage: Stage) -> None:
        one = await stage.session("one")
        await write(one, await opened(one, "x.age"), b"abc")

    home = played(tmp_path, what)
    assert len(files_below(home.run)) == 1

    async def again() -> None:
        stage = Stage(home)
        await stage.desk.start()
        assert await stage.unfinished() == {"x.age": (3, False)}
        await stage.desk.stop()

    asyncio.run(again())


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
