"""A made-up country of three boards and four schools, and its pupils: each with numbers and an address of nobody else's."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from gateway.demo.exports import Round, rounds
from policies.calendar import schooljaar_from
from tests.support.deliveries import COLUMNS, OBJECTION_COLUMNS, Row, elf_number, write_csv

#: school → board. The third board hands in no form, so it does not take part.
SCHOOLS = {"41AA00": "41001", "41AB00": "41001", "41BA00": "41002", "41CA00": "41003"}
#: board → the vendor through whom it consents
VENDORS = {"41001": "cito", "41002": "esis", "41003": "cito"}
PER_SCHOOL = 12
DOMAINS = ("begrijpend_lezen", "spelling", "rekenen_wiskunde")


@dataclass(frozen=True)
class Pupil:
    """One pupil, and the person of the register that it is. Every value that identifies is this pupil's alone."""

    person: str
    school: str
    bsn: str  # "": has none
    onderwijsnummer: str  # "": has none
    sex: str
    birth: date
    postcode: str
    house: str


def _number(stem: int, remainder: int) -> str:
    while (value := elf_number(stem, remainder)) is None:
        stem += 1
    return f"{value:09}"


def pupils(today: date) -> list[Pupil]:
    """PER_SCHOOL pupils of each school, in group 5 of the newest round before `today`; every sixth has an onderwijsnummer only."""
    october = date(rounds(today)[0].year, 10, 1)
    made = []
    for place, school in enumerate(SCHOOLS):
        for number in range(PER_SCHOOL):
            at = place * PER_SCHOOL + number
            foreign = number % 6 == 5
            made.append(
                Pupil(
                    person=f"R{7_000_000 + 7 * at}",
                    school=school,
                    bsn="" if foreign else _number(61_827_364 + at * 654_321, 0),
                    onderwijsnummer=_number(10_273_645 + at * 9_876, 5) if foreign else "",
                    sex="MV"[at % 2],
                    birth=october - timedelta(days=365 * 8 + 7 * at + 3),
                    postcode=f"{7013 + 37 * at}{'KLMNPRTVWXZ'[at % 11]}{'GHJKLMNPRTV'[at // 11 % 11]}",
                    house=str(1_013 + 17 * at),
                )
            )
    return made


def results(who: Iterable[Pupil], today: date) -> list[Row]:
    """Twelve results of each pupil: four rounds, three domains."""
    taken = rounds(today)
    return [_result(pupil, one, domain, taken[0]) for pupil in who for one in taken for domain in DOMAINS]


def _result(pupil: Pupil, one: Round, domain: str, newest: Round) -> Row:
    group = 5 - (newest.year - one.year)
    return {
        "brin_vestiging": pupil.school,
        "bsn": pupil.bsn,
        "onderwijsnummer": pupil.onderwijsnummer,
        "geslacht": pupil.sex,
        "geboortedatum": pupil.birth.isoformat(),
        "postcode": pupil.postcode,
        "huisnummer": pupil.house,
        "toevoeging": "",
        "schooljaar": schooljaar_from(one.year),
        "jaargroep": str(group),
        "kinderdagverblijf": "J",
        "peuterspeelzaal": "",
        "uitgever": "cito",
        "toetscode": f"{domain[:2].upper()}-3.0-{one.half}{group}",
        "domein": domain,
        "afnamemoment": f"{one.half}{group}",
        "afnamedatum": one.day.isoformat(),
        "score": f"{130 + 20 * group + int(pupil.house) % 23}.5",  # plausible in each domain
    }


def delivery(who: Iterable[Pupil], today: date) -> bytes:
    """The `nco-lvs-1` file of these pupils."""
    return write_csv(results(who, today), COLUMNS)


def objections(schools: Sequence[str], objecting: Iterable[Pupil], filed_on: date, withdrawn: Iterable[Pupil] = ()) -> bytes:
    """The `nco-bezwaar-1` file of these schools; those without an objection say so."""
    rows = [
        {"brin_vestiging": who.school, "bsn": who.bsn, "onderwijsnummer": who.onderwijsnummer, "ingediend_op": str(filed_on)} | back
        for some, back in ((objecting, {"ingetrokken_op": ""}), (withdrawn, {"ingetrokken_op": str(filed_on)}))
        for who in some
    ]
    spoken = {row["brin_vestiging"] for row in rows}
    rows += [{**dict.fromkeys(OBJECTION_COLUMNS, ""), "brin_vestiging": school} for school in schools if school not in spoken]
    return write_csv(rows, OBJECTION_COLUMNS)


def register_of_persons(who: Iterable[Pupil], reference: date) -> bytes:
    """The `personen-1` file in which every one of them stands."""
    lines = ["persoon_id;bsn;onderwijsnummer;geslacht;geboortedatum;postcode;huisnummer;toevoeging;peildatum"]
    lines += [f"{one.person};{one.bsn};{one.onderwijsnummer};{one.sex};{one.birth};{one.postcode};{one.house};;{reference}" for one in who]
    return ("\n".join(lines) + "\n").encode()


def register_of_schools() -> bytes:
    """DUO's CSV of these boards and schools, in its current layout."""
    lines = ["BEVOEGD GEZAG NUMMER,BEVOEGD GEZAG NAAM,VESTIGINGSCODE,VESTIGINGSNAAM,STRAATNAAM,HUISNUMMER-TOEVOEGING,POSTCODE,PLAATSNAAM"]
    lines += [f'{board},"Stichting {board}",{code},"School {code}",Kade,1,2491 BC,SLUISWIJK' for code, board in SCHOOLS.items()]
    return ("\ufeff" + "\r\n".join(lines) + "\r\n").encode()
