"""Rows of a part of the results store as the audit log keeps them: which went, and nothing of what stood in them.

A part is sorted by person, so a person's rows follow each other. `1a+6` are six rows from the 27th on; hexadecimal, so that no number is
shaped like a pupil's.
"""

from collections.abc import Iterable, Iterator

#: [characters] of one audit entry, which is bounded
LONGEST = 48_000


def texts_of(rows: Iterable[int]) -> list[str]:
    """The text of these rows (counted from 0, ascending, each once), in as many pieces as the log needs."""
    ranges: list[list[int]] = []
    for row in rows:
        if ranges and row == sum(ranges[-1]):
            ranges[-1][1] += 1
        else:
            ranges.append([row, 1])
    pieces = [""]
    for start, count in ranges:
        text = f"{start:x}+{count:x}"
        if len(pieces[-1]) + len(text) >= LONGEST:
            pieces.append("")
        pieces[-1] += f",{text}" if pieces[-1] else text
    return pieces


def rows_of(text: str) -> Iterator[int]:
    """The rows that `text` names, ascending. ValueError when it is no such text."""
    for piece in filter(None, text.split(",")):
        start, count = piece.split("+")
        yield from range(int(start, 16), int(start, 16) + int(count, 16))
