"""A home: made once and never over another, and not opened when others may look in."""

import os
import shutil
import sqlite3
import stat
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from gateway.store.config import Configuration, Database, Sharing, write_configuration
from gateway.store.home import EPOCHS_AHEAD, FOLDERS, Home, create_home, prepare_epochs
from policies.errors import Refused, Unsound
from tests.support.ledgers import audit_rows

NOW = datetime(2026, 2, 20, 23, 30, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _umask() -> Iterator[None]:
    before = os.umask(0o022)
    yield
    os.umask(before)


def modes(folder: Path) -> dict[str, int]:
    return {str(path.relative_to(folder)): stat.S_IMODE(path.stat().st_mode) for path in folder.rglob("*")}


def refused(folder: Path) -> Unsound:
    with pytest.raises(Unsound) as refusal:
        Home.open(folder)
    assert refusal.value.exit_status == 3
    return refusal.value


def test_a_new_home_is_closed_to_others_and_opens(tmp_path: Path) -> None:
    home = create_home(tmp_path / "new" / "home", Configuration(), lambda: NOW)
    found = modes(home.path)
    assert set(FOLDERS) <= set(found)
    assert all(mode & 0o077 == 0 for mode in found.values()), {name: oct(mode) for name, mode in found.items() if mode & 0o077}
    assert stat.S_IMODE(home.path.stat().st_mode) == 0o700
    again = Home.open(home.path, lambda: NOW)
    assert again.config == Configuration()
    assert again.recipients.public() == home.recipients.public()
    assert again.epochs.days() == [date(2026, 2, 20) + timedelta(days=ahead) for ahead in range(EPOCHS_AHEAD)]
    assert [row.action for row in audit_rows(again.ledger)] == ["home.created"]
    home.ledger.engine.dispose()


def test_a_home_for_several_users_is_open_to_its_group_and_to_nobody_else(tmp_path: Path) -> None:
    home = create_home(tmp_path / "home", Configuration(sharing=Sharing(group_access=True)), lambda: NOW)
    assert stat.S_IMODE(home.path.stat().st_mode) == 0o2770
    assert all(mode & 0o007 == 0 for mode in modes(home.path).values())
    Home.open(home.path, lambda: NOW)
    (home.path / "audit").chmod(0o2771)
    assert refused(home.path).code == "permissions-too-wide"
    home.ledger.engine.dispose()


def test_a_home_is_never_made_over_something(home_folder: Path, tmp_path: Path) -> None:
    before = modes(home_folder)
    with pytest.raises(Refused) as refusal:
        create_home(home_folder, Configuration())
    assert refusal.value.code == "home-exists" and modes(home_folder) == before
    other = tmp_path / "other"
    other.mkdir()
    (other / ".keep").touch()
    with pytest.raises(Refused):
        create_home(other, Configuration())
    assert list(other.iterdir()) == [other / ".keep"]


def test_two_homes_share_no_key(tmp_path: Path, home: Home) -> None:
    other = create_home(tmp_path / "second", Configuration())
    assert other.audit_origin != home.audit_origin
    assert other.recipients.public() != home.recipients.public()
    for kind, name in (("authority", "pseudonyms"), ("signing", "audit"), ("ssh", "host"), ("tls", "portal")):
        assert other.keystore.read(kind, name) != home.keystore.read(kind, name)
    other.ledger.engine.dispose()


@pytest.mark.parametrize("name", [".", "sluis.toml", *FOLDERS])
@pytest.mark.parametrize("bits", [0o040, 0o001])
def test_a_folder_that_others_may_enter_is_refused(home_folder: Path, name: str, bits: int) -> None:
    place = home_folder / name
    place.chmod(stat.S_IMODE(place.stat().st_mode) | bits)
    error = refused(home_folder)
    assert error.code == "permissions-too-wide" and "chmod" in error.hint
    assert str(place.relative_to(home_folder.parent)) in error.message
    place.chmod(int(error.hint.split()[2].strip("`"), 8))
    Home.open(home_folder).ledger.engine.dispose()


@pytest.mark.parametrize("store", ["keys", "mortal"])
def test_each_key_that_others_may_read_is_refused(home_folder: Path, store: str) -> None:
    files = [path for path in (home_folder / store).rglob("*") if path.is_file()]
    assert files
    for file in files:
        file.chmod(0o640)
        error = refused(home_folder)
        assert error.code == "permissions-too-wide" and file.name in error.message
        file.chmod(0o600)
    Home.open(home_folder).ledger.engine.dispose()


@pytest.mark.parametrize("name", ["public/epochs", "audit", "drops", "keys", "mortal", "incoming"])
def test_a_folder_that_is_missing_is_said_so(home_folder: Path, name: str) -> None:
    shutil.rmtree(home_folder / name)
    error = refused(home_folder)
    assert error.code == "home-incomplete" and name in error.message


def test_a_folder_that_is_no_home_is_said_so(tmp_path: Path) -> None:
    for place in (tmp_path / "nothing", tmp_path):
        assert refused(place).code == "no-configuration"
    (tmp_path / "file").write_text("")
    assert refused(tmp_path / "file").code == "no-configuration"


def test_a_home_whose_tables_were_never_made_gets_them(home_folder: Path) -> None:
    (home_folder / "sluis.sqlite").write_bytes(b"")  # init was killed before it made them
    opened = Home.open(home_folder)
    assert audit_rows(opened.ledger) == []
    opened.ledger.engine.dispose()


def test_a_home_without_its_database_never_starts_with_an_empty_one(home_folder: Path) -> None:
    (home_folder / "sluis.sqlite").unlink()
    error = refused(home_folder)
    assert error.code == "home-incomplete" and "sluis.sqlite" in error.message
    assert not (home_folder / "sluis.sqlite").exists()


@pytest.mark.postgres
def test_tables_on_postgresql_are_upgraded_by_their_owner_only(home_folder: Path, postgres_url: str) -> None:
    (home_folder / "sluis.toml").write_text(write_configuration(Configuration(database=Database(url=postgres_url))))
    error = refused(home_folder)
    assert error.code == "database-old" and "--upgrade" in error.hint


@pytest.mark.parametrize("url", ["postgresql+psycopg://sluis:w4chtw00rd@127.0.0.1:1/sluis", "oracle9://x", "geen adres"])
def test_a_database_that_can_not_be_reached_is_said_without_its_password(home_folder: Path, url: str) -> None:
    (home_folder / "sluis.toml").write_text(write_configuration(Configuration(database=Database(url=url))))
    error = refused(home_folder)
    assert error.code == "database-unreachable" and "w4chtw00rd" not in str(error)


def test_a_damaged_database_is_said_so(home_folder: Path) -> None:
    (home_folder / "sluis.sqlite").write_bytes(b"not a database" * 1000)
    assert refused(home_folder).code == "database-unreachable"


def test_a_database_of_a_later_version_is_said_so(home_folder: Path) -> None:
    with sqlite3.connect(home_folder / "sluis.sqlite") as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()
    assert refused(home_folder).code == "database-newer"


@pytest.mark.parametrize("database", ["missing", "damaged", "unreachable"])
def test_a_home_opens_without_its_ledger_for_what_must_not_wait_for_it(home_folder: Path, database: str) -> None:
    if database == "unreachable":
        url = "postgresql+psycopg://sluis@127.0.0.1:1/sluis"
        (home_folder / "sluis.toml").write_text(write_configuration(Configuration(database=Database(url=url))))
    elif database == "damaged":
        (home_folder / "sluis.sqlite").write_bytes(b"not a database" * 1000)
    else:
        (home_folder / "sluis.sqlite").unlink()
    home = Home.open_without_ledger(home_folder)
    assert home.epochs.days() and home.audit_log().size == 0
    with pytest.raises(Unsound):
        home.check_ledger()
    (home_folder / "mortal").chmod(0o750)
    with pytest.raises(Unsound) as refusal:
        Home.open_without_ledger(home_folder)
    assert refusal.value.code == "permissions-too-wide"


def test_epochs_are_prepared_ahead_and_stay_what_they_are(home_folder: Path) -> None:
    home = Home.open(home_folder)
    today = home.clock().astimezone(UTC).date()
    keys = {day: home.epochs.public(day) for day in home.epochs.days() if day >= today}
    prepare_epochs(home)
    assert {day: home.epochs.public(day) for day in keys} == keys
    home.clock = lambda: datetime.now(UTC) + timedelta(days=3)
    prepare_epochs(home)
    assert max(home.epochs.days()) == home.clock().date() + timedelta(days=EPOCHS_AHEAD - 1)
    home.ledger.engine.dispose()


def test_keys_of_arriving_uploads_live_where_the_service_manager_says(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RUNTIME_DIRECTORY", raising=False)
    assert home.run == home.path / "run"
    monkeypatch.setenv("RUNTIME_DIRECTORY", "/run/sluis:/run/other")
    assert home.run == Path("/run/sluis")


def test_paths_stand_where_the_page_says(home: Home) -> None:
    below = home.path
    assert home.blob("d20260220-x") == below / "drops" / "d20260220-x.blob"
    assert home.incoming("cito", "leveringen") == below / "incoming" / "cito" / "leveringen"
    assert home.receipts("cito") == below / "receipts" / "cito"
    assert home.database_url == f"sqlite:///{below / 'sluis.sqlite'}" and home.engine_url.endswith("engine.sqlite")
    assert home.portal_address == "https://localhost:8443"
