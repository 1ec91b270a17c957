"""Which schools a drop may speak for: the board enrolled, its consent reached this vendor, and the school is known."""

from collections.abc import Mapping
from dataclasses import dataclass

import polars as pl

from gateway.checks.findings import DropRefused, Finding, finding
from policies.enrolment import KINDS_TAKEN

#: different schools in one drop: more than the country has, so that many of them are none, and would only fill the memory
MOST_SCHOOLS = 10_000


@dataclass(frozen=True)
class SchoolStanding:
    """What is known of a school on the day of the drop.

    `enrolled`: contract and form of its board are in for the campaign. `vendor`: the one through whom that board consents, None when it
    did not sign up. `kind`: bo, sbo, so or vso. `missing`: what is not in of a sign-up, in Dutch.
    """

    code: str
    board: str
    enrolled: bool
    kind: str
    vendor: str | None
    missing: str = ""


class Admission:
    """Holds each school that turns up in a drop once against its standing."""

    def __init__(self, vendor: str, schools: Mapping[str, SchoolStanding]) -> None:
        self._vendor = vendor
        self._schools = schools
        self._judged: dict[str, str | None] = {}
        self.barred = [code for code, standing in schools.items() if standing.kind not in KINDS_TAKEN]

    def judge(self, frame: pl.DataFrame) -> list[Finding]:
        """Findings that refuse the drop, one for each school not met before that may not be delivered; at its first row.
        DropRefused with them when there are more schools than there can be."""
        runs = frame["brin_vestiging"].rle()
        starts = runs.struct.field("len").cum_sum() - runs.struct.field("len")
        met = pl.DataFrame({"start": starts, "school": runs.struct.field("value")}).unique("school", keep="first", maintain_order=True)
        findings = []
        for start, school in met.drop_nulls().iter_rows():
            if school in self._judged:
                continue
            standing = self._schools.get(school)
            rule = self._judged[school] = self._rule(standing)
            if rule is not None:
                missing = standing.missing if standing is not None else ""
                findings.append(finding(rule, int(frame["row"][start]), "brin_vestiging", topic=missing))
            if len(self._judged) > MOST_SCHOOLS:
                raise DropRefused(*findings)
        return findings

    def _rule(self, standing: SchoolStanding | None) -> str | None:
        if standing is None:
            return "unknown-school"
        if standing.kind not in KINDS_TAKEN:
            return None  # its rows are refused one by one
        if standing.vendor != self._vendor:  # before what its sign-up lacks: that is for the vendor through whom it consents
            return "wrong-board"
        return None if standing.enrolled else "school-not-enrolled"
