"""The end of a campaign's objection registers: when, what goes, what stays, and that nothing in between reads as an end."""

import gc
import weakref
from datetime import date, timedelta
from pathlib import Path

import pytest
from sqlmodel import Session, func, select

from gateway.drop.lifecycle import Event
from gateway.store.home import Home
from gateway.store.invariants import check_home
from gateway.store.ledger import drop_of
from gateway.store.models import Campaign, Objection, ObjectionPerson, ObjectionRegister
from gateway.store.replay import rule_of
from gateway.worker import objection_end
from gateway.worker.erasure import erase
from gateway.worker.known import Known
from gateway.worker.objection_end import due_registers, end_registers, ends_from
from gateway.worker.serve import upkeep
from keys.secret import Secret
from policies.calendar import day_of
from policies.errors import NotFound
from tests.support.cli import BSN, OTHER_BSN, Cli, begin, days, deliver
from tests.support.ledgers import audit_rows
from tests.support.retention import logged, run

CAMPAIGN = ("--campaign", "2026-M")
#: a campaign that took its last delivery two days ago, in days from today
OVER = {"enrol_until": -40, "objections_from": -30, "objections_until": -10, "deliver_until": -2}


@pytest.fixture
def way(sluis: Cli, tmp_path: Path) -> Cli:
    """A campaign that is over, with two objections of which one is about a person of the results store."""
    begin(sluis, tmp_path, **OVER)
    for school, number in (("01AA00", BSN), ("01AB00", OTHER_BSN)):
        sluis("objection", "add", school, *CAMPAIGN, stdin=number)
    with sluis.opened().ledger.change("test") as change:
        objection = change.session.exec(select(Objection).limit(1)).one()
        change.session.add(ObjectionPerson(objection_id=objection.id, person="p1-somebody"))
    return sluis


def left(home: Home) -> tuple[int, int, bool]:
    """How many objections and persons the ledger still knows, and whether the key is there."""
    with home.ledger.view() as session:
        counts = [session.exec(select(func.count()).select_from(table)).one() for table in (Objection, ObjectionPerson)]
    return counts[0], counts[1], home.mortal.exists("objections", "2026-M")


def due(home: Home) -> list[str]:
    with home.ledger.view() as session:
        return due_registers(session, day_of(home.clock()))


def macs(home: Home) -> list[bytes]:
    with home.ledger.view() as session:
        return [mac for row in session.exec(select(Objection)) for mac in (row.bsn_mac, row.onderwijsnummer_mac) if mac]


def test_nothing_tells_any_more_who_objected(way: Cli) -> None:
    home = way.opened()
    kept, database = macs(home), home.path / "sluis.sqlite"
    assert len(kept) == 2 and all(mac in database.read_bytes() + _wal(home) for mac in kept), "the search finds what is there"
    [key] = [row for row in way("retention", "status")["material"] if row["kind"] == "objection key"]
    with home.ledger.view() as session:
        assert key["state"] == f"until {ends_from(session.get_one(Campaign, '2026-M'))} and the end of its last drop"
    assert run(way, status=0)[0]["objection_registers_ended"] == ["2026-M"]
    assert left(home) == (0, 0, False)
    on_disk = database.read_bytes() + _wal(home)
    assert not any(mac in on_disk for mac in kept) and b"p1-somebody" not in on_disk
    assert [row for row in way("key", "list", "--every") if row["kind"] == "objections"] == []
    assert [row for row in way("retention", "status")["material"] if row["kind"] == "objection key"] == []
    with pytest.raises(NotFound):
        home.objection_key("2026-M")


def _wal(home: Home) -> bytes:
    wal = home.path / "sluis.sqlite-wal"
    return wal.read_bytes() if wal.exists() else b""


def test_how_many_objected_stays_a_fact_and_the_end_is_in_the_log(way: Cli) -> None:
    home = way.opened()
    run(way, status=0)
    with home.ledger.view() as session:
        registers = {(row.school, row.version, row.objections) for row in session.exec(select(ObjectionRegister))}
        assert registers == {("01AA00", 1, 1), ("01AB00", 1, 1)}
        assert session.get_one(Campaign, "2026-M").objections_ended_at is not None
    assert logged(home, "objections/2026-M") == ["key.destruction-begun", "key.destroyed"]
    [ended] = audit_rows(home.ledger, "objections.ended")
    assert (ended.object, ended.detail, ended.actor) == ("2026-M", {"objections": 2}, "retention")
    size = home.audit_log().size
    assert run(way, status=0)[0]["objection_registers_ended"] == [] and home.audit_log().size == size


def test_what_comes_back_after_the_end_is_a_contradiction(way: Cli) -> None:
    home = way.opened()
    with home.ledger.view() as session:
        register = session.exec(select(ObjectionRegister.id)).first()
    run(way, status=0)
    assert contradictions(home) == []
    home.mortal.create("objections", "2026-M", Secret(bytes(32)))
    assert contradictions(home) == ["the registers of 2026-M have ended and their key is there"]
    home.mortal.destroy("objections", "2026-M")
    with home.ledger.change("test") as change:
        change.session.add(Objection(register_id=register, bsn_mac=bytes(16), filed_on=day_of(change.now)))
    assert contradictions(home) == ["the registers of 2026-M have ended and objections of them are there"]


def contradictions(home: Home) -> list[str]:
    return [broken.what for broken in check_home(home) if broken.invariant == "objections-still-there"]


