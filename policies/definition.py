"""The rules of a format as values: which columns a record has, what each may hold, what is asked of the file as a whole."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum

from policies.calendar import schooljaren_taken
from policies.patterns import LONGEST


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


class ObjectingPupils(StrEnum):
    """What becomes of a drop with pupils whose parents objected."""

    STRIP = "strip"  # their rows are left out, the others go on
    REJECT = "reject"  # the drop is refused whole


#: The lowest and the highest value, both included.
Bounds = tuple[float, float]


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
    range: Bounds | None = None
    example: str = ""


@dataclass(frozen=True)
class Scale:
    """Where scores lie: outside `range` one must be wrong, outside `plausible` it is worth a second look. "": any domain, any moment."""

    publisher: str
    domain: str
    moment: str
    range: Bounds | None = None
    plausible: Bounds | None = None


_ByPlace = Mapping[tuple[str, str, str], Bounds]


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
    """The tests whose code fits `pattern`, whole. The moment of testing is its group `moment`, or else `moment`; "": neither says."""

    __test__ = False

    pattern: re.Pattern[str]
    publisher: str
    domain: str
    moment: str = ""


@dataclass(frozen=True)
class Rules:
    """One format, whole. Of `scales` and `tests` the earlier one counts where two would do."""

    format: str
    refused_rows_share: float
    findings_kept: int
    max_line_bytes: int
    columns: tuple[Column, ...]
    scales: tuple[Scale, ...] = ()
    moments: tuple[Moment, ...] = ()
    special_category: tuple[SpecialCategory, ...] = ()
    tests: tuple[TestCode, ...] = ()
    objecting_pupils: ObjectingPupils = ObjectingPupils.STRIP
    history_school_years: int = 0
    leaver_school_years: int = 0  # 0: no limit
    age_at_test_years: tuple[int, int] | None = None
    by_name: Mapping[str, Column] = field(init=False, repr=False, compare=False)
    #: the ranges and the plausible ranges, each by publisher, domain and moment
    _bounds: tuple[_ByPlace, _ByPlace] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "by_name", {column.name: column for column in self.columns})
        scales = [((scale.publisher, scale.domain, scale.moment), scale) for scale in reversed(self.scales)]  # the earlier one counts
        ranges = {place: scale.range for place, scale in scales if scale.range}
        object.__setattr__(self, "_bounds", (ranges, {place: scale.plausible for place, scale in scales if scale.plausible}))

    def schooljaren(self, today: date) -> list[str]:
        """The school years whose results are taken on this day."""
        return schooljaren_taken(today, self.history_school_years)

    def schooljaren_of_leavers(self, today: date) -> list[str]:
        """The school years in one of which a pupil must have a result to be taken on this day; none: any will do."""
        return schooljaren_taken(today, self.leaver_school_years) if self.leaver_school_years else []

    def values(self, column: str) -> tuple[str, ...]:
        """The words that a column may hold; none for a column that the format does not have."""
        return self.by_name[column].values if column in self.by_name else ()

    def bounds(self, publisher: str, domain: str = "", moment: str = "") -> tuple[Bounds | None, Bounds | None]:
        """The range of such a score and its plausible range, each of the most specific scale that has one."""
        places = [(publisher, *place) for place in ((domain, moment), (domain, ""), ("", moment), ("", ""))]
        found, plausible = (next((known[place] for place in places if place in known), None) for known in self._bounds)
        return found, plausible

    def test(self, code: str) -> TestMatch | None:
        """What a test is about by its code alone (as UWLR delivers it); None for a test that is not asked for."""
        for known in self.tests:
            if (match := known.pattern.fullmatch(code)) is not None:
                return TestMatch(code, known.publisher, known.domain, match.groupdict().get("moment") or known.moment)
        return None

    def special_topic(self, header_key: str) -> str | None:
        """The topic of the special category a column's name points at, or None. A longer name than any that is taken is not read whole."""
        header_key = header_key[:LONGEST]
        for category in self.special_category:
            if any(pattern.search(header_key) for pattern in category.patterns):
                return category.topic
        return None
