"""Reads the rules of a format from TOML; a file that is not sound is refused with its line and the reason."""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum
from functools import cache
from importlib import resources
from typing import Any, NoReturn

from policies.calendar import schooljaren_taken
from policies.errors import Unsound


class Role(StrEnum):
    """On which side of the lock a column stands: identifiers never come out."""

    SCHOOL = "school"
    IDENTIFIER = "identifier"
    ATTRIBUTE = "attribute"
    RESULT = "result"


class Kind(StrEnum):
    """How a column's text is read."""

    BRIN = "brin"
    BSN = "bsn"
    ONDERWIJSNUMMER = "onderwijsnummer"
    CODE = "code"  # one of `values`
    BOOLEAN = "boolean"  # `values`: the word for yes, the word for no
    DATE = "date"
    POSTCODE = "postcode"
    ADDITION = "addition"
    SCHOOLJAAR = "schooljaar"
    PATTERN = "pattern"  # `pattern`, at most `max_length` characters
    INTEGER = "integer"  # within `range`
    DECIMAL = "decimal"


@dataclass(frozen=True)
class Column:
    name: str
    role: Role
    kind: Kind
    meaning: str  # Dutch, for vendors
    required: bool = False
    values: tuple[str, ...] = ()
    pattern: str = ""
    max_length: int = 0
    range: tuple[float, float] | None = None
    example: str = ""


@dataclass(frozen=True)
class Scale:
    """The range outside which a publisher's score must be wrong."""

    publisher: str
    low: float
    high: float


@dataclass(frozen=True)
class Moment:
    """The months in which the moments with this prefix are usually tested."""

    prefix: str
    months: tuple[int, ...]


@dataclass(frozen=True)
class SpecialCategory:
    """Data that must never be delivered; `patterns` are searched in a column's name as `header_key` writes it."""

    topic: str  # Dutch
    patterns: tuple[re.Pattern[str], ...]


@dataclass(frozen=True)
class TestMatch:
    """A test whose code says what it is about; `moment` is "" where it does not say."""

    __test__ = False

    code: str
    publisher: str
    domain: str
    moment: str


@dataclass(frozen=True)
class TestCode:
    """The tests whose code fits `pattern`, whole; its group `moment`, if there is one, is the moment of testing."""

    __test__ = False

    pattern: re.Pattern[str]
    publisher: str
    domain: str


@dataclass(frozen=True)
class Rules:
    """One format, whole."""

    format: str
    refused_rows_share: float
    findings_kept: int
    max_line_bytes: int
    columns: tuple[Column, ...]
    scales: tuple[Scale, ...] = ()
    moments: tuple[Moment, ...] = ()
    special_category: tuple[SpecialCategory, ...] = ()
    tests: tuple[TestCode, ...] = ()
    history_school_years: int = 0
    age_at_test_years: tuple[int, int] | None = None
    by_name: Mapping[str, Column] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "by_name", {column.name: column for column in self.columns})

    def schooljaren(self, today: date) -> list[str]:
        """The school years whose results are taken on this day."""
        return schooljaren_taken(today, self.history_school_years)

    def test(self, code: str) -> TestMatch | None:
        """What a test is about by its code alone (as UWLR delivers it); None for a test that is not asked for."""
        for known in self.tests:
            if (match := known.pattern.fullmatch(code)) is not None:
                return TestMatch(code, known.publisher, known.domain, match.groupdict().get("moment") or "")
        return None

    def special_topic(self, header_key: str) -> str | None:
        """The topic of the special category a column's name points at, or None."""
        for category in self.special_category:
            if any(pattern.search(header_key) for pattern in category.patterns):
                return category.topic
        return None


_TOP = {
    "format": str,
    "refused_rows_share": float,
    "findings_kept": int,
    "max_line_bytes": int,
    "history": dict,
    "age_at_test": dict,
    "columns": list,
    "scales": list,
    "moments": list,
    "special_category": list,
    "tests": list,
}
_REQUIRED_TOP = ("format", "refused_rows_share", "findings_kept", "max_line_bytes", "columns")
_TABLES: dict[str, dict[str, type]] = {
    "history": {"school_years": int},
    "age_at_test": {"years": list},
    "columns": {
        "name": str,
        "role": str,
        "kind": str,
        "meaning": str,
        "required": bool,
        "values": list,
        "pattern": str,
        "max_length": int,
        "range": list,
        "example": str,
    },
    "scales": {"publisher": str, "range": list},
    "moments": {"prefix": str, "months": list},
    "special_category": {"topic": str, "patterns": list},
    "tests": {"pattern": str, "publisher": str, "domain": str},
}
_OPTIONAL = {"required", "values", "pattern", "max_length", "range", "example"}
#: What a kind can't do without.
_NEEDS = {Kind.CODE: "values", Kind.BOOLEAN: "values", Kind.PATTERN: "pattern", Kind.INTEGER: "range"}


