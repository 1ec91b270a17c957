"""From a gateway that is lost to one that runs again: nothing that must die was in the backup, and nothing that has died comes back.

The commands are the real ones; the gateway played a campaign before and after its backup (tests/support/disasters.py).
"""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlmodel import col, select

from audit import document
from audit.entry import Entry
from audit.log import AuditLog
from gateway.linker.results import scan
from gateway.store.drop_keys import sealed_key_of
from gateway.store.home import Home
from gateway.store.invariants import check_home
from gateway.store.models import (
    Bundle,
    Credential,
    Drop,
    Objection,
    ObjectionPerson,
    ObjectionRegister,
    Part,
    RegisterVersion,
    Report,
    Vendor,
    VendorKey,
)
from gateway.store.objections import newest_registers
from keys.secret import Secret
from tests.support.canaries import Search
from tests.support.cli import Cli
from tests.support.disasters import Lost, beside, lose_a_gateway, members, place, sluis, work_on
from tests.support.gateway import CAMPAIGN

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


__all__ = ["place", "sluis"]


@pytest.fixture(scope="module")
def lost(tmp_path_factory: pytest.TempPathFactory) -> Lost:
    return lose_a_gateway(tmp_path_factory.mktemp("lost"))


def restored(sluis: Cli, lost: Lost, *options: object) -> dict[str, Any]:
    """`sluis restore` with the newest log, unless `options` say otherwise."""
    log = () if any(str(option).startswith("--log") for option in options) else ("--log", lost.log)
    answer: dict[str, Any] = sluis("restore", lost.backup, "--identity", lost.identity_file, *log, *options)
    return answer


# ---------------------------------------------------------------- what is in it


@pytest.fixture(scope="module")
def content(lost: Lost) -> dict[str, bytes]:
    return members(lost.backup, lost.identity)


def test_it_holds_what_lasts_and_nothing_else(content: dict[str, bytes]) -> None:
    assert {name.split("/")[0] for name in content} == {
        "manifest.json", "sluis.toml", "keys", "public", "ledger", "results", "reports", "receipts", "audit", "end.json"
    }  # fmt: skip
    assert next(iter(content)) == "manifest.json" and list(content)[-1] == "end.json"
    assert {name.split("/")[1] for name in content if name.startswith("public/")} == {"audit-origin.txt", "portal.pem", "sluis.vkey.txt"}
    assert not any("portal_session" in name for name in content)
    assert json.loads(content["manifest.json"])["schema"] == "sluis-backup-1"


def test_no_byte_of_a_key_that_must_die_is_in_it(lost: Lost, content: dict[str, bytes]) -> None:
    """Not as a file, and not inside another one."""
    assert {Path(name).parent.name for name in lost.mortal_then} >= {"drops", "epochs", "recipients", "registers", "objections", "bundles"}
    everything = b"\0".join(content.values())
    for name, kept in lost.mortal_then.items():
        data = sealed_key_of(Secret(kept)) if "/drops/" in name else kept  # before it stand facts that the ledger has too
        assert data, name
        pieces = [data, *data.split()] if data.isascii() else [data[start : start + 16] for start in range(0, len(data) - 16, 16)]
        for piece in pieces:
            assert len(piece) < 16 or piece not in everything, name
    assert content["keys/authority/pseudonyms"] in everything  # the search finds what is there


def test_no_identifier_is_in_it(lost: Lost, content: dict[str, bytes]) -> None:
    search = Search(lost.wanted)
    for name, data in content.items():
        search.data(name.encode(), f"name of {name}")
        search.data(data, name)
    assert search.hits == set() and search.looked_at > 100
    planted = next(needle for needle in lost.wanted if not needle.weak)
    search.data(b"x" + planted.data, "planted")
    assert search.canaries == {planted.canary}


