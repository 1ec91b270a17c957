"""UWLR's own rules for a zip of EDEXML and UWLR, with its fault codes; and what stands twice in one."""

import pytest

from tests.support.deliveries import (
    SCHOOL,
    bsn,
    check,
    context,
    standing,
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
    uwlr,
)

# ---------------------------------------------------------------- UWLR's rules, with its fault codes


@pytest.mark.parametrize(
    ("before", "after", "rule", "fault"),
    [
        ("<xsdversie>2.2", "<xsdversie>2.1", "xml-version", "Client.XsdVersieOngeldig"),
        (f"<brincode>{SCHOOL[:4]}", "<brincode>09ZZ", "xml-school", "Client.OngeldigBericht"),
        ("<toetscode>WERKHOUDING", f"<toetscode>{CODE}", "uwlr-tests", "Client.OngeldigBericht"),
        (f"<toets><toetscode>{CODE}", "<toets><toetscode>iets-anders", "uwlr-tests", "Client.OngeldigBericht"),
        ("<eindnormwaarde>9", "<eindnormwaarde>0", "uwlr-norm", "Client.ToetsNormeringOngeldig"),
        ("leerresultaten/2/leerresultaten", "leerresultaten/1/leerresultaten", "xml-message", "Client.OngeldigBericht"),
        (f"<toetscode>{CODE}</toetscode><oso", "<oso", "xml-message", "Client.OngeldigBericht"),
    ],
)
def test_a_broken_rule_of_the_whole_refuses_the_drop(before: str, after: str, rule: str, fault: str) -> None:
    table = known(5)
    outcome = outcome_of(table, results=changed_results(table, before, after))
    assert outcome.refused
    told = next(found for found in outcome.findings if found.rule == rule)
    assert fault in told.message and told.message.startswith(f"{SCHOOL}/resultaten.xml: ")


def test_a_sitting_without_a_pupil_is_not_the_one_befores() -> None:
    table = known(200, per_pupil=1)
    given = uwlr(SCHOOL, table)
    left_out = given.replace(f"<leerlingid>{key_of(table[7])}</leerlingid>", "", 1)
    assert left_out != given
    accepted, outcome = check(exchange(table, results=left_out))
    assert [told.rule for told in outcome.findings] == ["uwlr-pupil"] and outcome.findings[0].row == 8
    assert len(accepted) == 199


@pytest.mark.parametrize(
    ("before", "after", "rule", "fault"),
    [
        ('key="r7"', 'key="r6"', "uwlr-key", "Client.OngeldigBericht"),
        ('key="r7"', "", "uwlr-key", "Client.OngeldigBericht"),
        ("{score}", "", "uwlr-score", "Client.ScoreOngeldig"),
        ("{score}", "<anderresultaat/>", "uwlr-score", "Client.ScoreOngeldig"),
        ("{score}", "{score}{score}", "uwlr-score", "Client.ScoreOngeldig"),
        ("{score}", "<score>5</score><score>6</score>", "uwlr-score", "Client.ScoreOngeldig"),
        ("{score}", "{score}<score>5</score>", "uwlr-score", "Client.ScoreOngeldig"),
        ("{pupil}", "onbekend", "uwlr-pupil", "Client.LeerlingOngeldig"),
    ],
)
def test_a_broken_rule_of_a_result_refuses_its_row(before: str, after: str, rule: str, fault: str) -> None:
    table = known(200, per_pupil=1)
    table[7]["score"] = "199.9"
    if before == "{pupil}":
        head, mark, tail = uwlr(SCHOOL, table).partition('<resultaat key="r7"')
        begin = head.rindex("<leerlingid>")
        results = head[:begin] + head[begin:].replace(key_of(table[7]), after) + mark + tail
    else:
        results = changed_results(table, before.format(score=oso("199.9")), after.format(score=oso("199.9")))
    outcome = outcome_of(table, results=results)
    assert not outcome.refused and outcome.counts["refused_rows"] == 1 and outcome.counts["accepted_rows"] == 199
    (told,) = outcome.findings
    assert (told.rule, told.row, told.column) == (rule, 8, None)
    assert fault in told.message and told.message.startswith(f"{SCHOOL}/resultaten.xml, resultaat 8: ")


def test_a_value_is_refused_by_the_same_checks_and_the_finding_names_the_element_and_the_file() -> None:
    where = context(schools={code: standing(code) for code in (SCHOOL, OTHER_SCHOOL)})
    table = sorted(known(400, schools=(SCHOOL, OTHER_SCHOOL), per_pupil=1), key=lambda entry: entry["brin_vestiging"])
    table[203]["postcode"] = "0000AA"
    _, outcome = check(exchange(table), where)
    (told,) = outcome.findings
    assert (told.rule, told.row, told.column) == ("postcode", 4, "postcodenl")
    assert told.message.startswith(f"{OTHER_SCHOOL}/resultaten.xml, resultaat 4 (Client.LeerlingOngeldig): ")


