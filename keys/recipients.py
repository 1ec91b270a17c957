"""The keys that vendors encrypt to: one for a campaign, or for less.

The newest is handed out; the older ones still open what was encrypted to them, until they are destroyed.
"""

import contextlib
from pathlib import Path

from keys.durable import remove_public
from keys.keystore import Keystore
from keys.public_key import read_public, write_public
from keys.sealing import new_identity, public_half
from keys.secret import Secret
from policies.errors import Refused

KIND = "recipients"


class Recipients:
    """Private halves in the store of keys; the newest public half in the file that vendors fetch (`sluis.age.txt`)."""

    def __init__(self, private: Keystore, public_file: Path) -> None:
        self._private = private
        self._public_file = public_file

    def ensure(self, name: str) -> None:
        """A key called `name` exists when this returns, and the public file holds the newest of all keys."""
        if not self._private.exists(KIND, name):
            with contextlib.suppress(Refused):  # another process was first: its key counts
                self._private.create(KIND, name, new_identity()[0])
        self._publish()

    def public(self) -> str:
        """The `age1…` that vendors encrypt to; NotFound (`no-recipient-key`)."""
        return read_public(self._public_file, "no-recipient-key", "There is no key for vendors to encrypt to.")

    def identities(self) -> list[Secret]:
        """The private halves, newest first, for trying in turn."""
        return [self._private.read(KIND, name) for name in self._newest_first()]

    def destroy(self, name: str) -> None:
        """The key is gone when this returns, and the public file holds the newest of the others, or is gone too.

        May be repeated; a repeated call also mends what a crash left. Errors as in `Keystore.destroy`.
        """
        self._private.destroy(KIND, name)
        self._publish()

    def _publish(self) -> None:
        names = self._newest_first()
        if names:
            write_public(self._public_file, public_half(self._private.read(KIND, names[0])))
        else:
            remove_public(self._public_file)

    def _newest_first(self) -> list[str]:
        return sorted(self._private.names(KIND), key=lambda name: (self._private.created_at(KIND, name), name), reverse=True)
