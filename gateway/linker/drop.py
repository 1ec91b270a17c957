"""A drop's batches in, results under pseudonyms out: the place where identifiers end.

Pupils are linked once, rows follow. Pseudonyms are made once per person and school. The result is in an order of its own (by pseudonym), so
that it says nothing about the drop's order and the same drop gives the same bytes.
"""

from collections.abc import Iterable, Sequence, Set
from dataclasses import dataclass, field

import polars as pl

from gateway.drop.keyed import KEY_COLUMNS, NUMBER_KEYS, with_keys
from gateway.drop.record import IDENTIFIER_COLUMNS
from gateway.linker.gather import Gatherer
from gateway.linker.link import CONTRADICTION, PASSES, UNMATCHED, link_pupils
from gateway.linker.order import coded_texts, in_order
from gateway.linker.pupils import tell_apart, with_result_in
from gateway.linker.repeated import repeated
from keys.pseudonyms import PseudonymDomain
from keys.secret import Secret

#: What `LinkOutcome.counts` holds; all but the first five count pupils.
COUNTS = (
    "rows",  # delivered to the linker
    "linked_rows",  # in the results
    "repeated_results",  # rows of linked pupils that stand in the drop once more, later, with the same score
    "contradictory_results",  # the same with another score; neither are in the results
    "repeated_numbers",  # combinations of identifiers whose number stood with two birth dates or sexes in a school, and was not used
    "pupils",
    *(f"linked_{step.name}" for step in PASSES),
    "ambiguous",
    "contradiction",
    "unmatched",
    "objected",  # linked, and then left out because of an objection
    "no_register",  # at a school without an objection register: not looked at
    "leavers",  # without a result since the school years that are asked of leavers: not looked up, and not among `pupils`
)


@dataclass(frozen=True)
class LinkOutcome:
    """`results` has LINKED_COLUMNS, in order; `counts` has COUNTS; `schools` says how many pupils of each looked-at school were linked,
    `objected` how many of them were left out because of an objection (schools without one are not in it), with `objected_rows` rows."""

    results: pl.LazyFrame = field(repr=False)
    counts: dict[str, int]
    schools: dict[str, int]
    objected: dict[str, int]
    objected_rows: int


def link_drop(
    batches: Iterable[pl.DataFrame],
    register: pl.DataFrame,
    register_key: Secret,
    linkable_schools: Set[str],
    objected_persons: Set[str],
    persons: PseudonymDomain,
    schools: PseudonymDomain,
    schooljaren: Sequence[str] = (),
) -> LinkOutcome:
    """Link the pupils of `batches` (BATCH_COLUMNS) to the persons of `register`, which `register_key` keyed.

    Schools outside `linkable_schools` are not linked. `objected_persons` are pseudonyms (of `persons`) of pupils whose parents objected:
    their results are left out, whatever they were delivered under. So is a pupil without a result in one of `schooljaren`, unless there are
    none of these. Whatever `batches` raises goes through, and nothing is left.
    """
    gatherer = Gatherer(register_key)
    unlooked = _Unlooked(register_key)
    rows = 0
    for batch in batches:
        rows += batch.height
        looked_at = pl.col("brin_vestiging").is_in(sorted(linkable_schools))
        gatherer.add(batch.filter(looked_at))
        unlooked.add(batch.filter(~looked_at))
    gathered = gatherer.gathered()
    del gatherer

    variants = tell_apart(gathered.variants)
    taken = with_result_in(variants, gathered.results, schooljaren)
    said = link_pupils(variants.filter(taken).select("pupil", *KEY_COLUMNS), register)
    said, pseudonyms = _named(said, persons, objected_persons)
    linked = variants.select("school", "pupil").join(said, on="pupil", how="left", maintain_order="left")
    kept = gathered.results.filter(linked["person"].is_not_null().gather(gathered.results["variant"]))
    once = repeated(linked["person"].gather(kept["variant"]), linked["school"].gather(kept["variant"]), kept)
    kept = kept.filter(once.counts)
    who = coded_texts(pseudonyms, linked["person"]).at(kept["variant"])
    where = coded_texts(pl.Series(schools.many(gathered.schools), dtype=pl.String), linked["school"]).at(kept["variant"])
    linked_at, objected_at = _per_school(linked, pl.col("person").is_not_null()), _per_school(linked, pl.col("objected"))
    counts = {
        "rows": rows,
        "linked_rows": kept.height,
        "repeated_results": once.alike,
        "contradictory_results": once.contradictory,
        "repeated_numbers": int(variants["repeated"].sum()),
        **_pupils(said),
        "no_register": unlooked.pupils(),
        "leavers": variants["pupil"].filter(~taken).n_unique(),
    }
    return LinkOutcome(
        in_order(who, where, kept),
        {name: counts[name] for name in COUNTS},
        {code: linked_at.get(number, 0) for number, code in sorted(enumerate(gathered.schools), key=lambda item: item[1])},
        {gathered.schools[number]: pupils for number, pupils in objected_at.items()},
        int(linked["objected"].fill_null(False).gather(gathered.results["variant"]).sum()),
    )


