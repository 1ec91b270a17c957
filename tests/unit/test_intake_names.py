"""What a file may be called, and where a path points."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.intake.files.names import FOLDERS, Place, canonical, check_name, is_unfinished, locate, twin_key
from gateway.intake.files.refusals import CATALOGUE, IntakeRefused


def code_of(name: str) -> str:
    with pytest.raises(IntakeRefused) as refused:
        check_name(name)
    return refused.value.code


@pytest.mark.parametrize(
    "name",
    [
        "a.csv.age",
        "levering 2026-01-12 (é).csv.gz.age",
        "日本.age",
        "x" * 255,
        "123456789.age",
        "20260112120000.age",
        "a..b.age",
        "console.age",
        "com10.age",
        "lpt.age",
    ],
)
def test_good_names(name: str) -> None:
    check_name(name)


@pytest.mark.parametrize(
    ("name", "code"),
    [
        (".verborgen", "name-leading"),
        ("-rf", "name-leading"),
        (" x.age", "name-leading"),
        ("\u00a0x.age", "name-leading"),
        ("x.age.", "name-trailing"),
        ("x.age ", "name-trailing"),
        ("x" * 256, "name-too-long"),
        ("é" * 128, "name-too-long"),
        ("leerling-111222333.csv.age", "name-number"),  # passes the elfproef
        ("101000012.csv.age", "name-number"),  # an onderwijsnummer
        ("con", "name-reserved"),
        ("Aux.csv.age", "name-reserved"),
        ("LPT1.csv.age", "name-reserved"),
        ("levering: 1.age", "name-reserved"),
        ("wat?.age", "name-reserved"),
    ],
)
def test_bad_names(name: str, code: str) -> None:
    assert code_of(name) == code


@pytest.mark.parametrize(
    ("path", "place"),
    [
        (b"", Place()),
        (b"/", Place()),
        (b".", Place()),
        (b"//leveringen/.//", Place("leveringen")),
        (b"leveringen/a.age", Place("leveringen", "a.age")),
        ("/leveringen/e\u0301.age".encode(), Place("leveringen", "\u00e9.age")),
    ],
)
def test_places(path: bytes, place: Place) -> None:
    assert locate(path) == place


@pytest.mark.parametrize(
    ("path", "code"),
    [
        (b"/leveringen/../bezwaren/x", "name-dots"),
        (b"..", "name-dots"),
        (b"/etc/passwd", "no-such-file"),
        (b"/leveringen/sub/x.age", "no-such-file"),
        (b"/LEVERINGEN/x.age", "no-such-file"),
        (b"/leveringen/x\x00.age", "name-control"),
        (b"/leveringen/x\n.age", "name-control"),
        ("/leveringen/x\u202egpj.age".encode(), "name-control"),
        ("/leveringen/x\u200b.age".encode(), "name-control"),
        (b"/leveringen/\xff.age", "name-not-utf8"),
        (b"/leveringen/..\\..\\x", "name-backslash"),
    ],
)
def test_tricks(path: bytes, code: str) -> None:
    with pytest.raises(IntakeRefused) as refused:
        locate(path)
    assert refused.value.code == code


@pytest.mark.parametrize(
    ("path", "whole"), [(b".", b"/"), (b"..", b"/"), (b"leveringen/..", b"/"), (b"/a/../../b/./c/", b"/b/c"), (b"bezwaren", b"/bezwaren")]
)
def test_canonical_never_leaves_the_root(path: bytes, whole: bytes) -> None:
    assert canonical(path) == whole


@pytest.mark.parametrize("name", ["a.age.part", "a.partial", "a.age.filepart", "A.TMP"])
def test_unfinished(name: str) -> None:
    assert is_unfinished(name)
    assert not is_unfinished(name + ".age")


def test_every_refusal_speaks_both_languages_and_names_no_value() -> None:
    for code in CATALOGUE:
        said = IntakeRefused(code).said
        assert said.count(" / ") == 1
        assert said.endswith(f"[{code}]")
        assert "{" not in said
    assert FOLDERS == ("leveringen", "bezwaren", "ontvangst", "sleutels")


@pytest.mark.parametrize(
    ("one", "other"),
    [("a.age", "A.AGE"), ("stra\u00dfe.age", "STRASSE.age"), ("\u00e9.age", "e\u0301.age"), ("ﬁle.age", "file.age"), ("ａ.age", "a.age")],
)
def test_twins(one: str, other: str) -> None:
    """Names that a person, or a disk that ignores case, takes for the same."""
    assert twin_key(one) == twin_key(other)


@pytest.mark.parametrize(("one", "other"), [("a.age", "b.age"), ("e.age", "\u00e9.age"), ("a.age", "a.age.part"), ("1.age", "l.age")])
def test_no_twins(one: str, other: str) -> None:
    assert twin_key(one) != twin_key(other)


@given(st.text())
def test_a_twin_of_a_twin_is_a_twin(name: str) -> None:
    assert twin_key(twin_key(name)) == twin_key(name) == twin_key(unicodedata.normalize("NFD", name))


@pytest.mark.parametrize("character", [chr(code) for code in range(128)])
def test_the_short_way_for_plain_letters_answers_as_the_long_one(character: str) -> None:
    """One letter that is not ASCII takes a name the long way."""
    assert twin_key(character + "é") == twin_key(character) + "é"
    if character.isprintable() and character not in "/\\":
        assert locate(f"leveringen/x{character}".encode()).name == locate(f"leveringen/éx{character}".encode()).name[1:]
    elif character not in "/\\":
        for path in (f"leveringen/x{character}", f"leveringen/é{character}"):
            with pytest.raises(IntakeRefused, match=r"stuurtekens|control"):
                locate(path.encode())
