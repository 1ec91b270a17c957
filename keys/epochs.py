"""A key pair for each day: the gate that receives seals drop keys to the public half, and only the worker has the other.

Destroying a day's private half makes every drop of that day unreadable, also in a backup of all the rest.
"""

import contextlib
import re
from datetime import date
from pathlib import Path

from keys.durable import remove_public
from keys.keystore import Keystore
from keys.public_key import read_public, write_public
from keys.sealing import new_identity, public_half
from keys.secret import Secret
from policies.errors import Refused

KIND = "epochs"
PUBLIC_NAME = re.compile(r"(\d{4}-\d{2}-\d{2})\.age\.txt")
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")


class Epochs:
    """Private halves in the store of keys that must die, under the ISO day; public halves as `<day>.age.txt` in a folder."""

    def __init__(self, private: Keystore, public_folder: Path) -> None:
        self._private = private
        self._folder = public_folder

    def ensure(self, day: date) -> None:
        """A key pair for `day` exists when this returns, and the public file is the private key's.

        Two processes may call this at once: one pair wins. A day that was destroyed gets a new pair, so ask for days that may
        still receive and for no others.
        """
        name = day.isoformat()
        if not self._private.exists(KIND, name):
            with contextlib.suppress(Refused):  # another process was first: its pair counts
                self._private.create(KIND, name, new_identity()[0])
        write_public(self._public_file(day), public_half(self._private.read(KIND, name)))

    def public(self, day: date) -> str:
        """The `age1…` to seal that day's drop keys to; NotFound (`epoch-gone`)."""
        return read_public(self._public_file(day), "epoch-gone", f"There is no key for {day.isoformat()}: never made, or destroyed.")

    def identity(self, day: date) -> Secret:
        """The private half; NotFound (`key-gone`) once it was destroyed."""
        return self._private.read(KIND, day.isoformat())

    def destroy(self, day: date) -> None:
        """Both halves are gone when this returns, the private one first; may be repeated. Errors as in `Keystore.destroy`."""
        self.destroy_private(day)
        self.remove_public(day)

    def destroy_private(self, day: date) -> None:
        """What was sealed to this day can't be opened any more; may be repeated. The public half stays, and with it the day's place in
        `days`, until whoever calls has written down that it is done: a crash before that is made up for. Errors as in `destroy`."""
        self._private.destroy(KIND, day.isoformat())

    def remove_public(self, day: date) -> None:
        """The day is forgotten; fine when it was."""
        remove_public(self._public_file(day))

    def days(self) -> list[date]:
        """The days of which either half is still here, oldest first: after a crash between the halves the day is still listed. Files of
        other names are nobody's key."""
        return sorted({*self.public_days(), *(day for name in self._private.names(KIND) if (day := _day(name)) is not None)})

    def public_days(self) -> list[date]:
        """The days of which the public half is still here, oldest first: all that who may not see the private ones can tell."""
        public = self._folder.iterdir() if self._folder.is_dir() else ()
        names = [match[1] for path in public if (match := PUBLIC_NAME.fullmatch(path.name))]
        return sorted(day for name in names if (day := _day(name)) is not None)

    def _public_file(self, day: date) -> Path:
        return self._folder / f"{day.isoformat()}.age.txt"


def _day(name: str) -> date | None:
    try:
        return date.fromisoformat(name) if _DAY.fullmatch(name) else None
    except ValueError:
        return None
