"""Synthetic pupils: numbers that pass the elfproef, birth dates that fit their group, an address near their school.

Nobody is meant; that a number may happen to be somebody's can't be avoided: every number that passes the test may be in use.
"""

from collections.abc import Sequence
from datetime import date
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from gateway.demo.schools import DemoSchool

#: made-up shares: pupils without a BSN (asylum, abroad) have an onderwijsnummer, a few have neither; some are not in the register
WITHOUT_BSN = 0.03
WITHOUT_NUMBER = 0.005
NOT_IN_REGISTER = 0.001
#: people in the register who are no pupil of a school that takes part
OTHERS = 0.02
OBJECTING = 0.01
LETTERS = np.array(list("ABCDEFGHJKLMNPRTUVWXZ"))


def numbers(count: int, remainder: int, first: int, last: int, rng: np.random.Generator) -> NDArray[np.uint32]:
    """`count` different nine-digit numbers whose elfproef gives `remainder` (0: BSN, 5: onderwijsnummer), with 8-digit stems between."""
    stride = (last - first) // (count + count // 8 + 16)
    stems = first + np.arange(count + count // 8 + 16, dtype=np.int64) * stride + rng.integers(0, stride, count + count // 8 + 16)
    total = np.zeros(len(stems), dtype=np.int64)
    rest = stems.copy()
    for weight in range(2, 10):  # the stem's last digit weighs 2, its first 9
        total += weight * (rest % 10)
        rest //= 10
    digit = (total - remainder) % 11
    found = (stems * 10 + digit)[digit < 10]
    return rng.permutation(found)[:count].astype(np.uint32)


def pupils_of(schools: Sequence[DemoSchool], school_year: int, rng: np.random.Generator) -> pl.DataFrame:
    """A row per pupil, in the order of `schools` (`at`: the school's place there), with the group of the school year that began then."""
    sizes = np.array([school.pupils for school in schools])
    count = int(sizes.sum())
    at = np.repeat(np.arange(len(schools)), sizes)
    group = rng.integers(1, 9, count)
    # a pupil of group g is g + 3 years old on 1 October of the school year, a year younger than next year's
    october = np.datetime64(date(school_year, 10, 1), "D").astype(int)
    birth = october - ((group + 3) * 365.25).astype(int) - rng.integers(0, 365, count)
    kind = rng.random(count)
    bsn = numbers(count, 0, 1_000_000, 99_999_999, rng)
    other = numbers(int((kind < WITHOUT_BSN).sum()) + 1, 5, 10_000_000, 10_999_999, rng)
    onderwijsnummer = np.zeros(count, dtype=np.uint32)
    has_other = (kind < WITHOUT_BSN) & (kind >= WITHOUT_NUMBER)
    onderwijsnummer[has_other] = other[: int(has_other.sum())]
    bsn[kind < WITHOUT_BSN] = 0
    digits = np.array([int(school.row.postcode[:4]) if school.row.postcode[:4].isdecimal() else 1234 for school in schools])[at]
    letters = np.char.add(rng.choice(LETTERS, count), rng.choice(LETTERS, count))
    letters[np.isin(letters, ["SA", "SD", "SS"])] = "AB"
    return pl.DataFrame(
        {
            "at": at.astype(np.uint32),
            "group": group.astype(np.uint8),
            "ability": rng.standard_normal(count).astype(np.float32),
            "bsn": bsn,
            "onderwijsnummer": onderwijsnummer,
            "geslacht": rng.choice(["M", "V", "X"], count, p=[0.51, 0.489, 0.001]),
            "geboortedatum": pl.Series(birth.astype(np.int32)).cast(pl.Date),
            "postcode": np.char.add(np.maximum(digits, 1000).astype(str), letters),
            "huisnummer": rng.integers(1, 400, count).astype(np.uint32),
            "toevoeging": rng.choice(["", "A", "B", "2", "BIS"], count, p=[0.85, 0.05, 0.04, 0.04, 0.02]),
            "kinderdagverblijf": rng.choice(["J", "N", ""], count, p=[0.5, 0.4, 0.1]),
            "peuterspeelzaal": rng.choice(["J", "N", ""], count, p=[0.4, 0.5, 0.1]),
            "objects": rng.random(count) < OBJECTING,
            "registered": rng.random(count) >= NOT_IN_REGISTER,
        }
    )


def write_persons(pupils: pl.DataFrame, path: Path, reference: date, rng: np.random.Generator) -> int:
    """The population register (`personen-1`) that holds these pupils and others; answers its rows."""
    people = pupils.filter("registered").select(
        "bsn", "onderwijsnummer", "geslacht", "geboortedatum", "postcode", "huisnummer", "toevoeging"
    )
    others = people.sample(fraction=OTHERS, seed=int(rng.integers(2**31))).with_columns(
        bsn=pl.lit(0, pl.UInt32), onderwijsnummer=pl.lit(0, pl.UInt32), geboortedatum=pl.col("geboortedatum").dt.offset_by("3y")
    )
    everybody = pl.concat([people, others])
    frame = everybody.select(
        persoon_id=pl.format("R{}", pl.Series(rng.permutation(everybody.height) + 1_000_000)),
        bsn=number_text("bsn"),
        onderwijsnummer=number_text("onderwijsnummer"),
        geslacht="geslacht",
        geboortedatum="geboortedatum",
        postcode="postcode",
        huisnummer="huisnummer",
        toevoeging="toevoeging",
        peildatum=pl.lit(reference),
    )
    frame.write_csv(path, separator=";")
    return frame.height


def number_text(name: str) -> pl.Expr:
    return pl.when(pl.col(name) > 0).then(pl.col(name).cast(pl.String).str.zfill(9)).otherwise(pl.lit(""))
