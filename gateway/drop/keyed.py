"""Linking keys: one-block CMACs of what identifies a pupil, the only form in which identifiers are compared.

A register, an objection and a drop meet in these keys and in nothing else. Each key is the AES-256-CMAC (RFC 4493, SP 800-38B)
of one 16-byte block, so that equal identifiers give equal keys under one MAC key and nothing is learnt without it. A 9-digit
number can be enumerated by whoever holds the MAC key: what ends a key column's power to identify is the end of that MAC key.

The block, byte by byte (integers big-endian, the rest zero):

    key             byte 0   then
    key_bsn           1      bsn u32
    key_bsn_birth     2      bsn u32, birth i32
    key_bsn_sex       3      bsn u32, sex u8
    key_ond           4      onderwijsnummer u32
    key_ond_birth     5      onderwijsnummer u32, birth i32
    key_ond_sex       6      onderwijsnummer u32, sex u8
    key_address       7      sex u8, birth i32, postcode u24, house number u24, addition u32

    birth     days since 1970-01-01
    sex       1 = M, 2 = V, 3 = X
    postcode  9999XX as digits * 676 + first letter * 26 + second letter, with A = 0
    addition  five digits of base 37, most significant first: 0 = no character, 1-10 = 0-9, 11-36 = A-Z

The MAC's 16 bytes are held as a little-endian two's complement Int128, because that is what polars joins fast. A key is null where one
of its parts is missing or is not what its column promises; a placeholder number is no number.
"""

from collections.abc import Callable, Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from keys.mac import cmac_blocks
from keys.secret import Secret

KEY_COLUMNS = ("key_bsn", "key_bsn_birth", "key_bsn_sex", "key_ond", "key_ond_birth", "key_ond_sex", "key_address")
#: Of the two numbers alone: an objection holds when either of these is the pupil's.
NUMBER_KEYS = ("key_bsn", "key_ond")

#: Numbers that stand in a pupil's file because something had to: they pass the elfproef and name nobody.
PLACEHOLDER_NUMBERS = (0, *(digit * 111_111_110 for digit in range(1, 10)), 123_456_782)

#: The largest number of nine digits.
LARGEST_NUMBER = 999_999_999
LARGEST_HOUSE_NUMBER = 99_999
SEXES = {"M": 1, "V": 2, "X": 3}
BLOCK = 16  # [bytes]


def with_keys(frame: pl.DataFrame, key: Secret, columns: Sequence[str] = KEY_COLUMNS) -> pl.DataFrame:
    """`frame` with the named key columns (Int128) made from its identifier columns (gateway/drop/record.py).

    Only the identifier columns that the named keys are made of need to be there. An identifier column stays; drop it before
    anything is kept.
    """
    parts: dict[str, tuple[NDArray[np.int64], NDArray[np.bool_]]] = {}
    made = []
    for column in columns:
        tag, fields = _LAYOUT[column]
        blocks = np.zeros((frame.height, BLOCK), dtype=np.uint8)
        blocks[:, 0] = tag
        present = np.ones(frame.height, dtype=np.bool_)
        offset = 1
        for name, width in fields:
            if name not in parts:
                parts[name] = _split(frame.select(_PARTS[name](name).alias(name)).to_series())
            values, valid = parts[name]
            # the low `width` bytes of the big-endian 64-bit value: two's complement, so a birth before 1970 keeps its sign
            blocks[:, offset : offset + width] = values.astype(">i8").view(np.uint8).reshape(-1, 8)[:, 8 - width :]
            present &= valid
            offset += width
        made.append(_nulled(to_int128(cmac_blocks(key, blocks)), present).alias(column))
    return frame.with_columns(made)


def to_int128(blocks: NDArray[np.uint8]) -> pl.Series:
    """Rows of 16 bytes, shape (n, 16), as a series of little-endian Int128."""
    halves = np.ascontiguousarray(blocks).reshape(-1, BLOCK).view("<u8")
    low = pl.Series(np.ascontiguousarray(halves[:, 0]))
    high = pl.Series(np.ascontiguousarray(halves[:, 1]).view("<i8"))
    return pl.select((pl.lit(high).cast(pl.Int128) * (1 << 64) + pl.lit(low).cast(pl.Int128)).alias("key")).to_series()


