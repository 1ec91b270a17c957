"""A crash between any two steps of a delivery leaves an upload that can be resumed or a drop that is adopted, once, byte-exact."""

import hashlib
import json
import os
import socket
from dataclasses import asdict
from pathlib import Path

import pytest
from sqlalchemy import text

from gateway.drop.lifecycle import Raw, State
from gateway.intake.files import delivery
from gateway.intake.files.delivery import adopt_orphans, deliver
from gateway.intake.files.refusals import IntakeRefused
from gateway.intake.files.upload import Upload
from gateway.intake.files.uploads import Uploads
from gateway.store.durable import move_durably, write_durably
from gateway.store.home import Home
from policies.errors import SluisError
from tests.support.intake import Service, audit_rows, content, drops, files_below, free_port, make_home, make_key, register, sftp_session

DATA = os.urandom(100_000)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = make_home(tmp_path)
    register(home, "cito", make_key(tmp_path))
    return home


def arrived(uploads: Uploads, name: str = "x.age") -> Upload:
    owner = object()
    upload = uploads.open(owner, "cito", "leveringen", name, create=True, anew=False, only_new=False)
    upload.write(owner, 0, DATA, 1 << 30)
    return upload


def restart(home: Home) -> tuple[list[str], Uploads]:
    """What the service does when it starts; twice, since a start may crash too."""
    adopted = adopt_orphans(home)
    assert adopt_orphans(home) == []
    uploads = Uploads(home)
    uploads.restore()
    return adopted, uploads


def assert_clean(home: Home, unfinished: int = 0) -> None:
    """No key, note, manifest or ciphertext but those of drops and of unfinished uploads."""
    known = [drop.id for drop in drops(home)]
    assert sorted(home.mortal.names("drops")) == sorted(known)
    assert sorted(path.name for path in files_below(home.drops)) == sorted(f"{name}.blob" for name in known)
    assert len(files_below(home.run)) == unfinished
    assert len(files_below(home.path / "incoming")) == 2 * unfinished


STEPS = ("sealed", "manifest", "moved", "received")


@pytest.mark.parametrize("last", STEPS)
def test_a_crash_after_each_step(home: Home, last: str) -> None:
    """The steps of `deliver` up to and including `last`, and then nothing more: as kill -9 leaves it."""
    uploads = Uploads(home)
    upload = arrived(uploads)
    manifest = delivery._seal(home, upload, "x.age")
    if last != "sealed":
        write_durably(delivery.manifest_path(home, manifest.id), json.dumps(asdict(manifest)).encode())
    if last in ("moved", "received"):
        move_durably(upload.blob, home.blob(manifest.id))
    if last == "received":
        with home.ledger.change("vendor:cito") as change:
            delivery._receive(home, change, manifest)

    adopted, after = restart(home)

    assert adopted == ([manifest.id] if last == "moved" else [])
    if last in ("moved", "received"):
        assert after.of("cito", "leveringen") == []
    else:
        (resumed,) = after.of("cito", "leveringen")
        assert resumed.size == len(DATA)
        assert_clean(home, unfinished=1)
        resumed.attach(resumed)
        deliver(after, resumed, "x.age", "127.0.0.1")
    (drop,) = drops(home)
    assert content(home, drop) == DATA
    assert (drop.state, drop.raw, drop.bytes, drop.sha256) == (State.RECEIVED, Raw.HELD, len(DATA), hashlib.sha256(DATA).hexdigest())
    assert len(audit_rows(home, "drop.received")) == 1
    assert_clean(home)


def test_what_the_ledger_refuses_is_taken_back(home: Home) -> None:
    """A foreign key that is not there stands for any error of the database: the upload is as it was, and can be tried again."""
    uploads = Uploads(home)
    upload = arrived(uploads)
    with home.ledger.engine.begin() as connection:
        connection.execute(text("ALTER TABLE audit_row RENAME TO elsewhere"))
    with pytest.raises(Exception, match="audit_row"):
        deliver(uploads, upload, "x.age", "127.0.0.1")
    with home.ledger.engine.begin() as connection:
        connection.execute(text("ALTER TABLE elsewhere RENAME TO audit_row"))
    assert drops(home) == []
    assert_clean(home, unfinished=1)
    deliver(uploads, upload, "x.age", "127.0.0.1")
    (drop,) = drops(home)
    assert content(home, drop) == DATA
    assert_clean(home)


