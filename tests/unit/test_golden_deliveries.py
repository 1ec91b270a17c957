"""The golden deliveries: whatever they are sealed with, the gateway makes of each what stands beside it."""

import json
import re
from collections.abc import Iterator

import pytest

from tests.support.golden import GOLDEN, USUAL, Case, Tools, cases, made_of, tools


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


def test_nobody_of_them_lives() -> None:
    """Their BSNs are of the range that is kept for tests (9999…), names and addresses are made up."""
    for path in GOLDEN.rglob("*"):
        if path.is_file() and path.suffix in (".csv", ".xml"):
            text = path.read_bytes().replace(b"\0", b"").decode("latin-1")
            numbers = set(re.findall(r"(?<![0-9])[1-9][0-9]{8}(?![0-9])", text))
            assert all(number.startswith(("9999", "1090", "123456782")) for number in numbers), path
            assert set(re.findall("<achternaam>([^<]*)<", text)) <= {"Testkind"}
