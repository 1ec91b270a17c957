"""A part without rows that are named by their numbers, counted from 0.

With these the audit log can tell what went out of a part and tell nothing of it: an older copy of the part loses the very same rows.
"""

from collections.abc import Collection, Sequence
from pathlib import Path

import numpy as np
import polars as pl

from gateway.linker.results import scan, write_part
from policies.errors import Unsound


def remove_rows(path: Path, removals: Sequence[Collection[int]]) -> tuple[int, str]:
    """Rewrite the part `path` without these rows; each removal counts them in what the one before it left. Answers how many rows are left,
    and the file's digest. Unsound (`results-part`) when the part is gone, damaged, or has no such rows."""
    try:
        total = int(scan([path]).select(pl.len()).collect().item())
        left = np.arange(total, dtype=np.uint32)
        for rows in removals:
            left = np.delete(left, sorted(rows))
        gone = np.setdiff1d(np.arange(total, dtype=np.uint32), left, assume_unique=True)
        kept = scan([path]).with_row_index("row").filter(~pl.col("row").is_in(gone.tolist())).drop("row")
        facts = write_part(kept, path)
    except (pl.exceptions.PolarsError, FileNotFoundError, IndexError):
        raise Unsound("results-part", "A part of the results is not the one that rows went out of.", "Use another backup.") from None
    return facts.rows, facts.sha256