def test_the_log_tells_who_made_it_and_for_whom(lost: Lost) -> None:
    log = AuditLog(lost.log, (lost.home / "public" / "audit-origin.txt").read_text().strip())
    begun, done = [entry for entry in map(Entry.from_bytes, log.entries()) if entry.action.startswith("home.back")]
    assert (begun.action, done.action) == ("home.backup-begun", "home.backed-up")
    assert len(begun.detail["recipients"]) == 1  # type: ignore[arg-type]
    assert done.detail["bytes"] == lost.backup.stat().st_size


# ---------------------------------------------------------------- the way back


def test_what_died_after_the_backup_is_dead_after_the_restore(sluis: Cli, lost: Lost, place: Path) -> None:
    answer = restored(sluis, lost)
    assert answer["entries_replayed"] > 20 and answer["contradictions"] == []
    home = Home.open(place)
    with home.ledger.view() as session:
        drops = {drop.id: drop for drop in session.exec(select(Drop))}
    log = home.audit_log()
    times = {entry.object: entry.time for entry in map(Entry.from_bytes, log.entries()) if entry.action == "drop.erasure-verified"}
    assert set(lost.drops.values()) == set(drops) == set(times)
    for name, drop in drops.items():
        assert drop.raw == "erased" and drop.erased_at == times[name]
    assert home.mortal.names("drops") == [] and beside(home.drops) == set()
    assert log.verify(home.audit_verifier()).sound


def test_what_was_made_of_a_drop_is_there_or_its_vendor_is_told(sluis: Cli, lost: Lost, place: Path) -> None:
    answer = restored(sluis, lost)
    home = work_on(place)
    assert check_home(home, at_rest=True) == []
    with home.ledger.view() as session:
        drops = {drop.id: drop for drop in session.exec(select(Drop))}
    states = {name: drops[drop].state for name, drop in lost.drops.items()}
    assert states == {"gekoppeld.csv.age": "linked"} | dict.fromkeys(
        ["bezwaar.csv.age", "wacht.csv.age", "bezwaar-esis.csv.age", "erna.csv.age", "bezwaar-2.csv.age"], "expired"
    )
    assert answer["drops_lost"] == 5
    told = document.read((home.receipts("cito") / f"{lost.drops['erna.csv.age']}.json").read_bytes())
    document.check(told, [home.audit_verifier()])
    assert told["state"] == "expired" and told["findings"][0]["rule"] == "restored"  # type: ignore[index,call-overload]
    assert "hersteld uit een reservekopie" in (home.receipts("cito") / f"{lost.drops['erna.csv.age']}.txt").read_text()
    kept = home.results / CAMPAIGN / f"{lost.drops['gekoppeld.csv.age']}.parquet"
    newest = kept.with_suffix(".1.parquet")  # a parent objected after the backup
    assert kept.read_bytes() == (lost.home / "results" / CAMPAIGN / newest.name).read_bytes()


def test_results_that_an_objection_took_out_do_not_come_back(sluis: Cli, lost: Lost, place: Path) -> None:
    """Nor a report that holds them: it was built anew after the backup, which has the old one."""
    assert restored(sluis, lost)["rows_withdrawn"] == 12
    home = Home.open(place)
    with home.ledger.view() as session:
        (part,) = session.exec(select(Part))
        (report,) = session.exec(select(Report).where(col(Report.touched_at).is_not(None)))
    results = scan([home.results / part.file]).collect()
    assert results["persoon"].n_unique() == 10 and part.rows == results.height == 120
    assert (report.school, report.objection_register) == ("41AA00", 1)
    assert "1 report of" in sluis.refused("publish", "--campaign", CAMPAIGN, "--reason", "hersteld")
    sluis("report", "build", "--campaign", CAMPAIGN)
    sluis("publish", "--campaign", CAMPAIGN, "--reason", "hersteld")


