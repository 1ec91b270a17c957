"""The keys that vendors encrypt to. Which of them is handed out, and for how long each counts, is not decided here."""

import base64
import contextlib
import fcntl
import os
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from keys.durable import fsync_folder
from keys.keystore import Keystore
from keys.openpgp import new_openpgp_key
from keys.public_key import read_public, write_public
from keys.sealing import new_identity, public_half
from keys.secret import Secret
from policies.errors import NotFound

KIND = "recipients"
#: the name on the OpenPGP key
OPENPGP_NAME = "Sluis"
#: the public half for OpenPGP, beside the file of that for age
OPENPGP_FILE = "sluis.pgp.asc"


class Recipients:
    """Private halves in the store of keys; one public half in the file that vendors fetch (`sluis.age.txt`).

    With `openpgp` a new key is one for OpenPGP too (`sluis.pgp.asc`). Both lie in one file of the store, so that they live and die as
    one: the age identity on the first line, then the OpenPGP key in base64, then its public half in armour.
    """

    def __init__(self, private: Keystore, public_file: Path, openpgp: bool = False) -> None:
        self._private = private
        self.public_file = public_file
        self._openpgp_file = public_file.with_name(OPENPGP_FILE)
        self.openpgp = openpgp

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
        """A new key, durably; Refused (`key-exists`); for `openpgp` errors as in `new_openpgp_key`. Nobody has it before `publish`."""
        parts = [new_identity()[0].reveal()]
        if self.openpgp:
            private, public = new_openpgp_key(OPENPGP_NAME)
            parts += [base64.b64encode(private.reveal()), public.encode()]
        self._private.create(KIND, name, Secret(b"\n".join(parts)))

    def clean(self) -> None:
        """Destroy what a crash left of making a key; while `alone`. Errors as in `Keystore.destroy`."""
        self._private.clean(KIND)

    def publish(self, name: str) -> None:
        """The file that vendors fetch holds this key's public half when this returns, and that for OpenPGP its own or is not there.
        NotFound (`key-gone`)."""
        identity, _, armoured = self._parts(name)
        write_public(self.public_file, public_half(identity))
        if self.openpgp and armoured:
            write_public(self._openpgp_file, armoured.strip())
        elif self._openpgp_file.exists():
            self._openpgp_file.unlink(missing_ok=True)
            fsync_folder(self._openpgp_file.parent)

    def public(self) -> str:
        """The `age1…` that vendors encrypt to; NotFound (`no-recipient-key`)."""
        return read_public(self.public_file, "no-recipient-key", "There is no key for vendors to encrypt to.")

    def is_published(self, name: str) -> bool:
        """Whether vendors find this key in every file that `publish` writes. NotFound (`key-gone`)."""
        identity, _, armoured = self._parts(name)
        if not self.public_file.is_file() or self.public() != public_half(identity):
            return False
        if self.openpgp and armoured:
            return self._openpgp_file.is_file() and read_public(self._openpgp_file, "", "") == armoured.strip()
        return not self._openpgp_file.exists()

    def lacks_openpgp(self, name: str) -> bool:
        """Whether vendors are to be given a key for OpenPGP and this one is none. NotFound (`key-gone`)."""
        return self.openpgp and self._parts(name)[1] is None

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
        """The private halves for age that there are, by name."""
        found = {}
        for name in self._private.names(KIND):
            with contextlib.suppress(NotFound):  # it was destroyed meanwhile
                found[name] = self._parts(name)[0]
        return found

    def openpgp_keys(self) -> dict[str, Secret]:
        """The private halves for OpenPGP that there are, by name; none when it is off."""
        found = {}
        for name in self._private.names(KIND) if self.openpgp else ():
            with contextlib.suppress(NotFound):
                if (private := self._parts(name)[1]) is not None:
                    found[name] = private
        return found

    def _parts(self, name: str) -> tuple[Secret, Secret | None, str]:
        """Of a key: the age identity; the private half for OpenPGP or None; its public half in armour or nothing."""
        identity, _, rest = self._private.read(KIND, name).reveal().partition(b"\n")
        private, _, armoured = rest.partition(b"\n")
        return Secret(identity), Secret(base64.b64decode(private)) if armoured else None, armoured.decode()

    def destroy(self, name: str) -> None:
        """The key is gone when this returns; publish another one first. May be repeated; errors as in `Keystore.destroy`."""
        self._private.destroy(KIND, name)
