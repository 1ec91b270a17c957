"""Scores and moments as the policy expects them: outside the range a row is refused, outside what is plausible it is told of."""

import pytest

from policies.rules import packaged_rules, with_additions
from tests.support.deliveries import check, row, rows, rules_told, write_csv


@pytest.mark.parametrize(
    ("fields", "unlikely"),
    [
        ({"score": "102.8"}, False),  # the plausible range of Cito, rekenen, M5
        ({"score": "102.7"}, True),
        ({"score": "310.5"}, False),
        ({"score": "310,6"}, True),
        ({"afnamemoment": "M8", "jaargroep": "8", "geboortedatum": "2014-01-01", "score": "310.6"}, False),
        ({"domein": "spelling", "score": "310.6"}, False),
        ({"domein": "taalverzorging", "score": "310.6"}, False),  # no norms
        ({"afnamemoment": "", "score": "599"}, False),
        ({"uitgever": "iep", "score": "2"}, False),
    ],
)
def test_an_unlikely_score_is_taken_with_a_warning(fields: dict[str, str], unlikely: bool) -> None:
    accepted, outcome = check(write_csv([row(**fields)]))
    assert len(accepted) == 1 and not outcome.refused
    assert rules_told(outcome) == ({"unusual-score"} if unlikely else set())


def test_unlikely_scores_are_told_of_once_with_their_number_and_the_first() -> None:
    table = rows(600)
    for number in (3, 4, 500):
        table[number]["score"] = "20"
    table[4]["geslacht"] = "?"  # refused for another reason: told of that
    table[599]["score"] = "650"
    _, outcome = check(write_csv(table), batch_bytes=20_000)
    told = {found.rule: found for found in outcome.findings}
    assert set(told) == {"unusual-score", "code", "range"} and len(outcome.findings) == 3
    assert (told["unusual-score"].row, told["unusual-score"].column) == (4, "score")
    assert told["unusual-score"].message.startswith("In 2 rijen ")
    assert (told["range"].row, outcome.counts["refused_rows"]) == (600, 2)


def test_a_scale_that_an_administrator_added_counts_in_the_checks() -> None:
    added = """
publishers = ["ijk"]

[[scales]]
publisher = "ijk"
range = [10, 20]

[[scales]]
publisher = "ijk"
domain = "spelling"
range = [10, 30]
plausible.M5 = [12, 18]
"""
    rules = with_additions(packaged_rules("nco-lvs-1"), added, "p.toml")
    cases = {
        ("spelling", "M5", "25"): {"unusual-score"},
        ("spelling", "M4", "25"): set(),
        ("rekenen_wiskunde", "M5", "25"): {"range", "too-many-refused"},
        ("spelling", "M5", "31"): {"range", "too-many-refused"},
    }
    for (domain, moment, score), told in cases.items():
        table = [row(uitgever="ijk", domein=domain, afnamemoment=moment, score=score)]
        assert rules_told(check(write_csv(table), rules=rules)[1]) == told, (domain, moment, score)
    assert "code" in rules_told(check(write_csv([row(uitgever="ijk", score="15")]))[1])