class _Source:
    """The text of a policy file, to say in which line something is wrong."""

    def __init__(self, text: str, name: str) -> None:
        self.name = name
        self.lines = text.splitlines()

    def refuse(self, reason: str, table: str = "", index: int = 0, key: str = "") -> NoReturn:
        raise Unsound("bad-policy", f"{self.name}, line {self._line(table, index, key)}: {reason}.", "Correct the file and start again.")

    def _line(self, table: str, index: int, key: str) -> int:
        """The line of `key` in the index-th `[[table]]` (or `[table]`); without a key, of the table's own line."""
        begin = 0
        if table:
            begin = (self._heads(table)[index : index + 1] or [0])[0]
            if not key:
                return begin + 1
        for number in range(begin, len(self.lines)):
            if re.match(rf"\s*\"?{re.escape(key)}\"?\s*=", self.lines[number]):
                return number + 1
            if number > begin and table and self.lines[number].lstrip().startswith("["):
                break
        return (begin if table else (self._heads(key) or [0])[0]) + 1

    def _heads(self, table: str) -> list[int]:
        return [number for number, line in enumerate(self.lines) if re.match(rf"\s*\[\[?\s*{re.escape(table)}\s*\]", line)]


def load_rules(text: str, name: str) -> Rules:
    """The rules that `text` (TOML) holds; `name` is the file's, for the error.

    Raises Unsound (`bad-policy`) with the line and the reason for what is no TOML, an unknown or missing key, a value of the
    wrong type, a pattern that does not compile, a column that occurs twice.
    """
    source = _Source(text, name)
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise Unsound("bad-policy", f"{name}: {error}.", "Correct the file and start again.") from None
    _check_keys(source, document, _TOP, set(_TOP) - set(_REQUIRED_TOP))
    for table, keys in _TABLES.items():
        for index, entry in enumerate(_entries(source, document, table)):
            _check_keys(source, entry, keys, _OPTIONAL if table == "columns" else set(), table, index)
    if not 0 <= document["refused_rows_share"] <= 1:
        source.refuse("refused_rows_share lies between 0 and 1", key="refused_rows_share")
    for key in ("findings_kept", "max_line_bytes"):
        if document[key] < 1:
            source.refuse(f"{key} is at least 1", key=key)
    columns = tuple(_column(source, entry, index) for index, entry in enumerate(document["columns"]))
    for index, column in enumerate(columns):
        if column.name in {earlier.name for earlier in columns[:index]}:
            source.refuse("a column of this name stands earlier in the file", "columns", index, "name")
    age = document.get("age_at_test")
    low_high = None if age is None else _pair(source, age["years"], "age_at_test", 0, "years")
    return Rules(
        format=document["format"],
        refused_rows_share=float(document["refused_rows_share"]),
        findings_kept=document["findings_kept"],
        max_line_bytes=document["max_line_bytes"],
        columns=columns,
        scales=tuple(
            Scale(entry["publisher"], *_pair(source, entry["range"], "scales", index, "range"))
            for index, entry in enumerate(document.get("scales", []))
        ),
        moments=tuple(_moment(source, entry, index) for index, entry in enumerate(document.get("moments", []))),
        special_category=tuple(_special(source, entry, index) for index, entry in enumerate(document.get("special_category", []))),
        tests=tuple(_test(source, entry, index, columns) for index, entry in enumerate(document.get("tests", []))),
        history_school_years=document.get("history", {}).get("school_years", 0),
        age_at_test_years=None if low_high is None else (int(low_high[0]), int(low_high[1])),
    )


def _entries(source: _Source, document: dict[str, Any], table: str) -> list[dict[str, Any]]:
    value = document.get(table, [])
    entries: list[Any] = [value] if isinstance(value, dict) else value
    if not all(isinstance(entry, dict) for entry in entries):
        source.refuse(f"{table} is written as [[{table}]]", key=table)
    return entries


