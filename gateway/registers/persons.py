"""The population register: `personen-1` in, keyed linking keys out, no readable identifier kept.

What is stored is one row per imported row: the register's own person id, the reference date, and the linking keys of
gateway/drop/keyed.py under a MAC key that lives as long as this version of the register. The rows of a batch are put in the
order of their keys, since the order of the import (often that of the numbers) would itself tell something.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import BinaryIO

import polars as pl
from polars.io.plugins import register_io_source

from gateway.drop.keyed import KEY_COLUMNS, LARGEST_HOUSE_NUMBER, SEXES, with_keys
from gateway.registers.objections import ObjectionsSought
from gateway.registers.table import PERSON_ID, Table
from gateway.registers.whole_file import whole_file
from keys.secret import Secret
from policies.errors import NotFound, Refused, Unsound
from policies.identifiers import ADDITION, ISO_DATE, POSTCODE, are_bsns, are_onderwijsnummers

PERSON_FIELDS = (
    "persoon_id",
    "bsn",
    "onderwijsnummer",
    "geslacht",
    "geboortedatum",
    "postcode",
    "huisnummer",
    "toevoeging",
    "peildatum",
)

#: What the stored file holds.
REGISTER_COLUMNS: dict[str, pl.DataType] = {
    "persoon_id": pl.String(),
    "peildatum": pl.Date(),  # the day on which the row's address was right
    **dict.fromkeys(KEY_COLUMNS, pl.Int128()),
}

ROW_GROUP = 1 << 17  # [rows]
EARLIEST_BIRTH = date(1900, 1, 1)


@dataclass(frozen=True)
class ImportFacts:
    """What an import did: `rows` kept, `refused_rows` left out (by reason in `refused`), sha256 of the bytes read."""

    rows: int
    refused_rows: int  # a row may be wrong for more than one reason
    reference_date: date | None  # the newest of the rows
    sha256: str
    refused: dict[str, int] = field(default_factory=dict)


def import_persons(source: BinaryIO, key: Secret, target: Path, objections: ObjectionsSought | None = None) -> ImportFacts:
    """Write the register in `source` (CSV `personen-1`) to `target`, keyed by `key`; durable when this returns. The persons whom
    `objections` are about are told to it.

    Streams: memory does not grow with the register. A row is refused when a field is there and is not what it should be. A missing
    number, birth date or address is no reason: the person can then not be found by it. Refused when the header is wrong, when no
    row is left, or when a person id repeats the person's own number.
    """
    reader = _Reader(source, key, objections)
    with whole_file(target) as file:
        _write(reader, file)
        if not reader.rows:
            raise Refused("register-empty", "No row of the register could be used.", "Check the columns against the format.")
    table = reader.table
    return ImportFacts(reader.rows, table.refused_rows, reader.reference_date, table.sha256, dict(sorted(table.refused.items())))


def seek(source: BinaryIO, objections: ObjectionsSought) -> None:
    """Only tell `objections` of the persons in the register in `source`, by the same rules as an import's."""
    table = Table(source, PERSON_FIELDS)
    for text in table.batches():
        objections.look(_typed(table, text))


def scan_persons(path: Path) -> pl.LazyFrame:
    """The keyed register of `path`, read as it is needed. NotFound (`no-register`)."""
    _require(path)
    return pl.scan_parquet(path, schema=REGISTER_COLUMNS)


def _require(path: Path) -> None:
    if not path.exists():
        raise NotFound("no-register", "There is no population register.", "Import one with `sluis register persons FILE`.")


def unreadable() -> Unsound:
    """For who reads a register of `scan_persons` and finds it damaged."""
    return Unsound("register-file", "The stored population register can't be read.", "Import the register again.")


def load_persons(path: Path) -> pl.DataFrame:
    """The keyed register of `path` with REGISTER_COLUMNS. NotFound (`no-register`), Unsound (`register-file`)."""
    _require(path)
    try:
        frame = pl.read_parquet(path)
    except (pl.exceptions.PolarsError, OSError):
        raise unreadable() from None
    if dict(frame.schema) != REGISTER_COLUMNS:
        raise Unsound("register-file", "The stored population register has other columns.", "Import the register again.")
    return frame


