"""Deliveries past a real clamd: what it finds is refused and erased, and without its verdict nothing is accepted.

The stages are the worker's own, and so is what happens to a step that fails; the clock is the test's.
"""

import gzip
import io
import random
import shutil
import signal
import tempfile
import zipfile
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from gateway.checks.findings import DropRefused
from gateway.cli.scanner import scanner_faults
from gateway.store.config import Scan
from gateway.store.models import Drop
from gateway.worker import scanner
from gateway.worker.engine import attempt
from gateway.worker.scanner import scanned
from gateway.worker.stages import carry_out
from policies.errors import Unsound
from tests.support.clamd import MARKER, SIGNATURE, STARTED, Clamd
from tests.support.exchange import exchange
from tests.support.gateway import Staged
from tests.support.pupils import delivery, objections, results

pytestmark = pytest.mark.slow

MIB = 1 << 20
SCHOOLS = ("41AA00", "41AB00")


class ScannedPlace(Staged):
    """Steps that fail are tried again later, as the worker does it."""

    def _one(self, drop: str) -> None:
        attempt(self.home, lambda effect, drop_id: carry_out(self.work, effect, drop_id), drop)

    def scan_by(self, settings: Scan) -> None:
        object.__setattr__(self.home, "config", self.home.config.model_copy(update={"scan": settings}))

    def sent(self, name: str, *schools: str, marked: bool = False, packed: bool = False) -> Drop:
        plain = delivery(self.at(*schools or ("41AA00",)), self.today)
        if marked:
            head, _, rest = plain.partition(b"-3.0-")
            plain = head + MARKER + rest
        return self.deliver(f"{name}.csv.age", self.sealed(gzip.compress(plain) if packed else plain))

    def told(self, drop: Drop) -> tuple[str, list[str]]:
        receipt = self.receipt(drop)
        return receipt["state"], [finding["rule"] for finding in receipt["findings"]]

    def failures(self, drop: Drop) -> list[str]:
        return [row.detail["error"] for row in self.audited(drop.id) if row.action == "effect.failed"]

    def scans(self, drop: Drop) -> list[tuple[str, str | None]]:
        return [(row.result, row.detail["signature"]) for row in self.audited(drop.id) if row.action == "drop.scanned"]

    def later(self) -> None:
        self.at_time(self.clock.now + timedelta(minutes=1))


@pytest.fixture
def memory() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="clamd-", dir="/dev/shm"))
    yield folder
    while STARTED:  # of a test that failed, too
        process = STARTED.pop()
        process.kill()
        process.wait()
    shutil.rmtree(folder)


@pytest.fixture
def clamd(memory: Path) -> Iterator[Clamd]:
    made = Clamd(memory)
    made.start()
    yield made
    made.kill()


@pytest.fixture
def place(tmp_path: Path) -> Iterator[ScannedPlace]:
    made = ScannedPlace(tmp_path)
    made.at_time(Staged.START)
    yield made
    made.stop()


def verdict(settings: Scan, data: bytes) -> str | None:
    with scanned(settings, io.BytesIO(data)) as scanning:
        assert scanning is not None
        return scanning.verdict()


def complaint(settings: Scan, stream: io.BytesIO) -> str:
    with pytest.raises(Unsound) as caught, scanned(settings, stream) as scanning:  # type: ignore[arg-type]
        assert scanning is not None
        scanning.verdict()
    return caught.value.code


def zipped(*contents: bytes) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as folder:
        for number, content in enumerate(contents):
            folder.writestr(f"{number}.xml", content)
    return packed.getvalue()


# ---------------------------------------------------------------- deliveries


