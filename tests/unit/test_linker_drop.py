"""A whole drop: what goes in, what comes out under pseudonyms, and what is kept of it on disk."""

import hashlib
import io
import json
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import polars as pl
import pytest

from gateway.drop.record import LINKED_COLUMNS, RESULT_COLUMNS
from gateway.linker.dataset import CODEBOOK_FILE, DATA_FILE, Domains, export
from gateway.linker.drop import COUNTS, LinkOutcome, link_drop, persons_by_number
from gateway.linker.results import parquet_bytes, remove_persons, scan, write_part
from gateway.registers.persons import import_persons, load_persons
from keys.pseudonyms import PseudonymDomain
from keys.secret import Secret
from policies.errors import Refused, Unsound
from tests.support.linking_population import CODES, NEWEST, PERSONS, REGISTER_KEY, ROOT, SCHOOLS, batch, country, keyed_register

REGISTER, ROWS = country(11, 60)
STORE = Domains(PERSONS, SCHOOLS)
PROJECT = Domains(PseudonymDomain(ROOT, "kansen", "person"), PseudonymDomain(ROOT, "kansen", "school"))


def link(objected: set[str] | None = None, linkable: set[str] | None = None) -> LinkOutcome:
    schools = set(CODES) if linkable is None else linkable
    return link_drop([batch(ROWS)], keyed_register(REGISTER), REGISTER_KEY, schools, objected or set(), PERSONS, SCHOOLS)


def test_a_result_is_the_row_it_was_under_two_pseudonyms() -> None:
    outcome = link()
    results = outcome.results.collect()
    assert dict(results.schema) == LINKED_COLUMNS
    by_score = {row["score"]: row for row in ROWS}
    assert results.height == outcome.counts["linked_rows"] > 50
    for row in results.rows(named=True):
        delivered = by_score[row["score"]]
        assert {name: row[name] for name in RESULT_COLUMNS} == {name: delivered[name] for name in RESULT_COLUMNS}
        assert SCHOOLS.reveal(row["school"]) == delivered["brin_vestiging"]
    assert results.equals(results.sort(list(LINKED_COLUMNS)))


def test_every_pupil_is_counted_once() -> None:
    counts = link().counts
    assert tuple(counts) == COUNTS
    whole = [f"linked_{how}" for how in ("bsn", "onderwijsnummer", "address")] + ["ambiguous", "contradiction", "unmatched", "objected"]
    assert counts["pupils"] == sum(counts[name] for name in whole)
    assert counts["rows"] == len(ROWS)


def test_leavers_are_left_out_and_counted_and_all_their_history_with_them() -> None:
    own_test = [{**entry, "toetscode": f"T{entry['row']}"} for entry in ROWS]  # none stands in it twice
    before = link_drop([batch(own_test)], keyed_register(REGISTER), REGISTER_KEY, set(CODES), set(), PERSONS, SCHOOLS)
    results = before.results.collect()
    persons = results["persoon"].unique().sort()
    left, with_history = set(persons.head(3)), set(persons.slice(3, 3))
    whose = dict(results.select("score", "persoon").rows())
    newest = set(results.group_by("persoon").agg(pl.col("score").max())["score"])
    old = {score for score, person in whose.items() if person in left or (person in with_history and score not in newest)}
    rows = [{**entry, "schooljaar": "2021-2022" if entry["score"] in old else "2024-2025"} for entry in own_test]
    batches = [batch(rows[at : at + 9]) for at in range(0, len(rows), 9)]
    schooljaren = ["2023-2024", "2024-2025", "2025-2026"]
    after = link_drop(batches, keyed_register(REGISTER), REGISTER_KEY, set(CODES), set(), PERSONS, SCHOOLS, schooljaren)
    assert set(after.results.collect()["score"]) == {score for score, person in whose.items() if person not in left}
    assert after.counts["leavers"] == before.counts["pupils"] - after.counts["pupils"] == 3
    assert sum(after.schools.values()) == sum(before.schools.values()) - 3


def test_objecting_persons_are_left_out_and_counted() -> None:
    before = link()
    gone = set(before.results.collect()["persoon"].unique().sort().head(5))
    after = link(gone)
    kept = before.results.filter(~pl.col("persoon").is_in(sorted(gone))).collect()
    assert after.results.collect().equals(kept)
    assert after.counts["objected"] == 5 == sum(after.objected.values())
    assert after.objected_rows >= before.counts["linked_rows"] - kept.height > 0, "as delivered, also what stood there twice"
    assert before.objected == {}
    for school, pupils in before.schools.items():
        assert after.schools[school] == pupils - after.objected.get(school, 0)
    assert sum(before.schools.values()) > sum(after.schools.values())


def test_a_school_without_a_register_is_not_looked_at() -> None:
    outcome = link(linkable={CODES[0]})
    assert {SCHOOLS.reveal(school) for school in outcome.results.collect()["school"]} == {CODES[0]}
    assert outcome.counts["no_register"] > 0
    assert set(outcome.schools) == {CODES[0]}


