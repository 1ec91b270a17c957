"""Laws of pseudonyms: one to one, reversible with the key only, nothing in common between domains, no slip goes unseen."""

from hypothesis import assume, given
from hypothesis import strategies as st

from keys.pseudonyms import PseudonymDomain, check_character
from keys.secret import Secret
from policies.errors import Refused

ROOT = Secret(bytes(range(32)))
PERSONS = PseudonymDomain(ROOT, "store", "person")
PROJECT = PseudonymDomain(ROOT, "onderzoek-7", "person")
ALPHABET = "0123456789abcdefghijklmnopqrstuvwxyz"

VALUES = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=16).filter(
    lambda value: len(value.encode()) <= 16
)
DOMAINS = st.builds(
    PseudonymDomain,
    st.binary(min_size=16, max_size=32).map(Secret),
    st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,20}", fullmatch=True),
    st.sampled_from(["person", "school"]),
    st.integers(1, 1000),
)


def refused(text: str, domain: PseudonymDomain = PERSONS) -> bool:
    try:
        domain.reveal(text)
    except Refused:
        return True
    return False


@given(DOMAINS, st.lists(VALUES, max_size=10))
def test_columns_and_single_values_agree_and_are_reversed(domain: PseudonymDomain, values: list[str]) -> None:
    pseudonyms = domain.many(values)
    assert pseudonyms == [domain.pseudonym(value) for value in values]
    assert [domain.reveal(pseudonym) for pseudonym in pseudonyms] == values
    assert len(set(pseudonyms)) == len(set(values))


@given(VALUES, VALUES)
def test_the_same_value_and_no_other_has_the_same_pseudonym(first: str, second: str) -> None:
    assert (PERSONS.pseudonym(first) == PERSONS.pseudonym(second)) == (first == second)


@given(VALUES, VALUES)
def test_two_domains_have_nothing_in_common(first: str, second: str) -> None:
    here, there = PERSONS.pseudonym(first), PROJECT.pseudonym(second)
    assert refused(there)
    assert refused(here, PROJECT)
    for at in range(3, len(here) - 8):
        assert here[at : at + 8] not in there


@given(VALUES, st.integers(0, 55), st.integers(0, 7))
def test_every_flipped_bit_is_refused(value: str, place: int, bit: int) -> None:
    text = PERSONS.pseudonym(value)
    assert refused(text[:place] + chr(ord(text[place]) ^ 1 << bit) + text[place + 1 :])


@given(VALUES, st.integers(3, 54), st.sampled_from(ALPHABET))
def test_a_slip_is_refused_and_seen_without_the_key(value: str, place: int, character: str) -> None:
    text = PERSONS.pseudonym(value)
    assume(character != text[place])
    slipped = text[:place] + character + text[place + 1 :]
    assert refused(slipped)
    assert check_character(slipped.replace("-", "")[:-1]) != slipped[-1]


@given(VALUES, st.integers(3, 53), st.sampled_from("abcdefghijklmnopqrstuvwxyz234567"))
def test_a_forger_who_knows_the_check_character_is_refused(value: str, place: int, character: str) -> None:
    text = PERSONS.pseudonym(value)
    assume(character != text[place])
    forged = text[:place] + character + text[place + 1 : -1]
    assert refused(forged + check_character(forged.replace("-", "")))


@given(st.text(max_size=60))
def test_other_text_is_refused(text: str) -> None:
    assert refused(text)
    assert refused("p1-" + text)


@given(st.text(ALPHABET, min_size=1, max_size=60))
def test_the_check_character_closes_iso_7064(text: str) -> None:
    running = 36
    for character in text:
        running = ((running + ALPHABET.index(character)) % 36 or 36) * 2 % 37
    assert (running + ALPHABET.index(check_character(text))) % 36 == 1