def test_the_worker_ends_them_too(way: Cli) -> None:
    upkeep(way.opened())
    assert left(way.opened()) == (0, 0, False)


@pytest.mark.parametrize(("last_day", "is_due"), [(-2, True), (-1, False), (5, False)])
def test_not_before_a_day_after_the_last_delivery(sluis: Cli, tmp_path: Path, last_day: int, is_due: bool) -> None:
    begin(sluis, tmp_path, **{**OVER, "deliver_until": last_day})
    assert due(sluis.opened()) == (["2026-M"] if is_due else [])


@pytest.mark.parametrize("campaign", ["2026-M", None])
def test_not_while_a_drop_is_held_of_which_it_may_be_the_register(way: Cli, campaign: str | None) -> None:
    """None: one that was not read yet, of which nobody knows whose it is."""
    home = way.opened()
    drop = deliver(home, 1, age_days=3, campaign=campaign)
    assert due(home) == []
    with home.ledger.change("worker") as change:
        change.advance(drop_of(change.session, drop), Event.CHECKS_FAILED)
    erase(home, drop)
    assert due(home) == ["2026-M"]


def test_a_later_campaigns_drop_holds_it_up_no_longer(way: Cli) -> None:
    way("campaign", "create", "2026-E", *days())
    home = way.opened()
    deliver(home, 1, campaign="2026-E")
    assert due(home) == ["2026-M"]
    run(way, status=0)
    assert home.mortal.names("objections") == ["2026-E"]


def test_a_crash_after_the_key_is_gone_is_made_good(way: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    home = way.opened()
    monkeypatch.setattr(objection_end, "_end", _dies)
    ended = end_registers(home)
    assert ended.gone == [] and set(ended.failed) == {"objections/2026-M"}
    assert left(home) == (2, 1, False)
    monkeypatch.undo()
    assert end_registers(home).gone == ["2026-M"]
    assert left(home) == (0, 0, False)


def test_a_round_whose_end_has_begun_is_not_opened_again(way: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    home = way.opened()
    monkeypatch.setattr(objection_end, "_end", _dies)
    end_registers(home)
    tomorrow = (day_of(home.clock()) + timedelta(days=1)).isoformat()
    assert "This round is over" in way.refused("campaign", "change", "2026-M", "--deliver-until", tomorrow)


def test_a_round_that_is_postponed_meanwhile_keeps_its_key(way: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    home = way.opened()
    look = objection_end.due_registers

    def postponed_after_a_look(session: Session, today: date) -> list[str]:
        found = look(session, today)
        monkeypatch.undo()
        way("campaign", "change", "2026-M", "--deliver-until", (today + timedelta(days=1)).isoformat())
        return found

    monkeypatch.setattr(objection_end, "due_registers", postponed_after_a_look)
    ended = end_registers(home)
    assert (ended.gone, ended.failed) == ([], {}) and left(home) == (2, 1, True)


def test_the_worker_lets_go_of_what_it_knew_by_that_key(way: Cli) -> None:
    way("campaign", "create", "2026-E", *days())
    home = way.opened()
    known = Known(home)
    with home.ledger.view() as session:
        read = weakref.ref(known.objections(session, "2026-M"))
        assert read() is known.objections(session, "2026-M")
    end_registers(home)
    with home.ledger.view() as session:
        known.objections(session, "2026-E")
    gc.collect()
    assert read() is None


def test_a_later_objection_is_told_of_and_not_kept(way: Cli) -> None:
    run(way, status=0)
    answer = way("objection", "add", "01AA00", *CAMPAIGN, stdin=BSN)
    assert answer["register_version"] is None
    home = way.opened()
    assert left(home) == (0, 0, False)
    [told] = audit_rows(home.ledger, "objections.late")
    assert (told.object, told.detail["campaign"]) == ("01AA00", "2026-M")
    assert BSN not in str(told.detail) and rule_of("objections.late").again.startswith("sluis objection add")


def _dies(*_: object) -> None:
    raise OSError("the machine stops")


def test_a_key_does_not_go_before_the_log_says_so(way: Cli) -> None:
    home = way.opened()
    obstacle = home.path / "audit" / "checkpoint.next"
    obstacle.mkdir()
    assert end_registers(home).gone == []
    assert left(home) == (2, 1, True)
    obstacle.rmdir()
    assert end_registers(home).gone == ["2026-M"]


def test_one_that_can_not_end_holds_up_no_other(sluis: Cli, tmp_path: Path) -> None:
    begin(sluis, tmp_path, **OVER)
    sluis("campaign", "create", "2025-E", *days(**{name: day - 100 for name, day in OVER.items()}))
    stuck = sluis.opened().mortal.kind_folder("objections") / "2025-E"
    stuck.unlink()
    stuck.mkdir()  # nothing overwrites or unlinks a folder
    done, said = run(sluis)
    assert done["failed"] == {"objections/2025-E": "EISDIR"} and done["objection_registers_ended"] == ["2026-M"]
    assert "1 erasures failed and are tried again (EISDIR)" in said
    assert due(sluis.opened()) == ["2025-E"]


def test_an_objection_that_is_withdrawn_after_the_end_is_told_so(way: Cli) -> None:
    run(way, status=0)
    said = way.refused("objection", "withdraw", "01AA00", *CAMPAIGN, stdin=BSN)
    assert "registers have ended" in said and BSN not in said
