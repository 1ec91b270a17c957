"""Whatever is delivered, linked and taken back in whatever order, the results that count are those that a simple book says.

The book: of all deliveries of one campaign that are linked and not taken back, each result stands as the delivery received last has it;
campaigns don't touch each other. On SQLite, and on PostgreSQL.
"""

from dataclasses import dataclass, field
from datetime import date, datetime, timedelta

import polars as pl
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from gateway.cli.results import results_that_count
from gateway.drop.lifecycle import Event
from gateway.drop.record import LINKED_COLUMNS
from gateway.linker.results import write_part
from gateway.store.campaigns import create_campaign
from gateway.store.counting import hold_schools, replacements, rivals_of, state_replaced, take_back
from gateway.store.home import Home
from gateway.store.ledger import Change, drop_of
from gateway.store.models import DropSchool, Part
from gateway.worker.erasure import erase
from gateway.worker.replacing import counted_rivals
from keys.secret import Secret
from tests.support.fresh_homes import Fresh, fresh
from tests.support.ledgers import CAMPAIGN, START, Clock, a_drop, populate

__all__ = ["fresh"]

OTHER = "2026-E"
SCHOOLS = ("01AA00", "01AB00")
DAY = date(2026, 1, 20)
#: school, pupil and test: so few that deliveries meet
Result = tuple[str, str, str]
RESULTS = st.dictionaries(
    st.tuples(st.sampled_from(SCHOOLS), st.sampled_from("pq"), st.sampled_from("AB")), st.sampled_from([1.0, 2.0]), min_size=1, max_size=5
)


@dataclass
class Delivery:
    id: str
    campaign: str
    received_at: datetime
    results: dict[Result, float]
    linked: bool = False
    withdrawn: bool = False
    replaces: dict[str, int] = field(default_factory=dict)


def part_of(delivery: Delivery) -> pl.LazyFrame:
    rows = [
        {
            "persoon": pupil, "school": school, "schooljaar": "2025-2026", "jaargroep": "5", "kinderdagverblijf": None,
            "peuterspeelzaal": None, "uitgever": "cito", "toetscode": test, "domein": "spelling", "afnamemoment": "M5", "afnamedatum": DAY,
            "score": score,
        }
        for (school, pupil, test), score in sorted(delivery.results.items())
    ]  # fmt: skip
    return pl.DataFrame(rows, schema=LINKED_COLUMNS).lazy()


class Deliveries(RuleBasedStateMachine):
    delivered = Bundle("delivered")

    def __init__(self, home: Home, clock: Clock) -> None:
        super().__init__()
        self.home, self.clock = home, clock
        self.book: dict[str, Delivery] = {}

    @rule(target=delivered, campaign=st.sampled_from([CAMPAIGN, CAMPAIGN, OTHER]), results=RESULTS, at_once=st.booleans())
    def deliver(self, campaign: str, results: dict[Result, float], at_once: bool) -> str:
        """`at_once`: received at the very moment of the one before; then the names decide."""
        self.clock.forward(minutes=0 if at_once else 1)
        with self.home.ledger.change("intake") as change:
            drop = a_drop(self.clock.now, 1_000 - len(self.book), campaign=campaign)  # names go back while time goes on
            change.receive(drop)
            for school in sorted({school for school, _, _ in results}):
                change.session.add(DropSchool(drop=drop.id, school=school, rows=1, pupils=1))
            change.advance(drop, Event.CHECKS_PASSED)
        self.home.epochs.ensure(drop.epoch)
        self.home.mortal.create("drops", drop.id, Secret(b"sealed"))
        self.home.blob(drop.id).write_bytes(b"ciphertext")
        self.book[drop.id] = Delivery(drop.id, campaign, drop.received_at, results)
        return drop.id

    @rule(name=delivered)
    def link(self, name: str) -> None:
        """As gateway/worker/linking.py does it, once the pupils are known."""
        delivery = self.book[name]
        if delivery.linked or delivery.withdrawn:
            return
        file = f"{delivery.campaign}/{name}.parquet"
        (self.home.results / delivery.campaign).mkdir(exist_ok=True)
        facts = write_part(part_of(delivery), self.home.results / file)
        with self.home.ledger.view() as session:
            drop = drop_of(session, name)
        rivals = counted_rivals(self.home, drop, file)
        with self.home.ledger.change("worker") as change:
            hold_schools(change.session, [name])
            drop = drop_of(change.session, name)
            assert rivals_of(change.session, drop) == list(rivals)
            change.session.merge(Part(drop=name, campaign=delivery.campaign, file=file, rows=facts.rows, sha256=facts.sha256))
            for row in [change.session.get_one(DropSchool, (name, school)) for school in {school for school, _, _ in delivery.results}]:
                row.linked_pupils = 1
            drop.linked_at = change.now
            change.advance(drop, Event.PERSONS_FOUND)
            state_replaced(change, drop, rivals)
        delivery.linked = True

    @rule(name=delivered)
    def withdraw(self, name: str) -> None:
        delivery = self.book[name]
        if delivery.withdrawn:
            return
        with self.home.ledger.change("worker") as change:
            hold_schools(change.session, [name])
            take_back(change, drop_of(change.session, name), "onjuist")
        delivery.linked, delivery.withdrawn = False, True

    @rule(name=delivered)
    def erase(self, name: str) -> None:
        if self.book[name].linked or self.book[name].withdrawn:
            erase(self.home, name)
        if self.book[name].withdrawn:
            assert not list(self.home.results.glob(f"*/{name}*")), "results that were taken back are gone"

    @invariant()
    def the_results_that_count_are_those_of_the_book(self) -> None:
        right: dict[tuple[str, Result], float] = {}
        for delivery in sorted(self.book.values(), key=lambda one: (one.received_at, one.id)):
            if delivery.linked:
                right |= {(delivery.campaign, result): score for result, score in delivery.results.items()}
        with results_that_count(self.home) as (frame, read):
            found = frame.select("school", "persoon", "toetscode", "score").collect().rows()
        assert sorted(found) == sorted((*result, score) for (_, result), score in right.items())
        assert read.keys() == {one.id for one in self.book.values() if one.linked}

    @invariant()
    def the_ledger_says_of_each_two_how_many_rows_one_loses(self) -> None:
        linked = sorted((one for one in self.book.values() if one.linked), key=lambda one: (one.received_at, one.id))
        right = {
            (later.id, earlier.id): count
            for place, later in enumerate(linked)
            for earlier in linked[:place]
            if later.campaign == earlier.campaign and (count := len(later.results.keys() & earlier.results.keys()))
        }
        with self.home.ledger.view() as session:
            found = {(row.later, row.earlier): row.rows for name in self.book for row in replacements(session, name)}
        assert found == right


def _with_two_campaigns(change: Change) -> None:
    populate(change)
    days = [date(2026, month, 1) for month in (5, 6, 7, 8)]
    create_campaign(change, OTHER, *days, START + timedelta(days=300))


def test_the_results_that_count(fresh: Fresh) -> None:
    def machine() -> Deliveries:
        clock = Clock()
        return Deliveries(fresh(clock, _with_two_campaigns), clock)

    run_state_machine_as_test(machine, settings=settings(max_examples=25, stateful_step_count=20, deadline=None))
