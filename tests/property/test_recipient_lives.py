"""Whatever campaigns, rotations, losses and days come in any order: one key is current, vendors find it, none ends too early or late."""

import shutil
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from gateway.drop.lifecycle import Raw
from gateway.store.campaigns import campaigns, create_campaign
from gateway.store.config import Configuration
from gateway.store.drops import holding
from gateway.store.home import Home, create_home
from gateway.store.models import RecipientKey, Vendor
from gateway.store.recipient_keys import hand_out_another, prepare_recipients, recipient_keys, rotate_recipients, state_destroyed
from gateway.worker.recipient_keys import delivery_keys, keep_recipients
from keys.sealing import public_half
from policies.calendar import day_of, end_of_day
from tests.support.ledgers import Clock, a_drop

START = datetime(2026, 2, 20, 9, 0, tzinfo=UTC)
WINDOW, OVERLAP = timedelta(days=21), timedelta(days=15)  # the overlap of 14 days ends with its last day

_template: list[Path] = []


def template() -> Path:
    """A home as `sluis init` makes it, with a vendor; made once, since its keys take time."""
    if not _template:
        home = create_home(Path(tempfile.mkdtemp()) / "home", Configuration(), lambda: START)
        with home.ledger.change("test") as change:
            change.session.add(Vendor(name="cito", created_at=START))
        home.ledger.engine.dispose()
        _template.append(home.path)
    return _template[0]


class Recipients(RuleBasedStateMachine):
    @initialize()
    def begin(self) -> None:
        self.folder = Path(tempfile.mkdtemp())
        self.clock = Clock(START)
        self.home = Home.open(Path(shutil.copytree(template(), self.folder / "home")), self.clock)
        #: what vendors were given, in order, and until when what each opens is still to be read: name → moment
        self.given: list[str] = []
        self.owed: dict[str, datetime] = {}
        self.by_hand: set[str] = set()
        self.rounds = self.drops = 0
        self.upkeep()

    def rows(self) -> dict[str, RecipientKey]:
        with self.home.ledger.view() as session:
            return {key.name: key for key in recipient_keys(session)}

    def current(self) -> RecipientKey:
        (found,) = (key for key in self.rows().values() if key.retired_at is None)
        return found

    @rule()
    def upkeep(self) -> None:
        keep_recipients(self.home)

    @rule(days=st.integers(0, 25), hours=st.integers(0, 23))
    def time_passes(self, days: int, hours: int) -> None:
        self.clock.forward(days=days, hours=hours, seconds=1)
        self.end_windows()
        keep_recipients(self.home)

    def end_windows(self) -> None:
        """As retention does it: what is older than the window is erased."""
        with self.home.ledger.change("test") as change:
            for drop in holding(change.session, before=self.clock.now):
                drop.raw = Raw.ERASED

    @rule(begins=st.integers(-5, 30), lasts=st.integers(0, 40))
    def a_campaign_is_made(self, begins: int, lasts: int) -> None:
        first = day_of(self.clock.now) + timedelta(days=begins)
        self.rounds += 1
        with self.home.ledger.change("test") as change:
            last = first + timedelta(days=lasts)
            create_campaign(change, f"ronde-{self.rounds}", first, first, first, last, end_of_day(last))
        prepare_recipients(self.home)

    @rule()
    def a_vendor_delivers(self) -> None:
        """To the key that it finds."""
        self.drops += 1
        self.owed[self.current().name] = self.clock.now + WINDOW
        with self.home.ledger.change("test") as change:
            change.receive(a_drop(self.clock.now, self.drops))

    @rule(at_once=st.booleans())
    def rotated(self, at_once: bool) -> None:
        self.clock.forward(seconds=1)  # what came in before still counts
        made, old = rotate_recipients(self.home, "test", "test", at_once)
        assert made.campaign == old.campaign
        assert (old.taken_until == old.retired_at) is at_once

    @rule(which=st.integers(0, 5))
    def destroyed_by_an_administrator(self, which: int) -> None:
        names = self.home.recipients.names()
        name = names[which % len(names)]
        hand_out_another(self.home, "test", name, "test")
        self.home.recipients.destroy(name)
        with self.home.ledger.change("test") as change:
            state_destroyed(change.session, name, change.now)
        self.by_hand.add(name)

    @rule()
    def a_key_is_made_when_the_power_fails(self) -> None:
        self.home.recipients.make(f"orphan-{len(self.given)}-{len(self.home.recipients.names())}")
        keep_recipients(self.home)
        assert self.current().name.startswith("orphan"), "the rotation is completed"

    @precondition(lambda self: self.drops)
    @rule()
    def the_store_of_keys_is_lost(self) -> None:
        for name in self.home.recipients.names():
            self.home.recipients.destroy(name)
            self.by_hand.add(name)
        keep_recipients(self.home)

    @invariant()
    def one_is_current_and_vendors_find_it(self) -> None:
        current = self.current()
        assert self.home.recipients.public() == public_half(self.home.recipients.identities()[current.name])
        if not self.given or self.given[-1] != current.name:
            assert current.name not in self.given, "a replaced key is never handed out again"
            self.given.append(current.name)

    @invariant()
    def it_serves_the_campaign_that_takes_deliveries(self) -> None:
        keep_recipients(self.home)
        today = day_of(self.clock.now)
        with self.home.ledger.view() as session:
            taking = [found for found in campaigns(session) if found.enrol_until <= today <= found.deliver_until]
        if taking:
            assert self.current().campaign == min(taking, key=lambda found: (found.deliver_until, found.name)).name

    @invariant()
    def what_came_in_can_be_opened_until_its_window_ends(self) -> None:
        there = set(self.home.recipients.names())
        for name, until in self.owed.items():
            assert name in there | self.by_hand or self.clock.now >= until

    @invariant()
    def no_key_stays_for_longer_than_it_may(self) -> None:
        for name, key in self.rows().items():
            if key.retired_at is not None and self.clock.now >= key.retired_at + OVERLAP + WINDOW:
                assert key.destroyed_at is not None and name not in self.home.recipients.names()

    @invariant()
    def what_comes_in_now_is_taken_by_the_moment(self) -> None:
        keys = delivery_keys(self.home, self.clock.now)
        assert len(keys) == len(self.home.recipients.names())
        assert [key.replaced_on for key in keys].count(None) == 1
        taken = {name for name, key in self.rows().items() if key.taken_until is None or self.clock.now < key.taken_until}
        assert sum(key.taken for key in keys) == len(taken & set(self.home.recipients.names()))

    def teardown(self) -> None:
        if hasattr(self, "home"):
            self.home.ledger.engine.dispose()
            shutil.rmtree(self.folder)


TestRecipients = Recipients.TestCase
TestRecipients.settings = settings(max_examples=15, stateful_step_count=20, deadline=None)
