"""Isolation: whatever two vendors do in whatever order, over two doors and through restarts, each sees exactly what it would see alone."""

import asyncio
import os
import shutil
import tempfile
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from gateway.intake.files.arriving import Arriving
from gateway.intake.files.folders import VendorFolders
from gateway.intake.files.names import UPLOAD_FOLDERS, locate, twin_key
from gateway.intake.files.refusals import IntakeRefused
from gateway.intake.front.desk import FrontDesk
from gateway.store.home import Home
from gateway.store.models import Drop, Vendor
from tests.support.intake import content, drops, make_home

VENDORS = ("cito", "boom")
DOORS = ("one", "two")
vendors = st.sampled_from(VENDORS)
doors = st.sampled_from(DOORS)
paths = st.sampled_from(
    [f"/{folder}/{name}" for folder in UPLOAD_FOLDERS for name in ("a.age", "A.age", "b.age", "a.age.part", "b.age.part")]
)
flags = st.booleans()
T = TypeVar("T")

Path_ = tuple[str, str]  # vendor and path


def folder_of(path: str) -> str:
    return path.split("/")[1]


class TwoVendors(RuleBasedStateMachine):
    """A model per vendor of what it delivered and what it has unfinished; the real folders, through either door, must agree with it."""

    _template: Path | None = None

    def __init__(self) -> None:
        super().__init__()
        self.temporary = Path(tempfile.mkdtemp())
        if TwoVendors._template is None:
            TwoVendors._template = Path(tempfile.mkdtemp())
            make_home(TwoVendors._template)
        shutil.copytree(TwoVendors._template / "home", self.temporary / "home")
        self.home = Home.open(self.temporary / "home")
        with self.home.ledger.change("administrator") as change:
            for name in VENDORS:
                change.session.add(Vendor(name=name, created_at=change.now))
        self.loop = asyncio.new_event_loop()
        self.delivered: dict[str, dict[str, bytes]] = {vendor: {} for vendor in VENDORS}
        self.unfinished: dict[str, dict[str, bytes]] = {vendor: {} for vendor in VENDORS}
        self.closed: set[Path_] = set()
        self.open: dict[Path_, tuple[str, Arriving]] = {}  # who writes it now
        self.stale: list[tuple[str, str, Arriving]] = []  # who wrote it before
        self._begin()

    def _begin(self) -> None:
        self.desk = FrontDesk(self.home)
        self.run(self.desk.start())
        self.folders = {}
        for vendor in VENDORS:
            for door in DOORS:
                session = f"{vendor}-{door}"
                self.run(self.desk.enter(session, vendor, "127.0.0.1"))
                self.folders[vendor, door] = VendorFolders(self.home, self.desk, session, vendor, "127.0.0.1")

    def run(self, what: Coroutine[Any, Any, T]) -> T:
        return self.loop.run_until_complete(what)

    def twins(self, vendor: str, path: str) -> set[str]:
        """Other names of the vendor that a person would take for this one."""
        return {
            name
            for name in (*self.delivered[vendor], *self.unfinished[vendor])
            if name != path and folder_of(name) == folder_of(path) and twin_key(name) == twin_key(path)
        }

    # ------------------------------------------------------------ what vendors do

    @rule(vendor=vendors, door=doors, path=paths, anew=flags)
    def begin(self, vendor: str, door: str, path: str, anew: bool) -> None:
        opening = self.folders[vendor, door].open_to_write(locate(path.encode()), create=True, anew=anew, only_new=False, append=True)
        try:
            handle = self.run(opening)
        except IntakeRefused as refused:
            assert refused.code == ("name-taken" if path in self.delivered[vendor] else "name-twin")
            assert path in self.delivered[vendor] or self.twins(vendor, path)
            return
        assert path not in self.delivered[vendor] and not self.twins(vendor, path)
        if before := self.open.pop((vendor, path), None):
            self.stale.append((vendor, *before))
        self.open[vendor, path] = (door, handle)
        self.closed.discard((vendor, path))
        if anew:
            self.unfinished[vendor][path] = b""
        self.unfinished[vendor].setdefault(path, b"")

    @rule(vendor=vendors, path=paths, data=st.binary(max_size=20))
    def write(self, vendor: str, path: str, data: bytes) -> None:
        if opened := self.open.get((vendor, path)):
            door, handle = opened
            if (waiting := self.folders[vendor, door].write(handle, 0, data)) is not None:
                self.loop.run_until_complete(waiting)
            self.unfinished[vendor][path] += data

    @rule(data=st.binary(min_size=1, max_size=20), closing=flags)
    def one_that_was_taken_over_goes_on(self, data: bytes, closing: bool) -> None:
        if self.stale:
            vendor, door, handle = self.stale[0]
            try:
                if closing:
                    self.run(self.folders[vendor, door].close(handle))
                else:
                    self.folders[vendor, door].write(handle, 0, data)
            except IntakeRefused as refused:
                assert refused.code == "taken-over"
            else:
                raise AssertionError("two wrote one file")

    @rule(vendor=vendors, path=paths)
    def close(self, vendor: str, path: str) -> None:
        if opened := self.open.pop((vendor, path), None):
            door, handle = opened
            drop = self.run(self.folders[vendor, door].close(handle))
            assert (drop is None) == path.endswith(".part")
            if drop is None:
                self.closed.add((vendor, path))
            else:
                self.delivered[vendor][path] = self.unfinished[vendor].pop(path)

    @rule(vendor=vendors, path=paths)
    def lose(self, vendor: str, path: str) -> None:
        if opened := self.open.pop((vendor, path), None):
            self.run(self.folders[vendor, opened[0]].lose(opened[1]))

    @rule(vendor=vendors, door=doors, old=paths, new=paths, replace=flags)
    def rename(self, vendor: str, door: str, old: str, new: str, replace: bool) -> None:
        mine = self.unfinished[vendor]
        in_the_way = new in mine and new != old
        allowed = (
            (vendor, old) in self.closed
            and folder_of(old) == folder_of(new)
            and new not in self.delivered[vendor]
            and not self.twins(vendor, new) - {old}
            and (not in_the_way or (replace and (vendor, new) not in self.open))
        )
        try:
            self.run(self.folders[vendor, door].rename(locate(old.encode()), locate(new.encode()), replace=replace))
        except IntakeRefused as refused:
            assert not allowed, refused.code
            return
        assert allowed
        data = mine.pop(old)
        self.closed -= {(vendor, old), (vendor, new)}
        if new.endswith(".part"):
            mine[new] = data
            self.closed.add((vendor, new))
        else:
            mine.pop(new, None)
            self.delivered[vendor][new] = data

    @rule(settled=flags)
    def restart(self, settled: bool) -> None:
        """SIGTERM; with uploads under way and, maybe, with drops that the ledger was not told of yet."""
        if settled:
            self.run(self.desk.settled())
        self.run(self.desk.stop())
        self.stale, self.open = [], {}
        self._begin()

    # ------------------------------------------------------------ what must hold

    @invariant()
    def each_sees_its_own(self) -> None:
        for (vendor, door), folders in self.folders.items():
            mine = {**self.delivered[vendor], **self.unfinished[vendor]}
            for folder in UPLOAD_FOLDERS:
                listed = {f"/{folder}/{facts.name}": facts.size for facts in self.run(folders.listing(locate(folder.encode())))}
                assert listed == {
                    path: 0 if self.only_in_memory(vendor, path, door) else len(data)
                    for path, data in mine.items()
                    if folder_of(path) == folder
                }

    def only_in_memory(self, vendor: str, path: str, door: str) -> bool:
        """What is so small that it never was on disk is seen by the one who writes it."""
        writer, handle = self.open.get((vendor, path), (door, None))
        return handle is not None and writer != door and not handle.upload.blob.exists()

    def teardown(self) -> None:
        self.run(self.desk.stop())
        found: dict[str, dict[str, bytes]] = {vendor: {} for vendor in VENDORS}
        drop: Drop
        for drop in drops(self.home):
            found[drop.vendor][f"/{drop.folder}/{drop.file_name}"] = content(self.home, drop)
        assert found == self.delivered
        left = sum(len(mine) for mine in self.unfinished.values())
        assert len(os.listdir(self.home.run / "uploads") if left else []) == left, "a key for each upload, and no other"
        self.home.ledger.engine.dispose()
        self.loop.close()
        shutil.rmtree(self.temporary)


TestTwoVendors = TwoVendors.TestCase
TestTwoVendors.settings = settings(max_examples=25, stateful_step_count=40, deadline=None)