def test_what_the_stream_raises_goes_through() -> None:
    def broken() -> Iterator[pl.DataFrame]:
        yield batch(ROWS[:20])
        raise Refused("truncated", "It ends too early.")

    with pytest.raises(Refused, match="too early"):
        link_drop(broken(), keyed_register(REGISTER), REGISTER_KEY, set(CODES), set(), PERSONS, SCHOOLS)


def test_numbers_of_objectors_become_pseudonyms() -> None:
    known = [person for person in REGISTER if person["peildatum"] == NEWEST]
    one = next(p for p in known if p["bsn"] and sum(p["bsn"] == q["bsn"] for q in known) == 1)
    two = next(p for p in known if p["onderwijsnummer"] and p["persoon_id"] != one["persoon_id"])
    numbers = pl.DataFrame(
        {"bsn": [one["bsn"], None, 987_654_321, None], "onderwijsnummer": [None, two["onderwijsnummer"], None, None]},
        schema={"bsn": pl.UInt32, "onderwijsnummer": pl.UInt32},
    )
    found = persons_by_number(numbers, keyed_register(REGISTER).lazy(), REGISTER_KEY, PERSONS)
    assert [{PERSONS.reveal(pseudonym) for pseudonym in row} for row in found] == [{one["persoon_id"]}, {two["persoon_id"]}, set(), set()]
    assert persons_by_number(numbers.clear(), keyed_register(REGISTER).lazy(), REGISTER_KEY, PERSONS) == []


def test_the_register_of_a_file_links_like_the_readable_one(tmp_path: Path) -> None:
    """The whole way from the CSV; its numbers pass the elfproef here, so the country's own are replaced."""
    text = "persoon_id;bsn;onderwijsnummer;geslacht;geboortedatum;postcode;huisnummer;toevoeging;peildatum\n"
    text += "".join(
        f"{p['persoon_id']};;;{p['geslacht']};{p['geboortedatum']};{p['postcode']};{p['huisnummer']};{p['toevoeging']};{p['peildatum']}\n"
        for p in REGISTER
    )
    import_persons(io.BytesIO(text.encode()), REGISTER_KEY, tmp_path / "persons")
    by_address = [{**person, "bsn": None, "onderwijsnummer": None} for person in REGISTER]
    readable = link_drop([batch(ROWS)], keyed_register(by_address), REGISTER_KEY, set(CODES), set(), PERSONS, SCHOOLS)
    stored = link_drop([batch(ROWS)], load_persons(tmp_path / "persons"), REGISTER_KEY, set(CODES), set(), PERSONS, SCHOOLS)
    assert stored.counts == readable.counts and stored.counts["linked_address"] > 3
    assert parquet_bytes(stored.results) == parquet_bytes(readable.results)


def test_part_is_written_whole_and_read_back(tmp_path: Path) -> None:
    outcome = link()
    path = tmp_path / "drop.parquet"
    (tmp_path / ".new.drop.parquet.0abc").write_bytes(b"of a write that was cut off")
    facts = write_part(outcome.results, path)
    assert facts.rows == outcome.counts["linked_rows"]
    assert facts.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert path.stat().st_mode & 0o777 == 0o600
    assert [entry.name for entry in tmp_path.iterdir()] == ["drop.parquet"]
    assert write_part(outcome.results, path) == facts
    assert scan([path]).collect().equals(outcome.results.collect())
    assert scan([]).collect().schema == outcome.results.collect_schema()


def test_nothing_but_linked_columns_gets_into_the_store(tmp_path: Path) -> None:
    write_part(link().results, tmp_path / "part")
    before = (tmp_path / "part").read_bytes()
    for wrong in (link().results.with_columns(bsn=1), link().results.drop("score"), link().results.cast({"score": pl.String})):
        with pytest.raises(ValueError):
            write_part(wrong, tmp_path / "part")
    assert (tmp_path / "part").read_bytes() == before


def test_part_that_can_not_take_its_name_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "part").mkdir()
    with pytest.raises(OSError):
        write_part(link().results, tmp_path / "part")
    assert [entry.name for entry in tmp_path.iterdir()] == ["part"]


def test_withdrawn_persons_leave_the_part_for_a_new_one(tmp_path: Path) -> None:
    results = link().results.collect()
    path, target = tmp_path / "part.parquet", tmp_path / "part.1.parquet"
    write_part(results.lazy(), path)
    before = path.read_bytes()
    persons = results["persoon"].unique().sort().to_list()
    gone = {persons[0], persons[3], persons[-1]}
    assert remove_persons(path, set(), target) is None
    assert remove_persons(path, {"p1-unknown", "a", "z"}, target) is None
    assert not target.exists()
    removal = remove_persons(path, {*gone, "p1-unknown"}, target)
    assert removal is not None
    out = results.filter(pl.col("persoon").is_in(sorted(gone)))
    assert removal.persons == {(person, school): rows for person, school, rows in out.group_by("persoon", "school").len().iter_rows()}
    assert results[removal.rows].equals(out)
    kept = results.filter(~pl.col("persoon").is_in(sorted(gone)))
    assert scan([target]).collect().equals(kept)
    assert (removal.facts.rows, removal.facts.sha256) == (kept.height, hashlib.sha256(target.read_bytes()).hexdigest())
    assert not any(person.encode() in target.read_bytes() for person in gone)
    assert path.read_bytes() == before, "the old one stays until the ledger counts the new one"
    assert remove_persons(target, gone, tmp_path / "part.2.parquet") is None


