"""A stolen disk of the running machine: everything that was ever written, deleted blocks too.

A whole gateway lives on a file system in an image; when its drops are erased and the day's key has ended, the image is read raw. The disk
remembers the ciphertext of what was deleted, and no key to it: keys are overwritten where they lie. That is the file system's doing, and
ext4 on a plain disk does it; flash and snapshots don't (docs/threat-model.md, "With a stolen disk").
"""

import os
import sqlite3
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import pytest
from sqlmodel import select

from gateway.drop.lifecycle import Raw
from gateway.store.database import checkpoint
from gateway.store.drop_keys import DROP_KEYS, sealed_key_of
from gateway.store.home import Home
from gateway.store.models import Objection, ObjectionPerson, PortalSession
from gateway.store.sessions import close_all
from keys.epochs import KIND as EPOCHS
from keys.secret import Secret
from tests.support.canaries import needles
from tests.support.every_version import EveryVersion
from tests.support.gateway import CAMPAIGN, Place, Staged, opened
from tests.support.intake import make_home, sftp_session
from tests.support.pupils import Pupil, delivery, objections
from tests.support.thief import Workshop

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

#: more than the intake keeps free; the file behind it has as much as was ever written [bytes]
DISK = 3 << 30
#: of ext4 here [bytes]
BLOCK = 4096


def mount(image: Path, place: Path) -> bool:
    """ext4 in a file, mounted. False where nobody may mount."""
    with image.open("wb") as file:
        file.truncate(DISK)
    subprocess.run(["mkfs.ext4", "-q", "-F", "-b", str(BLOCK), "-J", "size=4", str(image)], check=True)
    return subprocess.run(["mount", "-o", "loop", str(image), str(place)], capture_output=True, check=False).returncode == 0


def may_mount() -> bool:
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "place"
        place.mkdir()
        there = os.geteuid() == 0 and mount(Path(folder) / "image", place)
        if there:
            subprocess.run(["umount", str(place)], check=True)
        return there


def ever_written(image: Path) -> bytes:
    """The raw image, without the parts that nothing was ever written to."""
    pieces = []
    with image.open("rb", buffering=0) as file, suppress(OSError):  # ENXIO: no data beyond
        end = 0
        while True:
            start = os.lseek(file.fileno(), end, os.SEEK_DATA)
            end = os.lseek(file.fileno(), start, os.SEEK_HOLE)
            pieces.append(os.pread(file.fileno(), end - start, start))
    return b"".join(pieces)


@dataclass
class Disk:
    """The raw image, and what the test knows that a thief does not."""

    image: bytes = b""
    ciphertexts: list[bytes] = field(default_factory=list)  # as they lay on it
    dead_keys: dict[str, bytes] = field(default_factory=dict)
    long_lived: list[bytes] = field(default_factory=list)
    planted: list[Pupil] = field(default_factory=list)
    objections: list[bytes] = field(default_factory=list)  # their MACs, while the campaign's registers lived
    objections_left: int = 0  # rows of the ledger, after their end


@pytest.fixture(scope="module")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Disk]:
    if not may_mount():
        pytest.skip("only root of a machine with loop devices can mount an image")
    folder = tmp_path_factory.mktemp("disk")
    image, place = folder / "image", folder / "place"
    place.mkdir()
    assert mount(image, place)
    disk = Disk()
    try:
        with pytest.MonkeyPatch.context() as patch:
            (place / "tmp").mkdir()
            patch.setattr(tempfile, "tempdir", str(place / "tmp"))
            live(place, disk)
    finally:
        subprocess.run(["umount", str(place)], check=True)
    disk.image = ever_written(image)
    yield disk


def live(place: Path, disk: Disk) -> None:
    """Deliveries in one go and in two, linked and expired; then the end of everything that must end."""
    gateway = Staged(place)
    try:
        first, second, third = gateway.at("41AA00"), gateway.at("41AB00"), gateway.at("41BA00")
        disk.planted = [*first[:2], *second[:2], *third[:2]]
        with sftp_session(gateway.intake_port, "cito", gateway.keys["cito"]) as sftp:
            whole = gateway.sealed(delivery(second, gateway.today))
            for mode, piece in (("wb", whole[:5000]), ("ab", whole[5000:])):
                with sftp.open("leveringen/twee.csv.age.part", mode) as file:
                    file.write(piece)
            keep_runtime_keys(gateway.home, disk)
            sftp.rename("leveringen/twee.csv.age.part", "leveringen/twee.csv.age")
        gateway.deliver("een.csv.age", gateway.sealed(delivery(first, gateway.today)))
        gateway.deliver("drie.csv.age", gateway.sealed(delivery(third, gateway.today)), vendor="esis")
        assert {drop.state for drop in gateway.drops()} == {"accepted"}
        keep(gateway, disk)
        gateway.deliver("bezwaar.csv.age", gateway.sealed(objections(["41AA00", "41AB00"], first[:1], gateway.today)), "bezwaren")
        with gateway.home.ledger.view() as session:
            disk.objections = [row.bsn_mac for row in session.exec(select(Objection)) if row.bsn_mac is not None]
        disk.dead_keys["objections"] = gateway.home.objection_key(CAMPAIGN).reveal()
        gateway.at_time(gateway.START + timedelta(days=40))
        with gateway.home.ledger.view() as session:
            disk.objections_left = len(session.exec(select(Objection.id)).all()) + len(session.exec(select(ObjectionPerson)).all())
        assert {drop.raw for drop in gateway.drops()} == {Raw.ERASED}
        disk.long_lived = [path.read_bytes() for path in (gateway.home.path / "keys").rglob("*") if path.is_file()]
    finally:
        gateway.stop()
        gateway.home.ledger.engine.dispose()
    os.sync()


