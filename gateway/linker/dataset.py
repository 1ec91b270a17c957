"""A dataset for one research project: results under the project's own pseudonyms, with a codebook.

The project's pseudonyms have nothing in common with the store's or another project's, and neither has the order of the rows. The
codebook is a Frictionless data package (datapackage.org, version 2.0), which programs read too.
"""

import hashlib
import json
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl

from gateway.drop.record import LINKED_COLUMNS, RESULT_COLUMNS
from gateway.linker.order import Coded, coded_texts, in_order
from gateway.linker.results import parquet_bytes, replace_whole
from keys.pseudonyms import PseudonymDomain

DATA_FILE = "resultaten.parquet"
CODEBOOK_FILE = "datapackage.json"
PROFILE = "https://datapackage.org/profiles/2.0/datapackage.json"


class Domains(NamedTuple):
    """The two pseudonym domains that belong together: the store's, or a project's."""

    persons: PseudonymDomain
    schools: PseudonymDomain


@dataclass(frozen=True)
class DatasetFacts:
    rows: int
    persons: int
    schools: int
    sha256: dict[str, str]  # file name → digest


def export(results: pl.LazyFrame, store: Domains, project: Domains, folder: Path, name: str, created: date | None = None) -> DatasetFacts:
    """Write `results` (LINKED_COLUMNS under the store's pseudonyms) to `folder` under the project's, with the codebook.

    `name` is the project's; `created` stands in the codebook if given. The same results give the same bytes. Both files are durable
    when this returns, the codebook last: a folder without it is not finished. Refused (`not-a-pseudonym`) when `store` did not make one.
    """
    texts = [pl.col(column).cast(pl.Categorical) for column, dtype in RESULT_COLUMNS.items() if dtype == pl.String]
    frame = results.select("persoon", "school", *RESULT_COLUMNS).with_columns(texts).collect()
    people = _translated(frame["persoon"], store.persons, project.persons)
    schools = _translated(frame["school"], store.schools, project.schools)
    ordered = in_order(people, schools, frame.select(list(RESULT_COLUMNS)))

    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    data = parquet_bytes(ordered)
    replace_whole(folder / DATA_FILE, data)
    codebook = _codebook(frame, data, project, name, created)
    replace_whole(folder / CODEBOOK_FILE, codebook)
    digests = {DATA_FILE: hashlib.sha256(data).hexdigest(), CODEBOOK_FILE: hashlib.sha256(codebook).hexdigest()}
    return DatasetFacts(frame.height, people.values.len() - 1, schools.values.len() - 1, digests)


def _translated(column: pl.Series, old: PseudonymDomain, new: PseudonymDomain) -> Coded:
    """A column of the store's pseudonyms under the project's: one reversal and one new pseudonym per person, not per row."""
    known = column.unique().alias("old")
    own = pl.Series(new.many([old.reveal(pseudonym) for pseudonym in known]), dtype=pl.String)
    places = column.alias("old").to_frame().join(known.to_frame().with_row_index("place"), on="old", how="left", maintain_order="left")
    return coded_texts(own, places["place"])


def _codebook(frame: pl.DataFrame, data: bytes, project: Domains, name: str, created: date | None) -> bytes:
    fields = [{"name": column, "type": _type(LINKED_COLUMNS[column]), **_ABOUT[column]} for column in LINKED_COLUMNS]
    for field in fields:
        if field["name"] in _CODED:
            field["constraints"] = {"enum": frame[field["name"]].drop_nulls().unique().cast(pl.String).sort().to_list()}
    package: dict[str, Any] = {
        "$schema": PROFILE,
        "name": name.lower(),
        "title": f"Leergroei: toetsresultaten voor {name}",
        "description": "Gepseudonimiseerde toetsresultaten. De pseudoniemen gelden alleen binnen dit project en zijn buiten de beheerder "
        "niet te herleiden. Wie iemand herkent, meldt dat en gebruikt het niet.",
        "resources": [
            {
                "name": "resultaten",
                "title": "Toetsresultaten, een rij per afgenomen toets",
                "path": DATA_FILE,
                "format": "parquet",
                "mediatype": "application/vnd.apache.parquet",
                "bytes": len(data),
                "hash": f"sha256:{hashlib.sha256(data).hexdigest()}",
                "rows": frame.height,
                "pseudonyms": {"persoon": project.persons.prefix, "school": project.schools.prefix},
                "schema": {"fields": fields, "missingValues": [""]},
            }
        ],
    }
    if created is not None:
        package["created"] = f"{created.isoformat()}T00:00:00Z"
    return (json.dumps(package, ensure_ascii=False, indent=2) + "\n").encode()


def _type(dtype: pl.DataType) -> str:
    names = {pl.String(): "string", pl.Boolean(): "boolean", pl.Date(): "date", pl.Float64(): "number"}
    return names[dtype]


#: Columns whose codebook lists the values that occur.
_CODED = frozenset({"schooljaar", "jaargroep", "uitgever", "toetscode", "domein", "afnamemoment"})

_ABOUT: dict[str, dict[str, Any]] = {
    "persoon": {"title": "Leerling", "description": "Pseudoniem van de leerling, alleen geldig binnen dit project."},
    "school": {"title": "Vestiging", "description": "Pseudoniem van de vestiging, alleen geldig binnen dit project."},
    "schooljaar": {"title": "Schooljaar", "description": "Van 1 augustus tot en met 31 juli, bijvoorbeeld 2025-2026."},
    "jaargroep": {"title": "Jaargroep", "description": "1 tot en met 8; S: speciaal basisonderwijs zonder jaargroep."},
    "kinderdagverblijf": {"title": "Kinderdagverblijf", "description": "Of de leerling een kinderdagverblijf bezocht; leeg: onbekend."},
    "peuterspeelzaal": {"title": "Peuterspeelzaal", "description": "Of de leerling een peuterspeelzaal bezocht; leeg: onbekend."},
    "uitgever": {"title": "Toetsuitgever", "description": "Scores van verschillende uitgevers zijn niet vergelijkbaar."},
    "toetscode": {"title": "Toetscode", "description": "De toets binnen de uitgever; de schaal hoort bij de toetsgeneratie."},
    "domein": {"title": "Domein", "description": "Wat de toets meet."},
    "afnamemoment": {"title": "Afnamemoment", "description": "M: midden, E: eind, B: begin van het leerjaar; leeg: geen vast moment."},
    "afnamedatum": {"title": "Afnamedatum", "description": "De dag van afname."},
    "score": {"title": "Score", "description": "Score op de eigen schaal van de toets."},
}
