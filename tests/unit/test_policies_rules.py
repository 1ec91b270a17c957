"""The rules of a format and an administrator's additions, out of TOML: what is read, and what is refused with its line."""

import math
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policies.errors import Unsound
from policies.policy_file import MAX_TEXT
from policies.rules import _ADDITIONS, _TABLES, ObjectingPupils, load_rules, packaged_rules, with_additions

POLICY = """format = "x"
refused_rows_share = 0.5
findings_kept = 10
max_line_bytes = 100

[[columns]]
name = "a"
role = "result"
kind = "code"
meaning = "A"
values = ["1"]

[[columns]]
name = "uitgever"
role = "result"
kind = "code"
meaning = "B"
values = ["p"]

[[scales]]
publisher = "p"
range = [0, 1]

[[moments]]
prefix = "M"
months = [1]

[[special_category]]
topic = "t"
patterns = ["x"]
"""

PACKAGED = packaged_rules("nco-lvs-1")

ADDITIONS = """refused_rows_share = 0.25
objecting_pupils = "reject"
publishers = ["bureau_ice"]
domains = ["engels"]

[history]
leaver_years = 1

[age_at_test]
years = [4, 16]

[[tests]]
pattern = 'ICE-EN(?:-(?P<moment>M[3-8]))?'
publisher = "bureau_ice"
domain = "engels"

[[scales]]
publisher = "bureau_ice"
range = [0, 50]

[[scales]]
publisher = "bureau_ice"
domain = "engels"
range.M8 = [10, 60]
plausible = [20, 40]

[[special_category]]
topic = "inkomen"
patterns = ["inkomen", "salaris"]
"""


def line_of(text: str, error: "pytest.ExceptionInfo[Unsound]") -> tuple[int, str]:
    """The line that a refusal names, which is one of the file's, and its reason."""
    place, _, reason = error.value.message.partition(": ")
    name, _, line = place.partition(", line ")
    assert (error.value.code, name) == ("bad-policy", "p.toml")
    assert 1 <= int(line) <= max(1, len(text.splitlines()))
    return int(line), reason


# ---------------------------------------------------------------- a format


def test_a_sound_policy_is_read() -> None:
    rules = load_rules(POLICY, "p.toml")
    assert [column.name for column in rules.columns] == ["a", "uitgever"]
    assert (rules.special_topic("axb"), rules.special_topic("a")) == ("t", None)
    assert (rules.age_at_test_years, rules.leaver_school_years, rules.objecting_pupils) == (None, 0, ObjectingPupils.STRIP)
    assert rules.values("uitgever") == ("p",) and rules.values("no column") == ()


@pytest.mark.parametrize(
    ("old", "new", "line", "reason"),
    [
        ('format = "x"', 'formaat = "x"', 1, "unknown key 'formaat'"),
        ("findings_kept = 10\n", "", 1, "'findings_kept' is missing"),
        ("findings_kept = 10", "findings_kept = 0", 3, "at least 1"),
        ("findings_kept = 10", 'findings_kept = "10"', 3, "'findings_kept' is not a whole number"),
        ("findings_kept = 10", "findings_kept = true", 3, "'findings_kept' is not a whole number"),
        ("refused_rows_share = 0.5", "refused_rows_share = 2", 2, "between 0 and 1"),
        ("refused_rows_share = 0.5", "refused_rows_share = nan", 2, "between 0 and 1"),
        ("refused_rows_share = 0.5", "refused_rows_share = []", 2, "'refused_rows_share' is not a number"),
        ('name = "uitgever"', 'name = "a"', 14, "stands earlier"),
        ('kind = "code"\nmeaning = "B"', 'kind = "cod"\nmeaning = "B"', 16, "unknown kind"),
        ('kind = "code"\nmeaning = "B"', 'kind = "pattern"\nmeaning = "B"', 16, "needs 'pattern'"),
        ('meaning = "B"', 'pattern = "("\nmeaning = "B"', 17, "does not compile"),
        ('kind = "code"\nmeaning = "A"', 'kind = "boolean"\nmeaning = "A"', 11, "two values"),
        ('role = "result"\nkind = "code"\nmeaning = "B"', 'role = "x"\nkind = "code"\nmeaning = "B"', 15, "unknown role"),
        ('meaning = "B"', "", 13, "'meaning' is missing"),
        ('meaning = "B"', 'meaning = "B"\ncolour = 1', 18, "unknown key 'colour' in columns"),
        ('values = ["1"]', "values = [1]", 11, "list of texts"),
        ("range = [0, 1]", "range = [1, 0]", 22, "lower one first"),
        ("range = [0, 1]", "range = [0, inf]", 22, "two numbers"),
        ("months = [1]", "months = [13]", 26, "1 to 12"),
        ("months = [1]", "months = [true]", 26, "1 to 12"),
        ('patterns = ["x"]', 'patterns = ["("]', 30, "does not compile"),
        ("[[scales]]", "[scales]", 20, "'scales' is not a list"),
        ("range = [0, 1]", "plausible = [0, 1]", 1, "the publisher 'p' has no [[scales]] with a range"),
    ],
)
def test_a_policy_that_is_not_sound_is_refused_with_its_line(old: str, new: str, line: int, reason: str) -> None:
    assert old in POLICY
    text = POLICY.replace(old, new, 1)
    with pytest.raises(Unsound) as error:
        load_rules(text, "p.toml")
    assert line_of(text, error)[0] == line and reason in error.value.message


