"""What the processes of the intake share, as each of them sees it: one desk that decides, whoever asks.

The endpoint runs in several processes, and a vendor's sessions end up in any of them. Who may come in, who writes which upload, how many
bytes are still allowed: all that is decided in one place, so that limits are exact and two connections never write one file. A
process that ends, however it ends, gives back at once what it held.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from gateway.intake.files.manifest import Manifest


@dataclass(frozen=True)
class Unfinished:
    """An upload that the ledger does not know of yet, as everybody may see it."""

    uid: str
    folder: str
    name: str
    size: int  # from where it can be resumed [bytes]
    changed_at: float  # when a byte last arrived [s since 1970]
    closed: bool  # closed by the client under an unfinished name: ready to be renamed
    held: bool  # a session writes it now
    delivered: bool = False  # durable as a drop; the ledger is about to be told


@dataclass(frozen=True)
class Claim:
    """One session's right to write one upload; nobody else has it until it is given back."""

    uid: str
    name: str
    begin: bool  # nothing of it is there yet
    allowed: int  # up to this offset may be written without asking again [bytes]
    request: str  # names this upload in log lines and in the receipt


@dataclass(frozen=True)
class Room:
    """What one vendor may store in all, and what of it is left; never more than the disk has [bytes]."""

    total: int
    free: int
    files: int
    files_free: int


class Ask(StrEnum):
    """What the desk asks of a session that holds an upload."""

    YIELD = "yield"  # somebody else opens it: stop writing and `keep` it
    SPARE = "spare"  # somebody else needs the bytes: give back with `spare` what is allowed and not written


#: how a session hears of it; must not block, and answers by calling the desk
Asked = Callable[[Ask, str], None]


class Desk(Protocol):
    """`session` names a connection; every method may raise IntakeRefused.

    An upload that is claimed counts as an open handle until it is kept, delivered or given up; other handles are told by `handle`.
    """

    async def enter(self, session: str, vendor: str, address: str) -> None:
        """A login succeeded. Refused: `too-many-sessions`, `too-many-sessions-in-all`."""

    async def leave(self, session: str) -> None:
        """The connection is gone. What it still holds is given back by `keep`, which may come after this."""

    async def failed(self, session: str, address: str, account: str, reason: str) -> None:
        """Something that a defender counts: a refused key, an unknown account, a protocol error."""

    def attend(self, session: str, asked: Asked) -> None:
        """From now on `asked(what, uid)` is called, on the event loop, when the desk wants something of the session."""

    async def handle(self, session: str, change: int) -> None:
        """A handle is opened (+1) or closed (-1). Refused: `too-many-handles`."""

    async def claim(self, session: str, folder: str, name: str, *, create: bool, anew: bool, only_new: bool) -> Claim:
        """The right to write the upload of that name. Who held it before has given it back when this returns."""

    async def extend(self, session: str, uid: str, stop: int) -> int:
        """Up to where may be written [bytes], at least `stop`; waits when the vendor is faster than it may be."""

    async def spare(self, session: str, uid: str, allowed: int) -> None:
        """The session writes no further than `allowed` [bytes] without asking again."""

    async def keep(self, session: str, uid: str, name: str, size: int, extent: int, closed: bool) -> None:
        """The upload stays for whoever resumes it, at `size`, with bytes up to `extent` on disk [bytes]; its note is exact."""

    async def rename(self, session: str, folder: str, old: str, new: str, *, replace: bool) -> Claim:
        """A closed upload claimed by the session under its new name: it changes the note and keeps it, or delivers."""

    async def delivered(self, session: str, uid: str, manifest: Manifest) -> None:
        """The upload is durable as a drop: it is in the ledger soon, or at the next start. Its name is taken from now on."""

    async def given_up(self, session: str, uid: str) -> None:
        """The upload was destroyed."""

    async def look(self, vendor: str, folder: str) -> list[Unfinished]:
        """What of a vendor in a folder the ledger does not have, by name."""

    async def find(self, vendor: str, folder: str, name: str) -> Unfinished | None:
        """One of them, or what was just delivered. None: the ledger may know a delivery of that name. Refused: `no-such-file`, when
        nobody has to be asked."""

    async def room(self, vendor: str) -> Room:
        """What a vendor may still store now."""
