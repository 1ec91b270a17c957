"""Fictitious numbers: what they look like, and what is not one."""

import re
import time

import pytest

from keys.pseudonyms import PseudonymDomain, check_character
from keys.secret import Secret
from policies.errors import Refused, WrongUsage

ROOT = Secret(bytes(range(32)))
PERSONS = PseudonymDomain(ROOT, "store", "person")
SCHOOLS = PseudonymDomain(ROOT, "store", "school")


def refused(domain: PseudonymDomain, text: str) -> bool:
    try:
        domain.reveal(text)
    except Refused as refusal:
        assert refusal.code == "not-a-pseudonym"
        assert refusal.__cause__ is None
        assert text == "" or text not in str(refusal)
        return True
    return False


def test_it_looks_like_no_number() -> None:
    assert re.fullmatch(r"p1-[a-z2-7]{52}[0-9a-z]", PERSONS.pseudonym("P1"))
    assert re.fullmatch(r"s12-[a-z2-7]{52}[0-9a-z]", PseudonymDomain(ROOT, "store", "school", 12).pseudonym("00AA00"))


def test_no_two_domains_kinds_or_versions_have_anything_in_common() -> None:
    domains = [
        PERSONS,
        SCHOOLS,
        PseudonymDomain(ROOT, "store", "person", 2),
        PseudonymDomain(ROOT, "project", "person"),
        PseudonymDomain(Secret(bytes(32)), "store", "person"),
    ]
    bodies = {domain.pseudonym("P1").partition("-")[2] for domain in domains}
    assert len(bodies) == len(domains)
    for domain in domains:
        text = domain.pseudonym("P1")
        assert domain.reveal(text) == "P1"
        assert all(refused(other, text) for other in domains if other is not domain)


def test_a_foreign_prefix_does_not_make_it_ours() -> None:
    body = PERSONS.pseudonym("P1")[3:-1]
    forged = f"s1-{body}{check_character('s1' + body)}"
    assert refused(SCHOOLS, forged)
    assert refused(PERSONS, forged)


@pytest.mark.parametrize(
    "text", ["", "p1-", "p1-a", "123456782", "p1-" + "a" * 53, "p1-" + "é" * 53, "p1-" + "0" * 53, "p1-" + "=" * 53, "\0" * 56]
)
def test_what_is_none_is_refused(text: str) -> None:
    assert refused(PERSONS, text)


def test_another_way_of_writing_the_same_is_refused() -> None:
    text = PERSONS.pseudonym("P1")
    body = text[3:-1]
    # the last base32 character has four bits to spare: a lax decoder takes 16 characters for it
    alphabet = "abcdefghijklmnopqrstuvwxyz234567"
    spare = alphabet[alphabet.index(body[-1]) + 1]
    respelled = f"p1-{body[:-1]}{spare}"
    for other in (
        text.upper(),
        f" {text}",
        f"{text} ",
        f"{text}\n",
        respelled + check_character("p1" + respelled[3:]),
        "p1-" + text[3:].upper(),
    ):
        assert refused(PERSONS, other)


@pytest.mark.parametrize("value", ["", "P" * 17, "é" * 9, "a\0", "\0"])
def test_a_value_that_does_not_fit_is_refused_and_not_repeated(value: str) -> None:
    for make in (PERSONS.pseudonym, lambda text: PERSONS.many(["P1", text])):
        with pytest.raises(Refused) as refusal:
            make(value)
        assert refusal.value.code == "value-too-long"
        assert value == "" or value not in str(refusal.value)


@pytest.mark.parametrize(
    "arguments",
    [("", "person", 1), ("a/b", "person", 1), ("-a", "person", 1), ("a", "board", 1), ("a", "person", 0), ("a" * 65, "person", 1)],
)
def test_a_domain_that_is_none_is_refused(arguments: tuple[str, str, int]) -> None:
    with pytest.raises(WrongUsage):
        PseudonymDomain(ROOT, *arguments)


def test_none_gives_none() -> None:
    assert PERSONS.many([]) == []


def test_a_column_takes_no_loop_of_the_library() -> None:
    values = [f"P{number:09}" for number in range(50_000)]
    begun = time.process_time()
    assert len(set(PERSONS.many(values))) == len(values)
    assert time.process_time() - begun < 1.0  # about 0.15 s
