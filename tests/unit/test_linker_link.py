"""The three passes, case by case: who is linked, by what, and why not."""

from datetime import date
from typing import Any

import polars as pl
import pytest

from gateway.drop.keyed import KEY_COLUMNS
from gateway.linker.gather import Gatherer
from gateway.linker.link import link_pupils
from gateway.linker.pupils import tell_apart
from tests.support.linking_population import NEWEST, OLDER, REGISTER_KEY, batch, keyed_register, result

Row = dict[str, Any]
ANNE: Row = {
    "bsn": 200_000_001,
    "onderwijsnummer": 100_000_001,
    "geslacht": "V",
    "geboortedatum": date(2014, 5, 1),
    "postcode": "1012ZX",
    "huisnummer": 7,
    "toevoeging": "",
}
BEA = {**ANNE, "bsn": 200_000_002, "onderwijsnummer": 100_000_002}  # Anne's twin, at the same address
CEES = {**ANNE, "bsn": 200_000_003, "onderwijsnummer": 100_000_003, "geslacht": "M", "geboortedatum": date(2015, 1, 1), "huisnummer": 9}


def person(name: str, who: Row, **changes: Any) -> Row:
    return {"persoon_id": name, "peildatum": NEWEST, **who, **changes}


def told(register: list[Row], *pupils: Row) -> list[tuple[str | None, str | None, str | None]]:
    """What is said of each row's pupil: `(persoon_id, how, reason)`. Rows are of school 10AA00 unless they say another."""
    rows = [{"row": place, "brin_vestiging": "10AA00", **pupil, **result(place)} for place, pupil in enumerate(pupils, 1)]
    gatherer = Gatherer(REGISTER_KEY)
    gatherer.add(batch(rows))
    gathered = gatherer.gathered()
    variants = tell_apart(gathered.variants)
    said = link_pupils(variants.select("pupil", *KEY_COLUMNS), keyed_register(register))
    per_row = variants["pupil"].gather(gathered.results["variant"]).to_frame().join(said, on="pupil", maintain_order="left")
    return per_row.select("persoon_id", "how", "reason").rows()


REGISTER = [person("A", ANNE), person("C", CEES)]
TWINS = [person("A", ANNE), person("B", BEA)]
NO_NUMBER = {"bsn": None, "onderwijsnummer": None}
UNMATCHED = (None, None, "unmatched")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, ("A", "bsn", None)),
        ({"geslacht": "M"}, ("A", "bsn", None)),
        ({"geboortedatum": date(2014, 1, 5)}, ("A", "bsn", None)),
        ({"postcode": "9999XX", "onderwijsnummer": 100_000_077}, ("A", "bsn", None)),
        ({"bsn": None}, ("A", "onderwijsnummer", None)),
        ({"bsn": 200_000_077}, ("A", "onderwijsnummer", None)),
        ({"bsn": 999_999_990}, ("A", "onderwijsnummer", None)),
        (NO_NUMBER, ("A", "address", None)),
        ({"bsn": 999_999_990, "onderwijsnummer": 0}, ("A", "address", None)),
        ({**NO_NUMBER, "toevoeging": "A"}, UNMATCHED),
        ({**NO_NUMBER, "huisnummer": 8}, UNMATCHED),
        ({**NO_NUMBER, "huisnummer": None}, UNMATCHED),
        ({"geslacht": "M", "geboortedatum": date(2014, 1, 5)}, (None, "bsn", "contradiction")),
        ({"bsn": None, "geslacht": "M", "geboortedatum": date(2014, 1, 5)}, (None, "onderwijsnummer", "contradiction")),
    ],
)
def test_the_pass_that_finds_a_pupil(changes: Row, said: tuple[str | None, str | None, str | None]) -> None:
    assert told(REGISTER, {**ANNE, **changes}) == [said]


def test_a_contradicted_number_is_not_tried_by_address() -> None:
    """Cees has Anne's BSN by mistake, and his own address: he stays out, though his address alone would find him."""
    assert told(REGISTER, {**CEES, "bsn": ANNE["bsn"]}) == [(None, "bsn", "contradiction")]


def test_twins_at_one_address_without_a_number_stay_unlinked() -> None:
    assert told(TWINS, {**ANNE, **NO_NUMBER}, {**BEA, **NO_NUMBER}) == [(None, "address", "ambiguous_register")] * 2


def test_one_twin_with_a_number_does_not_make_the_other_sure() -> None:
    assert told(TWINS, ANNE, {**BEA, **NO_NUMBER}) == [("A", "bsn", None), (None, "address", "ambiguous_register")]


def test_twins_with_their_numbers_are_both_linked() -> None:
    assert told(TWINS, BEA, ANNE) == [("B", "bsn", None), ("A", "bsn", None)]


@pytest.mark.parametrize("order", [1, -1])
def test_a_twin_that_the_register_lacks_does_not_become_the_other(order: int) -> None:
    """Only Anne is registered. Anne has her number; Bea, without one, shares Anne's address key."""
    said = told([person("A", ANNE)], *[ANNE, {**BEA, **NO_NUMBER}][::order])
    assert said[::order] == [("A", "bsn", None), (None, "address", "ambiguous_drop")]


def test_a_pupil_with_a_last_word_still_stands_in_the_way() -> None:
    """Bea's number is contradicted; whether the address is Anne's or Bea's in the register nobody knows."""
    contradicted = {**ANNE, "bsn": CEES["bsn"]}
    said = told([person("A", ANNE, bsn=None, onderwijsnummer=None), person("C", CEES)], contradicted, {**ANNE, **NO_NUMBER})
    assert said == [(None, "bsn", "contradiction"), (None, "address", "ambiguous_drop")]


