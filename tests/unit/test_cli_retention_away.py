"""`sluis retention` while the database is away: keys end by the files alone, and nothing of it reads as success."""

import json
import os
import shutil
import socket
import sqlite3
from collections.abc import Callable
from datetime import timedelta

import pytest

from gateway.drop.ids import RANDOM_BYTES, drop_id
from gateway.intake.files.manifest import Manifest, with_manifest
from gateway.store import database
from gateway.store.config import Configuration, Database, write_configuration
from gateway.store.home import Home
from gateway.store.invariants import check_home
from keys.keystore import Keystore
from keys.secret import Secret
from tests.support.cli import Cli, deliver
from tests.support.ledgers import a_drop
from tests.support.retention import NOTHING, is_alive, key_of, logged, old_epoch, rows_about, run, way

__all__ = ["way"]


def missing(home: Home) -> Callable[[], object]:
    aside = home.path.parent / "aside"
    aside.mkdir()
    for file in home.path.glob("sluis.sqlite*"):  # with its write-ahead log
        shutil.move(file, aside)

    def back() -> None:
        for file in home.path.glob("sluis.sqlite*"):
            file.unlink()
        for file in aside.iterdir():
            shutil.move(file, home.path)

    return back


def damaged(home: Home) -> Callable[[], object]:
    back = missing(home)
    (home.path / "sluis.sqlite").write_bytes(b"not a database" * 1000)
    return back


def of_a_later_version(home: Home) -> Callable[[], object]:
    def set_version(version: str) -> None:
        with sqlite3.connect(home.path / "sluis.sqlite") as connection:
            connection.execute("UPDATE alembic_version SET version_num = ?", (version,))
        connection.close()

    with sqlite3.connect(home.path / "sluis.sqlite") as connection:
        (now,) = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    connection.close()
    set_version("9999")
    return lambda: set_version(now)


def unreachable(home: Home) -> Callable[[], object]:
    toml = home.path / "sluis.toml"
    before = toml.read_text()
    toml.write_text(write_configuration(Configuration(database=Database(url="postgresql+psycopg://sluis@127.0.0.1:1/sluis"))))
    return lambda: toml.write_text(before)


