"""Which checkpoints of the log left this machine: what the log has to extend from then on, whoever holds its signing key.

One file in the home tells the last one, and when which place got its last. Whoever can write in the home can take it away; what lies
with others they can't (docs/operator/checkpoints.md).
"""

import fcntl
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime

from audit.checkpoint import Checkpoint, read_checkpoint
from audit.log import AuditLog
from gateway.store.durable import make_folder, replace_durably
from gateway.store.home import HANDED_OUT, Home
from policies.errors import Unsound

FILE = "last.json"
#: how the files of checkpoints end
SUFFIX = ".checkpoint"


@dataclass
class HandedOut:
    """`checkpoint`: the last signed note that left, empty when none did. `places`: when each place last had today's."""

    checkpoint: str = ""
    places: dict[str, datetime] = field(default_factory=dict)

    @classmethod
    def read(cls, home: Home) -> "HandedOut":
        """Unsound (`handed-out-damaged`) when the file is there and says nothing."""
        try:
            told = json.loads((home.path / HANDED_OUT / FILE).read_bytes())
            places = {str(place): datetime.fromisoformat(at) for place, at in told["places"].items()}
            return cls(str(told["checkpoint"]), places)
        except FileNotFoundError:
            return cls()
        except (ValueError, KeyError, TypeError, AttributeError):
            raise Unsound(
                "handed-out-damaged",
                f"The file {HANDED_OUT}/{FILE} of the home was changed.",
                "Compare the log with what others keep (`sluis audit verify --against`); if it extends that, remove the file.",
            ) from None

    def write(self, home: Home) -> None:
        told = {"checkpoint": self.checkpoint, "places": {place: at.isoformat() for place, at in self.places.items()}}
        replace_durably(home.path / HANDED_OUT / FILE, json.dumps(told, indent=2).encode() + b"\n")


@contextmanager
def handing_out(home: Home) -> Iterator[tuple[HandedOut, bytes, Checkpoint]]:
    """For one process at a time: what left before, and the checkpoint that may leave now, as it lies there and as it reads.

    It is noted as having left before anybody gets it. Raises Unsound, and notes nothing: `audit-forked` when the log does not extend
    what left before, `handed-out-damaged`, and as `read_checkpoint`; NotFound (`audit-empty`).
    """
    make_folder(home.path / HANDED_OUT)
    with (home.path / HANDED_OUT / ".lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        log = public_log(home)
        before = HandedOut.read(home)
        signed = log.checkpoint()
        now = read_checkpoint(signed, log.origin, [home.audit_verifier()])
        if before.checkpoint:  # by now the log may be longer than `now`: it has to extend both
            for older in (read_checkpoint(before.checkpoint.encode(), log.origin, [home.audit_verifier()]), now):
                log.prove_consistency(older)
        before.checkpoint = signed.decode()
        before.write(home)
        yield before, signed, now


def public_log(home: Home) -> AuditLog:
    """The log to be read, by whoever has no key."""
    return AuditLog(home.path / "audit", home.audit_origin)


def name_of(checkpoint: Checkpoint) -> str:
    """What a checkpoint is called in a folder that collects them: sorted by the log's size."""
    return f"{checkpoint.size:012d}{SUFFIX}"
