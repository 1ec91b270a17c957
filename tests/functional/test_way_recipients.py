"""The keys that vendors encrypt to, through real deliveries: which are taken, what the receipts say, and when the keys end.

The stages are the worker's own, the door is the intake's; the clock is the test's. Everything begins on 10 February 2026.
"""

import os
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from audit.entry import Entry
from gateway.store.campaigns import create_campaign
from gateway.store.models import Drop
from gateway.store.recipient_keys import due_recipients, recipient_keys, rotate_recipients
from keys.sealing import public_half
from keys.secret import Secret
from policies.recipients import taken_until
from tests.support.deliveries import age
from tests.support.gateway import CAMPAIGN, Calendar, Staged
from tests.support.pupils import delivery, objections

pytestmark = pytest.mark.slow

Make = Callable[..., Staged]
DAY = timedelta(days=1)


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    """Makes a place with a campaign of these days, whose key is the current one."""
    made: list[Staged] = []

    def place(**days: int) -> Staged:
        made.append(Staged(tmp_path, Calendar(**days)))
        made[0].at_time(Staged.START)
        return made[0]

    yield place
    for one in made:
        one.stop()


def sent(place: Staged, name: str, public: str | None = None, *schools: str) -> Drop:
    """Delivered as somebody who keeps `public` encrypts it; without it, as one who fetches the key each time."""
    plain = delivery(place.at(*schools or ("41AA00",)), place.today)
    return place.deliver(f"{name}.csv.age", age(plain, public or place.home.recipients.public()))


def hand_in(place: Staged, name: str, public: str | None = None) -> Drop:
    plain = objections(("41AA00",), [], place.today)
    return place.deliver(f"{name}.csv.age", age(plain, public or place.home.recipients.public()), "bezwaren")


def another_campaign(place: Staged, begins: date) -> None:
    """A campaign that takes deliveries from this day on."""
    place.home.mortal.create("objections", "ronde-2", Secret(os.urandom(32)))
    with place.home.ledger.change("test") as change:
        create_campaign(change, "ronde-2", begins, begins, begins, begins + 60 * DAY, Staged.START + 90 * DAY)


def told(place: Staged, drop: Drop) -> tuple[str, list[str]]:
    """State and codes of the receipt that the vendor fetches."""
    receipt = place.receipt(drop)
    return receipt["state"], [finding["rule"] for finding in receipt["findings"]]


def states(place: Staged) -> list[tuple[str | None, str]]:
    """Campaign and state of each key, oldest first; what `sluis key list` and the ledger say, and whether vendors find the current one."""
    place_now = place.clock.now
    with place.home.ledger.view() as session:
        keys = recipient_keys(session)
    (current,) = (key for key in keys if key.retired_at is None)
    assert place.home.recipients.public() == public_half(place.home.recipients.identities()[current.name])
    assert set(place.home.recipients.names()) == {key.name for key in keys if key.destroyed_at is None}

    def state(key: Any) -> str:
        if key.destroyed_at is not None:
            return "destroyed"
        return "current" if key is current else "overlapping" if place_now < key.taken_until else "retired"

    return [(key.campaign, state(key)) for key in keys]


def test_the_first_campaign_takes_over_the_key_that_vendors_have(make: Make) -> None:
    place = make()
    assert states(place) == [(CAMPAIGN, "current")]
    assert told(place, sent(place, "levering")) == ("accepted", [])


def test_a_replaced_key_is_taken_for_the_overlap_and_the_receipt_says_so(make: Make) -> None:
    place = make(objections_until=19, deliver_until=40)
    old = place.home.recipients.public()
    early = sent(place, "voor")
    rotate_recipients(place.home, "administrator", "test")
    assert states(place) == [(CAMPAIGN, "overlapping"), (CAMPAIGN, "current")]
    assert told(place, early) == ("accepted", []), "it came in before the key was replaced"
    assert told(place, sent(place, "nieuw")) == ("accepted", [])

    late = sent(place, "oud", old, "41AB00")
    assert told(place, late) == ("accepted", ["replaced-key"])
    (finding,) = place.receipt(late)["findings"]
    assert "10-02-2026" in finding["message"] and "24-02-2026" in finding["message"]
    assert (
        "replaced-key: Het bestand is versleuteld met een sleutel die op 10-02-2026 is vervangen." in place.read(f"{late.id}.txt").decode()
    )
    assert told(place, hand_in(place, "bezwaar", old)) == ("accepted", ["replaced-key"])

    place.at_time(Staged.START.replace(day=24, hour=22))
    assert told(place, sent(place, "laatste-avond", old, "41AB00")) == ("accepted", ["replaced-key"])
    place.at_time(Staged.START.replace(day=24, hour=23))
    assert states(place) == [(CAMPAIGN, "retired"), (CAMPAIGN, "current")]
    refused = sent(place, "te-laat", old, "41AB00")
    assert told(place, refused) == ("rejected", ["retired-key"])
    text = place.read(f"{refused.id}.txt").decode()
    assert "op 10-02-2026 is vervangen en niet meer wordt aangenomen" in text and "sleutels/sluis.age.txt" in text


