"""The examples of a page for vendors, as they stand there: blocks of code under a comment that names them and says what they do."""

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.support.clients import PATIENCE

_EXAMPLE = re.compile(r"<!-- voorbeeld: (.*?) -->\n```(sh|python)\n(.*?)```", re.DOTALL)


@dataclass(frozen=True)
class Example:
    title: str
    marks: frozenset[str]
    language: str
    code: str


def examples_in(text: str) -> list[Example]:
    """Every one, in the order of the page."""
    return [
        Example(title.split(", ")[0], frozenset(title.split(", ")[1:]), language, code) for title, language, code in _EXAMPLE.findall(text)
    ]


def run_example(language: str, code: str, folder: Path, **environment: str) -> str:
    """What the code says in the folder, which is its user's home; it must end well."""
    program = ["sh", "-e", "-c", code] if language == "sh" else [sys.executable, "-c", code]
    known = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "HOME": str(folder), **environment}
    done = subprocess.run(
        program,
        cwd=folder,
        env=known,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=PATIENCE,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout
