"""The numbers and codes that Dutch education uses, and how each is proved to be well formed.

Everything over many values is vectorised; the two scalar readers are for numbers that a person types or a register holds. No
error says the value it refuses.
"""

import re

import numpy as np
from numpy.typing import NDArray

from policies.errors import Refused

#: BRIN and vestiging of a school: two digits, two letters, two digits.
BRIN_VESTIGING = r"^[0-9]{2}[A-Z]{2}[0-9]{2}$"

#: A postcode as it is kept: no space, and never SA, SD or SS (PostNL does not give these out).
POSTCODE = r"^[1-9][0-9]{3}(?:[A-RT-Z][A-Z]|S[BCE-RT-Z])$"

#: House letter and addition together, as they are kept.
ADDITION = r"^[A-Z0-9]{0,5}$"

#: A day as ISO 8601 writes it.
ISO_DATE = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$"

#: onderwijsnummers lie in this range: nine digits that start with 10.
ONDERWIJSNUMMER_RANGE = (100_000_000, 109_999_999)

#: The highest number of nine digits.
NINE_DIGITS = 999_999_999

#: From the last digit to the first.
_WEIGHTS = (-1, 2, 3, 4, 5, 6, 7, 8, 9)


def elf_sum(numbers: NDArray[np.uint32]) -> NDArray[np.int32]:
    """9·d1 + 8·d2 + … + 2·d8 − d9, modulo 11 (0 to 10), of each number left-padded to nine digits.

    The elfproef (Besluit burgerservicenummer): 0 for a BSN, 5 for an onderwijsnummer.
    """
    ten = np.uint32(10)
    rest = numbers.astype(np.uint32, copy=False)
    total = np.zeros(len(rest), dtype=np.int32)
    for weight in _WEIGHTS:
        quotient = rest // ten
        total += (rest - quotient * ten).astype(np.int32) * np.int32(weight)
        rest = quotient
    return total % np.int32(11)


def are_bsns(numbers: NDArray[np.uint32]) -> NDArray[np.bool_]:
    """Which of the numbers are a BSN: above 0, at most nine digits, elfproef 0."""
    fits: NDArray[np.bool_] = (numbers > 0) & (numbers <= NINE_DIGITS) & (elf_sum(numbers) == 0)
    return fits


def are_onderwijsnummers(numbers: NDArray[np.uint32]) -> NDArray[np.bool_]:
    """Which of the numbers are an onderwijsnummer: they start with 10, elfproef 5 (so none is also a BSN)."""
    low, high = ONDERWIJSNUMMER_RANGE
    fits: NDArray[np.bool_] = (numbers >= low) & (numbers <= high) & (elf_sum(numbers) == 5)
    return fits


def _nine_digits(text: str) -> NDArray[np.uint32] | None:
    digits = text.strip()
    if not re.fullmatch(r"[0-9]{1,9}", digits):
        return None
    return np.array([int(digits)], dtype=np.uint32)


def parse_bsn(text: str) -> int:
    """The BSN that `text` holds; Refused (`not-a-bsn`), without the value, when it holds none."""
    number = _nine_digits(text)
    if number is None or not are_bsns(number)[0]:
        raise Refused("not-a-bsn", "That is not a BSN.", "A BSN has 9 digits and passes the elfproef.")
    return int(number[0])


def parse_onderwijsnummer(text: str) -> int:
    """The onderwijsnummer that `text` holds; Refused (`not-an-onderwijsnummer`), without the value, when it holds none."""
    number = _nine_digits(text)
    if number is None or not are_onderwijsnummers(number)[0]:
        raise Refused(
            "not-an-onderwijsnummer", "That is not an onderwijsnummer.", "It has 9 digits, starts with 10 and passes its elfproef (5)."
        )
    return int(number[0])


def parse_school(text: str) -> str:
    """A school's code as it is kept (99AA99); Refused (`not-a-school`) when `text` has another form."""
    code = text.strip().upper()
    if not re.fullmatch(BRIN_VESTIGING, code):
        raise Refused("not-a-school", "That is not a BRIN with vestiging.", "It has the form 99AA99.")
    return code
