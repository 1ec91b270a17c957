"""In how many ways a regular expression may try to fit a text. Python's `re` tries them one after the other and lets nobody else work
meanwhile, and the texts are a vendor's: an administrator's slip, `(a+)+b`, would stop a worker with one test code.
"""

from math import prod
from re import _constants as kinds  # type: ignore[attr-defined]
from re import _parser as parser  # type: ignore[attr-defined]
from typing import Any

#: [characters] of the texts that patterns are held against: test codes, names of columns and of elements
LONGEST = 256
#: more would take seconds for one text
MOST_WAYS = 1_000_000


def ways(pattern: str) -> int:
    """At most so many ways, MOST_WAYS + 1 for all that are more; what `re.compile` raises for what is no pattern."""
    return _of(parser.parse(pattern))


def _of(parts: Any) -> int:
    """Of parts one after the other."""
    return min(prod(_of_one(kind, what) for kind, what in parts), MOST_WAYS + 1)


def _of_one(kind: Any, what: Any) -> int:
    if kind in (kinds.MAX_REPEAT, kinds.MIN_REPEAT, kinds.POSSESSIVE_REPEAT):
        low, high = (min(int(limit), LONGEST) for limit in what[:2])
        return int((high - low + 1) * _of(what[2]) ** high)
    if kind is kinds.BRANCH:
        return sum(_of(one) for one in what[1])
    if kind is kinds.SUBPATTERN:
        return _of(what[-1])
    if kind is kinds.ATOMIC_GROUP:
        return _of(what)
    if kind in (kinds.ASSERT, kinds.ASSERT_NOT):
        return _of(what[1])
    if kind is kinds.GROUPREF_EXISTS:
        return sum(_of(one or ()) for one in what[1:])
    return 1
