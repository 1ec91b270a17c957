"""DUO's register of schools ("alle vestigingen", open data), in each layout it has had: boards and schools out of one CSV.

Releases differ: `;` in windows-1252 (2020) or `,` quoted in UTF-8 with BOM (now); the school's code stands whole in VESTIGINGSNUMMER or
VESTIGINGSCODE, or in two parts, INSTELLINGSCODE and a 2-character VESTIGINGSCODE.
"""

import csv
import io
import re
from collections.abc import Mapping
from dataclasses import dataclass

from policies.errors import Refused

CODE = re.compile(r"\d{2}[A-Z]{2}\d{2}")
BOARD = re.compile(r"\d{5}")
#: how DUO writes the kind of school → ours; a file without such a column is of primary schools (bo)
KINDS = {"bo": "bo", "bas": "bo", "sbo": "sbo", "sbas": "sbo", "so": "so", "spec": "so", "vso": "vso", "vspec": "vso"}
KIND_COLUMNS = ("SOORT PO", "SOORT PRIMAIR ONDERWIJS")


@dataclass(frozen=True)
class BoardRow:
    number: str
    name: str


@dataclass(frozen=True)
class SchoolRow:
    code: str  # 99AA99
    board: str
    name: str
    kind: str  # bo, sbo, so, vso
    street: str
    house_number: str
    postcode: str
    city: str
    municipality: str
    province: str
    denomination: str


@dataclass(frozen=True)
class DuoRegister:
    boards: tuple[BoardRow, ...]  # by number
    schools: tuple[SchoolRow, ...]  # by code
    kinds_told: bool = True  # False: the file does not say of what kind its schools are


def read_duo(source: bytes) -> DuoRegister:
    """The boards and schools in a DUO CSV; Refused with the line and the column that is wrong. A register is public: no pupil is in it."""
    try:
        return _read(_decode(source))
    except csv.Error:  # its text says nothing that helps
        raise Refused("duo-unreadable", "The register is not a CSV file.", "Take DUO's file of all vestigingen as it is.") from None


def _read(text: str) -> DuoRegister:
    header = text.partition("\n")[0]
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=";" if header.count(";") > header.count(",") else ",")
    names = [name.strip().upper() for name in reader.fieldnames or ()]
    reader.fieldnames = names
    for wanted in ("BEVOEGD GEZAG NUMMER", "VESTIGINGSNAAM"):
        if wanted not in names:
            raise Refused("duo-column-missing", f"The register has no column {wanted}.", "Take DUO's file of all vestigingen as it is.")
    if not {"VESTIGINGSNUMMER", "VESTIGINGSCODE"} & set(names):
        raise Refused("duo-column-missing", "The register has no column VESTIGINGSCODE.", "Take DUO's file of all vestigingen as it is.")
    boards: dict[str, BoardRow] = {}
    schools: dict[str, SchoolRow] = {}
    for line, row in enumerate(reader, start=2):
        school = _school(line, row)
        if school.code in schools:
            raise Refused("duo-school-twice", f"Line {line}: school {school.code} stands in the register twice.", "Correct the file.")
        schools[school.code] = school
        name = _text(row, "BEVOEGD GEZAG NAAM")
        if school.board not in boards or name:
            boards[school.board] = BoardRow(school.board, name)
    if not schools:
        raise Refused("duo-empty", "The register holds no school.", "Take DUO's file of all vestigingen as it is.")
    return DuoRegister(
        tuple(boards[number] for number in sorted(boards)),
        tuple(schools[code] for code in sorted(schools)),
        kinds_told=bool(set(KIND_COLUMNS) & set(names)),
    )


def _decode(source: bytes) -> str:
    try:
        return source.decode("utf-8-sig")
    except UnicodeDecodeError:
        return source.decode("windows-1252", errors="replace")


def _text(row: Mapping[str, str | None], column: str) -> str:
    return (row.get(column) or "").strip()


def _school(line: int, row: Mapping[str, str | None]) -> SchoolRow:
    code = (_text(row, "VESTIGINGSNUMMER") or _text(row, "VESTIGINGSCODE")).upper().replace(" ", "")
    if len(code) == 2:
        code = _text(row, "INSTELLINGSCODE").upper() + code
    board = _text(row, "BEVOEGD GEZAG NUMMER")
    if not CODE.fullmatch(code):
        raise Refused("duo-school-code", f"Line {line}: the school's code is not of the form 99AA99.", "Correct the file.")
    if not BOARD.fullmatch(board):
        raise Refused("duo-board-number", f"Line {line}: the board's number is not five digits.", "Correct the file; keep leading zeros.")
    written = next((_text(row, column).lower() for column in KIND_COLUMNS if _text(row, column)), "bo")
    kind = KINDS.get(written)
    if kind is None:  # so and vso can't take part: what we don't know is not taken for a primary school
        raise Refused("duo-school-kind", f"Line {line}: the kind of school is not one that is known.", f"Known are: {', '.join(KINDS)}.")
    return SchoolRow(
        code=code,
        board=board,
        name=_text(row, "VESTIGINGSNAAM"),
        kind=kind,
        street=_text(row, "STRAATNAAM"),
        house_number=_text(row, "HUISNUMMER-TOEVOEGING"),
        postcode=_text(row, "POSTCODE").replace(" ", ""),
        city=_text(row, "PLAATSNAAM"),
        municipality=_text(row, "GEMEENTENAAM"),
        province=_text(row, "PROVINCIE"),
        denomination=_text(row, "DENOMINATIE"),
    )
