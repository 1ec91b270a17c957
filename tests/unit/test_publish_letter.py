"""The letter: what it says, where the address stands, and that the password is nowhere but in it."""

import io
from datetime import date

import pypdf
import pytest

from gateway.publish.letter import LetterFacts, dutch_day, letter_pdf, prepare
from keys import passwords

FACTS = LetterFacts(
    board="12345",
    board_name="Stichting De Sluis #[1] $x$",
    address=("Kerkstraat 12", "1441 AB  Purmerend"),
    portal="https://rapportages.sluis.example:8443",
    valid_until=date(2027, 11, 30),
    written_on=date(2026, 11, 21),
    authority="De autoriteit",
    authority_address="Postbus 1|2490 HA Den Haag",
    contact="info@sluis.example",
)


def words(pdf: bytes) -> str:
    return " ".join(" ".join(page.extract_text() for page in pypdf.PdfReader(io.BytesIO(pdf)).pages).split())


def test_letter_says_where_who_and_until_when() -> None:
    text = words(letter_pdf(FACTS, "k7qf-m3xd-9wht-pr4a-cg6n"))
    for expected in ("rapportages.sluis.example:8443", "12345", "30 november 2027", "21 november 2026", "info@sluis.example", "#[1] $x$"):
        assert expected in text
    assert passwords.normalise("k7qf-m3xd-9wht-pr4a-cg6n") in passwords.normalise(text)


def test_letter_is_one_tagged_page_with_the_address_in_the_window() -> None:
    document = pypdf.PdfReader(io.BytesIO(letter_pdf(FACTS, "k7qf-m3xd-9wht-pr4a-cg6n")))
    assert len(document.pages) == 1
    assert document.trailer["/Root"]["/MarkInfo"]["/Marked"]
    assert document.trailer["/Root"]["/Lang"] == "nl"
    places: dict[str, tuple[float, float]] = {}

    def visit(text: str, page_matrix: list[float], text_matrix: list[float], *_: object) -> None:
        if text.strip():
            a, b, c, d, e, f = page_matrix
            x, y = text_matrix[4], text_matrix[5]
            places.setdefault(text.strip()[:14], (a * x + c * y + e, b * x + d * y + f))

    page = document.pages[0]
    page.extract_text(visitor_text=visit)
    height, mm = float(page.mediabox.height), 72 / 25.4
    for line in ("Stichting De S", "1441 AB"):
        x, y = next(place for text, place in places.items() if text.startswith(line))
        assert 19 * mm <= x <= 105 * mm, (line, x / mm)
        assert 45 * mm <= height - y <= 90 * mm, (line, (height - y) / mm)


def test_a_password_is_in_the_letter_or_in_the_answer_never_in_both() -> None:
    with_letter, without = prepare(FACTS, True), prepare(FACTS, False)
    assert with_letter.password is None and with_letter.letter is not None
    assert without.letter is None and without.password is not None
    assert passwords.verify(without.password, without.password_hash)
    assert without.password not in repr(without) and without.password_hash not in repr(without)


def test_two_letters_never_hold_the_same_password() -> None:
    assert prepare(FACTS, False).password != prepare(FACTS, False).password


@pytest.mark.parametrize(("day", "written"), [(date(2026, 1, 1), "1 januari 2026"), (date(2026, 12, 31), "31 december 2026")])
def test_days_are_written_in_dutch(day: date, written: str) -> None:
    assert dutch_day(day) == written
