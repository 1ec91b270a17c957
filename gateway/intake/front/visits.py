"""Who has logged in, and how many handles they have: of one vendor, and of all."""

from collections.abc import Callable
from dataclasses import dataclass, field

from gateway.intake.desk import Ask, Asked
from gateway.intake.files.refusals import IntakeRefused
from gateway.intake.front.quota import Account
from gateway.intake.front.uploads import Entry
from gateway.store.config import Intake


@dataclass(eq=False)
class Visit:
    """A connection that has logged in. One that is gone is remembered until it has given back what it held."""

    session: str
    vendor: str
    account: Account
    handles: int = 0  # but those on uploads
    held: set[str] = field(default_factory=set)
    gone: bool = False


class Visits:
    """All of them. Only ever touched from the event loop."""

    def __init__(self, config: Callable[[], Intake]) -> None:
        self._config = config
        self._all: dict[str, Visit] = {}
        self._asked: dict[str, Asked] = {}
        self._handles = 0

    def enter(self, session: str, vendor: str, account: Account) -> None:
        """IntakeRefused: `too-many-sessions`, `too-many-sessions-in-all`."""
        if self.count(vendor) >= account.limits.sessions:
            raise IntakeRefused("too-many-sessions")
        if self.count() >= self._config().max_sessions:
            raise IntakeRefused("too-many-sessions-in-all")
        self._all[session] = Visit(session, vendor, account)

    def leave(self, session: str) -> None:
        """Its handles are given back; what it holds of uploads is `released` one by one, later."""
        visit = self._all.get(session)
        if visit is None or visit.gone:
            return
        visit.gone = True
        self._change(visit, -visit.handles)
        visit.handles = 0
        self._forget(visit)

    def of(self, session: str) -> Visit:
        """IntakeRefused (`not-allowed`) when nobody of that name has logged in, or is gone."""
        visit = self._all.get(session)
        if visit is None or visit.gone:
            raise IntakeRefused("not-allowed")
        return visit

    def count(self, vendor: str = "") -> int:
        """How many connections have logged in now: of one vendor, or of all."""
        return sum(not visit.gone and vendor in ("", visit.vendor) for visit in self._all.values())

    def vendors(self) -> set[str]:
        """Who has a connection."""
        return {visit.vendor for visit in self._all.values()}

    def _forget(self, visit: Visit) -> None:
        if visit.gone and not visit.held:
            self._all.pop(visit.session, None)
            self._asked.pop(visit.session, None)

    # ------------------------------------------------------------ handles

    def handle(self, session: str, change: int) -> None:
        """IntakeRefused (`too-many-handles`); closing one never is."""
        if change > 0:
            self.check_room(self.of(session))
        if (visit := self._all.get(session)) is not None:
            change = max(change, -visit.handles)
            visit.handles += change
            self._change(visit, change)

    def check_room(self, visit: Visit) -> None:
        """IntakeRefused (`too-many-handles`) when no other one may be opened."""
        if visit.account.handles >= visit.account.limits.handles or self._handles >= self._config().max_handles:
            raise IntakeRefused("too-many-handles")

    def hold(self, visit: Visit, entry: Entry) -> None:
        """The session holds the upload from now on, which is a handle."""
        entry.hold(visit.session)
        visit.held.add(entry.uid)
        self._change(visit, +1)

    def released(self, session: str, uid: str) -> None:
        """It no longer does."""
        visit = self._all.get(session)
        if visit is not None and uid in visit.held:
            visit.held.discard(uid)
            self._change(visit, -1)
            self._forget(visit)

    def _change(self, visit: Visit, change: int) -> None:
        visit.account.handles += change
        self._handles += change

    # ------------------------------------------------------------ asking them

    def attend(self, session: str, asked: Asked) -> None:
        self._asked[session] = asked

    def ask(self, entry: Entry, what: Ask) -> None:
        """Ask whoever holds the upload; nothing happens when nobody listens."""
        if (asked := self._asked.get(entry.holder)) is not None:
            asked(what, entry.uid)
