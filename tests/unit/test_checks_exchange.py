"""A zip of EDEXML and UWLR: read as its CSV twin is, UWLR's own rules held, what is not asked for passed over."""

import io
import shutil
import zipfile
from pathlib import Path

import polars as pl
import pytest
import xmlschema

from gateway.checks.check import Checked
from gateway.checks.edexml import Pupils
from gateway.checks.stream import open_delivery
from gateway.checks.strict_xml import Element, StrictXml
from gateway.vendor.check import check_file
from policies.errors import Unsound
from policies.rules import load_rules, packaged_rules
from tests.support.deliveries import (
    DROP_KEY,
    IDENTITY,
    SCHOOL,
    age,
    blob,
    bsn,
    check,
    context,
    row,
    rules_told,
    standing,
    write_csv,
)
from tests.support.exchange import (
    CODE,
    OTHER_SCHOOL,
    changed_results,
    edexml,
    exchange,
    key_of,
    known,
    oso,
    outcome_of,
    packed,
    result,
    uwlr,
)

STANDARDS = Path(__file__).resolve().parents[3] / "shared" / "standards"
VENDOR_PAGES = Path(__file__).resolve().parents[2] / "docs" / "vendor"

official = pytest.mark.skipif(not STANDARDS.is_dir(), reason="Edustandaard's schemas and sample, no part of the project, are not there")


# ---------------------------------------------------------------- as its CSV twin


def test_a_zip_gives_the_rows_of_its_csv_twin() -> None:
    where = context(schools={code: standing(code) for code in (SCHOOL, OTHER_SCHOOL)})
    table = sorted(known(500, schools=(SCHOOL, OTHER_SCHOOL)), key=lambda entry: entry["brin_vestiging"])
    zipped, outcome = check(exchange(table), where)
    plain, twin = check(write_csv(table), where)
    assert zipped == plain and len(plain) == 500
    assert (outcome.counts, outcome.schools, outcome.refused) == (twin.counts, twin.schools, False)


@pytest.mark.parametrize("version", ["2.0", "2.1"])
def test_both_versions_of_edexml_are_taken(version: str) -> None:
    table = known(5)
    assert not outcome_of(table, pupils=edexml(SCHOOL, table, version)).refused


def test_what_the_block_and_the_codes_say_is_read() -> None:
    table = [row(toetscode=CODE, kinderdagverblijf="N", peuterspeelzaal="J", geslacht="X")]
    letter = edexml(SCHOOL, table).replace("<toevoeging>A<", "<huisletter>b</huisletter><toevoeging>12<")
    (accepted,), outcome = check(exchange(table, pupils=letter))
    assert not outcome.refused
    assert accepted["huisnummer"] == 12 and accepted["toevoeging"] == "B12"
    assert accepted["kinderdagverblijf"] is False and accepted["peuterspeelzaal"] is True
    assert accepted["geslacht"] == "X" and accepted["bsn"] == bsn(1) and accepted["afnamemoment"] == "M5"


def test_a_block_of_another_maker_is_passed_over() -> None:
    table = [row(toetscode=CODE)]
    (accepted,), _ = check(exchange(table, pupils=edexml(SCHOOL, table).replace("sluis-adres-1", "iets anders")))
    assert accepted["huisnummer"] is None


def test_a_result_of_an_earlier_year_gets_that_year_and_the_group_of_its_moment() -> None:
    table = [row(toetscode="RW-3.0-E4", afnamedatum="2025-06-10"), row(toetscode=CODE, jaargroep="6")]
    accepted, outcome = check(exchange(table))
    assert not outcome.refused
    assert [(entry["schooljaar"], entry["jaargroep"]) for entry in accepted] == [("2024-2025", "4"), ("2025-2026", "6")]


def test_a_whole_score_may_stand_in_score() -> None:
    table = known(1)
    (accepted,), _ = check(exchange(table, results=changed_results(table, oso(table[0]["score"]), "<score>213</score>")))
    assert accepted["score"] == 213.0


def test_an_xs_date_with_a_zone_is_its_day() -> None:
    table = known(1)
    accepted, _ = check(exchange(table, results=changed_results(table, "2026-01-20<", "2026-01-20+01:00<")))
    assert str(accepted[0]["afnamedatum"]) == "2026-01-20"


