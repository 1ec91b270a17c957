"""What a vendor exports: one `nco-lvs-1` file per board, and its schools' objection registers.

Each board's file is drawn from a generator of its own, so that it does not matter in which order or by how many they are made.
"""

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from gateway.demo.population import number_text
from gateway.demo.schools import DemoSchool
from policies.calendar import schooljaar_from

DOMAINS = ("begrijpend_lezen", "spelling", "rekenen_wiskunde")
#: made-up names of tests in the way the publishers name theirs
TEST_CODES = {
    "cito": {"begrijpend_lezen": "BL-3.0", "spelling": "SP-3.0", "rekenen_wiskunde": "RW-3.0"},
    "iep": {"begrijpend_lezen": "IEP-LEZEN", "spelling": "IEP-SPELLING", "rekenen_wiskunde": "IEP-REKENEN"},
    "boom": {"begrijpend_lezen": "BOOM-BL", "spelling": "BOOM-SP", "rekenen_wiskunde": "BOOM-RW"},
    "diataal": {"begrijpend_lezen": "DIATEKST", "spelling": "DIASPEL", "rekenen_wiskunde": "DIACIJFER"},
}
#: the test taken, and how a score is made up: what a pupil can, the school adds, the day brings
TAKEN = 0.78
SCHOOL_SD, PUPIL_SD, DAY_SD = 0.30, 0.85, 0.43
#: made-up errors of delivery: of pupils, and of rows (far below the share at which a drop is refused whole)
WRONG_BIRTH, MOVED, WRONG_ROWS = 0.003, 0.01, 0.001
#: a school should leave objecting pupils out; this share is delivered all the same
OVERLOOKED = 0.3

COLUMNS = (
    "brin_vestiging", "bsn", "onderwijsnummer", "geslacht", "geboortedatum", "postcode", "huisnummer", "toevoeging",
    "schooljaar", "jaargroep", "kinderdagverblijf", "peuterspeelzaal", "uitgever", "toetscode", "domein", "afnamemoment",
    "afnamedatum", "score",
)  # fmt: skip


@dataclass(frozen=True)
class Round:
    """A round of tests: its school year (the year it began), M or E, and a day in the middle of it."""

    year: int
    half: str
    day: date


def rounds(today: date) -> list[Round]:
    """The four rounds that were over on `today`, newest first: two school years to compare."""
    found = []
    for year in range(today.year, today.year - 5, -1):
        found += [Round(year, "E", date(year + 1, 6, 5)), Round(year, "M", date(year + 1, 1, 25))]
    return [one for one in found if one.day + timedelta(days=21) <= today][:4]


@cache
def _norms() -> dict[str, Any]:
    return tomllib.loads(resources.files(__package__).joinpath("norms.toml").read_text(encoding="utf-8"))


