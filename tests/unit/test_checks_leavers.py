"""Pupils who left: taken when they have a result of the last two school years, with all their history; else refused."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.checks import tally
from gateway.checks.objections import ObjectionRow, Objections, macs_of
from gateway.checks.tally import SchoolCount
from policies.rules import ObjectingPupils, packaged_rules
from tests.support.deliveries import OBJECTION_KEY, SCHOOL, TODAY, Row, bsn, check, context, row, rows, rules_told, standing, write_csv

RULES = packaged_rules("nco-lvs-1")
OTHER = "02BB00"
WHERE = context(schools={code: standing(code) for code in (SCHOOL, OTHER)})
PRESENT = rows(2000)  # pupils 0 to 399


def of_year(number: int, year: int, **fields: str) -> Row:
    """A row of the number-th pupil, tested in the January of the school year that begins in `year`."""
    return row(bsn=str(bsn(number)), schooljaar=f"{year}-{year + 1}", afnamedatum=f"{year + 1}-01-20", geboortedatum="2011-01-01", **fields)


@pytest.mark.parametrize(("newest", "taken"), [(2025, True), (2024, True), (2023, True), (2022, False), (2019, False)])
def test_the_newest_result_decides_over_all_of_a_pupil(newest: int, taken: bool) -> None:
    history = [of_year(900, year) for year in range(newest - 1, 2018, -1)]
    table = [*PRESENT[:1000], *history, *PRESENT[1000:], of_year(900, newest)]
    accepted, outcome = check(write_csv(table), WHERE, batch_bytes=40_000)
    assert rules_told(outcome) == (set() if taken else {"leaver-outside-history"})
    left_out = 0 if taken else len(history) + 1
    assert outcome.counts["refused_rows"] == left_out and not outcome.refused
    assert outcome.counts["accepted_rows"] == len(table) - left_out
    assert outcome.counts["pupils"] == 400 + taken
    assert outcome.schools[SCHOOL].rows == outcome.counts["accepted_rows"] and outcome.schools[SCHOOL].pupils == 400 + taken
    assert len(accepted) == len(table), "only the end tells: whoever takes the batches leaves them out"
    if not taken:
        (told,) = outcome.findings
        assert told.row == (1001 if history else len(table)) and outcome.findings_total == 1


def test_a_pupil_with_a_newer_result_at_another_school_of_the_drop_is_taken() -> None:
    table = [*PRESENT, of_year(900, 2020), of_year(900, 2024, brin_vestiging=OTHER)]
    outcome = check(write_csv(table), WHERE)[1]
    assert outcome.findings == [] and outcome.schools[OTHER].pupils == 1


def test_a_school_with_such_leavers_only_is_not_of_the_drop() -> None:
    _, outcome = check(write_csv([*PRESENT, of_year(900, 2020, brin_vestiging=OTHER)]), WHERE)
    assert list(outcome.schools) == [SCHOOL] and outcome.counts["schools"] == 1


def test_leavers_count_for_the_tolerance() -> None:
    table = [*PRESENT, *(of_year(1000 + number, 2020) for number in range(30))]
    _, outcome = check(write_csv(table), WHERE)
    assert outcome.refused and outcome.findings[0].rule == "too-many-refused"
    assert outcome.findings[0].message.startswith("Er zijn 30 rijen geweigerd")
    assert outcome.counts["refused_rows"] == 30 and outcome.findings_total == 31


def test_the_policy_says_how_long_ago_or_that_it_does_not_matter() -> None:
    table = [*PRESENT, of_year(900, 2020)]
    for years, told in ((0, set()), (4, {"leaver-outside-history"}), (5, set())):
        assert rules_told(check(write_csv(table), WHERE, rules=replace(RULES, leaver_school_years=years))[1]) == told
    tomorrow = replace(WHERE, today=date(2026, 8, 1))  # a new school year
    assert rules_told(check(write_csv(table), tomorrow, rules=replace(RULES, leaver_school_years=5))[1]) == {"leaver-outside-history"}


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(2019, 2025), st.sampled_from([SCHOOL, OTHER])), min_size=1, max_size=60))
@settings(max_examples=100, deadline=None)
def test_in_any_order_and_in_small_piles_the_counts_are_those_of_the_rows(given: list[tuple[int, int, str]]) -> None:
    newest = {pupil: max(year for other, year, _ in given if other == pupil) for pupil, _, _ in given}
    kept = [(pupil, school) for pupil, _, school in given if newest[pupil] >= 2023]
    rules = replace(RULES, refused_rows_share=1.0, moments=(), max_line_bytes=400)  # small batches, too: so much is read ahead
    table = [of_year(pupil, year, brin_vestiging=school, score="200") for pupil, year, school in given]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tally, "_PILE", 3)
        _, outcome = check(write_csv(table), WHERE, batch_bytes=400, rules=rules)
    assert outcome.counts == {
        "rows": len(given),
        "pupils": len(set(kept)),
        "schools": len({school for _, school in kept}),
        "accepted_rows": len(kept),
        "refused_rows": len(given) - len(kept),
        "objected_pupils": 0,
    }
    assert {code: (count.rows, count.pupils) for code, count in outcome.schools.items()} == {
        code: (sum(school == code for _, school in kept), len({pupil for pupil, school in kept if school == code}))
        for code in {school for _, school in kept}
    }
    first_rows = [next(place for place, (other, _, _) in enumerate(given, 1) if other == pupil) for pupil in newest if newest[pupil] < 2023]
    assert [found.row for found in outcome.findings if found.rule == "leaver-outside-history"] == sorted(first_rows)


# ---------------------------------------------------------------- objecting pupils, by policy


def objecting(numbers: Sequence[int]) -> Objections:
    macs = macs_of([ObjectionRow(bsn(number), None, TODAY) for number in numbers], OBJECTION_KEY)
    return Objections(macs, OBJECTION_KEY)


def test_a_drop_with_objecting_pupils_is_refused_whole_where_the_policy_says_so() -> None:
    rules = replace(RULES, objecting_pupils=ObjectingPupils.REJECT)
    where = replace(WHERE, objections=objecting([3, 7]))
    accepted, outcome = check(write_csv(PRESENT), where, batch_bytes=50_000, rules=rules)
    assert outcome.refused and not outcome.truncated
    (told,) = outcome.findings
    assert (told.rule, told.row, told.column) == ("objecting-pupils-refused", None, None) and told.message.startswith("10 rijen ")
    assert outcome.counts["objected_pupils"] == 2 and outcome.counts["accepted_rows"] == 0
    assert outcome.schools == {SCHOOL: SchoolCount(0, 0, 2)}, "an incident of that school"
    assert not {entry["bsn"] for entry in accepted} & {bsn(3), bsn(7)}
    without = check(write_csv([entry for entry in PRESENT if entry["bsn"] not in (str(bsn(3)), str(bsn(7)))]), where, rules=rules)[1]
    assert not without.refused and without.findings == []
    elsewhere = replace(where, schools={SCHOOL: standing(vendor="parnassys")})
    others = check(write_csv(PRESENT), elsewhere, rules=rules)[1]
    assert others.refused and others.schools == {}, "nobody says that the school is this vendor's"
    stripped = check(write_csv(PRESENT), where)[1]
    assert not stripped.refused and rules_told(stripped) == {"objecting-pupils"}


def test_rows_of_a_batch_without_a_run_are_still_counted() -> None:
    """Every row another pupil, and back again."""
    table = [entry for pair in pairwise(PRESENT[:200]) for entry in pair]
    outcome = check(write_csv(table), WHERE)[1]
    assert outcome.counts["accepted_rows"] == len(table) == outcome.schools[SCHOOL].rows and outcome.counts["pupils"] == 40
