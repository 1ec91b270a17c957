"""Laws of passwords' forgiveness: spaces, dashes and capitals never matter, everything else does."""

import unicodedata
from functools import cache

from hypothesis import example, given, settings
from hypothesis import strategies as st

from keys.passwords import ALPHABET, hash_password, normalise, verify

NOTHINGS = [chr(code) for code in range(0x110000) if chr(code).isspace() or unicodedata.category(chr(code)) in ("Pd", "Zs", "Cf")]
PASSWORDS = st.text(ALPHABET, min_size=20, max_size=20)
PHC_OF = cache(hash_password)


@st.composite
def dressed(draw: st.DrawFn, password: str) -> str:
    """The password with whatever copying and typing add."""
    typed = ""
    for character in password:
        typed += draw(st.text(NOTHINGS, max_size=2)) + draw(st.sampled_from([character, character.upper()]))
    return typed + draw(st.text(NOTHINGS, max_size=2))


@given(PASSWORDS, st.data())
def test_spaces_dashes_and_capitals_do_not_matter(password: str, data: st.DataObject) -> None:
    assert normalise(data.draw(dressed(password))) == password


@given(st.text())
def test_normalising_twice_is_normalising_once(text: str) -> None:
    assert normalise(normalise(text)) == normalise(text)


@settings(max_examples=15)
@given(PASSWORDS, PASSWORDS, st.data())
def test_a_password_opens_its_own_hash_only(password: str, other: str, data: st.DataObject) -> None:
    phc = PHC_OF(password)
    assert verify(data.draw(dressed(password)), phc)
    assert verify(other, phc) == (other == password)


@settings(max_examples=50)
@given(st.text() | st.text().map("$argon2id$v=19$m=16,t=1,p=1$".__add__))
@example("$argon2id$v=19$m=0,t=0,p=0$$")
def test_no_text_makes_the_check_fail_otherwise(phc: str) -> None:
    assert verify("7kfw-r3xd-9cmg-h2tp-n64j", phc) is False
