"""What an end of keys and bytes came to. What failed is tried again at the next look; it is never counted as done."""

from collections.abc import Iterator
from dataclasses import dataclass, field


@dataclass
class Ended:
    """By name: the drop's id, or the day of an epoch key."""

    #: nothing of it is left, and the log was told or will be with the ledger's next entries
    gone: list[str] = field(default_factory=list)
    #: the error's code: it may still be there
    failed: dict[str, str] = field(default_factory=dict)
    #: the error's code: it is gone, but the audit log, or the vendor by its receipt, could not be told yet
    untold: dict[str, str] = field(default_factory=dict)

    def __iadd__(self, other: "Ended") -> "Ended":
        self.gone += other.gone
        self.failed |= other.failed
        self.untold |= other.untold
        return self

    def complaints(self) -> Iterator[str]:
        """A sentence for each kind of failure, with numbers and codes."""
        if self.failed:
            yield f"{len(self.failed)} erasures failed and are tried again ({_codes(self.failed)})."
        if self.untold:
            yield f"{len(self.untold)} ends are not told yet to the audit log or the vendor ({_codes(self.untold)})."


def _codes(failures: dict[str, str]) -> str:
    return ", ".join(sorted(set(failures.values())))
