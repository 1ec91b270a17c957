"""How growth is computed and worded: the values of policies/growth.toml, and which tests stand on one scale."""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from policies.errors import Unsound

FILE = Path(__file__).with_suffix(".toml")
ANY_PUBLISHER = "*"
MONTHS = range(1, 13)


@dataclass(frozen=True)
class ReferenceRules:
    fewest_schools: int
    schools_per_predictor: int
    rare_category_schools: int


@dataclass(frozen=True)
class ScaleRule:
    """Codes of a publisher (or of any, `*`) to the name of their scale."""

    publisher: str
    pattern: re.Pattern[str]


@dataclass(frozen=True)
class Growth:
    """The rules of policies/growth.toml, which says what each means."""

    about_equal: float  # [national standard deviations]
    cohorts: int  # [school years]
    round_share: float  # [share of the biggest round]
    reference: ReferenceRules
    middle_months: frozenset[int]
    end_months: frozenset[int]
    scales: tuple[ScaleRule, ...]

    def scale(self, publisher: str, code: str) -> str:
        """The scale that a test's scores stand on. Scores of one publisher, domain and scale may be compared, no others."""
        capitals = code.strip().upper()
        for rule in self.scales:
            if rule.publisher in (publisher, ANY_PUBLISHER) and (found := rule.pattern.fullmatch(capitals)):
                return found["scale"]
        return capitals

    def compared(self, standardised: float) -> int:
        """-1, 0 or 1: below, about equal to, or above the national average."""
        if abs(standardised) <= self.about_equal:
            return 0
        return 1 if standardised > 0 else -1


def read_growth(text: str) -> Growth:
    """The rules as TOML; Unsound (`policy-unsound`) for an unknown or missing key or a value that can't be."""
    try:
        values = tomllib.loads(text)
        halves = values.pop("halves")
        rules = Growth(
            reference=ReferenceRules(**values.pop("reference")),
            scales=tuple(_scale_rule(line) for line in values.pop("scales")),
            middle_months=frozenset(halves.pop("middle")),
            end_months=frozenset(halves.pop("end")),
            **values,
        )
    except (tomllib.TOMLDecodeError, TypeError, KeyError, AttributeError, re.error) as error:
        raise _unsound(str(error)) from None
    if halves:
        raise _unsound(f"unknown key {min(halves)}")
    if not rules.middle_months | rules.end_months <= set(MONTHS) or rules.middle_months & rules.end_months:
        raise _unsound("a month is 1 to 12 and belongs to one half")
    if rules.about_equal < 0 or not 0 < rules.round_share <= 1 or rules.cohorts not in (1, 2):
        raise _unsound("about_equal, round_share or cohorts is out of range")
    if min(vars(rules.reference).values()) < 1:
        raise _unsound("numbers of schools are 1 or more")
    return rules


def _scale_rule(line: Mapping[str, Any]) -> ScaleRule:
    if set(line) != {"publisher", "pattern"}:
        raise KeyError("a line of [[scales]] has publisher and pattern")
    pattern = re.compile(line["pattern"])
    if "scale" not in pattern.groupindex:
        raise KeyError("a pattern names its group `scale`")
    return ScaleRule(line["publisher"], pattern)


def _unsound(reason: str) -> Unsound:
    return Unsound("policy-unsound", f"The rules on growth can't be used: {reason}.", "Look at policies/growth.toml.")


@cache
def growth() -> Growth:
    """The rules as they come with Sluis."""
    return read_growth(FILE.read_text(encoding="utf-8"))
