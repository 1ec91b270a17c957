"""The log by command: filters, its proof, and a certificate that can be checked without the home."""

import json
import shutil
import time
from datetime import date, datetime, timedelta
from pathlib import Path

import pytest
from pypdf import PdfReader
from sqlmodel import select

from audit import note
from audit.log import AuditLog
from gateway.store.ledger import drop_of
from gateway.store.models import DropSchool, Mandate
from policies.calendar import AMSTERDAM
from tests.support.cli import Cli, begin, deliver

TODAY = date.today()


@pytest.fixture
def way(sluis: Cli, tmp_path: Path) -> Cli:
    begin(sluis, tmp_path)
    return sluis


def tiles(sluis: Cli) -> list[Path]:
    return sorted(path for path in (sluis.home / "audit").rglob("*") if path.is_file() and "entries" in path.parts)


def test_entries_are_shown_oldest_first_with_who_did_what(way: Cli) -> None:
    rows = way("audit", "show")
    assert [row["index"] for row in rows] == list(range(len(rows)))
    assert [row["action"] for row in rows] == [
        "home.created", "register.imported", "vendor.added", "campaign.created", "enrolment.recorded",
    ]  # fmt: skip
    assert {"time", "actor", "origin", "object", "result", "detail"} <= rows[0].keys()
    status, out, _ = way.run("audit", "show")
    assert status == 0 and "vendor:cito" in out


def test_filters(way: Cli) -> None:
    def actions(*options: str) -> list[str]:
        return [row["action"] for row in way("audit", "show", *options)]

    drop = deliver(way.opened())
    assert actions("--object", drop) == ["drop.received"]
    assert actions("--object", "2026-M") == ["campaign.created", "enrolment.recorded"], "also where it is mentioned"
    assert actions("--actor", "intake") == ["drop.received"]
    assert actions("--action", "enrolment.") == ["enrolment.recorded"]
    assert actions("--action", "campaign", "--actor", "intake") == []
    everything = actions()
    around = [(TODAY + timedelta(days=days)).isoformat() for days in (-1, 1)]  # a day is Amsterdam's: never today's own edge
    assert actions("--since", around[0], "--until", around[1]) == everything
    assert actions("--since", (TODAY + timedelta(days=2)).isoformat()) == actions("--until", (TODAY - timedelta(days=2)).isoformat()) == []
    way.refused("audit", "show", "--since", "gisteren", status=2)


def test_moments_as_well_as_days(way: Cli) -> None:
    rows = way("audit", "show")
    at = [datetime.fromisoformat(row["time"]) for row in rows]
    assert way("audit", "show", "--since", at[2].isoformat()) == [row for row, time in zip(rows, at, strict=True) if time >= at[2]] != rows
    assert way("audit", "show", "--until", at[2].isoformat()) == [row for row, time in zip(rows, at, strict=True) if time <= at[2]] != rows
    local = at[2].astimezone(AMSTERDAM)
    assert way("audit", "show", "--since", local.replace(tzinfo=None).isoformat()) == rows[at.index(at[2]) :], "without a zone: Amsterdam's"
    day = local.date()
    on_that_day = [row for row, time in zip(rows, at, strict=True) if time.astimezone(AMSTERDAM).date() == day]
    assert way("audit", "show", "--since", day.isoformat(), "--until", day.isoformat()) == on_that_day
    assert way("audit", "show", "--until", (day - timedelta(days=1)).isoformat()) == rows[: rows.index(on_that_day[0])]


