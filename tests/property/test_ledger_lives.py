"""Whatever happens in whatever order, the ledger says what a simple model says: states, what is on disk, effects, audit entries.

The model spells the life of a drop out once more, on purpose: a change of the tables has to be meant twice. After every step the whole
home is looked at as well. On SQLite, and on PostgreSQL.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, multiple, rule, run_state_machine_as_test
from sqlmodel import func, select

from gateway.drop.ids import drop_id
from gateway.drop.lifecycle import Effect, Event, RawEvent
from gateway.store.deliveries import Arrival, receive_all
from gateway.store.drops import holding
from gateway.store.effects import due_drops
from gateway.store.home import Home
from gateway.store.invariants import check_home
from gateway.store.ledger import Change, drop_of
from gateway.store.models import AuditRow, Drop, EffectRow, Vendor
from gateway.worker.engine import attempt
from gateway.worker.erasure import end_window, erase
from keys.secret import Secret
from policies.errors import Refused
from tests.support.fresh_homes import Fresh, fresh
from tests.support.ledgers import START, Clock

__all__ = ["fresh"]

#: state → event → state
LOST = {"window ended": "expired", "lost before a restore": "expired", "taken back": "withdrawn"}
GOES: dict[str, dict[str, str]] = {
    "received": {
        "checks passed": "accepted", "checks failed": "rejected", "found truncated": "incomplete", "objections kept": "registered",
        "others withdrawn": "registered", **LOST
    },
    "incomplete": {"delivered anew": "expired", **LOST},
    "accepted": {"persons found": "linked", "checks failed": "rejected", **LOST},
    "linked": {"lost before a restore": "expired", "taken back": "withdrawn"},
    "registered": {"lost before a restore": "expired"},
}  # fmt: skip
ASKS = {"received": ["receipt", "check"], "incomplete": ["receipt"], "accepted": ["receipt", "link"]}
AT_AN_END = ["receipt", "erase"]
WINDOW = timedelta(days=21)
#: of deadlines and results: nobody ends days here, and what is linked here has no results
NOT_PLAYED = {"overdue", "epoch-overdue", "results"}

#: what an effect comes to
OUTCOMES: dict[str, list[Event | None]] = {
    "check": [Event.CHECKS_PASSED, Event.CHECKS_FAILED, Event.TRUNCATED, Event.OBJECTIONS_KEPT, Event.OTHERS_WITHDRAWN],
    "link": [Event.PERSONS_FOUND, Event.CHECKS_FAILED, None],
}


class Ticking(Clock):
    """Stands, but for a microsecond at each look: entries are put in order by their time."""

    def __call__(self) -> datetime:
        self.now += timedelta(microseconds=1)
        return self.now


@dataclass
class Asked:
    """An effect: when it is due, whether somebody began it, how often it failed."""

    kind: str
    due: datetime
    claimed: bool = False
    attempts: int = 0


@dataclass
class Model:
    """A drop as it should be."""

    id: str
    name: str
    erase_before: datetime
    state: str = "received"
    raw: str = "held"
    undone: list[Asked] = field(default_factory=list)

    @property
    def may_erase(self) -> bool:
        return self.state not in ASKS

    def may(self, event: Event | RawEvent) -> bool:
        if isinstance(event, Event):
            return event.value in GOES.get(self.state, {})
        return self.may_erase and self.raw in {"erasure begun": ("held", "maybe erased"), "erasure verified": ("maybe erased",)}[event]

    def ask(self, kind: str, due: datetime) -> None:
        for asked in self.undone:
            if asked.kind == kind and not asked.claimed:
                asked.due = min(asked.due, due)
                return
        self.undone.append(Asked(kind, due))

    def enter(self, state: str, now: datetime) -> None:
        self.state = state
        for kind in ASKS.get(state, AT_AN_END):
            self.ask(kind, now)

    def erased(self, now: datetime) -> int:
        """How many entries that makes."""
        if self.raw == "erased":
            return 0
        self.raw = "erased"
        self.ask("receipt", now)
        return 2


class Lives(RuleBasedStateMachine):
    delivered = Bundle("delivered")

    def __init__(self, home: Home, clock: Clock) -> None:
        super().__init__()
        self.home, self.clock = home, clock
        self.drops: dict[str, Model] = {}
        self.entries = self._count()

    # ------------------------------------------------------------ what happens

    @rule(target=delivered, names=st.lists(st.sampled_from("ab"), min_size=1, max_size=2), again=st.booleans(), adopted=st.booleans())
    def deliver(self, names: list[str], again: bool, adopted: bool) -> Any:
        """Some arrivals in one transaction; `again`: the ledger is told of the oldest drop once more."""
        new = [self._arrival(name, adopted) for name in names]
        old = [self._arrival(model.name, adopted, model) for model in list(self.drops.values())[:1] if again]
        with self.home.ledger.change("intake") as change:
            receive_all(change, [*old, *new])
        for arrival in new:
            before = next((model for model in reversed(self.drops.values()) if model.name == arrival.file_name), None)
            if before is not None and before.state == "incomplete":
                before.enter("expired", self.clock.now)
                self.entries += 1
                before = None
            self.entries += 2 if adopted or before is not None else 1
            model = self.drops[arrival.id] = Model(arrival.id, arrival.file_name, arrival.erase_before)
            model.enter("received", self.clock.now)
        return multiple(*(arrival.id for arrival in new))

    @rule(drop=delivered, event=st.sampled_from([*Event, *RawEvent]))
    def tell(self, drop: str, event: Event | RawEvent) -> None:
        """An event that the tables allow is accepted, any other refused; that erasure was verified only `erase` says."""
        self._told(drop, event)

    @rule(drop=delivered, chance=st.integers(0, 11))
    def tell_what_fits(self, drop: str, chance: int) -> None:
        fitting = [event for event in Event if self.drops[drop].may(event)]
        if fitting:
            self._told(drop, fitting[chance % len(fitting)])

    def _told(self, drop: str, event: Event | RawEvent) -> None:
        model = self.drops[drop]
        legal = model.may(event)
        if legal and event == RawEvent.ERASURE_VERIFIED:
            return
        try:
            self._tell(drop, event)
        except Refused:
            assert not legal
            return
        assert legal
        self.entries += 1
        if isinstance(event, Event):
            model.enter(GOES[model.state][event.value], self.clock.now)
        else:
            model.raw = "maybe erased"

    @rule(drop=delivered, events=st.lists(st.sampled_from([*Event, *RawEvent]), min_size=1, max_size=3))
    def tell_in_vain(self, drop: str, events: list[Event | RawEvent]) -> None:
        """A change that fails in the end leaves nothing of what came before."""
        with pytest.raises((Refused, ZeroDivisionError)):
            self._tell(drop, *events, fails=True)

    @rule(drop=delivered)
    def erase(self, drop: str) -> None:
        model = self.drops[drop]
        try:
            erase(self.home, drop)
        except Refused:
            assert not model.may_erase
            return
        assert model.may_erase
        self.entries += model.erased(self.clock.now)

    @rule(drop=delivered, chances=st.lists(st.integers(0, 11), min_size=1, max_size=3), minutes=st.integers(1, 60))
    def work(self, drop: str, chances: list[int], minutes: int) -> None:
        """The engine tries what is due, one after the other: each comes to one of its outcomes, or fails."""
        for chance in chances:
            self._work(drop, chance, minutes)

    def _work(self, drop: str, chance: int, minutes: int) -> None:
        model, now = self.drops[drop], self.clock.now
        asked = next((asked for asked in model.undone if asked.due <= now), None)
        fails = chance == 0

        def carry_out(effect: Effect, drop_id: str) -> None:
            assert asked is not None and effect == asked.kind
            if fails:
                raise OSError("the disk")
            self._carry_out(model, effect, chance, timedelta(minutes=minutes))

        if asked is not None:
            asked.claimed = True
        assert attempt(self.home, carry_out, drop) == (asked is not None)
        if asked is not None and fails:
            asked.attempts += 1
            asked.due = now + timedelta(seconds=2 ** (asked.attempts - 1))
            self.entries += 1
        elif asked is not None:
            model.undone.remove(asked)

    @rule(drop=delivered, effect=st.sampled_from([Effect.RECEIPT, Effect.LINK]), waits=st.lists(st.integers(0, 60), min_size=1, max_size=3))
    def ask(self, drop: str, effect: Effect, waits: list[int]) -> None:
        """What already waits comes forward, never back; what somebody is at is asked for once more."""
        for after in (timedelta(minutes=minutes) for minutes in waits):
            with self.home.ledger.change("test") as change:
                change.ask(drop, effect, after)
            self.drops[drop].ask(effect, self.clock.now + after)

    @rule(minutes=st.integers(1, 60))
    def minutes_pass(self, minutes: int) -> None:
        self.clock.forward(minutes=minutes)

    @rule(days=st.integers(1, 12))
    def days_pass(self, days: int) -> None:
        self.clock.forward(days=days)

    @rule()
    def end_windows(self) -> None:
        now = self.clock.now
        end_window(self.home, "retention")
        for model in self.drops.values():
            if model.erase_before > now or model.raw == "erased":
                continue
            if not model.may_erase:
                model.enter("expired", now)
                self.entries += 1
            self.entries += model.erased(now)

    # ------------------------------------------------------------ what is so

    @invariant()
    def the_ledger_is_as_the_model(self) -> None:
        with self.home.ledger.view() as session:
            rows = {drop.id: (drop.state, drop.raw, drop.erased_at is not None) for drop in session.exec(select(Drop))}
            effects = session.exec(select(EffectRow).where(EffectRow.done_at == None).order_by(EffectRow.id)).all()  # noqa: E711
            held, overdue = ({drop.id for drop in holding(session, before)} for before in (None, self.clock.now))
            due = due_drops(session, self.clock.now, 1000)
        models = self.drops.values()
        assert rows == {model.id: (model.state, model.raw, model.raw == "erased") for model in models}
        for model in models:
            found = [row for row in effects if row.drop == model.id]
            assert [(row.kind, row.claimed_at is not None) for row in found] == [(asked.kind, asked.claimed) for asked in model.undone]
            for row, asked in zip(found, model.undone, strict=True):
                assert abs(row.due_at - asked.due) < timedelta(milliseconds=100)
        assert held == {model.id for model in models if model.raw != "erased"}
        assert overdue == {model.id for model in models if model.raw != "erased" and model.erase_before <= self.clock.now}
        assert set(due) == {model.id for model in models if any(asked.due <= self.clock.now for asked in model.undone)}

    @invariant()
    def each_accepted_event_has_one_entry_and_a_refused_one_none(self) -> None:
        assert self._count() == self.entries

    @invariant()
    def nothing_contradicts_itself(self) -> None:
        assert [broken for broken in check_home(self.home) if broken.invariant not in NOT_PLAYED] == []

    # ------------------------------------------------------------ how

    def _arrival(self, name: str, adopted: bool, known: Model | None = None) -> Arrival:
        now = self.clock.now
        identity = known.id if known else str(drop_id(now, (len(self.drops) << 8 | self._fresh()).to_bytes(10, "big")))
        if known is None:
            self.home.epochs.ensure(now.date())
            self.home.mortal.create("drops", identity, Secret(b"sealed"))
            self.home.blob(identity).write_bytes(b"ciphertext")
        return Arrival(identity, "cito", "leveringen", name, 10, "0" * 64, now, now.date(), now + WINDOW, "", (), "local", adopted)

    def _fresh(self) -> int:
        self._made = getattr(self, "_made", 0) + 1
        return self._made

    def _tell(self, drop: str, *events: Event | RawEvent, fails: bool = False) -> None:
        with self.home.ledger.change("test") as change:
            row = drop_of(change.session, drop)
            for event in events:
                if isinstance(event, Event):
                    change.advance(row, event)
                else:
                    change.advance_raw(row, event)
            change.session.flush()
            if fails:
                _ = 1 // 0

    def _carry_out(self, model: Model, effect: Effect, chance: int, wait: timedelta) -> None:
        """As the stages do: an effect that its state no longer wants does nothing."""
        if effect == Effect.ERASE:
            erase(self.home, model.id)
            self.entries += model.erased(self.clock.now)
        if model.state != {"check": "received", "link": "accepted"}.get(effect):
            return
        outcome = OUTCOMES[effect][chance % len(OUTCOMES[effect])]
        with self.home.ledger.change("worker") as change:
            if outcome is None:
                change.ask(model.id, effect, after=wait)
                model.ask(effect, self.clock.now + wait)
                return
            change.advance(drop_of(change.session, model.id), outcome)
        self.entries += 1
        model.enter(GOES[model.state][outcome.value], self.clock.now)

    def _count(self) -> int:
        with self.home.ledger.view() as session:
            return session.exec(select(func.count()).select_from(AuditRow)).one()


def _with_a_vendor(change: Change) -> None:
    change.session.add(Vendor(name="cito", created_at=change.now))


def test_the_ledger_lives_as_the_model_says(fresh: Fresh) -> None:
    def machine() -> Lives:
        clock = Ticking(START)
        return Lives(fresh(clock, _with_a_vendor), clock)

    run_state_machine_as_test(machine, settings=settings(max_examples=40, stateful_step_count=30, deadline=None))
