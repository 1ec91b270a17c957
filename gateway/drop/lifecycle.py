"""The life of a drop as two literal tables: what it is, and what still lies on disk of what it held.

Nothing about states stands anywhere else: the ledger looks a transition up here and refuses what is not in the table, the
diagram in docs/architecture.md is drawn from these values, and an event that does not fit changes nothing.
"""

from enum import StrEnum

from policies.errors import Refused


class State(StrEnum):
    """Where a drop stands. What a receipt calls it stands in gateway/drop/receipt.py."""

    RECEIVED = "received"  # durable, not yet read
    INCOMPLETE = "incomplete"  # closed, but its encryption ends too early: may be completed under the same name
    REJECTED = "rejected"  # the checks refuse it whole
    ACCEPTED = "accepted"  # checked; waits for the objection window and the schools' registers
    LINKED = "linked"  # persons found, results kept under pseudonyms
    EXPIRED = "expired"  # the retention window (or an administrator) ended it before it was linked
    WITHDRAWN = "withdrawn"  # its vendor (or an administrator) took it back, linked or not: nothing of it counts
    REGISTERED = "registered"  # no results: an objection register that was kept as keyed MACs, or a withdrawal that was carried out


class Raw(StrEnum):
    """What is left on disk of the delivered bytes. "Maybe" stands around what can't be undone."""

    HELD = "held"
    MAYBE_ERASED = "maybe erased"
    ERASED = "erased"


class Event(StrEnum):
    CHECKS_PASSED = "checks passed"
    CHECKS_FAILED = "checks failed"
    TRUNCATED = "found truncated"
    REPLACED = "delivered anew"  # the vendor sent the whole file again under the same name
    PERSONS_FOUND = "persons found"
    OBJECTIONS_KEPT = "objections kept"
    OTHERS_WITHDRAWN = "others withdrawn"  # it took other drops back
    WITHDRAWN = "taken back"
    WINDOW_ENDED = "window ended"
    LOST = "lost before a restore"  # what came of it was not in the backup


class RawEvent(StrEnum):
    ERASURE_BEGUN = "erasure begun"
    ERASURE_VERIFIED = "erasure verified"


class Effect(StrEnum):
    """What a new state asks to be done. An effect may be repeated; a state may not be skipped."""

    CHECK = "check"
    LINK = "link"
    ERASE = "erase"  # what is left of the bytes, and results that are nobody's
    RECEIPT = "receipt"


DROP: dict[tuple[State, Event], State] = {
    (State.RECEIVED, Event.CHECKS_PASSED): State.ACCEPTED,
    (State.RECEIVED, Event.CHECKS_FAILED): State.REJECTED,
    (State.RECEIVED, Event.TRUNCATED): State.INCOMPLETE,
    (State.RECEIVED, Event.OBJECTIONS_KEPT): State.REGISTERED,
    (State.RECEIVED, Event.OTHERS_WITHDRAWN): State.REGISTERED,
    (State.RECEIVED, Event.WITHDRAWN): State.WITHDRAWN,
    (State.RECEIVED, Event.WINDOW_ENDED): State.EXPIRED,
    (State.RECEIVED, Event.LOST): State.EXPIRED,
    (State.INCOMPLETE, Event.REPLACED): State.EXPIRED,
    (State.INCOMPLETE, Event.WITHDRAWN): State.WITHDRAWN,
    (State.INCOMPLETE, Event.WINDOW_ENDED): State.EXPIRED,
    (State.INCOMPLETE, Event.LOST): State.EXPIRED,
    (State.ACCEPTED, Event.PERSONS_FOUND): State.LINKED,
    (State.ACCEPTED, Event.CHECKS_FAILED): State.REJECTED,
    (State.ACCEPTED, Event.WITHDRAWN): State.WITHDRAWN,
    (State.ACCEPTED, Event.WINDOW_ENDED): State.EXPIRED,
    (State.ACCEPTED, Event.LOST): State.EXPIRED,
    (State.LINKED, Event.WITHDRAWN): State.WITHDRAWN,  # also when its data went long ago
    (State.LINKED, Event.LOST): State.EXPIRED,
    (State.REGISTERED, Event.LOST): State.EXPIRED,
}

RAW: dict[tuple[Raw, RawEvent], Raw] = {
    (Raw.HELD, RawEvent.ERASURE_BEGUN): Raw.MAYBE_ERASED,
    (Raw.MAYBE_ERASED, RawEvent.ERASURE_BEGUN): Raw.MAYBE_ERASED,  # a repeated attempt
    (Raw.MAYBE_ERASED, RawEvent.ERASURE_VERIFIED): Raw.ERASED,
}

#: What entering a state asks for, in the order in which it is done.
ON_ENTRY: dict[State, tuple[Effect, ...]] = {
    State.RECEIVED: (Effect.RECEIPT, Effect.CHECK),
    State.INCOMPLETE: (Effect.RECEIPT,),
    State.REJECTED: (Effect.RECEIPT, Effect.ERASE),
    State.ACCEPTED: (Effect.RECEIPT, Effect.LINK),
    State.LINKED: (Effect.RECEIPT, Effect.ERASE),
    State.EXPIRED: (Effect.RECEIPT, Effect.ERASE),
    State.WITHDRAWN: (Effect.RECEIPT, Effect.ERASE),
    State.REGISTERED: (Effect.RECEIPT, Effect.ERASE),
}

#: The couple: in these states the raw bytes may be on their way out; in every other they must be held.
MAY_ERASE = frozenset(state for state, effects in ON_ENTRY.items() if Effect.ERASE in effects)

#: States in which a drop can be taken back.
MAY_WITHDRAW = frozenset(state for state, event in DROP if event is Event.WITHDRAWN)


def next_state(state: State, event: Event) -> State:
    """The state after `event`; Refused (`illegal-event`) when the table has no such row."""
    try:
        return DROP[state, event]
    except KeyError:
        raise Refused("illegal-event", f"A drop that is {state} can't have '{event}'.", "Nothing was changed.") from None


def next_raw(state: State, raw: Raw, event: RawEvent) -> Raw:
    """The raw data's state after `event`, for a drop in `state`; Refused when either table forbids it."""
    if state not in MAY_ERASE or (raw, event) not in RAW:
        raise Refused(
            "illegal-erasure",
            f"The data of a drop that is {state} and {raw} can't have '{event}'.",
            "Nothing was changed.",
        )
    return RAW[raw, event]


def mermaid() -> str:
    """The two tables as a Mermaid state diagram, for docs/architecture.md."""

    def name(state: StrEnum) -> str:
        return state.value.replace(" ", "_")

    lines = ["stateDiagram-v2", "  state drop {", "    [*] --> received: closed by the vendor"]
    lines += [f"    {name(a)} --> {name(b)}: {event.value}" for (a, event), b in DROP.items()]
    lines += ["  }", "  state raw_data {", "    [*] --> held"]
    lines += [f"    {name(r)} --> {name(s)}: {raw_event.value}" for (r, raw_event), s in RAW.items()]
    return "\n".join([*lines, "  }"])