def test_a_time_in_the_table_can_be_given_back_as_an_option(way: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Pacific/Auckland")  # where the machine stands does not matter
    time.tzset()
    try:
        lines = way.run("audit", "show")[1].splitlines()[1:]
        first = lines[0].split()
        told = f"{first[1]} {first[2]}"
        assert told == datetime.fromisoformat(way("audit", "show")[0]["time"]).astimezone(AMSTERDAM).strftime("%Y-%m-%d %H:%M:%S")
        assert way("audit", "show", "--since", told) == way("audit", "show")
        drop = deliver(way.opened())
        (line,) = way("drop", "show", drop)["history"]
        (row,) = way("audit", "show", "--object", drop)
        assert datetime.fromisoformat(line[:19]).replace(tzinfo=AMSTERDAM) == datetime.fromisoformat(row["time"]).replace(microsecond=0)
    finally:
        monkeypatch.undo()
        time.tzset()


def test_the_timeline_of_a_drop_a_vendor_a_school_and_a_board(way: Cli) -> None:
    """As a breach has to be answered: what happened to what, when, by whom."""
    home = way.opened()
    mine, other = deliver(home, 1), deliver(home, 2, vendor="boom")
    with home.ledger.change("worker") as change:
        change.session.add(DropSchool(drop=mine, school="01AA00", rows=3, pupils=1))
        change.session.add(DropSchool(drop=other, school="02BB00", rows=3, pupils=1))
    way("drop", "erase", mine, "--reason", "x")

    def told(*options: str) -> list[tuple[str, str]]:
        return [(row["action"], row["object"]) for row in way("audit", "show", *options)]

    assert {object for _, object in told("--drop", mine)} == {mine}
    assert {action for action, _ in told("--drop", mine)} >= {"drop.received", "drop.erasure-verified"}
    with home.ledger.change("worker") as change:
        day = drop_of(change.session, mine).epoch.isoformat()
        change.audit("epoch.destroyed", day)
    assert told("--drop", mine)[-1] == ("epoch.destroyed", day), "the end of its day's key is its end too"
    assert ("vendor.added", "vendor:cito") in told("--vendor", "cito") and ("drop.received", mine) in told("--vendor", "cito")
    assert {object for _, object in told("--vendor", "boom")} == {other}
    assert {object for _, object in told("--school", "01AA00")} == {mine}
    assert {object for _, object in told("--board", "10002")} == {other}
    assert ("drop.received", mine) in told("--board", "10001") and ("enrolment.recorded", "10001") in told("--board", "10001")
    assert told("--vendor", "cito", "--board", "10002") == []
    assert {object for _, object in told("--vendor", "cito", "--school", "01AA00")} == {mine}
    for option, name in (("--drop", "d20260101-aaaaaaaaaaaaaaaa"), ("--vendor", "nobody"), ("--school", "99ZZ99"), ("--board", "99999")):
        way.refused("audit", "show", option, name)


def test_a_school_counts_for_the_board_it_was_of(way: Cli) -> None:
    home = way.opened()
    drop = deliver(home)
    with home.ledger.change("worker") as change:
        change.session.add(DropSchool(drop=drop, school="01AA00", rows=3, pupils=1))
        mandate = change.session.exec(select(Mandate).where(Mandate.school == "01AA00")).one()
        mandate.valid_until = TODAY - timedelta(days=7)
        change.session.add(Mandate(school="01AA00", board="10002", valid_from=TODAY - timedelta(days=7)))
    assert drop in {row["object"] for row in way("audit", "show", "--board", "10002")}
    assert drop not in {row["object"] for row in way("audit", "show", "--board", "10001")}


def test_the_log_proves_itself_and_names_the_first_entry_that_was_touched(way: Cli) -> None:
    sound = way("audit", "verify")
    assert sound["sound"] and sound["entries"] == 5 and sound["first_bad"] is None
    (tile,) = tiles(way)[-1:]
    data = bytearray(tile.read_bytes())
    data[data.index(b"vendor.added")] ^= 1
    tile.write_bytes(bytes(data))
    status, out, err = way.run("--json", "audit", "verify")
    assert status == 3 and "sluis: The audit log is not what was signed." in err
    verdict = json.loads(out)
    assert not verdict["sound"] and verdict["first_bad"] == 2


def another_past(way: Cli) -> None:
    """What an operator with the signing key can do: the log once more, with another last entry, and signed anew."""
    log = way.opened().audit_log()
    kept = list(log.entries())[:-1]
    shutil.rmtree(log.folder)
    log.folder.mkdir()
    log.append([*kept, kept[-1]])


def test_todays_log_extends_what_was_kept_elsewhere(way: Cli, tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    kept.mkdir()
    first = way("audit", "checkpoint", "--to", kept)
    assert first["entries"] == 5 and way("audit", "checkpoint", "--to", kept) == first, "the same state is kept once"
    deliver(way.opened())
    assert way("audit", "checkpoint", "--to", kept)["entries"] == 6
    assert way("audit", "checkpoint", "--to", tmp_path / "one")["checkpoint"] == str(tmp_path / "one")
    status, printed, _ = way.run("audit", "checkpoint")
    assert status == 0 and printed == (tmp_path / "one").read_text()
    assert sorted(path.name for path in kept.iterdir()) == ["000000000005.checkpoint", "000000000006.checkpoint"]
    found = way("audit", "verify", "--against", kept, "--against", tmp_path / "one")
    assert (found["sound"], found["older_checkpoints"], found["extended"], found["not_extended"]) == (True, 3, 3, [])


def test_a_past_that_was_rewritten_and_signed_again_shows_against_a_checkpoint(way: Cli, tmp_path: Path) -> None:
    way("audit", "checkpoint", "--to", tmp_path / "kept")
    another_past(way)
    assert AuditLog(way.home / "audit", way.opened().audit_origin).verify(way.opened().audit_verifier()).sound, "by itself it looks whole"
    status, out, err = way.run("--json", "audit", "verify", "--against", tmp_path / "kept")
    assert status == 3 and "does not extend a checkpoint that was kept elsewhere" in err
    assert json.loads(out)["not_extended"] == [str(tmp_path / "kept")]


def test_a_checkpoint_that_is_none_of_this_log(way: Cli, tmp_path: Path) -> None:
    file, empty = tmp_path / "kept", tmp_path / "empty"
    way("audit", "checkpoint", "--to", file)
    file.write_bytes(file.read_bytes().replace(b"\n5\n", b"\n4\n"))
    way.refused("audit", "verify", "--against", file, status=3)
    empty.mkdir()
    assert "no checkpoint to compare with" in way.refused("audit", "verify", "--against", empty)
    way.refused("audit", "verify", "--against", tmp_path / "nowhere", status=2)


def test_a_log_that_was_cut_off_is_found(way: Cli) -> None:
    way("audit", "verify")
    shutil.rmtree(tiles(way)[0].parent)
    status, _, err = way.run("audit", "verify")
    assert status == 3 and "Traceback" not in err


def test_a_certificate_is_made_checked_and_refused_once_touched(way: Cli, tmp_path: Path) -> None:
    drop = deliver(way.opened())
    assert "not erased yet" in way.refused("audit", "prove", drop)
    way("drop", "erase", drop, "--reason", "x")
    file, key = tmp_path / "certificaat.json", tmp_path / "key.txt"
    assert way("audit", "prove", drop, "--to", file)["certificate"] == str(file)
    key.write_text((way.home / "public" / "sluis.vkey.txt").read_text())
    receipt = tmp_path / "receipt.json"
    receipt.write_text((way.home / "receipts" / "cito" / f"{drop}.json").read_text())
    way.home = tmp_path / "no home is needed"
    assert way("audit", "check", file, "--key", key)["drop"] == drop
    assert way("audit", "check", receipt, "--key", key)["schema"] == "sluis-receipt-1"
    for path in (file, receipt):
        path.write_text(path.read_text().replace(drop, drop[:-1] + ("b" if drop[-1] != "b" else "c")))
        status, out, err = way.run("audit", "check", path, "--key", key)
        assert status in (1, 3) and out == "" and "Traceback" not in err, err


def test_a_certificate_on_standard_output_is_the_same_document(way: Cli) -> None:
    drop = deliver(way.opened())
    way("drop", "erase", drop, "--reason", "x")
    status, out, _ = way.run("audit", "prove", drop)
    assert status == 0 and json.loads(out) == way("audit", "prove", drop)


def test_a_certificate_is_a_page_too_and_the_page_holds_it(way: Cli, tmp_path: Path) -> None:
    drop = deliver(way.opened())
    way("drop", "erase", drop, "--reason", "x")
    file, page = tmp_path / "certificaat.json", tmp_path / "certificaat.pdf"
    told = way("audit", "prove", drop, "--to", file, "--pdf", page)
    assert (told["certificate"], told["pdf"]) == (str(file), str(page))
    assert PdfReader(page).attachments[f"{drop}.certificaat.json"] == [file.read_bytes()]
    text = " ".join(one.extract_text() for one in PdfReader(page).pages)
    assert drop in text and "in opdracht van een beheerder" in text
    page.unlink()
    alone = way("audit", "prove", drop, "--pdf", page)
    assert "certificate" not in alone and page.read_bytes().startswith(b"%PDF-")
    assert "the page for people" in way.refused("audit", "check", page, "--key", way.home / "public" / "sluis.vkey.txt", status=2)


def test_what_was_checked_is_a_signed_note_for_other_tools(way: Cli, tmp_path: Path) -> None:
    drop = deliver(way.opened())
    way("drop", "erase", drop, "--reason", "x")
    key, written = way.home / "public" / "sluis.vkey.txt", tmp_path / "note"
    for name in (f"{drop}.json", f"{drop}.certificaat.json"):
        checked = way("audit", "check", way.home / "receipts" / "cito" / name, "--key", key, "--note", written)
        text = json.loads(note.read(written.read_bytes(), [way.opened().audit_verifier()]))
        assert (checked["drop"], checked["sha256"]) == (text["drop"], text["sha256"]) == (drop, checked["sha256"])
        assert checked["erased_at"] and checked["bytes"] == text["bytes"]
        written.unlink()
    forged = tmp_path / "forged.json"
    forged.write_bytes((way.home / "receipts" / "cito" / f"{drop}.json").read_bytes().replace(b'"bytes": ', b'"bytes": 1'))
    way.refused("audit", "check", forged, "--key", key, "--note", written, status=3)
    assert not written.exists(), "what is not sound is not handed on"


@pytest.mark.parametrize("content", ["", "nonsense", "{}", "[]", '{"schema": "sluis-receipt-1"}'])
def test_what_is_no_document_is_said_so(sluis: Cli, tmp_path: Path, content: str) -> None:
    file, key = tmp_path / "x.json", sluis.home / "public" / "sluis.vkey.txt"
    file.write_text(content)
    status, out, err = sluis.run("audit", "check", file, "--key", key)
    assert status in (1, 3) and out == "" and "Something went wrong" not in err, err
    file.write_text("{}")
    (tmp_path / "key").write_bytes(content.encode() + b"\xff")
    status, out, err = sluis.run("audit", "check", file, "--key", tmp_path / "key")
    assert status == 2 and out == "" and "Something went wrong" not in err, err
