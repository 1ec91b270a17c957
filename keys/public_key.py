"""Public halves as files that others read: one age recipient on a line, as `age -R` takes it."""

from pathlib import Path

from keys.durable import make_folder, replace_public
from policies.errors import NotFound


def read_public(path: Path, code: str, message: str) -> str:
    """The key in the file; NotFound (`code`, `message`) when there is none."""
    try:
        return path.read_text(encoding="ascii").strip()
    except FileNotFoundError:
        raise NotFound(code, message) from None


def write_public(path: Path, public: str) -> None:
    """Make the file hold `public`, durably; no write when it does already."""
    content = f"{public}\n".encode()
    if not path.is_file() or path.read_bytes() != content:
        make_folder(path.parent)
        replace_public(path, content)
