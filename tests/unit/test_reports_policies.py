"""What may be shown, and how growth's rules are read."""

import pytest

from policies.disclosure import FILE as DISCLOSURE_FILE
from policies.disclosure import disclosure, read_disclosure
from policies.errors import Unsound
from policies.growth import FILE as GROWTH_FILE
from policies.growth import growth, read_growth

RULES = disclosure()


@pytest.mark.parametrize(("pupils", "shown"), [(0, False), (1, False), (5, False), (6, True), (7, True)])
def test_groups_of_five_or_fewer_are_never_shown(pupils: int, shown: bool) -> None:
    assert RULES.shown(pupils) is shown
    assert (RULES.mean(12.34, pupils) is not None) is shown
    assert (RULES.standardised(0.34, pupils) is not None) is shown


def test_a_whole_is_not_shown_beside_a_part_that_leaves_five_or_fewer() -> None:
    assert not RULES.beside(20, 25)
    assert RULES.beside(20, 26)
    assert not RULES.beside(20, 20)


@pytest.mark.parametrize(
    ("part", "pupils", "shown"),
    [
        (0, 100, 5),
        (4, 100, 5),
        (96, 100, 95),
        (100, 100, 95),
        (50, 100, 50),
        (52, 100, 50),
        (53, 100, 55),
        (1, 40, 5),
        (19, 19, None),
        (3, 5, None),
    ],
)
def test_percentages_are_stepped_and_kept_between_5_and_95(part: int, pupils: int, shown: int | None) -> None:
    assert RULES.percentage(part, pupils) == shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [(12.25, 12.3), (-12.25, -12.3), (12.24, 12.2), (-0.04, 0.0), (0.1 + 0.2 - 0.05, 0.3), (None, None), (float("nan"), None)],
)
def test_means_are_rounded_as_people_round(value: float | None, shown: float | None) -> None:
    assert RULES.mean(value, 30) == shown
    assert str(RULES.mean(-0.04, 30)) == "0.0"


def test_the_last_bits_of_a_sum_do_not_change_what_is_shown() -> None:
    assert RULES.mean(12.25 - 1e-12, 30) == RULES.mean(12.25 + 1e-12, 30) == 12.3


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("smallest_group = 6", "smallest_group = 5"),
        ("lowest_percentage = 5", "lowest_percentage = 4"),
        ("highest_percentage = 95", "highest_percentage = 96"),
        ("mean_decimals = 1", "mean_decimals = 1.5"),
        ("mean_decimals = 1", "mean_decimal = 1"),
        ("percentage_step = 5", "percentage_step = 0"),
        ("smallest_group = 6", "smallest_group ="),
        ("smallest_group = 6", "smallest_group = 6\nlargest_group = 7"),
    ],
)
def test_rules_that_show_too_much_or_say_nothing_known_are_refused(old: str, new: str) -> None:
    text = DISCLOSURE_FILE.read_text(encoding="utf-8")
    assert old in text
    with pytest.raises(Unsound, match="disclosure"):
        read_disclosure(text.replace(old, new, 1))


def test_stricter_rules_are_taken() -> None:
    text = DISCLOSURE_FILE.read_text(encoding="utf-8").replace("smallest_group = 6 ", "smallest_group = 10 ")
    assert not read_disclosure(text).shown(9)


@pytest.mark.parametrize(
    ("code", "scale"),
    [
        ("RW2006-12-155", "RW2006"),
        ("rw2006-13-200", "RW2006"),
        ("BLZ07-20-138", "BLZ07"),
        ("RW-3.0-M5", "RW-3.0"),
        ("RW-3.0-E5", "RW-3.0"),
        ("RW-2.0-E5", "RW-2.0"),
        ("RW3.0M5", "RW3.0"),
        ("M5-SP 3.0", "SP 3.0"),
        ("IETS", "IETS"),
        ("M5", "M5"),
        ("", ""),
    ],
)
def test_a_code_names_its_scale(code: str, scale: str) -> None:
    assert growth().scale("cito", code) == scale


def test_generations_of_a_test_are_different_scales() -> None:
    assert growth().scale("cito", "RW-2.0-M5") != growth().scale("cito", "RW-3.0-E5")


def test_an_administrator_may_add_a_scale_for_one_publisher() -> None:
    line = "[[scales]]\npublisher = \"boom\"\npattern = '(?P<scale>TEST)[0-9]+'\n"
    rules = read_growth(GROWTH_FILE.read_text(encoding="utf-8").replace("[[scales]]", line + "\n[[scales]]", 1))
    assert rules.scale("boom", "test12") == "TEST"
    assert rules.scale("iep", "test12") == "TEST12"


@pytest.mark.parametrize(("value", "said"), [(0.5, 0), (-0.5, 0), (0.0, 0), (0.6, 1), (-0.6, -1)])
def test_within_half_a_deviation_is_about_equal(value: float, said: int) -> None:
    assert growth().compared(value) == said


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("about_equal = 0.5", "about_equal = -1"),
        ("cohorts = 2", "cohorts = 3"),
        ("about_equal", "about_same"),
        ("fewest_schools = 5", "fewest_schools = 0"),
        ("end = [4, 5, 6, 7]", "end = [3, 4]"),
        ("end = [4, 5, 6, 7]", "end = [13]"),
        ("end = [4, 5, 6, 7]", "end = [4]\nsummer = [8]"),
        ("(?P<scale>[A-Z]+[0-9]+)", "([A-Z]+[0-9]+)"),
        ("(?P<scale>[A-Z]+[0-9]+)", "(?P<scale>[A-Z+"),
        ("pattern = ", "pattren = "),
        ("[reference]", "[referenced]"),
    ],
)
def test_unknown_or_impossible_rules_on_growth_are_refused(old: str, new: str) -> None:
    text = GROWTH_FILE.read_text(encoding="utf-8")
    assert old in text
    with pytest.raises(Unsound, match="growth"):
        read_growth(text.replace(old, new, 1))
