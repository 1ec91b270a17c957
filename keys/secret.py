"""A value that must not be shown: key material stays out of logs, tracebacks, pickles and comparisons that leak time."""

import hmac
from typing import NoReturn

HIDDEN = "Secret(…)"


class Secret:
    """Holds bytes that only `reveal` gives back.

    repr, str and format hide them; pickling and copying are refused, so that no job queue or cache takes a key along. The `==`
    with another Secret takes the same time wherever the two differ. Python can't wipe memory: a Secret protects against
    showing a key by accident, not against somebody who reads this process's memory.
    """

    __slots__ = ("_value",)
    __hash__ = None  # type: ignore[assignment]  # a hash would be a short, unkeyed digest of the key

    def __init__(self, value: bytes) -> None:
        self._value = bytes(value)

    def reveal(self) -> bytes:
        """The bytes themselves [bytes]; call it where they are used and keep no other name for them."""
        return self._value

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(self._value, other._value)

    def __repr__(self) -> str:
        return HIDDEN

    def __format__(self, spec: str) -> str:
        return HIDDEN

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("a Secret can't be pickled or copied")