def keep_runtime_keys(home: Home, disk: Disk) -> None:
    for path in (home.run / "uploads").iterdir():
        disk.dead_keys[f"upload {path.name}"] = path.read_bytes()
    assert len(disk.dead_keys) == 1


def keep(gateway: Place, disk: Disk) -> None:
    """What lies there now and will be deleted."""
    home = gateway.home
    for drop in opened(home):
        disk.ciphertexts.append(home.blob(drop).read_bytes())
        disk.dead_keys[f"sealed key of {drop}"] = sealed_key_of(home.mortal.read(DROP_KEYS, drop))
    for day in home.epochs.days():
        disk.dead_keys[f"epoch {day}"] = home.mortal.read(EPOCHS, day.isoformat()).reveal().strip()


def test_the_disk_remembers_what_was_deleted(disk: Disk) -> None:
    """The positive control: the deleted ciphertext is there, block for block; and the keys that were kept can be found in the image."""
    assert len(disk.ciphertexts) == 3
    for ciphertext in disk.ciphertexts:
        assert ciphertext[:BLOCK] in disk.image
    assert len(disk.long_lived) >= 4
    assert all(key in disk.image for key in disk.long_lived)


def test_no_key_that_died_is_left_in_any_block(disk: Disk) -> None:
    assert len(disk.dead_keys) > 1 + 3 + 13 + 1
    assert [name for name, key in disk.dead_keys.items() if key in disk.image] == []


def test_who_objected_is_a_mac_under_a_key_that_is_nowhere(disk: Disk) -> None:
    """The registers have ended: of the ledger nothing is left, of the key nothing either; old blocks may hold the MACs."""
    assert len(disk.objections) == 1 and disk.objections_left == 0
    assert disk.dead_keys["objections"] not in disk.image


def test_no_identifier_is_left_in_any_block(disk: Disk) -> None:
    blocks = dict.fromkeys(disk.image[at : at + BLOCK] for at in range(0, len(disk.image), BLOCK))  # each once, in their order
    assert len(blocks) > 200
    assert Workshop(needles(disk.planted)).canaries(b"".join(blocks)) == set()


# ---------------------------------------------------------------- the database's own deleted blocks


MARK = "a-row-that-is-deleted-and-must-not-stay"


def session(home: Home, board: str) -> PortalSession:
    now = home.clock()
    return PortalSession(token_sha256="0" * 64, board=board, csrf=MARK, created_at=now, last_seen_at=now)


def test_a_deleted_row_is_in_no_page_of_the_database(tmp_path: Path) -> None:
    """Not in the file, not in its write-ahead log once the worker has looked after it; SQLite as it comes would keep it."""
    place = Staged(tmp_path)
    try:
        home = place.home
        with home.ledger.change("test") as change:
            change.session.add(session(home, "41001"))
        files = [tmp_path / "home" / f"sluis.sqlite{suffix}" for suffix in ("", "-wal")]
        assert any(MARK.encode() in path.read_bytes() for path in files)
        with home.ledger.change("test") as change:
            close_all(change, "41001")
        checkpoint(home.ledger.engine)
        assert [path.name for path in files if MARK.encode() in path.read_bytes()] == []
        assert files[1].stat().st_size == 0
        with home.ledger.engine.connect() as connection:
            assert connection.exec_driver_sql("PRAGMA secure_delete").scalar_one() == 1
    finally:
        place.stop()
    with closing(sqlite3.connect(tmp_path / "as-it-comes")) as careless:  # the positive control
        careless.execute("PRAGMA secure_delete=OFF")
        careless.execute("CREATE TABLE t (x TEXT)")
        careless.execute("INSERT INTO t VALUES (?)", [MARK])
        careless.execute("DELETE FROM t")
        careless.commit()
    assert MARK.encode() in (tmp_path / "as-it-comes").read_bytes()


# ---------------------------------------------------------------- keys, where they lie


@pytest.mark.parametrize("kind", ["drops", "epochs", "recipients", "registers", "objections", "bundles"])
def test_a_destroyed_key_is_overwritten_where_it_lay(tmp_path: Path, kind: str) -> None:
    """Seen through a descriptor that was opened before: the same blocks, and nothing but zeros in them."""
    home = make_home(tmp_path)
    key = os.urandom(32)
    home.mortal.create(kind, "x", Secret(key))
    with EveryVersion(home.path / "mortal" / kind) as recorder, (home.path / "mortal" / kind / "x").open("rb", buffering=0) as block:
        assert block.read() == key
        home.mortal.destroy(kind, "x")
        block.seek(0)
        assert block.read() == bytes(32)
        assert os.fstat(block.fileno()).st_nlink == 0
    written = [content for kept in recorder.versions.values() for content in kept.values()]
    assert bytes(32) in written, "the zeros were there, durably, before the name went"
