"""Which characters the bundled fonts can show, read from their `cmap` tables (OpenType 1.9, cmap subtable format 4).

PDF/UA forbids a character without a glyph, so Typst refuses a document that holds one. A board must not miss its report for an
emoji in a school's name: what can't be shown is replaced before.
"""

import struct
from functools import cache
from pathlib import Path

FONTS = Path(__file__).parent / "fonts"

#: The one kind of subtable that is read here.
FORMAT = 4

#: Windows platform, Unicode BMP: the subtable that every font of the bundle has.
WINDOWS_BMP = (3, 1)


@cache
def covered() -> frozenset[str]:
    """The characters that all bundled fonts can show."""
    sets = [_characters(path.read_bytes()) for path in sorted(FONTS.glob("*.ttf"))]
    return frozenset.intersection(*sets)


def _characters(font: bytes) -> frozenset[str]:
    cmap = _table(font, b"cmap")
    (count,) = struct.unpack_from(">H", cmap, 2)
    for index in range(count):
        platform, encoding, offset = struct.unpack_from(">HHL", cmap, 4 + 8 * index)
        if (platform, encoding) == WINDOWS_BMP:
            return _format_4(cmap[offset:])
    raise ValueError("the font has no Unicode character map")


def _table(font: bytes, tag: bytes) -> bytes:
    (count,) = struct.unpack_from(">H", font, 4)
    for index in range(count):
        name, _, offset, length = struct.unpack_from(">4sLLL", font, 12 + 16 * index)
        if name == tag:
            return font[offset : offset + length]
    raise ValueError("the font lacks a table")


def _format_4(subtable: bytes) -> frozenset[str]:
    """Segments of code points; a code point is there when its glyph isn't number 0."""
    kind, _, _, doubled = struct.unpack_from(">4H", subtable)
    if kind != FORMAT:
        raise ValueError("the font's character map has another format")
    half = doubled // 2
    ends = struct.unpack_from(f">{half}H", subtable, 14)
    starts = struct.unpack_from(f">{half}H", subtable, 16 + doubled)
    deltas = struct.unpack_from(f">{half}H", subtable, 16 + 2 * doubled)
    at = 16 + 3 * doubled
    offsets = struct.unpack_from(f">{half}H", subtable, at)
    found = set()
    for segment, (start, end, delta, offset) in enumerate(zip(starts, ends, deltas, offsets, strict=True)):
        for code in range(start, min(end, 0xFFFE) + 1):
            glyph = code
            if offset:
                (glyph,) = struct.unpack_from(">H", subtable, at + 2 * segment + offset + 2 * (code - start))
            if (glyph + delta) % 0x10000 and (glyph or not offset):
                found.add(chr(code))
    return frozenset(found)
