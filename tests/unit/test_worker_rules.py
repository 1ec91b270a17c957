"""The rules in force: taken up when the administrator's file changes, handed to vendors, and kept when the file is not sound."""

import os
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from audit.entry import Entry
from gateway.store.auditing import sequence
from gateway.store.home import Home
from gateway.store.rules import HANDED_TO_VENDORS, additions_file, handed_to_vendors
from gateway.worker.rules import RulesInForce
from policies.errors import Unsound
from policies.rules import packaged_rules
from tests.support.cli import Cli

PACKAGED = packaged_rules("nco-lvs-1")


@pytest.fixture
def home(sluis: Cli) -> Home:
    return sluis.opened()


def write(home: Home, text: str) -> None:
    """As an editor does: another file under the same name."""
    beside = additions_file(home).with_suffix(".new")
    beside.write_text(text)
    os.replace(beside, additions_file(home))


def changes(home: Home) -> list[object]:
    sequence(home)
    return [entry.detail["sha256"] != "" for entry in map(Entry.from_bytes, home.audit_log().entries()) if entry.action == "policy.changed"]


def test_without_a_file_the_rules_are_those_of_sluis_and_nothing_is_handed_out(home: Home) -> None:
    in_force = RulesInForce(home)
    assert in_force.rules == PACKAGED and not in_force.changed()
    assert not (home.public / HANDED_TO_VENDORS).exists() and changes(home) == []


def test_a_file_is_taken_up_when_it_comes_changes_and_goes(home: Home) -> None:
    in_force = RulesInForce(home)
    write(home, "refused_rows_share = 0.02\n")
    assert in_force.changed() and in_force.rules.refused_rows_share == 0.02
    assert handed_to_vendors(home) == b"refused_rows_share = 0.02\n"
    assert not in_force.changed(), "nothing happened since"
    write(home, "refused_rows_share = 0.02 # a word\n")
    assert not in_force.changed() and handed_to_vendors(home).endswith(b"# a word\n"), "the same rules in other words"
    write(home, 'objecting_pupils = "reject"\n')
    assert in_force.changed() and in_force.rules.objecting_pupils == "reject" and in_force.rules.refused_rows_share == 0.01
    additions_file(home).unlink()
    assert in_force.changed() and in_force.rules == PACKAGED and not (home.public / HANDED_TO_VENDORS).exists()
    assert changes(home) == [True, True, True, False]


def test_what_changed_while_no_worker_ran_is_taken_up_at_its_start_and_logged_once(home: Home) -> None:
    write(home, "refused_rows_share = 0.02\n")
    assert RulesInForce(home).rules.refused_rows_share == 0.02
    assert RulesInForce(home).rules.refused_rows_share == 0.02 and changes(home) == [True]


def test_a_file_that_is_not_sound_changes_nothing_and_keeps_a_worker_from_starting(home: Home) -> None:
    write(home, "refused_rows_share = 0.02\n")
    in_force = RulesInForce(home)
    write(home, "refused_rows_share = 2\n")
    with capture_logs() as logs:
        assert not in_force.changed() and not in_force.changed()
    (told,) = [entry for entry in logs if entry["event"] == "rules refused"]
    assert "nco_lvs.toml, line 1: refused_rows_share lies between 0 and 1" in told["problem"] and told["log_level"] == "error"
    assert in_force.rules.refused_rows_share == 0.02 and handed_to_vendors(home) == b"refused_rows_share = 0.02\n"
    with pytest.raises(Unsound, match="line 1"):
        RulesInForce(home)
    write(home, "refused_rows_share = 0.03\n")
    assert in_force.changed() and in_force.rules.refused_rows_share == 0.03


def test_rules_that_can_not_be_handed_to_vendors_hold_all_the_same(home: Home) -> None:
    in_force = RulesInForce(home)
    (home.public / HANDED_TO_VENDORS / "in the way").mkdir(parents=True)
    write(home, "refused_rows_share = 0.02\n")
    with capture_logs() as logs:
        assert in_force.changed() and in_force.rules.refused_rows_share == 0.02
    assert [(entry["event"], entry["error"]) for entry in logs if entry["log_level"] == "error"] == [
        ("rules not handed to vendors", "EISDIR")
    ]
    assert RulesInForce(home).rules.refused_rows_share == 0.02


def test_a_worker_does_not_start_with_rules_that_it_can_not_read(sluis: Cli, home: Home, tmp_path: Path) -> None:
    write(home, '[[tests]]\npattern = \'(\'\npublisher = "cito"\ndomain = "spelling"\n')
    status, _, err = sluis.run("serve", "worker")
    assert status == 3 and "line 2: a pattern does not compile" in err and "Traceback" not in err
