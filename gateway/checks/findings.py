"""What the checks have to say about a drop: findings by rule, never a value out of the file.

A finding's text is made of its rule's words, counts, and words of our own policy. `CATALOGUE` (gateway/checks/catalogue.py)
is the one list of rules; the vendors' page is generated from it.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gateway.checks.catalogue import CATALOGUE


@dataclass(frozen=True)
class Finding:
    """`row`: 1 is the first line after the header; None: the whole file. `column`: a name of the format; None: no single one."""

    row: int | None
    column: str | None
    rule: str
    message: str  # Dutch
    #: what the rule's words are about, and the place in a packed file that the message begins with: to say it in English as well
    facts: Mapping[str, str | int] = field(default_factory=dict, compare=False, repr=False)
    place: str = field(default="", compare=False, repr=False)

    def as_dict(self) -> dict[str, Any]:
        """As it stands in a receipt."""
        return {"row": self.row, "column": self.column, "rule": self.rule, "message": self.message}

    def within(self, place: str) -> "Finding":
        """The same, its message beginning with a place."""
        return replace(self, message=f"{place}: {self.message}", place=place)

    @property
    def english(self) -> str:
        """The message in English; a topic stays a word of the policy."""
        said = CATALOGUE[self.rule].english.format(**self.facts)
        return f"{self.place}: {said}" if self.place else said


class DropRefused(Exception):
    """The drop can't be read on. Carries findings only: no text of the file, no bytes, no cause that could hold either."""

    def __init__(self, *findings: Finding) -> None:
        super().__init__(", ".join(finding.rule for finding in findings))
        self.findings = findings


class Collector:
    """Keeps the first findings of a drop and counts all of them; warnings are told once per rule and column."""

    def __init__(self, kept: int) -> None:
        self._kept = kept
        self._drop: list[Finding] = []
        self._rows: list[Finding] = []
        self._warnings: dict[tuple[str, str | None], tuple[int, int]] = {}
        self._total = 0
        self.by_rule: Counter[str] = Counter()  # how often each rule was broken; of a warning the rows

    @property
    def total(self) -> int:
        """How many findings there are; a warning counts once, however many rows it is about."""
        return self._total

    @property
    def refused(self) -> bool:
        """Whether a finding refuses the drop whole."""
        return bool(self._drop)

    def refuse(self, *findings: Finding) -> None:
        """Adds findings that refuse the drop whole."""
        self._drop += findings[: self._kept - len(self._drop)]
        self.by_rule.update(told.rule for told in findings)
        self._total += len(findings)

    def rows(self, problems: Iterable[tuple[str, str | None, NDArray[np.uint32]]]) -> None:
        """Adds one finding for each row of (rule, column, rows); call it in the order of the file."""
        told: list[tuple[int, int, Finding]] = []
        free = self._kept - len(self._rows)
        for order, (rule, column, rows) in enumerate(problems):
            self._total += len(rows)
            self.by_rule[rule] += len(rows)
            told += [(int(row), order, finding(rule, int(row), column)) for row in rows[:free]]
        told.sort(key=lambda item: item[:2])
        self._rows += [item[2] for item in told[:free]]

    def warn(self, rule: str, column: str | None, count: int, first_row: int = 0) -> None:
        """Adds to a warning about `count` rows; `first_row` 0: say no row."""
        if not count:
            return
        self.by_rule[rule] += count
        key = (rule, column)
        if key not in self._warnings:
            self._warnings[key] = (0, first_row)
            self._total += 1
        so_far, first = self._warnings[key]
        self._warnings[key] = (so_far + count, first)

    def findings(self) -> list[Finding]:
        """The first findings: what refuses the drop, then rows in the order of the file, then warnings."""
        warnings = [finding(rule, first or None, column, count=count) for (rule, column), (count, first) in self._warnings.items()]
        room = max(0, self._kept - len(self._drop) - len(warnings))
        return [*self._drop, *self._rows[:room], *warnings][: self._kept]


def finding(rule: str, row: int | None = None, column: str | None = None, *, topic: str = "", **facts: int | date) -> Finding:
    """A finding of this rule; KeyError for an unknown one. `column` and `topic` are words of our own policy or the malware scanner's, never
    of the file."""
    said: dict[str, str | int] = {name: f"{fact:%d-%m-%Y}" if isinstance(fact, date) else fact for name, fact in facts.items()}
    said["topic"] = topic
    return Finding(row, column, rule, CATALOGUE[rule].dutch.format(**said), said)
