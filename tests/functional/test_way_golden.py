"""The golden deliveries through the real door: each receipt says what stands beside the file, and nothing of the file."""

import json
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from gateway.store.models import Drop, Mandate, School
from tests.support.gateway import Door, Staged
from tests.support.golden import Case, cases, where
from tests.support.intake import sftp_session
from tests.support.leaks import leaked

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

#: those that are about the encryption itself are held to their words in test_golden_deliveries; a withdrawal names what is delivered here
SENT = [case for case in cases() if not case.seal and case.objecting_pupils == "strip" and case.file != "withdrawal/good.csv"]
REGISTER = next(case for case in SENT if case.file == "register/good.csv")


class Golden(Staged):
    """The place of context.json, on its day; each case is delivered once, encrypted as a vendor does it."""

    def begin(self) -> None:
        assert self.today == where().today
        with self.home.ledger.change("test") as change:
            change.session.add(School(code="41SA00", name="School 41SA00", kind="so"))
            change.session.flush()
            change.session.add(Mandate(school="41SA00", board="41001", valid_from=self._day(-2000)))
            change.audit("register.imported", "schools")
        self.drops_of: dict[str, Drop] = {}
        self.bytes_of: dict[str, bytes] = {}
        for number, case in enumerate([REGISTER, *(case for case in SENT if case is not REGISTER)]):
            self.bytes_of[case.case] = self.sealed(case.plain)
            name = f"golden-{number}.{case.file.rsplit('.', 1)[-1] if '.' in case.file else 'zip'}.age"
            folder = "bezwaren" if case.is_register else "leveringen"
            self.drops_of[case.case] = self.deliver(name, self.bytes_of[case.case], folder)

    @contextmanager
    def open_door(self) -> Iterator[None]:
        """One session for all that is read."""
        with sftp_session(self._intake.port, "cito", self.keys["cito"]) as sftp:
            self.door = Door(self, "cito", sftp)
            yield


@pytest.fixture(scope="module")
def golden(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Golden]:
    place = Golden(tmp_path_factory.mktemp("golden"))
    try:
        place.begin()
        with place.open_door():
            yield place
    finally:
        place.stop()


@pytest.mark.parametrize("case", SENT, ids=lambda case: case.case)
def test_the_receipt_says_what_stands_beside_the_file(golden: Golden, case: Case) -> None:
    expected = json.loads(case.expected.read_text(encoding="utf-8"))
    drop = golden.drops_of[case.case]
    receipt = golden.door.receipt(drop.id)
    assert ("accepted" if receipt["state"] == "linked" else receipt["state"]) == expected["state"]
    assert receipt["counts"] == {**dict.fromkeys(receipt["counts"], 0), **expected["counts"]}
    # remarks on what became of it later stand before what the checks found
    found = receipt["findings"][len(receipt["findings"]) - len(expected["findings"]) :]
    assert found == expected["findings"]
    assert receipt["findings_total"] - expected["findings_total"] == len(receipt["findings"]) - len(expected["findings"])
    told = leaked(case.plain, golden.door.read(f"{drop.id}.json").decode(), golden.door.read(f"{drop.id}.txt").decode())
    assert told <= where().schools.keys(), "a receipt names schools, and nothing else that stands in the file"


def test_the_same_file_again_counts_once(golden: Golden) -> None:
    again = golden.deliver("golden-again.csv.age", golden.bytes_of["csv/good.csv"])
    receipt = golden.door.receipt(again.id)
    assert (receipt["state"], [told["rule"] for told in receipt["findings"]]) == ("rejected", ["duplicate-drop"])


def test_a_withdrawal_is_of_deliveries_that_are_there_and_count(golden: Golden) -> None:
    refused = golden.drops_of["csv/every-row-fault.csv"].id
    told = []
    for number, name in enumerate(("d20260120-abcdefghijklmnop", refused)):
        drop = golden.deliver(f"withdrawal-{number}.csv.age", golden.sealed(f"levering;reden\n{name};onjuist\n".encode()))
        told.append([finding["rule"] for finding in golden.door.receipt(drop.id)["findings"]])
    assert told[0] == ["unknown-delivery"]
    assert "nothing-to-withdraw" in told[1]
