"""A law of the two roads: the same pupils give the same rows, findings and counts, by CSV and by EDEXML with UWLR, good or bad."""

from hypothesis import given
from hypothesis import strategies as st

from tests.support.deliveries import SCHOOL, Row, bsn, check, context, onderwijsnummer, row, standing, write_csv
from tests.support.exchange import exchange

SCHOOLS = (SCHOOL, "02BB01", "03CC00")
SCORE = st.decimals(-50, 900, places=1).map(str)
PUPIL = st.fixed_dictionaries(
    {
        "brin_vestiging": st.sampled_from(SCHOOLS),
        "geslacht": st.sampled_from(["M", "V", "X"]),
        "geboortedatum": st.dates().map(str) | st.sampled_from(["2015-03-14", "2015-02-30", "14-03-2015"]),
        "postcode": st.sampled_from(["1234AB", "0000AA", "9999ZZ", ""]),
        "huisnummer": st.sampled_from(["1", "99999", "100000", "12a", ""]),
        "toevoeging": st.sampled_from(["", "A", "B12", "123456"]),
        "kinderdagverblijf": st.sampled_from(["J", "N", "", "ja"]),
        "peuterspeelzaal": st.sampled_from(["J", "N", ""]),
    }
)
NUMBERS = st.sampled_from(["bsn", "wrong", "onderwijsnummer", "none"])
RESULT = st.tuples(st.sampled_from(["2026-01-20", "2026-06-10", "2025-09-01", "20-01-2026"]), SCORE)


def delivered(number: int, numbers: str, pupil: Row, day: str, score: str) -> Row:
    identifier = {
        "bsn": {"bsn": str(bsn(number))},
        "wrong": {"bsn": str(bsn(number) + 1)},
        "onderwijsnummer": {"bsn": "", "onderwijsnummer": str(onderwijsnummer(number))},
        "none": {"bsn": ""},
    }[numbers]
    return row(**{**pupil, **identifier, "toetscode": "RW-3.0-M5", "afnamedatum": day, "score": score})


@given(st.lists(st.tuples(NUMBERS, PUPIL, st.lists(RESULT, min_size=1, max_size=4)), min_size=1, max_size=8))
def test_the_same_pupils_give_the_same_rows_by_both_roads(pupils: list[tuple[str, Row, list[tuple[str, str]]]]) -> None:
    where = context(schools={code: standing(code) for code in SCHOOLS})
    table = [delivered(n, numbers, pupil, *one) for n, (numbers, pupil, taken) in enumerate(pupils) for one in taken]
    table.sort(key=lambda entry: entry["brin_vestiging"])
    zipped, outcome = check(exchange(table), where)
    plain, twin = check(write_csv(table), where)
    assert zipped == plain
    assert (outcome.counts, outcome.refused, outcome.schools) == (twin.counts, twin.refused, twin.schools)
    assert sorted(told.rule for told in outcome.findings) == sorted(told.rule for told in twin.findings)