def to_bytes(series: pl.Series) -> list[bytes | None]:
    """The inverse of `to_int128`, row by row: 16 bytes each, None for null."""
    return [None if value is None else int(value).to_bytes(BLOCK, "little", signed=True) for value in series]


def from_bytes(values: Sequence[bytes | None]) -> pl.Series:
    """Keys that were kept as 16 bytes, as Int128 again; None becomes null."""
    numbers = [None if value is None else int.from_bytes(value, "little", signed=True) for value in values]
    return pl.Series("key", numbers, dtype=pl.Int128)


def _number(column: str) -> pl.Expr:
    value = pl.col(column).cast(pl.Int64)
    return pl.when(value.is_between(1, LARGEST_NUMBER) & ~value.is_in(PLACEHOLDER_NUMBERS)).then(value)


def _birth(column: str) -> pl.Expr:
    return pl.col(column).to_physical().cast(pl.Int64)


def _sex(column: str) -> pl.Expr:
    return pl.col(column).replace_strict(SEXES, default=None, return_dtype=pl.Int64)


def _postcode(column: str) -> pl.Expr:
    text = pl.col(column)
    letters = _eight(text + "\0\0")
    first, second = _character(letters, 4) - ord("A"), _character(letters, 5) - ord("A")
    digits = text.str.head(4).cast(pl.Int64, strict=False)
    return pl.when(text.str.contains("^[1-9][0-9]{3}[A-Z]{2}$")).then(digits * 676 + first * 26 + second)


def _house_number(column: str) -> pl.Expr:
    value = pl.col(column).cast(pl.Int64)
    return pl.when(value.is_between(1, LARGEST_HOUSE_NUMBER)).then(value)


def _addition(column: str) -> pl.Expr:
    text = pl.col(column).fill_null("")
    characters = _eight(text.str.pad_end(8, "\0"))
    value = pl.lit(0, dtype=pl.Int64)
    for position in range(5):
        code = _character(characters, position)
        digit = pl.when(code == 0).then(0).when(code <= ord("9")).then(code - ord("0") + 1).otherwise(code - ord("A") + 11)
        value = value * 37 + digit
    return pl.when(text.str.contains("^[A-Z0-9]{0,5}$")).then(value)


def _eight(text: pl.Expr) -> pl.Expr:
    """The 8 bytes of a text as one number; null for a text of another length."""
    whole = pl.when(text.str.len_bytes() == 8).then(text)
    return whole.cast(pl.Binary).bin.reinterpret(dtype=pl.UInt64, endianness="big")


def _character(eight: pl.Expr, position: int) -> pl.Expr:
    return (eight // (1 << 8 * (7 - position)) % 256).cast(pl.Int64)


def _split(series: pl.Series) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    return series.fill_null(0).to_numpy(), series.is_not_null().to_numpy()


def _nulled(series: pl.Series, present: NDArray[np.bool_]) -> pl.Series:
    if present.all():
        return series
    return pl.select(pl.when(pl.lit(pl.Series(present))).then(pl.lit(series))).to_series()


_PARTS: dict[str, Callable[[str], pl.Expr]] = {
    "bsn": _number,
    "onderwijsnummer": _number,
    "geboortedatum": _birth,
    "geslacht": _sex,
    "postcode": _postcode,
    "huisnummer": _house_number,
    "toevoeging": _addition,
}

#: key column → tag byte, then (identifier column, width [bytes]) in the order in which they stand in the block
_LAYOUT: dict[str, tuple[int, tuple[tuple[str, int], ...]]] = {
    "key_bsn": (1, (("bsn", 4),)),
    "key_bsn_birth": (2, (("bsn", 4), ("geboortedatum", 4))),
    "key_bsn_sex": (3, (("bsn", 4), ("geslacht", 1))),
    "key_ond": (4, (("onderwijsnummer", 4),)),
    "key_ond_birth": (5, (("onderwijsnummer", 4), ("geboortedatum", 4))),
    "key_ond_sex": (6, (("onderwijsnummer", 4), ("geslacht", 1))),
    "key_address": (
        7,
        (("geslacht", 1), ("geboortedatum", 4), ("postcode", 3), ("huisnummer", 3), ("toevoeging", 4)),
    ),
}