def test_a_list_of_plain_values_is_no_list_of_tables() -> None:
    with pytest.raises(Unsound, match=r"line 1: .*written as \[\[moments\]\]"):
        load_rules("moments = [1]\n" + POLICY[: POLICY.index("[[moments]]")], "p.toml")


def test_the_age_range_is_a_pair() -> None:
    with pytest.raises(Unsound, match=r"line 33: .*two numbers"):
        load_rules(POLICY + "\n[age_at_test]\nyears = [3]\n", "p.toml")
    assert load_rules(POLICY + "\n[age_at_test]\nyears = [3, 20]\n", "p.toml").age_at_test_years == (3, 20)


# ---------------------------------------------------------------- additions


def test_nothing_added_changes_nothing() -> None:
    assert with_additions(PACKAGED, "", "p.toml") == PACKAGED == with_additions(PACKAGED, "\ufeff# only words\r\n", "p.toml")


def test_what_an_administrator_adds_comes_before_what_is_packaged() -> None:
    rules = with_additions(PACKAGED, ADDITIONS, "p.toml")
    assert (rules.refused_rows_share, rules.objecting_pupils) == (0.25, "reject")
    assert (rules.leaver_school_years, rules.history_school_years) == (1, PACKAGED.history_school_years)
    assert rules.age_at_test_years == (4, 16)
    assert rules.values("uitgever") == (*PACKAGED.values("uitgever"), "bureau_ice")
    assert rules.values("domein")[-1] == "engels"
    match = rules.test("ICE-EN-M8")
    assert match is not None and (match.publisher, match.domain, match.moment) == ("bureau_ice", "engels", "M8")
    assert rules.test("RW2006-12-155") == PACKAGED.test("RW2006-12-155")
    assert (rules.special_topic("salaris_vader"), rules.special_topic("etniciteit")) == ("inkomen", "ras of etnische afkomst")
    assert PACKAGED.test("ICE-EN-M8") is None, "the packaged rules are left as they were"


def test_the_most_specific_scale_counts() -> None:
    rules = with_additions(PACKAGED, ADDITIONS, "p.toml")
    assert rules.bounds("bureau_ice", "engels", "M8") == ((10, 60), (20, 40))
    assert rules.bounds("bureau_ice", "engels", "M7") == ((0, 50), (20, 40))
    assert rules.bounds("bureau_ice", "spelling", "M8") == ((0, 50), None)
    assert rules.bounds("niemand") == (None, None)
    # the norms: 206.64 -/+ 4 times 25.97
    assert rules.bounds("cito", "rekenen_wiskunde", "M5") == ((0, 600), (102.8, 310.5))
    wider = '[[scales]]\npublisher = "cito"\nrange = [0, 700]\n\n'
    wider += '[[scales]]\npublisher = "cito"\ndomain = "rekenen_wiskunde"\nplausible.M5 = [1, 2]\n'
    assert with_additions(PACKAGED, wider, "p.toml").bounds("cito", "rekenen_wiskunde", "M5") == ((0, 700), (1, 2))


