"""Whatever the order in which objections, deliveries and population registers come and are worked off, once all of it has settled nobody's
results are there about whom an objection is in force; and nobody's are missing who was never objected to.

A small real home, and a model that knows who is who: the oracle never looks at a MAC.
"""

import tempfile
from pathlib import Path
from typing import Any, Literal, TypeAlias

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from gateway.store.invariants import check_home
from gateway.store.ledger import drop_of
from tests.support.crash_plays import SCHOOLS
from tests.support.crashing import MEMORY
from tests.support.objecting import CHILDREN, EMPTY, NUMBERS, WAYS, Child, Town

schools = st.sampled_from(SCHOOLS)
#: two children, by either number
pupils = st.tuples(st.sampled_from(CHILDREN[:2]), st.sampled_from(NUMBERS))
Event: TypeAlias = tuple[Any, ...]
events: st.SearchStrategy[Event] = st.one_of(
    st.tuples(st.just("object"), schools, st.sets(pupils, min_size=1)),
    st.tuples(st.just("withdraw"), schools, st.integers(0, 20)),
    st.tuples(st.just("populate"), st.sets(pupils)),
    st.tuples(st.just("deliver"), schools, st.sampled_from(WAYS)),
)
After: TypeAlias = int | Literal["sweep", "settle"]
after: st.SearchStrategy[After] = st.sampled_from(("settle", "sweep", 0, 1, 2, 3, 9))

pytestmark = pytest.mark.slow


class Lives(RuleBasedStateMachine):
    def __init__(self, town: Town) -> None:
        super().__init__()
        self.town = town
        #: what each school's register says: (child, number) → in force
        self.registers: dict[str, dict[tuple[Child, str], bool]] = {school: {} for school in SCHOOLS}
        #: whom the population register knows, and by which numbers
        self.known: dict[Child, set[str]] = {}
        self.ever_objected: set[Child] = set()
        self.delivered: dict[str, str] = {}

    # ------------------------------------------------------------ what happens

    @initialize(known=st.sampled_from((True, True, False)))
    def begin(self, known: bool) -> None:
        """With a population register and results, or none."""
        if known:
            self._populate(set())
            self._deliver(SCHOOLS[0], "bsn")
            self.settle()

    @rule(event=events, after=after)
    def happen(self, event: Event, after: After) -> None:
        """One rule for all: hypothesis would leave rules out of most runs, and what matters is what they do to each other."""
        name, *given = event
        getattr(self, f"_{name}")(*given)
        self._work(after)

    def _object(self, school: str, pupils: set[tuple[Child, str]]) -> None:
        self.registers[school].update(dict.fromkeys(sorted(pupils, key=repr), True))
        self.ever_objected |= {child for child, _ in pupils}
        self._hand_in(school)

    def _withdraw(self, school: str, number: int) -> None:
        """One of those that there are; or of an even more changed mind, the register is empty."""
        if register := self.registers[school]:
            if number == 0:
                register.clear()
            else:
                register[list(register)[number % len(register)]] = False
            self._hand_in(school)

    def _hand_in(self, school: str) -> None:
        rows = [child.objects(number, not in_force) for (child, number), in_force in self.registers[school].items()]
        self.town.hand_in({school: rows})

    def _populate(self, lacking: set[tuple[Child, str]]) -> None:
        """A new population register, which knows everybody by both numbers but for these."""
        self.known = {child: {number for number in NUMBERS if (child, number) not in lacking} for child in CHILDREN}
        self.town.populate(self.known)

    def _deliver(self, school: str, way: str) -> None:
        """All children, of whom some never object."""
        self.delivered[self.town.deliver(school, CHILDREN, way)] = way

    def _work(self, after: After) -> None:
        """What the worker does then: so many effects, the late objections, or all that is due."""
        if after == "settle":
            self.settle()
        elif after == "sweep":
            assert self.town.sweep().complete
        else:
            for _ in range(after):
                self.town.step()

    def settle(self) -> None:
        self.town.settle()
        assert check_home(self.town.home, at_rest=True) == []
        there = self.town.people().keys()
        assert there.isdisjoint(child.person for child in self._objected())
        for drop, way in self.delivered.items():
            with self.town.home.ledger.view() as session:
                linked = drop_of(session, drop).state == "linked"
            missing = {child.person for child in set(CHILDREN) - self.ever_objected} - self.town.people(drop).keys()
            assert not (linked and way == "address" and missing), "nobody objected, and everybody has an address of their own"

    def _objected(self) -> set[Child]:
        """About whom an objection is in force, by a number that the population register knows."""
        said = [pair for register in self.registers.values() for pair, in_force in register.items() if in_force]
        return {child for child, number in said if number in self.known.get(child, ())}

    def teardown(self) -> None:
        self.settle()
        self.town.home.ledger.engine.dispose()


def test_whoever_is_objected_to_is_never_found_whatever_the_order() -> None:
    with tempfile.TemporaryDirectory(dir=MEMORY) as room:
        towns = iter(range(10_000))

        def machine() -> Lives:
            folder = Path(room) / str(next(towns))
            folder.mkdir()
            town = Town.made(folder)
            town.hand_in(EMPTY)
            return Lives(town)

        run_state_machine_as_test(machine, settings=settings(max_examples=30, stateful_step_count=8, deadline=None))  # type: ignore[arg-type]
