"""Limits under interleaving: sessions of one vendor write, close, lose and take over from each other at the same time, and no limit is
exceeded at any moment; when all is quiet, what is left can be used to the last byte, and not one more."""

import asyncio
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.intake.files.arriving import Arriving
from gateway.intake.files.folders import VendorFolders
from gateway.intake.files.names import Place
from gateway.intake.files.refusals import IntakeRefused
from gateway.intake.front.desk import FrontDesk
from gateway.store.config import Intake
from gateway.store.home import Home
from gateway.store.models import Vendor
from tests.support.intake import drops, make_home

KIB = 1024
#: small enough to be reached often; a file may be larger than what is allowed with a claim
LIMITS = Intake(
    max_file_bytes=2500 * KIB, day_bytes_per_vendor=4000 * KIB, store_bytes_per_vendor=4500 * KIB, day_files_per_vendor=5,
    store_files_per_vendor=6, max_unfinished_per_vendor=4, max_handles_per_vendor=3,
)  # fmt: skip
SESSIONS = 3
sizes = st.integers(0, 1600).map(lambda kib: kib * KIB) | st.integers(0, 300)
steps = st.tuples(st.sampled_from("ab"), st.sampled_from(["open", "anew", "write", "write", "write", "close", "lose"]), sizes)
scripts = st.lists(st.lists(steps, max_size=12), min_size=SESSIONS, max_size=SESSIONS)


def _size(blob: Path) -> int | None:
    """None: a close that is under way in a thread has just moved it."""
    try:
        return blob.stat().st_size
    except FileNotFoundError:
        return None


class Vendor_:
    """What one vendor has at the gateway, looked up on disk and nowhere else."""

    def __init__(self, home: Home, desk: FrontDesk) -> None:
        self.home, self.desk = home, desk
        self.delivered: list[int] = []

    def check(self) -> None:
        blobs = list(self.home.incoming("cito", "leveringen").glob("*.blob"))
        arriving = [size for blob in blobs if (size := _size(blob)) is not None]
        files, size = len(arriving) + len(self.delivered), sum(arriving) + sum(self.delivered)
        assert files <= LIMITS.day_files_per_vendor and len(arriving) <= LIMITS.max_unfinished_per_vendor
        assert size <= LIMITS.day_bytes_per_vendor and max(arriving, default=0) <= LIMITS.max_file_bytes
        assert sum(entry.holder != "" for entry in self.desk.entries) <= LIMITS.max_handles_per_vendor


async def act(vendor: Vendor_, number: int, script: list[tuple[str, str, int]]) -> None:
    session = f"s{number}"
    await vendor.desk.enter(session, "cito", "192.0.2.1")
    folders = VendorFolders(vendor.home, vendor.desk, session, "cito", "192.0.2.1")
    mine: dict[str, Arriving] = {}
    for name, what, size in script:
        with suppress(IntakeRefused):
            await _step(vendor, folders, mine, name, what, size)
        vendor.check()
        await asyncio.sleep(0)
    for handle in mine.values():
        await folders.lose(handle)
    await vendor.desk.leave(session)


async def _step(vendor: Vendor_, folders: VendorFolders, mine: dict[str, Arriving], name: str, what: str, size: int) -> None:
    if what in ("open", "anew"):
        place = Place("leveringen", f"{name}{len(vendor.delivered)}.age")
        handle = await folders.open_to_write(place, create=True, anew=what == "anew", only_new=False, append=True)
        if (before := mine.pop(name, None)) is not None:
            await folders.lose(before)
        mine[name] = handle
    elif (opened := mine.get(name)) is None:
        return
    elif what == "write":
        if (waiting := folders.write(opened, 0, bytes(size))) is not None:
            await waiting
    elif what == "lose":
        await folders.lose(mine.pop(name))
    else:
        size = mine[name].upload.size
        await folders.close(mine.pop(name))
        vendor.delivered.append(size)


async def play(home: Home, script: list[list[tuple[str, str, int]]]) -> None:
    desk = FrontDesk(home)
    await desk.start()
    vendor = Vendor_(home, desk)
    await asyncio.gather(*(act(vendor, number, mine) for number, mine in enumerate(script)))
    vendor.check()
    assert desk.sessions() == 0 and not any(entry.holder for entry in desk.entries)
    await _use_the_rest(home, desk, vendor)
    await desk.stop()


async def _use_the_rest(home: Home, desk: FrontDesk, vendor: Vendor_) -> None:
    """Nothing leaked: what is said to be free is free, and no more."""
    room = await desk.room("cito")
    unfinished = [one for one in await desk.look("cito", "leveringen") if not one.delivered]
    arriving = sum(one.size for one in unfinished)
    assert room.free == LIMITS.day_bytes_per_vendor - sum(vendor.delivered) - arriving
    assert room.files_free == LIMITS.day_files_per_vendor - len(vendor.delivered) - len(unfinished)
    await desk.enter("last", "cito", "192.0.2.1")
    folders = VendorFolders(home, desk, "last", "cito", "192.0.2.1")
    if not unfinished and not room.files_free:
        return
    name = unfinished[0].name if unfinished else "last.age"
    handle = await folders.open_to_write(Place("leveringen", name), create=True, anew=False, only_new=False, append=True)
    most = min(room.free, LIMITS.max_file_bytes - handle.upload.size)
    if (waiting := folders.write(handle, 0, bytes(most))) is not None:
        await waiting
    vendor.check()
    try:
        waiting = folders.write(handle, 0, b"x")
        assert waiting is not None
        await waiting
    except IntakeRefused as refused:
        assert refused.code in ("day-bytes", "too-large")
    else:
        raise AssertionError("a byte too much was taken")
    await folders.lose(handle)


@settings(max_examples=25, deadline=None)
@given(scripts)
def test_no_interleaving_exceeds_a_limit_or_wastes_what_is_left(script: list[list[tuple[str, str, int]]]) -> None:
    folder = Path(tempfile.mkdtemp())
    try:
        home = make_home(folder, **LIMITS.model_dump(exclude_defaults=True))
        with home.ledger.change("administrator") as change:
            change.session.add(Vendor(name="cito", created_at=change.now))
        asyncio.run(play(home, script))
        assert sum(drop.bytes for drop in drops(home)) <= LIMITS.day_bytes_per_vendor
        home.ledger.engine.dispose()
    finally:
        shutil.rmtree(folder)
