"""A policy file (TOML) as it was written: its values with their types, and the line of whatever is wrong in it."""

import math
import re
import tomllib
from collections.abc import Collection, Mapping
from typing import Any, NoReturn

from policies.errors import Unsound
from policies.patterns import MOST_WAYS, ways

#: [characters] more is no policy
MAX_TEXT = 1 << 18

#: key → the types that it may have
Keys = Mapping[str, tuple[type, ...]]

_SAID = {str: "a text", int: "a whole number", float: "a number", bool: "true or false", list: "a list", dict: "a table"}
_PLACE = re.compile(r" \(at (?:line ([0-9]+), column [0-9]+|end of document)\)$")


class PolicyFile:
    """The file `name`. Every method raises Unsound (`bad-policy`) with the file, the line and the reason for what is not as it must be."""

    def __init__(self, content: str | bytes, name: str) -> None:
        self.name = name
        self.lines: list[str] = []
        text = self._decoded(content) if isinstance(content, bytes) else content
        self.lines = text.splitlines()
        self.document: dict[str, Any] = self._read(text.removeprefix("\ufeff"))  # Windows' editors begin a text so

    def _decoded(self, content: bytes) -> str:
        try:
            return content.decode()
        except UnicodeDecodeError as error:
            self._refuse(content.count(b"\n", 0, error.start) + 1, "not text in UTF-8")

    def _read(self, text: str) -> dict[str, Any]:
        if len(text) > MAX_TEXT:
            self._refuse(1, f"more than {MAX_TEXT} characters")
        try:
            return tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            reason = str(error)
            place = _PLACE.search(reason)
            line = int(place[1]) if place and place[1] else max(1, len(self.lines))
        except (ValueError, RecursionError):  # a number of thousands of digits, lists in lists in lists
            line, reason = 1, "a value in it can't be read"
        self._refuse(line, _PLACE.sub("", reason).removesuffix("."))

    def refuse(self, reason: str, table: str = "", index: int = 0, key: str = "") -> NoReturn:
        """Unsound, with the line of `key` in the index-th `[[table]]` (or `[table]`); without a key, of the table's own line."""
        self._refuse(self._line(table, index, key), reason)

    def _refuse(self, line: int, reason: str) -> NoReturn:
        raise Unsound("bad-policy", f"{self.name}, line {line}: {reason}.", "Correct the file and start again.")

    def _line(self, table: str, index: int, key: str) -> int:
        begin = 0
        if table:
            begin = (self._heads(table)[index : index + 1] or [0])[0]
            if not key:
                return begin + 1
        for number in range(begin, len(self.lines)):
            if re.match(rf"\s*(?:[\w\"'-]+\s*\.\s*)*[\"']?{re.escape(key)}[\"']?\s*[=.]", self.lines[number]):
                return number + 1
            if number > begin and table and self.lines[number].lstrip().startswith("["):
                break
        return (begin if table else (self._heads(key) or [0])[0]) + 1

    def _heads(self, table: str) -> list[int]:
        return [number for number, line in enumerate(self.lines) if re.match(rf"\s*\[\[?\s*{re.escape(table)}\s*\]", line)]

    # ------------------------------------------------------------ what stands in it

    def check_keys(self, entry: Mapping[str, Any], keys: Keys, required: Collection[str], table: str = "", index: int = 0) -> None:
        """That `entry` (the document, or the index-th of a table) has keys out of `keys`, of their types, and all that are required."""
        where = f" in {table}" if table else ""
        for key, value in entry.items():
            if key not in keys:
                self.refuse(f"unknown key {key!r}{where}", table, index, key)
            # true and false are whole numbers to Python
            if not isinstance(value, keys[key]) or (isinstance(value, bool) and bool not in keys[key]):
                said = " or ".join(_SAID[kind] for kind in keys[key] if not (kind is int and float in keys[key]))
                self.refuse(f"'{key}' is not {said}", table, index, key)
        for key in required:
            if key not in entry:
                self.refuse(f"'{key}' is missing{where}", table, index)

    def entries(self, table: str) -> list[dict[str, Any]]:
        """The entries of `[[table]]`, or the one of `[table]`; none when it is not there."""
        value = self.document.get(table, [])
        entries: list[Any] = [value] if isinstance(value, dict) else value
        if not all(isinstance(entry, dict) for entry in entries):
            self.refuse(f"{table} is written as [[{table}]]", key=table)
        return entries

    def whole(self, entry: Mapping[str, Any], key: str, usual: int, most: int, table: str = "") -> int:
        """A whole number from 0 to `most`; `usual` when it is not given."""
        value: int = entry.get(key, usual)
        if not 0 <= value <= most:
            self.refuse(f"'{key}' lies between 0 and {most}", table, 0, key)
        return value

    def pair(self, value: Any, table: str, index: int, key: str) -> tuple[float, float]:
        """Two numbers, the lower one first."""
        numbers = [float(item) for item in value if _is_number(item)] if isinstance(value, list) else []
        if len(numbers) != 2 or len(value) != 2 or numbers[0] > numbers[1]:
            self.refuse(f"'{key}' is two numbers, the lower one first", table, index, key)
        return numbers[0], numbers[1]

    def texts(self, value: list[Any], table: str, index: int, key: str) -> tuple[str, ...]:
        """One text or more."""
        if not value or not all(isinstance(item, str) for item in value):
            self.refuse(f"'{key}' is a list of texts", table, index, key)
        return tuple(value)

    def pattern(self, text: str, table: str, index: int, key: str) -> re.Pattern[str]:
        """A regular expression, compiled."""
        try:
            return re.compile(text)
        except (re.error, OverflowError, RecursionError) as error:
            self.refuse(f"a pattern does not compile ({error})", table, index, key)

    def quick_pattern(self, text: str, table: str, index: int, key: str) -> re.Pattern[str]:
        """The same of one that Python itself holds vendors' texts against: it has to be done with them soon (policies/patterns.py)."""
        compiled = self.pattern(text, table, index, key)
        if ways(text) > MOST_WAYS:
            self.refuse("a pattern may take too long: repeat nothing that repeats itself, and less with * and +", table, index, key)
        return compiled


def _is_number(item: Any) -> bool:
    try:
        return isinstance(item, (int, float)) and not isinstance(item, bool) and math.isfinite(item)
    except OverflowError:  # a whole number beyond all floats
        return False
