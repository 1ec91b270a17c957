"""Checkpoints (C2SP tlog-checkpoint): which log, how large, and the root of its tree, in three signed lines."""

import base64
import re
from collections.abc import Sequence
from dataclasses import dataclass

from audit import merkle, note
from policies.errors import Unsound

_SIZE = re.compile(r"0|[1-9][0-9]{0,18}")
_LINES = 3


@dataclass(frozen=True, slots=True)
class Checkpoint:
    origin: str
    size: int
    root: bytes
    extensions: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        return "\n".join([self.origin, str(self.size), base64.b64encode(self.root).decode(), *self.extensions, ""])

    @classmethod
    def parse(cls, text: str) -> "Checkpoint":
        """Unsound (`checkpoint-malformed`) when the text is that of another note."""
        lines = text.split("\n")
        if len(lines) > _LINES and lines[-1] == "" and all(lines[:-1]) and _SIZE.fullmatch(lines[1]):
            root = note.strict_base64(lines[2])
            if root is not None and len(root) == merkle.HASH:
                return cls(lines[0], int(lines[1]), root, tuple(lines[_LINES:-1]))
        raise Unsound("checkpoint-malformed", "This is not a checkpoint of a log.", "It was changed, or is another note.")


def read_checkpoint(data: bytes, origin: str, verifiers: Sequence[note.Verifier]) -> Checkpoint:
    """The checkpoint of the log `origin` out of a note signed by one of `verifiers`.

    Raises Unsound: `note-malformed`, `note-forged`, `note-unsigned`, `checkpoint-malformed`, `checkpoint-foreign`.
    """
    return _of(origin, Checkpoint.parse(note.read(data, verifiers)))


def peek(data: bytes, origin: str) -> Checkpoint:
    """As `read_checkpoint`, without asking who signed it: for those who read the log and don't judge it."""
    return _of(origin, Checkpoint.parse(note.split(data)[0]))


def _of(origin: str, found: Checkpoint) -> Checkpoint:
    if found.origin != origin:
        raise Unsound("checkpoint-foreign", "This checkpoint is of another log.", f"Expected the log {origin}.")
    return found
