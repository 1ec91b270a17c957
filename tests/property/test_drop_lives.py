"""Laws of the two machines together: whatever order events come in, nothing flows back and nothing is erased too early."""

from hypothesis import given
from hypothesis import strategies as st

from gateway.drop.lifecycle import DROP, MAY_ERASE, RAW, Event, Raw, RawEvent, State, next_raw, next_state
from policies.errors import Refused

EVENTS = st.lists(st.one_of(st.sampled_from(Event), st.sampled_from(RawEvent)), max_size=40)
#: how far a life has come: no event ever leads back
FAR = {
    State.RECEIVED: 0,
    State.INCOMPLETE: 1,
    State.ACCEPTED: 1,
    State.REJECTED: 2,
    State.LINKED: 2,
    State.EXPIRED: 3,
    State.WITHDRAWN: 3,
    State.REGISTERED: 2,
}
LEFT = {Raw.HELD: 0, Raw.MAYBE_ERASED: 1, Raw.ERASED: 2}


@given(EVENTS)
def test_any_sequence_of_events_keeps_the_two_machines_coupled(events: list[Event | RawEvent]) -> None:
    state, raw = State.RECEIVED, Raw.HELD
    for event in events:
        before = (state, raw)
        try:
            if isinstance(event, Event):
                state = next_state(state, event)
            else:
                raw = next_raw(state, raw, event)
        except Refused:
            assert (state, raw) == before
            allowed = (state, event) in DROP if isinstance(event, Event) else state in MAY_ERASE and (raw, event) in RAW
            assert not allowed, "a step of the tables was refused"
        else:
            assert FAR[state] >= FAR[before[0]] and LEFT[raw] >= LEFT[before[1]]
            assert isinstance(event, RawEvent) or FAR[state] > FAR[before[0]], "a state was entered twice"
        assert raw is Raw.HELD or state in MAY_ERASE, "data is going while it is still needed"
        if raw is not Raw.HELD:
            later = {event for event in Event if (state, event) in DROP}
            assert later <= {Event.LOST, Event.WITHDRAWN}, "the state could still change while the data goes"
            assert Event.WITHDRAWN not in later or state is State.LINKED, "what was never linked is taken back before its data goes"


@given(EVENTS)
def test_erased_is_reached_only_through_a_begun_and_a_verified_erasure(events: list[Event | RawEvent]) -> None:
    state, raw, done = State.RECEIVED, Raw.HELD, []
    for event in events:
        try:
            if isinstance(event, Event):
                state = next_state(state, event)
            else:
                raw = next_raw(state, raw, event)
            done.append(event)
        except Refused:
            continue
    erasure = [event for event in done if isinstance(event, RawEvent)]
    assert (raw is Raw.ERASED) == (RawEvent.ERASURE_VERIFIED in erasure)
    if erasure:
        assert erasure[0] is RawEvent.ERASURE_BEGUN
        assert erasure.count(RawEvent.ERASURE_VERIFIED) <= 1
    assert done.count(Event.PERSONS_FOUND) <= 1, "linked twice"
    assert done.count(Event.WITHDRAWN) <= 1, "taken back twice"
    assert (state is State.WITHDRAWN) == (done.count(Event.WITHDRAWN) == 1), "what was taken back came back"
    if Event.PERSONS_FOUND in done:
        assert done.index(Event.CHECKS_PASSED) < done.index(Event.PERSONS_FOUND), "linked without checks"
