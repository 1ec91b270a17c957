"""`sluis policy`: what the rules are, and whether additions to them are sound before they are put in the home."""

import json
import shutil
from pathlib import Path

import pytest

from gateway.store.rules import additions_file, hand_to_vendors
from policies.rules import packaged_rules
from tests.support.cli import Cli

PACKAGED = packaged_rules("nco-lvs-1")
ADDITIONS = """objecting_pupils = "reject"
publishers = ["ijk"]

[[tests]]
pattern = 'IJK-[0-9]+'
publisher = "ijk"
domain = "spelling"

[[scales]]
publisher = "ijk"
range = [0, 10]
"""


def test_the_rules_of_a_home_are_shown_with_what_was_added(sluis: Cli) -> None:
    status, out, _ = sluis.run("--json", "policy", "show")
    before = json.loads(out)
    assert status == 0 and (before["additions"], before["taken_up"], before["objecting_pupils"]) == (None, True, "strip")
    assert (before["leaver_years"], before["school_years"], before["refused_rows_share"]) == (2, 7, 0.01)
    assert {"publisher": "cito", "domain": "spelling", "moment": "M5", "range": None, "plausible": [148.5, 447.6]} in before["scales"]
    home = sluis.opened()
    additions_file(home).write_text(ADDITIONS)
    after = json.loads(sluis.run("--json", "policy", "show")[1])
    assert (after["additions"], after["taken_up"]) == (str(additions_file(home)), False)
    assert after["objecting_pupils"] == "reject" and after["publishers"] == [*before["publishers"], "ijk"]
    assert after["tests"] == [{"pattern": "IJK-[0-9]+", "publisher": "ijk", "domain": "spelling", "moment": None}, *before["tests"]]
    hand_to_vendors(home, ADDITIONS.encode())
    assert json.loads(sluis.run("--json", "policy", "show")[1])["taken_up"] is True


def test_a_person_reads_numbers_where_a_program_reads_lists(sluis: Cli) -> None:
    status, out, _ = sluis.run("policy", "show")
    assert status == 0
    told = dict(line.split(maxsplit=1) for line in out.splitlines() if line.startswith(("tests", "scales", "publishers")))
    assert told["tests"].strip() == str(len(PACKAGED.tests)) and told["scales"].strip() == str(len(PACKAGED.scales))
    assert told["publishers"].strip() == "cito, iep, boom, diataal"


def test_additions_are_checked_without_a_home(sluis: Cli, tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(ADDITIONS)
    shutil.rmtree(sluis.home)
    status, out, _ = sluis.run("--json", "policy", "check", file)
    assert status == 0 and json.loads(out)["publishers"][-1] == "ijk"


@pytest.mark.parametrize(
    ("content", "line", "reason"),
    [
        (ADDITIONS.replace('domain = "spelling"', 'domain = "spellen"').encode(), 7, "none of the values of the column domein"),
        (ADDITIONS.replace('"reject"', '"reject').encode(), 1, ""),
        (b"# een\n# caf\xe9\n", 2, "not text in UTF-8"),
    ],
)
def test_what_is_wrong_is_told_with_its_line_and_its_reason(sluis: Cli, tmp_path: Path, content: bytes, line: int, reason: str) -> None:
    file = tmp_path / "mine.toml"
    file.write_bytes(content)
    status, out, err = sluis.run("policy", "check", file)
    assert (status, out) == (1, "") and f"mine.toml, line {line}: " in err and reason in err
    additions_file(sluis.opened()).write_bytes(content)
    status, out, err = sluis.run("policy", "show")
    assert (status, out) == (3, "") and f"nco_lvs.toml, line {line}: " in err and "Traceback" not in err


def test_a_home_of_before_and_a_file_that_can_not_be_read(sluis: Cli) -> None:
    file = additions_file(sluis.opened())
    file.parent.rmdir()
    assert sluis.run("policy", "show")[0] == 0 and sluis.run("doctor")[0] == 0
    file.mkdir(parents=True)
    status, _, err = sluis.run("policy", "show")
    assert status == 3 and "can't be read" in err
