"""What the desk knows of each unfinished upload: whose it is, who holds it, how far it may be written."""

import asyncio
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from gateway.intake.desk import Unfinished
from gateway.intake.files import note
from gateway.intake.files.names import twin_key
from gateway.intake.files.refusals import IntakeRefused
from gateway.intake.files.upload import blob_path
from gateway.store.home import Home


@dataclass(eq=False)
class Entry:
    """One upload. `allowed` is up to where its holder may write; `base` what was on disk when it was claimed [bytes]."""

    uid: str
    vendor: str
    folder: str
    name: str
    request: str
    size: int = 0
    changed_at: float = 0.0
    closed: bool = False
    holder: str = ""  # a session, or the desk itself while it looks or destroys; empty: nobody
    becoming: str = ""  # the name it is being given
    allowed: int = 0
    base: int = 0
    free: asyncio.Event = field(default_factory=asyncio.Event)
    spared: asyncio.Event = field(default_factory=asyncio.Event)

    def hold(self, holder: str) -> None:
        self.holder, self.base = holder, self.allowed
        self.free.clear()

    def let_go(self) -> None:
        self.holder = self.becoming = ""
        self.free.set()
        self.spared.set()


class Entries:
    """All of them, by uid and by name. Only ever touched from the event loop."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self._all: dict[str, Entry] = {}
        self._names: dict[tuple[str, str, str], Entry] = {}  # by vendor, folder and twin key

    def __iter__(self) -> Iterator[Entry]:
        return iter(list(self._all.values()))

    def get(self, uid: str) -> Entry | None:
        return self._all.get(uid)

    def add(self, entry: Entry) -> None:
        self._all[entry.uid] = entry
        self._names[entry.vendor, entry.folder, twin_key(entry.name)] = entry

    def remove(self, entry: Entry) -> None:
        self._all.pop(entry.uid, None)
        for name in (entry.name, entry.becoming):
            self._forget(entry, name)

    def _forget(self, entry: Entry, name: str) -> None:
        key = entry.vendor, entry.folder, twin_key(name)
        if self._names.get(key) is entry:
            del self._names[key]

    def at(self, vendor: str, folder: str, name: str) -> Entry | None:
        """The upload of that name. IntakeRefused (`name-twin`) when there is one of almost that name."""
        entry = self._names.get((vendor, folder, twin_key(name)))
        if entry is not None and name not in (entry.name, entry.becoming):
            raise IntakeRefused("name-twin")
        return entry

    def found(self, vendor: str, folder: str, name: str) -> Entry | None:
        """The upload of exactly that name."""
        entry = self._names.get((vendor, folder, twin_key(name)))
        return entry if entry is not None and entry.name == name else None

    def reserve(self, entry: Entry, name: str) -> None:
        """The upload is about to get another name: it has both until it is `named`."""
        entry.becoming = name
        self._names[entry.vendor, entry.folder, twin_key(name)] = entry

    def named(self, entry: Entry, name: str) -> None:
        """This is its only name from now on."""
        for other in {entry.name, entry.becoming} - {name}:
            self._forget(entry, other)
        entry.name, entry.becoming = name, ""
        self._names[entry.vendor, entry.folder, twin_key(name)] = entry

    # ------------------------------------------------------------ telling

    def of(self, vendor: str, folder: str) -> list[Entry]:
        """A vendor's uploads in a folder, by name."""
        return sorted((e for e in self if (e.vendor, e.folder) == (vendor, folder)), key=lambda entry: entry.name)

    def seen(self, entry: Entry) -> Unfinished:
        """As everybody may see it. How far one that is being written has come is read from the disk."""
        size, changed_at = entry.size, entry.changed_at
        if entry.holder:
            folder = self._home.incoming(entry.vendor, entry.folder)
            told = note.read(folder, entry.uid)
            try:
                state = os.stat(blob_path(folder, entry.uid))
            except FileNotFoundError:  # it is on its way out
                pass
            else:
                size, changed_at = told.prefix if told is not None and told.scattered else state.st_size, state.st_mtime
        return Unfinished(entry.uid, entry.folder, entry.name, size, changed_at, entry.closed, bool(entry.holder))

    def unwritten(self) -> int:
        """What is allowed and takes no room on the disk yet, of all uploads together: ahead of what arrived, and in its gaps [bytes]."""
        return sum(max(0, entry.allowed - (self._on_disk(entry) if entry.holder else entry.size)) for entry in self._all.values())

    def _on_disk(self, entry: Entry) -> int:
        folder: Path = self._home.incoming(entry.vendor, entry.folder)
        try:
            return os.stat(blob_path(folder, entry.uid)).st_blocks * 512  # stat(2): of 512 bytes, whatever the file system's are
        except FileNotFoundError:
            return 0
