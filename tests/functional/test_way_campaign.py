"""The gates in time: what is linked when, what ends when, and what the log can prove of it.

The stages are the worker's own, the door is the intake's; the clock is the test's. 10 February 2026 is the day on which everything
begins; a day ends at 23:00 in UTC.
"""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from audit import certificate, document
from audit.tiles import read_bundle
from gateway.checks.objections import ObjectionRow
from gateway.store import objections as objections_of
from gateway.store.campaigns import enrol
from gateway.store.models import Drop, RegisterVersion
from gateway.store.parts import LOCK
from gateway.worker.objections import ReadObjections
from gateway.worker.reading import Work
from gateway.worker.register import PersonRegister
from keys.secret import Secret
from policies.errors import NotFound
from tests.support.gateway import CAMPAIGN, Calendar, Staged
from tests.support.pupils import PER_SCHOOL, Pupil, delivery, objections

pytestmark = pytest.mark.slow

Make = Callable[..., Staged]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    """Makes a place with a campaign of these days; every place is stopped at the end."""
    made: list[Staged] = []

    def place(**days: int) -> Staged:
        folder = tmp_path / f"place-{len(made)}"
        folder.mkdir()
        made.append(Staged(folder, Calendar(**days)))
        return made[-1]

    yield place
    for one in made:
        one.stop()


def deliver(place: Staged, *schools: str, name: str = "levering.csv.age", vendor: str = "cito") -> Drop:
    return place.deliver(name, place.sealed(delivery(place.at(*schools), place.today)), vendor=vendor)


def hand_in(place: Staged, *schools: str, objecting: list[Pupil] | None = None, withdrawn: list[Pupil] | None = None, name: str) -> Drop:
    """The objection registers of these schools, by SFTP."""
    register = objections(schools, objecting or [], place.today, withdrawn or [])
    drop = place.deliver(name, place.sealed(register), "bezwaren")
    assert drop.state == "registered", drop.findings
    return drop


def people(place: Staged, drop: Drop) -> dict[str, int]:
    """Whose results a drop left, by the register's own person id, and how many: only the authority's key can tell."""
    part = place.parts()[drop.id]
    frame = pl.read_parquet(place.home.results / part.file)
    assert frame.height == part.rows
    domain = place.home.pseudonyms("person")
    return {domain.reveal(name): count for name, count in frame.group_by("persoon").len().iter_rows()}


def everybody(pupils: list[Pupil]) -> dict[str, int]:
    return {pupil.person: 12 for pupil in pupils}


