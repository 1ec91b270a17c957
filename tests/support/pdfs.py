"""What a PDF holds: its structure for screen readers, and its text and boxes as poppler sees them."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pypdf.generic import DictionaryObject


def elements(node: Any) -> Iterator[Any]:
    """All structure elements, in reading order."""
    node = node.get_object()
    if isinstance(node, list):
        for one in node:
            yield from elements(one)
    elif isinstance(node, DictionaryObject):
        if "/S" in node:
            yield node
        if "/K" in node:
            yield from elements(node["/K"])


def text_of(path: Path) -> str:
    """All that `pdftotext` reads, with single spaces."""
    read = subprocess.run(["pdftotext", "-layout", str(path), "-"], capture_output=True, text=True, check=True)
    return re.sub(r"\s+", " ", read.stdout)


def boxes_of(path: Path) -> list[tuple[float, float, float, float]]:
    """Every word's left, top, right and bottom [pt, from the page's top left corner]."""
    page = subprocess.run(["pdftotext", "-bbox", str(path), "-"], capture_output=True, text=True, check=True).stdout
    found = re.findall(r'<word xMin="([\d.-]+)" yMin="([\d.-]+)" xMax="([\d.-]+)" yMax="([\d.-]+)">', page)
    return [(float(left), float(top), float(right), float(bottom)) for left, top, right, bottom in found]
