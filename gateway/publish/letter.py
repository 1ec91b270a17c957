"""The letter that carries a board's password: a PDF/UA page for a window envelope.

The address stands where DIN 5008 form B has it (20 mm from the left, 45 mm from the top, 85 × 45 mm): common Dutch window envelopes
(EA5/6, C5) show that field when the sheet is folded. The password is in the letter and, as Argon2id, in the ledger; nowhere else.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import segno

from gateway.typeset import compile_pdf, template_text
from keys import passwords

MONTHS = ("januari", "februari", "maart", "april", "mei", "juni", "juli", "augustus", "september", "oktober", "november", "december")


@dataclass(frozen=True)
class LetterFacts:
    """What the letter says beside the password. `address` are the lines below the board's name; none when not known."""

    board: str
    board_name: str
    address: Sequence[str]
    portal: str  # https://host[:port], without a slash at the end
    valid_until: date
    written_on: date
    authority: str
    authority_address: str  # lines separated by |
    contact: str


@dataclass(frozen=True)
class Prepared:
    """A new credential on its way to the ledger. Exactly one of `letter` and `password` is set."""

    board: str
    password_hash: str
    letter: bytes | None
    password: str | None

    def __repr__(self) -> str:
        return f"Prepared(board={self.board!r})"


def prepare(facts: LetterFacts, with_letter: bool) -> Prepared:
    """A new password with its Argon2id hash, and either the letter it stands in or the password itself.

    Takes no state with it, so that it can run in processes of its own: then the password never leaves that process but in the letter.
    """
    password = passwords.generate()
    hashed = passwords.hash_password(password)
    if with_letter:
        return Prepared(facts.board, hashed, letter_pdf(facts, password), None)
    return Prepared(facts.board, hashed, None, password)


def letter_pdf(facts: LetterFacts, password: str) -> bytes:
    """The letter as PDF/UA-1."""
    page = f"{facts.portal}/rapporten/{facts.board}/"
    values = {
        "board": facts.board,
        "board_name": facts.board_name or f"Schoolbestuur {facts.board}",
        "address": list(facts.address),
        "portal": facts.portal.removeprefix("https://"),
        "page": page,
        "password": password,
        "qr": segno.make(page, error="m", micro=False).svg_inline(scale=4),
        "valid_until": dutch_day(facts.valid_until),
        "written_on": dutch_day(facts.written_on),
        "authority": facts.authority,
        "authority_address": [line.strip() for line in facts.authority_address.split("|") if line.strip()],
        "contact": facts.contact,
    }
    return compile_pdf(template_text("gateway.publish", "letter.typ"), values, title="Inloggegevens voor uw rapportages")


def dutch_day(day: date) -> str:
    """`21 november 2026`."""
    return f"{day.day} {MONTHS[day.month - 1]} {day.year}"
