"""What stands under a drop's id in the store of keys that must die: a line of facts (JSON), and the drop's key, sealed to its day's public
half (age, binary).

The facts are what the gate that received the drop would tell the ledger of it. They stand beside the key so that a close writes one file
less; once the ledger knows the drop they are never asked again, and they go with the key.
"""

from keys.secret import Secret

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