def test_a_number_of_two_persons_is_nobodys() -> None:
    register = [person("A", ANNE), person("C", CEES, bsn=ANNE["bsn"])]
    assert told(register, ANNE) == [(None, "bsn", "ambiguous_register")]


def test_two_schools_claim_one_person_with_different_pupils() -> None:
    other = {**ANNE, "geboortedatum": date(2014, 9, 9), "brin_vestiging": "11BB00"}
    assert told(REGISTER, ANNE, other) == [(None, "bsn", "ambiguous_drop")] * 2


def test_a_pupil_who_changed_schools_is_one_pupil() -> None:
    assert told(REGISTER, ANNE, {**ANNE, "brin_vestiging": "11BB00", "huisnummer": 12}) == [("A", "bsn", None)] * 2


def test_a_pupil_who_moved_is_one_pupil() -> None:
    pupil = {**ANNE, "bsn": 200_000_077, "onderwijsnummer": None}
    assert told(REGISTER, {**pupil, "huisnummer": 1}, pupil, {**pupil, "huisnummer": 2}) == [("A", "address", None)] * 3


def test_addresses_of_two_persons_are_ambiguous() -> None:
    pupil = {**ANNE, "bsn": 200_000_077, "onderwijsnummer": None}
    register = [person("A", ANNE), person("B", BEA, huisnummer=8)]
    assert told(register, pupil, {**pupil, "huisnummer": 8}) == [(None, "address", "ambiguous_register")] * 2


def test_a_number_repeated_in_a_school_is_no_number() -> None:
    said = told(REGISTER, ANNE, {**CEES, "bsn": ANNE["bsn"], "onderwijsnummer": None})
    assert said == [("A", "onderwijsnummer", None), ("C", "address", None)]


def test_a_row_with_only_an_onderwijsnummer_belongs_to_the_pupil_that_has_both() -> None:
    assert told(REGISTER, ANNE, {**ANNE, "bsn": None}) == [("A", "bsn", None)] * 2


@pytest.mark.parametrize("unknown", [200_000_077, 200_000_078, 200_000_079, 200_000_080])
def test_a_row_with_an_onderwijsnummer_of_two_pupils_belongs_to_neither(unknown: int) -> None:
    said = told(REGISTER, ANNE, {**ANNE, "bsn": unknown}, {**ANNE, "bsn": None})
    assert said == [("A", "bsn", None), *[(None, "onderwijsnummer", "ambiguous_drop")] * 2]


def test_one_address_at_two_schools_may_be_two_pupils() -> None:
    pupil = {**ANNE, **NO_NUMBER}
    assert told(REGISTER, pupil, {**pupil, "brin_vestiging": "11BB00"}) == [(None, "address", "ambiguous_drop")] * 2


def test_a_contradicted_claim_does_not_stand_in_the_way_of_the_right_one() -> None:
    wrong = {**CEES, "bsn": ANNE["bsn"], "onderwijsnummer": None, "brin_vestiging": "11BB00"}
    assert told(REGISTER, ANNE, wrong) == [("A", "bsn", None), (None, "bsn", "contradiction")]


def test_only_the_address_of_the_reference_date_counts() -> None:
    register = [person("A", ANNE, peildatum=OLDER), person("A", ANNE, huisnummer=33), person("C", CEES)]
    assert told(register, {**ANNE, **NO_NUMBER}) == [UNMATCHED]
    assert told(register, {**ANNE, **NO_NUMBER, "huisnummer": 33}) == [("A", "address", None)]
    assert told(register, ANNE) == [("A", "bsn", None)]


@pytest.mark.parametrize("merge_at_least", [1, 5, 1000])
def test_the_same_pupil_far_apart_in_the_drop_is_one_variant(merge_at_least: int) -> None:
    gatherer = Gatherer(REGISTER_KEY, merge_at_least)
    who = [ANNE, BEA, CEES, {**ANNE, "huisnummer": 8}]
    rows = [{"row": place, "brin_vestiging": "10AA00", **who[place % 4], **result(place)} for place in range(60)]
    for at in range(0, 60, 7):
        gatherer.add(batch(rows[at : at + 7]))
    gathered = gatherer.gathered()
    assert gathered.variants.height == 4
    assert gathered.results["variant"].to_list() == [place % 4 for place in range(60)]
    assert gathered.results["score"].to_list() == list(range(60))


def test_what_is_gathered_holds_no_identifier() -> None:
    gatherer = Gatherer(REGISTER_KEY)
    gatherer.add(batch([{"row": 1, "brin_vestiging": "10AA00", **ANNE, **result(1)}]))
    held = vars(gatherer)
    frames = [held["_known"], *held["_pending"], *held["_results"]]
    names = {name for frame in frames for name in frame.columns}
    assert not names & {*ANNE, "row", "brin_vestiging"}
    values = {value for frame in frames for row in frame.rows() for value in row}
    assert not values & {ANNE["bsn"], ANNE["onderwijsnummer"], ANNE["geboortedatum"], ANNE["postcode"]}
    assert {"spelling", date(2026, 1, 13)} <= values


def test_the_verdict_has_a_row_for_each_pupil_in_order() -> None:
    pupils = pl.DataFrame({"pupil": [3, 1, 1]}, schema={"pupil": pl.UInt32}).with_columns(
        [pl.lit(None, dtype=pl.Int128).alias(name) for name in KEY_COLUMNS]
    )
    said = link_pupils(pupils, keyed_register(REGISTER))
    assert said["pupil"].to_list() == [1, 3]
    assert said["reason"].to_list() == ["unmatched"] * 2
