"""One value, one sequence of bytes: the subset of RFC 8785 (JSON Canonicalization Scheme) that needs no floating point.

Allowed are objects, arrays, strings, whole numbers up to 2**53 - 1 in size, true, false and null. Fractions are refused: what
is logged or signed here counts and names things, it measures nothing.
"""

import json
from collections.abc import Mapping, Sequence
from typing import TypeAlias

from policies.errors import Refused, Unsound

Json: TypeAlias = "bool | int | str | Sequence[Json] | Mapping[str, Json] | None"

#: RFC 8785 section 3.2.2.3: beyond this a number is not the same in every implementation.
LARGEST = 2**53 - 1

#: Deeper than anything written here; a stranger's document must not exhaust the stack.
DEPTH = 32


def canonical(value: Json) -> bytes:
    """The canonical JSON text of `value` as UTF-8; Refused (`not-canonical`) for what has no such text."""
    try:
        text = json.dumps(_ordered(value, DEPTH), ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        return text.encode()
    except UnicodeEncodeError:
        raise Refused("not-canonical", "A string holds half a character (a lone surrogate).") from None


def parse(data: bytes) -> Json:
    """The value of a canonical JSON text; Unsound (`not-canonical`) when `data` is any other text, even of the same value."""
    try:
        value: Json = json.loads(data.decode())
        if canonical(value) == data:
            return value
    except (ValueError, RecursionError, Refused):
        pass
    raise Unsound("not-canonical", "This is not canonical JSON.", "It was changed or was not written by Sluis.")


def _ordered(value: Json, depth: int) -> Json:
    """A copy with the members of every object in the order of their names' UTF-16 code units (RFC 8785 section 3.2.3)."""
    if depth == 0:
        raise Refused("not-canonical", "The value is nested too deeply.")
    match value:
        case None | bool() | str():
            return value
        case int():
            if abs(value) > LARGEST:
                raise Refused("not-canonical", "A number is too large to be written canonically.")
            return value
        case Mapping():
            if not all(isinstance(name, str) for name in value):
                raise Refused("not-canonical", "A member's name is not a string.")
            names = sorted(value, key=lambda name: name.encode("utf-16-be", "surrogatepass"))
            return {name: _ordered(value[name], depth - 1) for name in names}
        case list() | tuple():
            return [_ordered(item, depth - 1) for item in value]
    raise Refused("not-canonical", f"A value of type {type(value).__name__} can't be written canonically.")
