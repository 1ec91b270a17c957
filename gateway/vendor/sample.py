"""`sluis deliver sample`: a valid file of each format. Its pupils are made up, and the same on each machine; its days follow today's.

BSNs begin with 99999, as the test numbers of the Rijksdienst voor Identiteitsgegevens do; the schools' codes begin with 99, as no
school's does.
"""

import gzip
import io
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from xml.sax.saxutils import escape

import numpy as np
from numpy.typing import NDArray

from gateway.checks.archive import PUPILS, RESULTS
from gateway.checks.edexml import BLOCK
from gateway.checks.uwlr import NAMESPACE, OSO
from gateway.vendor.refusals import refusal
from policies.calendar import first_year, schooljaar_from, schooljaar_of
from policies.identifiers import are_bsns, are_onderwijsnummers
from policies.rules import packaged_rules

SCHOOLS = ("99AA00", "99AB00")
#: of pupils in each of these groups, at each school
GROUPS, PER_GROUP = range(3, 9), 2
#: test and domain
TESTS = (("BL-3.0", "begrijpend_lezen"), ("SP-3.0", "spelling"), ("RW-3.0", "rekenen_wiskunde"))

_TEST_BSNS = np.arange(999_990_000, 999_999_000, dtype=np.uint32)
_TEST_NUMBERS = np.arange(109_990_000, 109_999_999, dtype=np.uint32)
_SEX = {"M": "1", "V": "2"}

Row = dict[str, str]


@dataclass(frozen=True)
class _Pupil:
    school: str
    key: str
    group: int
    about: Row  # columns of the format


@dataclass(frozen=True)
class _Round:
    half: str  # M or E
    year: int  # in which its school year began
    day: date


def write_samples(folder: Path, today: date) -> list[Path]:
    """Write the files, in a folder that is there or made; their paths. Nothing is overwritten: Refused (`file-exists`,
    `folder-unwritable`)."""
    pupils = list(_pupils(today))
    results = [row for pupil in pupils for row in _results(pupil, today)]
    table = _csv(results)
    files = {
        "levering.csv": table,
        "levering-gzip.csv.gz": gzip.compress(table, mtime=0),
        "levering-edexml-uwlr.zip": _archive(pupils, results, today),
        "bezwaren.csv": _objections(pupils, today),
        "intrekking.csv": _csv([{"levering": f"d{today:%Y%m%d}-abcdefghijklmnop", "reden": "onjuist"}]),
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            with (folder / name).open("xb") as file:
                file.write(content)
    except FileExistsError:
        raise refusal("file-exists", folder=folder) from None
    except OSError:
        raise refusal("folder-unwritable", folder=folder) from None
    return [folder / name for name in files]


def _csv(rows: Sequence[Row]) -> bytes:
    return "".join(f"{';'.join(line)}\n" for line in (list(rows[0]), *(list(row.values()) for row in rows))).encode()


def _numbers(candidates: NDArray[np.uint32], sound: NDArray[np.bool_]) -> list[str]:
    return [f"{number:09}" for number in candidates[sound]]


def _pupils(today: date) -> Iterator[_Pupil]:
    """PER_GROUP pupils of each group at each school; the last one of each school has no BSN but an onderwijsnummer."""
    bsns, others = _numbers(_TEST_BSNS, are_bsns(_TEST_BSNS)), _numbers(_TEST_NUMBERS, are_onderwijsnummers(_TEST_NUMBERS))
    year = first_year(schooljaar_of(today))
    for at, (school, group, number) in enumerate(
        (school, group, number) for school in SCHOOLS for group in GROUPS for number in range(PER_GROUP)
    ):
        foreign = (group, number) == (GROUPS[-1], PER_GROUP - 1)
        about = {
            "bsn": "" if foreign else bsns[at],
            "onderwijsnummer": others[at] if foreign else "",
            "geslacht": "MV"[at % 2],
            "geboortedatum": (date(year - group - 3, 1, 15) + timedelta(days=7 * at)).isoformat(),
            "postcode": f"{1011 + 97 * at}{'ABCDEGHKLM'[at % 10]}{'BCDEGHKLMN'[at // 10]}",
            "huisnummer": str(1 + 3 * at),
            "toevoeging": "A" if at % 4 == 0 else "",
            "kinderdagverblijf": "JN"[at % 2],
            "peuterspeelzaal": "" if at % 3 == 0 else "J",
        }
        yield _Pupil(school, f"L{at + 1}", group, about)


def _rounds(today: date) -> list[_Round]:
    """The two rounds that were over on this day, the older one first: a middle of the year in January, an end in June."""
    found = [
        _Round(half, year, date(year + 1, month, day))
        for year in range(today.year - 3, today.year + 1)
        for half, month, day in (("M", 1, 25), ("E", 6, 5))
    ]
    return [one for one in found if one.day <= today][-2:]


def _results(pupil: _Pupil, today: date) -> Iterator[Row]:
    rules = packaged_rules("nco-lvs-1")
    now = first_year(schooljaar_of(today))
    for one in _rounds(today):
        group = pupil.group - (now - one.year)
        moment = f"{one.half}{group}"
        if moment not in rules.values("afnamemoment"):
            continue  # the group that a pupil was in then has no such moment
        for place, (test, domain) in enumerate(TESTS):
            usual = rules.bounds("cito", domain, moment)[1]
            if usual is None:
                continue  # nobody takes this test then
            values = {
                **pupil.about,
                "brin_vestiging": pupil.school,
                "schooljaar": schooljaar_from(one.year),
                "jaargroep": str(group),
                "uitgever": "cito",
                "toetscode": f"{test}-{moment}",
                "domein": domain,
                "afnamemoment": moment,
                "afnamedatum": (one.day - timedelta(days=7 * place)).isoformat(),
                "score": f"{(usual[0] + usual[1]) / 2 + int(pupil.about['huisnummer']) % 7:.1f}",
            }
            yield {column.name: values[column.name] for column in rules.columns}


def _objections(pupils: Sequence[_Pupil], today: date) -> bytes:
    """The first school has an objection and one that was withdrawn; the second one says that it has none."""
    (first, second), filed, none = pupils[:2], today - timedelta(days=14), ""
    rows = [
        (SCHOOLS[0], first.about["bsn"], none, filed.isoformat(), none),
        (SCHOOLS[0], second.about["bsn"], none, filed.isoformat(), (filed + timedelta(days=3)).isoformat()),
        (SCHOOLS[1], none, none, none, none),
    ]
    columns = [column.name for column in packaged_rules("nco-bezwaar-1").columns]
    return _csv([dict(zip(columns, row, strict=True)) for row in rows])


# ---------------------------------------------------------------- EDEXML and UWLR


def _archive(pupils: Sequence[_Pupil], results: Sequence[Row], today: date) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for school in SCHOOLS:
            here = [pupil for pupil in pupils if pupil.school == school]
            taken = [row for row in results if row["brin_vestiging"] == school]
            for name, text in ((PUPILS, _edexml(school, here, today)), (RESULTS, _uwlr(school, here, taken, today))):
                archive.writestr(zipfile.ZipInfo(f"{school}/{name}"), text.encode(), zipfile.ZIP_DEFLATED)
    return out.getvalue()


def _element(name: str, text: str) -> str:
    return f"<{name}>{escape(text)}</{name}>" if text else ""


def _school(school: str, today: date, version: str, made: str = "") -> str:
    codes = _element("brincode", school[:4]) + _element("dependancecode", school[4:])
    return f"<school>{_element('schooljaar', schooljaar_of(today))}{codes}{made}{_element('xsdversie', version)}</school>"


def _edexml(school: str, pupils: Sequence[_Pupil], today: date) -> str:
    groups = "".join(
        f'<groep key="G{group}">{_element("naam", f"Groep {group}")}{_element("jaargroep", str(group))}</groep>' for group in GROUPS
    )
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n<EDEX xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">\n'
        f"{_school(school, today, '2.1')}\n<groepen>{groups}</groepen>\n<leerlingen>\n"
        + "".join(f"{_leerling(pupil)}\n" for pupil in pupils)
        + "</leerlingen>\n</EDEX>\n"
    )


