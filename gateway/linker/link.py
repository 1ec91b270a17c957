"""Which person a pupil is: three passes over linking keys, each only where it can mean nobody else.

Each pass compares all pupils of a drop that are not linked yet with the whole register. What it says of a pupil:

    nobody in the register has the key            nothing: the next pass looks
    more than one person has it                   ambiguous_register
    one has it, but neither the birth date
    nor the sex agrees (passes on a number)       contradiction
    another pupil of the drop has as good a
    claim on that person, or is it already        ambiguous_drop
    otherwise                                     linked

The first pass that says anything is the last word: a pupil whose number is contradicted is not tried by its address. Pupils with such a
last word still stand in the way of others in later passes, so that a link never depends on who was looked at first. Twins
at one address without a number are two persons with one key, or two pupils with one key: unlinked.
"""

from dataclasses import dataclass

import polars as pl

CONTRADICTION = "contradiction"
AMBIGUOUS_REGISTER = "ambiguous_register"
AMBIGUOUS_DROP = "ambiguous_drop"
UNMATCHED = "unmatched"


@dataclass(frozen=True)
class Pass:
    """One comparison: on `key`, and where `confirmed_by` is not empty at least one of those must agree too."""

    name: str
    key: str
    confirmed_by: tuple[str, ...] = ()
    current_only: bool = False  # only the register's rows of its newest reference date


PASSES = (
    Pass("bsn", "key_bsn", ("key_bsn_birth", "key_bsn_sex")),
    Pass("onderwijsnummer", "key_ond", ("key_ond_birth", "key_ond_sex")),
    Pass("address", "key_address", current_only=True),
)


def link_pupils(pupils: pl.DataFrame, register: pl.DataFrame) -> pl.DataFrame:
    """One row per pupil, sorted: `pupil`, `persoon_id` (null: not linked), `how` (the pass that had the last word; null: none had) and
    `reason` (why not linked; null: linked).

    `pupils` has `pupil` (UInt32) and KEY_COLUMNS; a pupil that was at more than one address has a row for each.
    `register` has gateway.registers.persons' columns; a person may have several rows.
    """
    persons = numbered(register)
    days = persons["peildatum"]
    current = persons if days.min() == days.max() else persons.filter(pl.col("peildatum") == pl.col("peildatum").max())
    unlinked = pupils
    said = pl.DataFrame(schema={"pupil": pl.UInt32, "person": pl.UInt32, "how": pl.String, "reason": pl.String})
    for step in PASSES:
        candidates = _candidates(unlinked, current if step.current_only else persons, step)
        taken = said.filter(pl.col("reason").is_null()).select("person")
        verdicts = _verdicts(candidates, taken).with_columns(how=pl.lit(step.name))
        new = verdicts.join(said, on="pupil", how="anti").select(said.columns)
        unlinked = unlinked.join(new.filter(pl.col("reason").is_null()), on="pupil", how="anti")
        said = pl.concat([said, new])
    said = said.with_columns(person=pl.when(pl.col("reason").is_null()).then("person"))
    everyone = pupils.select(pl.col("pupil").unique()).join(said.with_columns(said=True), on="pupil", how="left")
    return everyone.select(
        "pupil",
        register["persoon_id"].gather(everyone["person"]),
        "how",
        pl.when(pl.col("said")).then("reason").otherwise(pl.lit(UNMATCHED)).alias("reason"),
    ).sort("pupil")


def numbered(register: pl.DataFrame) -> pl.DataFrame:
    """The register with `person`: for each row the first row of the same person, a number that is cheaper to compare than the id.

    For a register of the whole country this costs more than linking a drop: whoever links many drops does it once. A register that has
    the numbers is left as it is.
    """
    if "person" in register.columns:
        return register
    ids = register["persoon_id"]
    rows = ids.to_frame().with_row_index("person")
    one_row_each = ids.n_unique() == ids.len()
    return register.with_columns(rows["person"] if one_row_each else rows.select(pl.col("person").first().over("persoon_id")).to_series())


def _candidates(pupils: pl.DataFrame, persons: pl.DataFrame, step: Pass) -> pl.DataFrame:
    """Each pair of a pupil and a person that share the pass's key, once: `pupil`, `person`, `confirmed`."""
    columns = [step.key, *step.confirmed_by]
    pairs = pupils.select("pupil", *columns).join(persons.select("person", *columns), on=step.key)
    agree = [pl.col(name) == pl.col(f"{name}_right") for name in step.confirmed_by]
    confirmed = pl.any_horizontal(agree).fill_null(False) if agree else pl.lit(True)
    pairs = pairs.select("pupil", "person", confirmed=confirmed)
    return pairs.group_by("pupil", "person").agg(pl.col("confirmed").any())


def _verdicts(candidates: pl.DataFrame, taken: pl.DataFrame) -> pl.DataFrame:
    """`pupil`, `person`, `reason` (null: may be linked) of each pupil that has a candidate."""
    claims = candidates.filter("confirmed").group_by("person").agg(claims=pl.len())
    pupils = candidates.group_by("pupil").agg(pl.col("person").min(), pl.col("confirmed").any(), persons=pl.len())
    pupils = pupils.join(claims, on="person", how="left").join(taken.with_columns(taken=True), on="person", how="left")
    reason = (
        pl.when(pl.col("persons") > 1)
        .then(pl.lit(AMBIGUOUS_REGISTER))
        .when(~pl.col("confirmed"))
        .then(pl.lit(CONTRADICTION))
        .when((pl.col("claims") > 1) | pl.col("taken").fill_null(False))
        .then(pl.lit(AMBIGUOUS_DROP))
    )
    return pupils.select("pupil", "person", reason=reason)