def test_a_database_that_never_answers_is_not_waited_for(way: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    home = way.opened()
    day = old_epoch(home)
    held_drop(home, timedelta(days=21, minutes=1))
    home.ledger.engine.dispose()
    monkeypatch.setattr(database, "CONNECT_SECONDS", 2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"postgresql+psycopg://sluis@127.0.0.1:{silent.getsockname()[1]}/sluis"
        (home.path / "sluis.toml").write_text(write_configuration(Configuration(database=Database(url=url))))
        done, _ = run(way)
    assert done["epoch_keys_destroyed"] == [day.isoformat()] and done["drop_keys_destroyed"] == 1


@pytest.mark.parametrize("away", [missing, damaged, of_a_later_version, unreachable])
def test_an_epoch_key_ends_whatever_became_of_the_database(way: Cli, away: Callable[[Home], Callable[[], object]]) -> None:
    home = way.opened()
    day, young = old_epoch(home), old_epoch(home, days=20)
    drop = deliver(home, 1, age_days=22)
    home.ledger.engine.dispose()
    back = away(home)
    done, said = run(way)
    assert done == NOTHING | {"epoch_keys_destroyed": [day.isoformat()]}
    assert "The ledger is away" in said and "Traceback" not in said
    assert not is_alive(home, day) and day not in home.epochs.days() and is_alive(home, young)
    assert logged(home, day.isoformat()) == ["epoch.destruction-begun", "epoch.destroyed"]
    assert away is not missing or not (home.path / "sluis.sqlite").exists(), "an empty database would know of no drop"
    back()
    home.epochs.ensure(young)
    done, _ = run(way, status=0)
    assert done["drops_erased"] == 1 and way("drop", "show", drop)["data"] == "erased"
    home = way.opened()
    assert rows_about(home, day.isoformat()) == ["epoch.destruction-begun", "epoch.destroyed"], "the ledger learnt of it"
    assert way("audit", "verify")["sound"]


def held_drop(home: Home, age: timedelta) -> str:
    """A drop as the intake keeps it, with the facts beside its key; received so long ago."""
    at = home.clock() - age
    name = drop_id(at, os.urandom(RANDOM_BYTES))
    facts = Manifest(name, "u", "cito", "leveringen", f"{name}.age", 10, "0" * 64, at.isoformat(), at.date().isoformat())
    home.epochs.ensure(at.date())
    home.mortal.create("drops", name, with_manifest(facts, Secret(b"sealed")))
    home.blob(name).write_bytes(b"ciphertext")
    with home.ledger.change("intake", origin="cito") as change:
        change.receive(a_drop(at, id=name, file_name=f"{name}.age", bytes=10))
    return name


def test_without_a_ledger_a_drops_key_ends_at_its_minute_and_the_rest_follows(way: Cli) -> None:
    home = way.opened()
    over, nearly = held_drop(home, timedelta(days=21, minutes=1)), held_drop(home, timedelta(days=20, hours=23))
    size = home.audit_log().size
    home.ledger.engine.dispose()
    back = missing(home)
    done, _ = run(way)
    assert done["drop_keys_destroyed"] == 1 and home.mortal.names("drops") == [nearly]
    assert logged(home, over) == ["drop.key-destruction-begun", "drop.key-destroyed"]
    assert run(way)[0] == NOTHING and home.audit_log().size == size + 2
    back()
    home = way.opened()
    assert {found.invariant for found in check_home(home)} == {"overdue"}, "nothing but that it is late"
    done, _ = run(way, status=0)
    assert done["drops_erased"] == 1 and not home.blob(over).exists()
    assert way("audit", "prove", over)["drop"] == over and way("drop", "show", nearly)["data"] == "held"


def test_a_ledger_that_goes_away_in_the_middle_is_told_and_keys_end(way: Cli) -> None:
    home = way.opened()
    over = held_drop(home, timedelta(days=21, minutes=1))
    home.ledger.engine.dispose()
    with sqlite3.connect(home.path / "sluis.sqlite") as connection:
        connection.execute("ALTER TABLE effect RENAME TO moved")  # found out once the erasure is under way
    connection.close()
    done, said = run(way)
    assert done["failed"] == {over: "OperationalError"} and "Traceback" not in said
    assert done["drop_keys_destroyed"] == 1 and not key_of(home, over).exists(), "the ledger may fail, the key ends"
    with sqlite3.connect(home.path / "sluis.sqlite") as connection:
        connection.execute("ALTER TABLE moved RENAME TO effect")
        connection.execute('ALTER TABLE "drop" RENAME TO moved')
    connection.close()
    done, said = run(way)
    assert done["drop_keys_destroyed"] == 0 and "The ledger is away" in said and "OperationalError" in said
    with sqlite3.connect(home.path / "sluis.sqlite") as connection:
        connection.execute('ALTER TABLE moved RENAME TO "drop"')
    connection.close()
    assert run(way, status=0)[0]["drops_erased"] == 1


def test_without_a_ledger_a_key_that_can_not_be_destroyed_holds_up_no_other(way: Cli) -> None:
    home = way.opened()
    stuck, other = held_drop(home, timedelta(days=22)), held_drop(home, timedelta(days=22))
    missing(home)
    destroy = Keystore.destroy

    def fail(store: Keystore, kind: str, name: str) -> None:
        if name == stuck:
            raise OSError(5, "Input/output error")
        destroy(store, kind, name)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Keystore, "destroy", fail)
        done, said = run(way)
    assert done["failed"] == {stuck: "EIO"} and done["drop_keys_destroyed"] == 1 and "1 erasures failed" in said
    assert home.mortal.names("drops") == [stuck] and not key_of(home, other).exists()
    assert run(way)[0]["drop_keys_destroyed"] == 1 and home.mortal.names("drops") == []
    doomed = home.path / "mortal" / "drops" / ".gone.00"
    doomed.mkdir(mode=0o700)
    assert run(way)[0]["failed"] == {"drop keys on their way out": "EISDIR"}
    doomed.rmdir()
    doomed.write_bytes(b"left by a crash")
    doomed.chmod(0o600)
    assert run(way)[0]["failed"] == {} and not doomed.exists()


def test_without_a_ledger_the_status_tells_what_the_files_say(way: Cli) -> None:
    home = way.opened()
    day = old_epoch(home)
    received = home.clock() - timedelta(days=20, hours=1)
    facts = Manifest("d20260101-aaaaaaaaaaaaaaaa", "u", "cito", "leveringen", "a.age", 1, "0" * 64, received.isoformat(), "2026-01-01")
    home.mortal.create("drops", facts.id, with_manifest(facts, Secret(b"sealed")))
    home.mortal.create("drops", "d20260102-aaaaaaaaaaaaaaaa", Secret(b"cut off"))
    missing(home)
    status, out, said = way.run("--json", "retention", "status")
    told = json.loads(out)
    assert status == 3 and "The ledger is away" in said and told["ledger"] == "away"
    by_name = {row["name"]: row for row in told["material"]}
    assert by_name[day.isoformat()]["kind"] == "epoch key" and by_name[day.isoformat()]["attention"] == "overdue"
    drop = by_name[facts.id]
    assert (drop["kind"], drop["vendor"], drop["since"], drop["attention"]) == ("drop", "cito", received.isoformat(), "1 day")
    assert drop["hours_left"] == 22
    assert by_name["d20260102-aaaaaaaaaaaaaaaa"]["erase_before"], "what can't be read counts from when it was made"
    status, out, _ = way.run("retention", "status")
    assert status == 3 and facts.id in out