@pytest.mark.parametrize(
    ("fields", "rule", "fault"),
    [
        ({"score": "601"}, "range", " (Client.ScoreOngeldig)"),
        ({"score": "12a"}, "number", " (Client.ScoreOngeldig)"),
        ({"score": "1"}, "unusual-score", ""),
        ({"geboortedatum": "1990-01-01"}, "age", " (Client.LeerlingOngeldig)"),
        ({"bsn": "111111111"}, "elfproef", " (Client.LeerlingOngeldig)"),
        ({"afnamedatum": "2026-02-30"}, "date", " (Client.OngeldigBericht)"),
        ({"afnamedatum": "2026-02-21"}, "date-in-future", " (Client.OngeldigBericht)"),
    ],
)
def test_what_refuses_a_result_is_told_with_the_fault_code_of_uwlr(fields: dict[str, str], rule: str, fault: str) -> None:
    table = known(300, per_pupil=1)
    table[7] |= fields
    told = next(found for found in outcome_of(table).findings if found.rule == rule)
    assert told.message.startswith(f"{SCHOOL}/resultaten.xml, resultaat 8{fault}: ")
    assert told.english.startswith(f"{SCHOOL}/resultaten.xml, resultaat 8{fault}: ")


# ---------------------------------------------------------------- what stands twice


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("<bsn>{bsn}</bsn>", f"<bsn>{{bsn}}</bsn><bsn>{bsn(77)}</bsn>"),
        ("<bsn>{bsn}</bsn>", f"<sofinummer>{bsn(77)}</sofinummer><bsn>{{bsn}}</bsn>"),
        ("<geboortedatum>", "<geboortedatum>2013-01-01</geboortedatum><geboortedatum>"),
        ("<huisnummer>", "<huisnummer>9999</huisnummer><huisnummer>"),
        ("</blok>", "</blok><blok><code>sluis-adres-1</code><huisnummer>9999</huisnummer></blok>"),
        (f"<brincode>{SCHOOL[:4]}", f"<brincode>09ZZ</brincode><brincode>{SCHOOL[:4]}"),
        ("<schooljaar>", "<schooljaar>2024-2025</schooljaar><schooljaar>"),
        ("<dependancecode>00", "<dependancecode>01</dependancecode><dependancecode>00"),
    ],
)
def test_a_second_value_for_what_a_pupil_or_school_has_one_of_refuses_the_drop(before: str, after: str) -> None:
    table = known(5)
    before, after = (text.replace("{bsn}", table[0]["bsn"].zfill(9)) for text in (before, after))
    good = edexml(SCHOOL, table)
    assert before in good
    outcome = outcome_of(table, pupils=good.replace(before, after, 1))
    assert outcome.refused and [told.rule for told in outcome.findings] == ["xml-message"]
    assert outcome.findings[0].message.startswith(f"{SCHOOL}/leerlingen.xml: ")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("<leerlingid>", "<leerlingid>iemand-anders</leerlingid><leerlingid>"),
        ("<afnamedatum>", "<afnamedatum>2026-01-19</afnamedatum><afnamedatum>"),
        (f"<toetscode>{CODE}</toetscode><oso", f"<toetscode>SP-3.0-M5</toetscode><toetscode>{CODE}</toetscode><oso"),
        (f"<brincode>{SCHOOL[:4]}", f"<brincode>09ZZ</brincode><brincode>{SCHOOL[:4]}"),
        ("<xsdversie>", "<xsdversie>2.1</xsdversie><xsdversie>"),
    ],
)
def test_a_second_value_in_the_results_refuses_the_drop(before: str, after: str) -> None:
    table = known(5)
    outcome = outcome_of(table, results=changed_results(table, before, after))
    assert outcome.refused and [told.rule for told in outcome.findings] == ["xml-message"]
    assert "Client.OngeldigBericht" in outcome.findings[0].message


def test_the_same_value_twice_and_an_empty_one_say_nothing_else() -> None:
    table = known(5)
    number = table[0]["bsn"].zfill(9)
    twice = edexml(SCHOOL, table).replace(f"<bsn>{number}</bsn>", f"<bsn>{number}</bsn><bsn>{number}</bsn><onderwijsnummer/><bsn/>", 1)
    results = uwlr(SCHOOL, table).replace("</leerlingid>", "</leerlingid><leerlingid/>", 1)
    accepted, outcome = check(exchange(table, pupils=twice, results=results))
    assert not outcome.refused and accepted == check(exchange(table))[0]


def test_files_of_two_school_years_are_told_of_once_with_the_number_of_schools() -> None:
    where = context(schools={code: standing(code) for code in (SCHOOL, OTHER_SCHOOL)})
    table = sorted(known(400, schools=(SCHOOL, OTHER_SCHOOL)), key=lambda entry: entry["brin_vestiging"])
    of = {code: [entry for entry in table if entry["brin_vestiging"] == code] for code in (SCHOOL, OTHER_SCHOOL)}
    files = {f"{code}/resultaten.xml": uwlr(code, here) for code, here in of.items()}
    apart = {f"{code}/leerlingen.xml": edexml(code, here, year="2024-2025") for code, here in of.items()}
    _, outcome = check(packed(files | apart), where)
    (told,) = outcome.findings
    assert (told.rule, told.row, outcome.refused) == ("two-school-years", None, False) and told.message.startswith("Bij 2 vestigingen ")
    one = {**apart, f"{SCHOOL}/leerlingen.xml": edexml(SCHOOL, of[SCHOOL])}
    assert check(packed(files | one), where)[1].findings[0].message.startswith("Bij 1 vestigingen ")