def test_doors_that_were_shut_after_the_backup_stay_shut(sluis: Cli, lost: Lost, place: Path) -> None:
    answer = restored(sluis, lost)
    with Home.open(place).ledger.view() as session:
        revoked = session.exec(select(VendorKey).where(VendorKey.fingerprint == lost.revoked)).one()
        others = session.exec(select(VendorKey).where(VendorKey.vendor == "cito", VendorKey.fingerprint != lost.revoked)).all()
        assert revoked.revoked_at and [key.revoked_at for key in others] == [None]
        assert session.get_one(Vendor, "esis").removed_at and session.get_one(Vendor, "cito").removed_at is None
        assert all(key.revoked_at for key in session.exec(select(VendorKey).where(VendorKey.vendor == "esis")))
        assert all(credential.revoked_at for credential in session.exec(select(Credential)))
        bundles = session.exec(select(Bundle)).all()
        assert {(bundle.board, bundle.version) for bundle in bundles} == {("41001", 1), ("41001", 2)} and all(
            bundle.withdrawn_at for bundle in bundles
        )
    again = {row["because"]: row["of"] for row in answer["do_again"]}
    assert again["credential.issued"] == ["41002"] and again["bundle.published"] == [CAMPAIGN]


def test_objections_that_can_not_be_read_hold_up_linking_rather_than_count_for_none(sluis: Cli, lost: Lost, place: Path) -> None:
    answer = restored(sluis, lost)
    home = Home.open(place)
    with home.ledger.view() as session:
        assert newest_registers(session, CAMPAIGN) == {}
        (known,) = session.exec(select(Objection))  # the one that is known to be about somebody
        assert (known.bsn_mac, known.onderwijsnummer_mac) == (None, None)
        assert session.exec(select(ObjectionPerson.objection_id)).all() == [known.id], "left out of every linking, until the next register"
        assert {row.school: row.version for row in session.exec(select(ObjectionRegister).where(ObjectionRegister.source == "lost"))} == {
            "41AA00": 2, "41AB00": 1, "41BA00": 1
        }  # fmt: skip
        assert not any(version.live for version in session.exec(select(RegisterVersion).where(RegisterVersion.kind == "persons")))
    assert answer["registers_lost"] == 3
    refused = sluis.refused("objection", "add", "41AA00", "--campaign", CAMPAIGN, stdin="111222333\n")
    assert "register was lost" in refused
    register = place.parent / "bezwaren.csv"
    register.write_text("brin_vestiging;bsn;onderwijsnummer;ingediend_op;ingetrokken_op\n41AA00;;;;\n")
    assert sluis("objection", "import", register, "--campaign", CAMPAIGN)
    with home.ledger.view() as session:
        assert {school: row.version for school, row in newest_registers(session, CAMPAIGN).items()} == {"41AA00": 3}
        assert session.exec(select(ObjectionPerson)).all() == []


def test_a_delivery_to_the_restored_gateway_goes_the_whole_way(sluis: Cli, lost: Lost, place: Path) -> None:
    restored(sluis, lost)
    sluis("report", "build", "--campaign", CAMPAIGN)
    assert sluis("publish", "--campaign", CAMPAIGN, "--reason", "hersteld")["published"] == 0  # version 3: none is ever made twice
    with Home.open(place).ledger.view() as session:
        assert {bundle.version for bundle in session.exec(select(Bundle)) if not bundle.withdrawn_at} == {3}
    status, out, _ = sluis.run("--json", "doctor")
    finding = next(row for row in json.loads(out) if row["check"] == "register of persons")
    assert status == 3 and not finding["ok"] and "sluis register persons" in finding["do"]
    assert sluis("audit", "verify", "--against", lost.log / "checkpoint")["sound"]


def test_without_the_newest_log_everything_that_was_held_is_gone(sluis: Cli, lost: Lost, place: Path) -> None:
    answer = restored(sluis, lost, "--log-lost", "de schijf is kapot")
    home = work_on(place)
    assert check_home(home, at_rest=True) == []
    with home.ledger.view() as session:
        drops = {drop.file_name: (drop.state, drop.raw) for drop in session.exec(select(Drop))}
    assert drops == {
        "bezwaar.csv.age": ("expired", "erased"), "gekoppeld.csv.age": ("linked", "erased"), "wacht.csv.age": ("expired", "erased")
    }  # fmt: skip
    assert answer["do_again"][0]["because"] == "the log was lost" and answer["drops_erased"] == 1
    said = [entry for entry in map(Entry.from_bytes, home.audit_log().entries()) if entry.action == "home.restored"]
    assert said[0].detail["log_lost"] == "de schijf is kapot"


