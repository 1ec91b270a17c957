"""`sluis backup`: to keys that last, beside everything and over nothing, whole or not at all."""

import hashlib
import os
import resource
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from audit.entry import Entry
from audit.log import AuditLog
from gateway.store.auditing import sequence
from gateway.store.backup import make_backup
from gateway.store.durable import write_durably
from gateway.store.home import Home
from gateway.store.models import Report
from gateway.store.rules import additions_file
from keys.sealing import new_identity
from policies.errors import Refused
from tests.support.cli import Cli, deliver
from tests.support.disasters import beside, members
from tests.support.ledgers import START, populate

IDENTITY, RECIPIENT = new_identity()


@pytest.fixture
def target(tmp_path: Path) -> Path:
    (tmp_path / "elsewhere").mkdir()
    return tmp_path / "elsewhere" / "backup.age"


def actions(home: Home) -> list[str]:
    return [Entry.from_bytes(data).action for data in home.audit_log().entries()]


def test_it_answers_what_it_made(sluis: Cli, target: Path) -> None:
    answer = sluis("backup", "--to", target, "--recipient", RECIPIENT)
    data = target.read_bytes()
    assert answer == {
        "file": str(target),
        "bytes": len(data),
        "sha256": hashlib.sha256(data).hexdigest(),
        "members": len(members(target, IDENTITY)),
        "log_size": sluis.opened().audit_log().size - 1,
        "recipients": 1,
    }
    assert target.stat().st_mode & 0o777 == 0o600 and beside(target.parent) == {"backup.age"}
    assert actions(sluis.opened())[-2:] == ["home.backup-begun", "home.backed-up"]


def test_keys_may_stand_in_files(sluis: Cli, target: Path, tmp_path: Path) -> None:
    other, public = new_identity()
    (tmp_path / "keys.txt").write_text(f"# of the authority\n{public}\n\n")
    assert sluis("backup", "--to", target, "--recipient", RECIPIENT, "--recipient", tmp_path / "keys.txt")["recipients"] == 2
    assert members(target, other).keys() == members(target, IDENTITY).keys()


def test_two_backups_of_the_same_hold_the_same_in_the_same_order(home: Home, tmp_path: Path) -> None:
    deliver(home, campaign=None)
    for name in ("one", "two"):
        make_backup(home, tmp_path / name, [RECIPIENT])
    one, two = (members(tmp_path / name, IDENTITY) for name in ("one", "two"))
    same = {name for name in one if name.startswith(("keys", "public", "sluis.toml", "receipts"))}
    assert len(same) >= 8 and all(one[name] == two[name] for name in same)
    assert [name for name in one if name in two] == [name for name in two if name in one]


@pytest.mark.parametrize("recipient", ["age1nonsense", "/no/such/file", "ssh-ed25519 AAAA", "own", "epoch"])
def test_only_keys_that_outlive_the_home_will_do(sluis: Cli, target: Path, recipient: str) -> None:
    home = sluis.opened()
    own = {"own": home.recipients.public(), "epoch": home.epochs.public(home.epochs.days()[0])}
    before = actions(home)
    sluis.refused("backup", "--to", target, "--recipient", own.get(recipient, recipient))
    assert beside(target.parent) == set() and actions(home) == before


def test_nothing_is_written_over_and_nothing_into_the_home(sluis: Cli, target: Path) -> None:
    target.write_text("mine")
    assert "never written over another" in sluis.refused("backup", "--to", target, "--recipient", RECIPIENT)
    assert target.read_text() == "mine"
    assert "not belong in the home" in sluis.refused("backup", "--to", sluis.home / "receipts" / "b.age", "--recipient", RECIPIENT)
    assert "could not be written: No such file" in sluis.refused("backup", "--to", "/no/such/b.age", "--recipient", RECIPIENT)
    assert actions(sluis.opened()).count("home.backed-up") == 0


def _publish(home: Home, name: str, sha256: str) -> None:
    """A report in the ledger, and its file."""
    with home.ledger.change("test") as change:
        populate(change)
        change.session.flush()
        change.session.add(Report(campaign="2026-M", school="01AA00", kind="growth", file=name, sha256=sha256, bytes=1, built_at=START))