def test_what_is_clean_is_accepted_and_what_is_not_is_refused_and_erased(place: ScannedPlace, clamd: Clamd) -> None:
    place.scan_by(clamd.settings)
    clean = place.sent("schoon")
    assert place.told(clean) == ("accepted", []) and place.scans(clean) == [("ok", None)]
    for packed in (False, True):
        bad = place.sent(f"besmet-{packed}", marked=True, packed=packed)
        assert place.told(bad) == ("rejected", ["malware"]) and place.scans(bad) == [("refused", SIGNATURE)]
        assert bad.raw == "erased" and not place.home.blob(bad.id).exists()
        text = place.read(f"{bad.id}.txt").decode()
        assert "De virusscanner vond kwaadaardige inhoud in het bestand" in text and SIGNATURE in text and MARKER.decode() not in text
    kept = [path for path in place.folder.rglob("*") if path.is_file() and MARKER in path.read_bytes()]
    assert kept == [] and list(clamd.temporary.rglob("*")) == []


def test_registers_of_objections_are_scanned_too(place: ScannedPlace, memory: Path) -> None:
    clamd = Clamd(memory, marker=b"41AB00")
    clamd.start()
    place.scan_by(clamd.settings)
    good, bad = (place.deliver(f"{school}.csv.age", place.sealed(objections((school,), [], place.today)), "bezwaren") for school in SCHOOLS)
    clamd.kill()
    assert (good.state, place.scans(good)) == ("registered", [("ok", None)])
    assert place.told(bad) == ("rejected", ["malware"]) and place.scans(bad) == [("refused", SIGNATURE)] and bad.raw == "erased"


def test_a_zip_is_refused_by_what_is_packed_in_it(place: ScannedPlace, memory: Path) -> None:
    plain = exchange(results(place.at("41AA00"), place.today))
    clamd = Clamd(memory, marker=b"<EDEX")
    assert b"<EDEX" not in plain
    clamd.start()
    place.scan_by(clamd.settings)
    drop = place.deliver("levering.zip.age", place.sealed(plain))
    clamd.kill()
    assert place.told(drop) == ("rejected", ["malware"]) and drop.raw == "erased"
    place.scan_by(Scan())
    assert place.deliver("nog-eens.zip.age", place.sealed(plain)).state == "accepted"