def test_keys_that_outlived_the_home_end_or_go_on(sluis: Cli, lost: Lost, place: Path, tmp_path: Path) -> None:
    """An old copy of mortal/: what the log ended dies there, and what the backup has no data for; objections can be read again."""
    mortal = tmp_path / "mortal"
    for name, data in lost.mortal_then.items():
        file = mortal / Path(name).relative_to(lost.home / "mortal")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
    held = {path.name for path in (mortal / "drops").iterdir()}
    assert held == {lost.drops["wacht.csv.age"]}
    answer = restored(sluis, lost, "--mortal", mortal)
    assert [path for path in mortal.rglob("*") if path.is_file()] == []
    home = Home.open(place)
    objection_key = next(data for name, data in lost.mortal_then.items() if "/objections/" in name)
    assert home.objection_key(CAMPAIGN) == Secret(objection_key) and home.mortal.names("drops") == []
    with home.ledger.view() as session:
        assert {school: row.version for school, row in newest_registers(session, CAMPAIGN).items()} == {"41AB00": 1}
    assert answer["mortal_keys_kept"] == 2 and answer["registers_lost"] == 2


def test_the_keys_of_a_home_that_is_there_are_left_alone(sluis: Cli, lost: Lost, place: Path) -> None:
    before = {path: path.read_bytes() for path in (lost.home / "mortal").rglob("*") if path.is_file()}
    said = sluis.refused(
        "restore", lost.backup, "--identity", lost.identity_file, "--log", lost.log, "--mortal", lost.home / "mortal", status=1
    )
    assert "Stop that home" in said and beside(place.parent) == set()
    assert before == {path: path.read_bytes() for path in (lost.home / "mortal").rglob("*") if path.is_file()}


@pytest.mark.postgres
def test_a_ledger_moves_to_postgresql_and_back(sluis: Cli, lost: Lost, place: Path, postgres_url: str, tmp_path: Path) -> None:
    restored(sluis, lost, "--database", postgres_url)
    assert not list(place.glob("sluis.sqlite*"))
    home = work_on(place)
    assert home.ledger.engine.dialect.name == "postgresql" and check_home(home, at_rest=True) == []
    again = tmp_path / "again.age"
    sluis("backup", "--to", again, "--recipient", lost.recipient)
    said = sluis.refused("--home", tmp_path / "second", "restore", again, "--identity", lost.identity_file, "--log", place / "audit")
    assert "holds a ledger already" in said and not (tmp_path / "second").exists()
    sluis("--home", tmp_path / "second", "restore", again, "--identity", lost.identity_file, "--log", place / "audit", "--database", "")
    second = work_on(tmp_path / "second")
    assert second.ledger.engine.dialect.name == "sqlite" and check_home(second, at_rest=True) == []
    home.ledger.engine.dispose()


# ---------------------------------------------------------------- how it is done


def test_what_a_killed_restore_left_is_no_home_and_goes(sluis: Cli, lost: Lost, place: Path) -> None:
    left = place.parent / ".home.restoring-abc"
    (left / "keys").mkdir(parents=True)
    (left / ".sluis.toml.restoring").touch()
    assert "no sluis.toml" in replace(sluis, home=left).refused("doctor", status=3)
    restored(sluis, lost)
    assert beside(place.parent) == {"home"}


def test_the_identity_may_come_from_another_program(sluis: Cli, lost: Lost, place: Path) -> None:
    text = lost.identity_file.read_text()
    sluis("restore", lost.backup, "--identity", "-", "--log", lost.log, stdin=text)
    assert Home.open(place).audit_log().size > 0