def test_what_came_in_before_the_overlap_ended_is_linked_after_it(make: Make) -> None:
    place = make(objections_until=18, deliver_until=40)
    old = place.home.recipients.public()
    hand_in(place, "bezwaar")
    rotate_recipients(place.home, "administrator", "test")
    drop = sent(place, "oud", old)
    place.at_time(Staged.START + 16 * DAY)
    assert states(place) == [(CAMPAIGN, "retired"), (CAMPAIGN, "current")], "its last drop still needs it"
    assert told(place, drop) == ("accepted", ["replaced-key"])
    place.at_time(Staged.START + 19 * DAY)
    assert told(place, drop) == ("linked", ["replaced-key"])
    place.at_time(Staged.START + 19 * DAY)
    assert states(place) == [(CAMPAIGN, "destroyed"), (CAMPAIGN, "current")]
    assert told(place, sent(place, "heel-laat", old)) == ("rejected", ["wrong-recipient"]), "whose it was can be told no more"


def test_the_end_of_a_key_is_in_the_log_before_and_after(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    place = make(deliver_until=60)
    (name,) = place.home.recipients.names()
    rotate_recipients(place.home, "administrator", "test")
    destroy, newest = place.home.recipients.destroy, []

    def watched(doomed: str) -> None:
        *_, entry = place.home.audit_log().entries()
        newest.append((Entry.from_bytes(entry).action, Entry.from_bytes(entry).object))
        destroy(doomed)

    monkeypatch.setattr(place.home.recipients, "destroy", watched)
    place.at_time(Staged.START + 16 * DAY)
    assert newest == [("key.destruction-begun", f"recipients/{name}")]
    log = [(row.action, row.leaf) for row in place.audited(f"recipients/{name}")]
    assert [action for action, _ in log] == ["key.adopted", "key.destruction-begun", "key.destroyed"]
    assert None not in [leaf for _, leaf in log]


def test_a_leaked_key_is_taken_no_more_but_what_came_in_before_is_read(make: Make) -> None:
    place = make(objections_until=2, deliver_until=40)
    old = place.home.recipients.public()
    hand_in(place, "bezwaar")
    drop = sent(place, "voor")
    rotate_recipients(place.home, "administrator", "gelekt", at_once=True)
    assert told(place, sent(place, "na", old)) == ("rejected", ["retired-key"])
    assert told(place, sent(place, "nieuw", None, "41AB00")) == ("accepted", [])
    place.at_time(Staged.START + 3 * DAY)
    assert told(place, drop) == ("linked", [])


def test_another_campaign_gets_another_key(make: Make) -> None:
    place = make(deliver_until=14)
    old = place.home.recipients.public()
    another_campaign(place, date(2026, 3, 2))
    sent(place, "wacht-op-een-register")
    place.at_time(Staged.START + 19 * DAY)
    assert states(place) == [(CAMPAIGN, "current")], "the next campaign has not begun, and this one's drop is held"
    place.at_time(Staged.START + 20 * DAY)
    assert states(place) == [(CAMPAIGN, "overlapping"), ("ronde-2", "current")]
    drop = sent(place, "ronde-2-oude-sleutel", old)
    assert "replaced-key" in told(place, drop)[1] and drop.campaign == "ronde-2"
    place.at_time(Staged.START + 36 * DAY)
    assert states(place) == [(CAMPAIGN, "destroyed"), ("ronde-2", "current")]


def test_a_campaign_that_is_over_takes_its_key_along(make: Make) -> None:
    place = make(objections_until=1, deliver_until=5)
    hand_in(place, "bezwaar")
    sent(place, "levering")
    place.at_time(Staged.START + 4 * DAY)
    assert all(drop.raw == "erased" for drop in place.drops())
    assert states(place) == [(CAMPAIGN, "current")], "it may still deliver"
    old = place.home.recipients.public()
    place.at_time(Staged.START + 6 * DAY)
    assert states(place) == [(CAMPAIGN, "retired"), (None, "current")]
    assert told(place, sent(place, "te-laat", old)) == ("rejected", ["retired-key"])
    place.at_time(Staged.START + 7 * DAY + timedelta(minutes=1))
    assert states(place) == [(CAMPAIGN, "destroyed"), (None, "current")]
    new = place.home.recipients.public()
    another_campaign(place, date(2026, 2, 20))
    place.at_time(Staged.START + 11 * DAY)
    assert states(place) == [(CAMPAIGN, "destroyed"), ("ronde-2", "current")]
    assert place.home.recipients.public() == new, "who fetched it between the campaigns has the right one"


def test_a_key_does_not_wait_for_a_drop_beyond_its_window(make: Make) -> None:
    """A drop whose end was never reached, whatever the reason, keeps the key no longer than its window."""
    place = make(objections_until=19, deliver_until=60)
    sent(place, "levering")
    (old,) = place.home.recipients.names()
    rotate_recipients(place.home, "administrator", "test")
    ends = taken_until(Staged.START, 14)
    place.clock.now = ends + 20 * DAY
    assert due_recipients(place.home) == []
    place.clock.now = ends + 21 * DAY
    assert due_recipients(place.home) == [old]