@pytest.mark.parametrize("how", ["gone", "another"])
def test_a_file_that_is_not_as_the_ledger_knows_it_is_told_and_nothing_is_left(sluis: Cli, target: Path, how: str) -> None:
    home = sluis.opened()
    _publish(home, "r.pdf", hashlib.sha256(b"report").hexdigest())
    if how == "another":
        (home.reports / "r.pdf").write_bytes(b"REPORT")
    said = sluis.refused("backup", "--to", target, "--recipient", RECIPIENT)
    assert "reports/r.pdf changed" in said and beside(target.parent) == set()
    (home.reports / "r.pdf").write_bytes(b"report")
    sluis("backup", "--to", target, "--recipient", RECIPIENT)
    assert members(target, IDENTITY)["reports/r.pdf"] == b"report"


def test_files_that_nobody_knows_or_that_are_being_written_stay_out(home: Home, target: Path) -> None:
    for name in ("results/loose.parquet", "reports/loose.pdf", "registers/persons-x.parquet", "bundles/b", "run/k", "incoming/x"):
        write_durably(home.path / name, b"loose-" + name.encode())
    (home.path / "receipts" / "cito").mkdir()
    (home.path / "receipts" / "cito" / ".d1.json.abcdef01.tmp").write_bytes(b"half-a-receipt")
    deliver(home, campaign=None)
    make_backup(home, target, [RECIPIENT])
    everything = members(target, IDENTITY)
    assert not any(b"loose-" in data or b"half-a-receipt" in data or data == b"ciphertext" for data in everything.values())


def test_while_others_append_and_deliver_the_backup_is_of_one_moment(home: Home, target: Path) -> None:
    """The log extends what the ledger knows, and is whole by itself, although it grows all the time."""
    stop = threading.Event()
    done = []

    def others() -> None:
        while not stop.is_set():
            deliver(home, len(done), campaign=None)
            sequence(home)
            done.append(1)

    thread = threading.Thread(target=others)
    thread.start()
    try:
        for number in range(5):
            made = make_backup(home, target.with_name(f"b{number}"), [RECIPIENT])
            content = members(target.with_name(f"b{number}"), IDENTITY)
            folder = target.parent / f"log{number}"
            for name, data in content.items():
                if name.startswith("audit/"):
                    (folder / name).parent.mkdir(parents=True, exist_ok=True)
                    (folder / name).write_bytes(data)
            log = AuditLog(folder / "audit", home.audit_origin)
            assert log.verify(home.audit_verifier()).sound and log.size == made.log_size
    finally:
        stop.set()
        thread.join()
    assert len(done) > 2


def test_a_full_disk_leaves_nothing_behind(home: Home, tmp_path: Path) -> None:
    big = os.urandom(200_000)
    with home.ledger.change("test") as change:
        populate(change)
    (home.path / "receipts" / "cito").mkdir()
    (home.path / "receipts" / "cito" / "d1.txt").write_bytes(big)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    target = tmp_path / "elsewhere" / "backup.age"
    target.parent.mkdir()
    resource.setrlimit(resource.RLIMIT_FSIZE, (150_000, hard))  # Python ignores SIGXFSZ: a write fails with EFBIG
    try:
        with pytest.raises(Refused) as refused:
            make_backup(home, target, [RECIPIENT])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert refused.value.code == "backup-not-written" and beside(target.parent) == set()
    assert actions(home)[-1] == "home.backup-begun"


def test_what_an_administrator_added_to_the_rules_is_in_it_and_comes_back(sluis: Cli, target: Path, tmp_path: Path) -> None:
    before = sluis("policy", "show")["refused_rows_share"]
    additions_file(sluis.opened()).write_text("refused_rows_share = 0.25\n")
    sluis("backup", "--to", target, "--recipient", RECIPIENT)
    assert members(target, IDENTITY)["policies/nco_lvs.toml"] == b"refused_rows_share = 0.25\n"
    (tmp_path / "identity.txt").write_bytes(IDENTITY.reveal())
    other = replace(sluis, home=tmp_path / "other")
    other("restore", target, "--identity", tmp_path / "identity.txt", "--log", sluis.home / "audit")
    assert before != other("policy", "show")["refused_rows_share"] == 0.25
