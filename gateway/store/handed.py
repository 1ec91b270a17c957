"""Keys that the service manager hands to a role, so that the folder they come from can stay closed to it.

systemd's LoadCredential= puts a copy of a key into a folder that only this service can read, in memory, and names that folder in
CREDENTIALS_DIRECTORY. `ssh.host` there is the key (`ssh`, `host`) of the home, and so is `ssh_host`, as systemd calls it when it was told
to hand over the whole folder of a kind. Without systemd nothing is handed over, and the home's own folder answers.
"""

import os
from collections.abc import Mapping
from pathlib import Path

from keys.keystore import NAME, Keystore
from keys.secret import Secret
from policies.errors import NotFound

VARIABLE = "CREDENTIALS_DIRECTORY"
#: between kind and name: of a key that was named one by one, and of a folder's
SIGNS = (".", "_")


class HandedKeystore(Keystore):
    """A key store that answers first from what the service manager handed over."""

    def __init__(self, folder: Path, environment: Mapping[str, str] = os.environ) -> None:
        super().__init__(folder)
        given = environment.get(VARIABLE)
        self.handed = Path(given) if given else None

    def read(self, kind: str, name: str) -> Secret:
        """The key as it was handed over, else as in `Keystore.read`.

        NotFound: `key-gone` when it is in neither, `key-not-handed` when the folder is closed to this role.
        """
        copy = self._copy(kind, name)
        if copy is not None:
            return Secret(copy.read_bytes())
        try:
            return super().read(kind, name)
        except PermissionError:
            raise NotFound(
                "key-not-handed", f"The key {kind}/{name} is not this role's.", "Its service unit names the keys it gets (LoadCredential=)."
            ) from None

    def exists(self, kind: str, name: str) -> bool:
        """Whether `read` would find it."""
        try:
            return self._copy(kind, name) is not None or super().exists(kind, name)
        except PermissionError:
            return False

    def names(self, kind: str) -> list[str]:
        """The names of a kind's keys that `read` would find, sorted."""
        try:
            found = set(super().names(kind))
        except PermissionError:
            found = set()
        entries = os.listdir(self.handed) if self.handed is not None and self.handed.is_dir() else []
        given = (entry.removeprefix(f"{kind}{sign}") for entry in entries for sign in SIGNS if entry.startswith(f"{kind}{sign}"))
        return sorted(found.union(name for name in given if NAME.fullmatch(name)))

    def _copy(self, kind: str, name: str) -> Path | None:
        self._path(kind, name)  # refuses a name that could lead elsewhere
        copies = [self.handed / f"{kind}{sign}{name}" for sign in SIGNS] if self.handed else []
        return next((copy for copy in copies if copy.is_file()), None)