def test_a_code_that_does_not_tell_its_moment_can_be_given_one() -> None:
    text = '[[tests]]\npattern = \'RW2006-12-155(?P<moment>-E5)?\'\npublisher = "cito"\ndomain = "rekenen_wiskunde"\nmoment = "M5"\n'
    rules = with_additions(PACKAGED, text.replace("-E5", "E5"), "p.toml")
    assert [match.moment for code in ("RW2006-12-155", "RW2006-12-155E5", "RW2006-12-156") if (match := rules.test(code))] == [
        "M5",
        "E5",
        "",
    ]
    with pytest.raises(Unsound, match="line 5: 'moment' is none of the values of the column afnamemoment"):
        with_additions(PACKAGED, text.replace('"M5"', '"E8"'), "p.toml")


def test_an_own_test_of_the_same_code_counts_before_the_packaged_one() -> None:
    text = '[[tests]]\npattern = \'RW-3[.]0.*\'\npublisher = "cito"\ndomain = "spelling"\n'
    match = with_additions(PACKAGED, text, "p.toml").test("RW-3.0-M5")
    assert match is not None and match.domain == "spelling"


@pytest.mark.parametrize(
    ("old", "new", "line", "reason"),
    [
        ("refused_rows_share = 0.25", "refused_rows_share = -0.1", 1, "between 0 and 1"),
        ("refused_rows_share = 0.25", "findings_kept = 5", 1, "unknown key 'findings_kept'"),
        ("refused_rows_share = 0.25", "refused_rows_share = ", 1, "Invalid value"),
        ("refused_rows_share = 0.25", "refused_rows_share = " + 5000 * "9", 1, "can't be read"),
        ("refused_rows_share = 0.25", "refused_rows_share = " + 5000 * "[", 1, "can't be read"),
        ('objecting_pupils = "reject"', 'objecting_pupils = "weg"', 2, "one of strip, reject"),
        ('publishers = ["bureau_ice"]', 'publishers = ["Bureau ICE"]', 3, "words of lower case"),
        ('publishers = ["bureau_ice"]', 'publishers = ["bureau_ice", "nog_een"]', 3, "'nog_een' has no [[scales]]"),
        ('publishers = ["bureau_ice"]', "publishers = [1]", 3, "list of texts"),
        ('domains = ["engels"]', 'domains = "engels"', 4, "'domains' is not a list"),
        ("[history]\nleaver_years = 1", "history.leaver_years = -1", 6, "between 0 and 20"),
        ("leaver_years = 1", "leaver_years = 99999999999999999999", 7, "between 0 and 20"),
        ("leaver_years = 1", "leaver_years = 1.5", 7, "'leaver_years' is not a whole number"),
        ("leaver_years = 1", "years = 1", 7, "unknown key 'years' in history"),
        ("[history]", "[[history]]", 6, "'history' is not a table"),
        ("years = [4, 16]", "years = [4, 16, 18]", 10, "two numbers"),
        ("pattern = 'ICE-EN(?:-(?P<moment>M[3-8]))?'", "pattern = 'ICE-EN('", 13, "does not compile"),
        ("pattern = 'ICE-EN(?:-(?P<moment>M[3-8]))?'", "pattern = 'I{99999999999}'", 13, "does not compile"),
        ("pattern = 'ICE-EN(?:-(?P<moment>M[3-8]))?'", "pattern = '(I+)+E'", 13, "may take too long"),
        ('publisher = "bureau_ice"\ndomain = "engels"\n\n[[scales]]', 'publisher = "ijs"\n[[scales]]', 12, "'domain' is missing in tests"),
        ('domain = "engels"\n\n[[scales]]', 'domain = "frans"\n\n[[scales]]', 15, "none of the values of the column domein"),
        (
            'publisher = "bureau_ice"\nrange = [0, 50]',
            'publisher = "ijs"\nrange = [0, 50]',
            18,
            "none of the values of the column uitgever",
        ),
        ("range = [0, 50]", "range = [0, " + 400 * "9" + "]", 19, "two numbers"),
        ("range = [0, 50]", "", 17, "a 'range', a 'plausible', or both"),
        ("range.M8 = [10, 60]", "range.E8 = [10, 60]", 24, "'E8' is none of the values of the column afnamemoment"),
        ("range.M8 = [10, 60]", "range.M8 = 10", 24, "'M8' is two numbers"),
        ("plausible = [20, 40]", "plausible = [20]", 25, "'plausible' is two numbers"),
        ("plausible = [20, 40]", 'plausible = "alles"', 25, "'plausible' is not a list or a table"),
        ('topic = "inkomen"', "", 27, "'topic' is missing"),
        ('patterns = ["inkomen", "salaris"]', 'patterns = ["inkomen"', 29, "Unclosed array"),
        ('patterns = ["inkomen", "salaris"]', "patterns = []", 29, "list of texts"),
    ],
)
def test_additions_that_are_not_sound_are_refused_with_their_line(old: str, new: str, line: int, reason: str) -> None:
    assert old in ADDITIONS
    text = ADDITIONS.replace(old, new, 1)
    with pytest.raises(Unsound) as error:
        with_additions(PACKAGED, text, "p.toml")
    assert reason in error.value.message
    assert line_of(text, error)[0] == line