def _leerling(pupil: _Pupil) -> str:
    about = pupil.about
    block = "".join(_element(name, about[name]) for name in ("huisnummer", "toevoeging", "kinderdagverblijf", "peuterspeelzaal"))
    return (
        f'<leerling key="{pupil.key}">{_element("achternaam", "Voorbeeld")}{_element("roepnaam", pupil.key)}'
        f"{_element('geboortedatum', about['geboortedatum'])}{_element('geslacht', _SEX[about['geslacht']])}"
        f'{_element("jaargroep", str(pupil.group))}<groep key="G{pupil.group}"/>{_element("bsn", about["bsn"])}'
        f"{_element('onderwijsnummer', about['onderwijsnummer'])}{_element('postcodenl', about['postcode'])}"
        f'<toevoegingen><blok xsi:type="SluisAdresType">{_element("code", BLOCK)}{block}</blok></toevoegingen></leerling>'
    )


def _uwlr(school: str, pupils: Sequence[_Pupil], results: Sequence[Row], today: date) -> str:
    sittings = []
    for pupil in pupils:
        own = [row for row in results if (row["bsn"], row["onderwijsnummer"]) == (pupil.about["bsn"], pupil.about["onderwijsnummer"])]
        taken = "".join(_resultaat(f"{pupil.key}-{number}", row) for number, row in enumerate(own, start=1))
        if taken:
            sittings.append(f"<toetsafname>{_element('leerlingid', pupil.key)}<resultaten>{taken}</resultaten></toetsafname>\n")
    tests = "".join(f"<toets>{_element('toetscode', code)}</toets>" for code in sorted({row["toetscode"] for row in results}))
    made = _element("aanmaakdatum", f"{today}T12:00:00")
    return (
        f'<?xml version="1.0" encoding="UTF-8"?>\n<leerresultaten_verzoek xmlns="{NAMESPACE}" xmlns:oso="{OSO}">\n'
        f"{_school(school, today, '2.2', made)}\n<toetsafnames>\n{''.join(sittings)}</toetsafnames>\n<toetsen>{tests}</toetsen>\n"
        "</leerresultaten_verzoek>\n"
    )


def _resultaat(key: str, row: Row) -> str:
    score = f"<osoresultaat><oso:toetsscore>{_element('oso:vaardigheidsscore', row['score'])}</oso:toetsscore></osoresultaat>"
    return (
        f'<resultaat key="{key}">{_element("afnamedatum", row["afnamedatum"])}{_element("toetscode", row["toetscode"])}{score}</resultaat>'
    )