def instant(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


# ---------------------------------------------------------------- when it is linked


def test_nothing_is_linked_before_the_objection_window_closes(make: Make) -> None:
    place = make(objections_until=3)
    hand_in(place, "41AA00", name="bezwaar.csv.age")
    drop = deliver(place, "41AA00")
    closes = instant("2026-02-13T23:00:00")
    for now in (place.clock.now, closes - timedelta(days=1), closes - timedelta(seconds=1)):
        place.at_time(now)
        assert place.receipt(drop)["state"] == "accepted"
        assert place.receipt(drop)["waiting_for"] == ["objection-window"]
        assert place.parts() == {}
        assert {path.name for path in place.home.results.rglob("*")} <= {LOCK}
    place.at_time(closes)
    receipt = place.receipt(drop)
    assert (receipt["state"], receipt["waiting_for"]) == ("linked", [])
    assert receipt["linked_at"] == "2026-02-13T23:00:00Z"
    assert people(place, drop) == everybody(place.at("41AA00"))


def test_an_objection_on_the_last_evening_counts(make: Make) -> None:
    """The drop was accepted with the pupil in it; the register of the last minute takes the pupil out."""
    place = make(objections_until=3)
    hand_in(place, "41AA00", name="leeg.csv.age")
    drop = deliver(place, "41AA00")
    assert drop.counts["objected_pupils"] == 0
    first, second, *others = place.at("41AA00")
    place.at_time(instant("2026-02-13T22:58:00"))
    hand_in(place, "41AA00", objecting=[first, second], name="laat.csv.age")
    place.at_time(instant("2026-02-13T23:00:00"))
    assert people(place, drop) == everybody(others)
    assert place.receipt(place.drop("levering.csv.age"))["counts"]["objected_pupils"] == 2
    assert place.receipt(place.drop("levering.csv.age"))["objection_register"] == {"41AA00": 2}


class LateObjection(PersonRegister):
    """The register of persons; while the linker asks for it, a parent's objection comes in."""

    def __init__(self, place: Staged, pupil: Pupil) -> None:
        super().__init__(place.home)
        self._place, self._pupil = place, pupil
        self.asked = 0

    def load(self, version: RegisterVersion) -> tuple[pl.DataFrame, Secret]:
        self.asked += 1
        if self.asked == 1:
            row = ObjectionRow(int(self._pupil.bsn), None, self._place.today)
            read = ReadObjections(self._place.home, {self._pupil.school: [row]})
            with self._place.home.ledger.change("administrator") as change:
                objections_of.hand_in(change, CAMPAIGN, read.keyed(change, CAMPAIGN, [self._pupil.school]), source="cli")
        return super().load(version)


def test_an_objection_that_comes_in_while_a_drop_is_linked_holds(make: Make) -> None:
    """The objections were read already, the results are not the ledger's yet: the drop is read again."""
    place = make()
    drop = deliver(place, "41AA00")
    first, *others = place.at("41AA00")
    late = LateObjection(place, first)
    place.work = Work(place.home, place.work.rules, late)
    hand_in(place, "41AA00", name="leeg.csv.age")
    assert late.asked == 2
    assert people(place, drop) == everybody(others)
    assert place.receipt(place.drop("levering.csv.age"))["objection_register"] == {"41AA00": 2}


def test_a_school_waits_for_its_register_and_an_empty_one_counts(make: Make) -> None:
    place = make()
    drop = deliver(place, "41AA00", "41AB00")
    assert place.receipt(drop)["waiting_for"] == ["objection-register 41AA00", "objection-register 41AB00"]
    hand_in(place, "41AB00", name="een.csv.age")
    assert place.receipt(drop)["waiting_for"] == ["objection-register 41AA00"]
    place.at_time(place.clock.now + timedelta(days=12))
    assert place.drop("levering.csv.age").state == "accepted"
    assert place.parts() == {}
    hand_in(place, "41AA00", name="twee.csv.age")
    assert place.drop("levering.csv.age").state == "linked"
    assert people(place, drop) == everybody(place.at("41AA00", "41AB00"))


def test_one_vendors_register_does_not_speak_for_anothers_school(make: Make) -> None:
    place = make()
    drop = deliver(place, "41BA00", vendor="esis")
    refused = place.deliver("bezwaar.csv.age", place.sealed(objections(["41BA00"], [], place.today)), "bezwaren", vendor="cito")
    assert refused.state == "rejected"
    assert place.drop("levering.csv.age").state == "accepted"
    assert place.receipt(drop)["waiting_for"] == ["objection-register 41BA00"]


def test_at_the_last_call_only_schools_with_a_register_are_linked(make: Make) -> None:
    place = make()
    received = place.clock.now
    drop = deliver(place, "41AA00", "41AB00")
    hand_in(place, "41AB00", objecting=place.at("41AB00")[:1], name="een.csv.age")
    place.at_time(received + timedelta(days=19, hours=23))
    assert place.drop("levering.csv.age").state == "accepted"
    place.at_time(received + timedelta(days=20, minutes=1))
    assert people(place, drop) == everybody(place.at("41AB00")[1:])
    receipt = place.receipt(drop)
    assert (receipt["state"], receipt["objection_register"]) == ("linked", {"41AA00": None, "41AB00": 1})
    counts = place.drop("levering.csv.age").counts
    assert (counts["linking_no_register"], counts["linking_pupils"]) == (PER_SCHOOL, PER_SCHOOL - 1)
    assert not place.home.blob(drop.id).exists()
    hand_in(place, "41AA00", name="te-laat.csv.age")
    assert people(place, drop) == everybody(place.at("41AB00")[1:])


def test_objecting_pupils_go_no_further_whichever_number_they_have(make: Make) -> None:
    place = make()
    at = place.at("41AA00")
    by_bsn, by_onderwijsnummer, withdrawn = at[0], at[5], at[1]
    assert by_onderwijsnummer.bsn == ""
    hand_in(place, "41AA00", objecting=[by_bsn, by_onderwijsnummer], withdrawn=[withdrawn], name="bezwaar.csv.age")
    drop = deliver(place, "41AA00")
    found = people(place, drop)
    assert by_bsn.person not in found
    assert by_onderwijsnummer.person not in found
    assert found == everybody([pupil for pupil in at if pupil not in (by_bsn, by_onderwijsnummer)])
    receipt = place.receipt(drop)
    assert receipt["counts"]["objected_pupils"] == 2
    assert [(finding["rule"], finding["row"]) for finding in receipt["findings"]] == [("objecting-pupils", None)]


def test_consent_that_ended_while_a_drop_waited_ends_the_drop(make: Make) -> None:
    place = make(objections_until=3)
    hand_in(place, "41AA00", name="bezwaar.csv.age")
    drop = deliver(place, "41AA00")
    with place.home.ledger.change("test") as change:
        enrol(change, "41001", CAMPAIGN, "esis", None, None)
    place.at_time(instant("2026-02-13T23:00:00"))
    receipt = place.receipt(place.drop("levering.csv.age"))
    assert (receipt["state"], receipt["waiting_for"]) == ("rejected", [])
    assert [finding["rule"] for finding in receipt["findings"]] == ["wrong-board"]
    assert receipt["erased_at"]
    assert place.parts() == {}
    assert not place.home.blob(drop.id).exists()


# ---------------------------------------------------------------- when it ends


def test_a_drop_that_waits_in_vain_expires_and_is_erased(make: Make) -> None:
    place = make(deliver_until=30)
    day, received = place.clock.now.date(), place.clock.now
    drop = deliver(place, "41AA00")
    place.at_time(received + timedelta(days=20, hours=23, minutes=59))
    assert (place.drop("levering.csv.age").state, place.drop("levering.csv.age").raw) == ("accepted", "held")
    assert day in place.home.epochs.days()
    place.at_time(received + timedelta(days=21, minutes=1))
    receipt = place.receipt(place.drop("levering.csv.age"))
    assert (receipt["state"], receipt["waiting_for"], receipt["linked_at"]) == ("expired", ["objection-register 41AA00"], None)
    assert receipt["erased_at"] == "2026-03-03T10:01:00Z"
    (why,) = receipt["findings"]
    assert why["rule"] == "window-ended" and "het bezwaarregister van 41AA00 ontbrak nog. Tot en met " in why["message"]
    assert f"window-ended: {why['message']}" in place.read(f"{drop.id}.txt").decode()
    assert "Wacht:" not in place.read(f"{drop.id}.txt").decode()
    assert not place.home.blob(drop.id).exists()
    assert not place.home.mortal.exists("drops", drop.id)
    assert day not in place.home.epochs.days()
    with pytest.raises(NotFound):
        place.home.epochs.identity(day)
    hand_in(place, "41AA00", name="te-laat.csv.age")
    assert place.drop("levering.csv.age").state == "expired"
    assert place.parts() == {}


def test_the_days_key_ends_with_its_last_drop(make: Make) -> None:
    place = make()
    day = place.clock.now.date()
    deliver(place, "41AA00")
    place.at_time(place.clock.now + timedelta(days=3))
    assert day in place.home.epochs.days()  # a drop of that day is still held
    hand_in(place, "41AA00", name="bezwaar.csv.age")
    place.at_time(place.clock.now + timedelta(minutes=6))
    assert day not in place.home.epochs.days()
    assert "epoch.destroyed" in [row.action for row in place.audited(day.isoformat())]


def test_what_was_cut_short_is_sent_again_under_its_name(make: Make) -> None:
    place = make()
    hand_in(place, "41AA00", name="bezwaar.csv.age")
    whole = place.sealed(delivery(place.at("41AA00"), place.today))
    cut = place.deliver("levering.csv.age", whole[:-1])
    assert place.receipt(cut)["state"] == "incomplete"
    assert place.home.blob(cut.id).exists()
    drop = place.deliver("levering.csv.age", whole)
    assert drop.id != cut.id
    assert place.receipt(drop)["state"] == "linked"
    assert people(place, drop) == everybody(place.at("41AA00"))
    before = place.receipt(cut)
    assert (before["state"], bool(before["erased_at"])) == ("expired", True)
    assert not place.home.blob(cut.id).exists()
    with pytest.raises(OSError):
        place.deliver("levering.csv.age", whole)


def test_what_was_cut_short_and_never_sent_again_expires_too(make: Make) -> None:
    place = make()
    received = place.clock.now
    cut = place.deliver("levering.csv.age", place.sealed(delivery(place.at("41AA00"), place.today))[:-1])
    place.at_time(received + timedelta(days=21, seconds=1))
    assert (place.receipt(cut)["state"], bool(place.receipt(cut)["erased_at"])) == ("expired", True)
    assert not place.home.blob(cut.id).exists()


# ---------------------------------------------------------------- what can be proved


def check(file: Path, key: Path) -> subprocess.CompletedProcess[str]:
    """`sluis audit check`: without a home, as a vendor would."""
    command = [sys.executable, "-m", "gateway.cli", "--json", "audit", "check", str(file), "--key", str(key)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


def test_a_certificate_is_checked_with_the_public_key_alone(make: Make, tmp_path: Path) -> None:
    place = make()
    hand_in(place, "41AA00", name="bezwaar.csv.age")
    drop = deliver(place, "41AA00")
    key = place.home.public / "sluis.vkey.txt"
    name = place.receipt(drop)["certificate"]
    file = tmp_path / "certificaat.json"
    file.write_bytes(place.read(name))
    checked = check(file, key)
    assert checked.returncode == 0, checked.stderr
    assert json.loads(checked.stdout)["drop"] == drop.id
    told = certificate.check(file.read_bytes(), [place.home.audit_verifier()])
    assert drop.sha256 in str(told)
    changed: dict[str, Any] = document.read(file.read_bytes())
    changed["sha256"] = "0" * 64
    file.write_bytes(document.write(changed))
    forged = check(file, key)
    assert forged.returncode == 3
    assert "Traceback" not in forged.stderr
    proved = tmp_path / "bewijs.json"
    place.sluis("audit", "prove", drop.id, "--to", proved)
    assert check(proved, key).returncode == 0


def test_the_log_is_sound_at_the_end_and_names_the_entry_that_was_touched(make: Make, tmp_path: Path) -> None:
    place = make()
    hand_in(place, "41AA00", objecting=place.at("41AA00")[:1], name="bezwaar.csv.age")
    deliver(place, "41AA00")
    deliver(place, "41AB00", name="nog-een.csv.age")
    place.at_time(place.clock.now + timedelta(days=22))
    sound = place.sluis("audit", "verify")
    assert (sound["sound"], sound["first_bad"]) == (True, None)
    entries = list(place.home.audit_log().entries())
    assert sound["entries"] == len(entries) > 40
    touched = next(index for index, entry in enumerate(entries) if b'"drop.linked"' in entry)
    [bundle] = (place.home.path / "audit" / "tile" / "entries").rglob(f"*.p/{len(entries)}")
    data = bundle.read_bytes()
    at = data.index(entries[touched]) + entries[touched].index(b"drop.linked")
    broken = tmp_path / "broken"
    shutil.copytree(place.home.path, broken, symlinks=True)
    copy = broken / bundle.relative_to(place.home.path)
    copy.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
    assert read_bundle(copy.read_bytes())[0][touched] != entries[touched]
    command = [sys.executable, "-m", "gateway.cli", "--home", str(broken), "--json", "audit", "verify"]
    verdict = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert verdict.returncode == 3
    told = json.loads(verdict.stdout)
    assert (told["sound"], told["first_bad"]) == (False, touched)
    assert "Traceback" not in verdict.stderr