class _Reader:
    """Turns the text into keyed batches, and remembers what they held."""

    def __init__(self, source: BinaryIO, key: Secret, objections: ObjectionsSought | None) -> None:
        self.table = Table(source, PERSON_FIELDS)
        self.rows = 0
        self.reference_date: date | None = None
        self.failure: Exception | None = None
        self._key = key
        self._objections = objections

    def batches(self) -> Iterator[pl.DataFrame]:
        try:
            for text in self.table.batches():
                typed = _typed(self.table, text)
                if self._objections is not None:
                    self._objections.look(typed)
                yield self._keyed(typed)
        except Exception as failure:
            self.failure = failure  # polars would wrap it in one of its own, with its text
            raise

    def _keyed(self, typed: pl.DataFrame) -> pl.DataFrame:
        keyed = with_keys(typed, self._key).select(list(REGISTER_COLUMNS))
        newest = keyed["peildatum"].max()
        if isinstance(newest, date):
            self.reference_date = max(newest, self.reference_date or newest)
        self.rows += keyed.height
        return keyed.sort(pl.coalesce("key_bsn", "key_ond", "key_address"), nulls_last=True, maintain_order=True)


def _write(reader: _Reader, file: BinaryIO) -> None:
    def batches(
        with_columns: list[str] | None, predicate: pl.Expr | None, n_rows: int | None, batch_size: int | None
    ) -> Iterator[pl.DataFrame]:
        return reader.batches()  # nothing is projected or filtered: the sink takes all

    lazy = register_io_source(batches, schema=REGISTER_COLUMNS)
    try:
        lazy.sink_parquet(file, compression="zstd", row_group_size=ROW_GROUP, engine="streaming")
    except pl.exceptions.PolarsError:
        raise (reader.failure or Unsound("register-write", "The register could not be written.", "Is the disk full?")) from None


def _typed(table: Table, text: pl.DataFrame) -> pl.DataFrame:
    """Text to the types of gateway/drop/record.py; a row with a field that is not what it should be is refused."""
    own = pl.col("persoon_id").str.strip_chars_start("0")
    for number in ("bsn", "onderwijsnummer"):
        if text.select(((pl.col(number) != "") & (own == pl.col(number).str.strip_chars_start("0"))).any()).item():
            raise Refused(
                "person-id-is-number", "The register's person ids are persons' numbers.", "Give persons an id that means nothing."
            )
    text = text.with_columns(
        pl.col("geslacht").str.to_uppercase(),
        # in a population register a month or day that nobody knows is 00
        pl.col("geboortedatum").str.replace("^.*-00.*$", ""),
        pl.col("postcode").str.replace_all(" ", "", literal=True).str.to_uppercase(),
        pl.col("toevoeging").str.to_uppercase().str.replace_all("[^A-Z0-9]", ""),
    )
    values = text.select(
        "persoon_id",
        _whole("bsn"),
        _whole("onderwijsnummer"),
        pl.when(pl.col("geslacht").is_in(list(SEXES))).then("geslacht"),
        _day("geboortedatum"),
        pl.when(pl.col("postcode").str.contains(POSTCODE)).then("postcode"),
        _whole("huisnummer"),
        pl.when(pl.col("toevoeging").str.contains(ADDITION)).then("toevoeging"),
        _day("peildatum"),
    )
    wrong = {name: (text[name] != "") & values[name].is_null() for name in PERSON_FIELDS[1:]}
    wrong["persoon_id"] = ~text["persoon_id"].str.contains(PERSON_ID)
    wrong["peildatum"] |= values["peildatum"].is_null()
    wrong["bsn"] |= _given(values["bsn"]) & ~pl.Series(are_bsns(values["bsn"].fill_null(0).to_numpy()))
    ond = values["onderwijsnummer"]
    wrong["onderwijsnummer"] |= _given(ond) & ~pl.Series(are_onderwijsnummers(ond.fill_null(0).to_numpy()))
    wrong["huisnummer"] |= ~values["huisnummer"].is_between(1, LARGEST_HOUSE_NUMBER).fill_null(True)
    births = values.select(pl.col("geboortedatum").is_between(EARLIEST_BIRTH, "peildatum").fill_null(True))
    wrong["geboortedatum"] |= ~births.to_series()
    return table.refuse(values, wrong)


def _given(numbers: pl.Series) -> pl.Series:
    """Where a number stands; 0 is none, from registers that can't leave a field empty."""
    return (numbers != 0).fill_null(False)


def _whole(column: str) -> pl.Expr:
    text = pl.col(column)
    return pl.when(text.str.contains("^[0-9]{1,9}$")).then(text).cast(pl.UInt32)


def _day(column: str) -> pl.Expr:
    text = pl.col(column)
    return pl.when(text.str.contains(ISO_DATE)).then(text).str.to_date("%Y-%m-%d", strict=False)
