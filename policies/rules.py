"""Reads the rules of a format from TOML, and an administrator's additions to them; a file that is not sound is refused with its line and
the reason.
"""

import re
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from importlib import resources
from typing import Any

from policies.definition import (
    Bounds,
    Column,
    Kind,
    Moment,
    ObjectingPupils,
    Role,
    Rules,
    Scale,
    SpecialCategory,
    TestCode,
    TestMatch,
)
from policies.policy_file import Keys, PolicyFile

__all__ = ["Bounds", "Column", "Kind", "ObjectingPupils", "Role", "Rules", "TestMatch", "load_rules", "packaged_rules", "with_additions"]

_TEXT, _WHOLE, _NUMBER, _LIST, _TABLE = (str,), (int,), (int, float), (list,), (dict,)

#: What an administrator may add to or set, all of it optional.
_ADDITIONS: Keys = {
    "refused_rows_share": _NUMBER,
    "objecting_pupils": _TEXT,
    "publishers": _LIST,
    "domains": _LIST,
    "history": _TABLE,
    "age_at_test": _TABLE,
    "scales": _LIST,
    "special_category": _LIST,
    "tests": _LIST,
}
#: What else a format's own file says.
_FORMAT: Keys = {
    **{key: kinds for key, kinds in _ADDITIONS.items() if key not in ("publishers", "domains")},
    "format": _TEXT,
    "findings_kept": _WHOLE,
    "max_line_bytes": _WHOLE,
    "columns": _LIST,
    "moments": _LIST,
}
_REQUIRED = ("format", "refused_rows_share", "findings_kept", "max_line_bytes", "columns")
_TABLES: dict[str, Keys] = {
    "history": {"school_years": _WHOLE, "leaver_years": _WHOLE},
    "age_at_test": {"years": _LIST},
    "columns": {
        "name": _TEXT,
        "role": _TEXT,
        "kind": _TEXT,
        "meaning": _TEXT,
        "required": (bool,),
        "values": _LIST,
        "pattern": _TEXT,
        "max_length": _WHOLE,
        "range": _LIST,
        "example": _TEXT,
    },
    "scales": {"publisher": _TEXT, "domain": _TEXT, "range": (list, dict), "plausible": (list, dict)},
    "moments": {"prefix": _TEXT, "months": _LIST},
    "special_category": {"topic": _TEXT, "patterns": _LIST},
    "tests": {"pattern": _TEXT, "publisher": _TEXT, "domain": _TEXT, "moment": _TEXT},
}
_REQUIRED_IN = {
    "age_at_test": ("years",),
    "columns": ("name", "role", "kind", "meaning"),
    "scales": ("publisher",),
    "moments": ("prefix", "months"),
    "special_category": ("topic", "patterns"),
    "tests": ("pattern", "publisher", "domain"),
}
#: What a kind can't do without.
_NEEDS = {Kind.CODE: "values", Kind.BOOLEAN: "values", Kind.PATTERN: "pattern", Kind.INTEGER: "range"}
#: The column whose values are an administrator's to extend, by the key that does it.
_EXTENDED = {"publishers": "uitgever", "domains": "domein"}
_WORD = re.compile(r"[a-z][a-z0-9_]{0,29}")
#: [school years] no school keeps a pupil's results for longer
_MOST_YEARS = 20


def load_rules(text: str, name: str) -> Rules:
    """The rules that `text` (TOML) holds; `name` is the file's, for the error.

    Raises Unsound (`bad-policy`) with the line and the reason for what is no TOML, an unknown or missing key, a value of the
    wrong type, a pattern that does not compile, a column that occurs twice, a publisher without a scale.
    """
    file = PolicyFile(text, name)
    _check_shape(file, _FORMAT, _REQUIRED)
    document = file.document
    for key in ("findings_kept", "max_line_bytes"):
        if document[key] < 1:
            file.refuse(f"{key} is at least 1", key=key)
    columns = tuple(_column(file, entry, index) for index, entry in enumerate(document["columns"]))
    for index, column in enumerate(columns):
        if column.name in {earlier.name for earlier in columns[:index]}:
            file.refuse("a column of this name stands earlier in the file", "columns", index, "name")
    bare = Rules(document["format"], document["refused_rows_share"], document["findings_kept"], document["max_line_bytes"], columns)
    moments = tuple(_moment(file, entry, index) for index, entry in enumerate(file.entries("moments")))
    return _added(file, replace(bare, moments=moments))


