"""Where a checkpoint is brought to: a folder or file of this machine, or of a server by SFTP.

Nothing is ever half there (a file is written beside its name and renamed), and nothing is overwritten but by what extends it.
"""

import getpass
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from stat import S_ISDIR
from typing import Any, Protocol
from urllib.parse import unquote, urlsplit

import paramiko  # type: ignore[import-untyped,unused-ignore]

from gateway.store.checkpoints import SUFFIX
from gateway.store.durable import replace_durably, write_durably
from gateway.vendor.connection import BROKEN, Access, log_in
from gateway.vendor.target import Target
from policies.errors import NotFound, Refused, WrongUsage

#: SSH's own port
PORT = 22
#: how long a server may be silent [s]
PATIENCE_SECONDS = 30
#: no checkpoint is longer [bytes]
LONGEST = 1 << 20

#: given what stands under the name already, raises when the new checkpoint may not take its place
MayReplace = Callable[[bytes], None]


class Place(Protocol):
    """Where a checkpoint is brought to; as text as it was given."""

    def put(self, name: str, data: bytes, may_replace: MayReplace) -> str:
        """Bring `data` there, in a folder under `name`; answers where it is. What is there already, with the same bytes, stays.

        NotFound: `no-such-folder`. Refused: `place-unwritable`, `connection-lost` and as in `log_in`. What `may_replace` raises.
        """


def place_of(text: str, access: Access, any_name: bool) -> Place:
    """The place that a text names; WrongUsage (`bad-place`) when it names none. `any_name`: a local file may be called anything."""
    if "://" in text:
        return Server.parse(text, access)
    return Local(Path(text), any_name)


def _inside(is_folder: bool, path: str, name: str, any_name: bool = False) -> str:
    if is_folder:
        return f"{path.rstrip('/')}/{name}"
    if any_name or path.endswith(SUFFIX):
        return path
    raise NotFound("no-such-folder", f"There is no folder {path}.", f"Make it; or name a file: that ends in {SUFFIX}.")


@dataclass(frozen=True)
class Local:
    path: Path
    any_name: bool = False

    def __str__(self) -> str:
        return str(self.path)

    def put(self, name: str, data: bytes, may_replace: MayReplace) -> str:
        path = Path(_inside(self.path.is_dir(), str(self.path), name, self.any_name))
        try:
            if not path.exists():
                write_durably(path, data)
            elif (there := path.read_bytes()) != data:
                may_replace(there)
                replace_durably(path, data)
        except OSError as error:
            raise Refused("place-unwritable", f"{path} can't be written: {error.strerror}.", "Nothing was changed there.") from None
        return str(path)


@dataclass(frozen=True)
class Server:
    """A folder or file on an SFTP server."""

    target: Target
    path: str
    access: Access

    @classmethod
    def parse(cls, text: str, access: Access) -> "Server":
        """`sftp://[NAME@]HOST[:PORT]/PATH`; a path is the server's own from its root on, or with /~/ from where it lets one in."""
        wrong = WrongUsage("bad-place", "That is not the address of a folder on a server.", "Write it as sftp://NAME@HOST:PORT/PATH.")
        try:
            parts = urlsplit(text)
            port = parts.port or PORT
        except ValueError:
            raise wrong from None
        if parts.scheme != "sftp" or not parts.hostname or not parts.path or parts.query or parts.fragment or parts.password is not None:
            raise wrong
        return cls(Target(unquote(parts.username or getpass.getuser()), parts.hostname, port), unquote(parts.path), access)

    def __str__(self) -> str:
        return f"{self.target}{self.path}"

    def put(self, name: str, data: bytes, may_replace: MayReplace) -> str:
        with log_in(self.target, self.access) as transport, self._telling(transport):
            sftp = paramiko.SFTPClient.from_transport(transport)
            sftp.get_channel().settimeout(PATIENCE_SECONDS)
            given = "." if self.path.rstrip("/") == "/~" else self.path.removeprefix("/~/")
            path = _inside(_is_folder(sftp, given), given, name)
            there = _content(sftp, path)
            if there is not None and there != data:
                may_replace(there)
            if there != data:
                _write(sftp, path, data, replace=there is not None)
        return f"{self.target}/{path.lstrip('/')}" if path.startswith("/") else f"{self.target}/~/{path}"

    @contextmanager
    def _telling(self, transport: Any) -> Iterator[None]:
        try:
            yield
        except (*BROKEN, OSError) as error:  # paramiko raises a bare OSError also for a line that went dead
            if isinstance(error, BROKEN) or not transport.is_active():
                raise Refused("connection-lost", f"The connection with {self.target.host} broke off.", "Try again later.") from None
            said = error.strerror or str(error)
            raise Refused("place-unwritable", f"{self} can't be written: {said}.", "Nothing was changed there.") from None


def _is_folder(sftp: Any, path: str) -> bool:
    try:
        return S_ISDIR(sftp.stat(path).st_mode or 0)
    except FileNotFoundError:
        return False


def _content(sftp: Any, path: str) -> bytes | None:
    try:
        with sftp.open(path, "rb") as file:
            data: bytes = file.read(LONGEST)
            return data
    except FileNotFoundError:
        return None


def _write(sftp: Any, path: str, data: bytes, replace: bool) -> None:
    """Under another name first; the plain rename of SFTP version 3 fails when somebody was quicker (draft-ietf-secsh-filexfer-02, 6.5)."""
    folder, _, name = path.rpartition("/")
    beside = f"{folder}/.{name}.{secrets.token_hex(4)}.tmp" if folder or path.startswith("/") else f".{name}.{secrets.token_hex(4)}.tmp"
    try:
        with sftp.open(beside, "wxb") as file:
            file.write(data)
        (sftp.posix_rename if replace else sftp.rename)(beside, path)
    except OSError:
        with suppress(OSError, *BROKEN):
            sftp.remove(beside)
        raise
