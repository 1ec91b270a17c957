"""What the stages know of a campaign beside the drop: schools and objections, kept in memory while the ledger says nothing changed.

A country has 6,000 schools, and looking them up for each of a thousand drops costs more than reading the drops. Every change of these
facts is an audit entry in the same transaction, so the number of such entries tells whether what is in memory still holds.
"""

from datetime import date
from threading import Lock

from sqlmodel import Session

from gateway.checks.objections import Objections
from gateway.checks.schools import SchoolStanding
from gateway.store.campaigns import standings
from gateway.store.home import Home
from gateway.store.ledger import entries_about
from gateway.store.models import Campaign
from gateway.store.objections import objections_in_force

STANDING_CHANGES = ("register.imported", "enrolment.recorded", "vendor.added", "vendor.removed")
OBJECTION_CHANGES = ("objections.handed-in", "objections.ended")


class Known:
    def __init__(self, home: Home) -> None:
        self._home = home
        self._lock = Lock()
        self._schools: dict[tuple[str, date], tuple[int, dict[str, SchoolStanding]]] = {}
        self._objections: dict[str, tuple[int, Objections]] = {}

    def schools(self, session: Session, campaign: Campaign, day: date) -> dict[str, SchoolStanding]:
        """Every school's standing on a day. The number of changes is read before the facts: they are never older than it says."""
        revision = entries_about(session, STANDING_CHANGES)
        with self._lock:
            known = self._schools.get((campaign.name, day))
            if known is None or known[0] != revision:
                found = {
                    code: SchoolStanding(code, standing.board, standing.enrolled, standing.kind, standing.vendor, standing.missing)
                    for code, standing in standings(session, campaign, day).items()
                }
                known = self._schools[campaign.name, day] = (revision, found)
                self._schools = dict(list(self._schools.items())[-8:])  # drops of a few days are under way at once
            return known[1]

    def objections(self, session: Session, campaign: str) -> Objections:
        """The objections in force, under the campaign's key. Those that were read before a change are let go of, whatever the campaign: it
        may have ended, and its key with it."""
        revision = entries_about(session, OBJECTION_CHANGES)
        with self._lock:
            self._objections = {name: kept for name, kept in self._objections.items() if kept[0] == revision}
            known = self._objections.get(campaign)
            if known is None:
                macs = [(bsn, ond) for _, bsn, ond in objections_in_force(session, campaign)]
                found = Objections(macs, self._home.objection_key(campaign))
                known = self._objections[campaign] = (revision, found)
            return known[1]
