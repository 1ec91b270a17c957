"""One test result of one pupil, as every stage sees it: the columns of the typed batches that leave the checks.

The checks turn a vendor's text into these types; the linker reads them and lets only RESULT_COLUMNS through. Whoever adds a
column says here on which side of the lock it stands.
"""

import polars as pl

#: Only ever in the worker's memory; used for linking and then destroyed.
IDENTIFIER_COLUMNS: dict[str, pl.DataType] = {
    "bsn": pl.UInt32(),  # null: not delivered; passed the elfproef
    "onderwijsnummer": pl.UInt32(),  # null: not delivered
    "geslacht": pl.String(),  # M, V, X
    "geboortedatum": pl.Date(),
    "postcode": pl.String(),  # 9999XX, no space
    "huisnummer": pl.UInt32(),  # 1 to 99999
    "toevoeging": pl.String(),  # upper case letters and digits, at most 5 (letter and addition together); "" when none
}

#: What goes on after linking, beside a pseudonym for the pupil and one for the school.
RESULT_COLUMNS: dict[str, pl.DataType] = {
    "schooljaar": pl.String(),  # 2025-2026
    "jaargroep": pl.String(),  # 1 to 8, S for sbo
    "kinderdagverblijf": pl.Boolean(),  # null: not delivered
    "peuterspeelzaal": pl.Boolean(),
    "uitgever": pl.String(),  # cito, iep, boom, diataal
    "toetscode": pl.String(),
    "domein": pl.String(),
    "afnamemoment": pl.String(),  # M3 … M8, E3 … E7, B8, "" when none
    "afnamedatum": pl.Date(),
    "score": pl.Float64(),
}

#: A batch: where the row stood in the delivered file (1 = first row after the header), the school, then both sides.
BATCH_COLUMNS: dict[str, pl.DataType] = {
    "row": pl.UInt32(),
    "brin_vestiging": pl.String(),
    **IDENTIFIER_COLUMNS,
    **RESULT_COLUMNS,
}

#: A linked result: what is kept in Parquet, per drop, sorted by its first columns.
LINKED_COLUMNS: dict[str, pl.DataType] = {
    "persoon": pl.String(),  # pseudonym in the domain "store"
    "school": pl.String(),  # pseudonym in the domain "store"
    **RESULT_COLUMNS,
}
