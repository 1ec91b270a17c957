"""A table that counts whole or not at all: a register of objections, a withdrawal of deliveries."""

from collections.abc import Callable
from dataclasses import dataclass

from gateway.checks.findings import Collector, DropRefused, Finding, finding
from gateway.checks.table import RawBatch, Table
from policies.rules import Rules


@dataclass(frozen=True)
class Reading:
    """How far a table was read. `truncated` says why it was refused: its stream ends too early, and it can be sent anew."""

    rows: int
    refused_rows: int
    truncated: bool

    def counts(self, refused: bool) -> dict[str, int]:
        """The receipt's counts of rows; of a refused table none is accepted."""
        return {"rows": self.rows, "accepted_rows": 0 if refused else self.rows - self.refused_rows, "refused_rows": self.refused_rows}


def read_whole(table: Table, rules: Rules, told: Collector, take: Callable[[RawBatch], int], most: int, too_many: Finding) -> Reading:
    """Has `take` read each batch (its answer: how many rows of it are refused), and tells `told` what refuses the table: `too_many` once it
    has more than `most` rows, none of them, more refused ones than the rules bear, or what the stream raises. DropRefused never escapes."""
    rows = refused = 0
    truncated = False
    try:
        for batch in table.batches():
            rows += batch.rows
            if rows > most:
                raise DropRefused(too_many)
            refused += take(batch)
    except DropRefused as stop:
        told.refuse(*stop.findings)
        truncated = any(item.rule == "truncated" for item in stop.findings)
    if not rows and not told.refused:
        told.refuse(finding("no-rows"))
    if refused > rows * rules.refused_rows_share:
        told.refuse(finding("too-many-refused", count=refused, limit=round(rules.refused_rows_share * 1000)))
    return Reading(rows, refused, truncated)
