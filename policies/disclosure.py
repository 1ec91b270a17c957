"""What may be shown of a group of pupils, as values and pure functions. Whoever shows a figure asks here first.

None means "not shown". It is also what stands for a group that does not exist, so that a reader can't tell the two apart.
"""

import tomllib
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from functools import cache
from pathlib import Path

from policies.errors import Unsound

FILE = Path(__file__).with_suffix(".toml")

#: Sums of the same scores in another order differ in their last bits; what is rounded must not.
SAFE_DECIMALS = 7


@dataclass(frozen=True)
class Disclosure:
    """The rules of policies/disclosure.toml, which says what each means."""

    smallest_group: int  # [pupils]
    lowest_percentage: int  # [percent]
    highest_percentage: int  # [percent]
    percentage_group: int  # [pupils]
    percentage_step: int  # [percent]
    mean_decimals: int
    standardised_decimals: int

    def shown(self, pupils: int) -> bool:
        """May anything be shown of a group of so many pupils?"""
        return pupils >= self.smallest_group

    def beside(self, pupils: int, whole: int) -> bool:
        """May the figure of `whole` pupils stand beside that of `pupils` among them?

        Only when those outside are a group that may be shown itself: else subtraction would show them.
        """
        return self.shown(whole - pupils)

    def mean(self, value: float | None, pupils: int) -> float | None:
        """A mean over `pupils` pupils on the scale of its test, rounded."""
        return self._rounded(value, self.mean_decimals) if self.shown(pupils) else None

    def standardised(self, value: float | None, pupils: int) -> float | None:
        """A mean over `pupils` pupils in national standard deviations, rounded."""
        return self._rounded(value, self.standardised_decimals) if self.shown(pupils) else None

    def percentage(self, part: int, pupils: int) -> int | None:
        """`part` of `pupils` pupils, rounded to a step and kept between the lowest and the highest percentage [percent]."""
        if not self.shown(pupils) or pupils < self.percentage_group:
            return None
        steps = (Decimal(100 * part) / pupils / self.percentage_step).to_integral_value(ROUND_HALF_UP)
        return min(max(int(steps) * self.percentage_step, self.lowest_percentage), self.highest_percentage)

    @staticmethod
    def _rounded(value: float | None, decimals: int) -> float | None:
        """Half away from zero, as people round; never -0.0."""
        if value is None or value != value:
            return None
        exact = Decimal(repr(round(value, SAFE_DECIMALS)))
        return float(exact.quantize(Decimal(1).scaleb(-decimals), ROUND_HALF_UP)) + 0.0


def read_disclosure(text: str) -> Disclosure:
    """The rules as TOML; Unsound (`policy-unsound`) for an unknown or missing key, a value that is no whole number, or a rule
    that shows more than the authority's own rule does."""
    try:
        rules = Disclosure(**tomllib.loads(text))
    except (tomllib.TOMLDecodeError, TypeError) as error:
        raise _unsound(str(error)) from None
    for key, value in vars(rules).items():
        if type(value) is not int or value < 0:
            raise _unsound(f"{key} must be a whole number, 0 or more")
    if rules.smallest_group < 6 or rules.lowest_percentage < 5 or rules.highest_percentage > 95:
        raise _unsound("groups of 5 or fewer and percentages outside 5 to 95 are never shown")
    if not 0 < rules.percentage_step <= 50:
        raise _unsound("percentage_step must be between 1 and 50")
    return rules


def _unsound(reason: str) -> Unsound:
    return Unsound("policy-unsound", f"The rules on disclosure can't be used: {reason}.", "Look at policies/disclosure.toml.")


@cache
def disclosure() -> Disclosure:
    """The rules as they come with Sluis."""
    return read_disclosure(FILE.read_text(encoding="utf-8"))