def test_other_tests_and_parts_of_tests_are_counted_and_passed_over() -> None:
    table = known(3)
    whole = result("p1", "2026-01-20", CODE, "<score>3</score>")
    part = whole.replace("<score>", "<toetsonderdeelcode>deel</toetsonderdeelcode><score>")
    outcome = outcome_of(table, results=uwlr(SCHOOL, table, others=7, more=part))
    assert not outcome.refused and outcome.counts["rows"] == 3
    (told,) = outcome.findings
    assert told.rule == "other-tests" and told.message.startswith("8 ")


# ---------------------------------------------------------------- the standard


@pytest.mark.skipif(
    not STANDARDS.is_dir(), reason="Edustandaard's schemas and sample are not part of the project: none in ../shared/standards"
)
def test_the_official_sample_is_read() -> None:
    content = (STANDARDS / "edexml-2.1" / "EDEXML.Voorbeeld.2.1.xml").read_bytes()
    pupils = Pupils("99ZZ00", [content[:100], content[100:]], lambda name: None)
    assert pupils.index == {"00001": 0, "00002": 1, "12345": 2} and pupils.schooljaar == "2014-2015"
    assert pupils.frame["geslacht"].to_list() == ["M", "X", "M"]
    assert pupils.frame["bsn"].to_list() == [None, "133456785", None]
    assert pupils.frame["postcode"].to_list() == [None, "6971VB", None]
    assert "Wimpie" not in str(pupils.frame.to_dicts()) + str(vars(pupils))


@pytest.mark.skipif(
    not STANDARDS.is_dir(), reason="Edustandaard's schemas and sample are not part of the project: none in ../shared/standards"
)
def test_what_the_tests_deliver_is_valid_by_the_official_schemas(tmp_path: Path) -> None:
    """With Sluis' own block beside the standard's, as its page tells vendors to do."""
    for schema in (STANDARDS / "edexml-2.1").glob("*.xsd"):
        shutil.copy(schema, tmp_path)
    shutil.copy(VENDOR_PAGES / "sluis-toevoegingen.xsd", tmp_path)
    pupils = xmlschema.XMLSchema(str(tmp_path / "sluis-toevoegingen.xsd"))
    results = xmlschema.XMLSchema(str(STANDARDS / "uwlr-2.2" / "UWLR_Leerresultaten_v2p2.xsd"))
    table = known(60)
    # the schemas at hand know school years up to this one
    content = edexml(SCHOOL, table, year="2024-2025")
    pupils.validate(content)
    results.validate(uwlr(SCHOOL, table, others=3))
    assert not pupils.is_valid(content.replace("<huisnummer>", "<huisnummer>x"))
    page = (VENDOR_PAGES / "edexml-uwlr.md").read_text(encoding="utf-8")
    block = page[page.index("<toevoegingen>") : page.index("</toevoegingen>")] + "</toevoegingen>"
    head, _, rest = content.partition("<toevoegingen>")
    pupils.validate(head + block + rest.partition("</toevoegingen>")[2])


def test_no_name_is_ever_made_into_a_text() -> None:
    seen: list[str] = []
    tree = Element({"EDEX": Element({"leerlingen": Element({"leerling": Element({"bsn": Element(text=seen.append)})})})})
    text = edexml(SCHOOL, known(1)).encode()
    xml = StrictXml(tree, lambda name: None)
    collected = []
    for _ in xml.read(text[at : at + 1] for at in range(len(text))):
        collected += xml._text
    assert seen == [str(bsn(0)).zfill(9)] and set("".join(collected)) <= set("0123456789")


# ---------------------------------------------------------------- a zip that is not as it should be


def test_what_is_wrong_with_the_pupils_refuses_the_drop() -> None:
    table = known(10)
    good = edexml(SCHOOL, table)
    first = f'key="{key_of(table[0])}"'
    second = f'key="{key_of(table[5])}"'
    for before, after, rule in (
        (second, first, "edexml-key"),
        (first, "", "xml-message"),
        ("<xsdversie>2.1", "<xsdversie>1.0", "xml-version"),
        (f"<brincode>{SCHOOL[:4]}", "<brincode>09ZZ", "xml-school"),
        ("<land>NL</land>", "<etniciteit>1</etniciteit>", "special-element"),
    ):
        assert before in good
        outcome = outcome_of(table, pupils=good.replace(before, after, 1))
        assert outcome.refused and rules_told(outcome) == {rule}, rule
        assert outcome.findings[0].message.startswith(f"{SCHOOL}/leerlingen.xml: ")


