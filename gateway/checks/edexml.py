"""The pupils of one school in EDEXML 2.1 or 2.0: what identifies them, by key; names and all else are passed over.

House number and early childhood care stand in no element of EDEXML. They go in its own extension point (`toevoegingen`), in a block
with the code `sluis-adres-1` (docs/vendor/sluis-toevoegingen.xsd).
"""

from collections.abc import Callable, Iterable

import polars as pl

from gateway.checks.strict_xml import Element, StrictXml, refuse

VERSIONS = ("2.0", "2.1")
BLOCK = "sluis-adres-1"
#: of one school; the largest has some 2,000
MAX_PUPILS = 100_000

#: EDEXGeslachtType: 0 unknown, 1 boy, 2 girl, 9 unspecified
_SEX = {"0": "X", "1": "M", "2": "V", "9": "X"}
#: element of a pupil → column of the format
_FIELDS = {
    "geboortedatum": "geboortedatum",
    "geslacht": "geslacht",
    "jaargroep": "jaargroep",
    "sofinummer": "bsn",
    "bsn": "bsn",
    "onderwijsnummer": "onderwijsnummer",
    "postcodenl": "postcode",
}
_BLOCK_FIELDS = ("huisnummer", "huisletter", "toevoeging", "kinderdagverblijf", "peuterspeelzaal")
COLUMNS = (
    "bsn", "onderwijsnummer", "geslacht", "geboortedatum", "postcode", "huisnummer", "toevoeging", "jaargroep", "kinderdagverblijf",
    "peuterspeelzaal",
)  # fmt: skip


class Pupils:
    """Reads one `leerlingen.xml`. Raises DropRefused as StrictXml does, and with `xml-version`, `xml-school` and `edexml-key`."""

    def __init__(self, school: str, chunks: Iterable[bytes], unknown: Callable[[str], None]) -> None:
        self.schooljaar = ""
        self.index: dict[str, int] = {}  # leerling/@key → row of `frame`
        self._rows: list[tuple[str | None, ...]] = []
        self._school = {"brincode": "", "dependancecode": "", "schooljaar": "", "xsdversie": ""}
        self._pupil: dict[str, str] = {}
        self._block: dict[str, str] = {}
        for _ in StrictXml(self._tree(), unknown).read(chunks):
            pass
        check_school(school, self._school, required=False)
        if self._school["xsdversie"] and self._school["xsdversie"] not in VERSIONS:
            refuse("xml-version")
        self.schooljaar = self._school["schooljaar"]
        self.frame = pl.DataFrame(self._rows, schema=dict.fromkeys(COLUMNS, pl.String()), orient="row").with_columns(
            pl.col("geboortedatum").pipe(without_zone)
        )
        del self._rows

    def _tree(self) -> Element:
        block = Element(
            {
                "code": Element(text=into(self._block, "code")),
                **{name: Element(text=into(self._block, name)) for name in _BLOCK_FIELDS},
            },
            begins=lambda _: self._block.clear(),
            ends=self._end_block,
        )
        pupil = Element(
            {name: Element(text=into(self._pupil, column)) for name, column in _FIELDS.items()},
            begins=self._begin_pupil,
            ends=self._end_pupil,
        )
        pupil.children["toevoegingen"] = Element({"blok": block})
        school = Element({name: Element(text=into(self._school, name)) for name in self._school})
        return Element({"EDEX": Element({"school": school, "leerlingen": Element({"leerling": pupil})})})

    def _begin_pupil(self, attributes: dict[str, str]) -> None:
        self._pupil.clear()
        key = attributes.get("key")
        if not key:
            refuse("xml-message")
        if key in self.index:
            refuse("edexml-key")
        if len(self.index) >= MAX_PUPILS:
            refuse("xml-limits")
        self.index[key] = len(self.index)

    def _end_block(self) -> None:
        if self._block.pop("code", "") == BLOCK:
            letter = self._block.pop("huisletter", "")
            self._block["toevoeging"] = letter + self._block.get("toevoeging", "")
            for column, value in self._block.items():
                put(self._pupil, column, value)

    def _end_pupil(self) -> None:
        given = self._pupil
        sex = given.get("geslacht", "0")
        given["geslacht"] = _SEX.get(sex, sex)
        self._rows.append(tuple(given.get(column) or None for column in COLUMNS))


def put(target: dict[str, str], name: str, text: str) -> None:
    """Writes an element's text into `target`; DropRefused (`xml-message`) when another one stands there: which counts is a guess."""
    before = target.get(name)
    if before and text and text != before:
        refuse("xml-message")
    target[name] = text or before or ""


def into(target: dict[str, str], name: str) -> Callable[[str], None]:
    """What `put`s an element's text into `target`."""
    return lambda text: put(target, name, text)


def check_school(folder: str, given: dict[str, str], required: bool) -> None:
    """Refuses the drop when a file's school is not the one its folder is named after; a file may leave its BRIN out unless `required`."""
    if (given["brincode"] or required) and given["brincode"] + (given["dependancecode"] or "00") != folder:
        refuse("xml-school")


def without_zone(dates: pl.Expr) -> pl.Expr:
    """An xs:date may carry a time zone; the day is what counts."""
    return dates.str.replace(r"^([0-9]{4}-[0-9]{2}-[0-9]{2})(?:Z|[+-][0-9]{2}:[0-9]{2})$", "$1")
