"""Linking keys: the blocks are what the module's table says, and their MAC is `cryptography`'s."""

from datetime import date

import polars as pl
import pytest
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.cmac import CMAC

from gateway.drop.keyed import KEY_COLUMNS, from_bytes, to_bytes, with_keys
from gateway.drop.record import IDENTIFIER_COLUMNS
from keys.secret import Secret

KEY = Secret(bytes(range(32)))
PUPIL = {
    "bsn": 111222333,
    "onderwijsnummer": 100000038,
    "geslacht": "V",
    "geboortedatum": date(2015, 3, 9),
    "postcode": "1012ZX",
    "huisnummer": 99999,
    "toevoeging": "A12BZ",
}


def frame(**changes: object) -> pl.DataFrame:
    return pl.DataFrame([{**PUPIL, **changes}], schema=IDENTIFIER_COLUMNS)


def key_of(column: str, **changes: object) -> bytes | None:
    return to_bytes(with_keys(frame(**changes), KEY, [column])[column])[0]


def mac(block: bytes) -> bytes:
    cmac = CMAC(AES(bytes(range(32))))
    cmac.update(block.ljust(16, b"\0"))
    return cmac.finalize()


BSN = (111222333).to_bytes(4, "big")
OND = (100000038).to_bytes(4, "big")
BIRTH = (date(2015, 3, 9) - date(1970, 1, 1)).days.to_bytes(4, "big")
ADDRESS = (1012 * 676 + 25 * 26 + 23).to_bytes(3, "big") + (99999).to_bytes(3, "big")
ADDITION = ((((11 * 37 + 2) * 37 + 3) * 37 + 12) * 37 + 36).to_bytes(4, "big")


@pytest.mark.parametrize(
    ("column", "block"),
    [
        ("key_bsn", b"\1" + BSN),
        ("key_bsn_birth", b"\2" + BSN + BIRTH),
        ("key_bsn_sex", b"\3" + BSN + b"\2"),
        ("key_ond", b"\4" + OND),
        ("key_ond_birth", b"\5" + OND + BIRTH),
        ("key_ond_sex", b"\6" + OND + b"\2"),
        ("key_address", b"\7\2" + BIRTH + ADDRESS + ADDITION),
    ],
)
def test_key_is_the_cmac_of_the_documented_block(column: str, block: bytes) -> None:
    assert len(block) <= 16
    assert key_of(column) == mac(block)


def test_birth_before_1970_keeps_its_sign() -> None:
    assert key_of("key_bsn_birth", geboortedatum=date(1969, 12, 31)) == mac(b"\2" + BSN + b"\xff\xff\xff\xff")


@pytest.mark.parametrize("number", [0, 999_999_990, 111_111_110, 123_456_782, 1_000_000_000, None])
def test_placeholder_number_is_no_number(number: int | None) -> None:
    keys = with_keys(frame(bsn=number, onderwijsnummer=number), KEY)
    assert keys.select(KEY_COLUMNS).row(0)[:6] == (None,) * 6
    assert keys["key_address"][0] is not None


@pytest.mark.parametrize(
    "changes",
    [
        {"geslacht": None},
        {"geslacht": "Q"},
        {"geboortedatum": None},
        {"postcode": None},
        {"postcode": "0999AA"},
        {"postcode": "1012Z"},
        {"postcode": "1012éX"},
        {"postcode": "1012 ZX"},
        {"huisnummer": None},
        {"huisnummer": 0},
        {"huisnummer": 100_000},
        {"toevoeging": "a"},
        {"toevoeging": "ABCDEF"},
        {"toevoeging": "A-1"},
        {"toevoeging": "é"},
    ],
)
def test_no_address_key_without_every_part(changes: dict[str, object]) -> None:
    assert key_of("key_address", **changes) is None
    assert key_of("key_bsn", **changes) == key_of("key_bsn")


def test_missing_addition_is_an_empty_one() -> None:
    assert key_of("key_address", toevoeging=None) == key_of("key_address", toevoeging="") is not None


def test_additions_are_told_apart() -> None:
    additions = ["", "0", "00", "1", "10", "A", "A0", "0A", "AA", "Z", "ZZZZZ", "99999", "9", "B"]
    assert len({key_of("key_address", toevoeging=text) for text in additions}) == len(additions)


def test_only_the_columns_that_are_asked_for_are_needed() -> None:
    made = with_keys(pl.DataFrame({"bsn": pl.Series([111222333], dtype=pl.UInt32)}), KEY, ["key_bsn"])
    assert made.columns == ["bsn", "key_bsn"]
    assert made["key_bsn"].dtype == pl.Int128


def test_empty_frame_has_the_columns() -> None:
    made = with_keys(pl.DataFrame(schema=IDENTIFIER_COLUMNS), KEY)
    assert [made.schema[column] for column in KEY_COLUMNS] == [pl.Int128()] * 7


def test_bytes_and_numbers_are_the_same_keys() -> None:
    keys = with_keys(pl.concat([frame(), frame(bsn=None), frame(bsn=123456001)]), KEY)["key_bsn"]
    assert from_bytes(to_bytes(keys)).equals(keys)
    assert to_bytes(keys)[1] is None


def test_another_mac_key_gives_other_keys() -> None:
    other = with_keys(frame(), Secret(bytes(32)))
    assert all(other[column][0] != with_keys(frame(), KEY)[column][0] for column in KEY_COLUMNS)
