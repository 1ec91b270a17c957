"""The life-cycle tables: every step that is not in them is refused, and the two machines can't come apart."""

from itertools import product
from pathlib import Path

import pytest

from gateway.drop.lifecycle import (
    DROP,
    MAY_ERASE,
    MAY_WITHDRAW,
    ON_ENTRY,
    RAW,
    Effect,
    Event,
    Raw,
    RawEvent,
    State,
    mermaid,
    next_raw,
    next_state,
)
from policies.errors import Refused

#: written down once more by hand, from what a vendor and the law may expect: whoever changes a table changes this too
ALLOWED = {
    "received": {
        "checks passed": "accepted",
        "checks failed": "rejected",
        "found truncated": "incomplete",
        "objections kept": "registered",
        "others withdrawn": "registered",
        "taken back": "withdrawn",
        "window ended": "expired",
        "lost before a restore": "expired",
    },
    "incomplete": {
        "delivered anew": "expired",
        "taken back": "withdrawn",
        "window ended": "expired",
        "lost before a restore": "expired",
    },
    "accepted": {
        "persons found": "linked",
        "checks failed": "rejected",
        "taken back": "withdrawn",
        "window ended": "expired",
        "lost before a restore": "expired",
    },
    "linked": {"taken back": "withdrawn", "lost before a restore": "expired"},
    "registered": {"lost before a restore": "expired"},
}
ERASABLE = {"rejected", "linked", "expired", "withdrawn", "registered"}


@pytest.mark.parametrize(("state", "event"), list(product(State, Event)))
def test_a_step_is_as_written_down_or_refused(state: State, event: Event) -> None:
    expected = ALLOWED.get(state.value, {}).get(event.value)
    if expected is None:
        with pytest.raises(Refused) as refusal:
            next_state(state, event)
        assert refusal.value.code == "illegal-event" and refusal.value.hint == "Nothing was changed."
    else:
        assert next_state(state, event) == State(expected)


@pytest.mark.parametrize(("state", "raw", "event"), list(product(State, Raw, RawEvent)))
def test_erasure_goes_forward_only_and_only_in_states_that_allow_it(state: State, raw: Raw, event: RawEvent) -> None:
    expected = {
        (Raw.HELD, RawEvent.ERASURE_BEGUN): Raw.MAYBE_ERASED,
        (Raw.MAYBE_ERASED, RawEvent.ERASURE_BEGUN): Raw.MAYBE_ERASED,
        (Raw.MAYBE_ERASED, RawEvent.ERASURE_VERIFIED): Raw.ERASED,
    }.get((raw, event))
    if expected is None or state.value not in ERASABLE:
        with pytest.raises(Refused) as refusal:
            next_raw(state, raw, event)
        assert refusal.value.code == "illegal-erasure"
    else:
        assert next_raw(state, raw, event) == expected


def test_the_states_that_may_be_erased_are_the_ends_of_the_life() -> None:
    assert {state.value for state in MAY_ERASE} == ERASABLE
    later = {Event.LOST, Event.WITHDRAWN}
    assert set(State) - {state for state, event in DROP if event not in later} == MAY_ERASE
    assert {State.LINKED} == MAY_ERASE & MAY_WITHDRAW, "of what is erased only results can be taken back"


def test_only_a_delivery_of_which_something_can_be_lost_expires_by_a_loss() -> None:
    assert set(State) - {state for state, event in DROP if event is Event.LOST} == {State.REJECTED, State.EXPIRED, State.WITHDRAWN}


def test_every_state_can_be_reached_and_every_life_can_end() -> None:
    reached = {State.RECEIVED}
    while more := {after for (before, _), after in DROP.items() if before in reached} - reached:
        reached |= more
    assert reached == set(State)
    assert all((state, Event.WINDOW_ENDED) in DROP for state in set(State) - MAY_ERASE)
    assert {event for _, event in DROP} == set(Event) and {event for _, event in RAW} == set(RawEvent)


def test_entering_a_state_tells_the_vendor_first_and_erases_last() -> None:
    assert set(ON_ENTRY) == set(State)
    for state, effects in ON_ENTRY.items():
        assert effects[0] is Effect.RECEIPT
        assert (Effect.ERASE in effects) == (state.value in ERASABLE)
        assert Effect.ERASE not in effects[:-1]
    assert Effect.CHECK in ON_ENTRY[State.RECEIVED]
    assert Effect.LINK in ON_ENTRY[State.ACCEPTED]


def test_the_diagram_has_exactly_the_tables_arrows() -> None:
    lines = [line.strip() for line in mermaid().splitlines()]
    assert lines[0] == "stateDiagram-v2" and lines.count("}") == 2
    arrows = {line for line in lines if "-->" in line}
    expected = {f"{a.value} --> {b.value}: {event.value}" for (a, event), b in DROP.items()}
    expected |= {"held --> maybe_erased: erasure begun", "maybe_erased --> maybe_erased: erasure begun"}
    expected |= {"maybe_erased --> erased: erasure verified", "[*] --> received: closed by the vendor", "[*] --> held"}
    assert arrows == expected


def test_the_architecture_page_shows_the_diagram_of_the_code(project: Path) -> None:
    page = (project / "docs" / "architecture.md").read_text(encoding="utf-8")
    assert mermaid() in page, "draw the diagram anew: python -c 'from gateway.drop.lifecycle import mermaid; print(mermaid())'"


def test_a_refusal_names_states_only() -> None:
    with pytest.raises(Refused) as refusal:
        next_state(State.LINKED, Event.REPLACED)
    assert refusal.value.message == "A drop that is linked can't have 'delivered anew'."
    with pytest.raises(Refused) as refusal:
        next_raw(State.ACCEPTED, Raw.HELD, RawEvent.ERASURE_BEGUN)
    assert refusal.value.message == "The data of a drop that is accepted and held can't have 'erasure begun'."
