"""Linked results of a made-up country, with the means and deviations of real scores (reports_norms.toml)."""

import tomllib
from datetime import date
from pathlib import Path

import numpy as np
import polars as pl

from gateway.drop.record import LINKED_COLUMNS

NORMS = tomllib.loads((Path(__file__).parent / "reports_norms.toml").read_text(encoding="utf-8"))
MOMENTS: list[str] = NORMS["moments"]
DOMAINS = ("begrijpend_lezen", "spelling", "rekenen_wiskunde")
CODES = {"begrijpend_lezen": "BL3.0", "spelling": "SP3.0", "rekenen_wiskunde": "RW3.0"}
DENOMINATIONS = ("Openbaar", "Rooms-Katholiek", "Protestants-Christelijk", "Algemeen bijzonder")
#: Correlation of one pupil's scores, so that growth has a plausible spread.
STEADINESS = 0.85


def made_up_schools(count: int, seed: int = 1) -> pl.DataFrame:
    draw = np.random.default_rng(seed)
    numbers = range(count)
    return pl.DataFrame(
        {
            "school": [f"s1-school{i:06}" for i in numbers],
            "code": [f"{i % 100:02}{chr(65 + i // 100 // 26 % 26)}{chr(65 + i // 100 % 26)}00" for i in numbers],
            "name": [f"Basisschool De Vlieger {i}" for i in numbers],
            "board": [f"{40000 + i // 7:05}" for i in numbers],
            "board_name": [f"Stichting Primair Onderwijs {i // 7}" for i in numbers],
            "denomination": draw.choice(DENOMINATIONS, count).tolist(),
            "municipality": [f"Gemeente {i % 40}" for i in draw.integers(0, 80, count)],
        }
    )


def made_up_results(
    schools: pl.DataFrame, pupils: int | np.ndarray = 90, *, newest_year: int = 2025, rounds: int = 5, seed: int = 1
) -> pl.DataFrame:
    """Results of the `rounds` last rounds, the newest being the end of `newest_year`-…; `pupils` per school over groups 3 to 8."""
    draw = np.random.default_rng(seed)
    sizes = np.broadcast_to(pupils, schools.height)
    school = np.repeat(np.arange(schools.height), sizes)
    total = len(school)
    start = draw.integers(3, 9, total)  # the group in the newest school year
    ability = draw.normal(0, 1, total) + np.repeat(draw.normal(0, 0.3, schools.height), sizes)
    parts = []
    codes = np.array(schools["school"].to_list(), dtype=object)
    person = np.array([f"p1-{i:026}" for i in range(total)], dtype=object)
    for back in range(rounds):
        round_ = 2 * newest_year + 1 - back
        year, end = divmod(round_, 2)
        group = start - (newest_year - year)
        for domain in DOMAINS:
            drive = np.repeat(np.random.default_rng([seed, year, DOMAINS.index(domain)]).normal(0, 0.15, schools.height), sizes)
            moment = 2 * (group - 3) + end
            known = (group >= 3) & (moment < len(MOMENTS))
            at = np.clip(moment, 0, len(MOMENTS) - 1)
            mean, sd = np.array(NORMS[domain]["mean"])[at], np.array(NORMS[domain]["sd"])[at]
            z = STEADINESS * ability + np.sqrt(1 - STEADINESS**2) * draw.normal(0, 1, total) + end * drive
            score = np.round(mean + sd * z)
            known &= np.isfinite(score)
            names = np.array(MOMENTS, dtype=object)[at[known]]
            parts.append(
                pl.DataFrame(
                    {
                        "persoon": person[known],
                        "school": codes[school[known]],
                        "schooljaar": f"{year}-{year + 1}",
                        "jaargroep": group[known].astype(str),
                        "kinderdagverblijf": known[known],
                        "peuterspeelzaal": ability[known] > 0,
                        "uitgever": "cito",
                        "toetscode": np.array([f"{CODES[domain]}-{name}" for name in names], dtype=object),
                        "domein": domain,
                        "afnamemoment": names,
                        "afnamedatum": date(year + 1, 6 if end else 1, 20),
                        "score": score[known],
                    },
                    schema=LINKED_COLUMNS,
                )
            )
    return pl.concat(parts)
