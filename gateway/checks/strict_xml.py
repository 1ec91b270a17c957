"""XML as a stream of which only the known elements are looked at: no DTD, no entities of one's own, bounded memory.

Expat is given no way to open anything. A document type declaration ends the reading at its first word, so that there is nothing
to expand. Text is collected only inside elements whose text is asked for: all other text is never made into a value.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import NoReturn
from xml.parsers import expat

from gateway.checks.findings import DropRefused, finding

#: levels of elements; the standards use a dozen
MAX_DEPTH = 32
#: [bytes] without a tag's beginning: bounds a tag with its attributes, a text, a comment
MAX_UNTAGGED = 256 << 10
#: different names of elements and attributes that expat may have to remember, and the [characters] of each
MAX_NAMES = 1000
#: [characters] of a name, and of a text or attribute that is read (UWLR and EDEXML: at most 256)
MAX_TEXT = 256

_UTF_16 = (b"\xff\xfe", b"\xfe\xff", b"\0<", b"<\0")


@dataclass(slots=True)
class Element:
    """What is known below an element, and who is told: its whole `text`, or how it `begins` and `ends`."""

    children: "dict[str, Element]" = field(default_factory=dict)
    text: Callable[[str], None] | None = None
    begins: Callable[[dict[str, str]], None] | None = None  # is given the attributes
    ends: Callable[[], None] | None = None


_IGNORED = Element()


def refuse(rule: str) -> NoReturn:
    """Stops reading for a rule that refuses the drop."""
    raise DropRefused(finding(rule))


class StrictXml:
    """Reads one document. `root`: its only child is the root element that must be there; names are `namespace name`, or `name`.

    `unknown`: told each new name of an element that is not in the tree. Raises DropRefused with `xml-doctype`, `not-utf-8`,
    `xml-damaged`, `xml-limits` or `xml-message`.
    """

    def __init__(self, root: Element, unknown: Callable[[str], None]) -> None:
        self._unknown = unknown
        self._here = root
        self._above: list[Element] = []
        self._text: list[str] = []
        self._collect = self._text.append
        self._names: set[str] = set()
        self._tags = 0
        parser = self._parser = expat.ParserCreate("UTF-8", " ")
        parser.buffer_text = True
        parser.XmlDeclHandler = self._declared
        parser.StartDoctypeDeclHandler = lambda *_: refuse("xml-doctype")
        parser.StartNamespaceDeclHandler = lambda prefix, uri: self._remember(f"{prefix} {uri}")
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end

    def read(self, chunks: Iterable[bytes]) -> Iterator[None]:
        """Reads on, and stops after each chunk for the caller to take what it was told."""
        untagged, first = 0, True
        for chunk in chunks:
            if first and chunk.startswith(_UTF_16):
                refuse("not-utf-8")
            first = False
            before = self._tags
            self._feed(chunk, False)
            untagged = 0 if self._tags > before else untagged + len(chunk)
            if untagged > MAX_UNTAGGED:
                refuse("xml-limits")
            yield
        self._feed(b"", True)
        del self._parser  # it calls this: together they would stay, with all that was read, until garbage is collected
        yield

    def _feed(self, chunk: bytes, last: bool) -> None:
        damaged = False
        try:
            self._parser.Parse(chunk, last)
        except expat.ExpatError:
            damaged = True
        if damaged:
            refuse("xml-damaged")

    def _declared(self, version: str, encoding: str | None, standalone: int) -> None:
        if encoding is not None and encoding.upper() not in ("UTF-8", "US-ASCII"):
            refuse("not-utf-8")

    def _remember(self, name: str) -> None:
        if len(name) > MAX_TEXT or len(self._names) >= MAX_NAMES:
            refuse("xml-limits")
        self._names.add(name)

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        # called for every tag: the common case comes first and calls nothing
        self._tags += 1
        here = self._here
        self._above.append(here)
        self._here = element = here.children.get(name) or self._ignored(name)
        if attributes:
            self._check_attributes(attributes)
        if element.text is not None:
            self._parser.CharacterDataHandler = self._collect
        elif element.begins is not None:
            element.begins(attributes)

    def _ignored(self, name: str) -> Element:
        if self._above[-1].text is not None:  # what is read as text has no elements in it; its pieces would add up
            refuse("xml-message")
        if len(self._above) == 1:
            refuse("xml-message")
        if len(self._above) > MAX_DEPTH:
            refuse("xml-limits")
        if name not in self._names:
            self._remember(name)
            self._unknown(name)
        return _IGNORED

    def _check_attributes(self, attributes: dict[str, str]) -> None:
        for attribute, value in attributes.items():
            if attribute not in self._names:
                self._remember(attribute)
            if attribute == "key" and len(value) > MAX_TEXT:
                refuse("xml-limits")

    def _end(self, _name: str) -> None:
        element = self._here
        self._here = self._above.pop()
        if element.text is not None:
            self._parser.CharacterDataHandler = None
            value = "".join(self._text).strip()
            self._text.clear()
            if len(value) > MAX_TEXT:
                refuse("xml-limits")
            element.text(value)
        elif element.ends is not None:
            element.ends()
