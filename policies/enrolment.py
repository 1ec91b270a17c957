"""What a board's sign-up gives it: nothing until contract and form are both in, and then its date decides (domain.md: aanmelding)."""

from dataclasses import dataclass
from datetime import date
from enum import StrEnum

#: kinds of school that can take part; so and vso can't: too small, and their data too sensitive
KINDS_TAKEN = frozenset({"bo", "sbo"})

#: what a sign-up can lack, as the vendor through whom the board consents reads it
CONTRACT, FORM = "de overeenkomst", "het aanmeldformulier"


class Reports(StrEnum):
    """The reports to which a board is entitled in a round. Regular reports are made of what the authority has, for every board."""

    GROWTH = "growth and regular reports"
    REGULAR = "regular reports"  # signed up late: what is delivered is taken, and reported on by the yearly regular report
    NOTHING = "nothing"  # no sign-up: nothing that is delivered is taken


@dataclass(frozen=True)
class SignUp:
    """A board's papers: the days on which they came in."""

    contract_on: date | None
    form_on: date | None

    @property
    def final_on(self) -> date | None:
        """The day from which the sign-up is final; None while a paper is missing."""
        return None if self.contract_on is None or self.form_on is None else max(self.contract_on, self.form_on)

    def is_final(self, day: date) -> bool:
        """Whether both papers were in on `day`."""
        return self.final_on is not None and self.final_on <= day

    def missing(self, day: date) -> str:
        """What was not in on `day`, in Dutch; empty for a final sign-up."""
        papers = ((CONTRACT, self.contract_on), (FORM, self.form_on))
        return " en ".join(paper for paper, came_on in papers if came_on is None or came_on > day)


def reports_for(sign_up: SignUp, enrol_until: date) -> Reports:
    """What a sign-up gives in a round whose enrolment ends on `enrol_until` (inclusive)."""
    if sign_up.final_on is None:
        return Reports.NOTHING
    return Reports.GROWTH if sign_up.final_on <= enrol_until else Reports.REGULAR
