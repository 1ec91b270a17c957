"""Where a restored ledger comes from and where it goes: tables of a known revision, a database that is empty."""

import os
import shutil
from pathlib import Path

import pytest
from sqlalchemy import Engine
from sqlmodel import Session, select

from gateway.linker.rows import remove_rows
from gateway.store.backup import make_backup
from gateway.store.config import Configuration, Sharing
from gateway.store.database import HEAD, open_database, upgrade
from gateway.store.dump import dump, snapshot
from gateway.store.home import Home, create_home
from gateway.store.ledger import Ledger
from gateway.store.models import School
from gateway.store.restore import Order, restore
from gateway.store.restored_ledger import build, check_target, hand_over
from keys.sealing import new_identity
from policies.errors import Refused, SluisError, Unsound
from tests.support.ledgers import populate


@pytest.fixture
def dumped(lite: Ledger, tmp_path: Path) -> Path:
    """A folder with a dump of some rows, as a backup holds it."""
    with lite.change("test") as change:
        populate(change)
    (tmp_path / "ledger").mkdir()
    with snapshot(lite.engine) as connection:
        for number, (table, piece) in enumerate(dump(connection)):
            (tmp_path / "ledger" / f"{number:06}.{table}.jsonl").write_bytes(piece)
    return tmp_path


@pytest.fixture
def scratch(tmp_path: Path) -> Engine:
    return open_database(f"sqlite:///{tmp_path / 'scratch.sqlite'}")


def schools_in(url: str) -> int:
    engine = open_database(url)
    with Session(engine) as session:
        found = len(session.exec(select(School)).all())
    engine.dispose()
    return found


def test_a_dump_becomes_the_ledger_and_goes(dumped: Path, scratch: Engine) -> None:
    known = build(dumped, scratch, HEAD)
    assert known.size == 0 and len(known.waiting) == 1  # the campaign's entry is not in the log yet
    assert not (dumped / "ledger").exists()


@pytest.mark.parametrize(("migration", "code"), [("9999", "database-newer"), ("0001", "backup-damaged")])
def test_rows_of_other_tables_are_refused(dumped: Path, scratch: Engine, migration: str, code: str) -> None:
    """Of a later version, or not of the revision that the backup says."""
    with pytest.raises(Unsound) as unsound:
        build(dumped, scratch, migration)
    assert unsound.value.code == code


def test_a_dump_that_refers_to_what_is_not_there_is_refused(dumped: Path, scratch: Engine) -> None:
    next((dumped / "ledger").glob("*.school.jsonl")).write_bytes(b"")
    with pytest.raises(Unsound) as unsound:
        build(dumped, scratch, HEAD)
    assert unsound.value.code == "backup-damaged"


def test_a_database_with_a_ledger_is_left_alone(dumped: Path, scratch: Engine, ledger_url: str) -> None:
    build(dumped, scratch, HEAD)
    check_target(ledger_url)  # tables without a row
    hand_over(scratch, ledger_url)
    for again in (lambda: check_target(ledger_url), lambda: hand_over(scratch, ledger_url)):
        with pytest.raises(Refused) as refused:
            again()
        assert refused.value.code == "database-not-empty"
    assert schools_in(ledger_url) == 3


def test_a_database_that_is_not_there_is_told_without_its_address(tmp_path: Path) -> None:
    with pytest.raises(SluisError) as refused:
        check_target("postgresql+psycopg://geheim:wachtwoord@127.0.0.1:1/nergens")
    assert refused.value.code == "database-unreachable" and "wachtwoord" not in str(refused.value)


@pytest.mark.parametrize("group_access", [False, True])
def test_nobody_can_enter_more_than_in_a_new_home(tmp_path: Path, group_access: bool) -> None:
    """Every file and folder has the mode that `sluis init` gives it, also where a folder waited."""
    identity, recipient = new_identity()
    home = create_home(tmp_path / "old", Configuration(sharing=Sharing(group_access=group_access)))
    make_backup(home, tmp_path / "backup.age", [recipient])
    home.ledger.engine.dispose()
    (tmp_path / "new").mkdir(mode=0o755)
    restore(tmp_path / "new", Order(tmp_path / "backup.age", [identity], log=tmp_path / "old" / "audit"), remove_rows)
    old, new = (
        {str(path.relative_to(tmp_path / name)): path.stat().st_mode & 0o7777 for path in (tmp_path / name).rglob("*")}
        for name in ("old", "new")
    )
    shared = {name for name in old.keys() & new.keys() if not name.startswith(("sluis.sqlite-", "audit/tile"))}
    assert len(shared) > 40
    assert {name: (oct(old[name]), oct(new[name])) for name in shared if old[name] != new[name]} == {}
    assert (tmp_path / "new").stat().st_mode & 0o7777 == (0o2770 if group_access else 0o700)
    assert not any(mode & (0o007 if group_access else 0o077) for mode in new.values())
    Home.open(tmp_path / "new").ledger.engine.dispose()
    shutil.rmtree(tmp_path / "new")


def test_an_old_host_key_keeps_its_age(tmp_path: Path) -> None:
    """The age of a host key decides when it may be retired."""
    identity, recipient = new_identity()
    home = create_home(tmp_path / "old", Configuration())
    os.utime(tmp_path / "old" / "keys" / "ssh" / "host", (1_700_000_000, 1_700_000_000))
    make_backup(home, tmp_path / "backup.age", [recipient])
    restore(tmp_path / "new", Order(tmp_path / "backup.age", [identity], log=tmp_path / "old" / "audit"), remove_rows)
    assert Home.open(tmp_path / "new").keystore.created_at("ssh", "host").timestamp() == 1_700_000_000


def test_tables_may_be_there_already_when_they_are_empty(scratch: Engine, dumped: Path, sqlite_url: str) -> None:
    target = open_database(sqlite_url)
    upgrade(target)
    build(dumped, scratch, HEAD)
    hand_over(scratch, sqlite_url)
    assert schools_in(sqlite_url) == 3
