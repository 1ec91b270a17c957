"""Which schools a vendor may deliver, on which days, and what it is told when it may not: what is its own, and nothing of another's."""

from datetime import timedelta

import pytest

from gateway.checks.check import CheckContext, require_in_time
from gateway.checks.findings import DropRefused
from gateway.checks.schools import MOST_SCHOOLS, SchoolStanding
from policies.enrolment import CONTRACT, FORM
from tests.support.deliveries import SCHOOL, TODAY, check, context, row, rows, standing, write_csv
from tests.support.exchange import exchange

OTHER = "02BB00"
FORMATS = {"csv": write_csv, "zip": exchange}


def of_this_vendor(**changes: object) -> CheckContext:
    return context(schools={SCHOOL: standing(), OTHER: standing(OTHER, **changes)})


def told(where: CheckContext) -> list[tuple[str, str]]:
    table = [*rows(20), *rows(20, schools=(OTHER,))]
    return [(found.rule, found.message) for found in check(write_csv(table), where)[1].findings if found.rule != "unusual-score"]


@pytest.mark.parametrize("missing", [CONTRACT, FORM, f"{CONTRACT} en {FORM}"])
def test_a_vendor_hears_what_its_boards_sign_up_lacks(missing: str) -> None:
    ((rule, message),) = told(of_this_vendor(enrolled=False, missing=missing))
    assert rule == "school-not-enrolled" and message.endswith(f"ontbreekt nog: {missing}.")


def test_of_a_board_that_is_not_its_own_a_vendor_hears_the_same_whatever_its_sign_up() -> None:
    others = [
        SchoolStanding(OTHER, "54321", True, "bo", "parnassys"),
        SchoolStanding(OTHER, "54321", False, "bo", "parnassys", CONTRACT),
        SchoolStanding(OTHER, "54321", False, "bo", None),
    ]
    answers = {tuple(told(context(schools={SCHOOL: standing(), OTHER: other}))) for other in others}
    ((found,),) = answers
    assert found[0] == "wrong-board" and all(word not in found[1] for word in ("parnassys", "54321", CONTRACT))


def test_a_drop_that_names_more_schools_than_there_can_be_is_read_no_further() -> None:
    many = [f"{first:02}{letters}{last:02}" for letters in ("AA", "ZZ") for first in range(100) for last in range(100)]
    assert len(set(many)) == 2 * MOST_SCHOOLS
    outcome = check(write_csv([row(brin_vestiging=code) for code in many]), batch_bytes=1 << 16)[1]
    assert outcome.refused and {found.rule for found in outcome.findings} == {"unknown-school"}
    assert len(outcome.findings) == 1000 and MOST_SCHOOLS <= outcome.findings_total <= MOST_SCHOOLS + 1


@pytest.mark.parametrize("kind", ["bo", "sbo"])
@pytest.mark.parametrize("form", FORMATS)
def test_bo_and_sbo_are_taken(form: str, kind: str) -> None:
    table = rows(20, schools=(OTHER,))
    accepted, outcome = check(FORMATS[form](table), of_this_vendor(kind=kind))
    assert not outcome.refused and len(accepted) == 20


@pytest.mark.parametrize("kind", ["so", "vso"])
@pytest.mark.parametrize("form", FORMATS)
def test_so_and_vso_are_refused_row_by_row_and_as_a_whole_drop(form: str, kind: str) -> None:
    """Also with all papers in: such a school can't take part."""
    where = of_this_vendor(kind=kind)
    mixed = [*rows(300), row(brin_vestiging=OTHER)]
    accepted, outcome = check(FORMATS[form](mixed), where)
    assert not outcome.refused and len(accepted) == 300
    assert [found.rule for found in outcome.findings if found.rule != "unusual-score"] == ["school-kind"]
    assert {entry["brin_vestiging"] for entry in accepted} == set(outcome.schools) == {SCHOOL}
    _, outcome = check(FORMATS[form](rows(20, schools=(OTHER,))), where)
    assert outcome.refused and {"school-kind", "too-many-refused"} <= {found.rule for found in outcome.findings}
    assert outcome.schools == {}


# ---------------------------------------------------------------- the days of delivery


@pytest.mark.parametrize(("first", "last", "rule"), [(0, 0, None), (-9, 9, None), (1, 9, "too-early"), (-9, -1, "after-deadline")])
def test_the_first_and_the_last_day_of_delivery_are_included(first: int, last: int, rule: str | None) -> None:
    days = TODAY + timedelta(days=first), TODAY + timedelta(days=last)
    if rule is None:
        require_in_time(TODAY, *days)
        return
    with pytest.raises(DropRefused) as refusal:
        require_in_time(TODAY, *days)
    (found,) = refusal.value.findings
    assert found.rule == rule and (f"{days[0]:%d-%m-%Y}" in found.message) is (rule == "too-early")
