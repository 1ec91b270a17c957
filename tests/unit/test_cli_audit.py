"""The log by command: filters, its proof, and a certificate that can be checked without the home."""

import json
import shutil
from datetime import date, timedelta
from pathlib import Path

import pytest

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