def _per_school(linked: pl.DataFrame, which: pl.Expr) -> dict[int, int]:
    """How many pupils, by the school's number."""
    return dict(linked.filter(which).group_by("school").agg(pl.col("pupil").n_unique()).iter_rows())


def persons_by_number(
    numbers: pl.DataFrame, register: pl.LazyFrame, register_key: Secret, persons: PseudonymDomain
) -> list[frozenset[str]]:
    """Of each row of `numbers` (columns `bsn`, `onderwijsnummer`, UInt32) the pseudonyms of everybody in the register with one of them.

    For objections. There is nothing to confirm a number with, and one left out too many is the lesser evil: every person with a number
    counts. The register is read as a stream.
    """
    keyed = with_keys(numbers, register_key, NUMBER_KEYS).with_row_index("at")
    pairs = [
        register.select("persoon_id", key).join(keyed.lazy().select("at", key).drop_nulls(), on=key).select("at", "persoon_id")
        for key in NUMBER_KEYS
    ]
    found = pl.concat(pl.collect_all(pairs, engine="streaming")).unique()
    pseudonyms = persons.many(found["persoon_id"].to_list())
    by_row: list[set[str]] = [set() for _ in range(numbers.height)]
    for at, pseudonym in zip(found["at"], pseudonyms, strict=True):
        by_row[at].add(pseudonym)
    return [frozenset(row) for row in by_row]


def _named(said: pl.DataFrame, persons: PseudonymDomain, objected: Set[str]) -> tuple[pl.DataFrame, pl.Series]:
    """`said` with `person`, the place of the pupil's pseudonym in the series; null for who is not linked or (`objected`) left out."""
    ids = said["persoon_id"].drop_nulls().unique()
    pseudonyms = pl.Series("persoon", persons.many(ids.to_list()), dtype=pl.String)
    known = pl.DataFrame([ids, pseudonyms.is_in(sorted(objected)).alias("objected")]).with_row_index("person")
    joined = said.join(known, on="persoon_id", how="left").drop("persoon_id")
    left_out = pl.col("objected").fill_null(False)
    return joined.with_columns(left_out, person=pl.when(~left_out).then("person")), pseudonyms


def _pupils(said: pl.DataFrame) -> dict[str, int]:
    linked = said.filter(pl.col("person").is_not_null())
    reasons = said["reason"].fill_null("")
    return {
        "pupils": said.height,
        **{f"linked_{step.name}": int((linked["how"] == step.name).sum()) for step in PASSES},
        "ambiguous": int(reasons.str.starts_with("ambiguous").sum()),
        CONTRADICTION: int((reasons == CONTRADICTION).sum()),
        UNMATCHED: int((reasons == UNMATCHED).sum()),
        "objected": int(said["objected"].sum()),
    }


class _Unlooked:
    """Counts the pupils of schools that can't be linked yet: by their first number, or their address."""

    def __init__(self, key: Secret) -> None:
        self._key = key
        self._seen: list[pl.DataFrame] = []

    def add(self, batch: pl.DataFrame) -> None:
        if batch.height:
            keyed = with_keys(
                batch.select("brin_vestiging", *IDENTIFIER_COLUMNS).unique(), self._key, ["key_bsn", "key_ond", "key_address"]
            )
            self._seen.append(keyed.select("brin_vestiging", pl.coalesce("key_bsn", "key_ond", "key_address").alias("who")).unique())

    def pupils(self) -> int:
        return pl.concat(self._seen).unique().height if self._seen else 0
