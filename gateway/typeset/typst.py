"""Typst behind one function: a template and values in, the bytes of an accessible PDF (PDF/UA-1) out.

A template is Typst source. It finds its values in `data` (see prelude.typ): strings stay text, so nothing in a school's name
can become markup. Templates can't read files (the root is a folder without any) and no font of the machine is used, so that equal
input gives equal bytes on every machine.

Typst computes with threads of its own, which do not survive a fork: run it in processes that were spawned
(`multiprocessing.get_context("spawn")`).
"""

import json
import re
import threading
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import typst

from gateway.typeset.coverage import covered
from policies.errors import Unsound

FOLDER = Path(__file__).parent
PRELUDE = (FOLDER / "prelude.typ").read_text(encoding="utf-8")

#: Stands for a character that no bundled font can show.
MISSING = "\ufffd"

#: One compilation at a time per process: the compiler keeps its input between calls.
_lock = threading.Lock()


@dataclass(frozen=True)
class Attachment:
    """A file in the PDF, for programs: it is attached as it is, whatever the fonts can show."""

    name: str
    text: str
    mime_type: str
    description: str


class _Compiler:
    """Typst's compiler with its fonts loaded, and the empty folder that it takes for the whole world."""

    def __init__(self) -> None:
        self._root = TemporaryDirectory(prefix="sluis-typeset-")
        root = self._root.name
        fonts = typst.Fonts(include_system_fonts=False, include_embedded_fonts=True, font_paths=[FOLDER / "fonts"])
        self._typst = typst.Compiler(root=root, font_paths=fonts, ignore_system_fonts=True, package_path=root, package_cache_path=root)

    def pdf(self, source: bytes, inputs: dict[str, str]) -> bytes:
        document = self._typst.compile(input=source, format="pdf", sys_inputs=inputs, pdf_standards=["ua-1"], timestamp=0)
        if not isinstance(document, bytes):
            raise Unsound("typeset-failed", "The typesetter gave no document.", "This is a fault in Sluis itself.")
        return document


@cache
def _compiler() -> _Compiler:
    return _Compiler()


def compile_pdf(template: str, data: Mapping[str, Any], *, title: str, lang: str = "nl", attached: Sequence[Attachment] = ()) -> bytes:
    """A PDF/UA-1 document as bytes; the same bytes for the same arguments.

    `template` is Typst source (see `template_text`), `data` is what JSON can hold and reaches the template as `data`, `title` is
    shown by readers in the window's bar, `lang` is the language of the text (ISO 639-1), `attached` are files to go with it.

    Raises Unsound (`typeset-failed`) naming the place in the template. What went wrong there is not said, for Typst would quote
    values, and a letter holds a password.
    """
    source = (PRELUDE + template).encode()
    inputs = {
        "data": json.dumps(_readable(data), ensure_ascii=False),
        "title": _readable(title),
        "lang": lang,
        "attached": json.dumps([asdict(file) for file in attached], ensure_ascii=False),
    }
    try:
        with _lock:
            return _compiler().pdf(source, inputs)
    except typst.TypstError as error:
        place = _place(error)
        raise Unsound("typeset-failed", f"A document could not be typeset ({place}).", "This is a fault in its template.") from None


def template_text(package: str, name: str) -> str:
    """The source of a template that lies beside a package's modules."""
    return resources.files(package).joinpath(name).read_text(encoding="utf-8")


def _place(error: typst.TypstError) -> str:
    """Line of the template where Typst stopped; it carries no value."""
    found = re.search(r"┌─ \S*?:(\d+):\d+", getattr(error, "diagnostic", "") or "")
    return f"line {int(found[1]) - PRELUDE.count(chr(10))}" if found else "no line known"


def _readable(value: Any) -> Any:
    """Text in composed form, with what the fonts can't show replaced: an emoji in a name must not cost a board its report."""
    if isinstance(value, str):
        return "".join(_shown(c) for c in unicodedata.normalize("NFC", value))
    if isinstance(value, Mapping):
        return {key: _readable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_readable(item) for item in value]
    return value


def _shown(character: str) -> str:
    if character == "\n" or (character in covered() and unicodedata.category(character) != "Cc"):
        return character
    return " " if unicodedata.category(character)[0] in "CZ" else MISSING