def test_a_part_of_which_nobody_is_left_is_empty(tmp_path: Path) -> None:
    results = link().results.collect()
    write_part(results.lazy(), tmp_path / "part")
    removal = remove_persons(tmp_path / "part", set(results["persoon"]), tmp_path / "new")
    assert removal is not None and removal.facts.rows == 0
    assert scan([tmp_path / "new"]).collect().equals(results.clear())


def test_damaged_part_is_unsound(tmp_path: Path) -> None:
    (tmp_path / "cut").write_bytes(b"PAR1")
    pl.DataFrame({"bsn": [1]}).write_parquet(tmp_path / "other")
    for name in ("none", "cut", "other"):
        with pytest.raises(Unsound, match="can't be read"):
            remove_persons(tmp_path / name, {"p1"}, tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_dataset_is_the_same_results_under_other_names(tmp_path: Path) -> None:
    results = link().results
    facts = export(results, STORE, PROJECT, tmp_path / "kansen", "kansen", date(2026, 11, 1))
    data = pl.read_parquet(tmp_path / "kansen" / DATA_FILE)
    back = data.with_columns(
        pl.Series("persoon", [PERSONS.pseudonym(PROJECT.persons.reveal(name)) for name in data["persoon"]]),
        pl.Series("school", [SCHOOLS.pseudonym(PROJECT.schools.reveal(name)) for name in data["school"]]),
    )
    assert back.sort(list(LINKED_COLUMNS)).equals(results.collect())
    assert data.equals(data.sort(list(LINKED_COLUMNS)))
    assert not set(data["persoon"]) & set(results.collect()["persoon"])
    assert (facts.rows, facts.persons, facts.schools) == (data.height, data["persoon"].n_unique(), data["school"].n_unique())


def test_codebook_tells_what_the_dataset_holds(tmp_path: Path) -> None:
    facts = export(link().results, STORE, PROJECT, tmp_path, "kansen")
    package = json.loads((tmp_path / CODEBOOK_FILE).read_text())
    [resource] = package["resources"]
    data = (tmp_path / DATA_FILE).read_bytes()
    assert resource["hash"] == f"sha256:{facts.sha256[DATA_FILE]}" == f"sha256:{hashlib.sha256(data).hexdigest()}"
    assert (resource["bytes"], resource["rows"]) == (len(data), facts.rows)
    fields = {field["name"]: field for field in resource["schema"]["fields"]}
    assert list(fields) == pl.read_parquet(io.BytesIO(data)).columns
    assert {name: field["type"] for name, field in fields.items() if field["type"] != "string"} == {
        "kinderdagverblijf": "boolean",
        "peuterspeelzaal": "boolean",
        "afnamedatum": "date",
        "score": "number",
    }
    assert fields["domein"]["constraints"]["enum"] == ["spelling"]
    assert all(field["title"] and field["description"] for field in fields.values())
    assert "created" not in package


def test_dataset_is_the_same_bytes_again_and_differs_between_projects(tmp_path: Path) -> None:
    results = link().results
    once = export(results, STORE, PROJECT, tmp_path / "a", "kansen")
    again = export(results.collect().reverse().lazy(), STORE, PROJECT, tmp_path / "b", "kansen")
    assert once == again
    other = Domains(PseudonymDomain(ROOT, "taal", "person"), PseudonymDomain(ROOT, "taal", "school"))
    assert export(results, STORE, other, tmp_path / "c", "kansen").sha256[DATA_FILE] != once.sha256[DATA_FILE]


def test_dataset_of_foreign_pseudonyms_is_refused(tmp_path: Path) -> None:
    foreign = Domains(PseudonymDomain(Secret(bytes(32)), "store", "person"), SCHOOLS)
    with pytest.raises(Refused) as refusal:
        export(link().results, foreign, PROJECT, tmp_path, "kansen")
    assert refusal.value.code == "not-a-pseudonym"
    assert list(tmp_path.iterdir()) == []


def test_dataset_of_nothing(tmp_path: Path) -> None:
    facts = export(scan([]), STORE, PROJECT, tmp_path, "leeg")
    assert (facts.rows, facts.persons, facts.schools) == (0, 0, 0)
    assert pl.read_parquet(tmp_path / DATA_FILE).schema == pl.Schema(LINKED_COLUMNS)