def test_a_file_without_an_end_is_refused() -> None:
    with pytest.raises(Unsound, match="line 1: more than"):
        with_additions(PACKAGED, "#" * (MAX_TEXT + 1), "p.toml")


#: pieces of which a file by a tired administrator is made
PIECES = st.sampled_from(
    [
        *ADDITIONS.splitlines(),
        "[[scales]]",
        "[scales]",
        "[[tests]]",
        "[",
        "]",
        "{",
        '"',
        "'''",
        "=",
        "tests = 1",
        "history = 3",
        "\0",
        "\ufeff",
    ]
)
LEAVES = st.booleans() | st.integers(-(10**400), 10**400) | st.floats() | st.text(max_size=5)
VALUES = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abM58", min_size=1, max_size=3), inner, max_size=3)
)
KEYS = ("refused_rows_share", "objecting_pupils", "publishers", "domains", "history", "age_at_test", "scales", "special_category", "tests")
ENTRY_KEYS = ("publisher", "domain", "range", "plausible", "pattern", "patterns", "topic", "years", "leaver_years", "school_years")


def toml(value: object) -> str:
    """A value as TOML writes it, in line."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return "nan" if math.isnan(value) else repr(value)
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {toml(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(toml, value)) + "]"
    return "'" + "".join(sign for sign in str(value) if sign.isprintable() and sign != "'") + "'" if isinstance(value, str) else str(value)


def taken_or_refused(text: str) -> None:
    try:
        rules = with_additions(PACKAGED, text, "p.toml")
    except Unsound:
        with pytest.raises(Unsound) as error:
            with_additions(PACKAGED, text, "p.toml")
        line_of(text, error)
    else:
        assert 0 <= rules.refused_rows_share <= 1
        assert all(rules.bounds(publisher)[0] for publisher in rules.values("uitgever"))


@given(st.lists(PIECES, max_size=12).map("\n".join) | st.text(max_size=80))
@settings(max_examples=200, deadline=None)
def test_any_text_is_taken_or_refused_with_a_line(text: str) -> None:
    taken_or_refused(text)


@given(st.dictionaries(st.sampled_from(KEYS), VALUES | st.lists(st.dictionaries(st.sampled_from(ENTRY_KEYS), VALUES), max_size=2)))
@settings(max_examples=300, deadline=None)
def test_any_values_are_taken_or_refused_with_a_line(document: dict[str, object]) -> None:
    taken_or_refused("\n".join(f"{key} = {toml(value)}" for key, value in document.items()))


# ---------------------------------------------------------------- the operator's page


def test_the_example_of_the_page_is_sound_and_the_page_names_every_key() -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "operator" / "rules.md").read_text(encoding="utf-8")
    rules = with_additions(PACKAGED, page.split("```toml\n")[1].split("```")[0], "p.toml")
    assert rules.bounds("bureau_ice", "engels", "M8") == ((0, 100), (35, 95)) and rules.test("ICE-EN-M7")
    named = set(re.findall(r"`\[*([a-z_]+)\]*`", page))
    assert named >= {*_ADDITIONS, *(key for table in _ADDITIONS if table in _TABLES for key in _TABLES[table])}