def with_additions(packaged: Rules, text: str | bytes, name: str) -> Rules:
    """`packaged` with what an administrator adds to it in `text` (TOML); `name` is the file's, for the error.

    Tests and scales of `text` come before the packaged ones, columns that must never be delivered are added to them, single values
    replace theirs. Raises Unsound (`bad-policy`) as `load_rules` does.
    """
    file = PolicyFile(text, name)
    _check_shape(file, _ADDITIONS, ())
    extended = {column: (*packaged.values(column), *_words(file, key)) for key, column in _EXTENDED.items()}
    columns = tuple(
        replace(column, values=tuple(dict.fromkeys(extended[column.name]))) if column.name in extended else column
        for column in packaged.columns
    )
    return _added(file, replace(packaged, columns=columns))


def _check_shape(file: PolicyFile, keys: Keys, required: tuple[str, ...]) -> None:
    file.check_keys(file.document, keys, required)
    for table in _TABLES:
        for index, entry in enumerate(file.entries(table)):
            file.check_keys(entry, _TABLES[table], _REQUIRED_IN.get(table, ()), table, index)


def _added(file: PolicyFile, rules: Rules) -> Rules:
    """`rules` with all that the keys of _ADDITIONS say, but for the values of columns."""
    document = file.document
    share = document.get("refused_rows_share", rules.refused_rows_share)
    if not 0 <= share <= 1:
        file.refuse("refused_rows_share lies between 0 and 1", key="refused_rows_share")
    objecting = document.get("objecting_pupils", rules.objecting_pupils)
    if objecting not in set(ObjectingPupils):
        file.refuse(f"objecting_pupils is one of {', '.join(ObjectingPupils)}", key="objecting_pupils")
    age = rules.age_at_test_years
    for entry in file.entries("age_at_test"):
        low, high = file.pair(entry["years"], "age_at_test", 0, "years")
        age = (int(low), int(high))
    history = document.get("history", {})
    added = replace(
        rules,
        refused_rows_share=float(share),
        objecting_pupils=ObjectingPupils(objecting),
        age_at_test_years=age,
        history_school_years=file.whole(history, "school_years", rules.history_school_years, _MOST_YEARS, "history"),
        leaver_school_years=file.whole(history, "leaver_years", rules.leaver_school_years, _MOST_YEARS, "history"),
        tests=(*(_test(file, entry, index, rules) for index, entry in enumerate(file.entries("tests"))), *rules.tests),
        scales=(*_scales(file, rules), *rules.scales),
        special_category=(
            *rules.special_category,
            *(_special(file, entry, index) for index, entry in enumerate(file.entries("special_category"))),
        ),
    )
    for publisher in added.values("uitgever"):
        if added.bounds(publisher)[0] is None:
            file.refuse(f"the publisher '{publisher}' has no [[scales]] with a range for all its domains and moments", key="publishers")
    return added


def _words(file: PolicyFile, key: str) -> tuple[str, ...]:
    if key not in file.document:
        return ()
    words = file.texts(file.document[key], "", 0, key)
    if not all(_WORD.fullmatch(word) for word in words):
        file.refuse(f"'{key}' are words of lower case letters, digits and _, a letter first, at most 30", key=key)
    return words


