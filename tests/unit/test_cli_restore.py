"""What a restore can't trust it refuses, and leaves nothing: a log that is not this gateway's, or not its newest; a changed backup."""

import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from audit.entry import Entry
from audit.log import AuditLog
from gateway.store.auditing import entry_now, log_directly
from gateway.store.home import Home
from keys.sealing import new_identity
from tests.support.cli import Cli
from tests.support.disasters import Lost, beside, lose_a_small_one, members, packed, place, sluis

__all__ = ["place", "sluis"]


@pytest.fixture(scope="module")
def lost(home_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Lost:
    return lose_a_small_one(tmp_path_factory.mktemp("lost"), home_template)


@dataclass
class Attempt:
    """A restore with something wrong."""

    lost: Lost
    tmp: Path
    backup: Path
    identity: Path
    options: list[object]

    def copied_log(self) -> Path:
        return Path(shutil.copytree(self.lost.log, self.tmp / "log"))


@pytest.fixture
def attempt(lost: Lost, tmp_path: Path) -> Iterator[Attempt]:
    yield Attempt(lost, tmp_path, lost.backup, lost.identity_file, ["--log", lost.log])


def tampered(attempt: Attempt) -> None:
    log = attempt.copied_log()
    bundle = max((log / "tile" / "entries").rglob("*.p/*"), key=lambda path: int(path.name))
    data = bytearray(bundle.read_bytes())
    data[len(data) // 2] ^= 1
    bundle.write_bytes(data)
    attempt.options = ["--log", log]


def _signed(attempt: Attempt, entries: Callable[[list[bytes]], list[bytes]]) -> None:
    """Another log with the gateway's own key and name, made of the entries of the true one."""
    home = Home.open(attempt.lost.home)
    log = AuditLog(attempt.tmp / "log", home.audit_origin, home.audit_signer())
    log.append(entries(list(home.audit_log().entries())))
    home.ledger.engine.dispose()
    attempt.options = ["--log", log.folder]


def forked(attempt: Attempt) -> None:
    _signed(attempt, lambda old: old[1:] + old[:1])


def told_twice(attempt: Attempt) -> None:
    _signed(attempt, lambda old: old + old)


def contradicting(attempt: Attempt) -> None:
    """It tells of the end of a drop's erasure, and not of its beginning."""
    _signed(attempt, lambda old: [entry for entry in old if b'"drop.erasure-begun"' not in entry])


def unknown(attempt: Attempt) -> None:
    """Something that only a later version does."""
    _signed(attempt, lambda old: [*old, old[-1].replace(b'"action":"', b'"action":"later-').replace(b'"id":"0', b'"id":"1')])


def truncated(attempt: Attempt) -> None:
    attempt.options = ["--log", attempt.lost.log_before]


def rolled_back(attempt: Attempt) -> None:
    """The newest entries are there, under the checkpoint of before."""
    log = attempt.copied_log()
    shutil.copy(attempt.lost.log_before / "checkpoint", log / "checkpoint")
    attempt.options = ["--log", log]


def stale(attempt: Attempt) -> None:
    """A log that only somebody with a newer checkpoint knows to be old: the backup's own."""
    attempt.options = ["--log-lost", "reden", "--against", attempt.lost.log / "checkpoint"]


def none(attempt: Attempt) -> None:
    attempt.options = []


def no_log_there(attempt: Attempt) -> None:
    (attempt.tmp / "empty").mkdir()
    attempt.options = ["--log", attempt.tmp / "empty"]


def flipped(attempt: Attempt) -> None:
    data = bytearray(attempt.lost.backup.read_bytes())
    data[-200] ^= 1
    attempt.backup = attempt.tmp / "flipped.age"
    attempt.backup.write_bytes(data)


def cut(attempt: Attempt) -> None:
    attempt.backup = attempt.tmp / "cut.age"
    attempt.backup.write_bytes(attempt.lost.backup.read_bytes()[: attempt.lost.backup.stat().st_size // 2])


def _repacked(attempt: Attempt, name: str, data: bytes | None) -> None:
    """By somebody who has the public key it was sealed to, as everybody may."""
    content = members(attempt.lost.backup, attempt.lost.identity)
    end = content.pop("end.json")
    if data is None:
        content.pop(name, None)
    else:
        content[name] = data
    attempt.backup = attempt.tmp / "repacked.age"
    packed(content if name == "end.json" else {**content, "end.json": end}, attempt.backup, attempt.lost.recipient)


def changed(attempt: Attempt) -> None:
    _repacked(attempt, "sluis.toml", b"")


def left_out(attempt: Attempt) -> None:
    _repacked(attempt, "ledger/000000.audit_row.jsonl", None)


def added(attempt: Attempt) -> None:
    _repacked(attempt, "results/extra", b"x")


def endless(attempt: Attempt) -> None:
    _repacked(attempt, "end.json", None)


def escaping(attempt: Attempt) -> None:
    _repacked(attempt, "results/../../../escaped", b"x")


def smuggled(attempt: Attempt) -> None:
    _repacked(attempt, "mortal/epochs/2026-02-20", b"x")


def of_the_future(attempt: Attempt) -> None:
    _repacked(attempt, "manifest.json", b'{"schema":"sluis-backup-9"}')


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (tampered, "is not what was logged"),
        (forked, "does not extend the older checkpoint"),
        (told_twice, "does not fit what the backup holds"),
        (contradicting, "does not fit what the backup holds"),
        (unknown, "something that this version does not know"),
        (truncated, "does not extend the older checkpoint"),
        (rolled_back, "were taken away, or an older checkpoint was put back"),
        (stale, "does not extend the older checkpoint"),
        (none, "nobody knows what was erased"),
        (no_log_there, "can't be read as one of an audit log"),
        (flipped, "This file is not whole"),
        (cut, "This file is not whole"),
        (changed, "its members are not those that its end tells of"),
        (left_out, "its members are not those that its end tells of"),
        (added, "its members are not those that its end tells of"),
        (endless, "it has no end"),
        (escaping, "it holds what no backup does"),
        (smuggled, "it holds what no backup does"),
        (of_the_future, "of a form that is not known here"),
    ],
)
def test_what_can_not_be_trusted_is_refused_and_leaves_nothing(sluis: Cli, attempt: Attempt, place: Path, wrong: Any, says: str) -> None:
    wrong(attempt)
    before = beside(attempt.tmp)
    said = sluis.refused("restore", attempt.backup, "--identity", attempt.identity, *attempt.options, status=3)
    assert says in said
    assert beside(place.parent) == set() and beside(attempt.tmp) == before
    assert "111222333" not in said


def test_another_key_does_not_open_it(sluis: Cli, lost: Lost, place: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.txt"
    other.write_bytes(new_identity()[0].reveal())
    assert "not sealed to that key" in sluis.refused("restore", lost.backup, "--identity", other, "--log", lost.log)
    assert "no age private key" in sluis.refused("restore", lost.backup, "--identity", lost.backup, "--log", lost.log)
    assert beside(place.parent) == set()


def test_it_is_restored_over_nothing_and_twice_is_once(sluis: Cli, lost: Lost, place: Path) -> None:
    place.mkdir()
    (place / "something").touch()
    assert "no empty folder" in sluis.refused("restore", lost.backup, "--identity", lost.identity_file, "--log", lost.log)
    (place / "something").unlink()
    sluis("restore", lost.backup, "--identity", lost.identity_file, "--log", lost.log)
    ledger = (place / "sluis.sqlite").read_bytes()
    assert "no empty folder" in sluis.refused("restore", lost.backup, "--identity", lost.identity_file, "--log", lost.log)
    assert (place / "sluis.sqlite").read_bytes() == ledger and beside(place.parent) == {"home"}


def test_a_copy_of_the_log_that_was_taken_under_its_lock_will_do(sluis: Cli, lost: Lost, place: Path, tmp_path: Path) -> None:
    """As docs/operator/backup.md says to take it, while others append."""
    home = Home.open(Path(shutil.copytree(lost.home, tmp_path / "alive")))
    stop, grew, copies, size = threading.Event(), threading.Event(), [], 0

    def others() -> None:
        while not stop.is_set():
            log_directly(home, [entry_now(home, "test", "effect.failed", "nothing", result="error")])
            grew.set()

    thread = threading.Thread(target=others)
    thread.start()
    try:
        for number in range(3):
            while home.audit_log().size == size:
                grew.clear()
                assert grew.wait(60)
            copies.append(tmp_path / f"copy-{number}")
            subprocess.run(["flock", "--shared", home.path / "audit" / "lock", "cp", "-a", home.path / "audit", copies[-1]], check=True)
            size = AuditLog(copies[-1], home.audit_origin).size
    finally:
        stop.set()
        thread.join()
    sizes = []
    for number, copy in enumerate(copies):
        target = tmp_path / f"home-{number}"
        answer = sluis("--home", target, "restore", lost.backup, "--identity", lost.identity_file, "--log", copy)
        sizes.append(answer["entries_replayed"])
    assert sizes == sorted(set(sizes)), "the log grew all the time"
    home.ledger.engine.dispose()


def test_gateway_time_goes_on_from_the_newest_entry(sluis: Cli, attempt: Attempt, place: Path) -> None:
    """A machine whose clock is behind lengthens no window."""
    ahead = datetime.now(UTC) + timedelta(days=2)
    later = Entry("ffffffffffffff-00001-x", ahead, "a", "local", "effect.failed", "nothing", "error").to_bytes()
    _signed(attempt, lambda old: [*old, later])
    sluis("restore", attempt.backup, "--identity", attempt.identity, *attempt.options)
    home = Home.open(place)
    assert ahead <= home.clock() < ahead + timedelta(minutes=5)
    home.ledger.engine.dispose()