def results_of(pupils: pl.DataFrame, schools: Sequence[DemoSchool], taken: Sequence[Round], seed: tuple[int, int]) -> pl.DataFrame:
    """The results of a board's pupils in these rounds, as a vendor would export them (COLUMNS). `at` counts in `schools`."""
    rng = np.random.default_rng(seed)
    effects = rng.normal(0, SCHOOL_SD, (len(schools), len(DOMAINS)))
    growth = rng.normal(0, SCHOOL_SD / 3, (len(schools), len(DOMAINS)))
    norms = _norms()
    at, group, ability = pupils["at"].to_numpy(), pupils["group"].to_numpy().astype(int), pupils["ability"].to_numpy()
    delivered = ~pupils["objects"].to_numpy() | (rng.random(pupils.height) < OVERLOOKED)
    publisher = np.array([school.publisher for school in schools])
    pieces = []
    for place, one in enumerate(taken):
        then = group - (taken[0].year - one.year)
        for number, domain in enumerate(DOMAINS):
            codes = np.array([TEST_CODES[school.publisher][domain] for school in schools])
            for level in range(3, 9):
                moment = f"{one.half}{level}"
                if moment not in norms["moments"] or np.isnan(norms[domain]["mean"][norms["moments"].index(moment)]):
                    continue
                index = norms["moments"].index(moment)
                who = np.flatnonzero((then == level) & delivered & (rng.random(len(group)) < TAKEN))
                if not len(who):
                    continue  # a small school has nobody in this group
                z = PUPIL_SD * ability[who] + DAY_SD * rng.standard_normal(len(who))
                z += effects[at[who], number] + growth[at[who], number] * (len(taken) - place)
                mean, sd = norms[domain]["mean"][index], norms[domain]["sd"][index]
                cito = mean + sd * z
                # other publishers' scales: made up, and of another size than Cito's
                other = np.clip(60 + (mean - 120) / 4 + 10 * z, 0, 200)
                pieces.append(
                    pl.DataFrame(
                        {
                            "pupil": who,
                            "schooljaar": schooljaar_from(one.year),
                            "jaargroep": str(level),
                            "toetscode": np.char.add(np.char.add(codes[at[who]], "-"), moment),
                            "domein": domain,
                            "afnamemoment": moment,
                            "afnamedatum": np.datetime64(one.day) + rng.integers(-14, 15, len(who)),
                            "score": np.where(publisher[at[who]] == "cito", np.clip(cito, 0, 600), other).round(1),
                        }
                    )
                )
    results = pl.concat(pieces).sort("pupil", "afnamedatum", "domein")
    names = pl.DataFrame(
        {
            "at": np.arange(len(schools), dtype=np.uint32),
            "brin_vestiging": [school.row.code for school in schools],
            "uitgever": [school.publisher for school in schools],
        }
    )
    people = _as_delivered(pupils, rng).with_row_index("pupil").cast({"pupil": pl.Int64}).join(names, on="at", maintain_order="left")
    rows = results.join(people, on="pupil", maintain_order="left").select(
        pl.col(name) if name not in ("bsn", "onderwijsnummer") else number_text(name).alias(name) for name in COLUMNS
    )
    wrong = np.zeros(rows.height, dtype=bool)
    wrong[rng.choice(rows.height, int(rows.height * WRONG_ROWS), replace=False)] = True
    return rows.with_columns(postcode=pl.when(pl.Series(wrong)).then(pl.lit("0000AA")).otherwise("postcode"))


def _as_delivered(pupils: pl.DataFrame, rng: np.random.Generator) -> pl.DataFrame:
    """The pupils with the errors that schools' records have."""
    chance = pl.Series(rng.random(pupils.height))
    return pupils.with_columns(
        geboortedatum=pl.when(chance < WRONG_BIRTH).then(pl.col("geboortedatum").dt.offset_by("1d")).otherwise("geboortedatum"),
        huisnummer=pl.when((chance >= WRONG_BIRTH) & (chance < WRONG_BIRTH + MOVED)).then(pl.col("huisnummer") + 1).otherwise("huisnummer"),
    )


def write_export(frame: pl.DataFrame, path: Path) -> None:
    frame.write_csv(path, separator=";", date_format="%Y-%m-%d")


def write_objections(pupils: pl.DataFrame, schools: Sequence[DemoSchool], path: Path, filed_on: date) -> int:
    """The objection registers (`nco-bezwaar-1`) of these schools; one without objections says so with a row of its own."""
    codes = pl.Series([school.row.code for school in schools])
    objecting = pupils.filter("objects").select(
        brin_vestiging=codes.gather(pupils.filter("objects")["at"]),
        bsn=number_text("bsn"),
        onderwijsnummer=number_text("onderwijsnummer"),
        ingediend_op=pl.lit(filed_on.isoformat()),
        ingetrokken_op=pl.lit(""),
    )
    objecting = objecting.filter((pl.col("bsn") != "") | (pl.col("onderwijsnummer") != ""))
    without = [code for code in codes if code not in set(objecting["brin_vestiging"])]
    empty = pl.DataFrame({"brin_vestiging": without}, schema={"brin_vestiging": pl.String}).with_columns(
        pl.lit("").alias(name) for name in objecting.columns[1:]
    )
    pl.concat([objecting, empty]).sort("brin_vestiging").write_csv(path, separator=";")
    return objecting.height
