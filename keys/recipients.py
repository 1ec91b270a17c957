"""The keys that vendors encrypt to. Which of them is handed out, and for how long each counts, is not decided here."""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from keys.keystore import Keystore
from keys.public_key import read_public, write_public
from keys.sealing import new_identity, public_half
from keys.secret import Secret
from policies.errors import NotFound

KIND = "recipients"


class Recipients:
    """Private halves in the store of keys; one public half in the file that vendors fetch (`sluis.age.txt`)."""

    def __init__(self, private: Keystore, public_file: Path) -> None:
        self._private = private
        self._public_file = public_file

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Nobody else on this machine makes, hands out or destroys one of these keys while the block lasts. Not to be nested."""
        folder = os.open(self._private.kind_folder(KIND), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(folder, fcntl.LOCK_EX)
            yield
        finally:
            os.close(folder)

    def make(self, name: str) -> None:
        """A new key, durably; Refused (`key-exists`). Nobody is given it before `publish`."""
        self._private.create(KIND, name, new_identity()[0])

    def clean(self) -> None:
        """Destroy what a crash left of making a key; while `alone`. Errors as in `Keystore.destroy`."""
        self._private.clean(KIND)

    def publish(self, name: str) -> None:
        """The file that vendors fetch holds this key's public half when this returns. NotFound (`key-gone`)."""
        write_public(self._public_file, public_half(self._private.read(KIND, name)))

    def public(self) -> str:
        """The `age1…` that vendors encrypt to; NotFound (`no-recipient-key`)."""
        return read_public(self._public_file, "no-recipient-key", "There is no key for vendors to encrypt to.")

    def names(self) -> list[str]:
        """The keys there are, oldest first."""
        made = {name: at for name in self._private.names(KIND) if (at := self.made_at(name))}
        return sorted(made, key=lambda name: (made[name], name))

    def made_at(self, name: str) -> datetime | None:
        """When a key was made, in UTC; None when it is gone."""
        with contextlib.suppress(NotFound):
            return self._private.created_at(KIND, name)
        return None

    def identities(self) -> dict[str, Secret]:
        """The private halves there are, by name."""
        found = {}
        for name in self._private.names(KIND):
            with contextlib.suppress(NotFound):  # it was destroyed meanwhile
                found[name] = self._private.read(KIND, name)
        return found

    def destroy(self, name: str) -> None:
        """The key is gone when this returns; publish another one first. May be repeated; errors as in `Keystore.destroy`."""
        self._private.destroy(KIND, name)