def test_without_the_days_key_nothing_is_delivered(home: Home) -> None:
    uploads = Uploads(home)
    upload = arrived(uploads)
    home.epochs.destroy(home.clock().date())
    with pytest.raises(SluisError):
        deliver(uploads, upload, "x.age", "127.0.0.1")
    assert_clean(home, unfinished=1)


def test_a_name_delivered_meanwhile_is_not_delivered_twice(home: Home) -> None:
    uploads = Uploads(home)
    one, two = (arrived(uploads, name) for name in ("1.part", "2.part"))
    deliver(uploads, one, "x.age", "127.0.0.1")
    with pytest.raises(IntakeRefused) as refused:
        deliver(uploads, two, "x.age", "127.0.0.1")
    assert refused.value.code == "name-taken"
    assert len(drops(home)) == 1
    assert two.size == len(DATA), "still there, for another name"
    assert_clean(home, unfinished=1)


def test_an_adoption_under_a_name_delivered_since_is_destroyed(home: Home) -> None:
    uploads = Uploads(home)
    one, two = (arrived(uploads, name) for name in ("1.part", "2.part"))
    manifest = delivery._seal(home, one, "x.age")
    write_durably(delivery.manifest_path(home, manifest.id), json.dumps(asdict(manifest)).encode())
    move_durably(one.blob, home.blob(manifest.id))
    deliver(uploads, two, "x.age", "127.0.0.1")
    adopted, _ = restart(home)
    assert adopted == []
    assert len(drops(home)) == 1
    assert_clean(home)


def test_a_blob_that_no_ledger_knows_is_left_alone(home: Home) -> None:
    """The ledger may be the wrong one: a blob with its key and without a manifest is a matter for a person."""
    uploads = Uploads(home)
    upload = arrived(uploads)
    name = deliver(uploads, upload, "x.age", "127.0.0.1")
    with home.ledger.engine.begin() as connection:
        for table in ("effect", "drop"):
            connection.execute(text(f'DELETE FROM "{table}"'))
    restart(home)
    assert home.blob(name).exists() and home.mortal.exists("drops", name)


@pytest.mark.crash
def test_the_service_is_killed_and_the_upload_goes_on(tmp_path: Path) -> None:
    """kill -9 of the real service half-way, another one started: the client resumes where the first one was."""
    port = free_port()
    home = make_home(tmp_path, port=port)
    key = make_key(tmp_path)
    register(home, "cito", key)
    first = Service(home.path, port, tmp_path)
    with sftp_session(port, "cito", key) as sftp:
        file = sftp.open("leveringen/x.age", "wb")
        file.write(DATA[:60_000])
        file.flush()
        sftp.stat("leveringen/x.age")  # answered after the writes
        first.kill()
    second = Service(home.path, port, tmp_path)
    with sftp_session(port, "cito", key) as sftp:
        assert sftp.stat("leveringen/x.age").st_size == 60_000
        with sftp.open("leveringen/x.age", "ab") as file:
            file.write(DATA[60_000:])
        assert sftp.stat("leveringen/x.age").st_size == len(DATA)
    assert second.terminate() == 0
    (drop,) = drops(home)
    assert content(home, drop) == DATA
    assert drop.sha256 == hashlib.sha256(DATA).hexdigest(), "half of it was hashed by reading it again"


@pytest.mark.crash
def test_sigterm_stops_and_says_so(tmp_path: Path) -> None:
    port = free_port()
    home = make_home(tmp_path, port=port)
    key = make_key(tmp_path)
    register(home, "cito", key)
    service = Service(home.path, port, tmp_path)
    with sftp_session(port, "cito", key) as sftp:
        sftp.open("leveringen/x.age.part", "wb")
        assert service.terminate() == 0
    with pytest.raises(OSError):
        socket.create_connection(("127.0.0.1", port), 5)
    assert_clean(home, unfinished=1)
