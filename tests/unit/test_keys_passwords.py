"""Passwords for paper: strong, legible, forgiving of how they come back."""

import math
import re

import pytest

from keys.passwords import ALPHABET, DUMMY_HASH, LANES, MEMORY_KIB, PASSES, STRENGTH_BITS, generate, hash_password, normalise, verify

PASSWORD = "7kfw-r3xd-9cmg-h2tp-n64j"
PHC = hash_password(PASSWORD)


def test_eighty_bits_at_least() -> None:
    password = generate()
    characters = normalise(password)
    assert len(characters) * math.log2(len(set(ALPHABET))) >= STRENGTH_BITS >= 80


def test_in_groups_of_legible_characters() -> None:
    for _ in range(200):
        assert re.fullmatch(r"[2-9a-z]{4}(-[2-9a-z]{4}){4}", password := generate())
        assert set(password) <= set(ALPHABET) | {"-"}
    for alike in ("0o", "1l", "1i", "2z", "5s", "8b", "9q", "uv"):
        assert len(set(alike) & set(ALPHABET)) <= 1
    assert not set("aeiouy") & set(ALPHABET)


def test_all_of_the_alphabet_in_every_place() -> None:
    made = [normalise(generate()) for _ in range(2000)]
    assert len(set(made)) == len(made)
    for place in range(20):
        assert {password[place] for password in made} == set(ALPHABET)


@pytest.mark.parametrize(
    "typed",
    [
        PASSWORD,
        PASSWORD.replace("-", ""),
        PASSWORD.replace("-", " "),
        PASSWORD.upper(),
        f"  {PASSWORD}\t\r\n",
        PASSWORD.replace("-", "\u00a0"),  # no-break space
        PASSWORD.replace("-", "\u202f"),  # narrow no-break space
        PASSWORD.replace("-", "\u2009"),  # thin space
        PASSWORD.replace("-", "\u3000"),  # ideographic space
        PASSWORD.replace("-", "\u2800"),  # Braille blank
        PASSWORD.replace("-", "\u3164"),  # Hangul filler
        PASSWORD.replace("-", "\u2028"),  # line separator
        PASSWORD.replace("-", "\u2010"),  # hyphen
        PASSWORD.replace("-", "\u2011"),  # non-breaking hyphen
        PASSWORD.replace("-", "\u2013"),  # en dash
        PASSWORD.replace("-", "\u2014"),  # em dash
        PASSWORD.replace("-", "\u2212"),  # minus sign
        PASSWORD.replace("-", "\u00ad"),  # soft hyphen
        "\ufeff" + PASSWORD + "\u200b",  # byte order mark, zero-width space
    ],
)
def test_how_it_was_copied_does_not_matter(typed: str) -> None:
    assert normalise(typed) == "7kfwr3xd9cmgh2tpn64j"
    assert verify(typed, PHC)


@pytest.mark.parametrize(
    "typed", ["", "-", PASSWORD[:-1], PASSWORD + "x", PASSWORD.replace("7", "2"), PASSWORD[::-1], "\ud800", "x" * 10_000]
)
def test_another_password_is_refused(typed: str) -> None:
    assert not verify(typed, PHC)


@pytest.mark.parametrize(
    "phc", ["", "plain", PHC[:-3], PHC[:-1] + ("A" if PHC[-1] != "A" else "Q"), PHC.replace("argon2id", "argon2i"), PASSWORD]
)
def test_what_is_no_hash_of_it_is_refused(phc: str) -> None:
    assert not verify(PASSWORD, phc)


def test_the_hash_has_a_salt_and_its_settings() -> None:
    assert PHC.startswith(f"$argon2id$v=19$m={MEMORY_KIB},t={PASSES},p={LANES}$")
    assert hash_password(PASSWORD) != PHC
    assert "7kfw" not in PHC


def test_the_dummy_costs_the_same_and_opens_for_nothing() -> None:
    assert DUMMY_HASH.split("$")[:4] == PHC.split("$")[:4]
    assert [len(part) for part in DUMMY_HASH.split("$")] == [len(part) for part in PHC.split("$")]
    assert not any(verify(text, DUMMY_HASH) for text in ("", PASSWORD, "dummy"))
