"""A store of mortal keys that outlived its home: what the log says is dead dies there too, little goes on, nothing stays behind.

Drops, bundles and the register of persons are not in a backup, so their keys, and those of days, open nothing any more. Objections stand
in the ledger as keyed MACs, and vendors may have encrypted what they are still to deliver to a recipient key: those go on.
"""

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from audit.entry import Entry
from gateway.store.drop_keys import DROP_KEYS
from keys.epochs import KIND as EPOCHS
from keys.keystore import Keystore
from keys.recipients import KIND as RECIPIENTS
from policies.errors import Refused

OBJECTIONS = "objections"
GO_ON = (OBJECTIONS, RECIPIENTS)


def _bundle(entry: Entry) -> tuple[str, str]:
    told: Any = entry.detail
    return "bundles", str(told["bundle"])


def _named(entry: Entry) -> tuple[str, str]:
    kind, _, name = entry.object.partition("/")
    return kind, name


#: entries that end a key: what was only begun was meant all the same
ENDS: dict[str, Callable[[Entry], tuple[str, str]]] = {
    "drop.erasure-begun": lambda entry: (DROP_KEYS, entry.object),
    "drop.erasure-verified": lambda entry: (DROP_KEYS, entry.object),
    "drop.key-destruction-begun": lambda entry: (DROP_KEYS, entry.object),
    "drop.key-destroyed": lambda entry: (DROP_KEYS, entry.object),
    "epoch.destruction-begun": lambda entry: (EPOCHS, entry.object),
    "epoch.destroyed": lambda entry: (EPOCHS, entry.object),
    "key.destruction-begun": _named,
    "key.destroyed": _named,
    "key.lost": _named,  # another took its place: a copy that turns up must not come back
    "bundle.withdrawn": _bundle,
    "bundle.key-destroyed": _bundle,
}


def dead_keys(entries: Iterable[Entry]) -> set[tuple[str, str]]:
    """Kind and name of every key that these entries end."""
    return {ENDS[entry.action](entry) for entry in entries if entry.action in ENDS}


def survivor(folder: Path) -> Keystore:
    """The store in `folder`. Refused (`mortal-in-use`) when it is that of a home: its keys would die under it."""
    if not folder.is_dir() or (folder.resolve().parent / "sluis.toml").exists():
        raise Refused(
            "mortal-in-use", "That is no folder of keys that outlived its home.", "Stop that home, and move the folder out of it first."
        )
    return Keystore(folder)


def end_dead(store: Keystore, dead: set[tuple[str, str]]) -> int:
    """What the log says is dead is gone from the store when this returns, and what was being made or destroyed there; how many keys."""
    count = 0
    for kind in store.kinds():
        store.clean(kind)
        doomed = [name for name in store.names(kind) if (kind, name) in dead]
        for name in doomed:
            store.destroy(kind, name)
        count += len(doomed)
    return count


def go_on(store: Keystore, target: Keystore) -> int:
    """Copy the keys that go on into the new home's store, each with its age; how many."""
    kept = [(kind, name) for kind in GO_ON for name in store.names(kind)]
    for kind, name in kept:
        made_at = store.created_at(kind, name).timestamp()
        target.create(kind, name, store.read(kind, name))
        os.utime(target.kind_folder(kind) / name, (made_at, made_at))
    return len(kept)


def end_useless(store: Keystore) -> int:
    """The keys that open nothing in the new home are gone when this returns; how many."""
    return _end(store, [kind for kind in store.kinds() if kind not in GO_ON])


def end_rest(store: Keystore) -> int:
    """Nothing is left in the store when this returns; how many keys. Only when the new home has those that go on, durably."""
    return _end(store, store.kinds())


def _end(store: Keystore, kinds: Iterable[str]) -> int:
    count = 0
    for kind in kinds:
        names = store.names(kind)
        for name in names:
            store.destroy(kind, name)
        store.clean(kind)
        count += len(names)
    return count
