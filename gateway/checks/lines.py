"""Counts the fields of every line of a CSV on its bytes, vectorised: which lines are rows of the table and which are not."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]
Positions = NDArray[np.int64]

_LINE_FEED, _RETURN, _QUOTE = 10, 13, 34


@dataclass(frozen=True)
class Lines:
    """What was found, line by line. A mask of None means: no such line."""

    count: int
    longest: int  # [bytes] without the line feed
    quoted: bool  # whether there is any quotation mark
    good: Mask | None  # None: all of them
    miscounted: Mask | None
    misquoted: Mask | None
    ends: Positions  # of each line feed

    def only(self, data: bytes, keep: Mask) -> bytes:
        """The kept lines of `data`."""
        lengths = np.diff(self.ends, prepend=-1)
        return np.frombuffer(data, np.uint8)[np.repeat(keep, lengths)].tobytes()


def measure(data: bytes, separator: int, columns: int) -> Lines:
    """Measures `data`, whose last byte is a line feed. Empty lines are neither good nor bad.

    A quotation mark opens a field only at its beginning, closes it only at its end, and is doubled within (RFC 4180); a
    field ends with its line whatever the marks say.
    """
    octets = np.frombuffer(data, np.uint8)
    ends = np.flatnonzero(octets == _LINE_FEED)
    lengths = np.diff(ends, prepend=-1) - 1
    longest = int(lengths.max())
    quoted = b'"' in data
    if not quoted and _is_regular(data, len(ends), separator, columns):
        return Lines(len(ends), longest, False, None, None, None, ends)
    marks = np.flatnonzero(octets == separator)
    misquoted: Mask | None = None
    if quoted:
        quotes = np.flatnonzero(octets == _QUOTE)
        marks, misquoted = _unquoted(octets, ends, marks, quotes, separator)
    counts = np.diff(np.searchsorted(marks, ends), prepend=0) + 1
    # a line that holds nothing, or nothing but its carriage return
    empty = (lengths == 0) | ((lengths == 1) & (octets[np.maximum(ends - 1, 0)] == _RETURN))
    miscounted = (counts != columns) & ~empty
    if misquoted is not None:
        miscounted &= ~misquoted
    bad = miscounted | empty if misquoted is None else miscounted | empty | misquoted
    return Lines(
        count=len(ends),
        longest=longest,
        quoted=quoted,
        good=~bad if bad.any() else None,
        miscounted=miscounted if miscounted.any() else None,
        misquoted=misquoted if misquoted is not None and misquoted.any() else None,
        ends=ends,
    )


def _is_regular(data: bytes, lines: int, separator: int, columns: int) -> bool:
    """Whether each line has exactly `columns` fields: the quick way, for files without quotation marks."""
    row = bytes([separator] * (columns - 1) + [_LINE_FEED])
    return columns > 1 and data.translate(None, bytes(set(range(256)) - set(row))) == row * lines


def _unquoted(octets: NDArray[np.uint8], ends: Positions, marks: Positions, quotes: Positions, separator: int) -> tuple[Positions, Mask]:
    """The separators outside quotation marks, and the lines whose quotation marks don't fit."""
    before_line = np.concatenate(([0], np.searchsorted(quotes, ends)))  # how many marks precede each line
    in_line = np.diff(before_line)
    misquoted = in_line % 2 == 1
    line_of_quote = np.searchsorted(ends, quotes)
    opens = (np.arange(len(quotes)) - before_line[line_of_quote]) % 2 == 0
    previous = np.where(quotes > 0, octets[np.maximum(quotes - 1, 0)], _LINE_FEED)
    following = octets[quotes + 1]  # the last byte is a line feed: there is always one
    edge_before = (previous == separator) | (previous == _LINE_FEED) | (previous == _QUOTE)
    line_end = (following == _LINE_FEED) | ((following == _RETURN) & (octets[np.minimum(quotes + 2, len(octets) - 1)] == _LINE_FEED))
    edge_after = (following == separator) | (following == _QUOTE) | line_end
    wrong = np.where(opens, ~edge_before, ~edge_after)
    misquoted[line_of_quote[wrong]] = True
    line_of_mark = np.searchsorted(ends, marks)
    inside = (np.searchsorted(quotes, marks) - before_line[line_of_mark]) % 2 == 1
    return marks[~inside], misquoted
