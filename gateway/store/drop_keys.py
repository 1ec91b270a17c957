"""What stands under a drop's id in the store of keys that must die: a line of facts (JSON), and the drop's key, sealed to its day's public
half (age, binary).

The facts are what the gate that received the drop would tell the ledger of it. They stand beside the key so that a close writes one file
less; once the ledger knows the drop they are never asked again, and they go with the key.
"""

import json
from collections.abc import Iterator
from datetime import datetime
from typing import NamedTuple

from keys.keystore import Keystore
from keys.secret import Secret
from policies.errors import NotFound

#: the kind under which they stand
DROP_KEYS = "drops"


def with_facts(facts: str, sealed: bytes) -> Secret:
    """Both as one file's content; `facts` is one line."""
    return Secret(facts.encode() + b"\n" + sealed)


def facts_of(kept: Secret) -> str:
    """The line of facts; ValueError when it is cut off."""
    line, newline, _ = kept.reveal().partition(b"\n")
    if not newline:
        raise ValueError("the facts are cut off")
    return line.decode()


def sealed_key_of(kept: Secret) -> bytes:
    """The sealed key: empty when it is cut off."""
    return kept.reveal().partition(b"\n")[2]


class HeldKey(NamedTuple):
    """Of a drop whose key is alive: its id, when it was received (UTC), and the vendor, where that can be read."""

    drop: str
    received_at: datetime
    vendor: str


def held_keys(mortal: Keystore) -> Iterator[HeldKey]:
    """Every drop's key that there is, by the facts beside it: for who can't ask the ledger. Where those are cut off or can't be read, its
    time counts from when the key was made: one odd file hides no other."""
    for name in mortal.names(DROP_KEYS):
        try:
            try:
                facts = json.loads(facts_of(mortal.read(DROP_KEYS, name)))
                received_at, vendor = datetime.fromisoformat(facts["received_at"]), str(facts["vendor"])
                if received_at.tzinfo is None:
                    raise ValueError("a point in time needs a zone")
            except (OSError, ValueError, KeyError, TypeError):
                received_at, vendor = mortal.created_at(DROP_KEYS, name), ""
            yield HeldKey(name, received_at, vendor)
        except NotFound:  # destroyed meanwhile
            continue
