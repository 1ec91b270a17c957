"""Which schools a drop may speak for: the board enrolled, its consent reached this vendor, and the school is known."""

from collections.abc import Mapping
from dataclasses import dataclass

import polars as pl

from gateway.checks.findings import Finding, finding

#: Schools that can't take part: too small, and their data too sensitive.
BARRED_KINDS = frozenset({"so", "vso"})


@dataclass(frozen=True)
class SchoolStanding:
    """What is known of a school on the day of the drop.

    `enrolled`: contract and form of its board are in for the campaign. `vendor`: the one through whom that board consented, None
    when it did not. `kind`: bo, sbo, so or vso.
    """

    code: str
    board: str
    enrolled: bool
    kind: str
    vendor: str | None


class Admission:
    """Holds each school that turns up in a drop once against its standing."""

    def __init__(self, vendor: str, schools: Mapping[str, SchoolStanding]) -> None:
        self._vendor = vendor
        self._schools = schools
        self._judged: dict[str, str | None] = {}
        self.barred = [code for code, standing in schools.items() if standing.kind in BARRED_KINDS]

    def judge(self, frame: pl.DataFrame) -> list[Finding]:
        """Findings that refuse the drop, one for each school not met before that may not be delivered; at its first row."""
        runs = frame["brin_vestiging"].rle()
        starts = runs.struct.field("len").cum_sum() - runs.struct.field("len")
        met = pl.DataFrame({"start": starts, "school": runs.struct.field("value")}).unique("school", keep="first", maintain_order=True)
        findings = []
        for start, school in met.drop_nulls().iter_rows():
            if school in self._judged:
                continue
            rule = self._judged[school] = self._rule(self._schools.get(school))
            if rule is not None:
                findings.append(finding(rule, int(frame["row"][start]), "brin_vestiging"))
        return findings

    def _rule(self, standing: SchoolStanding | None) -> str | None:
        if standing is None:
            return "unknown-school"
        if standing.kind in BARRED_KINDS:
            return None  # its rows are refused one by one
        if not standing.enrolled:
            return "school-not-enrolled"
        if standing.vendor != self._vendor:
            return "wrong-board"
        return None
