"""One line of the audit log: who did what to what, when, from where, and how it ended (BIO2 8.15.01).

An entry never holds personal data. As the last guard, whatever looks like a citizen service number (BSN) or an
onderwijsnummer is refused before it becomes bytes: a log that only grows can't take it back.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from audit.canonical import Json, canonical, parse
from audit.tiles import LONGEST
from policies.errors import Refused, Unsound

SCHEMA = "sluis-audit-1"

#: Numbers under these names, or under a name that ends in `_bytes`, count bytes: nine digits are then a size, not a person.
SIZES = frozenset({"bytes", "size"})

_TIME = "%Y-%m-%dT%H:%M:%S.%fZ"
_NINE = re.compile(r"(?<!\d)\d{9}(?!\d)")
_NINE_ALONE = re.compile(r"(?<![^\W_])\d{9}(?![^\W_])")
#: Hashes, keys and UUIDs in hexadecimal: their digits are chance.
_HEX = re.compile(r"(?<![0-9A-Za-z])(?:[0-9a-f]{32,}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})(?![0-9A-Za-z])")


@dataclass(frozen=True, slots=True)
class Entry:
    """`id` is unique and sorts by time; `time` is aware; `detail` holds what else belongs to the action, in plain JSON values."""

    id: str
    time: datetime
    actor: str
    origin: str
    action: str
    object: str
    result: str
    detail: Mapping[str, Json] = field(default_factory=dict)

    def to_bytes(self) -> bytes:
        """Canonical JSON (RFC 8785).

        Raises Refused: `entry-incomplete`, `entry-identifies` (something is shaped like a pupil's number), `entry-too-long`
        (more than LONGEST bytes), `not-canonical`. No message repeats a value.
        """
        names = {name: getattr(self, name) for name in _NAMES}
        if any(not isinstance(text, str) or not text for text in names.values()) or self.time.tzinfo is None:
            raise Refused(
                "entry-incomplete",
                "An audit entry needs an id, a time with its zone, an actor, an origin, an action, an object and a result.",
            )
        # The id is made by the ledger out of time and chance: only digits that stand alone are a number in it.
        if identifies(self.id, _NINE_ALONE) or any(map(_identifies, _walk("", {**names, "id": "", "detail": self.detail}))):
            raise Refused(
                "entry-identifies",
                "An audit entry holds something shaped like a pupil's number.",
                "Log the drop's id and counts, never what a file or its name says.",
            )
        data = canonical({"schema": SCHEMA, "time": self.time.astimezone(UTC).strftime(_TIME), "detail": self.detail, **names})
        if len(data) > LONGEST:
            raise Refused("entry-too-long", f"An audit entry is longer than {LONGEST} bytes.", "Log counts, not lists.")
        return data

    @classmethod
    def from_bytes(cls, data: bytes) -> "Entry":
        """The entry that `data` is the canonical form of; Unsound (`not-canonical`, `not-an-entry`) when there is none."""
        value = parse(data)
        if isinstance(value, dict) and value.keys() == {"schema", "time", "detail", *_NAMES} and value["schema"] == SCHEMA:
            time, detail = _time(value["time"]), value["detail"]
            names = [value[name] for name in _NAMES]
            if time is not None and isinstance(detail, dict) and all(isinstance(text, str) and text for text in names):
                return cls(time=time, detail=detail, **{name: str(value[name]) for name in _NAMES})
        raise Unsound("not-an-entry", "This is not an audit entry of a known form.", f"Entries are of the schema {SCHEMA}.")


_NAMES = ("id", "actor", "origin", "action", "object", "result")


def _time(text: object) -> datetime | None:
    try:
        time = datetime.strptime(str(text), _TIME).replace(tzinfo=UTC)
    except ValueError:
        return None
    return time if time.strftime(_TIME) == text else None


def _walk(name: str, value: Json) -> Iterator[tuple[str, Json]]:
    """Every name and every single value, each with the name it stands under."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield "", key
            yield from _walk(key, item)
    elif isinstance(value, Sequence) and not isinstance(value, str):
        for item in value:
            yield from _walk(name, item)
    else:
        yield name, value


def _identifies(named: tuple[str, Json]) -> bool:
    name, value = named
    if isinstance(value, str):
        return identifies(value)
    if name in SIZES or name.endswith("_bytes"):
        return False
    return isinstance(value, int) and identifies(str(value))


def identifies(text: str, shape: re.Pattern[str] = _NINE) -> bool:
    """Whether `text` holds nine digits in a row that are a BSN (elfproef) or an onderwijsnummer, outside hexadecimal hashes."""
    if not shape.search(text):
        return False
    return any(map(_is_number, shape.findall(_HEX.sub(" ", text))))


def _is_number(nine: str) -> bool:
    digits = [int(digit) for digit in nine]
    total = sum(weight * digit for weight, digit in zip((9, 8, 7, 6, 5, 4, 3, 2, -1), digits, strict=True)) % 11
    return (total == 0 and any(digits)) or (total == 5 and digits[:2] == [1, 0])