def test_a_school_needs_both_files() -> None:
    table = known(1)
    for files in ({f"{SCHOOL}/leerlingen.xml": edexml(SCHOOL, table)}, {f"{SCHOOL}/resultaten.xml": uwlr(SCHOOL, table)}):
        assert rules_told(check(packed(files))[1]) == {"zip-pair"}


def test_a_cut_delivery_of_a_zip_can_be_sent_anew() -> None:
    sealed = age(exchange(known(2000)))
    with open_delivery(blob(sealed[:-100]), DROP_KEY, [IDENTITY]) as stream:
        checked = Checked(stream, context(), packaged_rules("nco-lvs-1"))
        assert list(checked.batches()) == []
    assert checked.outcome.truncated and rules_told(checked.outcome) == {"truncated"}


def test_an_empty_zip_holds_no_rows() -> None:
    assert rules_told(check(packed({}))[1]) == {"no-rows"}


def test_a_zip_written_to_a_pipe_with_folders_is_read() -> None:
    """As Java and many tools write it: sizes after the data, folders as entries of their own, files stored."""

    class Pipe(io.RawIOBase):
        def __init__(self) -> None:
            super().__init__()
            self.content = bytearray()

        def writable(self) -> bool:
            return True

        def write(self, data: object) -> int:
            self.content += bytes(data)  # type: ignore[call-overload]
            return len(bytes(data))  # type: ignore[call-overload]

    table, pipe = known(5), Pipe()
    with zipfile.ZipFile(pipe, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(f"{SCHOOL}/", b"")
        archive.writestr(f"{SCHOOL}/resultaten.xml", uwlr(SCHOOL, table))
        archive.writestr(f"{SCHOOL}/leerlingen.xml", edexml(SCHOOL, table))
    assert not check(bytes(pipe.content))[1].refused


# ---------------------------------------------------------------- the policy of codes


def test_codes_say_publisher_domain_and_moment() -> None:
    rules = packaged_rules("nco-lvs-1")
    told = {
        code: rules.test(code) for code in ("RW2006-12-155", "BLZ07-20-138", "DIATEKST-E5", "IEP-REKENEN", "XRW2006-12-155", "RW-3.0-E8")
    }
    found = {code: (match.publisher, match.domain, match.moment) for code, match in told.items() if match}
    assert found == {
        "RW2006-12-155": ("cito", "rekenen_wiskunde", ""),
        "BLZ07-20-138": ("cito", "begrijpend_lezen", ""),
        "DIATEKST-E5": ("diataal", "begrijpend_lezen", "E5"),
        "IEP-REKENEN": ("iep", "rekenen_wiskunde", ""),
    }


def test_a_code_of_an_unknown_publisher_is_refused_with_its_line() -> None:
    text = (Path(__file__).resolve().parents[2] / "policies" / "nco_lvs.toml").read_text(encoding="utf-8")
    added = text + '\n[[tests]]\npattern = \'A\'\npublisher = "niemand"\ndomain = "spelling"\n'
    with pytest.raises(Unsound, match=rf"line {added.count(chr(10)) - 1}: 'publisher'"):
        load_rules(added, "t.toml")


def test_batches_are_those_of_a_record() -> None:
    checked = Checked(io.BytesIO(exchange(known(5))), context(), packaged_rules("nco-lvs-1"))
    (zipped,) = checked.batches()
    (plain,) = Checked(io.BytesIO(write_csv(known(5))), context(), packaged_rules("nco-lvs-1")).batches()
    assert zipped.equals(plain) and zipped.schema == plain.schema and isinstance(zipped, pl.DataFrame)
    assert checked.format == "edexml-uwlr"


def test_a_vendor_can_check_a_zip_beforehand(tmp_path: Path) -> None:
    file = tmp_path / "levering.zip"
    file.write_bytes(exchange(known(5)))
    verdict = check_file(file)
    assert (verdict.format, verdict.counts["rows"], verdict.counts["schools"]) == ("edexml-uwlr", 5, 1)
