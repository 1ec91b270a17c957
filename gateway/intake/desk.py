"""What the processes of the intake share, as each of them sees it: one desk that decides, whoever asks.

The endpoint runs in several processes, and a vendor's sessions end up in any of them. Who may come in, who writes which upload, how many
bytes are still allowed: all that is decided in one place, so that limits are exact and two connections never write one file. A
process that ends, however it ends, gives back at once what it held.
"""

from dataclasses import dataclass
from typing import Protocol

from gateway.intake.files.manifest import Manifest


@dataclass(frozen=True)
class Unfinished:
    """An upload that was not delivered yet, as everybody may see it."""

    uid: str
    folder: str
    name: str
    size: int  # from where it can be resumed [bytes]
    changed_at: float  # when a byte last arrived [s since 1970]
    closed: bool  # closed by the client under an unfinished name: ready to be renamed
    held: bool  # a session writes it now


@dataclass(frozen=True)
class Claim:
    """One session's right to write one upload; nobody else has it until it is given back."""

    uid: str
    name: str
    begin: bool  # nothing of it is there yet
    allowed: int  # up to this offset may be written without asking again [bytes]
    request: str  # names this upload in log lines and in the receipt


class Desk(Protocol):
    """`session` names a connection; every method may raise IntakeRefused."""

    async def enter(self, session: str, vendor: str, address: str) -> None:
        """A login succeeded. Refused: `too-many-sessions`, `too-many-sessions-in-all`."""

    async def leave(self, session: str) -> None:
        """The connection is gone; whatever it still held is given back."""

    async def failed(self, session: str, address: str, account: str, reason: str) -> None:
        """Something that a defender counts: a refused key, an unknown account, a protocol error."""

    async def handle(self, session: str, change: int) -> None:
        """A handle is opened (+1) or closed (-1). Refused: `too-many-handles`."""

    async def claim(self, session: str, folder: str, name: str, *, create: bool, anew: bool, only_new: bool) -> Claim:
        """The right to write the upload of that name. Who held it before has given it back when this returns."""

    async def extend(self, session: str, uid: str, stop: int) -> int:
        """Up to where may be written [bytes], at least `stop`; waits when the vendor is faster than it may be."""

    async def keep(self, session: str, uid: str, size: int, closed: bool) -> None:
        """The upload stays for whoever resumes it; its note on disk is exact."""

    async def rename(self, session: str, folder: str, old: str, new: str, *, replace: bool) -> Claim:
        """A closed upload under another name, claimed by the session: it renames the note, or delivers."""

    async def delivered(self, session: str, uid: str, manifest: Manifest) -> None:
        """The upload is durable as a drop: it is in the ledger soon, or at the next start. Its name is taken from now on."""

    async def given_up(self, session: str, uid: str) -> None:
        """The upload was destroyed."""

    async def look(self, vendor: str, folder: str) -> list[Unfinished]:
        """A vendor's unfinished uploads in a folder, by name."""

    async def find(self, vendor: str, folder: str, name: str) -> Unfinished | None:
        """One of them."""
