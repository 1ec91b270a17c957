"""Isolation: whatever two vendors do in whatever order, each sees exactly what it would see alone."""

import asyncio
import shutil
import tempfile
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from gateway.intake.files.folders import Arriving, Handle, VendorFolders
from gateway.intake.files.names import UPLOAD_FOLDERS, locate
from gateway.intake.files.refusals import IntakeRefused
from gateway.intake.front.desk import FrontDesk
from gateway.store.home import Home
from gateway.store.models import Drop, Vendor
from tests.support.intake import content, drops, make_home

VENDORS = ("cito", "boom")
vendors = st.sampled_from(VENDORS)
paths = st.sampled_from([f"/{folder}/{name}" for folder in UPLOAD_FOLDERS for name in ("a.age", "b.age", "a.age.part", "b.age.part")])
flags = st.booleans()


class TwoVendors(RuleBasedStateMachine):
    """A model per vendor of what it delivered and what it has unfinished; the real folders must agree with it."""

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
        self.desk = FrontDesk(self.home)
        self.loop = asyncio.new_event_loop()
        self.folders = {vendor: VendorFolders(self.home, self.desk, vendor, vendor, "127.0.0.1") for vendor in VENDORS}
        self.delivered: dict[str, dict[str, bytes]] = {vendor: {} for vendor in VENDORS}
        self.unfinished: dict[str, dict[str, bytes]] = {vendor: {} for vendor in VENDORS}
        self.closed: set[tuple[str, str]] = set()
        self.open: dict[tuple[str, str], Handle] = {}

    @rule(vendor=vendors, path=paths, anew=flags)
    def begin(self, vendor: str, path: str, anew: bool) -> None:
        try:
            handle = self.loop.run_until_complete(
                self.folders[vendor].open_to_write(locate(path.encode()), create=True, anew=anew, only_new=False, append=True)
            )
        except IntakeRefused as refused:
            assert refused.code == "name-taken"
            assert path in self.delivered[vendor]
            return
        assert path not in self.delivered[vendor]
        self.open[vendor, path] = handle
        self.closed.discard((vendor, path))
        if anew:
            self.unfinished[vendor][path] = b""
        self.unfinished[vendor].setdefault(path, b"")

    @rule(vendor=vendors, path=paths, data=st.binary(max_size=20))
    def write(self, vendor: str, path: str, data: bytes) -> None:
        if handle := self.open.get((vendor, path)):
            self.folders[vendor].write(handle, 0, data)
            self.unfinished[vendor][path] += data

    @rule(vendor=vendors, path=paths)
    def close(self, vendor: str, path: str) -> None:
        if handle := self.open.pop((vendor, path), None):
            drop = self.loop.run_until_complete(self.folders[vendor].close(handle))
            assert (drop is None) == path.endswith(".part")
            if drop is None:
                self.closed.add((vendor, path))
            else:
                self.delivered[vendor][path] = self.unfinished[vendor].pop(path)

    @rule(vendor=vendors, path=paths)
    def lose(self, vendor: str, path: str) -> None:
        if handle := self.open.pop((vendor, path), None):
            self.loop.run_until_complete(self.folders[vendor].lose(handle))

    @rule(vendor=vendors, old=paths, new=paths, replace=flags)
    def rename(self, vendor: str, old: str, new: str, replace: bool) -> None:
        mine = self.unfinished[vendor]
        try:
            self.loop.run_until_complete(self.folders[vendor].rename(locate(old.encode()), locate(new.encode()), replace=replace))
        except IntakeRefused:
            allowed = (
                (vendor, old) in self.closed
                and old.split("/")[1] == new.split("/")[1]
                and new not in self.delivered[vendor]
                and (new not in mine or new == old or (replace and (vendor, new) not in self.open))
            )
            assert not allowed
            return
        assert (vendor, old) in self.closed
        data = mine.pop(old)
        self.closed -= {(vendor, old), (vendor, new)}
        if new.endswith(".part"):
            mine[new] = data
            self.closed.add((vendor, new))
        else:
            mine.pop(new, None)
            self.delivered[vendor][new] = data

    @invariant()
    def each_sees_its_own(self) -> None:
        for vendor in VENDORS:
            for folder in UPLOAD_FOLDERS:
                listed = {
                    f"/{folder}/{facts.name}": facts.size
                    for facts in self.loop.run_until_complete(self.folders[vendor].listing(locate(folder.encode())))
                }
                mine = {**self.delivered[vendor], **self.unfinished[vendor]}
                assert listed == {path: len(data) for path, data in mine.items() if path.startswith(f"/{folder}/")}

    def teardown(self) -> None:
        found: dict[str, dict[str, bytes]] = {vendor: {} for vendor in VENDORS}
        drop: Drop
        for drop in drops(self.home):
            found[drop.vendor][f"/{drop.folder}/{drop.file_name}"] = content(self.home, drop)
        assert found == self.delivered
        for (vendor, _), handle in self.open.items():
            assert isinstance(handle, Arriving)
            self.loop.run_until_complete(self.folders[vendor].lose(handle))
        self.home.ledger.engine.dispose()
        self.loop.close()
        shutil.rmtree(self.temporary)


TestTwoVendors = TwoVendors.TestCase
TestTwoVendors.settings = settings(max_examples=15, stateful_step_count=40)
