"""Linking by the book, slowly and in plain Python, on readable values: what the linker must give, told in another way.

No polars, no MACs, no shared code: dictionaries and loops over dictionaries of values.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

Row = dict[str, Any]
PLACEHOLDERS = {0, 111111110, 222222220, 333333330, 444444440, 555555550, 666666660, 777777770, 888888880, 999999990, 123456782}


@dataclass
class Verdict:
    persoon_id: str | None = None
    how: str | None = None
    reason: str = "unmatched"


@dataclass
class Answer:
    """`persons`: for each row (by its `row`) whose result it is, None when it is not in the results; the rest as the linker counts it."""

    persons: dict[int, str | None] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    schools: dict[str, int] = field(default_factory=dict)


def number(row: Row, column: str) -> int | None:
    value = row[column]
    return None if value is None or value in PLACEHOLDERS or not 1 <= value <= 999999999 else value


def address(row: Row) -> tuple[Any, ...] | None:
    parts = (row["geslacht"], row["geboortedatum"], row["postcode"], row["huisnummer"])
    return None if None in parts else (*parts, row["toevoeging"] or "")


def pupils_of(rows: list[Row]) -> dict[int, Any]:
    """For each row (by its place in the list) a name of its pupil."""
    numbers: list[dict[str, int | None]] = [{column: number(row, column) for column in ("bsn", "onderwijsnummer")} for row in rows]
    for column in ("bsn", "onderwijsnummer"):
        seen: dict[Any, tuple[set[Any], set[Any]]] = defaultdict(lambda: (set(), set()))
        for row in rows:
            if (value := number(row, column)) is not None:
                births, sexes = seen[row["brin_vestiging"], value]
                births.add(row["geboortedatum"])
                sexes.add(row["geslacht"])
        for place, row in enumerate(rows):
            if (value := number(row, column)) is not None:
                births, sexes = seen[row["brin_vestiging"], value]
                if len(births - {None}) > 1 or len(sexes - {None}) > 1:
                    numbers[place][column] = None
    for place, row in enumerate(rows):
        row["_bsn"], row["_ond"] = numbers[place]["bsn"], numbers[place]["onderwijsnummer"]

    beside: dict[Any, set[Any]] = defaultdict(set)
    for row in rows:
        if row["_bsn"] is not None and row["_ond"] is not None:
            beside[row["_ond"], row["geboortedatum"], row["geslacht"]].add((row["_bsn"], row["geboortedatum"], row["geslacht"]))
    names: dict[int, Any] = {}
    for place, row in enumerate(rows):
        who = (row["geboortedatum"], row["geslacht"])
        if row["_bsn"] is not None:
            names[place] = ("bsn", (row["_bsn"], *who))
        elif row["_ond"] is not None:
            with_bsn = beside[row["_ond"], *who]
            names[place] = ("bsn", next(iter(with_bsn))) if len(with_bsn) == 1 else ("ond", row["_ond"], *who)
        else:
            names[place] = ("school", row["brin_vestiging"], address(row))
    return names


def candidates(step: str, row: Row, register: list[Row]) -> dict[str, bool]:
    """Persons that the row could be in this pass, and whether birth date or sex agree."""
    found: dict[str, bool] = {}
    newest = max((person["peildatum"] for person in register), default=None)
    for person in register:
        if step == "address":
            hit = person["peildatum"] == newest and address(row) is not None and address(row) == address(person)
            agrees = True
        else:
            mine = row["_bsn"] if step == "bsn" else row["_ond"]
            hit = mine is not None and mine == number(person, step)
            agrees = any(row[c] is not None and row[c] == person[c] for c in ("geboortedatum", "geslacht"))
        if hit:
            found[person["persoon_id"]] = found.get(person["persoon_id"], False) or agrees
    return found


def link(rows: list[Row], register: list[Row], linkable: Iterable[str]) -> Answer:
    linkable = set(linkable)
    looked = [dict(row) for row in rows if row["brin_vestiging"] in linkable]
    names = pupils_of(looked)
    pupils: dict[Any, list[Row]] = defaultdict(list)
    for place, row in enumerate(looked):
        pupils[names[place]].append(row)
    verdicts = {name: Verdict() for name in pupils}
    given: set[str] = set()
    for step in ("bsn", "onderwijsnummer", "address"):
        found: dict[Any, dict[str, bool]] = {}
        for name, own in pupils.items():
            if verdicts[name].persoon_id is None:
                found[name] = {}
                for row in own:
                    for person, agrees in candidates(step, row, register).items():
                        found[name][person] = found[name].get(person, False) or agrees
        claims: dict[str, int] = defaultdict(int)
        for persons in found.values():
            for person, agrees in persons.items():
                claims[person] += agrees
        newly = set()
        for name, persons in found.items():
            if not persons or verdicts[name].reason != "unmatched":
                continue
            if len(persons) > 1:
                verdicts[name] = Verdict(None, step, "ambiguous")
                continue
            [(person, agrees)] = persons.items()
            if not agrees:
                verdicts[name] = Verdict(None, step, "contradiction")
            elif claims[person] > 1 or person in given:
                verdicts[name] = Verdict(None, step, "ambiguous")
            else:
                verdicts[name] = Verdict(person, step, "linked")
                newly.add(person)
        given |= newly
    return _answer(rows, looked, names, verdicts, linkable)


def _answer(rows: list[Row], looked: list[Row], names: dict[int, Any], verdicts: dict[Any, Verdict], linkable: set[str]) -> Answer:
    answer = Answer(persons={row["row"]: None for row in rows})
    per_school: dict[str, set[Any]] = {row["brin_vestiging"]: set() for row in looked}
    for place, row in enumerate(looked):
        person = verdicts[names[place]].persoon_id
        answer.persons[row["row"]] = person
        if person is not None:
            per_school[row["brin_vestiging"]].add(names[place])
    last = {_same(row, person): row["row"] for row in looked if (person := answer.persons[row["row"]]) is not None}
    scores = {row["row"]: row["score"] for row in looked}
    beaten = {row["row"]: last[_same(row, person)] for row in looked if (person := answer.persons[row["row"]]) is not None}
    beaten = {row: by for row, by in beaten.items() if row != by}
    answer.persons |= dict.fromkeys(beaten)
    answer.schools = {school: len(who) for school, who in per_school.items()}
    told = list(verdicts.values())
    answer.counts = {
        "rows": len(rows),
        "linked_rows": sum(person is not None for person in answer.persons.values()),
        "repeated_results": sum(scores[row] == scores[by] for row, by in beaten.items()),
        "contradictory_results": sum(scores[row] != scores[by] for row, by in beaten.items()),
        "pupils": len(told),
        **{
            f"linked_{step}": sum(v.persoon_id is not None and v.how == step for v in told)
            for step in ("bsn", "onderwijsnummer", "address")
        },
        **{reason: sum(v.reason == reason for v in told) for reason in ("ambiguous", "contradiction", "unmatched")},
        "objected": 0,
        "no_register": len(
            {
                (row["brin_vestiging"], number(row, "bsn") or number(row, "onderwijsnummer") or address(row))
                for row in rows
                if row["brin_vestiging"] not in linkable
            }
        ),
        "leavers": 0,
    }
    return answer


def _same(row: Row, person: str) -> tuple[Any, ...]:
    """What two rows share that are one result, of which the last counts."""
    return person, row["brin_vestiging"], row["uitgever"], row["domein"], row["toetscode"], row["afnamedatum"]