def _check_keys(
    source: _Source, entry: dict[str, Any], keys: Mapping[str, type], optional: set[str], table: str = "", index: int = 0
) -> None:
    where = f" in {table}" if table else ""
    for key, value in entry.items():
        if key not in keys:
            source.refuse(f"unknown key '{key}'{where}", table, index, key)
        wanted = keys[key]
        fits = isinstance(value, (int, float)) if wanted is float else isinstance(value, wanted)
        if not fits or (isinstance(value, bool) and wanted is not bool):
            source.refuse(f"'{key}' is not a {wanted.__name__}", table, index, key)
    for key in keys:
        if key not in entry and key not in optional:
            source.refuse(f"'{key}' is missing{where}", table, index)


def _pair(source: _Source, value: list[Any], table: str, index: int, key: str) -> tuple[float, float]:
    numbers = [item for item in value if isinstance(item, (int, float)) and not isinstance(item, bool)]
    if len(value) != 2 or len(numbers) != 2 or numbers[0] > numbers[1]:
        source.refuse(f"'{key}' is two numbers, the lower one first", table, index, key)
    return float(numbers[0]), float(numbers[1])


def _texts(source: _Source, value: list[Any], table: str, index: int, key: str) -> tuple[str, ...]:
    if not value or not all(isinstance(item, str) for item in value):
        source.refuse(f"'{key}' is a list of texts", table, index, key)
    return tuple(value)


def _pattern(source: _Source, text: str, table: str, index: int, key: str) -> re.Pattern[str]:
    try:
        return re.compile(text)
    except re.error as error:
        source.refuse(f"a pattern does not compile ({error})", table, index, key)


def _column(source: _Source, entry: dict[str, Any], index: int) -> Column:
    if entry["role"] not in set(Role):
        source.refuse(f"unknown role; one of {', '.join(Role)}", "columns", index, "role")
    if entry["kind"] not in set(Kind):
        source.refuse(f"unknown kind; one of {', '.join(Kind)}", "columns", index, "kind")
    kind = Kind(entry["kind"])
    if kind in _NEEDS and not entry.get(_NEEDS[kind]):
        source.refuse(f"a column of kind {kind} needs '{_NEEDS[kind]}'", "columns", index, "kind")
    values = _texts(source, entry["values"], "columns", index, "values") if "values" in entry else ()
    if kind is Kind.BOOLEAN and len(values) != 2:
        source.refuse("a boolean has two values: yes, then no", "columns", index, "values")
    if "pattern" in entry:
        _pattern(source, entry["pattern"], "columns", index, "pattern")
    return Column(
        name=entry["name"],
        role=Role(entry["role"]),
        kind=kind,
        meaning=entry["meaning"],
        required=entry.get("required", False),
        values=values,
        pattern=entry.get("pattern", ""),
        max_length=entry.get("max_length", 0),
        range=_pair(source, entry["range"], "columns", index, "range") if "range" in entry else None,
        example=entry.get("example", ""),
    )


def _moment(source: _Source, entry: dict[str, Any], index: int) -> Moment:
    months = entry["months"]
    if not months or any(not isinstance(month, int) or not 1 <= month <= 12 for month in months):
        source.refuse("months are numbers from 1 to 12", "moments", index, "months")
    return Moment(entry["prefix"], tuple(months))


def _special(source: _Source, entry: dict[str, Any], index: int) -> SpecialCategory:
    texts = _texts(source, entry["patterns"], "special_category", index, "patterns")
    return SpecialCategory(entry["topic"], tuple(_pattern(source, text, "special_category", index, "patterns") for text in texts))


def _test(source: _Source, entry: dict[str, Any], index: int, columns: tuple[Column, ...]) -> TestCode:
    for key, name in (("publisher", "uitgever"), ("domain", "domein")):
        if not any(column.name == name and entry[key] in column.values for column in columns):
            source.refuse(f"'{key}' is none of the values of the column {name}", "tests", index, key)
    return TestCode(_pattern(source, entry["pattern"], "tests", index, "pattern"), entry["publisher"], entry["domain"])


@cache
def packaged_rules(format_name: str) -> Rules:
    """The rules that come with Sluis: `nco-lvs-1` or `nco-bezwaar-1`; KeyError for another name."""
    name = {"nco-lvs-1": "nco_lvs.toml", "nco-bezwaar-1": "nco_bezwaar.toml"}[format_name]
    return load_rules(resources.files("policies").joinpath(name).read_text(encoding="utf-8"), f"policies/{name}")