def _column(file: PolicyFile, entry: dict[str, Any], index: int) -> Column:
    if entry["role"] not in set(Role):
        file.refuse(f"unknown role; one of {', '.join(Role)}", "columns", index, "role")
    if entry["kind"] not in set(Kind):
        file.refuse(f"unknown kind; one of {', '.join(Kind)}", "columns", index, "kind")
    kind = Kind(entry["kind"])
    if kind in _NEEDS and not entry.get(_NEEDS[kind]):
        file.refuse(f"a column of kind {kind} needs '{_NEEDS[kind]}'", "columns", index, "kind")
    values = file.texts(entry["values"], "columns", index, "values") if "values" in entry else ()
    if kind is Kind.BOOLEAN and len(values) != 2:
        file.refuse("a boolean has two values: yes, then no", "columns", index, "values")
    if "pattern" in entry:
        file.pattern(entry["pattern"], "columns", index, "pattern")
    return Column(
        name=entry["name"],
        role=Role(entry["role"]),
        kind=kind,
        meaning=entry["meaning"],
        required=entry.get("required", False),
        values=values,
        pattern=entry.get("pattern", ""),
        max_length=entry.get("max_length", 0),
        range=file.pair(entry["range"], "columns", index, "range") if "range" in entry else None,
        example=entry.get("example", ""),
    )


def _moment(file: PolicyFile, entry: dict[str, Any], index: int) -> Moment:
    months = entry["months"]
    if not months or any(type(month) is not int or not 1 <= month <= 12 for month in months):
        file.refuse("months are numbers from 1 to 12", "moments", index, "months")
    return Moment(entry["prefix"], tuple(months))


def _special(file: PolicyFile, entry: dict[str, Any], index: int) -> SpecialCategory:
    texts = file.texts(entry["patterns"], "special_category", index, "patterns")
    return SpecialCategory(entry["topic"], tuple(file.quick_pattern(text, "special_category", index, "patterns") for text in texts))


def _known(file: PolicyFile, value: str, rules: Rules, column: str, place: tuple[str, int, str]) -> str:
    if value not in rules.values(column):
        file.refuse(f"'{place[2]}' is none of the values of the column {column}", *place)
    return value


def _test(file: PolicyFile, entry: dict[str, Any], index: int, rules: Rules) -> TestCode:
    return TestCode(
        file.quick_pattern(entry["pattern"], "tests", index, "pattern"),
        _known(file, entry["publisher"], rules, "uitgever", ("tests", index, "publisher")),
        _known(file, entry["domain"], rules, "domein", ("tests", index, "domain")),
        _known(file, entry["moment"], rules, "afnamemoment", ("tests", index, "moment")) if "moment" in entry else "",
    )


def _scales(file: PolicyFile, rules: Rules) -> Iterator[Scale]:
    """One scale for each moment that an entry names, and one for what it says of all moments."""
    for index, entry in enumerate(file.entries("scales")):
        publisher = _known(file, entry["publisher"], rules, "uitgever", ("scales", index, "publisher"))
        domain = _known(file, entry["domain"], rules, "domein", ("scales", index, "domain")) if "domain" in entry else ""
        given = {key: _by_moment(file, entry[key], index, key, rules) for key in ("range", "plausible") if key in entry}
        if not given:
            file.refuse("a scale has a 'range', a 'plausible', or both", "scales", index)
        for moment in dict.fromkeys(moment for bounds in given.values() for moment in bounds):
            yield Scale(publisher, domain, moment, **{key: bounds[moment] for key, bounds in given.items() if moment in bounds})


def _by_moment(file: PolicyFile, value: list[Any] | dict[str, Any], index: int, key: str, rules: Rules) -> dict[str, Bounds]:
    """Bounds by moment; "" is any. Written as one pair for all (`range = [0, 9]`), or one for a moment (`range.M5 = [0, 9]`)."""
    if isinstance(value, list):
        return {"": file.pair(value, "scales", index, key)}
    for moment in value:
        if moment not in rules.values("afnamemoment"):
            file.refuse(f"{moment!r} is none of the values of the column afnamemoment", "scales", index, moment)
    return {moment: file.pair(pair, "scales", index, moment) for moment, pair in value.items()}


@cache
def packaged_rules(format_name: str) -> Rules:
    """The rules that come with Sluis: `nco-lvs-1`, `nco-bezwaar-1` or `nco-intrekking-1`; KeyError for another name."""
    name = {"nco-lvs-1": "nco_lvs.toml", "nco-bezwaar-1": "nco_bezwaar.toml", "nco-intrekking-1": "nco_intrekking.toml"}[format_name]
    return load_rules(resources.files("policies").joinpath(name).read_text(encoding="utf-8"), f"policies/{name}")
