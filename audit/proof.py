"""Proofs of inclusion as text (C2SP tlog-proof): one file that shows offline that an entry is in a signed log."""

import base64
import re
from collections.abc import Sequence
from dataclasses import dataclass

from audit import merkle, note
from audit.checkpoint import Checkpoint, read_checkpoint
from policies.errors import Unsound

HEADER = "c2sp.org/tlog-proof@v1"

_INDEX = re.compile(r"index (0|[1-9][0-9]{0,18})")

#: A tree of 2**63 leaves needs no more.
_LONGEST = 63


@dataclass(frozen=True, slots=True)
class Inclusion:
    index: int
    path: tuple[bytes, ...]  # from the leaf's sibling up
    checkpoint: bytes  # the signed note

    @property
    def text(self) -> str:
        """The `.tlog-proof` file."""
        hashes = [base64.b64encode(node).decode() for node in self.path]
        return "\n".join([HEADER, f"index {self.index}", *hashes, "", self.checkpoint.decode()])

    @classmethod
    def parse(cls, text: str) -> "Inclusion":
        """Unsound (`proof-malformed`) when the text is no such file. The optional line `extra` is skipped: nobody vouches for it."""
        head, blank, checkpoint = text.partition("\n\n")
        first, *lines = head.split("\n")
        if lines and lines[0].startswith("extra "):
            lines = lines[1:]
        index = _INDEX.fullmatch(lines[0]) if lines else None
        path = [note.strict_base64(line) for line in lines[1:]]
        nodes = tuple(node for node in path if node is not None and len(node) == merkle.HASH)
        if first != HEADER or not blank or index is None or len(nodes) != len(path) or len(path) > _LONGEST:
            raise Unsound("proof-malformed", "This is not a proof of inclusion.", "It was changed, or cut short.")
        return cls(int(index[1]), nodes, checkpoint.encode())

    def verify(self, entry: bytes, origin: str, verifiers: Sequence[note.Verifier]) -> Checkpoint:
        """The signed checkpoint whose tree has `entry` at this index.

        Raises Unsound as `read_checkpoint`, and `not-included` when the tree has not.
        """
        signed = read_checkpoint(self.checkpoint, origin, verifiers)
        if not merkle.includes(self.index, signed.size, merkle.leaf_hash(entry), self.path, signed.root):
            raise Unsound("not-included", "The proof does not show that this entry is in the log.", "Entry or proof was changed.")
        return signed


@dataclass(frozen=True, slots=True)
class Consistency:
    """That the tree of the newer checkpoint only appended to that of the older one."""

    older: Checkpoint
    newer: Checkpoint
    path: tuple[bytes, ...]

    @property
    def holds(self) -> bool:
        return self.older.origin == self.newer.origin and merkle.extends(
            self.older.size, self.newer.size, self.older.root, self.newer.root, self.path
        )