def test_nothing_is_connected_to_unless_it_is_configured(place: ScannedPlace, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(_: Scan) -> None:
        raise AssertionError("connected")

    monkeypatch.setattr(scanner, "connected", never)
    drop = place.sent("levering", marked=True)
    assert place.scans(drop) == [] and "malware" not in place.told(drop)[1]


def test_a_scanner_that_is_away_holds_drops_up_and_loses_none(place: ScannedPlace, clamd: Clamd) -> None:
    place.scan_by(clamd.settings)
    clamd.kill()
    drop = place.sent("levering")
    assert place.told(drop) == ("received", []) and place.failures(drop) == ["scanner-away"] and place.scans(drop) == []
    place.later()
    assert place.drop("levering.csv.age").state == "received" and len(place.failures(drop)) == 2
    clamd.start()
    place.later()
    assert place.told(drop) == ("accepted", []) and place.scans(drop) == [("ok", None)]


def test_a_scanner_that_hangs_is_given_up_and_asked_again(place: ScannedPlace, memory: Path) -> None:
    clamd = Clamd(memory, timeout_seconds=1)
    clamd.start()
    assert clamd.process is not None
    place.scan_by(clamd.settings)
    clamd.process.send_signal(signal.SIGSTOP)
    try:
        drop = place.sent("levering")
        assert place.told(drop) == ("received", []) and place.failures(drop) == ["scanner-away"]
        assert "does not answer" in next(scanner_faults(clamd.settings))
        clamd.process.send_signal(signal.SIGCONT)
        place.scan_by(clamd.settings.model_copy(update={"timeout_seconds": 60}))
        place.later()
        assert place.told(drop) == ("accepted", [])
    finally:
        clamd.kill()


def test_what_the_scanner_may_not_be_told_is_not_accepted(place: ScannedPlace, memory: Path) -> None:
    for limits in ({"StreamMaxLength": "4K"}, {"MaxFileSize": "4K"}, {"MaxScanSize": "4K"}):
        clamd = Clamd(memory, **limits)
        clamd.start()
        place.scan_by(clamd.settings)
        drop = place.sent(f"levering-{next(iter(limits))}", "41AA00", "41AB00")
        clamd.kill()
        assert (drop.state, place.failures(drop)) == ("received", ["scanner-limit"]), limits
        assert [fault for fault in scanner_faults(clamd.settings) if next(iter(limits)) in fault]


def test_what_is_larger_than_the_scanner_can_take_is_the_vendors_to_split(place: ScannedPlace, clamd: Clamd) -> None:
    place.scan_by(clamd.settings.model_copy(update={"max_bytes": 4096}))
    drop = place.sent("groot")
    assert place.told(drop) == ("rejected", ["too-large-to-scan"])
    assert "4096 bytes" in place.receipt(drop)["findings"][0]["message"]


# ---------------------------------------------------------------- the conversation


@pytest.mark.parametrize("before", [0, 1, MIB - 1, MIB - len(MARKER) // 2, MIB, 3 * MIB - 5])
def test_a_signature_is_found_wherever_the_chunks_end(clamd: Clamd, before: int) -> None:
    assert verdict(clamd.settings, bytes(before) + MARKER + b"\n" * 100) == SIGNATURE
    assert verdict(clamd.settings, bytes(before) + MARKER[:-1]) is None


def test_a_zip_is_looked_into_and_one_that_holds_more_than_the_scanner_looks_at_has_no_verdict(memory: Path) -> None:
    clamd = Clamd(memory, MaxFileSize="1M", MaxScanSize="4M")
    clamd.start()
    try:
        assert verdict(clamd.settings, zipped(bytes(MIB // 2) + MARKER)) == SIGNATURE
        assert verdict(clamd.settings, zipped(bytes(MIB // 2))) is None
        assert complaint(clamd.settings, io.BytesIO(zipped(random.randbytes(2 * MIB)))) == "scanner-limit"
        many = [bytes(MIB - 1) + bytes([number]) for number in range(9)]
        assert complaint(clamd.settings, io.BytesIO(zipped(*many, MARKER))) == "scanner-limit"
    finally:
        clamd.kill()


def test_a_scanner_that_dies_in_the_middle_gives_no_verdict(clamd: Clamd) -> None:
    class Deadly(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            if self.tell() == MIB:
                clamd.kill()
            return super().read(size)

    assert complaint(clamd.settings, Deadly(bytes(8 * MIB))) == "scanner-away"


def test_what_nobody_read_is_scanned_before_a_verdict(clamd: Clamd) -> None:
    with scanned(clamd.settings, io.BytesIO(bytes(3 * MIB) + MARKER)) as scanning:
        assert scanning is not None and scanning.stream.read(10) == bytes(10)
        assert scanning.verdict() == SIGNATURE


def test_a_failed_reading_has_no_verdict(clamd: Clamd) -> None:
    with scanned(clamd.settings.model_copy(update={"max_bytes": 10}), io.BytesIO(bytes(11))) as scanning:
        assert scanning is not None
        with pytest.raises(DropRefused):
            scanning.stream.read()
        with pytest.raises(Unsound):
            scanning.verdict()


@pytest.mark.parametrize("on_disk", [False, True], ids=["tmpfs", "disk"])
def test_what_clamd_is_told_reaches_a_disk_only_where_the_doctor_says_so(memory: Path, tmp_path: Path, on_disk: bool) -> None:
    clamd = Clamd(memory, tmp_path / "clamd" if on_disk else None)
    clamd.start()
    before = clamd.written_to_disk()
    assert verdict(clamd.settings, bytes(16 * MIB)) is None
    written = clamd.written_to_disk() - before
    faults = list(scanner_faults(clamd.settings))
    clamd.kill()
    assert (written >= 16 * MIB and "on a disk" in faults[0]) if on_disk else (written, faults) == (0, [])


def test_a_path_that_is_no_socket_is_a_scanner_that_is_away(tmp_path: Path) -> None:
    for path in (tmp_path / "none", tmp_path, Path("/" + "x" * 200)):
        assert complaint(Scan(clamd_socket=str(path)), io.BytesIO(b"a")) == "scanner-away"
