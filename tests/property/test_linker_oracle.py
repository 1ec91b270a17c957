"""The linker against linking by the book, on countries where everything goes wrong that goes wrong in real ones."""

from datetime import date
from typing import Any

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.drop.record import LINKED_COLUMNS
from gateway.linker.drop import LinkOutcome, link_drop
from gateway.linker.results import parquet_bytes
from tests.support import linking_oracle
from tests.support.linking_population import (
    CODES,
    NEWEST,
    OLDER,
    PERSONS,
    REGISTER_KEY,
    SCHOOLS,
    batch,
    country,
    keyed_register,
    result,
)

Row = dict[str, Any]


def linked(rows: list[Row], register: list[Row], linkable: set[str], size: int = 7) -> LinkOutcome:
    batches = (batch(rows[at : at + size]) for at in range(0, len(rows), size))
    return link_drop(batches, keyed_register(register), REGISTER_KEY, linkable, frozenset(), PERSONS, SCHOOLS)


def agree(rows: list[Row], register: list[Row], linkable: set[str]) -> linking_oracle.Answer:
    outcome = linked(rows, register, linkable)
    right = linking_oracle.link(rows, register, linkable)
    results = outcome.results.collect()
    found = {int(score): PERSONS.reveal(persoon) for persoon, score in results.select("persoon", "score").rows()}
    assert found == {row: person for row, person in right.persons.items() if person is not None}
    schools = {int(score): SCHOOLS.reveal(school) for school, score in results.select("school", "score").rows()}
    assert all(schools[row["row"]] == row["brin_vestiging"] for row in rows if row["row"] in schools)
    counts = {name: count for name, count in outcome.counts.items() if name != "repeated_numbers"}
    assert counts == right.counts
    assert outcome.schools == right.schools
    return right


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), st.integers(4, 40), st.sets(st.sampled_from(CODES), min_size=2))
def test_the_linker_says_what_the_book_says(seed: int, persons: int, linkable: set[str]) -> None:
    register, rows = country(seed, persons)
    agree(rows, register, linkable)


#: So few values that every row collides with another.
WHO = {
    "bsn": st.sampled_from([None, 200_000_001, 200_000_002, 999_999_990]),
    "onderwijsnummer": st.sampled_from([None, 100_000_001, 100_000_002]),
    "geslacht": st.sampled_from(["M", "V"]),
    "geboortedatum": st.sampled_from([date(2014, 1, 1), date(2014, 1, 2)]),
    "postcode": st.just("1012ZX"),
    "huisnummer": st.sampled_from([1, 2, None]),
    "toevoeging": st.just(""),
}
PERSON = {"persoon_id": st.sampled_from(["A", "B", "C"]), "peildatum": st.sampled_from([NEWEST, NEWEST, OLDER])}


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.fixed_dictionaries({**PERSON, **WHO}), max_size=4),
    st.lists(st.fixed_dictionaries({"brin_vestiging": st.sampled_from(CODES), **WHO}), max_size=6),
)
def test_the_linker_says_what_the_book_says_where_everything_collides(register: list[Row], who: list[Row]) -> None:
    rows = [{"row": place, **row, **result(place)} for place, row in enumerate(who, 1)]
    agree(rows, register, {CODES[0], CODES[1]})


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32), st.randoms(use_true_random=False), st.integers(1, 50))
def test_the_order_and_the_batches_of_a_drop_change_no_byte(seed: int, rng: Any, size: int) -> None:
    register, rows = country(seed)
    rows = [{**row, "toetscode": f"T{row['row']}"} for row in rows]  # none stands in it twice: of such the last counts
    first = linked(rows, register, set(CODES))
    shuffled, people = rows[:], register[:]
    rng.shuffle(shuffled)
    rng.shuffle(people)
    second = linked(shuffled, people, set(CODES), size)
    assert parquet_bytes(first.results) == parquet_bytes(second.results)
    assert first.counts == second.counts and first.schools == second.schools


def test_the_countries_have_every_kind_of_trouble() -> None:
    """Otherwise the comparison above would prove little."""
    total: dict[str, int] = {}
    for seed in range(60):
        register, rows = country(seed)
        for name, count in linking_oracle.link(rows, register, CODES[:2]).counts.items():
            total[name] = total.get(name, 0) + count
    played_elsewhere = {"objected", "leavers", "repeated_results"}
    assert all(total[name] >= 10 for name in total.keys() - played_elsewhere), total


def test_an_empty_drop_and_an_empty_register() -> None:
    register, rows = country(3)
    assert linked([], register, set(CODES)).results.collect().is_empty()
    assert linked(rows, [], set(CODES)).counts["linked_rows"] == 0
    assert linked(rows, register, set()).counts["pupils"] == 0
    nothing = link_drop([batch([])], keyed_register([]), REGISTER_KEY, set(CODES), frozenset(), PERSONS, SCHOOLS)
    assert nothing.results.collect().schema == linked(rows, register, set(CODES)).results.collect().schema == pl.Schema(LINKED_COLUMNS)
