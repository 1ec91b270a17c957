"""Background characteristics of persons: kept under pseudonyms, beside the results, for the reference model.

What the categories mean is the authority's own: they are short texts here. A value that looks like a number of a person is
not a category and is refused.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import polars as pl

from gateway.registers.table import PERSON_ID, Table
from gateway.registers.whole_file import whole_file
from keys.pseudonyms import PseudonymDomain
from policies.errors import NotFound, Refused, Unsound

CHARACTERISTICS = ("opleiding_ouders", "herkomst", "inkomen", "huishouden")

BACKGROUND_COLUMNS: dict[str, pl.DataType] = {
    "persoon": pl.String(),  # pseudonym in the domain "store"
    **dict.fromkeys(CHARACTERISTICS, pl.String()),  # null: not known
}

CATEGORY = r"^[^\p{Cc}]{0,40}$"
LIKE_A_NUMBER = r"[0-9]{8}"


@dataclass(frozen=True)
class BackgroundFacts:
    """`rows` kept, `refused_rows` left out (by reason in `refused`), sha256 of the bytes read."""

    rows: int
    refused_rows: int
    sha256: str
    refused: dict[str, int] = field(default_factory=dict)


def import_background(source: BinaryIO, persons: PseudonymDomain, target: Path) -> BackgroundFacts:
    """Write the CSV `persoon_id; opleiding_ouders; herkomst; inkomen; huishouden` to `target` under the pseudonyms of `persons`.

    Sorted by pseudonym, so that nothing of the file's order is left; durable when this returns. A person who occurs more than once with
    different characteristics is refused, each time. Refused when the header is wrong or no row is left.
    """
    table = Table(source, ("persoon_id", *CHARACTERISTICS))
    kept = []
    for text in table.batches():
        wrong = {name: ~text[name].str.contains(CATEGORY) | text[name].str.contains(LIKE_A_NUMBER) for name in CHARACTERISTICS}
        wrong["persoon_id"] = ~text["persoon_id"].str.contains(PERSON_ID)
        rows = table.refuse(text, wrong)
        pseudonyms = pl.Series("persoon", persons.many(rows["persoon_id"].to_list()), dtype=pl.String)
        known = [pl.when(pl.col(name) != "").then(name).cast(pl.Categorical) for name in CHARACTERISTICS]
        kept.append(rows.select(pseudonyms, *known))
    if not kept:
        raise Refused("register-empty", "No row of the register could be used.", "Check the columns against the format.")
    frame = pl.concat(kept).unique().sort("persoon")
    frame = table.refuse(frame, {"twice": frame["persoon"].is_duplicated()}).cast(BACKGROUND_COLUMNS)  # type: ignore[arg-type]
    if not frame.height:
        raise Refused("register-empty", "No row of the register could be used.", "Check the columns against the format.")
    with whole_file(target) as file:
        frame.write_parquet(file, compression="zstd")
    return BackgroundFacts(frame.height, table.refused_rows, table.sha256, dict(sorted(table.refused.items())))


def load_background(path: Path) -> pl.DataFrame:
    """BACKGROUND_COLUMNS of the stored register. NotFound (`no-register`), Unsound (`register-file`)."""
    if not path.exists():
        raise NotFound("no-register", "There is no background register.", "Import one with `sluis register background FILE`.")
    try:
        frame = pl.read_parquet(path)
    except (pl.exceptions.PolarsError, OSError):
        raise Unsound("register-file", "The stored background register can't be read.", "Import the register again.") from None
    if dict(frame.schema) != BACKGROUND_COLUMNS:
        raise Unsound("register-file", "The stored background register has other columns.", "Import the register again.")
    return frame
