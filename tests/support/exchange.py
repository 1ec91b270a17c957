"""Rows of nco-lvs-1 as a vendor of EDEXML and UWLR writes them: two files for each school, in a zip."""

import io
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from xml.sax.saxutils import escape, quoteattr

from gateway.checks.check import Outcome
from gateway.checks.edexml import BLOCK
from gateway.checks.uwlr import NAMESPACE, OSO
from tests.support.deliveries import SCHOOL, Row, check, rows

OTHER_SCHOOL = "02BB01"
#: of a test that the policy knows
CODE = "RW-3.0-M5"

_SEX = {"M": "1", "V": "2", "X": "9"}
_PUPIL = (
    "bsn", "onderwijsnummer", "geslacht", "geboortedatum", "postcode", "huisnummer", "toevoeging", "jaargroep", "kinderdagverblijf",
    "peuterspeelzaal",
)  # fmt: skip


def edexml(school: str, table: Sequence[Row], version: str = "2.1", year: str = "2025-2026") -> str:
    """`leerlingen.xml` of the pupils in these rows; each has a name, an address block and elements that Sluis does not ask for."""
    pupils = {key_of(row): row for row in table}
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n<EDEX xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">'
        f"<school><schooljaar>{year}</schooljaar><brincode>{school[:4]}</brincode><dependancecode>{school[4:]}</dependancecode>"
        f"<xsdversie>{version}</xsdversie></school>"
        '<groepen><groep key="g5"><naam>Vlinders</naam><jaargroep>5</jaargroep></groep></groepen>'
        f"<leerlingen>{''.join(_pupil(key, row) for key, row in pupils.items())}</leerlingen></EDEX>"
    )


def key_of(row: Row) -> str:
    """leerling/@key: the same for all rows of a pupil, and nothing of the pupil."""
    return f"L{abs(hash(tuple(row[name] for name in _PUPIL)))}"


def _pupil(key: str, row: Row) -> str:
    number = _optional("bsn", row["bsn"].zfill(9) if row["bsn"] else "") or _optional("onderwijsnummer", row["onderwijsnummer"])
    block = "".join(_optional(name, row[name]) for name in ("huisnummer", "toevoeging", "kinderdagverblijf", "peuterspeelzaal"))
    return (
        f"<leerling key={quoteattr(key)}><achternaam>Zonneschijn</achternaam><roepnaam>Wimpie</roepnaam>"
        f"<geboortedatum>{row['geboortedatum']}</geboortedatum><geslacht>{_SEX.get(row['geslacht'], row['geslacht'])}</geslacht>"
        f'<jaargroep>{row["jaargroep"]}</jaargroep><groep key="g5"/><land>NL</land>{number}{_optional("postcodenl", row["postcode"])}'
        f'<toevoegingen><blok xsi:type="SluisAdresType"><code>{BLOCK}</code>{block}</blok></toevoegingen></leerling>'
    )


def _optional(name: str, value: str) -> str:
    return f"<{name}>{escape(value)}</{name}>" if value else ""


def uwlr(school: str, table: Sequence[Row], version: str = "2.2", others: int = 0, more: str = "") -> str:
    """`resultaten.xml` of these rows, then `others` results of a test that is not asked for. `more`: further `resultaat` elements."""
    sittings = []
    for key, run in groupby(enumerate(table), lambda numbered: key_of(numbered[1])):
        results = "".join(_result(number, entry) for number, entry in run)
        sittings.append(f"<toetsafname><leerlingid>{key}</leerlingid><resultaten>{results}</resultaten></toetsafname>")
    if table and (others or more):
        extra = "".join(result(f"o{n}", "2026-01-20", "WERKHOUDING", "<score>3</score>") for n in range(others)) + more
        sittings.append(f"<toetsafname><leerlingid>{key_of(table[0])}</leerlingid><resultaten>{extra}</resultaten></toetsafname>")
    codes = {row["toetscode"] for row in table} | {"WERKHOUDING"}
    norms = (
        "<toetsnormering><norm><term>A</term><beginnormwaarde>1</beginnormwaarde><eindnormwaarde>9</eindnormwaarde></norm></toetsnormering>"
    )
    tests = "".join(f"<toets><toetscode>{escape(code)}</toetscode>{norms}</toets>" for code in sorted(codes))
    return (
        f'<?xml version="1.0" encoding="UTF-8"?>\n<leerresultaten_verzoek xmlns="{NAMESPACE}" xmlns:oso="{OSO}">'
        f"<school><schooljaar>2025-2026</schooljaar><brincode>{school[:4]}</brincode><dependancecode>{school[4:]}</dependancecode>"
        f"<aanmaakdatum>2026-02-01T12:00:00</aanmaakdatum><xsdversie>{version}</xsdversie></school>"
        f"<toetsafnames>{''.join(sittings)}</toetsafnames><toetsen>{tests}</toetsen></leerresultaten_verzoek>"
    )


def _result(number: int, row: Row) -> str:
    return result(f"r{number}", row["afnamedatum"], row["toetscode"], oso(row["score"]))


def result(key: str, day: str, code: str, score: str) -> str:
    return f'<resultaat key="{key}"><afnamedatum>{day}</afnamedatum><toetscode>{escape(code)}</toetscode>{score}</resultaat>'


def oso(score: str) -> str:
    return f"<osoresultaat><oso:toetsscore><oso:vaardigheidsscore>{score}</oso:vaardigheidsscore></oso:toetsscore></osoresultaat>"


def exchange(table: Sequence[Row], **changed: str | bytes) -> bytes:
    """The rows as a zip. `changed`: other content for `pupils` or `results` of every school."""
    files: dict[str, str | bytes] = {}
    for school in sorted({row["brin_vestiging"] for row in table}):
        here = [row for row in table if row["brin_vestiging"] == school]
        files[f"{school}/resultaten.xml"] = changed.get("results") or uwlr(school, here)
        files[f"{school}/leerlingen.xml"] = changed.get("pupils") or edexml(school, here)
    return packed(files)


def packed(files: Mapping[str, str | bytes] | Iterable[tuple[str, str | bytes]], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """A zip of these files, in this order."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, content in files.items() if isinstance(files, Mapping) else files:
            archive.writestr(zipfile.ZipInfo(name), content, method)
    return out.getvalue()


def known(count: int, **more: object) -> list[Row]:
    """Valid rows of a test that the policy knows by its code."""
    return [{**entry, "toetscode": CODE} for entry in rows(count, **more)]  # type: ignore[arg-type]


def outcome_of(table: list[Row], **changed: str | bytes) -> Outcome:
    return check(exchange(table, **changed))[1]


def changed_results(table: list[Row], before: str, after: str) -> str:
    text = uwlr(SCHOOL, table)
    assert before in text
    return text.replace(before, after, 1)
