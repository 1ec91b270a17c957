"""The parts of the documents that are drawn from the code. `python -m tests.support.docs` writes them anew; a test compares."""

import re
import sys
from collections.abc import Callable
from pathlib import Path

from pydantic_core import PydanticUndefined

from gateway.drop.lifecycle import mermaid
from gateway.intake.files.refusals import CATALOGUE
from gateway.store.config import Configuration

ROOT = Path(__file__).resolve().parents[2]


def lifecycle() -> str:
    return f"```mermaid\n{mermaid()}\n```"


def configuration() -> str:
    blocks = []
    for section, field in Configuration.model_fields.items():
        assert isinstance(field.annotation, type)
        rows = [f"## `[{section}]`", "", "| key | default | meaning |", "| --- | --- | --- |"]
        for key, info in field.annotation.model_fields.items():  # type: ignore[attr-defined]
            default = "required" if info.default is PydanticUndefined else f"`{_toml(info.default)}`"
            rows.append(f"| `{key}` | {default} | {_cell(info.description or '')} |")
        blocks.append("\n".join(rows))
    return "\n\n".join(blocks)


def _toml(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else f'"{value}"' if isinstance(value, str) else str(value)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def refusals() -> str:
    rows = ["| code | melding | in English |", "| --- | --- | --- |"]
    return "\n".join([*rows, *(f"| `{code}` | {_cell(text.dutch)} | {_cell(text.english)} |" for code, text in CATALOGUE.items())])


#: document → name of the block → what it must hold
GENERATED: dict[str, dict[str, Callable[[], str]]] = {
    "docs/architecture.md": {"lifecycle": lifecycle},
    "docs/operator/configuration.md": {"configuration": configuration},
    "docs/vendor/sftp.md": {"refusals": refusals},
}


def renewed(document: str, text: str) -> str:
    """`text` with its generated blocks drawn from the code as it is; ValueError when a block has no place in it."""
    for name, draw in GENERATED[document].items():
        pattern = re.compile(rf"(<!-- generated: {name} -->\n).*?(<!-- end -->)", re.DOTALL)
        found = pattern.search(text)
        if found is None:
            raise ValueError(f"{document} has no block {name}")
        before, after = text[: found.end(1)], text[found.start(2) :]
        text = f"{before}{draw()}\n{after}"
    return text


def main() -> int:
    for document in GENERATED:
        path = ROOT / document
        path.write_text(renewed(document, path.read_text()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
