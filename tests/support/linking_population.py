"""Small random countries for the linker: twins, movers, missing, wrong and borrowed numbers, swapped dates."""

import random
from datetime import date, timedelta
from typing import Any

import polars as pl

from gateway.drop.keyed import with_keys
from gateway.drop.record import BATCH_COLUMNS, IDENTIFIER_COLUMNS
from gateway.registers.persons import REGISTER_COLUMNS
from keys.pseudonyms import PseudonymDomain
from keys.secret import Secret

Row = dict[str, Any]
REGISTER_KEY = Secret(bytes(range(32)))
ROOT = Secret(bytes(range(100, 132)))
PERSONS = PseudonymDomain(ROOT, "store", "person")
SCHOOLS = PseudonymDomain(ROOT, "store", "school")
NEWEST, OLDER = date(2026, 10, 1), date(2025, 10, 1)
CODES = ("10AA00", "10AA01", "11BB00")


def keyed_register(persons: list[Row]) -> pl.DataFrame:
    schema = {"persoon_id": pl.String, "peildatum": pl.Date, **IDENTIFIER_COLUMNS}
    return with_keys(pl.DataFrame(persons, schema=schema), REGISTER_KEY).select(list(REGISTER_COLUMNS))


def result(row: int) -> Row:
    """A result that tells which row it came from (`score`); a pupil with some has the same test of the same day twice."""
    return {
        "schooljaar": "2025-2026",
        "jaargroep": str(row % 6 + 3),
        "kinderdagverblijf": (True, False, None)[row % 3],
        "peuterspeelzaal": None,
        "uitgever": "cito",
        "toetscode": f"T{row % 2}",
        "domein": "spelling",
        "afnamemoment": ("M5", "")[row % 2],
        "afnamedatum": date(2026, 1, 12) + timedelta(days=row % 2),
        "score": float(row),
    }


def batch(rows: list[Row]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=BATCH_COLUMNS)


def pupil(person: Row) -> Row:
    return {name: person[name] for name in IDENTIFIER_COLUMNS}


def country(seed: int, persons: int = 30) -> tuple[list[Row], list[Row]]:
    """A register and the rows of a drop, with every kind of trouble often enough to meet another."""
    rng = random.Random(seed)
    register: list[Row] = []
    for number in range(persons):
        person = _person(rng, number)
        if register and rng.random() < 0.2:
            twin = rng.choice(register)
            person |= {name: twin[name] for name in ("geboortedatum", "postcode", "huisnummer", "toevoeging")}
            if rng.random() < 0.6:
                person["geslacht"] = twin["geslacht"]
        if register and rng.random() < 0.03:
            person["bsn"] = rng.choice(register)["bsn"]
        register.append(person)
        if rng.random() < 0.1:
            register.append({**person, "peildatum": OLDER, "huisnummer": rng.randint(1, 6)})
    known = [person for person in register if person["peildatum"] == NEWEST]
    listed = [person for person in register if person["persoon_id"] not in {p["persoon_id"] for p in rng.sample(known, 3)}]
    rows: list[Row] = []
    for person in known:
        for _ in range(rng.choice((0, 1, 1, 1, 2))):
            _write_down(rng, rows, pupil(person), known)
    rng.shuffle(rows) if rng.random() < 0.3 else None
    return listed, [{"row": place, **row, **result(place)} for place, row in enumerate(rows, 1)]


def _person(rng: random.Random, number: int) -> Row:
    return {
        "persoon_id": f"P{number:04}",
        "peildatum": NEWEST,
        "bsn": None if rng.random() < 0.05 else 200_000_000 + number,
        "onderwijsnummer": None if rng.random() < 0.3 else 100_000_000 + number,
        "geslacht": rng.choice("MMMVVVX"),
        "geboortedatum": date(2014, 1, 1) + timedelta(days=rng.randint(0, 6)),
        "postcode": rng.choice(("1012ZX", "9711AB")),
        "huisnummer": rng.randint(1, 6),
        "toevoeging": rng.choice(("", "", "A")),
    }


def _write_down(rng: random.Random, rows: list[Row], who: Row, known: list[Row]) -> None:
    """One pupil's rows at one school, as that school has the pupil."""
    other = pupil(rng.choice(known))
    trouble = rng.random()
    if trouble < 0.15:
        who["bsn"] = None
    elif trouble < 0.22:
        who["bsn"] = who["onderwijsnummer"] = None
    elif trouble < 0.27:
        who["bsn"] = other["bsn"]
    elif trouble < 0.31:
        who["onderwijsnummer"] = other["onderwijsnummer"]
    elif trouble < 0.35:
        who["bsn"] = rng.choice((999_999_990, 123_456_782, 0, 987_654_321))
    if rng.random() < 0.06:
        who["geboortedatum"] = other["geboortedatum"]
    if rng.random() < 0.06:
        who["geslacht"] = other["geslacht"]
    if rng.random() < 0.03:
        who[rng.choice(("geboortedatum", "postcode", "huisnummer", "geslacht", "toevoeging"))] = None
    school = rng.choice(CODES)
    for _ in range(rng.randint(1, 4)):
        if rng.random() < 0.1:
            who = {**who, "huisnummer": rng.randint(1, 6)}
        if rng.random() < 0.05:
            who = {**who, rng.choice(("bsn", "onderwijsnummer")): None}
        rows.append({"brin_vestiging": school, **who})
