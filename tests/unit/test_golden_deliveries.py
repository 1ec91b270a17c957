"""The golden deliveries: whatever they are sealed with, the gateway makes of each what stands beside it; every finding's code is shown."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.checks.catalogue import CATALOGUE
from tests.support.golden import GOLDEN, USUAL, Case, Tools, cases, made_of, tools

ROOT = Path(__file__).resolve().parents[2]

#: what no file shows by itself, but for what the gateway knows or is set to: code → the test in which it occurs
ELSEWHERE = {
    "retired-key": "unit/test_checks_recipients.py::test_a_retired_key_refuses_the_drop_and_says_what_to_do",
    "replaced-key": "unit/test_checks_recipients.py::test_a_replaced_key_is_told_with_its_last_day",
    "unsigned": "functional/test_way_signed.py::test_with_a_signing_key_registered_nothing_else_is_taken",
    "wrong-signature": "functional/test_way_signed.py::test_with_a_signing_key_registered_nothing_else_is_taken",
    "repeated-results": "functional/test_way_corrections.py::test_what_stands_in_a_file_twice_counts_once_as_its_last_row_says",
    "contradictory-results": "functional/test_way_corrections.py::test_what_stands_in_a_file_twice_counts_once_as_its_last_row_says",
    "malware": "functional/test_worker_scanner.py::test_what_is_clean_is_accepted_and_what_is_not_is_refused_and_erased",
    "too-large-to-scan": "functional/test_worker_scanner.py::test_what_is_larger_than_the_scanner_can_take_is_the_vendors_to_split",
    "no-campaign": "functional/test_way_calendar.py::test_a_round_whose_objections_are_gone_takes_nothing_any_more",
    "too-early": "functional/test_way_calendar.py::test_a_drop_that_could_not_be_linked_is_refused_at_once_until_the_day_it_can",
    "after-deadline": "functional/test_way_calendar.py::test_a_postponed_last_day_takes_what_was_too_late",
    "objections-too-early": "functional/test_way_calendar.py::test_before_the_first_round_a_vendor_hears_when_it_begins",
    "unknown-delivery": "functional/test_way_golden.py::test_a_withdrawal_is_of_deliveries_that_are_there_and_count",
    "nothing-to-withdraw": "functional/test_way_golden.py::test_a_withdrawal_is_of_deliveries_that_are_there_and_count",
    "duplicate-drop": "functional/test_way_golden.py::test_the_same_file_again_counts_once",
}


@pytest.fixture(scope="module")
def vendor() -> Iterator[Tools]:
    with tools() as made:
        yield made


def ways(case: Case) -> list[str]:
    if case.seal:
        return [case.seal]
    return [way for way in USUAL if way != "gzip-age" or not case.file.endswith(".gz")]


@pytest.mark.parametrize("case", cases(), ids=lambda case: case.case)
def test_each_is_read_as_it_stands_there(vendor: Tools, case: Case) -> None:
    expected = json.loads(case.expected.read_text(encoding="utf-8"))
    for way in ways(case):
        made = made_of(case, vendor.seal(case.plain, way), vendor.identity, vendor.openpgp)
        assert made == expected, way


def test_every_file_is_a_case_and_every_case_has_its_files() -> None:
    there = {path.relative_to(GOLDEN).as_posix() for path in GOLDEN.rglob("*") if path.is_file()}
    used = {"README.md", "cases.json", "context.json"}
    for case in cases():
        path = GOLDEN / case.file
        files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
        assert files, case.case
        used |= {file.relative_to(GOLDEN).as_posix() for file in (*files, case.expected)}
    assert there == used
    assert len({case.expected for case in cases()}) == len(cases())


def test_every_finding_of_the_catalogue_is_shown() -> None:
    """By a golden delivery; else by a test that names the code and is there."""
    shown = {told["rule"] for case in cases() for told in json.loads(case.expected.read_text(encoding="utf-8"))["findings"]}
    assert shown <= CATALOGUE.keys()
    assert CATALOGUE.keys() - shown == ELSEWHERE.keys()
    for code, place in ELSEWHERE.items():
        file, _, test = place.partition("::")
        source = (ROOT / "tests" / file).read_text(encoding="utf-8")
        body = re.search(rf"^def {test}\(.*?(?=^\S|\Z)", source, re.MULTILINE | re.DOTALL)
        assert body is not None and f'"{code}"' in body[0], place


def test_nobody_of_them_lives() -> None:
    """Their BSNs are of the range that is kept for tests (9999…), names and addresses are made up."""
    for path in GOLDEN.rglob("*"):
        if path.is_file() and path.suffix in (".csv", ".xml"):
            text = path.read_bytes().replace(b"\0", b"").decode("latin-1")
            numbers = set(re.findall(r"(?<![0-9])[1-9][0-9]{8}(?![0-9])", text))
            assert all(number.startswith(("9999", "1090", "123456782")) for number in numbers), path
            assert set(re.findall("<achternaam>([^<]*)<", text)) <= {"Testkind"}
