"""What patterns of an administrator may cost: those that could keep a worker from its work are told apart before they are used."""

import re
import time

import pytest

from policies.patterns import LONGEST, MOST_WAYS, ways
from policies.rules import packaged_rules

ENDLESS = [
    "(a+)+b",
    "(a*)*b",
    "(a|a?)+b",
    "(ab|a|b)*c",
    "(?:a?){40}b",
    "a?" * 40 + "b",
    ".*.*.*.*b",
    "((((a*)*)*)*)*b",
    "(?=(a+)+b)",
    "(?>(a+)+b)",
]
QUICK = [
    "RW20[0-9]{2}-[0-9]{2}-[0-9]{3}",
    "ICE-EN(?:-(?P<moment>M[3-8]|E[3-7]|B8))?",
    "(^|_)iq($|_)",
    ".*toets.*",
    "[A-Z]+-[0-9]+",
    "(a)?(?(1)b|c)",
]


@pytest.mark.parametrize("pattern", ENDLESS)
def test_what_may_be_tried_without_end_is_too_much(pattern: str) -> None:
    assert ways(pattern) > MOST_WAYS


@pytest.mark.parametrize("pattern", QUICK)
def test_what_is_usual_is_not(pattern: str) -> None:
    assert ways(pattern) <= MOST_WAYS


@pytest.mark.parametrize(
    ("pattern", "count"), [("abc", 1), ("a?", 2), ("a|bc", 2), ("[0-9]{3}", 1), ("[0-9]{1,4}", 4), ("a*", LONGEST + 1)]
)
def test_the_ways_are_counted(pattern: str, count: int) -> None:
    assert ways(pattern) == count


def test_what_is_let_through_is_soon_done() -> None:
    """The worst that is let through, against the text that is worst for it."""
    worst = [".*.*b", "(?:a|aa)?" * 9 + "b", "a{0,90}a{0,90}a{0,90}b"]
    assert all(MOST_WAYS / 20 < ways(pattern) <= MOST_WAYS for pattern in worst)
    begin = time.process_time()
    assert not any(re.search(pattern, "a" * LONGEST) for pattern in worst)
    assert time.process_time() - begin < 10


def test_a_longer_name_than_any_is_not_read_whole() -> None:
    rules = packaged_rules("nco-lvs-1")
    assert rules.special_topic("x" * (LONGEST - 7) + "diagnos") == "gezondheid"
    assert rules.special_topic("x" * LONGEST + "diagnos") is None, "it is refused as an unknown column, and of XML before"
